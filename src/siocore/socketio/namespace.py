"""A namespace: its sockets, its rooms, and what the application registered for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from siocore._speedups import encode_packet
from siocore.codec.message import Outgoing, TextMessage
from siocore.codec.parser import Parser, write_packet
from siocore.driven import DrivenEndpoint
from siocore.errors import LocalProtocolError
from siocore.socketio.adapter import Adapter, MemoryAdapter
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.names import check_event_name
from siocore.socketio.recovery import NamespaceRecovery

if TYPE_CHECKING:
    from siocore.socketio.socket import Socket

__all__ = ["Handler", "Namespace"]

Handler = Callable[..., Any]
_H = TypeVar("_H", bound=Handler)

_LIFECYCLE = {
    "connection": "connection",
    "connect": "connection",
    "disconnecting": "disconnecting",
    "disconnect": "disconnect",
    "connection_error": "connection_error",
}


class Namespace(BroadcastOperator):
    """``io.of("/admin")``. Broadcasts to all its sockets with the same methods as ``io`` itself.

    Handlers and middleware are only kept here; the application layer calls them.
    """

    __slots__ = (
        "_ack_ids",
        "_max_attachments",
        "adapter",
        "any_handlers",
        "handlers",
        "hub",
        "lifecycle",
        "middlewares",
        "name",
        "parser",
        "recovery",
        "sockets",
    )

    def __init__(self, name: str, hub: DrivenEndpoint, adapter: Adapter | None = None) -> None:
        super().__init__(self)
        self.name = name
        self.hub = hub
        self.adapter = MemoryAdapter() if adapter is None else adapter
        #: Connected sockets by id.
        self.sockets: dict[str, Socket] = {}
        self.handlers: dict[str | int | float, tuple[Handler, ...]] = {}
        #: Kept apart from ``handlers``: a client can send an event named "connection", and must not reach these.
        self.lifecycle: dict[str, tuple[Handler, ...]] = {}
        self.any_handlers: tuple[Handler, ...] = ()
        self.middlewares: tuple[Handler, ...] = ()
        self._ack_ids = 0
        self._max_attachments = hub.options.limits.max_attachments
        #: How packets are written, if not as the protocol says.
        self.parser = cast("Parser | None", hub.options.parser)
        #: None unless the server was made with ``recovery``.
        self.recovery: NamespaceRecovery | None = None
        if hub.options.recovery is not None:
            self.recovery = NamespaceRecovery(self)

    def __repr__(self) -> str:
        return f"<Namespace {self.name!r}, {len(self.sockets)} sockets>"

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler: ``@io.on("chat message")``. It is called with the socket and the event's arguments.

        ``async def`` or plain ``def``; a return value that is not None is the acknowledgement (a tuple acknowledges
        with several values). ``connection`` handlers get the socket, ``disconnecting`` and ``disconnect`` handlers
        the socket and the reason.
        """

        def register(handler: _H) -> _H:
            if name in _LIFECYCLE:
                key = _LIFECYCLE[name]
                self.lifecycle[key] = (*self.lifecycle.get(key, ()), handler)
            else:
                self.handlers[name] = (*self.handlers.get(name, ()), handler)
            return handler

        return register

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event: ``@io.on_any``. It is called with the socket, the name, the arguments."""
        self.any_handlers = (*self.any_handlers, handler)
        return handler

    def use(self, middleware: _H) -> _H:
        """Register a middleware: ``@io.use``. It is called with the socket before this joins the namespace.

        It lets the socket in by returning, and keeps it out by raising ConnectionRefused. No handler runs before
        every middleware has returned.
        """
        self.middlewares = (*self.middlewares, middleware)
        return middleware

    @property
    def recovery_in_use(self) -> bool:
        """Whether any socket in it could come back."""
        return self.recovery is not None and self.recovery.in_use

    def is_taken(self, room: str) -> bool:
        """Whether the room belongs to a socket: one in the namespace, or one that may come back."""
        return room in self.sockets or (self.recovery is not None and self.adapter.holds_session(room))

    def next_ack_id(self) -> int:
        ack_id = self._ack_ids
        self._ack_ids += 1
        return ack_id

    def check_event(self, name: object) -> None:
        """Raise LocalProtocolError unless events may be sent under this name."""
        check_event_name(name)

    def check_attachments(self, attachments: list[bytes]) -> None:
        """Raise LocalProtocolError for more binary attachments than clients accept."""
        limit = self._max_attachments
        if len(attachments) > limit:
            raise LocalProtocolError(
                f"{len(attachments)} binary attachments in one packet: clients refuse more than {limit} and disconnect"
            )

    def encode(self, kind: int, data: object, ack_id: int | None) -> Outgoing:
        """A packet of this namespace, ready to be sent. Raises LocalProtocolError if it can't be."""
        message: Outgoing
        if self.parser is not None:
            message = write_packet(self.parser, kind, self.name, data, ack_id)
            if isinstance(message, TextMessage):
                self.check_attachments(message.attachments)
            return message
        text, attachments = encode_packet(kind, self.name, data, ack_id)
        if attachments:
            self.check_attachments(attachments)
        return TextMessage(text, attachments)

    def add(self, socket: Socket) -> None:
        """A socket was let in."""
        self.sockets[socket.id] = socket
        self.adapter.add(socket)
        if socket.joined:
            self.adapter.join(socket, tuple(socket.joined))

    def remove(self, socket: Socket) -> None:
        """A socket is gone."""
        self.adapter.remove(socket)
        self.sockets.pop(socket.id, None)
