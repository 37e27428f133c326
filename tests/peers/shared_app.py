"""A server that shares its sessions with others: where Redis is says the environment."""

from __future__ import annotations

import os
from typing import Any

import siocore
import siocore.redis
from siocore.asgi import ASGIApp

io = siocore.Server(sessions=siocore.redis.SharedSessions(os.environ["SHARED_URL"]))

asgi = ASGIApp(io)


@io.on("echo")
def echo(socket: siocore.Socket, value: Any) -> Any:
    return value


@io.on("count")
def count(socket: siocore.Socket, end: int) -> None:
    for number in range(end):
        socket.emit("number", number)


@io.on("leave me")
def leave(socket: siocore.Socket) -> None:
    socket.disconnect(close=True)
