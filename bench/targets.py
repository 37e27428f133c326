"""What siocore is to reach, and whether it did in this run: each target with its figure for both bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bench.figures import Results
from bench.workloads import AMONG, GROWTH

__all__ = ["BINDINGS", "CLIENT_TARGETS", "TARGETS", "Outcome", "as_json", "judge"]

BINDINGS = ("siocore-trio", "siocore-asyncio")
#: What "the same cost" may differ by: both ways from the middle of the cheapest and the dearest.
TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class Outcome:
    """A figure in words. ``met`` is None if it was not measured."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        return self.text if self.met is None else f"{self.text} – {'met' if self.met else 'NOT MET'}"


NOT_MEASURED = Outcome("not measured", None)
Judge = Callable[[Results, str], Outcome]
Targets = tuple[tuple[str, Judge], ...]


def judge(results: Results, targets: Targets | None = None) -> list[tuple[str, dict[str, Outcome]]]:
    """Every target, in words, with the outcome for each binding that the run was to measure."""
    bindings = [peer.name for peer in results.peers if peer.name in BINDINGS]
    chosen = TARGETS if targets is None else targets
    return [(title, {name: decide(results, name) for name in bindings}) for title, decide in chosen]


def as_json(results: Results, targets: Targets | None = None) -> list[dict[str, Any]]:
    return [
        {"target": title} | {name: {"value": each.text, "met": each.met} for name, each in outcomes.items()}
        for title, outcomes in judge(results, targets)
    ]


def _ratio(workload: str, other: str, most: float) -> Judge:
    """CPU per message, as a share of another server's in the same run."""

    def decide(results: Results, name: str) -> Outcome:
        mine, theirs = (results.median(workload, peer, "cpu_us") for peer in (name, other))
        # So few messages that none was charged are no measurement.
        if mine is None or not theirs:
            return NOT_MEASURED
        return Outcome(f"{mine / theirs:.2f}", mine / theirs <= most)

    return decide


def _rate(workload: str, other: str, least: float) -> Judge:
    """Messages per second, as a multiple of another server's in the same run."""

    def decide(results: Results, name: str) -> Outcome:
        mine, theirs = (results.median(workload, peer, "rate") for peer in (name, other))
        if mine is None or not theirs:
            return NOT_MEASURED
        return Outcome(f"{mine / theirs:.2f}", mine / theirs >= least)

    return decide


def _memory(workload: str, most: float) -> Judge:
    def decide(results: Results, name: str) -> Outcome:
        idle, spoken = (results.median(workload, name, key) for key in ("kb_idle", "kb_spoken"))
        if idle is None or spoken is None:
            return NOT_MEASURED
        return Outcome(f"{idle:.2f} / {spoken:.2f} KB", max(idle, spoken) <= most)

    return decide


def _flat(workloads: Iterable[str]) -> Judge:
    """The same cost per message in all of them. Some may have been left out, but not the first or the last."""
    names = tuple(workloads)

    def decide(results: Results, name: str) -> Outcome:
        found = [results.median(workload, name, "cpu_us") for workload in names]
        costs = [cost for cost in found if cost]
        if not found[0] or not found[-1]:
            return NOT_MEASURED
        smallest, largest = min(costs), max(costs)
        off = (largest - smallest) / (largest + smallest)
        return Outcome(f"largest / smallest {largest / smallest:.2f} (±{off:.0%})", off <= TOLERANCE)

    return decide


def _share_of_core(workload: str, most: float) -> Judge:
    def decide(results: Results, name: str) -> Outcome:
        share = results.median(workload, name, "server_busy")
        return NOT_MEASURED if share is None else Outcome(f"{share:.2%}", share < most)

    return decide


def _sooner(workload: str, other: str) -> Judge:
    """The 99th percentile of the time to the answer, below another server's in the same run."""

    def decide(results: Results, name: str) -> Outcome:
        mine, theirs = (results.median(workload, peer, "p99_ms") for peer in (name, other))
        if mine is None or theirs is None:
            return NOT_MEASURED
        return Outcome(f"{mine:.2f} ms against {theirs:.2f} ms", mine < theirs)

    return decide


TARGETS: Targets = (
    ("ack-20x1: CPU per message at most 0.55 of Node.js'", _ratio("ack-20x1", "node", 0.55)),
    ("ack-20x1: CPU per message at most 1.7 of the floor's", _ratio("ack-20x1", "floor", 1.7)),
    ("ack-20x8: CPU per message at most 0.2 of Node.js'", _ratio("ack-20x8", "node", 0.2)),
    ("ack-200x1: CPU per message at most 0.3 of Node.js'", _ratio("ack-200x1", "node", 0.3)),
    ("binary: CPU per message at most 0.2 of Node.js'", _ratio("binary", "node", 0.2)),
    ("broadcast: CPU per delivery at most 0.3 of Node.js'", _ratio("broadcast", "node", 0.3)),
    ("connect: CPU per connection at most 0.4 of Node.js'", _ratio("connect", "node", 0.4)),
    ("handshake: at least 2 times Node.js' rate", _rate("handshake", "node", 2)),
    ("pollecho: at least 2 times Node.js' rate", _rate("pollecho", "node", 2)),
    ("idle-5000: at most 4 KB per connection, silent / after a message", _memory("idle-5000", 4)),
    ("idle-15000: at most 4 KB per connection, silent / after a message", _memory("idle-15000", 4)),
    (
        f"among: CPU per message flat (±{TOLERANCE:.0%}) from 10 to 10,000 clients, ten of them active",
        _flat(workload.name for workload in AMONG),
    ),
    (
        f"growth: CPU per message flat (±{TOLERANCE:.0%}) from 10 to 10,000 clients, all of them active",
        _flat(workload.name for workload in GROWTH),
    ),
    ("heartbeat-10000: below 1 % of a core", _share_of_core("heartbeat-10000", 0.01)),
    (f"room: the same (±{TOLERANCE:.0%}) among 100 and 10,000 clients", _flat(("room-100", "room-10000"))),
    (f"join: the same (±{TOLERANCE:.0%}) among 100 and 10,000 clients", _flat(("join-100", "join-10000"))),
    ("tail-half: p99 below Node.js', each at half of its own rate", _sooner("tail-half", "node")),
    ("tail-node: p99 below Node.js', each at half of Node.js' rate", _sooner("tail-node", "node")),
)

#: Of ``python -m bench.clients``.
CLIENT_TARGETS: Targets = tuple(
    (f"{workload}: CPU per event {words}", _ratio(workload, other, most))
    for workload in ("ack-1x1", "ack-1x8", "ack-20x1", "incoming")
    for words, other, most in (
        ("at most 0.2 of python-socketio's", "python-socketio", 0.2),
        ("below Node.js'", "node", 1.0),
    )
)
