"""A text that several people write. Whoever loses the connection for a while misses no line and opens nothing again.

Run it with ``siocore serve recovery:io --port 3000``.
"""

from __future__ import annotations

from collections import defaultdict

import siocore

io = siocore.Server(recovery=siocore.Recovery(max_disconnection=120))
documents: defaultdict[str, list[str]] = defaultdict(list)


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    if socket.recovered:
        # Its id, its rooms and its data are what they were, and what it missed is on its way.
        print(f"{socket.id} is back, with {socket.data.document!r} open", flush=True)


@io.on("open")
def open_document(socket: siocore.Socket, name: str) -> list[str]:
    socket.data.document = name
    socket.join(name)
    return documents[name]


@io.on("append")
def append(socket: siocore.Socket, line: str) -> None:
    documents[socket.data.document].append(line)
    io.to(socket.data.document).emit("line", line)


@io.on("disconnect")
def disconnected(socket: siocore.Socket, reason: str) -> None:
    print(f"{socket.id} is gone: {reason}", flush=True)
