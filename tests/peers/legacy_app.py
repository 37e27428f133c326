"""A server for clients of Socket.IO 1 to 4: ``siocore serve legacy_app:io``."""

from __future__ import annotations

import siocore

io = siocore.Server(allow_eio3=True, ping_interval=1.0, ping_timeout=1.0)
admin = io.of("/admin")


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.emit("welcome", socket.id, socket.handshake.auth, socket.handshake.query.get("token"))


@io.on("disconnect")
def disconnected(socket: siocore.Socket, reason: str) -> None:
    io.emit("ended", socket.id, reason)


@io.on("echo")
@admin.on("echo")
def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args


@io.on("echo event")
def echo_event(socket: siocore.Socket, *args: object) -> None:
    socket.emit("echo back", *args)


@io.on("is text")
def is_text(socket: siocore.Socket, text: str, *characters: int) -> bool:
    """Whether what arrived is the text that was sent, and not what an echo would show again."""
    return text == "".join(map(chr, characters))


@io.on("ask me")
async def ask(socket: siocore.Socket, *args: object) -> object:
    return await socket.emit_with_ack("question", *args, timeout=5)


@io.on("join")
def join(socket: siocore.Socket, room: str) -> bool:
    socket.join(room)
    return True


@io.on("publish")
def publish(socket: siocore.Socket, room: str, *args: object) -> bool:
    io.to(room).emit("news", *args)
    return True


@io.on("disconnect me")
def disconnect(socket: siocore.Socket, close: bool) -> None:
    socket.disconnect(close=close)


@admin.use
def check_token(socket: siocore.Socket) -> None:
    token = socket.handshake.auth.get("token")
    if token == "expired":
        raise siocore.ConnectionRefused("expired")
    if token != "s3cret":
        raise siocore.ConnectionRefused("not authorized", data={"retry": False})


@admin.on("connection")
def connected_to_admin(socket: siocore.Socket) -> None:
    socket.emit("welcome", socket.id, socket.handshake.auth)
