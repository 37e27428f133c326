"""Handlers of blocking code: plain functions, which Ctrl-C can interrupt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from siocore.application.calls import is_awaitable
from siocore.errors import LocalProtocolError
from siocore.sync._host import BlockingHost

__all__ = ["Handler", "unwrapped"]

_PLAIN = "a handler of blocking code is a plain function (def), not a coroutine: nobody would await it"


class Handler:
    """A function of the application, in its place: equal to another one of the same function."""

    __slots__ = ("_host", "handler")

    def __init__(self, host: BlockingHost, handler: Callable[..., Any]) -> None:
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {handler!r}")
        if any(
            check(function)
            for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
            for function in (handler, getattr(handler, "__call__", None))  # noqa: B004
        ):
            raise LocalProtocolError(_PLAIN)
        self._host = host
        self.handler = handler

    def __call__(self, *args: Any) -> Any:
        result = self._host.call_handler(self.handler, args)
        if result is not None and is_awaitable(result):
            if isinstance(result, Coroutine):
                result.close()
            raise LocalProtocolError(_PLAIN)
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handler) and self.handler == other.handler

    def __hash__(self) -> int:
        return hash(self.handler)


def unwrapped(handlers: list[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """As the application knows them."""
    return [each.handler if isinstance(each, Handler) else each for each in handlers]
