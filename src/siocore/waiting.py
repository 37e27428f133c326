"""Waiting without knowing the event loop: whoever drives an endpoint brings the waiters."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["READY", "Drainable", "Ready", "Resolved", "Sent", "Waiter"]


_T = TypeVar("_T")


class Waiter(Protocol):
    """Made by the driver for one wait."""

    def wake(self) -> None:
        """End the wait. May come before it starts; a second call does nothing."""

    def wait(self) -> Awaitable[None]:
        """Wait for wake()."""


class Ready:
    """An awaitable that has nothing to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


READY = Ready()


class Resolved(Generic[_T]):
    """An awaitable whose result is there already, where another implementation would have to wait."""

    __slots__ = ("_result",)

    def __init__(self, result: _T) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, _T]:
        return self._result
        yield


class Drainable(Protocol):
    """Something that buffers what is sent."""

    drain_waiters: list[Waiter] | None

    @property
    def open(self) -> bool: ...

    @property
    def buffered(self) -> int: ...

    @property
    def high_water(self) -> int: ...

    def new_waiter(self) -> Waiter:
        """Raises LocalProtocolError when nobody drives the endpoint."""


class Sent:
    """What ``emit`` and ``send`` return. Awaiting it waits until little is buffered: that is the backpressure."""

    __slots__ = ("_target",)

    def __init__(self, target: Drainable) -> None:
        self._target = target

    def __await__(self) -> Generator[Any, None, None]:
        target = self._target
        while target.open and target.buffered > target.high_water:
            waiter = target.new_waiter()
            if target.drain_waiters is None:
                target.drain_waiters = []
            target.drain_waiters.append(waiter)
            yield from waiter.wait().__await__()
