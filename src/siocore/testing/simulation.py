"""Several servers and clients on one virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from siocore.testing.clock import ManualClock

__all__ = ["Actor", "Simulation"]


class Actor(Protocol):
    """Something that has work to do."""

    def pump(self) -> bool:
        """Do what can be done now. Returns whether there was anything."""

    def next_moment(self) -> float | None:
        """When time alone will give it something to do."""

    def expire(self) -> bool:
        """Time has passed. Returns whether anything was due."""


class Simulation:
    """The time that servers and clients share: nothing happens on its own.

    A :class:`TestServer` makes one for itself. Another server in the same simulation is one that clients can go
    to when the first one has gone: ``TestServer(io, simulation=first.simulation)``.
    """

    def __init__(self, clock: ManualClock | None = None, *, batch: bool = False) -> None:
        self.clock = ManualClock() if clock is None else clock
        self._batch = batch
        self._actors: list[Actor] = []

    def add(self, actor: Actor) -> None:
        """It takes part from now on."""
        self._actors.append(actor)

    def remove(self, actor: Actor) -> None:
        """It has left."""
        if actor in self._actors:
            self._actors.remove(actor)

    def settle(self) -> None:
        """Do all that is due now, until nothing is left to do."""
        clock = self.clock
        while True:
            worked = clock.run_one()
            if worked and self._batch:
                while clock.run_one():
                    pass
            for actor in tuple(self._actors):
                worked = actor.pump() or worked
            if worked:
                continue
            # Only when everything that has arrived was read: nobody is timed out whose bytes are there.
            expired = False
            for actor in tuple(self._actors):
                expired = actor.expire() or expired
            if not expired:
                return

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that falls due happens at its own time."""
        end = self.clock.now + seconds
        self.settle()
        while (moment := self._next_moment()) is not None and moment <= end:
            self.clock.now = max(moment, self.clock.now)
            self.settle()
        self.clock.now = end

    def run_until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        """Let as much time pass as it takes until ``condition()`` is true.

        Raises TimeoutError after ``timeout`` virtual seconds, or when nothing more would ever happen.
        """
        end = self.clock.now + timeout
        while True:
            self.settle()
            if condition():
                return
            moment = self._next_moment()
            if moment is None or moment > end:
                raise TimeoutError(f"nothing of the kind happened within {timeout:g} virtual seconds")
            self.clock.now = max(moment, self.clock.now)

    def _next_moment(self) -> float | None:
        earliest = self.clock.next_deadline()
        for actor in self._actors:
            moment = actor.next_moment()
            if moment is not None and (earliest is None or moment < earliest):
                earliest = moment
        return earliest
