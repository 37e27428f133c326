"""The server that recovery.js cuts off: ``siocore serve recovery_app:io``."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

import siocore

io = siocore.Server(recovery=True, limits=siocore.Limits(max_recovery_events=50))
helper = io.of("/helper")
guarded = io.of("/guarded")
#: What happened to each socket id.
history: defaultdict[str, list[str]] = defaultdict(list)


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    history[socket.id].append("recovered" if socket.recovered else "connection")


@io.on("disconnect")
def disconnected(socket: siocore.Socket, reason: str) -> None:
    history[socket.id].append(reason)


@io.on("enter")
def enter(socket: siocore.Socket, room: str, name: str) -> bool:
    socket.join(room)
    socket.data.name = name
    return True


@io.on("who am i")
def who(socket: siocore.Socket) -> dict[str, object]:
    return {
        "id": socket.id,
        "rooms": sorted(socket.rooms - {socket.id}),
        "name": getattr(socket.data, "name", None),
        "recovered": socket.recovered,
    }


@io.on("settled")
@guarded.on("settled")
def settled(socket: siocore.Socket) -> bool:
    return True


@io.on("volatile me")
def volatile_me(socket: siocore.Socket, text: str) -> None:
    socket.volatile.emit("volatile", text)


@helper.on("publish")
def publish(socket: siocore.Socket, target: str, names: list[str]) -> bool:
    for number, name in enumerate(names):
        io.to(target).emit(name, number, b"\x00\x01")
    return True


@helper.on("publish guarded")
def publish_guarded(socket: siocore.Socket, target: str, name: str) -> bool:
    guarded.to(target).emit(name)
    return True


@helper.on("cut and publish")
def cut_and_publish(socket: siocore.Socket, target: str, names: list[str]) -> bool:
    session = cast("siocore.Session", io.sockets.sockets[target].link)
    session.fail("transport error", "cut")
    return publish(socket, target, names)


@helper.on("flood")
def flood(socket: siocore.Socket) -> bool:
    for number in range(100):
        io.to("somebody else").emit("flood", number)
    return True


@helper.on("log")
def log(socket: siocore.Socket, target: str) -> list[str]:
    return history[target]


@guarded.use
def check_token(socket: siocore.Socket) -> None:
    if socket.handshake.auth.get("token") != "s3cret":
        raise siocore.ConnectionRefused("not authorized")
