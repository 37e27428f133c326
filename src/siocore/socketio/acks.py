"""Acknowledgements that clients, and other servers, owe us."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from siocore.driven import DrivenEndpoint
from siocore.errors import AckTimeout, Disconnected, LocalProtocolError
from siocore.timers import Timer
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.socketio.socket import Socket

__all__ = ["Answers", "Asked", "BroadcastAck", "PendingAck", "ServerSideAck", "SocketAck", "ack_value"]


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

    @property
    def deadline(self) -> float | None:
        """When the time is up; None: never."""
        return None if self._timer is None else self._timer.deadline

    def cancel(self) -> None:
        """Give up: whatever comes from now on is nobody's."""
        if not self.done:
            self._finish()

    def __await__(self) -> Generator[Any, None, Any]:
        while not self.done:
            yield from self.wait()
        return self.result()

    def wait(self) -> Generator[Any, None, None]:
        """Wait until there is news."""
        if self._waiter is not None:
            raise LocalProtocolError("somebody awaits this acknowledgement already")
        self._waiter = self._hub.new_waiter()
        try:
            yield from self._waiter.wait().__await__()
        except BaseException:
            self._waiter = None
            self.cancel()
            raise
        self._waiter = None

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
        self._finish(None, Disconnected("the client disconnected before it acknowledged"))

    def timer_expired(self, kind: int, now: float) -> None:
        self._finish(None, AckTimeout())

    def _forget(self) -> None:
        self._socket.pending_acks.pop(self.id, None)


class Asked(Protocol):
    """A request to other servers, under way."""

    def missing(self) -> tuple[str, ...]:
        """The names of the servers that have not answered."""

    def forget(self) -> None:
        """Whatever comes from now on is nobody's."""


class GatheredAck(PendingAck):
    """From several. The result is the list of answers in order of arrival; ``async for`` gets each as it arrives.

    Those that go away meanwhile are not waited for, and have no answer in the list. The loop ends when nobody is left
    to wait for; when the time is up it raises AckTimeout, after the last answer that came. Leaving it gives up.
    """

    __slots__ = ("_begun", "_held", "request", "responses")

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float) -> None:
        super().__init__(hub, ack_id, timeout)
        #: The answers so far.
        self.responses: list[Any] = []
        #: What an adapter keeps for it while other servers are asked.
        self.request: Asked | None = None
        self._begun = False
        self._held = 0

    def __aiter__(self) -> Answers:
        return Answers(self)

    def hold(self) -> None:
        """It is not known yet who else will answer: don't end before as many calls of :meth:`release`."""
        self._held += 1

    def release(self) -> None:
        """One thing less that is not known."""
        self._held -= 1
        self._settle()

    def begin(self) -> None:
        """Everybody has been asked."""
        self._begun = True
        self._settle()

    def cancel(self) -> None:
        if not self.done:
            self._finish(self.responses)

    def timer_expired(self, kind: int, now: float) -> None:
        silent = () if self.request is None else self.request.missing()
        message = f"operation has timed out: {self._missing()} did not answer"
        if silent:
            message += f"; nothing came from the servers {', '.join(silent)}"
        self._finish(None, AckTimeout(message, self.responses, silent))

    def _missing(self) -> int:
        """How many have not answered."""
        raise NotImplementedError

    def _settle(self) -> None:
        if self._begun and not self._held and not self.done and not self._missing():
            self._finish(self.responses)

    def _forget(self) -> None:
        request, self.request = self.request, None
        if request is not None:
            request.forget()

    def _add(self, answer: object) -> None:
        self.responses.append(answer)
        self._settle()
        if self._waiter is not None:
            self._waiter.wake()


class Answers:
    """``async for answer in io.emit_with_ack("question")``."""

    __slots__ = ("_pending", "_taken")

    def __init__(self, pending: GatheredAck) -> None:
        self._pending = pending
        self._taken = 0

    def __aiter__(self) -> Answers:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        pending = self._pending
        while self._taken == len(pending.responses):
            if pending.done:
                pending.result()
                raise StopAsyncIteration
            yield from pending.wait()
        self._taken += 1
        return pending.responses[self._taken - 1]

    def __del__(self) -> None:
        # The loop was left: a plain iterator is told in no other way.
        self._pending.cancel()


class BroadcastAck(GatheredAck):
    """From every socket of a broadcast, also from those of other servers, of which their adapter tells it."""

    __slots__ = ("_remote", "_waited_for")

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float) -> None:
        super().__init__(hub, ack_id, timeout)
        self._waited_for: set[Socket] = set()
        self._remote = 0

    def expect(self, sockets: list[Socket]) -> None:
        """The broadcast goes to these sockets, too."""
        self._waited_for.update(sockets)
        for socket in sockets:
            socket.pending_acks[self.id] = self

    def expect_remote(self, clients: int) -> None:
        """The broadcast goes to so many clients of another server, too; negative: they will not answer any more."""
        self._remote += clients
        self._settle()

    def remote_acknowledged(self, value: object) -> None:
        """A client of another server has answered."""
        if not self.done:
            self._remote -= 1
            self._add(value)

    def acknowledged(self, socket: Socket, args: list[object]) -> None:
        self._waited_for.discard(socket)
        self._add(ack_value(args))

    def disconnected(self, socket: Socket) -> None:
        self._waited_for.discard(socket)
        self._settle()

    def _missing(self) -> int:
        return len(self._waited_for) + max(self._remote, 0)

    def _forget(self) -> None:
        GatheredAck._forget(self)
        for socket in self._waited_for:
            socket.pending_acks.pop(self.id, None)
        self._waited_for = set()


class ServerSideAck(GatheredAck):
    """From the other servers of a cluster. Their adapter tells it what comes."""

    __slots__ = ("_expected",)

    def __init__(self, hub: DrivenEndpoint, ack_id: int, timeout: float) -> None:
        super().__init__(hub, ack_id, timeout)
        self._expected = 0

    def expect(self, servers: int) -> None:
        """So many servers are asked, too. To be called before ``server_side_emit`` returns, or under :meth:`hold`."""
        self._expected += servers

    def answered(self, value: object) -> None:
        """A server has answered."""
        if not self.done:
            self._expected -= 1
            self._add(value)

    def gone(self) -> None:
        """A server will not answer any more."""
        self._expected -= 1
        self._settle()

    def _missing(self) -> int:
        return max(self._expected, 0)
