"""trio under the driver."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import trio

__all__ = ["TrioHost"]


class Waiter:
    """A parking place for one task."""

    __slots__ = ("_task", "_woken")

    def __init__(self) -> None:
        self._woken = False
        self._task: trio.lowlevel.Task | None = None

    def wake(self) -> None:
        self._woken = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def wait(self) -> None:
        if not self._woken:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class TrioHost:
    """The current trio run."""

    cancelled: type[BaseException] = trio.Cancelled
    #: Where the leader and the handlers live. Set before the driver starts.
    nursery: trio.Nursery

    def __init__(self) -> None:
        self.clock = trio.lowlevel.current_clock().current_time
        self._fd = -1
        self._armed = math.inf
        self._alarm = trio.CancelScope()
        # The task that flushes, while it waits to be asked to.
        self._flusher: trio.lowlevel.Task | None = None
        self._flush_wanted = False

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        self._fd = fd
        self.nursery.start_soon(self._keep_alarm, wake, name="siocore alarm")

    async def wait(self, deadline: float | None) -> None:
        # Deadlines mostly move away. The alarm stays where it is then, goes off early once, and is set anew.
        if deadline is not None:
            self.alarm(deadline)
        await trio.lowlevel.wait_readable(self._fd)

    async def _keep_alarm(self, wake: Callable[[], None]) -> None:
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            self._armed = math.inf
            wake()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.nursery.start_soon(function, name="siocore")

    def make_waiter(self) -> Waiter:
        return Waiter()

    async def getaddrinfo(self, name: str, port: int) -> Sequence[Sequence[Any]]:
        return await trio.socket.getaddrinfo(name, port, type=trio.socket.SOCK_STREAM)

    def begin(self, flush: Callable[[], None]) -> None:
        self.nursery.start_soon(self._keep_flushing, flush, name="siocore output")

    def soon(self) -> None:
        self._flush_wanted = True
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            trio.lowlevel.reschedule(flusher)

    async def _keep_flushing(self, flush: Callable[[], None]) -> None:
        while True:
            if not self._flush_wanted:
                self._flusher = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._stop_flushing)
            self._flush_wanted = False
            flush()

    def _stop_flushing(self, _: object) -> trio.lowlevel.Abort:
        self._flusher = None
        return trio.lowlevel.Abort.SUCCEEDED

    def alarm(self, deadline: float) -> None:
        if deadline < self._armed:
            self._armed = self._alarm.deadline = deadline

    def cancel_requests(self) -> Callable[[], int] | None:
        # Cancelling is done with scopes, and those of a handler end with it.
        return None
