"""What a run of the bench found, as data: a row per workload, in it a cell per server, in it figures of each run."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.servers import Peer
from bench.workloads import Workload

__all__ = ["Cell", "Results", "Row"]

#: A server that answers a smaller share of an open loop's events than this does not carry them.
CARRIED = 0.95


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

    @property
    def overloaded(self) -> bool:
        """Open loop: does the server fall ever further behind the events that come to it?"""
        return (self.median("rate") or 0.0) < CARRIED * (self.median("load") or 0.0)

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

    def of(self, *modes: str) -> list[Row]:
        """The rows of these modes of the generator."""
        return [row for row in self.rows if row.workload.mode in modes]

    def median(self, workload: str, peer: str, key: str) -> float | None:
        """A figure by the names of its row and its column; None if it was not measured."""
        cell = next((row.cells.get(peer) for row in self.rows if row.workload.name == workload), None)
        return cell.median(key) if cell is not None else None
