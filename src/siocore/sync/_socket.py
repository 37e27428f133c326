"""A client's socket for blocking code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from siocore.client_events import ClientEvent
from siocore.socketio.client_socket import ClientSocket
from siocore.sync._handlers import Handler, unwrapped
from siocore.waiting import Sent

if TYPE_CHECKING:
    from siocore.sync._client import Client
    from siocore.sync._manager import Manager

__all__ = ["Event", "Operator", "Socket"]

_H = TypeVar("_H", bound=Callable[..., Any])


class Event:
    """An event of the server; what ``receive()`` and ``events()`` return."""

    __slots__ = ("_event", "args", "name", "socket")

    def __init__(self, socket: Socket, event: ClientEvent) -> None:
        self._event = event
        self.socket = socket
        self.name = event.name
        self.args = event.args

    @property
    def ack_id(self) -> int | None:
        """Not None: the server waits for :meth:`acknowledge`."""
        return self._event.ack_id

    def acknowledge(self, *args: object) -> None:
        """Answer the server, once. Raises LocalProtocolError if it does not wait for an answer, or has got one."""
        self.socket.client.call(self._event.acknowledge, *args)

    def __repr__(self) -> str:
        return f"Event(name={self.name!r}, args={self.args!r}, ack_id={self.ack_id!r})"


class Operator:
    """How to send one event: ``socket.volatile.compress(False).emit(...)``. Immutable."""

    __slots__ = ("_operator", "_socket")

    def __init__(self, socket: Socket, operator: Any) -> None:
        self._socket = socket
        self._operator = operator

    @property
    def volatile(self) -> Operator:
        """Drop what can't leave at once."""
        return Operator(self._socket, self._operator.volatile)

    def compress(self, compress: bool) -> Operator:
        """Whether what is sent may be compressed."""
        return Operator(self._socket, self._operator.compress(compress))

    def timeout(self, seconds: float) -> Operator:
        """How long ``emit_with_ack`` waits."""
        return Operator(self._socket, self._operator.timeout(seconds))

    def emit(self, name: str | int, *args: object) -> None:
        """:meth:`Socket.emit`, in this way."""
        self._socket.tell(self._operator.emit, name, *args)

    def send(self, *args: object) -> None:
        """Emit the event ``message``."""
        self._socket.tell(self._operator.send, *args)

    def emit_with_ack(self, name: str | int, *args: object) -> Any:
        """:meth:`Socket.emit_with_ack`, in this way."""
        return self._socket.client.run(lambda: self._operator.emit_with_ack(name, *args))


class Socket:
    """One namespace of one server, for the thread that opened it.

    Heartbeats are answered, events arrive and handlers run while a call blocks: ``emit_with_ack``, ``receive``,
    ``events``, ``wait`` or ``connect``. In a ``with`` block it is closed at the end.
    """

    def __init__(self, client: Client, socket: ClientSocket, owns_client: bool) -> None:
        #: What keeps this socket.
        self.client = client
        self._socket = socket
        self._owns_client = owns_client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<siocore.sync.Socket {self.namespace!r} {self._socket.state.name}>"

    # What it is -----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The server's name for this connection; None while there is none."""
        return self._socket.id

    @property
    def namespace(self) -> str:
        return self._socket.namespace

    @property
    def connected(self) -> bool:
        """Whether the server had let the socket in when the latest call looked."""
        return self._socket.connected

    @property
    def disconnected(self) -> bool:
        return self._socket.disconnected

    @property
    def active(self) -> bool:
        """Whether the socket is connected or tries to be: soon, or after a connection that is lost."""
        return self._socket.active

    @property
    def recovered(self) -> bool:
        """Whether the connection goes on where the one before ended."""
        return self._socket.recovered

    @property
    def data(self) -> SimpleNamespace:
        """A free place for the application's attributes."""
        return self._socket.data

    @property
    def dropped(self) -> int:
        """Events that were dropped because nobody received them."""
        return self._socket.dropped

    @property
    def manager(self) -> Manager:
        """The connection, which sockets for other namespaces can share: ``socket.manager.socket("/admin")``."""
        return self.client.manager_of(self._socket.manager)

    # Connecting -----------------------------------------------------------------------------------------------

    def connect(self, *, retry: bool = False) -> None:
        """Connect, and block until the socket is connected.

        Raises ConnectError when the first attempt fails; with ``retry`` only when no other one follows, as the options
        for reconnection say, or when the server refuses.
        """
        self.client.run(lambda: self._socket.connect(retry=retry))

    def disconnect(self) -> None:
        """Leave the namespace. What was sent before still leaves. Nothing connects it again but ``connect()``."""
        self.client.call(self._socket.disconnect)

    def close(self) -> None:
        """Disconnect; if ``siocore.sync.connect`` made this socket, end everything that was opened for it."""
        if self._owns_client:
            self.client.close()
        elif not self.client.closed:
            self.disconnect()

    # Sending --------------------------------------------------------------------------------------------------

    def emit(self, name: str | int, *args: object) -> None:
        """Send an event. ``bytes`` anywhere in the arguments travel as binary attachments.

        What the network takes leaves at once. Blocks only while the server is connected, and so slow that more than
        ``Limits.high_water`` bytes wait, and never within a handler. Without a connection events are kept and sent
        when there is one.

        Raises LocalProtocolError if the event can't be encoded, BufferFull if too much waits already.
        """
        self.tell(self._socket.emit, name, *args)

    def send(self, *args: object) -> None:
        """Emit the event ``message``."""
        self.tell(self._socket.send, *args)

    def emit_with_ack(self, name: str | int, *args: object, timeout: float | None = None) -> Any:
        """Send an event, block until the server acknowledges it, and return the answer.

        It is None, one value, or a tuple if the server acknowledged with several. Raises AckTimeout after ``timeout``
        seconds (by default ``ack_timeout`` of the options), Disconnected as soon as the connection is gone, and what
        :meth:`emit` raises.
        """
        return self.client.run(lambda: self._socket.emit_with_ack(name, *args, timeout=timeout))

    @property
    def volatile(self) -> Operator:
        """``socket.volatile.emit(...)``: dropped if it can't leave at once."""
        return Operator(self, self._socket.volatile)

    def compress(self, compress: bool) -> Operator:
        """``socket.compress(False).emit(...)``: whether what is sent may be compressed."""
        return Operator(self, self._socket.compress(compress))

    def timeout(self, seconds: float) -> Operator:
        """``socket.timeout(5).emit_with_ack(...)``: how long to wait for the answer."""
        return Operator(self, self._socket.timeout(seconds))

    def tell(self, emit: Callable[..., object], *args: object) -> None:
        """Emit, and wait while much waits to be sent."""
        client = self.client
        client.call(emit, *args)
        socket = self._socket
        link = socket.link
        if socket.connected and link is not None and link.buffered > link.high_water and not client.in_handler:
            client.run(lambda: Sent(link))

    # Receiving ------------------------------------------------------------------------------------------------

    def receive(self, name: str | int | None = None, timeout: float | None = None) -> Event:
        """Block until an event (of this name) arrives that no handler takes.

        Events that came before are kept (``Limits.max_held`` bytes of them). Raises TimeoutError after ``timeout``
        seconds, Disconnected when the socket is not active any more and no event is left.
        """
        return Event(self, self.client.run(lambda: self._socket.receive(name, timeout)))

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """``for event in socket.events()``: every event that no handler takes, in order.

        It goes on when the connection is lost and made again, and ends when the socket is not active any more, or when
        nothing has arrived for ``timeout`` seconds. While the loop is open and much is kept, nothing more is read.
        """
        events = aiter(self._socket.events())
        while True:
            try:
                event = self.client.run(lambda: anext(events), timeout)
            except (StopAsyncIteration, TimeoutError):
                return
            yield Event(self, event)

    def wait(self, seconds: float | None = None) -> None:
        """Run handlers and answer heartbeats for so many seconds, or until the socket is not active any more."""
        self.client.run_until(lambda: not self._socket.active, seconds)

    # Handlers -------------------------------------------------------------------------------------------------

    def on(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler, a plain function: ``@socket.on("news")``, called with the event's arguments.

        It runs while a call blocks; the first value that is returned and not None is the acknowledgement. ``connect``
        handlers get nothing, ``connect_error`` handlers the error, ``disconnect`` handlers the reason and a sentence.
        Raises LocalProtocolError for an ``async def``.
        """
        return self._registering(self._socket.on(name))

    def prepend(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, in front of the handlers that are there already."""
        return self._registering(self._socket.prepend(name))

    def once(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, for one event only."""
        return self._registering(self._socket.once(name))

    def off(self, name: str | int | None = None, handler: Callable[..., Any] | None = None) -> None:
        """Take away a handler of this name, all of this name, or all of all names."""
        self._socket.off(name, None if handler is None else self._wrapped(handler))

    def listeners(self, name: str | int) -> list[Callable[..., Any]]:
        """The handlers of this name."""
        return unwrapped(self._socket.listeners(name))

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event: ``@socket.on_any``, called with name and arguments.

        It watches: events that no other handler takes are for ``receive()`` and ``events()`` all the same.
        """
        return self._registering(self._socket.on_any)(handler)

    def prepend_any(self, handler: _H) -> _H:
        """:meth:`on_any`, in front of those that are there already."""
        return self._registering(self._socket.prepend_any)(handler)

    def off_any(self, handler: Callable[..., Any] | None = None) -> None:
        """Take away a catch-all handler, or all of them."""
        self._socket.off_any(None if handler is None else self._wrapped(handler))

    def listeners_any(self) -> list[Callable[..., Any]]:
        """The catch-all handlers."""
        return unwrapped(self._socket.listeners_any())

    def on_any_outgoing(self, handler: _H) -> _H:
        """Register a handler for every event that is sent, called with name and arguments before it leaves."""
        return self._registering(self._socket.on_any_outgoing)(handler)

    def prepend_any_outgoing(self, handler: _H) -> _H:
        """:meth:`on_any_outgoing`, in front of those that are there already."""
        return self._registering(self._socket.prepend_any_outgoing)(handler)

    def off_any_outgoing(self, handler: Callable[..., Any] | None = None) -> None:
        """Take away a handler of what is sent, or all of them."""
        self._socket.off_any_outgoing(None if handler is None else self._wrapped(handler))

    def listeners_any_outgoing(self) -> list[Callable[..., Any]]:
        """The handlers of what is sent."""
        return unwrapped(self._socket.listeners_any_outgoing())

    def use(self, middleware: _H) -> _H:
        """Register a middleware for incoming events, called with the name and the list of arguments.

        It lets the event through by returning. An exception stops the event, and goes to the ``on_error`` hooks.
        """
        return self._registering(self._socket.use)(middleware)

    def _registering(self, register: Callable[[Any], Any]) -> Callable[[_H], _H]:
        def registered(handler: _H) -> _H:
            register(self._wrapped(handler))
            return handler

        return registered

    def _wrapped(self, handler: Callable[..., Any]) -> Handler:
        return self.client.wrapped(handler)
