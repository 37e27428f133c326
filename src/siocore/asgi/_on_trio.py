"""trio under the ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from threading import get_ident
from typing import Any, TypeVar

import trio

from siocore.asgi._types import Interruptible
from siocore.trio._host import TrioHost
from siocore.trio._host import Waiter as TrioWaiter
from siocore.waiting import Waiter

__all__ = ["AsgiTrioHost"]

#: As on asyncio: see there.
_LATE = 0.05
_ROUNDS = 20

_T = TypeVar("_T")


class AsgiTrioHost(TrioHost):
    """The trio run of the ASGI server. Tasks live in a nursery of our own, in a system task.

    An ASGI application has no nursery that outlives its requests: those of a lifespan are not there when it is mounted.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._thread = get_ident()
        self.rested = False
        self._token = trio.lowlevel.current_trio_token()
        self._waiter = TrioWaiter()
        self._housed = False
        self._early: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._stop = trio.Event()
        self._crash: BaseException | None = None
        self._ended = trio.Event()
        trio.lowlevel.spawn_system_task(self._house, name="siocore", context=context.copy())

    @property
    def is_here(self) -> bool:
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    @property
    def is_over(self) -> bool:
        return self._ended.is_set()

    async def _house(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                self._housed = True
                nursery.start_soon(self._keep_alarm, self.signal, name="siocore alarm")
                for function in self._early:
                    self.spawn(function)
                await self._stop.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._ended.set()
        if self._crash is not None:
            raise self._crash

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        """The ASGI server watches descriptors."""

    def signal(self) -> None:
        if get_ident() == self._thread:
            self._waiter.wake()
        else:
            try:
                self._token.run_sync_soon(self._waiter_wake, idempotent=True)
            except trio.RunFinishedError:
                pass

    def _waiter_wake(self) -> None:
        self._waiter.wake()

    async def wait(self, deadline: float | None) -> None:
        # Deadlines mostly move away. The alarm stays where it is then, goes off early once, and is set anew.
        if deadline is not None and deadline < self._armed:
            self._armed = self._alarm.deadline = deadline
        await self._waiter.wait()
        self._waiter = TrioWaiter()
        if deadline is not None and self.clock() > deadline + _LATE:
            for _ in range(_ROUNDS):
                await trio.lowlevel.checkpoint()
        self.rested = True

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._housed:
            super().spawn(function)
        else:
            self._early.append(function)

    def leader_cancelled(self, lead_on: Callable[[], None]) -> None:
        """Only the end of the run cancels system tasks, and then nobody is to lead any more."""

    def crash(self, exc: BaseException) -> None:
        self._crash = exc
        self._stop.set()

    async def until_interrupted(self, subject: Interruptible, function: Callable[[], Awaitable[_T]]) -> _T | None:
        with trio.CancelScope() as scope:
            subject.interrupt = scope.cancel
            try:
                return await function()
            finally:
                subject.interrupt = None
        return None

    async def alongside(
        self,
        subject: Interruptible,
        one: Callable[[], Coroutine[Any, Any, None]],
        other: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        failure: Exception | None = None

        async def run(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
            nonlocal failure
            try:
                await function()
            except Exception as exc:
                # As on asyncio: not in an exception group.
                failure = exc
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                subject.interrupt = nursery.cancel_scope.cancel
                nursery.start_soon(run, other, name="siocore sender")
                await run(one)
        finally:
            subject.interrupt = None
        if failure is not None:
            raise failure

    async def wait_at_most(self, seconds: float, waiter: Waiter) -> None:
        with trio.move_on_after(seconds):
            await waiter.wait()

    async def wait_anyway(self, waiter: Waiter) -> None:
        with trio.CancelScope(shield=True):
            await waiter.wait()

    async def end(self) -> None:
        self._stop.set()
        with trio.CancelScope(shield=True):
            await self._ended.wait()
