"""The servers that the foreign peers talk to: ``siocore serve server_app:io`` (Socket.IO) and ``server_app:engine``."""

from __future__ import annotations

import siocore
import siocore.asgi

io = siocore.Server()
#: For ASGI servers.
asgi = siocore.asgi.ASGIApp(io)
engine = siocore.EngineServer(ping_interval=0.3, ping_timeout=5.0)

#: Why each Engine.IO session ended, for the peers that ask.
reasons: dict[str, str] = {}
#: Whoever asked why before it had happened.
curious: dict[str, list[siocore.Session]] = {}


def check_token(socket: siocore.Socket) -> None:
    if socket.handshake.auth.get("token") != "s3cret":
        raise siocore.ConnectionRefused("not authorized", data={"retry": False, "codes": [1, 2]})


def echoing(namespace: siocore.Server | siocore.Namespace) -> None:
    @namespace.on("echo")
    async def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
        return args

    @namespace.on("echo event")
    async def echo_event(socket: siocore.Socket, *args: object) -> None:
        socket.emit("echo back", *args)


echoing(io)
echoing(io.of("/second"))
private = io.of("/private")
private.use(check_token)


@private.on("whoami")
def whoami(socket: siocore.Socket) -> dict[str, object]:
    return {"token": socket.handshake.auth["token"], "namespace": socket.namespace.name}


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.emit("welcome", socket.handshake.auth, socket.id)


@io.on("disconnect")
def disconnected(socket: siocore.Socket, reason: str) -> None:
    io.emit("ended", socket.id, reason)


@io.on("ask me")
async def ask(socket: siocore.Socket, number: int) -> object:
    return await socket.emit_with_ack("question", number, timeout=5)


@io.on("ask me briefly")
async def ask_briefly(socket: siocore.Socket) -> str:
    try:
        await socket.emit_with_ack("question", timeout=0.1)
    except siocore.AckTimeout as exc:
        return str(exc)
    return "answered"


@io.on("never answered")
async def never_answered(socket: siocore.Socket) -> None: ...


@io.on("raise")
async def fail(socket: siocore.Socket) -> None:
    raise ValueError("a handler that fails")


@io.on("join")
def join(socket: siocore.Socket, room: str) -> bool:
    socket.join(room)
    return True


@io.on("leave")
def leave(socket: siocore.Socket, room: str) -> bool:
    socket.leave(room)
    return True


@io.on("publish")
def publish(socket: siocore.Socket, whom: dict[str, list[str]], *args: object) -> bool:
    io.to(*whom.get("to", ())).except_(*whom.get("except", ())).emit("news", *args)
    return True


@io.on("publish others")
def publish_others(socket: siocore.Socket, *args: object) -> bool:
    socket.broadcast.emit("news", *args)
    return True


@io.on("poll")
async def poll(socket: siocore.Socket, room: str) -> dict[str, object]:
    try:
        return {"answers": await io.to(room).timeout(0.3).emit_with_ack("vote", "yes"), "complete": True}
    except siocore.AckTimeout as exc:
        return {"answers": exc.responses, "complete": False}


@io.on("disconnect me")
async def disconnect(socket: siocore.Socket, close: bool) -> None:
    socket.disconnect(close=close)


@io.on("volatile me")
async def volatile_me(socket: siocore.Socket, count: int) -> bool:
    for number in range(count):
        socket.volatile.emit("maybe", number)
    return True


@io.on("volatile echo")
async def volatile_echo(socket: siocore.Socket, number: int) -> None:
    socket.emit("maybe", f"echo {number}")


@io.on_any
def notice(socket: siocore.Socket, name: str, *args: object) -> None:
    if name == "nobody handles this":
        socket.emit("noticed", name, *args)


@engine.on("message")
async def engine_message(session: siocore.Session, data: str | bytes) -> None:
    if isinstance(data, bytes):
        session.send(data)
        return
    command, _, rest = data.partition(" ")
    if command == "echo":
        session.send(rest)
    elif command == "count":
        for number in range(int(rest)):
            session.send(f"count {number}")
    elif command == "reason":
        if rest in reasons:
            session.send(reasons[rest])
        else:
            curious.setdefault(rest, []).append(session)
    elif command == "close":
        session.send("farewell")
        session.close()


@engine.on("close")
async def engine_closed(session: siocore.Session, reason: str) -> None:
    reasons[session.sid] = reason
    for asker in curious.pop(session.sid, ()):
        asker.send(reason)
