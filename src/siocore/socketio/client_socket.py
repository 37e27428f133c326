"""A client's socket: one namespace of a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar

from siocore._speedups import encode_packet
from siocore.client_events import ClientEvent, ClientListenerFailed
from siocore.client_options import ClientOptions
from siocore.codec.message import Outgoing, TextMessage
from siocore.codec.parser import write_packet
from siocore.errors import BufferFull, LocalProtocolError
from siocore.link import ClientLink
from siocore.packets import SocketPacketType
from siocore.socketio.acks import PendingAck
from siocore.socketio.client_acks import ClientAck
from siocore.socketio.client_member import Member
from siocore.socketio.client_operator import ClientOperator
from siocore.socketio.client_outbox import Outbox, Postponed
from siocore.socketio.client_states import ClientSocketState
from siocore.socketio.inbox import Events, Inbox, Receiving
from siocore.socketio.listeners import Handler, Listeners
from siocore.socketio.listening import Listening
from siocore.socketio.names import check_event_name
from siocore.socketio.retries import RetryQueue
from siocore.waiting import READY, Sent

if TYPE_CHECKING:
    from siocore.socketio.manager import Manager

__all__ = ["ClientSocket"]

_H = TypeVar("_H", bound=Handler)

_EVENT = SocketPacketType.EVENT.value
_ACK = SocketPacketType.ACK.value

_CONNECTED = ClientSocketState.CONNECTED

#: Names that mean something that happens here, and no event of the server. "error" is one that servers like to use.
CLIENT_LIFECYCLE: Mapping[object, str | None] = {
    "connect": "connect",
    "connect_error": "connect_error",
    "disconnect": "disconnect",
}


class ClientSocket(Member):
    """One namespace of one server. Made by a manager; lives on when the connection is lost and made again."""

    __slots__ = (
        "__weakref__",
        "_acks",
        "_data",
        "_inbox",
        "_next_id",
        "_outbox",
        "_retries",
        "_uncommon",
        "options",
    )

    def __init__(self, manager: Manager, namespace: str, options: ClientOptions) -> None:
        super().__init__(manager, namespace, options.auth)
        #: Its own, and those of the manager it was made for.
        self.options = options
        self._data: SimpleNamespace | None = None
        self._next_id = 0
        self._acks: dict[int, ClientAck] = {}
        #: None unless something waits for a connection, or for room.
        self._outbox: Outbox | None = None
        self._inbox: Inbox | None = None
        retries = options.retries
        self._retries: RetryQueue | None = None if not retries else RetryQueue(self, retries)
        #: Whether events leave in another way than as text at once.
        self._uncommon = manager.parser is not None or self._retries is not None

    def __repr__(self) -> str:
        return f"<ClientSocket {self.namespace!r} {self.state.name}>"

    @property
    def data(self) -> SimpleNamespace:
        """A free place for the application's attributes."""
        if self._data is None:
            self._data = SimpleNamespace()
        return self._data

    @property
    def dropped(self) -> int:
        """Events that were dropped because nobody received them."""
        return 0 if self._inbox is None else self._inbox.dropped

    # Sending --------------------------------------------------------------------------------------------------

    def emit(self, name: str | int, *args: object) -> Sent | PendingAck:
        """Send an event to the server. ``bytes`` anywhere in the arguments travel as binary attachments.

        A plain call: it queues and returns. ``await`` what it returns to wait while much waits to be sent. Before the
        socket is connected, and while it is not, events are kept and sent when it is.

        With the option ``retries``, awaiting waits for the server's acknowledgement, and raises AckTimeout or
        Disconnected when no try has brought one.

        Raises LocalProtocolError if the event can't be encoded, BufferFull if too much waits already.
        """
        if self._uncommon:
            return self.tell(name, args, True)
        check_event_name(name)
        text, attachments = encode_packet(_EVENT, self.namespace, (name, *args), None)
        if attachments:
            self._check_attachments(attachments)
        link = self.link
        if self.state is not _CONNECTED or link is None or self._outbox is not None or link.expired:
            return self._postpone(TextMessage(text, attachments), None, (name, *args))
        if self.registered is not None:
            self._tell_outgoing((name, *args))
        link.send_text(text, attachments)
        return Sent(link)

    def send(self, *args: object) -> Sent | PendingAck:
        """Emit the event ``message``."""
        return self.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object, timeout: float | None = None) -> PendingAck:
        """Send an event and await the server's answer: ``answer = await socket.emit_with_ack("event", 1, timeout=5)``.

        The answer is None, one value, or a tuple if the server acknowledged with several. ``timeout`` is in seconds;
        without it, ``ack_timeout`` of the options counts. Awaiting raises AckTimeout, or Disconnected as soon as the
        connection is gone. Raises LocalProtocolError if the event can't be encoded or too many acknowledgements are
        pending (``Limits.max_pending_acks``), BufferFull if too much waits to be sent.
        """
        return self.ask(name, args, timeout, True)

    def acknowledge_event(self, event: ClientEvent, args: tuple[object, ...]) -> None:
        """Answer an event of the server. Does nothing when its connection is gone.

        Raises LocalProtocolError if the server does not wait for an answer or has got one, or if it can't be encoded;
        BufferFull if too much waits to be sent.
        """
        if event.ack_id is None:
            raise LocalProtocolError("the server does not wait for an acknowledgement of this event, or has got one")
        message = self.encode(_ACK, args, event.ack_id)
        generation = self._generation
        link = self.link
        if link is not None and generation is not None and generation.number == event.generation and self.connected:
            link.send_outgoing(message)
        event.ack_id = None

    @property
    def volatile(self) -> ClientOperator:
        """``socket.volatile.emit(...)``: dropped if it can't leave at once."""
        return ClientOperator(self).volatile

    def compress(self, compress: bool) -> ClientOperator:
        """``socket.compress(False).emit(...)``: whether what is sent may be compressed."""
        return ClientOperator(self).compress(compress)

    def timeout(self, seconds: float) -> ClientOperator:
        """``await socket.timeout(5).emit_with_ack(...)``: how long to wait for the answer."""
        return ClientOperator(self).timeout(seconds)

    # Handlers -------------------------------------------------------------------------------------------------

    def on(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler for the server's events of this name: ``@socket.on("chat message")``.

        ``async def`` or plain ``def``, called with the event's arguments; the first value that one of them returns is
        the acknowledgement. Three names mean what happens here: ``connect()``, ``connect_error(error)`` and
        ``disconnect(reason, detail)``. Handlers stay when the connection is lost and made again.
        """
        return Listening.on(self, name)

    def use(self, middleware: _H) -> _H:
        """Register a middleware for the server's events: ``@socket.use``, called with the name and the arguments.

        It lets the event through by returning; no handler sees an event before every middleware has returned. What it
        changes in the list of arguments is changed for the handlers. An exception stops the event: it is logged, and
        the ``on_error`` hooks are called.
        """
        return Listening.use(self, middleware)

    # Receiving ------------------------------------------------------------------------------------------------

    def receive(self, name: str | int | None = None, timeout: float | None = None) -> Receiving:
        """Await the next event (of this name) that no handler takes: ``event = await socket.receive("news")``.

        Events that came before are kept (``Limits.max_held`` bytes of them). Awaiting raises TimeoutError after
        ``timeout`` seconds, Disconnected when the socket is not active any more and no event is left.
        """
        return Receiving(self.inbox, name, timeout)

    def events(self) -> Events:
        """``async for event in socket.events()``: every event that no handler takes, in order.

        It goes on when the connection is lost and made again, and ends when the socket is not active any more. While it
        is open and much is kept, nothing more is read from the server.
        """
        return Events(self.inbox)

    def keep(self, event: ClientEvent) -> None:
        """No handler takes this event: it is for ``receive()`` and ``events()``."""
        self.inbox.add(event)

    @property
    def inbox(self) -> Inbox:
        """What no handler takes."""
        if self._inbox is None:
            self._inbox = Inbox(self, self.options.limits.max_held)
        return self._inbox

    # For the modules beside this one --------------------------------------------------------------------------

    def tell(
        self, name: str | int, args: tuple[object, ...], compress: bool, timeout: float | None = None
    ) -> Sent | PendingAck:
        """:meth:`emit` with everything that it may be told."""
        if self._retries is not None:
            return self.ask(name, args, timeout, compress)
        check_event_name(name)
        data = (name, *args)
        message = self.encode(_EVENT, data, None)
        message.compress = compress
        return self._transmit(message, None, data)

    def tell_volatile(self, name: str | int, args: tuple[object, ...], compress: bool) -> Sent:
        """An event that is dropped unless it can leave now. It is not tried again."""
        check_event_name(name)
        link = self.link
        data = (name, *args)
        message = self.encode(_EVENT, data, None)
        message.compress = compress
        if self.state is _CONNECTED and link is not None and self._outbox is None and link.writable:
            self._transmit(message, None, data)
        return Sent(self._drainable())

    def ask(self, name: str | int, args: tuple[object, ...], timeout: float | None, compress: bool) -> PendingAck:
        """:meth:`emit_with_ack` with everything that it may be told."""
        check_event_name(name)
        options = self.options
        if len(self._acks) >= options.limits.max_pending_acks:
            raise LocalProtocolError(
                f"{len(self._acks)} acknowledgements are pending for this socket: await them, or use a timeout"
            )
        if timeout is None:
            timeout = options.ack_timeout
        data = (name, *args)
        ack_id = self._next_id
        message = self.encode(_EVENT, data, ack_id)
        message.compress = compress
        self._next_id += 1
        if self._retries is not None:
            return self._retries.add(ack_id, message, data, timeout)
        pending = ClientAck(self, ack_id, timeout)
        self._acks[ack_id] = pending
        try:
            self._transmit(message, ack_id, data)
        except BufferFull:
            pending.cancel()
            raise
        return pending

    def encode(self, kind: int, data: tuple[object, ...], ack_id: int | None) -> Outgoing:
        """An event or acknowledgement, ready to be sent. Raises LocalProtocolError if it can't be."""
        parser = self.manager.parser
        if parser is not None:
            message = write_packet(parser, kind, self.namespace, data, ack_id)
            if isinstance(message, TextMessage):
                self._check_attachments(message.attachments)
            return message
        text, attachments = encode_packet(kind, self.namespace, data, ack_id)
        self._check_attachments(attachments)
        return TextMessage(text, attachments)

    def try_to_send(self, pending: ClientAck, message: Outgoing, data: tuple[object, ...]) -> None:
        """Send an event that is sent again if it is not acknowledged: now or not at all."""
        self._acks[pending.id] = pending
        link = self.link
        assert link is not None
        self._tell_outgoing(data)
        try:
            link.send_outgoing(message)
        except BufferFull:
            # As if it had been lost on the way.
            return

    def forget_ack(self, ack_id: int, *, withdraw: bool) -> None:
        """Nobody waits for this acknowledgement any more."""
        self._acks.pop(ack_id, None)
        if withdraw and self._outbox is not None:
            self._outbox.withdraw(ack_id)

    # From the namespace ---------------------------------------------------------------------------------------

    def entered(self) -> None:
        """Send what has waited, before the application's handlers of "connect" can send more."""
        self._flush()
        if self._retries is not None:
            self._retries.send_next()

    def left(self) -> None:
        """No acknowledgement can come of what was sent."""
        waiting: set[int] = set() if self._outbox is None else self._outbox.ack_ids()
        for ack_id, pending in tuple(self._acks.items()):
            if ack_id not in waiting:
                pending.lost()

    def deserted(self) -> None:
        """The manager has given up, or this socket wants nothing any more: nobody is to wait for what won't come."""
        for pending in tuple(self._acks.values()):
            pending.deserted()
        if self._retries is not None:
            self._retries.deserted()
        if self._outbox is not None:
            self._outbox.wake()
        if self._inbox is not None:
            self._inbox.wake()
        self.wake()

    def receive_ack(self, ack_id: int, args: list[object]) -> None:
        """The server acknowledges an event."""
        pending = self._acks.pop(ack_id, None) if self.state is _CONNECTED else None
        if pending is not None:
            pending.answered(args)

    def settle(self) -> None:
        """There is room for what has waited for it."""
        if self.state is _CONNECTED:
            self._flush()

    # Sending --------------------------------------------------------------------------------------------------

    def _transmit(self, message: Outgoing, ack_id: int | None, data: tuple[object, ...]) -> Sent:
        """Send an event, now or when that is possible. Raises BufferFull."""
        link = self.link
        if self.state is not _CONNECTED or link is None or self._outbox is not None or link.expired:
            return self._postpone(message, ack_id, data)
        self._tell_outgoing(data)
        link.send_outgoing(message)
        return Sent(link)

    def _postpone(self, message: Outgoing, ack_id: int | None, data: tuple[object, ...]) -> Sent:
        """Keep an event until it can be sent. Raises BufferFull."""
        if self.state is _CONNECTED and self._outbox is None and self._generation is not None:
            self.manager.expired(self._generation)
        outbox = self._outbox
        if outbox is None:
            limits = self.options.limits
            outbox = Outbox(self, limits.max_buffered, limits.high_water)
        outbox.add(Postponed(message, ack_id, data))
        self._outbox = outbox
        return Sent(outbox)

    def _flush(self) -> None:
        outbox = self._outbox
        link = self.link
        if outbox is None or link is None:
            return
        while (event := outbox.first()) is not None:
            if event.data is not None:
                data, event.data = event.data, None
                self._tell_outgoing(data)
            try:
                link.send_outgoing(event.message)
            except BufferFull:
                if link.drain_waiters is None:
                    link.drain_waiters = []
                link.drain_waiters.append(_Room(self))
                return
            outbox.sent_first()
        self._outbox = None
        outbox.wake()

    def _drainable(self) -> ClientLink | Outbox:
        if self._outbox is not None or self.link is None:
            return self._outbox or Outbox(self, 1, 1)
        return self.link

    def _tell_outgoing(self, data: tuple[object, ...]) -> None:
        """An event, its name and arguments, is about to be sent: call the handlers that want to know."""
        listeners = self.registered
        if listeners is not None:
            for handler in listeners.any_outgoing:
                try:
                    handler(*data)
                except Exception as error:
                    self.manager.hub.push_event(ClientListenerFailed(self, str(data[0]), error))

    def _check_attachments(self, attachments: list[bytes]) -> None:
        limit = self.options.limits.max_attachments
        if len(attachments) > limit:
            raise LocalProtocolError(
                f"{len(attachments)} binary attachments in one packet: servers refuse more than {limit} and disconnect"
            )

    def _listeners(self) -> Listeners:
        if self.registered is None:
            self.registered = Listeners(CLIENT_LIFECYCLE)
        return self.registered

    def _tap(self, tapped: bool) -> None:
        # There is nobody to tell: a client's events all begin at their socket.
        return


class _Room:
    """Waits on a link for room, in the way of those who await it."""

    __slots__ = ("_socket",)

    def __init__(self, socket: ClientSocket) -> None:
        self._socket = socket

    def wake(self) -> None:
        # Not at once: the link is at work.
        self._socket.manager.hub.settle_later(self._socket)

    def wait(self) -> Awaitable[None]:
        return READY
