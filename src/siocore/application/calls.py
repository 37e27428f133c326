"""Calling handlers: plain functions at once, coroutines when the driver drives them, errors to the log and the hook."""

from __future__ import annotations

import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

from siocore.events import GarbageReceived, SharingLost, SharingRestored

__all__ = ["Calls", "ErrorHandler", "is_awaitable", "log_cluster", "resumed", "runnable"]

logger = logging.getLogger("siocore")

#: Called with the exception, the socket or session, and the event's name.
ErrorHandler = Callable[[Exception, Any, str], Any]
_E = TypeVar("_E", bound=ErrorHandler)
_T = TypeVar("_T")


def is_awaitable(value: object) -> bool:
    return hasattr(value, "__await__")


def runnable(*parts: object) -> tuple[Any, ...]:
    """Those parts of a server that run beside it."""
    return tuple(part for part in parts if hasattr(part, "run"))


def log_cluster(event: object) -> None:
    """What the application can do nothing about, but people should know of: an event about other servers."""
    if isinstance(event, GarbageReceived):
        logger.warning("dropped what arrived on %.200r: %.500s", event.channel, event.reason)
    elif isinstance(event, SharingLost):
        logger.warning("sessions are not shared with other servers for now: %.500s", event.reason)
    elif isinstance(event, SharingRestored):
        logger.warning("sessions are shared with other servers again")


@types.coroutine
def resumed(coroutine: Coroutine[Any, Any, _T], yielded: Any) -> Generator[Any, Any, _T]:
    """Await what is left of a coroutine that has taken its first step; ``yielded`` is what it waits for."""
    try:
        while True:
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = coroutine.throw(error)
            else:
                yielded = coroutine.send(sent)
    except StopIteration as stop:
        result: _T = stop.value
        return result


class Calls:
    """What Server and EngineServer have in common."""

    __slots__ = ("_error_handlers",)

    def __init__(self) -> None:
        self._error_handlers: tuple[ErrorHandler, ...] = ()

    def on_error(self, handler: _E) -> _E:
        """Register a hook for exceptions that handlers raise: ``@io.on_error``, called as ``(error, socket, name)``.

        Each exception is logged once, whether there is a hook or not; the socket lives on.
        """
        self._error_handlers = (*self._error_handlers, handler)
        return handler

    async def run_all(self, handlers: Sequence[Callable[..., Any]], args: Sequence[object], name: str) -> None:
        """Call handlers one after the other; the first of ``args`` is the socket or session."""
        for handler in handlers:
            try:
                result = handler(*args)
                if is_awaitable(result):
                    await result
            except Exception as error:
                await self.failed(error, args[0], name)

    async def failed(self, error: Exception, subject: object, name: str) -> None:
        """A handler raised: log it, call the hooks."""
        pending = self.report(error, subject, name)
        if pending is not None:
            await pending

    def report(self, error: Exception, subject: object, name: str) -> Awaitable[None] | None:
        """Log, call the hooks; what is returned awaits those that are coroutines."""
        # %r and a bound: names come from peers and logs go to terminals.
        logger.error("the handler of %.200r failed", name, exc_info=error)
        waiting = []
        for handler in self._error_handlers:
            try:
                result = handler(error, subject, name)
            except Exception:
                logger.exception("the on_error hook failed")
            else:
                if is_awaitable(result):
                    waiting.append(result)
        return _await_hooks(waiting) if waiting else None


async def _await_hooks(waiting: list[Awaitable[object]]) -> None:
    for hook in waiting:
        try:
            await hook
        except Exception:
            logger.exception("the on_error hook failed")
