"""The servers that the protocols' own test suites ask for: fast heartbeats, an echo, two namespaces.

``patient_engine`` and ``patient_io`` ping as often, and wait long for the answer: a client that answers is never too
late for them, however busy the machine is.
"""

from __future__ import annotations

import siocore

engine = siocore.EngineServer(ping_interval=0.3, ping_timeout=0.2, cors_origins="*")
io = siocore.Server(ping_interval=0.3, ping_timeout=0.2, connect_timeout=1.0, cors_origins="*")
patient_engine = siocore.EngineServer(ping_interval=0.3, ping_timeout=30.0, cors_origins="*")
patient_io = siocore.Server(ping_interval=0.3, ping_timeout=30.0, cors_origins="*")


@engine.on("message")
def echo(session: siocore.Session, data: str | bytes) -> None:
    session.send(data)


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.emit("auth", socket.handshake.auth)


@io.on("message")
def message(socket: siocore.Socket, *args: object) -> None:
    socket.emit("message-back", *args)


@io.on("message-with-ack")
def message_with_ack(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args


@io.of("/custom").on("connection")
def connected_to_custom(socket: siocore.Socket) -> None:
    socket.emit("auth", socket.handshake.auth)
