"""Connection state recovery through Redis streams: sockets are kept in Redis, and what they missed is in the stream.

An event's offset is the id of its entry. A socket that is gone is a key in Redis, as Node.js' servers write it, so that
its client may come back to any server. What it missed are the entries behind its offset, as long as the entry at its
offset is still there. Two things of ours go along, which Node.js' servers don't look at: the offset of the latest event
that the socket was sent, and the place at which its connection ended, so that a client that heard nothing for hours
misses nothing.

Never a silent gap: while Redis is gone, events reach our own clients without an offset. Who has had such an event can
come back only from an offset behind its entry.

Source: @socket.io/redis-streams-adapter 0.3, persistSession and restoreSession.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from siocore.cluster.broker import Entry, ReadEntries, StoreValue, TakeValue
from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.cluster.messages import MessageType, read_options, read_packet
from siocore.cluster.streams_wire import order, read_entry
from siocore.errors import DecodeError, LocalProtocolError
from siocore.options import Recovery
from siocore.socketio.recovery import Missed, Returning, StoredSession, with_offset
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.cluster.streams import StreamsCluster
    from siocore.cluster.streams_adapter import StreamsAdapter
    from siocore.codec.message import Outgoing
    from siocore.socketio.adapter import Selection
    from siocore.socketio.socket import Socket

__all__ = ["Stamper", "StreamSessions"]

_OFFSET: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
#: Where a stream begins that was empty.
_BEGINNING: Final = "0-0"
#: In place of an offset: nobody can come back from here.
_NOWHERE: Final = ""
#: Entries that are read at once for a client that comes back, and how often. Node.js: all at once, 100 times.
_READ: Final = 1_000
_ROUNDS: Final = 100
#: Clients that come back at the same time.
_MAX_RETURNING: Final = 10_000
#: Seconds that a client that has come back may take to be let in.
_MAX_WAIT: Final = 60.0
#: What an event costs beside its text.
_OVERHEAD: Final = 16


class Stamper:
    """Gives events their offsets, where the adapter in memory would."""

    __slots__ = ("_adapter", "offset")

    def __init__(self, adapter: StreamsAdapter) -> None:
        self._adapter = adapter
        #: That of the event that is delivered now; None if it has none.
        self.offset: str | None = None

    def deliver(self, data: tuple[object, ...], message: Outgoing, selection: Selection, sockets: list[Socket]) -> None:
        """Send an event to ``sockets``, with its offset."""
        offset, self.offset = self.offset, None
        # JavaScript's client takes any string at the end for an offset, so volatile ones have one too: where it is now.
        passing = selection.volatile or (selection.local and offset is None)
        stamp = self._adapter.position() if passing else offset
        stamped = message if stamp is None else with_offset(self._adapter.namespace, data, message, stamp)
        for socket in sockets:
            own = socket.recovery
            if own is None:
                # Of a client that knows nothing of offsets.
                socket.link.send_outgoing(message)
                continue
            if not passing:
                if offset is None:
                    own.start = own.last = _NOWHERE
                else:
                    own.last = offset
                    if own.start == _NOWHERE and not self._adapter.owes_entries:
                        own.start = offset
            socket.link.send_outgoing(stamped)


class _Return:
    """A client that has come back and waits to be let in."""

    __slots__ = ("entries", "events", "ready", "rooms", "size")

    def __init__(self, session: StoredSession) -> None:
        self.rooms = {session.sid, *session.rooms}
        self.events: list[Missed] = []
        self.size = 0
        #: How many were read for it.
        self.entries = 0
        self.ready = False

    def add(self, offset: str, message: Outgoing, selection: Selection) -> None:
        if not selection.volatile and _is_for(selection, self.rooms):
            self.events.append(Missed(offset, message))
            self.size += message.size + _OVERHEAD


class StreamSessions:
    """The sockets of one namespace that are gone, and those that come back."""

    __slots__ = ("_adapter", "_cluster", "_max_disconnection", "_returns", "_timer")

    def __init__(self, cluster: StreamsCluster, adapter: StreamsAdapter) -> None:
        self._cluster = cluster
        self._adapter = adapter
        recovery = adapter.hub.options.recovery
        self._max_disconnection = recovery.max_disconnection if isinstance(recovery, Recovery) else 120.0
        # By pid.
        self._returns: dict[str, _Return] = {}
        self._timer: Timer | None = None

    def persist(self, session: StoredSession) -> None:
        """Keep a socket whose connection has ended, or whose client has gone again before it was let in."""
        self._returns.pop(session.pid, None)
        if session.start == _NOWHERE:
            return
        stored = {
            "sid": session.sid,
            "pid": session.pid,
            "rooms": [session.sid, *sorted(session.rooms)],
            "data": session.data,
            "start": session.start,
            "last": session.last,
            "end": session.end,
        }
        if session.changes:
            # Before this it was in other rooms.
            stored["start"] = _later(session.start, session.changes[-1].position)
        try:
            value = b64encode(encode_msgpack(stored))
        except LocalProtocolError:
            # An application keeps in socket.data what no other server can have: the client begins anew.
            return
        ttl = self._max_disconnection - (self._adapter.hub.now - session.since)
        if ttl > 0:
            self._cluster.broker.send(StoreValue(self._key(session.pid), value, ttl))

    def restore(self, returning: Returning) -> None:
        """Take a socket out of Redis, for a client that knows its pid."""
        offset = returning.offset
        if (offset is not None and _OFFSET.fullmatch(offset) is None) or len(self._returns) >= _MAX_RETURNING:
            returning.lost()
            return
        self._cluster.broker.send(TakeValue(self._key(returning.pid), partial(self._taken, returning)))

    def missed(self, session: StoredSession) -> list[Missed] | None:
        """What a client that has come back has missed; None if that is not known any more."""
        found = self._returns.get(session.pid)
        return None if found is None or not found.ready else found.events

    def admitted(self, pid: str) -> None:
        """It was let in."""
        self._returns.pop(pid, None)

    def heard(self, offset: str, data: tuple[object, ...], message: Outgoing, selection: Selection) -> None:
        """An event has come meanwhile."""
        if not self._returns:
            return
        stamped = with_offset(self._adapter.namespace, data, message, offset)
        for each in self._returns.values():
            # Before it is ready, the stream has it.
            if each.ready:
                each.add(offset, stamped, selection)

    def broker_gone(self) -> None:
        """What comes from now on has no offset: who waits to be let in begins anew."""
        self._returns.clear()

    def clear(self) -> None:
        self._returns.clear()
        self._adapter.hub.timers.cancel(self._timer)
        self._timer = None

    def timer_expired(self, kind: int, now: float) -> None:
        """Those who have waited for so long are not let in any more."""
        self._timer = None
        self._returns.clear()

    def _key(self, pid: str) -> str:
        return self._cluster.session_key_prefix + pid

    def _taken(self, returning: Returning, value: bytes | None, fault: str | None) -> None:
        session = None if value is None else self._read(value, returning.pid)
        if session is None:
            returning.lost()
            return
        base = returning.offset
        if base is None:
            # It has received nothing since it was let in.
            base = session.start if session.end else ""
        if base == (session.last or None):
            # It has all that it was sent, and so has missed nothing before the end.
            base = session.end
        if _OFFSET.fullmatch(base) is None or order(base) < order(session.start):
            returning.lost()
            return
        self._returns[session.pid] = found = _Return(session)
        if self._timer is None:
            self._timer = self._adapter.hub.timers.arm(self._adapter.hub.now + _MAX_WAIT, self, 0)
        look = partial(self._looked, returning, session, found, base)
        self._cluster.broker.send(ReadEntries(self._adapter.stream, base, base, 1, look))

    def _looked(
        self,
        returning: Returning,
        session: StoredSession,
        found: _Return,
        base: str,
        entries: list[Entry] | None,
        fault: str | None,
    ) -> None:
        if not entries and base != _BEGINNING:
            self._lost(returning, session)
        else:
            self._read_on(returning, session, found, base, 0)

    def _read_on(
        self, returning: Returning, session: StoredSession, found: _Return, position: str, rounds: int
    ) -> None:
        done = partial(self._went_on, returning, session, found, position, rounds)
        self._cluster.broker.send(ReadEntries(self._adapter.stream, f"({position}", "+", _READ, done))

    def _went_on(
        self,
        returning: Returning,
        session: StoredSession,
        found: _Return,
        position: str,
        rounds: int,
        entries: list[Entry] | None,
        fault: str | None,
    ) -> None:
        limit = self._adapter.hub.options.limits.max_buffered / 2
        if entries is None or found.size > limit or rounds >= _ROUNDS or self._returns.get(session.pid) is not found:
            self._lost(returning, session)
            return
        found.entries += len(entries)
        if position == _BEGINNING and found.entries >= self._cluster.max_length:
            # Whether there were more is not known any more.
            self._lost(returning, session)
            return
        for identifier, fields in entries:
            self._add_entry(found, identifier, fields)
        if entries:
            position = entries[-1][0]
        if order(position) < order(self._adapter.position()) and (entries or rounds == 0):
            # There are more, or we have heard of entries that were not there yet when this was asked.
            self._read_on(returning, session, found, position, rounds + 1)
            return
        # What we have not heard of yet comes as it comes to everybody here.
        known = order(self._adapter.position())
        found.events = [event for event in found.events if order(event.offset) <= known]
        found.ready = True
        returning.found(session)

    def _add_entry(self, found: _Return, identifier: str, fields: dict[bytes, bytes]) -> None:
        namespace = self._adapter.namespace
        if fields.get(b"nsp") != namespace.name.encode() or fields.get(b"type") != b"%d" % MessageType.BROADCAST:
            return
        try:
            data: Any = read_entry(fields).get("data")
            if not isinstance(data, dict) or "requestId" in data:
                return
            event = read_packet(data.get("packet"))
            message = namespace.encode(2, event, None)
            stamped = with_offset(namespace, tuple(event), message, identifier)
            found.add(identifier, stamped, read_options(data.get("opts")))
        except (DecodeError, LocalProtocolError):
            # Nobody got it when it came.
            return

    def _lost(self, returning: Returning, session: StoredSession) -> None:
        self._returns.pop(session.pid, None)
        returning.lost()

    def _read(self, value: bytes, pid: str) -> StoredSession | None:
        """What a server has stored; None if that is no session."""
        try:
            stored = decode_msgpack(b64decode(value, validate=True))
        except (Base64Error, DecodeError):
            return None
        if not isinstance(stored, dict) or stored.get("pid") != pid or not isinstance(stored.get("sid"), str):
            return None
        rooms, data = stored.get("rooms"), stored.get("data")
        if not isinstance(rooms, list) or not all(isinstance(room, str) for room in rooms):
            return None
        sid = stored["sid"]
        start, last, end = (_text(stored.get(name)) for name in ("start", "last", "end"))
        return StoredSession(
            pid=pid,
            sid=sid,
            rooms=frozenset(rooms) - {sid},
            data=data if isinstance(data, dict) and all(isinstance(name, str) for name in data) else {},
            since=self._adapter.hub.now,
            # Node.js' servers don't tell: only an offset that the client has is of use then.
            start=start if _OFFSET.fullmatch(start) else _BEGINNING,
            last=last,
            end=end,
        )


def _is_for(selection: Selection, rooms: set[str]) -> bool:
    return not selection.except_ & rooms and (not selection.rooms or bool(selection.rooms & rooms))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _later(one: str, two: str) -> str:
    return one if order(one) >= order(two) else two
