"""How many handlers of one client run at the same time, and the events that wait for one of them to end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Inbox", "Pausable"]

_E = TypeVar("_E")


class Pausable(Protocol):
    """What carries a client's data to us."""

    paused: bool

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Inbox(Generic[_E]):
    """Counts running handlers; above the limit keeps events and stops reading.

    What is kept is bounded by what one read, or one POST, can carry.
    """

    __slots__ = ("_held", "_source", "running")

    def __init__(self, source: Pausable) -> None:
        #: Handlers that have started and not ended. The application counts.
        self.running = 0
        self._source = source
        self._held: deque[_E] | None = None

    def hold(self, event: _E) -> None:
        """As many handlers run as may: keep the event for later."""
        if self._held is None:
            self._held = deque()
        self._held.append(event)
        if not self._source.paused:
            self._source.pause()

    def next_held(self) -> _E | None:
        """A handler has ended: the event whose turn it is. Reading goes on when there is none."""
        if self._held:
            return self._held.popleft()
        if self._source.paused:
            self._source.resume()
        return None

    def clear(self) -> None:
        """The client is gone: its events are not handled any more."""
        self._held = None

    def drop(self, is_over: Callable[[_E], bool]) -> None:
        """Part of the client is gone: the events of which this is true are not handled any more."""
        if self._held:
            self._held = deque(event for event in self._held if not is_over(event))
