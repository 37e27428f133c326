"""Virtual time: a clock that moves only when it is told to, and what is to happen on it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

from siocore.testing.waiter import VirtualWaiter

__all__ = ["Call", "ManualClock"]


class Call:
    """Something to be called at a time; made by :meth:`ManualClock.call_at`."""

    __slots__ = ("_sequence", "callback", "when")

    def __init__(self, when: float, sequence: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback
        self._sequence = sequence

    def __lt__(self, other: Call) -> bool:
        return (self.when, self._sequence) < (other.when, other._sequence)

    def cancel(self) -> None:
        """Don't call. Does nothing if it was called already."""
        self.callback = None


class ManualClock:
    """Seconds that pass only in ``TestServer.advance`` and its relatives. Calls at the same time keep their order."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self._calls: list[Call] = []
        self._sequence = 0

    def __repr__(self) -> str:
        return f"<ManualClock {self.now:g} s>"

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Call:
        """Have ``callback`` called when the clock reaches ``when`` (now, if that is past)."""
        self._sequence += 1
        call = Call(max(when, self.now), self._sequence, callback)
        heapq.heappush(self._calls, call)
        return call

    def call_later(self, delay: float, callback: Callable[[], None]) -> Call:
        """Have ``callback`` called in ``delay`` seconds."""
        return self.call_at(self.now + delay, callback)

    def sleep(self, seconds: float) -> Sleep:
        """For handlers under test: ``await clock.sleep(5)`` lets five virtual seconds pass."""
        return Sleep(self, seconds)

    def next_deadline(self) -> float | None:
        """When the next call is due."""
        calls = self._calls
        while calls and calls[0].callback is None:
            heapq.heappop(calls)
        return calls[0].when if calls else None

    def run_one(self) -> bool:
        """Make the first call that is due. False if none is."""
        deadline = self.next_deadline()
        if deadline is None or deadline > self.now:
            return False
        callback = heapq.heappop(self._calls).callback
        assert callback is not None
        callback()
        return True


class Sleep:
    """What ``ManualClock.sleep`` returns: to be awaited once."""

    __slots__ = ("_clock", "_seconds")

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def __await__(self) -> Generator[Any, None, None]:
        waiter = VirtualWaiter()
        call = self._clock.call_later(self._seconds, waiter.wake)
        try:
            yield from waiter.__await__()
        finally:
            call.cancel()
