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


async def join(sid: str, room: str) -> str:
    await io.enter_room(sid, room)
    return room


async def leave(sid: str, room: str) -> str:
    await io.leave_room(sid, room)
    return room


async def to_room(sid: str, room: str, text: str) -> None:
    await io.emit("room", text, room=room)


io.on("echo", echo)
io.on("bin", binary)
io.on("cast", cast)
io.on("join", join)
io.on("leave", leave)
io.on("room", to_room)


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        config = uvicorn.Config(socketio.ASGIApp(io), log_level="warning", access_log=False)
        await uvicorn.Server(config).serve([listener])


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
