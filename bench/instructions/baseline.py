"""The recorded figures, where they were recorded, and what of the new ones is to be said next to them."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path

__all__ = ["OTHER_ENVIRONMENT", "SAME_ENVIRONMENT", "Baseline", "Comparison", "Row", "Verdict", "environment"]

#: How much a case may grow where the baseline was recorded. The same code differs by less than 1 % between runs.
SAME_ENVIRONMENT = 0.05
#: And elsewhere, where CPython, the compiler's output and orjson differ.
OTHER_ENVIRONMENT = 0.30


def environment() -> dict[str, str]:
    """All that decides how many instructions the same code takes; nothing that names the computer or its user."""
    return {
        "CPython": platform.python_version(),
        # Its own compiler and configuration: most of what is counted is the interpreter.
        "build of CPython": _build(platform.python_compiler(), sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "architecture": platform.machine(),
        "C compiler": _compiler(),
        "orjson": version("orjson"),
    }


def _build(compiler: str, configuration: str) -> str:
    name, _, number = compiler.partition(" ")
    options = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}
    return " ".join(
        [name, number.partition(".")[0], *(word for option, word in options.items() if option in configuration)]
    )


def _compiler() -> str:
    """Name and major version of what compiles siocore's modules here."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    try:
        about, number = (
            subprocess.run([*command, option], capture_output=True, text=True, check=True).stdout
            for option in ("--version", "-dumpversion")
        )
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return f"{'clang' if 'clang' in about else 'gcc'} {number.strip().partition('.')[0]}"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Instructions per operation of each case, by name, and the environment they were counted in."""

    environment: Mapping[str, str]
    instructions: Mapping[str, float]

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """What was recorded: nothing if there is no file. Raises ValueError for one that is not a baseline."""
        try:
            recorded = json.loads(path.read_text(encoding="utf-8"))
            return cls(dict(recorded["environment"]), {str(k): float(v) for k, v in recorded["instructions"].items()})
        except FileNotFoundError:
            return cls({}, {})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path.name} is not a baseline ({error!r}); record one with --update") from None

    def save(self, path: Path) -> None:
        instructions = {name: round(figure, 1) for name, figure in self.instructions.items()}
        text = json.dumps({"environment": dict(self.environment), "instructions": instructions}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


class Verdict(Enum):
    """What is to be said of one case."""

    WITHIN = "within the margin"
    GREW = "grew"
    SHRANK = "shrank"
    NOT_RECORDED = "not in the baseline"


@dataclass(frozen=True, slots=True)
class Row:
    """One case: its figure, the recorded one, and the change as a share of that."""

    name: str
    instructions: float
    baseline: float | None
    margin: float

    @property
    def change(self) -> float | None:
        return None if self.baseline is None else self.instructions / self.baseline - 1

    @property
    def verdict(self) -> Verdict:
        if self.baseline is None:
            return Verdict.NOT_RECORDED
        if self.instructions > self.baseline * (1 + self.margin):
            return Verdict.GREW
        return Verdict.SHRANK if self.instructions < self.baseline * (1 - self.margin) else Verdict.WITHIN


class Comparison:
    """New figures next to the recorded ones."""

    def __init__(self, measured: Mapping[str, float], here: Mapping[str, str], baseline: Baseline) -> None:
        self.differences = {
            name: (baseline.environment.get(name, "unknown"), here.get(name, "unknown"))
            for name in {**baseline.environment, **here}
            if baseline.environment.get(name) != here.get(name)
        }
        self.margin = OTHER_ENVIRONMENT if self.differences else SAME_ENVIRONMENT
        self.rows = [
            Row(name, figure, baseline.instructions.get(name), self.margin) for name, figure in measured.items()
        ]
        #: Recorded cases that there are no more.
        self.gone = [name for name in baseline.instructions if name not in measured]

    @property
    def failed(self) -> bool:
        return bool(self.gone) or any(row.verdict in (Verdict.GREW, Verdict.NOT_RECORDED) for row in self.rows)
