"""What the in-memory adapter keeps for clients that may come back: events of one namespace, and sockets that are gone.

Events have numbers. An offset is the number of an event behind a tag that tells this memory from every other: that of
another namespace, of another process, or of this one before it was started anew.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, cast
from zlib import crc32

from siocore.codec.message import BinaryMessage, Outgoing, TextMessage
from siocore.options import Limits, Recovery
from siocore.socketio.recovery import MAX_CHANGES, Missed, Returning, RoomChange, StoredSession, with_offset
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.socketio.adapter import Selection
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = ["RecoveryBudget", "RecoveryMemory"]

#: What follows the tag. Fifteen digits fit any integer type.
_NUMBER = re.compile(r"[0-9a-f]{1,15}")
_TAG_LENGTH = 8
#: What an event costs beside its bytes: the objects that it is made of.
_EVENT_OVERHEAD = 400
#: How many times what is too old is looked for, in the time that an event is kept.
_SWEEPS = 16


class _Event(NamedTuple):
    number: int
    key: int
    at: float
    size: int
    rooms: frozenset[str]
    except_: frozenset[str]
    message: Outgoing

    def is_for(self, rooms: set[str]) -> bool:
        """Whether a socket in these rooms, its own id among them, was meant."""
        return not self.except_ & rooms and (not self.rooms or bool(self.rooms & rooms))


class RecoveryBudget:
    """What all namespaces of a server keep together. Clients may choose the names, and so how many there are."""

    __slots__ = ("_serial", "events", "sessions", "size")

    def __init__(self) -> None:
        self._serial = 0
        # OrderedDict finds its first item at once, also after many were taken out there.
        #: Who keeps each event, oldest first.
        self.events: OrderedDict[int, RecoveryMemory] = OrderedDict()
        self.size = 0
        #: Who keeps each pid, those that have been away longest first.
        self.sessions: OrderedDict[str, RecoveryMemory] = OrderedDict()

    def add_event(self, memory: RecoveryMemory, size: int) -> int:
        """Count an event in. Returns the key that it has here."""
        self._serial += 1
        self.events[self._serial] = memory
        self.size += size
        return self._serial

    def drop_event(self, key: int, size: int) -> None:
        del self.events[key]
        self.size -= size

    def make_room(self, limits: Limits) -> None:
        """Drop the oldest, whoever keeps them."""
        while self.events and (len(self.events) > limits.max_recovery_events or self.size > limits.max_recovery_log):
            next(iter(self.events.values())).drop_event()
        while len(self.sessions) > limits.max_recovery_sessions:
            pid, memory = next(iter(self.sessions.items()))
            memory.forget(pid)


class RecoveryMemory:
    """The memory of one namespace. Nothing in it, no timer: both end with what is kept."""

    __slots__ = (
        "_budget",
        "_dropped",
        "_events",
        "_ids",
        "_keep",
        "_latest",
        "_limits",
        "_max_disconnection",
        "_namespace",
        "_sessions",
        "_tag",
        "_timer",
        "position",
    )

    def __init__(self, namespace: Namespace, budget: RecoveryBudget) -> None:
        options = namespace.hub.options
        self._namespace = namespace
        self._budget = budget
        self._limits = options.limits
        self._max_disconnection = cast("Recovery", options.recovery).max_disconnection
        # A client may be away for this long, and for that long nobody may have noticed: a PONG that arrives at the last
        # moment, the interval, and the next PONG that doesn't.
        self._keep = self._max_disconnection + options.ping_interval + 2 * options.ping_timeout
        self._tag = f"{crc32(options.generate_id().encode()):08x}"
        self._events: deque[_Event] = deque()
        # The numbers of the latest event, and of the latest that is not kept any more.
        self._latest = 0
        self._dropped = 0
        # By pid.
        self._sessions: dict[str, StoredSession] = {}
        self._ids: set[str] = set()
        self._timer: Timer | None = None
        #: The offset of the latest event.
        self.position = self._offset(0)

    # Events ---------------------------------------------------------------------------------------------------

    def deliver(self, data: tuple[object, ...], message: Outgoing, selection: Selection, sockets: list[Socket]) -> None:
        """Send an event to ``sockets``, with its offset, and keep it unless it is volatile."""
        volatile = selection.volatile
        offset = self.position
        stamped = message
        if volatile:
            # JavaScript's client takes any string at the end for an offset, so this has one too: where it is now.
            stamped = with_offset(self._namespace, data, message, offset)
        elif self._sessions or self._namespace.recovery_in_use:
            offset = self._offset(self._latest + 1)
            stamped = with_offset(self._namespace, data, message, offset)
            self._append(offset, selection, stamped)
        for socket in sockets:
            own = socket.recovery
            if own is None:
                # Of a client that knows nothing of offsets.
                socket.link.send_outgoing(message)
                continue
            if not volatile:
                own.last = offset
            socket.link.send_outgoing(stamped)

    def missed(self, session: StoredSession, offset: str | None) -> list[Missed] | None:
        """What the client has missed since the event at ``offset``; None if some of it may be gone."""
        start = self._number(session.start)
        # From elsewhere, or none: then it has received nothing since it was let in.
        received = max(start, self._number(offset))
        if received > self._latest:
            return None
        if self._number(session.last) <= received:
            # All that it was sent has arrived, so it has missed nothing before its connection ended.
            received = max(received, self._number(session.end))
        elif len(session.changes) == MAX_CHANGES and received < self._number(session.changes[0].position):
            return None
        if received < self._dropped:
            return None
        events = list(takewhile(lambda event: event.number > received, reversed(self._events)))
        changes = deque((self._number(each.position), each) for each in session.changes)
        rooms = self._rooms_at(received, session, changes)
        missed = []
        for event in reversed(events):
            while changes and changes[0][0] < event.number:
                _apply(changes.popleft()[1], rooms)
            if event.is_for(rooms):
                missed.append(Missed(self._offset(event.number), _copy(event.message)))
        return missed

    def _rooms_at(self, number: int, session: StoredSession, changes: deque[tuple[int, RoomChange]]) -> set[str]:
        """The rooms of a socket after event ``number``; leaves in ``changes`` what came later."""
        rooms = {session.sid, *session.rooms}
        for at, change in reversed(changes):
            if at > number:
                _apply(change._replace(joined=not change.joined), rooms)
        while changes and changes[0][0] <= number:
            changes.popleft()
        return rooms

    def _append(self, offset: str, selection: Selection, message: Outgoing) -> None:
        now = self._namespace.hub.now
        self._latest += 1
        self.position = offset
        size = message.size + _EVENT_OVERHEAD
        key = self._budget.add_event(self, size)
        self._events.append(_Event(self._latest, key, now, size, selection.rooms, selection.except_, _copy(message)))
        self._drop_old_events(now)
        self._budget.make_room(self._limits)
        self._watch(now)

    def _drop_old_events(self, now: float) -> None:
        while self._events and self._events[0].at < now - self._keep:
            self.drop_event()

    def drop_event(self) -> None:
        """Drop the oldest."""
        event = self._events.popleft()
        self._budget.drop_event(event.key, event.size)
        self._dropped = event.number

    def _offset(self, number: int) -> str:
        return f"{self._tag}{number:x}"

    def _number(self, offset: str | None) -> int:
        """The number of an event; -1 for an offset that is not of this memory."""
        if offset is None or not offset.startswith(self._tag) or not _NUMBER.fullmatch(offset, _TAG_LENGTH):
            return -1
        return int(offset[_TAG_LENGTH:], 16)

    # Sockets that are gone ------------------------------------------------------------------------------------

    def persist(self, session: StoredSession) -> None:
        """Keep a socket until it has been away too long."""
        self._sessions[session.pid] = session
        self._ids.add(session.sid)
        self._budget.sessions[session.pid] = self
        self._budget.make_room(self._limits)
        self._watch(self._namespace.hub.now)

    def restore(self, returning: Returning) -> None:
        """Take a socket out, for a client that knows its pid."""
        session = self.forget(returning.pid)
        if session is None or self._namespace.hub.now - session.since > self._max_disconnection:
            returning.lost()
        else:
            returning.found(session)

    def forget(self, pid: str) -> StoredSession | None:
        """Take a socket out, if it is there."""
        session = self._sessions.pop(pid, None)
        if session is not None:
            self._ids.discard(session.sid)
            self._budget.sessions.pop(pid, None)
        return session

    def holds(self, sid: str) -> bool:
        """Whether the socket with this id may come back."""
        return sid in self._ids

    @property
    def holds_sessions(self) -> bool:
        """Whether any socket may come back."""
        return bool(self._sessions)

    def clear(self) -> None:
        """Forget everything."""
        for pid in tuple(self._sessions):
            self.forget(pid)
        self._drop_all_events()
        self._namespace.hub.timers.cancel(self._timer)
        self._timer = None

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        for pid in [pid for pid, each in self._sessions.items() if now - each.since > self._max_disconnection]:
            self.forget(pid)
        if self._sessions or self._namespace.recovery_in_use:
            self._drop_old_events(now)
        else:
            self._drop_all_events()
        self._watch(now)
        if not self._sessions:
            self._namespace.unused()

    def _drop_all_events(self) -> None:
        while self._events:
            self.drop_event()

    def _watch(self, now: float) -> None:
        if self._timer is None and (self._sessions or self._events):
            self._timer = self._namespace.hub.timers.arm(now + self._keep / _SWEEPS, self, 0)


def _apply(change: RoomChange, rooms: set[str]) -> None:
    if change.joined:
        rooms.update(change.rooms)
    else:
        rooms.difference_update(change.rooms)


def _copy(message: Outgoing) -> Outgoing:
    """The same bytes, without the wire forms that a message keeps once it was sent: they would double what is kept."""
    copy: Outgoing
    if isinstance(message, TextMessage):
        copy = TextMessage(message.text, message.attachments)
    else:
        copy = BinaryMessage(cast("BinaryMessage", message).data)
    copy.compress = message.compress
    return copy
