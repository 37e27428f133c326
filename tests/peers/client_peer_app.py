"""Our own server, for our client: ``siocore serve client_peer_app:io``. Its handlers are those of js/servers.js."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import siocore

io = siocore.Server(
    ping_interval=0.1,
    ping_timeout=5.0,
    recovery=True,
    per_message_deflate=siocore.PerMessageDeflate(threshold=64),
)
NAMESPACES = [io.of(name) for name in ("/", "/second", "/third", "/private")]


@io.of("/private").use
def check_token(socket: siocore.Socket) -> None:
    if socket.handshake.auth.get("token") != "s3cret":
        raise siocore.ConnectionRefused("not authorized", data={"retry": False, "codes": [1, 2]})


def event(name: str) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        for namespace in NAMESPACES:
            namespace.on(name)(handler)
        return handler

    return register


@event("connection")
def connected(socket: siocore.Socket) -> None:
    socket.data.collected = []


@event("whoami")
def whoami(socket: siocore.Socket) -> dict[str, Any]:
    handshake = socket.handshake
    return {
        "id": socket.id,
        "auth": handshake.auth,
        "query": handshake.query,
        "header": handshake.headers.get("x-test"),
        "agent": handshake.headers.get("user-agent"),
        "transport": socket.transport,
        # One for all the namespaces of a connection.
        "engine": id(socket.link),
        "namespace": socket.namespace.name,
    }


@event("echo")
def echo(socket: siocore.Socket, *args: Any) -> Any:
    return args


@event("echo event")
def echo_event(socket: siocore.Socket, *args: Any) -> None:
    socket.emit("echo back", *args)


@event("count")
def count(socket: siocore.Socket, number: int) -> None:
    for each in range(number):
        socket.emit("number", each)


@event("collect")
def collect(socket: siocore.Socket, value: Any) -> None:
    socket.data.collected.append(value)


@event("collected")
def collected(socket: siocore.Socket) -> tuple[Any, ...]:
    found, socket.data.collected = socket.data.collected, []
    return (found,)


@event("sizes")
def sizes(socket: siocore.Socket) -> tuple[Any, ...]:
    found, socket.data.collected = socket.data.collected, []
    return ([len(value) for value in found],)


@event("ask me")
async def ask_me(socket: siocore.Socket, number: int) -> tuple[Any, ...]:
    answer = await socket.emit_with_ack("question", number, timeout=5)
    return (list(answer) if isinstance(answer, tuple) else [answer],)


@event("ask me briefly")
async def ask_me_briefly(socket: siocore.Socket) -> str:
    try:
        await socket.emit_with_ack("question", 0, timeout=0.03)
    except siocore.AckTimeout as error:
        return str(error)
    return "answered"


@event("say nothing")
def say_nothing(socket: siocore.Socket) -> None: ...


@event("message")
def message(socket: siocore.Socket, *args: Any) -> None:
    socket.send(*args)


@event("broadcast")
def broadcast(socket: siocore.Socket, *args: Any) -> None:
    socket.namespace.emit("news", *args)


@event("volatile me")
def volatile_me(socket: siocore.Socket, number: int) -> bool:
    for each in range(number):
        socket.volatile.emit("maybe", each)
    return True


@event("disconnect me")
def disconnect_me(socket: siocore.Socket, close: bool) -> None:
    socket.disconnect(close=close)
