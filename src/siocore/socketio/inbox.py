"""Events that no handler takes: kept, in order, until somebody receives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from siocore.client_events import ClientEvent
from siocore.errors import Disconnected
from siocore.link import ClientLink, size_of
from siocore.timers import Timer
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.socketio.client_socket import ClientSocket

__all__ = ["Events", "Inbox", "Receiving"]

#: Reading goes on when this part of what may be kept is left.
_RESUME_SHARE = 0.5


class Inbox:
    """The events of one socket, about ``limit`` bytes of them.

    When there are more, the oldest go; unless somebody is known to come for all of them, then nothing more is read.
    """

    __slots__ = ("_events", "_limit", "_paused", "_size", "_waiters", "dropped", "readers", "socket")

    def __init__(self, socket: ClientSocket, limit: int) -> None:
        self.socket = socket
        #: Events that were dropped.
        self.dropped = 0
        #: Loops that are under way.
        self.readers = 0
        self._events: deque[tuple[ClientEvent, int]] = deque()
        self._limit = limit
        self._size = 0
        self._waiters: list[Waiter] = []
        #: The link that is not read because of us.
        self._paused: ClientLink | None = None

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: ClientEvent) -> None:
        """Keep an event."""
        size = size_of(event.args)
        self._events.append((event, size))
        self._size += size
        if self._size > self._limit:
            self._make_room()
        self.wake()

    def take(self, name: str | int | float | None) -> ClientEvent | None:
        """The oldest event (of this name)."""
        for index, (event, size) in enumerate(self._events):
            if name is None or event.name == name:
                del self._events[index]
                self._size -= size
                if self._paused is not None and self._size <= self._limit * _RESUME_SHARE:
                    self._read_on()
                return event
        return None

    def opened(self) -> None:
        """A loop begins."""
        self.readers += 1

    def closed(self) -> None:
        """A loop has ended."""
        self.readers -= 1
        if not self.readers and self._size > self._limit:
            self._make_room()
        if not self.readers:
            self._read_on()

    def wake(self) -> None:
        """Those who wait may look."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    def wait(self, waiter: Waiter) -> Generator[Any, None, None]:
        """Wait until there is news. Nothing is taken meanwhile, so that giving up loses nothing."""
        self._waiters.append(waiter)
        try:
            yield from waiter.wait().__await__()
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _make_room(self) -> None:
        if self.readers:
            link = self.socket.link
            if link is not None and not link.paused:
                link.pause()
                self._paused = link
            return
        while self._size > self._limit and len(self._events) > 1:
            _, size = self._events.popleft()
            self._size -= size
            self.dropped += 1

    def _read_on(self) -> None:
        link, self._paused = self._paused, None
        if link is not None and link.paused:
            link.resume()


class Receiving:
    """What ``receive()`` returns: to be awaited once. Nothing is taken before that."""

    __slots__ = ("_inbox", "_name", "_timed_out", "_timeout", "_waiter")

    def __init__(self, inbox: Inbox, name: str | int | float | None, timeout: float | None = None) -> None:
        self._inbox = inbox
        self._name = name
        self._timeout = timeout
        self._timed_out = False
        self._waiter: Waiter | None = None

    def __await__(self) -> Generator[Any, None, ClientEvent]:
        inbox = self._inbox
        hub = inbox.socket.manager.hub
        timer: Timer | None = None
        try:
            while (event := inbox.take(self._name)) is None:
                if self._timed_out:
                    raise TimeoutError("no event arrived in time")
                if not inbox.socket.active:
                    raise Disconnected("the socket is not active: no event will arrive")
                self._waiter = hub.new_waiter()
                if timer is None and self._timeout is not None:
                    timer = hub.timers.arm(hub.now + self._timeout, self, 0)
                    if hub.wake is not None:
                        hub.wake()
                yield from inbox.wait(self._waiter)
        finally:
            hub.timers.cancel(timer)
        return event

    def timer_expired(self, kind: int, now: float) -> None:
        """The time is up."""
        self._timed_out = True
        if self._waiter is not None:
            self._waiter.wake()


class Events:
    """What ``events()`` returns. It counts as open from its first step until its end, or until nobody has it."""

    __slots__ = ("_inbox", "_open")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._open = False

    def __aiter__(self) -> Events:
        if not self._open:
            self._open = True
            self._inbox.opened()
        return self

    def __anext__(self) -> _NextEvent:
        return _NextEvent(self._inbox)

    def __del__(self) -> None:
        # A loop that is left tells us in no other way.
        if self._open:
            self._inbox.closed()


class _NextEvent(Receiving):
    __slots__ = ()

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(inbox, None)

    def __await__(self) -> Generator[Any, None, ClientEvent]:
        try:
            return (yield from super().__await__())
        except Disconnected:
            raise StopAsyncIteration from None
