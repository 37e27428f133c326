"""The modules that are compiled in place: what their .pxd files must say, and that the pure build behaves alike."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import siocore
from siocore._speedups import IMPLEMENTATION, IN_PLACE

PACKAGE = Path(siocore.__file__).resolve().parent
SOURCE = PACKAGE.parent
IN_CHECKOUT = pytest.mark.skipif(
    not (PACKAGE / "driven.pxd").is_file(), reason="an installed package has no .pxd files"
)


def declarations() -> Iterator[tuple[str, str | None, set[str], Path]]:
    """Each class of a .pxd file: its name, its base, its methods, and the source that it belongs to."""
    for path in sorted(PACKAGE.rglob("*.pxd")):
        if path.parent.name == "_speedups":
            continue
        for block in re.split(r"^(?=cdef class )", path.read_text(), flags=re.MULTILINE)[1:]:
            head = re.match(r"cdef class (\w+)(?:\((\w+)\))?:", block)
            assert head is not None
            yield head[1], head[2], set(re.findall(r"^    cp?def .*?(\w+)\(self", block, re.MULTILINE)), path


@IN_CHECKOUT
def test_every_override_of_a_compiled_method_is_declared() -> None:
    """One that is not would be called from Python, and passed over by compiled callers."""
    bases = {name: base for name, base, _, _ in declarations()}
    methods = {name: own for name, _, own, _ in declarations()}
    checked = 0
    for name, _, own, path in declarations():
        inherited: set[str] = set()
        base = bases[name]
        while base in bases:
            inherited |= methods[base]
            base = bases[base]
        for node in ast.parse(path.with_suffix(".py").read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                written = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                assert not (written & inherited) - own, f"{path.name}: {name}"
                checked += len(written & inherited)
    assert checked > 20


@IN_CHECKOUT
def test_every_module_with_a_pxd_is_compiled_in_place_and_the_other_way_round() -> None:
    found = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.pxd")
        if path.parent.name != "_speedups"
    }
    assert found == set(IN_PLACE)


@pytest.mark.parametrize("name", IN_PLACE)
def test_each_module_is_of_the_build_that_was_chosen(name: str) -> None:
    file = str(importlib.import_module(name).__file__)
    assert file.endswith(".py") == (IMPLEMENTATION == "python")


@IN_CHECKOUT
@pytest.mark.skipif(IMPLEMENTATION != "cython", reason="nothing compiled is in use")
@pytest.mark.parametrize("name", IN_PLACE)
def test_no_compiled_module_is_older_than_its_source(name: str) -> None:
    # A copy of the folder may have been made in any order, within a minute.
    compiled = Path(str(importlib.import_module(name).__file__))
    stem = SOURCE / Path(*name.split("."))
    for source in (stem.with_suffix(".py"), stem.with_suffix(".pxd")):
        changed = source.stat().st_mtime > compiled.stat().st_mtime + 60
        assert not changed, f"{source.name} has changed: build again (make test)"


@pytest.mark.skipif(IMPLEMENTATION != "cython", reason="both builds are needed")
def test_both_builds_answer_the_same_bytes_with_the_same_bytes() -> None:
    """Seeded conversations, cut anywhere, driven in a process of each build: every event and every output."""
    conversations = Path(__file__).parent / "conversations.py"

    def transcript(build: str) -> list[str]:
        environment = {**os.environ, "SIOCORE_NO_EXTENSIONS": "1" if build == "python" else "0"}
        done = subprocess.run(
            [sys.executable, str(conversations)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        first, *lines = done.stdout.splitlines()
        assert first == build
        return lines

    compiled, pure = transcript("cython"), transcript("python")
    assert len(compiled) > 5_000
    for number, (one, other) in enumerate(zip(compiled, pure, strict=True)):
        assert one == other, f"line {number}"
