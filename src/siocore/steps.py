"""Calling handlers and driving their coroutines by hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

__all__ = ["call_in_copied_context", "first_step"]

_T = TypeVar("_T")


def call_in_copied_context(function: Callable[[Any], _T | None], argument: object) -> tuple[Context, _T] | None:
    """Call ``function(argument)`` in a copy of the current context: that copy and the result, if it is not ``None``.

    Raises what the function raises.
    """
    context = copy_context()
    result = context.run(function, argument)
    return None if result is None else (context, result)


def first_step(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
    """Run a new coroutine until it ends or suspends: ``(True, what it returned)`` or ``(False, what it yielded)``.

    Raises what the coroutine raises.
    """
    try:
        return False, coroutine.send(None)
    except StopIteration as stop:
        return True, stop.value
