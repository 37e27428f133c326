"""asyncio (and uvloop) under the driver."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from siocore.asyncio._readiness import Readiness

__all__ = ["AsyncioHost"]


class Waiter:
    """A future that is only made for who really waits."""

    __slots__ = ("_future", "_woken")

    def __init__(self) -> None:
        self._woken = False
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._woken = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        if not self._woken:
            self._future = asyncio.get_running_loop().create_future()
            await self._future


class AsyncioHost:
    """The running event loop. Has a task for each handler that is suspended, and one for the leader."""

    cancelled: type[BaseException] = asyncio.CancelledError

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._readiness = Readiness(self._loop)
        self._fd = -1
        self._alarm: asyncio.TimerHandle | None = None
        self._armed = math.inf
        self._floor = -math.inf
        self.tasks: set[asyncio.Task[None]] = set()
        self._flush: Callable[[], None] | None = None
        self._flush_wanted = False

    def clock(self) -> float:
        return max(self._floor, self._time())

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        self._fd = fd
        self._loop.add_reader(fd, self._readiness.resume)

    def close(self) -> None:
        """Let go of the event loop."""
        self._flush = None
        if self._fd != -1:
            self._loop.remove_reader(self._fd)
            self._fd = -1
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def wait(self, deadline: float | None) -> None:
        if deadline is not None:
            self.alarm(deadline)
        await self._readiness

    def alarm(self, deadline: float) -> None:
        # Deadlines mostly move away. The alarm stays where it is then, goes off early once, and is set anew.
        if deadline < self._armed:
            if self._alarm is not None:
                self._alarm.cancel()
            self._armed = deadline
            self._alarm = self._loop.call_at(deadline, self._on_alarm)

    def _on_alarm(self) -> None:
        # Timers may go off up to one tick of the loop's clock early. What they were set for counts as reached.
        self._floor = self._armed
        self._armed = math.inf
        self._alarm = None
        self._readiness.resume()

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Not create_task(): an eager task factory would run the new leader within the old one.
        task = asyncio.Task(function(), loop=self._loop, name="siocore")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def make_waiter(self) -> Waiter:
        return Waiter()

    async def getaddrinfo(self, name: str, port: int) -> Sequence[Sequence[Any]]:
        return await self._loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)

    def begin(self, flush: Callable[[], None]) -> None:
        self._flush = flush

    def soon(self) -> None:
        if not self._flush_wanted:
            self._flush_wanted = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_wanted = False
        if self._flush is not None:
            self._flush()

    def cancel_requests(self) -> Callable[[], int] | None:
        task = asyncio.current_task()
        return task.cancelling if task is not None else None

    async def cancel_tasks(self) -> None:
        """Cancel what is left, and wait until it has ended. When cancelled itself, it cancels the tasks again."""
        while self.tasks:
            for task in self.tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(self.tasks)
