"""Calling handlers and driving coroutines by hand, in either build."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import pytest

from codec_builds import needs_compiled
from siocore import steps

variable: ContextVar[str] = ContextVar("variable", default="outside")


@pytest.fixture(params=["python", pytest.param("cython", marks=needs_compiled)])
def build(request: pytest.FixtureRequest) -> ModuleType:
    return steps if request.param == "python" else importlib.import_module("siocore._speedups._steps")


def first_step(build: ModuleType, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return build.first_step(coroutine)


def test_a_coroutine_that_ends_at_once_has_returned(build: ModuleType) -> None:
    async def answer(value: object) -> object:
        return value

    assert first_step(build, answer(5)) == (True, 5)
    assert first_step(build, answer(None)) == (True, None)
    # A value that would be taken apart if it were thrown as an exception.
    assert first_step(build, answer((1, 2))) == (True, (1, 2))
    assert first_step(build, answer(StopIteration(3)))[0] is True


def test_a_coroutine_that_suspends_has_yielded(build: ModuleType) -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        return "done"

    coroutine = wait()
    assert first_step(build, coroutine) == (False, None)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == "done"


def test_what_a_coroutine_raises_comes_out(build: ModuleType) -> None:
    async def fail() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        first_step(build, fail())


def test_a_call_has_a_context_of_its_own(build: ModuleType) -> None:
    def call(argument: str) -> str:
        before = variable.get()
        variable.set(argument)
        return before

    context, result = build.call_in_copied_context(call, "inside")
    assert result == "outside"
    assert variable.get() == "outside"
    assert context[variable] == "inside"


def test_a_call_that_returns_none_is_over(build: ModuleType) -> None:
    assert build.call_in_copied_context(lambda argument: None, 1) is None


def test_what_a_call_raises_comes_out_and_the_context_is_left(build: ModuleType) -> None:
    def fail(argument: str) -> None:
        variable.set(argument)
        raise KeyError("no")

    with pytest.raises(KeyError):
        build.call_in_copied_context(fail, "inside")
    assert variable.get() == "outside"
