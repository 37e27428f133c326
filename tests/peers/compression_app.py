"""``siocore serve compression_app:io``: a server that compresses all that it can, as each client asks for it."""

from __future__ import annotations

import siocore

#: Contexts are kept where the client does not ask us to forget them, so that both ways are used.
DEFLATE = siocore.PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)

io = siocore.Server(per_message_deflate=DEFLATE)


@io.on("echo")
def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args


@io.on("tell everybody")
def tell_everybody(socket: siocore.Socket, text: str, data: bytes) -> None:
    io.emit("news", text, data)
