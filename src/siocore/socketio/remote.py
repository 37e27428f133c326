"""Sockets of other servers, as ``fetch_sockets`` finds them, and how servers describe theirs to each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from siocore.errors import DecodeError
from siocore.overflow import Delayed
from siocore.request import Headers
from siocore.socketio.adapter import Selection
from siocore.socketio.broadcast import BroadcastOperator
from siocore.waiting import Ready

if TYPE_CHECKING:
    from siocore.socketio.acks import BroadcastAck
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = ["RemoteHandshake", "RemoteSocket", "describe_socket", "read_socket"]


class RemoteHandshake:
    """How the client of another server arrived: as :class:`siocore.socketio.socket.Handshake`."""

    __slots__ = ("address", "auth", "headers", "query", "secure", "url")

    def __init__(self, described: Mapping[str, Any]) -> None:
        headers = _mapping(described.get("headers"))
        # Of a header that came several times, Node.js may list the values.
        texts = {name: ", ".join(map(str, each)) if isinstance(each, list) else each for name, each in headers.items()}
        self.headers = Headers(
            [
                (name.encode("latin-1", "replace"), text.encode("latin-1", "replace"))
                for name, text in texts.items()
                if isinstance(text, str)
            ]
        )
        self.query: dict[str, Any] = dict(_mapping(described.get("query")))
        url = described.get("url")
        self.url = url if isinstance(url, str) else ""
        address = described.get("address")
        self.address = address if isinstance(address, str) else None
        self.secure = described.get("secure") is True
        self.auth: Mapping[str, Any] = _mapping(described.get("auth"))


class RemoteSocket:
    """A socket that is connected to another server. What it says was true when that server was asked."""

    __slots__ = ("_operator", "data", "handshake", "id", "namespace", "rooms")

    def __init__(self, namespace: Namespace, described: Mapping[str, Any]) -> None:
        self.namespace = namespace
        #: The socket's id.
        self.id: str = described["id"]
        self.handshake = RemoteHandshake(_mapping(described.get("handshake")))
        #: The rooms that it is in, its own id among them.
        self.rooms: frozenset[str] = frozenset(each for each in described["rooms"] if isinstance(each, str))
        #: What the other server keeps as ``socket.data``. Changing it changes nothing there.
        self.data = SimpleNamespace()
        vars(self.data).update(_mapping(described.get("data")))
        self._operator = BroadcastOperator(namespace, Selection(frozenset((self.id,))))

    def __repr__(self) -> str:
        return f"<RemoteSocket {self.id}>"

    def emit(self, name: str | int, *args: object) -> Ready | Delayed:
        """Send an event to this client."""
        return self._operator.emit(name, *args)

    def send(self, *args: object) -> Ready | Delayed:
        """Emit the event ``message``."""
        return self._operator.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object, timeout: float = 5.0) -> BroadcastAck:
        """Send an event and await the list of answers: one, or none if the client has gone.

        Raises AckTimeout after ``timeout`` seconds.
        """
        return self._operator.timeout(timeout).emit_with_ack(name, *args)

    def join(self, *rooms: str) -> None:
        """Put it into rooms."""
        self._operator.sockets_join(*rooms)

    def leave(self, *rooms: str) -> None:
        """Take it out of rooms."""
        self._operator.sockets_leave(*rooms)

    def disconnect(self, *, close: bool = False) -> None:
        """Disconnect it. With ``close`` its whole connection ends."""
        self._operator.disconnect_sockets(close=close)


def describe_socket(socket: Socket) -> dict[str, Any]:
    """What other servers are told of a socket, as Node.js' servers describe theirs."""
    handshake = socket.handshake
    return {
        "id": socket.id,
        "handshake": {
            "headers": dict(handshake.headers.items()),
            "address": handshake.address,
            "xdomain": "origin" in handshake.headers,
            "secure": handshake.secure,
            "url": handshake.url,
            "query": handshake.query,
            "auth": dict(handshake.auth),
        },
        "rooms": sorted(socket.rooms),
        "data": vars(socket.data),
    }


def read_socket(namespace: Namespace, described: object) -> RemoteSocket:
    """The socket that another server has described. Raises DecodeError if that can't be one."""
    if (
        not isinstance(described, dict)
        or not isinstance(described.get("id"), str)
        or not isinstance(described.get("rooms"), list)
    ):
        raise DecodeError("what describes a socket has an id and rooms")
    return RemoteSocket(namespace, described)


def _mapping(value: object) -> Mapping[str, Any]:
    return {key: each for key, each in value.items() if isinstance(key, str)} if isinstance(value, dict) else {}
