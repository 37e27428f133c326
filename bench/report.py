"""What a run of the bench found, as data, as JSON and as tables."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.servers import Peer
from bench.workloads import Workload

__all__ = ["Cell", "Results", "Row", "machine"]

#: Above this share of its core the generator, not the server, may have set the pace.
GENERATOR_LIMIT = 0.95
#: In a closed loop one side is always at work. If neither had this share of its core, something else had it.
SHARED_LIMIT = 0.8
MARKS = """\
`*` the generator was busy all the time: the server could do more.
`~` other programs took much of both cores: measure again on a quiet machine."""


@dataclass(slots=True)
class Cell:
    """What one peer did with one workload: the figures of each repetition, or why there are none."""

    runs: list[dict[str, float]] = field(default_factory=list)
    skipped: str | None = None
    failed: str | None = None

    def median(self, key: str) -> float | None:
        return median(run[key] for run in self.runs) if self.runs else None

    def spread(self, key: str) -> tuple[float, float]:
        """The smallest and the largest value."""
        values = [run[key] for run in self.runs]
        return min(values), max(values)

    def as_json(self) -> dict[str, Any]:
        if not self.runs:
            return {"failed": self.failed} if self.failed else {"skipped": self.skipped}
        keys = self.runs[0].keys()
        result: dict[str, Any] = {
            key: dict(zip(("min", "max"), self.spread(key), strict=True), median=self.median(key)) for key in keys
        }
        return result | {"runs": self.runs} | ({"failed": self.failed} if self.failed else {})


@dataclass(slots=True)
class Row:
    """One workload and what each peer, by name, did with it."""

    workload: Workload
    cells: dict[str, Cell]


@dataclass(slots=True)
class Results:
    """A whole run."""

    about: dict[str, Any]
    peers: tuple[Peer, ...]
    versions: dict[str, str]
    missing: dict[str, str]
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "workload": row.workload.name,
                "title": row.workload.title,
                "unit": row.workload.unit,
                "peers": {name: cell.as_json() for name, cell in row.cells.items()},
            }
            for row in self.rows
        ]
        return self.about | {"versions": self.versions, "skipped": self.missing, "rows": rows}

    def tables(self) -> str:
        """All tables, in Markdown that is also readable as it stands."""
        loads = [row for row in self.rows if row.workload.mode != "idle"]
        idle = [row for row in self.rows if row.workload.mode == "idle"]
        parts: list[str] = []
        if loads:
            parts += ["## Server CPU, µs per message: median (min–max), less is better", self._table(loads, _cpu)]
            parts += ["## Messages per second: median, more is better", self._table(loads, _rate)]
            parts += [MARKS]
            parts += ["## Time to the answer under this load, ms: p50 / p99", self._table(loads, _latency)]
        if idle:
            parts += [
                "## Resident memory per connection, KB: idle / after one message each",
                self._table(idle, _memory),
            ]
        parts += self._ratios()
        if self.missing:
            parts += ["## Skipped", "\n".join(f"* {name}: {reason}" for name, reason in self.missing.items())]
        failures = [
            f"* {row.workload.name}, {name}: {cell.failed}"
            for row in self.rows
            for name, cell in row.cells.items()
            if cell.failed
        ]
        if failures:
            parts += ["## Failed", "\n".join(failures)]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``table.md`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        about = "\n".join(f"* {name}: {_inline(value)}" for name, value in self.about.items())
        versions = "\n".join(f"* {name}: {version}" for name, version in self.versions.items())
        head = (
            "# Load bench\n\n" + about + "\n" + versions + "\n\nREADME.md, one folder up, says what the figures mean.\n"
        )
        (folder / "table.md").write_text(f"{head}\n{self.tables()}", encoding="utf-8")

    def _table(self, rows: list[Row], cell_text: Callable[[Cell], str]) -> str:
        heads = ["", *(peer.title for peer in self.peers)]
        lines = [
            [row.workload.title, *(_text(row.cells.get(peer.name), cell_text) for peer in self.peers)] for row in rows
        ]
        return _markdown(heads, lines)

    def _ratios(self) -> list[str]:
        ours = [peer for peer in self.peers if peer.name in ("siocore-trio", "siocore-asyncio")]
        theirs = [peer for peer in self.peers if not peer.name.startswith("siocore-")]
        pairs = [(our, other) for other in theirs for our in ours]
        if not pairs:
            return []
        lines = []
        for row in self.rows:
            key = "kb_idle" if row.workload.mode == "idle" else "cpu_us"
            lines.append([row.workload.title, *(_ratio(row, our, other, key) for our, other in pairs)])
        heads = ["", *(f"{our.name.removeprefix('siocore-')} / {other.name}" for our, other in pairs)]
        return ["## siocore's CPU per message (memory per connection) as a share of a peer's", _markdown(heads, lines)]


def _ratio(row: Row, our: Peer, other: Peer, key: str) -> str:
    mine, theirs = (row.cells[peer.name].median(key) for peer in (our, other))
    return f"{mine / theirs:.2f}" if mine is not None and theirs is not None and theirs > 0 else "–"


def _text(cell: Cell | None, cell_text: Callable[[Cell], str]) -> str:
    if cell is None or not cell.runs:
        return "failed" if cell and cell.failed else "skipped"
    return cell_text(cell)


def _cpu(cell: Cell) -> str:
    low, high = cell.spread("cpu_us")
    spread = f" ({_figure(low)}–{_figure(high)})" if len(cell.runs) > 1 else ""
    return f"{_figure(cell.median('cpu_us'))}{spread}"


def _rate(cell: Cell) -> str:
    generator, server = cell.median("generator_busy") or 0.0, cell.median("server_busy") or 0.0
    mark = "*" if generator > GENERATOR_LIMIT else "~" if max(generator, server) < SHARED_LIMIT else ""
    return f"{cell.median('rate'):,.0f}{mark}"


def _latency(cell: Cell) -> str:
    return f"{_figure(cell.median('p50_ms'))} / {_figure(cell.median('p99_ms'))}"


def _memory(cell: Cell) -> str:
    return f"{_figure(cell.median('kb_idle'))} / {_figure(cell.median('kb_spoken'))}"


def _figure(value: float | None) -> str:
    """Three significant digits, never an exponent."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _markdown(heads: list[str], lines: list[list[str]]) -> str:
    widths = [max(len(line[index]) for line in [heads, *lines]) for index in range(len(heads))]

    def row(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([row(heads), row(rule), *(row(line) for line in lines)])


def _inline(value: Any) -> str:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def machine() -> dict[str, Any]:
    """What the figures were measured on; nothing that names the computer or its user."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{memory / 1024**3:.0f} GB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }
