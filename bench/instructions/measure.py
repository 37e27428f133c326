"""Runs the cases under callgrind, all in one process, and reads what it has counted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["MeasureError", "child_environment", "measure", "read_total"]

ROOT = Path(__file__).resolve().parent.parent.parent
#: Names of the same function, since symbol tables differ between C libraries.
_MARKS = ("getppid", "__getppid")


class MeasureError(Exception):
    """There is nothing to measure with, or what was measured is of no use."""


def measure(progress: Callable[[str, float], None]) -> dict[str, float]:
    """Instructions per operation of every case, by name. ``progress`` is told each as soon as it is known.

    Raises MeasureError without valgrind, or if a case fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MeasureError("valgrind was not found (on Debian: apt-get install valgrind)")
    with tempfile.TemporaryDirectory() as folder:
        counters = Path(folder) / "counters"
        command = [
            *(valgrind, "--quiet", "--tool=callgrind", f"--callgrind-out-file={counters}"),
            *(f"--dump-before={name}" for name in _MARKS),
            *(sys.executable, "-m", "bench.instructions.child"),
        ]
        # Into a file: a pipe that nobody reads meanwhile could fill up.
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=child_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as child,
        ):
            assert child.stdout is not None
            found: dict[str, float] = {}
            for line in child.stdout:
                name, operations = line.split()
                # Two calls of getppid() for each case: what lies in front of the first is not counted.
                part = 2 * len(found) + 2
                found[name] = read_total(counters.with_name(f"{counters.name}.{part}")) / int(operations)
                progress(name, found[name])
            if child.wait():
                errors.seek(0)
                raise MeasureError(f"valgrind ended with status {child.returncode}: {errors.read().strip()[-2000:]}")
    return found


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """An environment in which the same code always takes the same way.

    Hashes of strings would be salted anew in each run, and with them the order of sets and the collisions in
    dictionaries. What else PYTHON... asks for, such as another allocator or the development mode, is left out.
    """
    kept = {name: value for name, value in variables.items() if not name.startswith("PYTHON")}
    return kept | {"PYTHONHASHSEED": "0"}


def read_total(path: Path) -> int:
    """The instructions in one file of callgrind's. Raises MeasureError if it is not there or says nothing of them."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise MeasureError("callgrind has not seen the calls of getppid() around a case") from None
    for line in text.splitlines():
        name, _, number = line.partition(":")
        if name == "totals":
            return int(number.split()[0])
    raise MeasureError("callgrind's file has no totals")
