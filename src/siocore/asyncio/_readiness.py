"""An awaitable that resumes its task within the callback of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

__all__ = ["Readiness"]


class Readiness:
    """What the leader awaits: the driver's descriptor is readable, or the alarm has gone off.

    asyncio's tasks await anything that behaves like a future (``_asyncio_future_blocking``). This one can be awaited
    again and again, and resumes its task within the event loop's callback: a future would do so one iteration of the
    loop later, when the descriptor, still readable, has been reported a second time for nothing.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled = False

    def resume(self) -> None:
        """Resume the task that waits, if there is one."""
        callback = self._callback
        if callback is not None and self._context is not None:
            self._callback = None
            self._context.run(callback, self)

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    # What asyncio.Task needs of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context) -> None:
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        if self._callback is None:
            return False
        self._cancelled = True
        self._loop.call_soon(self.resume)
        return True

    def result(self) -> None:
        if self._cancelled:
            self._cancelled = False
            raise asyncio.CancelledError
