"""A client's socket and its namespace: how it comes in, and how it gets out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from siocore._speedups import encode_packet
from siocore.client_events import AuthRequested, ClientEvent, SocketClosed, SocketConnected, SocketRefused
from siocore.codec.message import Outgoing, TextMessage
from siocore.codec.parser import write_packet
from siocore.errors import BufferFull, ConnectError, LocalProtocolError
from siocore.link import ClientLink
from siocore.packets import SocketPacketType
from siocore.socketio.client_states import CLIENT_SOCKET, Action, ClientSocketState, Step
from siocore.socketio.connecting import Connecting
from siocore.socketio.listening import Listening
from siocore.socketio.offsets import Offsets
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.socketio.generation import Generation
    from siocore.socketio.manager import Manager

__all__ = ["Auth", "Member"]

#: What goes with CONNECT, or what is asked for it.
Auth = Mapping[str, Any] | Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]] | None

_CONNECT = SocketPacketType.CONNECT.value
_DISCONNECT = SocketPacketType.DISCONNECT.value

_CONNECTED = ClientSocketState.CONNECTED
_UNWANTED = (ClientSocketState.IDLE, ClientSocketState.LEAVING)

#: Characters of an id that recovery needs. Node.js: 20.
_MAX_PID = 256

_LEGACY_SERVER = (
    "the server speaks Socket.IO 2, or is set to Engine.IO 3: connect with protocol=3 or protocol='auto', "
    "or update the server"
)


class Member(Listening):
    """The part of a client's socket that connects and disconnects. See client_states for what it does when."""

    __slots__ = (
        "_early",
        "_early_size",
        "_generation",
        "_left",
        "_waiters",
        "auth",
        "failure",
        "failures",
        "id",
        "link",
        "manager",
        "namespace",
        "offsets",
        "recovered",
        "state",
    )

    def __init__(self, manager: Manager, namespace: str, auth: Auth) -> None:
        super().__init__()
        #: None until connected, and again from the disconnection on.
        self.id: str | None = None
        self.namespace = namespace
        self.manager = manager
        #: What goes with CONNECT: a dict, or a function that returns one. Looked at anew for each connection.
        self.auth = auth
        self.state = ClientSocketState.IDLE
        #: Whether the last connection goes on where the one before ended: with the same ``id``, nothing missed.
        self.recovered = False
        #: What carries this socket's messages; when that is gone, what carried them last.
        self.link: ClientLink | None = None
        #: How often connecting has failed, and the latest reason.
        self.failures = 0
        self.failure: ConnectError | None = None
        #: Where in the server's sequence of events we are; None unless it said that it knows that.
        self.offsets: Offsets | None = None
        self._generation: Generation | None = None
        # The connection in which this socket has been connected, and is not any more.
        self._left: Generation | None = None
        self._early: list[ClientEvent] | None = None
        self._early_size = 0
        self._waiters: list[Waiter] = []
        # A name, or a value, that can't be sent is the caller's fault, and so told to the caller.
        self._packet(_CONNECT, namespace, None if auth is None or callable(auth) else dict(auth))

    @property
    def connected(self) -> bool:
        """Whether the server has let the socket in."""
        return self.state is _CONNECTED

    @property
    def disconnected(self) -> bool:
        """Whether the socket is not connected."""
        return self.state is not _CONNECTED

    @property
    def active(self) -> bool:
        """Whether the socket is connected or tries to be: soon, or after a connection that is lost."""
        return self.wanted and self.manager.trying

    @property
    def wanted(self) -> bool:
        """Whether the application wants it to be connected."""
        return self.state not in _UNWANTED

    def connect(self, *, retry: bool = False) -> Connecting:
        """Connect, unless it is under way. Await what it returns to wait until the socket is connected.

        Awaiting raises ConnectError when the first attempt fails; with ``retry`` only when no other one follows, as the
        options for reconnection say, or when the server refuses the namespace. It raises Disconnected after
        ``disconnect()``.
        """
        waiting = Connecting(self, retry)
        self._step(Step.WANTED)
        return waiting

    def disconnect(self) -> None:
        """Leave the namespace. The last socket that does closes the connection; what was sent before still leaves.

        Nothing connects it again but ``connect()``, which begins anew, whether the server has heard of this or not.
        """
        self.offsets = None
        self._step(Step.UNWANTED)

    def authenticate(self, generation: int, value: object) -> None:
        """What goes with CONNECT, as the answer to AuthRequested.

        Raises LocalProtocolError, TypeError or ValueError if it can't be sent; nothing has changed then.
        """
        current = self._generation
        if self.state is ClientSocketState.AUTHENTICATING and current is not None and current.number == generation:
            self._offer(current, value)

    def authentication_failed(self, generation: int, error: Exception) -> None:
        """There is nothing that could go with CONNECT: the socket is not active any more ("connect_error")."""
        current = self._generation
        if self.state is ClientSocketState.AUTHENTICATING and current is not None and current.number == generation:
            failure = ConnectError(f"auth failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._step(Step.AUTH_FAILED, failure)

    # From the manager -----------------------------------------------------------------------------------------

    def link_opened(self, generation: Generation) -> None:
        """Messages can be sent."""
        self._generation = generation
        self._step(Step.LINK_OPENED)

    def link_failed(self, error: ConnectError) -> None:
        """The connection could not be made. Those who wait are woken when it is known what comes next."""
        if self.wanted:
            self._failed(error)

    def link_closed(self, reason: str, detail: str) -> None:
        """The connection is gone."""
        self._generation = None
        self._step(Step.LINK_CLOSED, reason, detail)
        self._left = None

    def receive_connect(self, generation: Generation, data: dict[str, Any] | None) -> None:
        """The server lets the socket in."""
        link = generation.link
        assert link is not None
        sid = data.get("sid") if data is not None else None
        if link.revision == 3:
            sid = link.sid if self.namespace == "/" else f"{self.namespace}#{link.sid}"
        elif self.state is not ClientSocketState.CONNECTING:
            sid = ""
        elif not isinstance(sid, str) or not sid:
            if self.manager.options.protocol == "auto":
                self.manager.use_revision_3(generation)
            else:
                self._step(Step.REFUSED, ConnectError(_LEGACY_SERVER))
            return
        self._step(Step.ACCEPTED, sid, data.get("pid") if data is not None else None)

    def receive_refusal(self, generation: Generation, data: object) -> None:
        """The server does not let the socket in."""
        link = generation.link
        if not isinstance(data, dict):
            error = ConnectError(str(data), data if link is not None and link.revision == 3 else None)
        else:
            message = data.get("message")
            more = data if link is not None and link.revision == 3 else data.get("data")
            error = ConnectError(message if isinstance(message, str) else "the server refused the connection", more)
        self._step(Step.REFUSED, error)

    def receive_disconnect(self) -> None:
        """The server puts the socket out."""
        self._step(Step.DROPPED, "io server disconnect", "the server disconnected the socket")

    def receive_early(self, event: ClientEvent, size: int) -> None:
        """An event that came before CONNECT: what a client that comes back has missed."""
        if self.state is not ClientSocketState.CONNECTING or self._left is self._generation:
            # In the latter case the server has sent it before it knew that this socket had left.
            return
        if self._early is None:
            self._early = []
        self._early_size += size
        generation = self._generation
        if generation is not None and self._early_size > self.manager.options.limits.max_payload:
            self.manager.failed_to_decode(generation, "too many events before CONNECT")
            return
        self._early.append(event)

    # What a socket does about it ------------------------------------------------------------------------------

    def entered(self) -> None:
        """The socket is connected; the application does not know it yet."""
        raise NotImplementedError

    def left(self) -> None:
        """The socket is not connected any more."""
        raise NotImplementedError

    def deserted(self) -> None:
        """The socket is not active any more: nobody is to wait for what won't come."""
        raise NotImplementedError

    def changed(self) -> Generator[Any, None, None]:
        """Wait until something about the connection has changed."""
        waiter = self.manager.hub.new_waiter()
        self._waiters.append(waiter)
        try:
            yield from waiter.wait().__await__()
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def wake(self) -> None:
        """Something about the connection has changed."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    # Steps ----------------------------------------------------------------------------------------------------

    def _step(self, step: Step, *args: Any) -> None:
        action, self.state = CLIENT_SOCKET[self.state, step]
        if action is not Action.NOTHING:
            _ACTIONS[action](self, *args)

    def _open(self) -> None:
        self.manager.connect()
        generation = self.manager.generation
        if generation is not None and self.state is ClientSocketState.WAITING:
            self.link_opened(generation)

    def _authenticate(self) -> None:
        generation = self._generation
        assert generation is not None
        self.link = generation.link
        self._early = None
        self._early_size = 0
        auth = self.auth
        if callable(auth):
            self.manager.hub.push_event(AuthRequested(self, generation.number))  # type: ignore[arg-type]
            return
        try:
            self._offer(generation, auth)
        except (LocalProtocolError, TypeError, ValueError) as error:
            # It was changed since it was checked.
            self.authentication_failed(generation.number, error)

    def _offer(self, generation: Generation, auth: Any) -> None:
        """Send CONNECT. Raises LocalProtocolError, TypeError or ValueError for values that can't be sent."""
        link = generation.link
        assert link is not None
        values = {} if auth is None else dict(auth)
        if link.revision == 3:
            if self.namespace == "/" and generation.root_implied:
                self._step(Step.AUTHENTICATED, None)
                if generation.root_entered:
                    self._step(Step.ACCEPTED, link.sid, None)
                return
            name = f"{self.namespace}?{urlencode(values)}" if values else self.namespace
            self._step(Step.AUTHENTICATED, self._packet(_CONNECT, name, None))
            return
        if self.offsets is not None:
            values = {**self.offsets.request(), **values}
        self._step(Step.AUTHENTICATED, self._packet(_CONNECT, self.namespace, values or None))

    def _send_connect(self, packet: Outgoing | None) -> None:
        if packet is None:
            return
        link = self.link
        assert link is not None
        try:
            link.send_outgoing(packet)
        except BufferFull as error:
            self._step(Step.REFUSED, ConnectError(f"CONNECT could not be sent: {error}"))

    def _enter(self, sid: str, pid: object) -> None:
        self.id = sid
        self.failure = None
        known = self.offsets
        if not isinstance(pid, str) or not 0 < len(pid) <= _MAX_PID:
            self.offsets = None
            self.recovered = False
        else:
            self.recovered = known is not None and known.pid == pid
            if not self.recovered:
                self.offsets = Offsets(pid, self.manager.options.wall_clock)
        early, self._early = self._early, None
        for event in early or ():
            if self.offsets is not None:
                self.offsets.read(event)
            self.manager.hub.push_received(event)
        self.entered()
        self.manager.hub.push_received(SocketConnected(self))  # type: ignore[arg-type]
        self.wake()

    def _fail(self, error: ConnectError) -> None:
        self._early = None
        self._failed(error)
        self.manager.release()
        self.deserted()

    def _failed(self, error: ConnectError) -> None:
        self.failures += 1
        self.failure = error
        self.manager.hub.push_event(SocketRefused(self, error))  # type: ignore[arg-type]

    def _leave(self) -> None:
        self._send_disconnect()
        self._end("io client disconnect", "disconnect() was called")

    def _send_disconnect(self, sid: object = None, pid: object = None) -> None:
        link = self.link
        assert link is not None
        if self._generation is not None:
            self._generation.root_left(self.namespace)
        try:
            link.send_outgoing(self._packet(_DISCONNECT, self.namespace, None))
        except BufferFull:
            # What the server still sends is ignored.
            return

    def _end(self, reason: str, detail: str) -> None:
        self.id = None
        self._left = self._generation
        self.manager.hub.push_event(SocketClosed(self, reason, detail))  # type: ignore[arg-type]
        self.left()
        if not self.wanted:
            if self._generation is not None:
                self._generation.root_left(self.namespace)
            self._give_up()

    def _give_up(self) -> None:
        self._early = None
        self.manager.release()
        self.deserted()

    def _packet(self, kind: int, namespace: str, data: dict[str, Any] | None) -> Outgoing:
        parser = self.manager.parser
        if parser is not None:
            return write_packet(parser, kind, namespace, data, None)
        return TextMessage(*encode_packet(kind, namespace, data, None))


_ACTIONS: dict[Action, Callable[..., None]] = {
    Action.OPEN: Member._open,
    Action.AUTHENTICATE: Member._authenticate,
    Action.SEND_CONNECT: Member._send_connect,
    Action.ENTER: Member._enter,
    Action.FAIL: Member._fail,
    Action.LEAVE: Member._leave,
    Action.SEND_DISCONNECT: Member._send_disconnect,
    Action.END: Member._end,
    Action.GIVE_UP: Member._give_up,
}
