"""The python-socketio peer: an AsyncServer on uvicorn, with uvloop, as its documentation deploys it."""

from __future__ import annotations

import asyncio
import socket

import socketio  # type: ignore[import-untyped]
import uvicorn
import uvloop

io = socketio.AsyncServer(async_mode="asgi")


async def echo(sid: str, text: str) -> str:
    return text


async def binary(sid: str, data: bytes) -> None:
    await io.emit("bin", data, to=sid)


async def cast(sid: str, text: str) -> None:
    await io.emit("cast", text)


io.on("echo", echo)
io.on("bin", binary)
io.on("cast", cast)


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        config = uvicorn.Config(socketio.ASGIApp(io), log_level="warning", access_log=False)
        await uvicorn.Server(config).serve([listener])


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
