"""An application for workers that are stopped: what its handlers have done is in the file that LOG names."""

from __future__ import annotations

import os

import anyio

import siocore

io = siocore.Server()
log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@io.on("echo")
def echo(socket: siocore.Socket, number: int) -> int:
    os.write(log, b"e")
    return number


@io.on("work")
async def work(socket: siocore.Socket) -> None:
    """Goes on until the client is gone, and has something to do then."""
    try:
        await socket.emit_with_ack("working", os.getpid(), timeout=1_000)
    except siocore.Disconnected:
        await anyio.lowlevel.checkpoint()
        os.write(log, b"w")


@io.on("hang")
async def hang(socket: siocore.Socket) -> None:
    socket.emit("hanging", os.getpid())
    await anyio.sleep_forever()
