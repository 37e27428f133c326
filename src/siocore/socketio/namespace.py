"""A namespace: its sockets, its rooms, and what the application registered for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from siocore._speedups import encode_packet
from siocore.codec.message import Outgoing, TextMessage
from siocore.codec.parser import Parser, write_packet
from siocore.driven import ServerEndpoint
from siocore.errors import LocalProtocolError
from siocore.events import ServerSideEventReceived
from siocore.overflow import CLOSE, DROP_NEW, policy_number
from siocore.socketio.acks import ServerSideAck
from siocore.socketio.adapter import Adapter, MemoryAdapter
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.listeners import NAMESPACE_LIFECYCLE, Handler, Listeners, Once
from siocore.socketio.names import check_event_name
from siocore.socketio.recovery import NamespaceRecovery
from siocore.socketio.recovery_memory import RecoveryBudget

if TYPE_CHECKING:
    from siocore.socketio.parent import ParentNamespace
    from siocore.socketio.socket import Socket

__all__ = ["AnyNamespace", "Namespace"]

_H = TypeVar("_H", bound=Handler)


class AnyNamespace(BroadcastOperator):
    """What a namespace and a :class:`ParentNamespace` have in common: handlers and middleware.

    They are only kept here; the application layer calls them.
    """

    __slots__ = ("_ack_ids", "hub", "registered")

    def __init__(self, hub: ServerEndpoint, registered: Listeners) -> None:
        super().__init__(self)
        self.hub = hub
        self.registered = registered
        self._ack_ids = 0

    # Handlers -------------------------------------------------------------------------------------------------

    def on(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler: ``@io.on("chat message")``. It is called with the socket and the event's arguments.

        ``async def`` or plain ``def``; a return value that is not None is the acknowledgement (a tuple acknowledges
        with several values). ``connection`` handlers get the socket, ``disconnecting`` and ``disconnect`` handlers
        the socket and the reason; those of ``new_namespace``, on ``io`` alone, get the namespace. In a cluster, those
        of ``adapter_down`` get the reason (a str), those of ``adapter_up`` a :class:`siocore.events.Outage`, or None at
        the start; both on ``io`` alone.
        """

        def register(handler: _H) -> _H:
            for each in self.registries():
                each.add(name, handler, False)
            return handler

        return register

    def prepend(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, in front of the handlers that are there already."""

        def register(handler: _H) -> _H:
            for each in self.registries():
                each.add(name, handler, True)
            return handler

        return register

    def once(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, for one event only, whichever socket's it is."""

        def register(handler: _H) -> _H:
            once = Once(handler, self, name)
            for each in self.registries():
                each.add(name, once, False)
            return handler

        return register

    def off(self, name: str | int | None = None, handler: Handler | None = None) -> None:
        """Take away a handler of this name (however often it is there), all of this name, or all of all names.

        Handlers that run are not stopped. Middleware and catch-all handlers stay.
        """
        for each in self.registries():
            each.remove(name, handler)

    def listeners(self, name: str | int) -> list[Handler]:
        """The handlers of this name, in the order of their calls."""
        return self.registered.handlers(name)

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event: ``@io.on_any``. It is called with the socket, the name, the arguments.

        Catch-all handlers are called before the others; what they return is no acknowledgement.
        """
        for each in self.registries():
            each.add_any(handler, False)
        return handler

    def prepend_any(self, handler: _H) -> _H:
        """:meth:`on_any`, in front of those that are there already."""
        for each in self.registries():
            each.add_any(handler, True)
        return handler

    def off_any(self, handler: Handler | None = None) -> None:
        """Take away a catch-all handler, or all of them."""
        for each in self.registries():
            each.remove_any(handler)

    def listeners_any(self) -> list[Handler]:
        """The catch-all handlers, in the order of their calls."""
        return list(self.registered.any)

    def use(self, middleware: _H) -> _H:
        """Register a middleware: ``@io.use``. It is called with the socket before this joins the namespace.

        It lets the socket in by returning, and keeps it out by raising ConnectionRefused. No handler runs before
        every middleware has returned.
        """
        for each in self.registries():
            each.add_middleware(middleware)
        return middleware

    def on_server_side(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler for what other servers send with ``server_side_emit``, called with the arguments.

        A return value that is not None is the answer, if one is wanted. No client can reach it.
        """

        def register(handler: _H) -> _H:
            for each in self.registries():
                each.add_server_side(name, handler)
            return handler

        return register

    # For the modules beside this one --------------------------------------------------------------------------

    def registries(self) -> list[Listeners]:
        """Wherever a handler must be entered that is registered here."""
        raise NotImplementedError

    def next_ack_id(self) -> int:
        ack_id = self._ack_ids
        self._ack_ids += 1
        return ack_id

    def targets(self) -> list[Namespace]:
        """The namespaces that a broadcast goes to."""
        raise NotImplementedError


class Namespace(AnyNamespace):
    """``io.of("/admin")``. Broadcasts to all its sockets with the same methods as ``io`` itself."""

    __slots__ = (
        "_max_attachments",
        "_when_full",
        "adapter",
        "dynamic",
        "name",
        "parent",
        "parser",
        "recovery",
        "sockets",
        "tapped",
        "uncommon",
        "users",
    )

    def __init__(
        self,
        name: str,
        hub: ServerEndpoint,
        adapter: Adapter | None = None,
        parent: ParentNamespace | None = None,
        budget: RecoveryBudget | None = None,
    ) -> None:
        # A child goes by its parent's, until it gets handlers of its own.
        super().__init__(hub, Listeners(NAMESPACE_LIFECYCLE) if parent is None else parent.registered)
        self.name = name
        #: The family that it belongs to, if any.
        self.parent = parent
        self.adapter = MemoryAdapter() if adapter is None else adapter
        #: Connected sockets by id.
        self.sockets: dict[str, Socket] = {}
        #: Whether a client's CONNECT has made it.
        self.dynamic = False
        #: How many sockets are in it or want to be, where that decides on its life: in children.
        self.users = 0
        #: The sockets that have handlers for what is sent to them, if there are any.
        self.tapped: set[Socket] | None = None
        self._max_attachments = hub.options.limits.max_attachments
        #: How packets are written, if not as the protocol says.
        self.parser = cast("Parser | None", hub.options.parser)
        self._when_full = policy_number(hub.options.slow_consumer)
        #: Whether packets are anything but text that is sent as long as there is room.
        self.uncommon = self.parser is not None or self._when_full != CLOSE
        #: None unless the server was made with ``recovery``.
        self.recovery: NamespaceRecovery | None = None
        if hub.options.recovery is not None and budget is not None:
            self.recovery = NamespaceRecovery(self, budget)
            self.adapter.start_recovery(self)
        self.adapter.open(self)

    def __repr__(self) -> str:
        return f"<Namespace {self.name!r}, {len(self.sockets)} sockets>"

    def server_side_emit(self, name: str | int, *args: object) -> None:
        """Send an event to the other servers of the cluster: to their handlers of :meth:`on_server_side`."""
        check_event_name(name)
        self.adapter.server_side_emit((name, *args), None)

    def server_side_emit_with_ack(self, name: str | int, *args: object, timeout: float = 5.0) -> ServerSideAck:
        """Send an event to the other servers and await their answers: a list in order of arrival.

        ``timeout`` is in seconds. Awaiting raises AckTimeout, with ``responses``, if some have not answered by then.
        """
        check_event_name(name)
        pending = ServerSideAck(self.hub, self.next_ack_id(), timeout)
        try:
            self.adapter.server_side_emit((name, *args), pending)
        except BaseException:
            pending.cancel()
            raise
        pending.begin()
        return pending

    # For adapters ---------------------------------------------------------------------------------------------

    def server_side_received(self, data: list[Any], ack: Callable[[object], None] | None = None) -> None:
        """Another server has emitted ``data``, a name and arguments: its handlers are called.

        ``ack``, if an answer is wanted, is called once with the first that a handler returns, or with None.
        """
        self.hub.push_event(ServerSideEventReceived(self, data[0], data[1:], ack))

    # For the modules beside this one --------------------------------------------------------------------------

    def registries(self) -> list[Listeners]:
        if self.parent is not None and self.registered is self.parent.registered:
            self.registered = self.registered.copy()
        return [self.registered]

    def next_ack_id(self) -> int:
        # A broadcast to a whole family has one id for all.
        return AnyNamespace.next_ack_id(self) if self.parent is None else self.parent.next_ack_id()

    def targets(self) -> list[Namespace]:
        return [self]

    @property
    def recovery_in_use(self) -> bool:
        """Whether any socket in it could come back."""
        return self.recovery is not None and self.recovery.in_use

    def is_taken(self, room: str) -> bool:
        """Whether the room belongs to a socket: one in the namespace, or one that may come back."""
        return room in self.sockets or (self.recovery is not None and self.adapter.holds_session(room))

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
        else:
            text, attachments = encode_packet(kind, self.name, data, ack_id)
            if attachments:
                self.check_attachments(attachments)
            message = TextMessage(text, attachments)
        message.when_full = self._when_full
        return message

    def allow_to_drop(self, event: Outgoing, policy: str | None, volatile: bool) -> None:
        """An event that nobody acknowledges may be delayed or dropped, as ``policy`` says, or the server's own."""
        number = self._when_full if policy is None else policy_number(policy)
        event.droppable = True
        event.when_full = CLOSE if number == DROP_NEW and not volatile else number

    def waits_in_buffer(self, policy: str | None) -> bool:
        """Whether volatile events may wait, as long as there is room."""
        return (self._when_full if policy is None else policy_number(policy)) == DROP_NEW

    def unused(self) -> None:
        """Perhaps nobody needs it any more: a namespace that clients call into being ends then."""
        if self.parent is not None:
            self.parent.child_unused(self)

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
        if self.tapped is not None:
            self.tapped.discard(socket)
