"""Connection state recovery: who may come back, as whom, and what was missed meanwhile.

How it works
------------
CONNECT tells the client a private id, the ``pid``, beside its public one. Every event without an acknowledgement ends
with a string, the offset: a place in the namespace's sequence of events. Clients keep the latest offset and treat it as
opaque. When a connection ends without anybody having asked for it, the adapter keeps the socket's state. A client that
comes back sends pid and offset with its CONNECT, and gets id, rooms, data and the events after the offset.

Never two sockets with one id: a pid is taken when it is presented. If its socket still seems to be connected, that
connection ends first. A client that goes away again before it was let in gives the pid back.

Never a silent gap: events are replayed to whom they were sent, or would have been sent. If one of those may be gone,
the client starts anew. What a client was sent last is known, so one that heard nothing for hours misses nothing.

Source: Socket.IO documentation, "Connection state recovery"; on the wire socket.io 4.6 and newer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from siocore.codec.message import Outgoing, TextMessage
from siocore.events import ConnectRequested
from siocore.packets import SocketPacketType

if TYPE_CHECKING:
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.recovery_memory import RecoveryBudget
    from siocore.socketio.socket import Socket

__all__ = ["Missed", "NamespaceRecovery", "Returning", "RoomChange", "SocketRecovery", "StoredSession", "with_offset"]

#: Why a connection may have ended if its client is to come back. Nobody wanted these.
RECOVERABLE = frozenset(
    {
        "transport error",
        "transport close",
        "forced close",
        "ping timeout",
        "server shutting down",
        "forced server close",
    }
)
#: Room changes that are remembered of one socket; events before the first of them can't be replayed once it is full.
MAX_CHANGES = 64
#: Characters of a pid and of an offset: longer ones are not ours.
_MAX_TOKEN = 256
#: What a message costs beside its text.
_OVERHEAD = 16


class RoomChange(NamedTuple):
    """The socket joined or left rooms after the event at ``position``."""

    position: str
    rooms: tuple[str, ...]
    joined: bool


class StoredSession(NamedTuple):
    """A socket whose client may come back: plain data, so that an adapter can keep it anywhere.

    Positions are offsets, or whatever the adapter's ``position()`` returns; only the adapter reads them.
    """

    pid: str
    sid: str
    #: Without the room of its own id.
    rooms: frozenset[str]
    #: The attributes of ``socket.data``.
    data: dict[str, Any]
    #: When its connection ended, in seconds of the endpoint's clock.
    since: float
    #: The position at which it was first let in.
    start: str
    #: That of the latest event that it was sent.
    last: str
    #: That at which its connection ended.
    end: str
    #: The latest changes of its rooms, oldest first, at most :data:`MAX_CHANGES`.
    changes: tuple[RoomChange, ...] = ()


class Missed(NamedTuple):
    """An event that a client missed, with its offset in it."""

    offset: str
    message: Outgoing


class SocketRecovery:
    """What a socket needs to come back."""

    __slots__ = ("changes", "last", "offset", "pid", "recovered", "start", "stored")

    def __init__(self, pid: str, start: str, last: str) -> None:
        self.pid = pid
        self.start = start
        #: The offset of the latest event that it was sent.
        self.last = last
        self.recovered = False
        self.changes: deque[RoomChange] | None = None
        #: While a client that has come back waits to be let in: what it was, and the offset that it presented.
        self.stored: StoredSession | None = None
        self.offset: str | None = None

    def rooms_changed(self, position: str, rooms: Sequence[str], joined: bool) -> None:
        if self.changes is None:
            self.changes = deque(maxlen=MAX_CHANGES)
        self.changes.append(RoomChange(position, tuple(rooms), joined))


class NamespaceRecovery:
    """The sockets of one namespace that can come back, and those that are about to."""

    __slots__ = ("_live", "_namespace", "budget")

    def __init__(self, namespace: Namespace, budget: RecoveryBudget) -> None:
        self._namespace = namespace
        #: Shared by all namespaces of the server.
        self.budget = budget
        # By pid. Those that have come back are in it while they wait to be let in.
        self._live: dict[str, Socket] = {}

    @property
    def in_use(self) -> bool:
        """Whether there is any socket that could come back."""
        return bool(self._live)

    def restore(self, socket: Socket) -> bool:
        """A client wants to join. True: it may be one that has come back, and whether it is will be known later."""
        pid, offset = socket.handshake.auth.get("pid"), socket.handshake.auth.get("offset")
        if not isinstance(pid, str) or not 0 < len(pid) <= _MAX_TOKEN:
            return False
        # Without an offset it has received no event yet.
        if offset is not None and (not isinstance(offset, str) or len(offset) > _MAX_TOKEN):
            return False
        old = self._live.get(pid)
        if old is not None and old.connected:
            # Its connection is dead, which only the client knows as yet.
            old.link.close("transport close", "the client has come back on another connection")
        self._namespace.adapter.restore_session(pid, Returning(self, socket, pid, offset))
        return True

    def admit(self, socket: Socket) -> list[Missed] | None:
        """The socket is being let in. Returns what it missed; None if that is not there any more."""
        own = socket.recovery
        adapter = self._namespace.adapter
        if own is None:
            position = adapter.position()
            own = socket.recovery = SocketRecovery(self._namespace.hub.options.generate_id(), position, position)
            self._live[own.pid] = socket
            return []
        assert own.stored is not None
        # Middleware may have changed its rooms.
        stored = own.stored._replace(rooms=frozenset(socket.joined), changes=tuple(own.changes or ()))
        missed = self._missed(stored, own.offset)
        if missed is not None:
            own.stored = own.offset = None
            if missed:
                own.last = missed[-1].offset
        return missed

    def refused(self, socket: Socket) -> None:
        """A socket was not let in: if it had come back, its state is gone."""
        if socket.recovery is not None:
            self._live.pop(socket.recovery.pid, None)

    def ended(self, socket: Socket, reason: str) -> None:
        """The connection of a socket is over; the socket still has its rooms."""
        own = socket.recovery
        if own is None:
            return
        self._live.pop(own.pid, None)
        if reason not in RECOVERABLE:
            return
        adapter = self._namespace.adapter
        if own.stored is not None:
            # It was not let in yet, so nothing has changed.
            adapter.persist_session(own.stored)
            return
        adapter.persist_session(
            StoredSession(
                pid=own.pid,
                sid=socket.id,
                rooms=frozenset(socket.joined),
                data=vars(socket.data),
                since=self._namespace.hub.now,
                start=own.start,
                last=own.last,
                end=adapter.position(),
                changes=tuple(own.changes or ()),
            )
        )

    def found(self, socket: Socket, session: StoredSession, offset: str | None) -> bool:
        """The adapter had the session that a client asked for. False if the client can't have it."""
        if self._missed(session, offset) is None:
            return False
        own = SocketRecovery(session.pid, session.start, session.last)
        own.recovered = True
        own.stored = session
        own.offset = offset
        if session.changes:
            own.changes = deque(session.changes, maxlen=MAX_CHANGES)
        socket.come_back(session.sid, session.rooms, session.data, own)
        self._live[session.pid] = socket
        return True

    def give_back(self, session: StoredSession) -> None:
        """Nobody is there any more to have the session that the adapter has found."""
        self._namespace.adapter.persist_session(session)

    def request_connect(self, socket: Socket) -> None:
        """It is known who the client is: middleware may look at it."""
        self._namespace.hub.push_event(ConnectRequested(socket))

    def _missed(self, session: StoredSession, offset: str | None) -> list[Missed] | None:
        missed = self._namespace.adapter.missed_events(session, offset)
        if missed is None:
            return None
        # All of it leaves at once, and must leave room for what comes next.
        size = sum([each.message.size + _OVERHEAD for each in missed])
        return missed if size <= self._namespace.hub.options.limits.max_buffered / 2 else None


class Returning:
    """A client that says that it was here before. The adapter answers once, now or later: ``found`` or ``lost``."""

    __slots__ = ("_offset", "_recovery", "_socket", "pid")

    def __init__(self, recovery: NamespaceRecovery, socket: Socket, pid: str, offset: str | None) -> None:
        self.pid = pid
        self._offset = offset
        self._recovery = recovery
        self._socket: Socket | None = socket

    @property
    def offset(self) -> str | None:
        """The offset of the latest event that it received, as it says; None if it has received none."""
        return self._offset

    def found(self, session: StoredSession) -> None:
        """The adapter has taken the session out of its store. It comes back if the client is gone meanwhile."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        if not socket.connecting:
            self._recovery.give_back(session)
            return
        self._recovery.found(socket, session, self._offset)
        self._recovery.request_connect(socket)

    def lost(self) -> None:
        """There is no such session, or there is no knowing what it missed."""
        socket, self._socket = self._socket, None
        if socket is not None and socket.connecting:
            self._recovery.request_connect(socket)


def with_offset(namespace: Namespace, data: tuple[object, ...], message: Outgoing, offset: str) -> Outgoing:
    """The event ``message``, whose name and arguments are ``data``, with the offset as its last argument."""
    if namespace.parser is None and isinstance(message, TextMessage):
        # An event is an array, which has an element at least, and an offset needs no escapes.
        stamped: Outgoing = TextMessage(b'%b,"%b"]' % (message.text[:-1], offset.encode()), message.attachments)
    else:
        stamped = namespace.encode(SocketPacketType.EVENT.value, (*data, offset), None)
    stamped.compress = message.compress
    stamped.droppable = message.droppable
    stamped.when_full = message.when_full
    stamped.delayed = message.delayed
    return stamped
