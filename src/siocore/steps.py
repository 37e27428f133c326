"""Driving a coroutine by hand."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

__all__ = ["first_step"]


def first_step(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
    """Run a new coroutine until it ends or suspends: ``(True, what it returned)`` or ``(False, what it yielded)``.

    Raises what the coroutine raises.
    """
    try:
        return False, coroutine.send(None)
    except StopIteration as stop:
        return True, stop.value
