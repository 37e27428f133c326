"""What an endpoint tells the application, in order, through ``next_event()``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from siocore.endpoint.exchange import Exchange
    from siocore.endpoint.handshakes import PendingHandshake
    from siocore.engineio.session import Session
    from siocore.overflow import SlowConsumer
    from siocore.request import Request
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.parent import NamespaceRequest
    from siocore.socketio.socket import Socket

__all__ = [
    "AdapterDown",
    "AdapterUp",
    "BufferFilled",
    "CallbackFailed",
    "ConnectRequested",
    "ConnectionErrored",
    "Event",
    "EventReceived",
    "GarbageReceived",
    "HandshakeRequested",
    "HttpRequestReceived",
    "ListenerFailed",
    "MessageReceived",
    "NamespaceCreated",
    "NamespaceRequested",
    "Outage",
    "ServerSideEventReceived",
    "SessionClosed",
    "SessionOpened",
    "SharingLost",
    "SharingRestored",
    "SocketDisconnected",
]


@dataclass(slots=True)
class SessionOpened:
    """Engine.IO: a client completed the handshake."""

    session: Session


@dataclass(slots=True)
class MessageReceived:
    """Engine.IO: a text (str) or binary (bytes) message."""

    session: Session
    data: str | bytes


@dataclass(slots=True)
class BufferFilled:
    """As much waits for a client as may (``Limits.max_buffered``). ``target`` is a socket, or a session of Engine.IO.

    Told once, until less than ``Limits.high_water`` waits again.
    """

    target: Socket | Session
    info: SlowConsumer


@dataclass(slots=True)
class SessionClosed:
    """Engine.IO: the session is over. ``reason`` is one of the documented close reasons, ``detail`` a sentence."""

    session: Session
    reason: str
    detail: str


@dataclass(slots=True)
class ConnectRequested:
    """Socket.IO: a client wants to join a namespace. Answer with ``socket.accept()`` or ``socket.refuse()``."""

    socket: Socket


class EventReceived:
    """Socket.IO: an event. With an ``ack_id``, ``socket.ack(ack_id, ...)`` acknowledges it, once."""

    # Written out, where the others are dataclasses: there is one of these for every message.
    __slots__ = ("ack_id", "args", "name", "socket")

    def __init__(self, socket: Socket, name: str | int | float, args: list[object], ack_id: int | None) -> None:
        self.socket = socket
        self.name = name
        self.args = args
        self.ack_id = ack_id

    def __repr__(self) -> str:
        return f"EventReceived(socket={self.socket!r}, name={self.name!r}, args={self.args!r}, ack_id={self.ack_id!r})"


@dataclass(slots=True)
class HandshakeRequested:
    """Engine.IO: a client asks for a session, and an option says that the application decides.

    Answer with ``handshake.accept()`` or ``handshake.refuse()``.
    """

    handshake: PendingHandshake


@dataclass(slots=True)
class CallbackFailed:
    """A plain function among the options raised, or what it returned can't be used. ``name`` is the option's."""

    name: str
    error: Exception
    request: Request


@dataclass(slots=True)
class SocketDisconnected:
    """Socket.IO: the socket is gone. Until this is handled, ``socket.rooms`` still tells where it was."""

    socket: Socket
    reason: str
    detail: str


@dataclass(slots=True)
class NamespaceCreated:
    """Socket.IO: there is a new namespace. If a client has asked for it, its ConnectRequested comes later."""

    namespace: Namespace


@dataclass(slots=True)
class NamespaceRequested:
    """Socket.IO: a client asks for a namespace that a predicate decides on. Answer with ``request.answer(...)``."""

    request: NamespaceRequest


@dataclass(slots=True)
class ServerSideEventReceived:
    """Socket.IO: another server of the cluster has emitted an event. ``ack``, if there is one, wants the answer."""

    namespace: Namespace
    name: str | int
    args: list[object]
    ack: Callable[[object], None] | None


class Outage(NamedTuple):
    """The time in which other servers could not be reached."""

    #: Seconds.
    duration: float
    #: Messages of this server that did not reach the others, or may not have.
    dropped: int
    #: What this server may have missed of the others: a sentence, empty if it has missed nothing.
    gap: str


@dataclass(slots=True)
class AdapterDown:
    """Socket.IO: the other servers of the cluster can't be reached. Clients of this one are served all the same."""

    reason: str


@dataclass(slots=True)
class AdapterUp:
    """Socket.IO: the other servers of the cluster can be reached: from now on (None), or again."""

    outage: Outage | None


@dataclass(slots=True)
class SharingLost:
    """Sessions are not shared with other servers for now: requests are answered for those alone that are here."""

    reason: str


@dataclass(slots=True)
class SharingRestored:
    """Sessions are shared again."""


@dataclass(slots=True)
class GarbageReceived:
    """Something arrived from the broker that no server of the cluster would send. It was dropped.

    Told once for each kind of fault.
    """

    channel: str
    reason: str


@dataclass(slots=True)
class ListenerFailed:
    """Socket.IO: a handler of outgoing events has raised. The event was sent all the same."""

    socket: Socket
    name: str | int
    error: Exception


@dataclass(slots=True)
class HttpRequestReceived:
    """HTTP: a request for a path that is not the endpoint's. ``serve`` answers ``exchange``."""

    exchange: Exchange
    serve: Callable[[Exchange], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class ConnectionErrored:
    """A request was refused before it reached a session (Engine.IO error codes 0 to 5).

    ``context`` tells more: ``name``, ``transport``, ``sid``, ``method``, ``protocol`` or ``message``, and ``error`` if
    the application's code raised one. ``hint`` is what was wrong and what to change. ``sid`` is a secret: don't log it.
    """

    request: Request
    code: int
    message: str
    context: dict[str, object]
    hint: str = ""


Event = (
    SessionOpened
    | MessageReceived
    | BufferFilled
    | SessionClosed
    | ConnectRequested
    | EventReceived
    | SocketDisconnected
    | NamespaceCreated
    | NamespaceRequested
    | ServerSideEventReceived
    | AdapterDown
    | AdapterUp
    | GarbageReceived
    | SharingLost
    | SharingRestored
    | ListenerFailed
    | HttpRequestReceived
    | ConnectionErrored
    | HandshakeRequested
    | CallbackFailed
)
