"""Events that are sent again until the server acknowledges them: at least once, in order, one at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from siocore.codec.message import Outgoing
from siocore.errors import AckTimeout, BufferFull, Disconnected
from siocore.socketio.client_acks import ClientAck

if TYPE_CHECKING:
    from siocore.socketio.client_socket import ClientSocket

__all__ = ["RetryQueue"]


class RetryQueue:
    """The events of one socket, of which the first is under way while the socket is connected."""

    __slots__ = ("_attempts", "_limit", "_retries", "_size", "_socket")

    def __init__(self, socket: ClientSocket, retries: int) -> None:
        self._socket = socket
        self._retries = retries
        self._attempts: deque[Attempt] = deque()
        self._limit = socket.options.limits.max_buffered
        self._size = 0

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, ack_id: int, message: Outgoing, data: tuple[object, ...], timeout: float | None) -> Attempt:
        """Send an event when its turn comes. Raises BufferFull."""
        if self._attempts and self._size + message.size > self._limit:
            raise BufferFull(
                f"{self._size} bytes of events wait to be acknowledged: nothing more is kept (Limits.max_buffered)"
            )
        attempt = Attempt(self, self._socket, ack_id, message, data, timeout)
        self._attempts.append(attempt)
        self._size += message.size
        self.send_next()
        return attempt

    def send_next(self) -> None:
        """Send the first event, if none is under way."""
        if not self._attempts or not self._socket.connected:
            return
        attempt = self._attempts[0]
        if not attempt.under_way:
            attempt.tries += 1
            attempt.under_way = True
            attempt.arm()
            self._socket.try_to_send(attempt, attempt.message, attempt.data)

    def failed(self, attempt: Attempt, error: Exception) -> None:
        """A try has brought no acknowledgement."""
        attempt.under_way = False
        if attempt.tries > self._retries:
            attempt.give_up(error)
        else:
            self.send_next()

    def ended(self, attempt: Attempt) -> None:
        """An event was acknowledged, or given up."""
        if attempt in self._attempts:
            self._attempts.remove(attempt)
            self._size -= attempt.message.size
            self.send_next()

    def deserted(self) -> None:
        """The socket is not active any more."""
        for attempt in tuple(self._attempts):
            attempt.deserted()


class Attempt(ClientAck):
    """An event that is sent up to 1 + ``retries`` times. The result is the acknowledgement.

    Each try has the same id: an acknowledgement that comes too late for one counts for the next.
    """

    __slots__ = ("_queue", "_timeout", "data", "message", "tries", "under_way")

    def __init__(
        self,
        queue: RetryQueue,
        socket: ClientSocket,
        ack_id: int,
        message: Outgoing,
        data: tuple[object, ...],
        timeout: float | None,
    ) -> None:
        super().__init__(socket, ack_id, None)
        self.message = message
        self.data = data
        self.tries = 0
        self.under_way = False
        self._queue = queue
        self._timeout = timeout

    def arm(self) -> None:
        """The time of a try begins."""
        if self._timeout is not None:
            self._timer = self._hub.timers.arm(self._hub.now + self._timeout, self, 0)

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._queue.failed(self, AckTimeout())

    def lost(self) -> None:
        """The connection is gone: the next one brings the next try."""
        self._hub.timers.cancel(self._timer)
        self._timer = None
        self._socket.forget_ack(self.id, withdraw=False)
        self._queue.failed(self, Disconnected("the socket was disconnected before the server acknowledged"))

    def deserted(self) -> None:
        if self._waiter is not None:
            self.give_up(Disconnected("the socket was disconnected before the server acknowledged"))

    def give_up(self, error: Exception) -> None:
        """There will be no other try."""
        self._finish(None, error)

    def _forget(self) -> None:
        self._socket.forget_ack(self.id, withdraw=False)
        self._queue.ended(self)
