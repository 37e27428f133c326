"""Driving the coroutines of handlers by hand, so that one that never suspends costs no task.

The leader starts a handler's coroutine itself, in a context of its own. If the coroutine ends at once, that was all.
If it suspends, what it yielded is meant for the host, and the leader's task becomes the task of this handler:
:func:`stay_with` passes everything through, in both directions, until the coroutine ends.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, NamedTuple

__all__ = ["Suspended", "stay_with"]


class Suspended(NamedTuple):
    """A handler that has suspended for the first time, and what it yielded to the host."""

    context: Context
    coroutine: Coroutine[Any, Any, Any]
    yielded: Any


@types.coroutine
def stay_with(suspended: Suspended) -> Generator[Any, Any, None]:
    """Be the task of this handler until it ends; raises what it raises."""
    context, coroutine, yielded = suspended
    run = context.run
    send = coroutine.send
    try:
        while True:
            try:
                value = yield yielded
            except GeneratorExit:
                # The task is thrown away unfinished. Nobody is left to wait for, so nothing may be awaited (PEP 342).
                run(coroutine.close)
                raise
            except BaseException as exc:
                yielded = run(coroutine.throw, exc)
            else:
                yielded = run(send, value)
    except StopIteration:
        return
