"""What npm's socket.io-client is to see of dynamic namespaces, handlers and answers: ``siocore serve api_app:io``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import sniffio
import trio
from anyio.lowlevel import checkpoint

import siocore

io = siocore.Server()
rooms = io.of(re.compile(r"/room-\d+"))
made: list[str] = []


@io.on("new_namespace")
def new_namespace(namespace: siocore.Namespace) -> None:
    made.append(namespace.name)


# Dynamic namespaces --------------------------------------------------------------------------------------------------


async def may_have(name: str, auth: Mapping[str, Any]) -> bool:
    await checkpoint()
    if name == "/private/broken":
        raise RuntimeError("a predicate that fails")
    return name.startswith("/private/") and auth.get("token") == "s3cret"


private = io.of(may_have)


@rooms.use
def guard(socket: siocore.Socket) -> None:
    if socket.handshake.auth.get("banned"):
        raise siocore.ConnectionRefused("banned", data=socket.namespace.name)


@rooms.on("where")
@private.on("where")
def where(socket: siocore.Socket) -> str:
    return socket.namespace.name


@rooms.on("tell all")
def tell_all(socket: siocore.Socket, *args: object) -> bool:
    rooms.emit("told", *args)
    return True


@rooms.on("tell mine")
def tell_mine(socket: siocore.Socket, *args: object) -> bool:
    socket.namespace.emit("told", *args)
    return True


@io.on("namespaces")
def namespaces(socket: siocore.Socket) -> dict[str, object]:
    return {"made": made, "rooms": sorted(child.name for child in rooms.children)}


# Handlers ------------------------------------------------------------------------------------------------------------

listening = io.of("/listening")


@listening.on("connection")
def connected(socket: siocore.Socket) -> None:
    incoming: list[object] = []
    outgoing: list[object] = []

    @socket.use
    async def middleware(name: str, args: list[Any]) -> None:
        await checkpoint()
        if name == "forbidden":
            raise PermissionError(f"{name} with {len(args)}")
        if name == "double":
            args[0] *= 2

    @socket.on("error")
    def refused(error: Exception) -> None:
        socket.emit("refused", str(error))

    @socket.on_any
    def seen(name: str, *args: object) -> None:
        incoming.append([name, *args])

    @socket.on_any_outgoing
    def sent(name: str, *args: object) -> None:
        outgoing.append([name, *args])

    @socket.once("once")
    def once() -> str:
        return "the first time"

    @socket.on("double")
    def double(value: int) -> int:
        return value

    @socket.on("off")
    def off() -> str:
        socket.off("off", off)
        return "still there"

    @socket.on(7)
    def seven(value: bytes) -> bytes:
        socket.emit(8, value)
        return value

    @socket.on("seen")
    def tell() -> list[list[object]]:
        return [incoming, outgoing]

    socket.emit("hello", b"\x01")
    listening.to(socket.id).emit("room")


# Answers -------------------------------------------------------------------------------------------------------------


@io.on("vote")
async def vote(socket: siocore.Socket, room: str, seconds: float) -> dict[str, object]:
    """The answers of a room one by one; each is announced when it is there."""
    answers: list[object] = []
    try:
        async for answer in io.to(room).timeout(seconds).emit_with_ack("vote"):
            answers.append(answer)
            socket.emit("progress", answer)
    except siocore.AckTimeout as error:
        return {"answers": answers, "partial": error.responses}
    return {"answers": answers, "complete": True}


@io.on("first vote")
async def first_vote(socket: siocore.Socket, room: str) -> list[object]:
    """Leaves the loop after one answer, then a second one because its own time is up."""
    found: list[object] = []
    async for answer in io.to(room).timeout(60).emit_with_ack("vote"):
        found.append(answer)
        break
    if sniffio.current_async_library() == "trio":
        with trio.move_on_after(0.05) as scope:
            await wait_for_nobody(room)
        found.append(scope.cancelled_caught)
    else:
        try:
            async with asyncio.timeout(0.05):
                await wait_for_nobody(room)
        except TimeoutError as error:
            found.append(not isinstance(error, siocore.AckTimeout))
    found.append(sum(len(each.pending_acks) for each in io.to(room).local_sockets()))
    return found


async def wait_for_nobody(room: str) -> None:
    async for _ in io.to(room).timeout(60).emit_with_ack("silence"):
        raise AssertionError("nobody answers this")


@io.on("join")
async def join(socket: siocore.Socket, room: str) -> int:
    socket.join(room)
    return len(await io.in_(room).fetch_sockets())
