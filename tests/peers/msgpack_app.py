"""The server that npm's socket.io-client talks to with socket.io-msgpack-parser: ``siocore serve msgpack_app:io``."""

from __future__ import annotations

from datetime import UTC, datetime

import siocore

io = siocore.Server(parser="msgpack")
private = io.of("/private")


@private.use
def check_token(socket: siocore.Socket) -> None:
    if socket.handshake.auth.get("token") != "s3cret":
        raise siocore.ConnectionRefused(
            "not authorized", data={"since": datetime(2024, 1, 2, 3, 4, 5, 6_000, tzinfo=UTC)}
        )


@private.on("whoami")
def whoami(socket: siocore.Socket) -> dict[str, object]:
    return {"token": socket.handshake.auth["token"], "namespace": socket.namespace.name}


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.emit("welcome", socket.handshake.auth, socket.id)


@io.on("echo")
def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args


@io.on("echo event")
def echo_event(socket: siocore.Socket, *args: object) -> None:
    socket.emit("echo back", *args)


@io.on("types")
def types(socket: siocore.Socket, *args: object) -> list[str]:
    return [type(each).__name__ for each in args]


@io.on("ask me")
async def ask(socket: siocore.Socket, number: int) -> object:
    return await socket.emit_with_ack("question", number, b"\x01", timeout=5)


@io.on("join")
def join(socket: siocore.Socket, room: str) -> bool:
    socket.join(room)
    return True


@io.on("publish")
def publish(socket: siocore.Socket, room: str, *args: object) -> bool:
    io.to(room).emit("news", *args)
    return True


@io.on("leave me alone")
def disconnect(socket: siocore.Socket) -> None:
    socket.disconnect()
