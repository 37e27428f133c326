"""The builds of the codecs that are there: pure Python, and its compiled twin."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

import pytest

COMPILED = all(
    importlib.util.find_spec(f"siocore._speedups.{name}") is not None
    for name in ("_engineio", "_frames", "_json", "_socketio")
)

needs_compiled = pytest.mark.skipif(not COMPILED, reason="the compiled modules were not built")

#: Runs a test once per build; those that are not there are reported as skipped.
each_build = pytest.mark.parametrize("build", ["python", pytest.param("cython", marks=needs_compiled)])


def codec(build: str, name: str) -> ModuleType:
    """The module ``name`` (engineio, socketio, json) of one build."""
    return importlib.import_module(f"siocore.codec.{name}" if build == "python" else f"siocore._speedups._{name}")


def outcome(function: Any, *args: Any) -> tuple[Any, ...]:
    """What a call does, comparable between builds: ``("value", ...)`` or ``("error", type, message)``."""
    try:
        return ("value", function(*args))
    except Exception as error:
        return ("error", type(error), str(error))
