"""All timers of an endpoint, in one queue.

Nobody else knows how time is kept: a machine arms a timer with a deadline and is told when it has passed.
"""

from __future__ import annotations

import heapq
from typing import Protocol

__all__ = ["Timer", "TimerOwner", "TimerQueue"]

_MIN_GARBAGE = 64


class TimerOwner(Protocol):
    """Whoever arms timers. ``kind`` says which of its timers has passed."""

    def timer_expired(self, kind: int, now: float) -> None: ...


class Timer:
    """One armed deadline; made by :meth:`TimerQueue.arm`, ended by expiry or :meth:`TimerQueue.cancel`."""

    __slots__ = ("deadline", "kind", "owner", "sequence", "slack")

    def __init__(self, deadline: float, sequence: int, owner: TimerOwner, kind: int, slack: float) -> None:
        self.deadline = deadline
        #: How many seconds earlier it may expire together with another one.
        self.slack = slack
        self.sequence = sequence
        # Set to None by cancel() and by expiry, so that a dead timer keeps nothing alive.
        self.owner: TimerOwner | None = owner
        self.kind = kind

    def __lt__(self, other: Timer) -> bool:
        if self.deadline != other.deadline:
            return self.deadline < other.deadline
        return self.sequence < other.sequence


class TimerQueue:
    """A heap with lazy deletion: arming costs O(log n), cancelling O(1).

    Cancelled timers stay in the heap until they surface or make up more than half of it, so the heap is never larger
    than twice the timers that are armed (plus a constant).
    """

    __slots__ = ("_garbage", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._sequence = 0
        self._garbage = 0

    def __len__(self) -> int:
        """How many timers are armed."""
        return len(self._heap) - self._garbage

    def arm(self, deadline: float, owner: TimerOwner, kind: int, slack: float = 0.0) -> Timer:
        """Arm a timer: ``owner.timer_expired(kind, now)`` is called by the first ``expire(now)`` at or after it.

        Up to ``slack`` seconds earlier if another timer expires then: waking up once for many costs much less.
        """
        self._sequence += 1
        timer = Timer(deadline, self._sequence, owner, kind, slack)
        heapq.heappush(self._heap, timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Disarm a timer. One that has expired or was cancelled already (or ``None``) is left alone."""
        if timer is None or timer.owner is None:
            return
        timer.owner = None
        self._garbage += 1
        if self._garbage > _MIN_GARBAGE and self._garbage * 2 > len(self._heap):
            self._heap = [armed for armed in self._heap if armed.owner is not None]
            heapq.heapify(self._heap)
            self._garbage = 0

    def next_deadline(self) -> float | None:
        """The earliest armed deadline."""
        while self._heap:
            first = self._heap[0]
            if first.owner is not None:
                return first.deadline
            heapq.heappop(self._heap)
            self._garbage -= 1
        return None

    def expire(self, now: float) -> None:
        """Call the owner of every timer whose deadline is at or before ``now``, earliest first.

        Timers that owners arm meanwhile for a time at or before ``now`` expire too. So do those that come next and have
        the slack for it.
        """
        expired = False
        while self._heap:
            timer = self._heap[0]
            owner = timer.owner
            if owner is None:
                heapq.heappop(self._heap)
                self._garbage -= 1
                continue
            if timer.deadline > now and not (expired and timer.deadline - timer.slack <= now):
                return
            heapq.heappop(self._heap)
            expired = True
            timer.owner = None
            owner.timer_expired(timer.kind, now)
