"""Servers that send much, one for each policy for slow clients: ``siocore serve flood_app:drop_oldest``."""

from __future__ import annotations

import siocore

CHUNK = b"x" * 100_000


def make(policy: str) -> siocore.Server:
    io = siocore.Server(slow_consumer=policy)

    @io.on("flood")
    async def flood(socket: siocore.Socket, count: int) -> None:
        for number in range(count):
            io.emit("chunk", number, CHUNK)
            # As fast as this client reads.
            await socket.emit("tick")
        socket.emit("over")

    return io


close = make("close")
drop_oldest = make("drop_oldest")
