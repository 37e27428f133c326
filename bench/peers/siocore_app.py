"""The siocore peer: ``python siocore_app.py trio``, ``asyncio`` or ``uvloop``."""

from __future__ import annotations

import socket
import sys
from functools import partial

import siocore

io = siocore.Server()


@io.on("echo")
async def echo(client: siocore.Socket, text: str) -> str:
    return text


@io.on("bin")
async def binary(client: siocore.Socket, data: bytes) -> None:
    client.emit("bin", data)


@io.on("cast")
async def cast(client: siocore.Socket, text: str) -> None:
    io.emit("cast", text)


@io.on("join")
async def join(client: siocore.Socket, room: str) -> str:
    client.join(room)
    return room


@io.on("leave")
async def leave(client: siocore.Socket, room: str) -> str:
    client.leave(room)
    return room


@io.on("room")
async def to_room(client: siocore.Socket, room: str, text: str) -> None:
    io.to(room).emit("room", text)


def main(loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        if loop == "trio":
            import trio

            import siocore.trio

            trio.run(partial(siocore.trio.serve, io, sockets=[listener]))
            return
        import asyncio

        import siocore.asyncio

        factory = None
        if loop == "uvloop":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(siocore.asyncio.serve(io, sockets=[listener]))


main(sys.argv[1])
