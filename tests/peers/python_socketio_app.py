"""python-socketio's server, with the handlers of js/servers.js: ``uvicorn python_socketio_app:app``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import socketio  # type: ignore[import-untyped]

io = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(io)
NAMESPACES = ("/", "/second", "/third", "/private")
collected: dict[str, list[Any]] = {}
gone: dict[str, asyncio.Event] = {}


def event(name: str) -> Callable[[Any], Any]:
    """Registers ``handler(namespace, sid, *args)`` in every namespace."""

    def register(handler: Any) -> Any:
        for namespace in NAMESPACES:

            async def handle(sid: str, *args: Any, namespace: str = namespace) -> Any:
                return await handler(namespace, sid, *args)

            io.on(name, handle, namespace=namespace)
        return handler

    return register


@event("connect")
async def connected(namespace: str, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
    if namespace == "/private" and (auth or {}).get("token") != "s3cret":
        raise socketio.exceptions.ConnectionRefusedError("not authorized", {"retry": False, "codes": [1, 2]})
    collected[sid] = []
    gone[sid] = asyncio.Event()
    await io.save_session(sid, {"auth": auth}, namespace=namespace)


@event("disconnect")
async def disconnected(namespace: str, sid: str, *reason: str) -> None:
    collected.pop(sid, None)
    gone.pop(sid).set()


@event("whoami")
async def whoami(namespace: str, sid: str) -> dict[str, Any]:
    environ = io.get_environ(sid, namespace)
    return {
        "id": sid,
        "auth": (await io.get_session(sid, namespace))["auth"],
        "query": dict(pair.split("=", 1) for pair in environ["QUERY_STRING"].split("&")),
        "header": environ.get("HTTP_X_TEST"),
        "agent": environ.get("HTTP_USER_AGENT"),
        "transport": io.transport(sid, namespace),
        "engine": io.manager.eio_sid_from_sid(sid, namespace),
        "namespace": namespace,
    }


@event("echo")
async def echo(namespace: str, sid: str, *args: Any) -> Any:
    return args


@event("echo event")
async def echo_event(namespace: str, sid: str, *args: Any) -> None:
    await io.emit("echo back", args, to=sid, namespace=namespace)


@event("count")
async def count(namespace: str, sid: str, number: int) -> None:
    for each in range(number):
        await io.emit("number", each, to=sid, namespace=namespace)


@event("collect")
async def collect(namespace: str, sid: str, value: Any) -> None:
    collected[sid].append(value)


@event("collected")
async def give_collected(namespace: str, sid: str) -> tuple[Any, ...]:
    found, collected[sid] = collected[sid], []
    return (found,)


@event("sizes")
async def sizes(namespace: str, sid: str) -> tuple[Any, ...]:
    found, collected[sid] = collected[sid], []
    return ([len(value) for value in found],)


@event("ask me")
async def ask_me(namespace: str, sid: str, number: int) -> tuple[Any, ...]:
    answer = await io.call("question", number, to=sid, namespace=namespace, timeout=5)
    return (list(answer) if isinstance(answer, tuple) else [answer],)


@event("say nothing")
async def say_nothing(namespace: str, sid: str) -> None:
    # An acknowledgement follows, whatever a handler returns.
    await gone[sid].wait()


@event("message")
async def message(namespace: str, sid: str, *args: Any) -> None:
    await io.send(args, to=sid, namespace=namespace)


@event("broadcast")
async def broadcast(namespace: str, sid: str, *args: Any) -> None:
    await io.emit("news", args, namespace=namespace)


@event("connections")
async def connections(namespace: str, sid: str) -> int:
    return len(io.eio.sockets)


@event("disconnect me")
async def disconnect_me(namespace: str, sid: str, close: bool) -> None:
    await io.disconnect(sid, namespace=namespace)
