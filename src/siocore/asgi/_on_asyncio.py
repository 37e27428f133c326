"""asyncio (and uvloop) under the ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from threading import get_ident
from typing import Any, NoReturn, TypeVar

from siocore.asgi._types import Interruptible
from siocore.asyncio._host import AsyncioHost
from siocore.waiting import Waiter

__all__ = ["AsgiAsyncioHost"]

#: Seconds by which a deadline is noticed too late if the event loop was blocked, and not just busy.
_LATE = 0.05
#: Rounds of the event loop in which what arrived meanwhile finds its way through the tasks of the ASGI server.
_ROUNDS = 20
#: Seconds until somebody leads again whose predecessor was cancelled.
_PAUSE = 0.1

_T = TypeVar("_T")


class AsgiAsyncioHost(AsyncioHost):
    """The event loop of the ASGI server."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        # Not the context of the request that happens to come first.
        self._context = context
        self._thread = get_ident()
        self.rested = False
        self._signalled = False

    @property
    def is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @property
    def is_over(self) -> bool:
        return self._loop.is_closed()

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        """The ASGI server watches descriptors."""

    def signal(self) -> None:
        if self._signalled:
            return
        self._signalled = True
        if get_ident() == self._thread:
            # Not at once: within the step of one task no other can be resumed.
            self._loop.call_soon(self._resume)
        else:
            with contextlib.suppress(RuntimeError):  # closed in the meantime
                self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        self._signalled = False
        self._readiness.resume()

    async def wait(self, deadline: float | None) -> None:
        await super().wait(deadline)
        if deadline is not None and self.clock() > deadline + _LATE:
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
        self.rested = True

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Not create_task(): an eager task factory would run the new leader within the old one.
        task = asyncio.Task(function(), loop=self._loop, name="siocore", context=self._context.copy())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def leader_cancelled(self, lead_on: Callable[[], None]) -> None:
        # At the end of the event loop every task is cancelled, and new ones would be left behind. Timers are not.
        self._loop.call_later(_PAUSE, lead_on)

    def crash(self, exc: BaseException) -> None:
        def crash() -> NoReturn:
            raise exc

        self._loop.call_soon(crash)

    async def until_interrupted(self, subject: Interruptible, function: Callable[[], Awaitable[_T]]) -> _T | None:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                subject.interrupt = lambda: scope.reschedule(0.0)
                try:
                    return await function()
                finally:
                    subject.interrupt = None
        except TimeoutError:
            if not scope.expired():
                raise
            return None

    async def alongside(
        self,
        subject: Interruptible,
        one: Callable[[], Coroutine[Any, Any, None]],
        other: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        async def main() -> bool:
            task.add_done_callback(lambda _: subject.interrupt and subject.interrupt())
            await one()
            return True

        task = asyncio.Task(other(), loop=self._loop, name="siocore sender")
        try:
            await self.until_interrupted(subject, main)
        finally:
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure

    async def wait_at_most(self, seconds: float, waiter: Waiter) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await waiter.wait()

    async def wait_anyway(self, waiter: Waiter) -> None:
        cancelled = False
        woken = False
        while not woken:
            try:
                await waiter.wait()
                woken = True
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def end(self) -> None:
        await self.cancel_tasks()
        self.close()
