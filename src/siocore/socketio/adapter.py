"""Rooms: which socket is where, and who receives a broadcast.

One adapter serves one namespace. :class:`MemoryAdapter` knows the sockets of this process; an adapter for a cluster
implements the same interface, delivers locally through the methods that it inherits, and publishes as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Iterable, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from siocore.codec.message import Outgoing
from siocore.overflow import DROP_NEW
from siocore.socketio.recovery import Missed, Returning, StoredSession
from siocore.socketio.recovery_memory import RecoveryMemory
from siocore.waiting import Resolved

if TYPE_CHECKING:
    from siocore.socketio.acks import BroadcastAck, ServerSideAck
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.remote import RemoteSocket
    from siocore.socketio.socket import Socket

__all__ = ["EVERYBODY", "Adapter", "Found", "MemoryAdapter", "Selection", "SocketList"]


class Selection(NamedTuple):
    """Whom an operation is for: the members of any of ``rooms`` (everybody if empty) who are in none of ``except_``."""

    rooms: frozenset[str] = frozenset()
    except_: frozenset[str] = frozenset()
    #: Only sockets of this process.
    local: bool = False
    #: Not for sockets that could not send at once.
    volatile: bool = False
    #: Whether the message may be compressed.
    compress: bool = True
    #: The policy for sockets that have no room for it; None for the server's.
    when_full: str | None = None


EVERYBODY = Selection()


class SocketList(list["Socket | RemoteSocket"]):
    """Sockets of a cluster. ``missing`` names the servers that did not answer in time: theirs are not in it."""

    __slots__ = ("missing",)

    def __init__(self, sockets: Iterable[Socket | RemoteSocket] = (), missing: tuple[str, ...] = ()) -> None:
        super().__init__(sockets)
        self.missing = missing


class Found:
    """Awaits the lists of several adapters, one after the other, and puts them together."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[Awaitable[SocketList]]) -> None:
        self._parts = parts

    def __await__(self) -> Generator[Any, None, SocketList]:
        joined = SocketList()
        for part in self._parts:
            found = yield from part.__await__()
            joined += found
            joined.missing = tuple(dict.fromkeys((*joined.missing, *found.missing)))
        return joined


class Adapter(ABC):
    """Keeps the rooms of one namespace.

    Each socket is also reachable by its id as if that were a room; nobody else can join that room.
    """

    __slots__ = ()

    @property
    def up(self) -> bool:
        """Whether the other servers can be reached; True where there are none."""
        return True

    def open(self, namespace: Namespace) -> None:
        """The adapter serves this namespace from now on. Called once, last of all that makes a namespace."""
        return

    @abstractmethod
    def add(self, socket: Socket) -> None:
        """A socket has joined the namespace."""

    @abstractmethod
    def remove(self, socket: Socket) -> None:
        """A socket has left the namespace, and so all its rooms."""

    @abstractmethod
    def join(self, socket: Socket, rooms: Iterable[str]) -> None: ...

    @abstractmethod
    def leave(self, socket: Socket, rooms: Iterable[str]) -> None: ...

    @abstractmethod
    def rooms(self) -> Set[str]:
        """The names of all rooms that have a member here, without the sockets' own."""

    @abstractmethod
    def members(self, selection: Selection) -> list[Socket]:
        """The sockets of this process that are selected, each once."""

    @abstractmethod
    def fetch_sockets(self, selection: Selection, timeout: float) -> Awaitable[SocketList]:
        """The sockets that are selected, those of other servers included unless the selection is local.

        Servers that don't answer within ``timeout`` seconds are named in the list's ``missing``.
        """

    @abstractmethod
    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        """Deliver an event. ``data`` is its name and arguments; ``message`` the same, encoded for local clients."""

    @abstractmethod
    def sockets_join(self, selection: Selection, rooms: Iterable[str]) -> None: ...

    @abstractmethod
    def sockets_leave(self, selection: Selection, rooms: Iterable[str]) -> None: ...

    @abstractmethod
    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None: ...

    @abstractmethod
    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        """Hand an event, its name and arguments, to the same namespace of the other servers.

        There it goes to ``Namespace.server_side_received``. With ``ack``, the answers come back by ``ack.expect(n)``,
        then ``ack.answered(value)`` or ``ack.gone()`` for each of the n servers. As long as it is not known how many
        they are, ``ack.hold()`` keeps the acknowledgement from ending, until ``ack.release()``.
        """

    def close(self) -> None:
        """The namespace has ended. Nothing else is called any more."""
        return

    # Connection state recovery: for adapters that offer it ------------------------------------------------------

    def start_recovery(self, namespace: Namespace) -> None:
        """The server was made with ``recovery``. From now on :meth:`broadcast` gives each event that wants no
        acknowledgement its offset (:func:`siocore.socketio.recovery.with_offset`), to each socket that has
        ``socket.recovery``, sets ``socket.recovery.last`` to it, and keeps the event. A volatile one is not kept; its
        offset is :meth:`position`.

        Raises ValueError if the adapter can't.
        """
        raise ValueError(f"{type(self).__name__} keeps no events: connection state recovery needs an adapter that does")

    def position(self) -> str:
        """The offset of the latest event that a socket which joins now would not get."""
        raise NotImplementedError

    def persist_session(self, session: StoredSession) -> None:
        """Keep a socket whose connection has ended, for ``Recovery.max_disconnection`` seconds after its ``since``."""
        raise NotImplementedError

    def restore_session(self, pid: str, returning: Returning) -> None:
        """Take a socket out of the store, so that nobody else can have it, and hand it to ``returning.found``.

        ``returning.lost()`` if there is none. Either may be called before this returns, or later.
        """
        raise NotImplementedError

    def missed_events(self, session: StoredSession, offset: str | None) -> list[Missed] | None:
        """The events after ``offset`` that the socket was sent or would have been sent, oldest first.

        None if any of them may be gone. Asked when the session was found, and again when the client is let in; an
        adapter whose store is elsewhere fetches them with the session and adds what it hears until then.
        """
        raise NotImplementedError

    def holds_session(self, sid: str) -> bool:
        """Whether the socket with this id is gone and may come back: its room is nobody else's meanwhile."""
        return False

    def holds_sessions(self) -> bool:
        """Whether any socket is gone and may come back. ``namespace.unused()`` tells when that has changed to no."""
        return False

    def stop_recovery(self) -> None:
        """The server has stopped: let go of what is kept in this process for clients."""
        raise NotImplementedError


class MemoryAdapter(Adapter):
    """The rooms of this process."""

    __slots__ = ("_memory", "_rooms", "_sockets")

    def __init__(self) -> None:
        self._sockets: dict[str, Socket] = {}
        self._rooms: dict[str, set[Socket]] = {}
        self._memory: RecoveryMemory | None = None

    def add(self, socket: Socket) -> None:
        self._sockets[socket.id] = socket

    def remove(self, socket: Socket) -> None:
        self.leave(socket, tuple(socket.joined))
        self._sockets.pop(socket.id, None)

    def join(self, socket: Socket, rooms: Iterable[str]) -> None:
        for room in rooms:
            self._rooms.setdefault(room, set()).add(socket)

    def leave(self, socket: Socket, rooms: Iterable[str]) -> None:
        for room in rooms:
            members = self._rooms.get(room)
            if members is not None:
                members.discard(socket)
                if not members:
                    del self._rooms[room]

    def rooms(self) -> Set[str]:
        return self._rooms.keys()

    def members(self, selection: Selection) -> list[Socket]:
        rooms, except_ = selection.rooms, selection.except_
        if len(rooms) == 1 and not except_:
            (room,) = rooms
            members = self._rooms.get(room)
            return list(self._room(room) if members is None else members)
        if rooms:
            selected = self._union(rooms)
        elif except_:
            selected = set(self._sockets.values())
        else:
            return list(self._sockets.values())
        if except_:
            selected = selected - self._union(except_)
        return list(selected)

    def fetch_sockets(self, selection: Selection, timeout: float) -> Awaitable[SocketList]:
        return Resolved(SocketList(self.members(selection)))

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        sockets = self.members(selection)
        if selection.volatile and message.when_full != DROP_NEW:
            sockets = [socket for socket in sockets if socket.link.writable]
        if ack is not None:
            ack.expect(sockets)
        elif not sockets and self._memory is None:
            return
        if sockets and sockets[0].namespace.tapped:
            tapped = frozenset(sockets[0].namespace.tapped)
            for socket in sockets:
                if socket in tapped:
                    socket.tell_outgoing(data)
            # Its handler may have disconnected it.
            sockets = [socket for socket in sockets if socket.connected]
        if ack is None and self._memory is not None:
            self._memory.deliver(data, message, selection, sockets)
            return
        for socket in sockets:
            socket.link.send_outgoing(message)

    def sockets_join(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = tuple(rooms)
        for socket in self.members(selection):
            socket.join(*names)

    def sockets_leave(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = tuple(rooms)
        for socket in self.members(selection):
            socket.leave(*names)

    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None:
        for socket in self.members(selection):
            socket.disconnect(close=close)

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        """There are no other servers: nobody receives it, and nobody is waited for."""

    def start_recovery(self, namespace: Namespace) -> None:
        assert namespace.recovery is not None
        self._memory = RecoveryMemory(namespace, namespace.recovery.budget)

    def position(self) -> str:
        return self._recovery_memory.position

    def persist_session(self, session: StoredSession) -> None:
        self._recovery_memory.persist(session)

    def restore_session(self, pid: str, returning: Returning) -> None:
        self._recovery_memory.restore(returning)

    def missed_events(self, session: StoredSession, offset: str | None) -> list[Missed] | None:
        return self._recovery_memory.missed(session, offset)

    def holds_session(self, sid: str) -> bool:
        return self._memory is not None and self._memory.holds(sid)

    def holds_sessions(self) -> bool:
        return self._memory is not None and self._memory.holds_sessions

    def stop_recovery(self) -> None:
        self._recovery_memory.clear()

    @property
    def _recovery_memory(self) -> RecoveryMemory:
        assert self._memory is not None
        return self._memory

    def _union(self, rooms: frozenset[str]) -> set[Socket]:
        if len(rooms) == 1:
            return self._room(next(iter(rooms)))
        union: set[Socket] = set()
        for room in rooms:
            union |= self._room(room)
        return union

    def _room(self, room: str) -> set[Socket]:
        members = self._rooms.get(room)
        if members is not None:
            return members
        own = self._sockets.get(room)
        return set() if own is None else {own}
