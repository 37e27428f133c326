"""Acknowledgements that clients owe us."""

from __future__ import annotations

from collections.abc import Generator
from copy import copy
from typing import TYPE_CHECKING, Any

from siocore.driven import DrivenEndpoint
from siocore.errors import AckTimeout, Disconnected
from siocore.timers import Timer
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.socketio.socket import Socket

__all__ = ["BroadcastAck", "PendingAck", "SocketAck", "ack_value"]


def ack_value(args: list[object]) -> object:
    """What an acknowledgement's arguments are for Python: nothing, one value, or a tuple of several."""
    if len(args) == 1:
        return args[0]
    return tuple(args) if args else None


class PendingAck:
    """An acknowledgement under way: await it, or look at ``done`` and ``result()``.

    Giving up on the wait (cancellation) gives up on the acknowledgement.
    """

    __slots__ = ("_error", "_hub", "_result", "_timer", "_waiter", "done", "id")

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float | None) -> None:
        self.id = ack_id
        self.done = False
        self._hub = hub
        self._result: object = None
        self._error: Exception | None = None
        self._waiter: Waiter | None = None
        self._timer: Timer | None = None
        if timeout is not None:
            self._timer = hub.timers.arm(hub.now + timeout, self, 0)

    def acknowledged(self, socket: Socket, args: list[object]) -> None:
        """``socket`` has answered."""
        raise NotImplementedError

    def disconnected(self, socket: Socket) -> None:
        """``socket`` will not answer any more."""
        raise NotImplementedError

    def timer_expired(self, kind: int, now: float) -> None:
        """The time is up."""
        raise NotImplementedError

    def result(self) -> Any:
        """The outcome, once ``done``. Raises AckTimeout or Disconnected."""
        if self._error is not None:
            # A traceback refers to this frame and so to us: kept here, both would wait for the garbage collector.
            raise copy(self._error)
        return self._result

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done:
            self._waiter = self._hub.new_waiter()
            try:
                yield from self._waiter.wait().__await__()
            finally:
                if not self.done:
                    self._finish()
        return self.result()

    def _forget(self) -> None:
        raise NotImplementedError

    def _finish(self, result: object = None, error: Exception | None = None) -> None:
        self.done = True
        self._result = result
        self._error = error
        self._hub.timers.cancel(self._timer)
        self._timer = None
        self._forget()
        if self._waiter is not None:
            self._waiter.wake()


class SocketAck(PendingAck):
    """From one socket. The result is what it answered: nothing (None), one value, or a tuple."""

    __slots__ = ("_socket",)

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float | None, socket: Socket) -> None:
        super().__init__(hub, ack_id, timeout)
        self._socket = socket

    def acknowledged(self, socket: Socket, args: list[object]) -> None:
        self._finish(ack_value(args))

    def disconnected(self, socket: Socket) -> None:
        self._finish(error=Disconnected("the client disconnected before it acknowledged"))

    def timer_expired(self, kind: int, now: float) -> None:
        self._finish(error=AckTimeout())

    def _forget(self) -> None:
        self._socket.pending_acks.pop(self.id, None)


class BroadcastAck(PendingAck):
    """From every socket of a broadcast. The result is the list of answers in order of arrival.

    A client that disconnects meanwhile is not waited for, and has no answer in the list.
    """

    __slots__ = ("_responses", "_waited_for")

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float) -> None:
        super().__init__(hub, ack_id, timeout)
        self._responses: list[object] = []
        self._waited_for: set[Socket] = set()

    def expect(self, sockets: list[Socket]) -> None:
        """The broadcast went to these sockets; it is complete when each has answered or gone."""
        self._waited_for = set(sockets)
        for socket in sockets:
            socket.pending_acks[self.id] = self
        if not sockets:
            self._finish(self._responses)

    def acknowledged(self, socket: Socket, args: list[object]) -> None:
        self._responses.append(ack_value(args))
        self._settle(socket)

    def disconnected(self, socket: Socket) -> None:
        self._settle(socket)

    def timer_expired(self, kind: int, now: float) -> None:
        missing = len(self._waited_for)
        self._finish(error=AckTimeout(f"operation has timed out: {missing} clients did not answer", self._responses))

    def _settle(self, socket: Socket) -> None:
        self._waited_for.discard(socket)
        if not self._waited_for:
            self._finish(self._responses)

    def _forget(self) -> None:
        for socket in self._waited_for:
            socket.pending_acks.pop(self.id, None)
        self._waited_for = set()
