"""The types of the ASGI specification, and what this package needs of an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Protocol, TypeAlias, TypeVar

from siocore._driver.interfaces import Host
from siocore.waiting import Waiter

__all__ = ["ASGIApplication", "AsgiHost", "Interruptible", "Message", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_T = TypeVar("_T")


class Interruptible(Protocol):
    """Something whose task waits for others."""

    #: Ends the wait from within the event loop; ``None`` while there is none.
    interrupt: Callable[[], object] | None


class AsgiHost(Host, Protocol):
    """An event loop that an ASGI server runs. Tasks that are started here outlive the request that caused them."""

    #: Set when :meth:`wait` returns, at a time when whatever had arrived before is no longer on its way.
    rested: bool

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in this event loop."""

    @property
    def is_over(self) -> bool:
        """Whether this event loop has ended, with all its tasks."""

    def signal(self) -> None:
        """End :meth:`wait`. From any thread."""

    def leader_cancelled(self, lead_on: Callable[[], None]) -> None:
        """The leader's task was cancelled: by mistake, or because the event loop ends. Another may have to lead."""

    def crash(self, exc: BaseException) -> None:
        """A handler has raised something like SystemExit: end the event loop with it."""

    async def until_interrupted(self, subject: Interruptible, function: Callable[[], Awaitable[_T]]) -> _T | None:
        """Await ``function()``; ``None`` if ``subject.interrupt()`` ended that."""

    async def alongside(
        self,
        subject: Interruptible,
        one: Callable[[], Coroutine[Any, Any, None]],
        other: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Run both at the same time. When one ends, or ``subject.interrupt()`` is called, what is left is cancelled."""

    async def wait_at_most(self, seconds: float, waiter: Waiter) -> None:
        """Wait for ``waiter``, but not for longer than that."""

    async def wait_anyway(self, waiter: Waiter) -> None:
        """Wait for ``waiter``, cancelled or not."""

    async def end(self) -> None:
        """Cancel every task that was started, and wait until they have ended."""
