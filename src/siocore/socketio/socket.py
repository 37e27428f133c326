"""A socket: one client in one namespace. This is the object that handlers receive."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import IntEnum, auto
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from siocore._speedups import encode_packet
from siocore.errors import LocalProtocolError
from siocore.events import ListenerFailed
from siocore.link import Link
from siocore.overflow import Delayed, policy_number, taken
from siocore.packets import SocketPacketType
from siocore.request import Headers
from siocore.socketio.acks import PendingAck, SocketAck
from siocore.socketio.adapter import Selection
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.listening import Listening
from siocore.socketio.names import check_event_name
from siocore.waiting import Sent

if TYPE_CHECKING:
    from siocore.socketio.client import Client
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.recovery import SocketRecovery

__all__ = ["Handshake", "Socket", "SocketOperator", "SocketState"]

_EVENT = SocketPacketType.EVENT.value
_ACK = SocketPacketType.ACK.value


class SocketState(IntEnum):
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTED = auto()


_CONNECTED = SocketState.CONNECTED


class Handshake:
    """How the client arrived: the HTTP request of its Engine.IO handshake, and the auth value of its CONNECT."""

    __slots__ = ("_link", "auth")

    def __init__(self, link: Link, auth: Mapping[str, Any]) -> None:
        self._link = link
        #: What the client passed as ``auth``: a dict, empty if it passed nothing. Untrusted.
        self.auth = auth

    @property
    def headers(self) -> Headers:
        """The request headers; names are case-insensitive."""
        return self._link.request.headers

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated one, the last value."""
        return {name: values[-1] for name, values in self._link.request.query.items()}

    @property
    def url(self) -> str:
        """The request target (path and query)."""
        return self._link.request.target

    @property
    def address(self) -> str | None:
        """The peer's IP address (or a proxy's), without port; None over a Unix socket."""
        return self._link.request.address

    @property
    def secure(self) -> bool:
        """Whether the connection to us is TLS."""
        return self._link.request.secure


class Socket(Listening):
    """One client in one namespace. Made by the endpoint, handed to middleware and handlers."""

    __slots__ = (
        "_acks",
        "_data",
        "_rooms",
        "_snapshot",
        "client",
        "handshake",
        "id",
        "link",
        "namespace",
        "recovery",
        "state",
    )

    def __init__(self, socket_id: str, namespace: Namespace, client: Client, auth: Mapping[str, Any]) -> None:
        self.registered = None
        #: The socket's id: 20 characters that clients may know, unrelated to the session's secret id. Clients of
        #: Engine.IO 3 make it out of that very id.
        self.id = socket_id
        self.namespace = namespace
        self.handshake = Handshake(client.link, auth)
        self.link = client.link
        self.state = SocketState.CONNECTING
        self.client = client
        self._acks: dict[int, PendingAck] | None = None
        self._data: SimpleNamespace | None = None
        self._rooms: set[str] | None = None
        self._snapshot: frozenset[str] | None = None
        #: None unless its client can come back after the connection has ended.
        self.recovery: SocketRecovery | None = None

    def __repr__(self) -> str:
        # The id of a client of Engine.IO 3 is the secret of its session, and representations end up in logs.
        who = "of Engine.IO 3" if self.link.revision == 3 else self.id
        return f"<Socket {who} in {self.namespace.name!r} {self.state.name}>"

    @property
    def connected(self) -> bool:
        return self.state is SocketState.CONNECTED

    @property
    def connecting(self) -> bool:
        """Whether the client waits to be let in."""
        return self.state is SocketState.CONNECTING

    @property
    def recovered(self) -> bool:
        """Whether this is a client that has come back, with the ``id``, the ``rooms`` and the ``data`` that it had."""
        return self.recovery is not None and self.recovery.recovered

    @property
    def data(self) -> SimpleNamespace:
        """A free place for the application's attributes (``socket.data.user = ...``)."""
        if self._data is None:
            self._data = SimpleNamespace()
        return self._data

    @property
    def rooms(self) -> Set[str]:
        """The rooms that this socket is in, its own id among them.

        While ``disconnecting`` handlers start, these are the rooms that it was in; afterwards there are none.
        """
        if self._snapshot is not None:
            return self._snapshot
        if self.state is SocketState.DISCONNECTED:
            return frozenset()
        return frozenset((self.id, *self.joined))

    @property
    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``."""
        return self.link.transport

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait to be sent to this client, in all its namespaces."""
        return self.link.buffered

    @property
    def dropped_events(self) -> int:
        """Events that were dropped because this client was too slow for them, in all its namespaces."""
        return self.link.dropped

    # Sending --------------------------------------------------------------------------------------------------

    def emit(self, name: str | int, *args: object) -> Sent | Delayed:
        """Send an event to this client. ``bytes`` anywhere in the arguments travel as binary attachments.

        A plain call: it queues and returns. ``await`` what it returns to wait while the client is slow. After the
        client has disconnected it does nothing, unless the client may come back (:class:`siocore.Recovery`): then the
        event waits for it. Raises LocalProtocolError if the event can't be encoded.
        """
        if self.recovery is not None:
            return self.emit_recoverably(name, args)
        namespace = self.namespace
        if namespace.uncommon:
            return self.tell(name, args, True, None, False)
        check_event_name(name)
        text, attachments = encode_packet(_EVENT, namespace.name, (name, *args), None)
        if attachments:
            namespace.check_attachments(attachments)
        if self.registered is not None:
            self.tell_outgoing((name, *args))
        if self.state is _CONNECTED:
            self.link.send_text(text, attachments)
        return Sent(self.link)

    def send(self, *args: object) -> Sent | Delayed:
        """Emit the event ``message``."""
        return self.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object, timeout: float | None = None) -> PendingAck:
        """Send an event and await the client's answer: ``answer = await socket.emit_with_ack("event", 1, timeout=5)``.

        The answer is None, one value, or a tuple if the client acknowledged with several. ``timeout`` is in seconds;
        without one, only the end of the connection ends the wait. Awaiting raises AckTimeout, or Disconnected as
        soon as the client goes away. Raises LocalProtocolError if the event can't be encoded or too many
        acknowledgements are pending (``Limits.max_pending_acks``).
        """
        return self.ask(name, args, timeout, True)

    def ack(self, ack_id: int, *args: object) -> None:
        """Acknowledge an event. Handlers do this by returning a value."""
        self.acknowledge(ack_id, args)

    @property
    def volatile(self) -> SocketOperator:
        """``socket.volatile.emit(...)``: dropped if the client can't take it at once."""
        return SocketOperator(self).volatile

    def compress(self, compress: bool) -> SocketOperator:
        """``socket.compress(False).emit(...)``: whether what is sent may be compressed."""
        return SocketOperator(self).compress(compress)

    def when_full(self, policy: str) -> SocketOperator:
        """``socket.when_full("drop_oldest").emit(...)``: what becomes of an event for which there is no room.

        See the option ``slow_consumer``. Raises ValueError for a policy that there is not.
        """
        return SocketOperator(self).when_full(policy)

    def timeout(self, seconds: float) -> SocketOperator:
        """``await socket.timeout(5).emit_with_ack(...)``: how long to wait for the answer."""
        return SocketOperator(self).timeout(seconds)

    @property
    def local(self) -> BroadcastOperator:
        """Everybody in the namespace who is connected to this process, but this socket."""
        return self.broadcast.local

    @property
    def broadcast(self) -> BroadcastOperator:
        """Everybody in the namespace but this socket."""
        return BroadcastOperator(self.namespace).except_(self.id)

    def to(self, *rooms: str) -> BroadcastOperator:
        """The members of these rooms, without this socket."""
        return self.broadcast.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody in the namespace but this socket and the members of these rooms."""
        return self.broadcast.except_(*rooms)

    # Rooms ----------------------------------------------------------------------------------------------------

    def join(self, *rooms: str) -> None:
        """Join rooms. Does nothing after the disconnection.

        Raises LocalProtocolError for a room that is another socket's id: its members would read what is meant for
        that socket alone.
        """
        if self.state is SocketState.DISCONNECTED:
            return
        joined = self._rooms
        if joined is None:
            joined = self._rooms = set()
        for room in rooms:
            if not isinstance(room, str):
                raise LocalProtocolError(f"a room's name is a str, not {type(room).__name__}")
            if room != self.id and self.namespace.is_taken(room):
                raise LocalProtocolError("a socket can't join the room of another socket's id")
        new = [room for room in rooms if room != self.id and room not in joined]
        joined.update(new)
        if self.recovery is not None and new:
            self.recovery.rooms_changed(self.namespace.adapter.position(), new, True)
        if self.state is SocketState.CONNECTED:
            self.namespace.adapter.join(self, new)

    def leave(self, *rooms: str) -> None:
        """Leave rooms. A socket is always in the room of its own id."""
        joined = self._rooms
        if joined is not None:
            left = [room for room in rooms if room in joined]
            joined.difference_update(left)
            if self.recovery is not None and left:
                self.recovery.rooms_changed(self.namespace.adapter.position(), left, False)
            if self.state is SocketState.CONNECTED:
                self.namespace.adapter.leave(self, left)

    # Life -----------------------------------------------------------------------------------------------------

    def disconnect(self, *, close: bool = False) -> None:
        """Leave the namespace from our side. With ``close`` the whole connection ends, other namespaces included."""
        self.client.disconnect(self, close=close)

    def accept(self) -> bool:
        """Let the client into the namespace. False if it went away meanwhile."""
        return self.client.accept(self)

    def refuse(self, message: str, data: object = None) -> None:
        """Keep the client out: it receives CONNECT_ERROR."""
        self.client.refuse(self, message, data)

    # For the modules beside this one --------------------------------------------------------------------------

    @property
    def joined(self) -> Set[str]:
        """The rooms without the socket's own."""
        return self._rooms if self._rooms is not None else frozenset()

    @property
    def pending_acks(self) -> dict[int, PendingAck]:
        if self._acks is None:
            self._acks = {}
        return self._acks

    def tell(
        self, name: str | int, args: tuple[object, ...], compress: bool, policy: str | None, volatile: bool
    ) -> Sent | Delayed:
        """:meth:`emit` with everything that it may be told."""
        namespace = self.namespace
        if compress and policy is None and not namespace.uncommon:
            return self.emit(name, *args)
        check_event_name(name)
        message = namespace.encode(_EVENT, (name, *args), None)
        message.compress = compress
        namespace.allow_to_drop(message, policy, volatile)
        if self.registered is not None:
            self.tell_outgoing((name, *args))
        if self.state is _CONNECTED:
            self.link.send_outgoing(message)
        return taken(message.delayed) or Sent(self.link)

    def ask(self, name: str | int, args: tuple[object, ...], timeout: float | None, compress: bool) -> PendingAck:
        """:meth:`emit_with_ack` with everything that it may be told."""
        check_event_name(name)
        acks = self.pending_acks
        if len(acks) >= self.client.hub.options.limits.max_pending_acks:
            raise LocalProtocolError(
                f"{len(acks)} acknowledgements are pending for this socket: await them, or use a timeout"
            )
        ack_id = self.namespace.next_ack_id()
        message = self.namespace.encode(_EVENT, (name, *args), ack_id)
        message.compress = compress
        pending = SocketAck(self.client.hub, ack_id, timeout, self)
        if self.registered is not None:
            self.tell_outgoing((name, *args))
        if self.state is SocketState.CONNECTED:
            acks[ack_id] = pending
            self.link.send_outgoing(message)
        else:
            pending.disconnected(self)
        return pending

    def acknowledge(self, ack_id: int, args: tuple[object, ...]) -> None:
        """:meth:`ack` with the values in a tuple."""
        namespace = self.namespace
        if namespace.uncommon:
            message = namespace.encode(_ACK, args, ack_id)
            if self.state is _CONNECTED:
                self.link.send_outgoing(message)
            return
        text, attachments = encode_packet(_ACK, namespace.name, args, ack_id)
        if attachments:
            namespace.check_attachments(attachments)
        if self.state is _CONNECTED:
            self.link.send_text(text, attachments)

    def come_back(self, socket_id: str, rooms: frozenset[str], data: dict[str, Any], own: SocketRecovery) -> None:
        """The client was here before, and this socket is what it had then."""
        self.id = socket_id
        self.recovery = own
        self._rooms = set(rooms)
        self._data = SimpleNamespace(**data)

    def emit_recoverably(
        self,
        name: str | int,
        args: tuple[object, ...],
        volatile: bool = False,
        compress: bool = True,
        policy: str | None = None,
    ) -> Sent | Delayed:
        """By way of the adapter, which gives the event its offset and keeps it."""
        namespace = self.namespace
        if self.state is not _CONNECTED and not namespace.is_taken(self.id):
            # Nobody will come back for it; checked all the same.
            check_event_name(name)
            namespace.encode(_EVENT, (name, *args), None)
        else:
            selection = Selection(frozenset((self.id,)), volatile=volatile, compress=compress, when_full=policy)
            delayed = BroadcastOperator(namespace, selection).emit(name, *args)
            if isinstance(delayed, Delayed):
                return delayed
        return Sent(self.link)

    def end(self) -> None:
        """The socket is over: out of its rooms, acknowledgements failed."""
        self._snapshot = frozenset((self.id, *self.joined)) if self.connected else frozenset()
        if self.connected:
            self.namespace.remove(self)
        else:
            self.forget_handlers()
        self.state = SocketState.DISCONNECTED
        self._rooms = None
        if self._acks is not None:
            acks, self._acks = self._acks, None
            for pending in tuple(acks.values()):
                pending.disconnected(self)

    def release(self) -> None:
        """The ``disconnecting`` handlers have been started."""
        self._snapshot = None

    def forget_handlers(self) -> None:
        """The socket's own handlers have been called for the last time. They refer to the socket, as a rule."""
        self.registered = None
        self._tap(False)

    def tell_outgoing(self, data: tuple[object, ...]) -> None:
        """An event, its name and arguments, is about to be sent: call the handlers that want to know."""
        listeners = self.registered
        if listeners is not None and self.connected:
            for handler in listeners.any_outgoing:
                try:
                    handler(*data)
                except Exception as error:
                    self.client.hub.push_event(ListenerFailed(self, cast("str | int", data[0]), error))

    def _tap(self, tapped: bool) -> None:
        namespace = self.namespace
        if not tapped:
            if namespace.tapped is not None:
                namespace.tapped.discard(self)
        elif self.state is not SocketState.DISCONNECTED:
            if namespace.tapped is None:
                namespace.tapped = set()
            namespace.tapped.add(self)


class SocketOperator:
    """``socket.volatile.compress(False).emit(...)``: how to send to one socket. Immutable."""

    __slots__ = ("_compress", "_policy", "_socket", "_timeout", "_volatile")

    def __init__(
        self,
        socket: Socket,
        volatile: bool = False,
        compress: bool = True,
        timeout: float | None = None,
        policy: str | None = None,
    ) -> None:
        self._socket = socket
        self._volatile = volatile
        self._compress = compress
        self._timeout = timeout
        self._policy = policy

    @property
    def volatile(self) -> SocketOperator:
        """Drop what the client can't take at once."""
        return SocketOperator(self._socket, True, self._compress, self._timeout, self._policy)

    def compress(self, compress: bool) -> SocketOperator:
        """Whether what is sent may be compressed. False for what is compressed already, or must not be guessed at."""
        return SocketOperator(self._socket, self._volatile, compress, self._timeout, self._policy)

    def timeout(self, seconds: float) -> SocketOperator:
        """How long ``emit_with_ack`` waits."""
        return SocketOperator(self._socket, self._volatile, self._compress, seconds, self._policy)

    def when_full(self, policy: str) -> SocketOperator:
        """What becomes of an event for which there is no room."""
        policy_number(policy)
        return SocketOperator(self._socket, self._volatile, self._compress, self._timeout, policy)

    def emit(self, name: str | int, *args: object) -> Sent | Delayed:
        """:meth:`Socket.emit`, in this way."""
        socket = self._socket
        if self._volatile and not socket.link.writable and not socket.namespace.waits_in_buffer(self._policy):
            check_event_name(name)
            return Sent(socket.link)
        if socket.recovery is not None:
            return socket.emit_recoverably(name, args, self._volatile, self._compress, self._policy)
        return socket.tell(name, args, self._compress, self._policy, self._volatile)

    def send(self, *args: object) -> Sent | Delayed:
        """Emit the event ``message``."""
        return self.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object) -> PendingAck:
        """:meth:`Socket.emit_with_ack`, in this way. Nothing that is to be answered is dropped."""
        return self._socket.ask(name, args, self._timeout, self._compress)
