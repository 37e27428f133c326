"""A session whose client is slow, and messages that don't just close it then.

While little waits, such messages go the way of all others. Above that they wait in the session's outbox, whole, where
they can still be dropped, and the WebSocket gets them bit by bit. So what a WebSocket holds is never more than the
high-water mark and one message, and with what is in the outbox never more than ``max_buffered`` and one message.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from siocore.codec.message import ControlPacket, Outgoing
from siocore.overflow import DROP_NEW, DROP_OLDEST, WAIT, Delayed
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.engineio.outbound import Outbound

__all__ = ["Backlog"]

#: The part of ``max_buffered`` that messages of the policy "wait" fill, so that acknowledgements find room beside them.
_WAITING_SHARE = 0.75


class Backlog:
    """What a session remembers of being slow. Made when it first is."""

    __slots__ = ("_delayed", "_limit", "_noticed", "_session", "dropped")

    def __init__(self, session: Outbound, limit: int) -> None:
        self._session = session
        self._limit = limit
        self._noticed = False
        # Those that are awaited, with what each wants to send here.
        self._delayed: deque[tuple[Delayed, Outgoing]] = deque()
        #: Events that were dropped, and those that were never awaited.
        self.dropped = 0

    def admit(self, message: Outgoing) -> bool:
        """Whether the message is to be queued. If not, it was dropped or delayed, or the session is closed."""
        session = self._session
        if session.waiting < session.high_water:
            self._noticed = False
        if message.when_full == WAIT and message.droppable:
            if self._has_room_for_delayed() and not self._delayed:
                return True
            self.notice("wait")
            if message.delayed is None:
                message.delayed = []
            message.delayed.append((self, message))
            return False
        if session.waiting <= self._limit or isinstance(message, ControlPacket):
            # Those of Engine.IO are few, and tiny.
            return True
        if message.when_full == DROP_NEW and message.droppable:
            self.notice("drop_volatile")
            self.dropped += 1
            return False
        # Whatever can't be dropped itself takes the place of what can.
        lossy = message.when_full == DROP_OLDEST or any(map(_may_go, session.outbox))
        self.notice("drop_oldest" if lossy else "close")
        if self._drop_oldest():
            return True
        if message.when_full == DROP_OLDEST and message.droppable:
            self.dropped += 1
        else:
            session.close_slow()
        return False

    def notice(self, policy: str) -> None:
        """The limit was reached: tell the application, once until little waits again."""
        if not self._noticed:
            self._noticed = True
            self._session.tell_slow(policy)

    def drained(self) -> None:
        """The network has taken something, or is about to: fill up."""
        session = self._session
        session.feed()
        if self._delayed:
            session.tell_when_drained()
            if self._has_room_for_delayed():
                # It looks for itself, later: what the network is about to take counts until it has.
                self._delayed[0][0].wake()

    def closed(self) -> None:
        """Nothing will be sent any more."""
        for delayed, _ in self._delayed:
            delayed.wake()
        self._delayed.clear()

    # For what emit has returned -------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._session.open

    def new_waiter(self) -> Waiter:
        return self._session.new_waiter()

    def line_up(self, delayed: Delayed, message: Outgoing) -> None:
        if self.open:
            self._delayed.append((delayed, message))

    def send_delayed(self, delayed: Delayed) -> bool:
        session = self._session
        if not session.open:
            return True
        first, message = self._delayed[0]
        if delayed is not first or not self._has_room_for_delayed():
            session.tell_when_drained()
            return False
        self._delayed.popleft()
        session.enqueue(message)
        self._wake_next()
        return True

    def step_back(self, delayed: Delayed) -> None:
        self._delayed = deque(entry for entry in self._delayed if entry[0] is not delayed)
        self._wake_next()

    def count_dropped(self) -> None:
        self.dropped += 1

    def _wake_next(self) -> None:
        if self._delayed and self._has_room_for_delayed():
            self._delayed[0][0].wake()

    def _has_room_for_delayed(self) -> bool:
        return self._session.waiting <= self._limit * _WAITING_SHARE

    def _drop_oldest(self) -> bool:
        """Drop what has to be, and may be; return whether there is room now."""
        session = self._session
        excess = session.waiting - self._limit
        kept = 0
        outbox = session.outbox
        while excess > 0 and kept < len(outbox):
            message = outbox[kept]
            if _may_go(message):
                excess -= message.size
                session.take_back(kept)
                self.dropped += 1
            else:
                kept += 1
        return excess <= 0


def _may_go(message: Outgoing) -> bool:
    return message.droppable and message.when_full == DROP_OLDEST
