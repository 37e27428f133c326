from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

_T = TypeVar("_T")

def call_in_copied_context(function: Callable[[Any], _T | None], argument: object) -> tuple[Context, _T] | None: ...
def first_step(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]: ...
