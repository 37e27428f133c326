"""python-socketio in a cluster, on uvicorn with uvloop: ``python_socketio_server.py channel <URL of Redis>``."""

from __future__ import annotations

import asyncio
import socket
import sys

import socketio  # type: ignore[import-untyped]
import uvicorn
import uvloop

io = socketio.AsyncServer(async_mode="asgi", client_manager=socketio.AsyncRedisManager(sys.argv[2]))


async def enter(sid: str) -> str:
    await io.enter_room(sid, "there")
    return "entered"


async def publish(sid: str, first: int, count: int, text: str) -> None:
    for number in range(first, first + count):
        await io.emit("news", (number, text), room="there")


io.on("enter", enter)
io.on("publish", publish)


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        config = uvicorn.Config(socketio.ASGIApp(io), log_level="warning", access_log=False)
        await uvicorn.Server(config).serve([listener])


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
