"""An application for several workers: each answer says which process it comes from."""

from __future__ import annotations

import os

import siocore

io = siocore.Server()


@io.on("pid")
def pid(socket: siocore.Socket) -> int:
    return os.getpid()


@io.on("echo")
def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args


@io.on("join")
def join(socket: siocore.Socket, room: str) -> str:
    socket.join(room)
    return "joined"


@io.on("broadcast")
def broadcast(socket: siocore.Socket, *args: object) -> None:
    io.emit("news", *args)


@io.on("room")
def room(socket: siocore.Socket, name: str) -> None:
    io.to(name).emit("room news", name)


@io.on("ask everybody")
async def ask(socket: siocore.Socket) -> list[object]:
    answers: list[object] = await io.timeout(10).emit_with_ack("question")
    return answers


@io.on("fetch")
async def fetch(socket: siocore.Socket) -> list[str]:
    return [each.id for each in await io.fetch_sockets()]


@io.on("other workers")
async def others(socket: siocore.Socket) -> list[object]:
    answers: list[object] = await io.server_side_emit_with_ack("pid")
    return answers


@io.on_server_side("pid")
def own_pid() -> int:
    return os.getpid()


@io.on("flood")
def flood(socket: siocore.Socket, count: int) -> str:
    for number in range(count):
        socket.emit("drop", number, "x" * 1_000)
    return "flooded"
