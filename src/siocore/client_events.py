"""What a client's endpoint tells the application, in order, through ``next_event()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siocore.engineio.client_session import ClientSession
    from siocore.errors import ConnectError
    from siocore.socketio.client_socket import ClientSocket
    from siocore.socketio.manager import Manager

__all__ = [
    "AuthRequested",
    "ClientEvent",
    "ClientListenerFailed",
    "ClientMessageReceived",
    "ClientSessionClosed",
    "ClientSessionOpened",
    "ClientSessionUpgraded",
    "ManagerReported",
    "SocketClosed",
    "SocketConnected",
    "SocketRefused",
]


class ClientEvent:
    """Socket.IO: an event of the server; what ``socket.events()`` and ``socket.receive()`` return."""

    # Written out, where the others are dataclasses: there is one of these for every message.
    __slots__ = ("ack_id", "args", "generation", "name", "socket")

    def __init__(
        self, socket: ClientSocket, name: str | int | float, args: list[Any], ack_id: int | None, generation: int = 0
    ) -> None:
        self.socket = socket
        self.name = name
        self.args = args
        #: Not None: the server waits for an acknowledgement, see :meth:`acknowledge`.
        self.ack_id = ack_id
        #: Which connection it came by: the next one knows nothing of its acknowledgement.
        self.generation = generation

    def acknowledge(self, *args: object) -> None:
        """Answer the server, once. Raises LocalProtocolError if it does not wait for an answer, or has got one."""
        self.socket.acknowledge_event(self, args)

    def __repr__(self) -> str:
        return f"ClientEvent(name={self.name!r}, args={self.args!r}, ack_id={self.ack_id!r})"


@dataclass(slots=True)
class AuthRequested:
    """Socket.IO: CONNECT is due, and ``auth`` is a function. Answer with ``socket.authenticate(generation, value)``,
    or ``socket.authentication_failed(generation, error)``.
    """

    socket: ClientSocket
    #: Which connection it is for: an answer for one that is gone is ignored.
    generation: int


@dataclass(slots=True)
class SocketConnected:
    """Socket.IO: the server has let the socket in ("connect")."""

    socket: ClientSocket


@dataclass(slots=True)
class SocketRefused:
    """Socket.IO: the socket could not connect ("connect_error"). ``socket.active`` says whether it is tried again."""

    socket: ClientSocket
    error: ConnectError


@dataclass(slots=True)
class SocketClosed:
    """Socket.IO: the socket was connected and is not any more ("disconnect")."""

    socket: ClientSocket
    reason: str
    detail: str


@dataclass(slots=True)
class ManagerReported:
    """Socket.IO: something about the connection itself. ``name`` is JavaScript's: "open", "error", "close", "ping",
    "upgrade", "reconnect_attempt", "reconnect", "reconnect_error" or "reconnect_failed".
    """

    manager: Manager
    name: str
    args: tuple[object, ...]


@dataclass(slots=True)
class ClientListenerFailed:
    """Socket.IO: a plain function that the socket's own calls run (outgoing catch-all) raised."""

    socket: ClientSocket
    name: str
    error: Exception


@dataclass(slots=True)
class ClientSessionOpened:
    """Engine.IO: the server has answered the handshake."""

    session: ClientSession


@dataclass(slots=True)
class ClientSessionUpgraded:
    """Engine.IO: the session has gone over to WebSocket."""

    session: ClientSession


@dataclass(slots=True)
class ClientMessageReceived:
    """Engine.IO: a text (str) or binary (bytes) message."""

    session: ClientSession
    data: str | bytes


@dataclass(slots=True)
class ClientSessionClosed:
    """Engine.IO: the session is over, or could not be opened (then ``error`` says why)."""

    session: ClientSession
    reason: str
    detail: str
    error: ConnectError | None = None
