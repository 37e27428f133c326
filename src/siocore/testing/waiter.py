"""What a handler waits on when no event loop runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

__all__ = ["VirtualWaiter"]


class VirtualWaiter:
    """A coroutine that awaits it yields it to the driver, which goes on with the coroutine after wake().

    In tests it is also a gate for handlers: ``await gate`` there, ``gate.wake()`` in the test. Any number may wait.
    """

    __slots__ = ("resumes", "woken")

    def __init__(self) -> None:
        self.woken = False
        #: What the driver calls for each coroutine that waits here.
        self.resumes: list[Callable[[], None]] = []

    def wake(self) -> None:
        """End the wait. May come before it starts; a second call does nothing."""
        self.woken = True
        resumes, self.resumes = self.resumes, []
        for resume in resumes:
            resume()

    def wait(self) -> VirtualWaiter:
        """Wait for wake()."""
        return self

    def __await__(self) -> Generator[Any, None, None]:
        if not self.woken:
            yield self
