"""What a client's socket keeps until it can be sent: events of the time without a connection."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from siocore.codec.message import Outgoing
from siocore.errors import BufferFull
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.socketio.client_socket import ClientSocket

__all__ = ["Outbox", "Postponed"]


class Postponed:
    """An event that waits."""

    __slots__ = ("ack_id", "data", "message")

    def __init__(self, message: Outgoing, ack_id: int | None, data: tuple[object, ...] | None) -> None:
        #: As it goes over the wire: what the application does to its arguments meanwhile changes nothing.
        self.message = message
        self.ack_id = ack_id
        #: Name and arguments, for handlers that want to know what is sent; None once they do.
        self.data = data


class Outbox:
    """In order, and never more than ``limits.max_buffered`` bytes, unless it is a single event."""

    __slots__ = ("_events", "_limit", "_socket", "buffered", "drain_waiters", "high_water")

    def __init__(self, socket: ClientSocket, limit: int, high_water: int) -> None:
        self._socket = socket
        self._events: deque[Postponed] = deque()
        self._limit = limit
        #: Bytes that wait.
        self.buffered = 0
        self.high_water = high_water
        self.drain_waiters: list[Waiter] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, ack_id: int) -> bool:
        return any(event.ack_id == ack_id for event in self._events)

    def add(self, event: Postponed) -> None:
        """Keep an event. Raises BufferFull."""
        size = event.message.size
        if self._events and self.buffered + size > self._limit:
            raise BufferFull(
                f"{self.buffered} bytes of events wait for a connection: nothing more is kept (Limits.max_buffered)"
            )
        self._events.append(event)
        self.buffered += size

    def first(self) -> Postponed | None:
        """The next one to be sent."""
        return self._events[0] if self._events else None

    def sent_first(self) -> None:
        """The next one has been sent."""
        self.buffered -= self._events.popleft().message.size

    def withdraw(self, ack_id: int) -> None:
        """The answer to this event is not waited for any more: don't send it."""
        for event in self._events:
            if event.ack_id == ack_id:
                self._events.remove(event)
                self.buffered -= event.message.size
                break
        self.wake()

    def ack_ids(self) -> set[int]:
        """Whose answers are waited for."""
        return {event.ack_id for event in self._events if event.ack_id is not None}

    # What Sent awaits

    @property
    def open(self) -> bool:
        return self._socket.active

    def new_waiter(self) -> Waiter:
        """Raises LocalProtocolError when nobody drives the endpoint."""
        return self._socket.manager.hub.new_waiter()

    def wake(self) -> None:
        """Less waits, or nothing ever will be sent: those who wait for that may look."""
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            waiter.wake()
