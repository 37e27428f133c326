"""``python -m bench``: siocore and its peers under the same load, side by side."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import chart, servers, workloads
from bench.measure import Cores, Settings, build, measure
from bench.report import Cell, Results, Row, machine
from bench.servers import BenchError, Peer
from bench.workloads import Workload

RESULTS = Path(__file__).resolve().parent / "results"
#: Connections of the idle workload, and some.
DESCRIPTORS = 6_000


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        rows, peers = workloads.select(options.only), servers.select(options.peers)
        cores = Cores.available()
        raise_descriptor_limit()
        build()
    except (ValueError, BenchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    settings = settings_of(options)
    versions, missing = find(peers)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m bench", *(sys.argv[1:] if arguments is None else arguments)]),
        "implementation": implementation(versions),
        "machine": machine(),
        "cores": {"server on": cores.server, "generator on": cores.generator},
        "runs": f"{settings.repetitions} of {settings.seconds:g} s after {settings.warm_up:g} s, interleaved",
    }
    results = Results(about, peers, versions, missing, [])
    progress = Progress(sum(repetitions(row, settings) for row in rows) * len(versions))
    for workload in rows:
        results.rows.append(measure_row(workload, peers, missing, settings, cores, progress))
        # After every row, so that a run that is stopped leaves what it has.
        results.write(options.output)
        (options.output / "chart.svg").write_text(chart.draw(results), encoding="utf-8")
    print(f"\n{results.tables()}")
    return 1 if any(cell.failed for row in results.rows for cell in row.cells.values()) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short repetition of each: under five minutes")
    made.add_argument("--only", metavar="NAMES", help="workloads, or beginnings of their names, separated by commas")
    made.add_argument("--peers", metavar="NAMES", help="servers, separated by commas")
    made.add_argument("--seconds", type=float, help="how long each run is measured")
    made.add_argument("--repetitions", type=int, help="runs of each")
    made.add_argument("--messages", type=int, help="end each run after so many messages, without warm-up")
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for table.md, results.json and chart.svg")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    seconds = options.seconds or (1.5 if options.quick else 2.5)
    counted = options.messages is not None
    return Settings(
        seconds=seconds,
        warm_up=0.0 if counted else 0.5 if options.quick else 1.0,
        repetitions=options.repetitions or (1 if options.quick or counted else 3),
        settle=1.0 if options.quick else 2.0,
        messages=options.messages,
    )


def repetitions(workload: Workload, settings: Settings) -> int:
    # Memory hardly varies, and 5,000 connections take their time.
    return min(settings.repetitions, 2) if workload.mode == "idle" else settings.repetitions


def find(peers: tuple[Peer, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of the peers that can run, and the reasons of those that can't."""
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        version, reason = servers.probe(peer)
        if version is not None:
            versions[peer.name] = version
            print(f"{peer.title}: {version}", flush=True)
        else:
            missing[peer.name] = str(reason)
            print(f"{peer.title}: skipped: {reason}", flush=True)
    return versions, missing


def implementation(versions: dict[str, str]) -> str | None:
    """What siocore runs on, ``"cython"`` or ``"python"``: the third word of its versions."""
    return next((text.split()[2].strip(",") for name, text in versions.items() if name.startswith("siocore-")), None)


def measure_row(
    workload: Workload,
    peers: tuple[Peer, ...],
    missing: dict[str, str],
    settings: Settings,
    cores: Cores,
    progress: Progress,
) -> Row:
    """All peers in turn, then all again: what else the machine does falls on each of them alike."""
    row = Row(workload, {peer.name: Cell(skipped=missing.get(peer.name)) for peer in peers})
    for _ in range(repetitions(workload, settings)):
        for peer in peers:
            cell = row.cells[peer.name]
            if peer.name in missing:
                continue
            if workload.mode in peer.without:
                cell.skipped = peer.without[workload.mode]
                progress.step(f"{workload.name:10} {peer.title:18} skipped: {cell.skipped}")
                continue
            try:
                figures = measure(peer, workload, settings, cores)
            except BenchError as error:
                cell.failed = str(error)
                progress.step(f"{workload.name:10} {peer.title:18} failed: {error}")
                continue
            cell.runs.append(figures)
            progress.step(f"{workload.name:10} {peer.title:18} {summary(figures)}")
    return row


def summary(figures: dict[str, float]) -> str:
    if "kb_idle" in figures:
        return f"{figures['kb_idle']:8.2f} KB idle {figures['kb_spoken']:8.2f} KB after a message"
    return f"{figures['cpu_us']:8.2f} µs {figures['rate']:12,.0f}/s"


class Progress:
    """Numbers the runs and prints what each found."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        self._done += 1
        elapsed = time.monotonic() - self._began
        left = elapsed / self._done * (self._total - self._done)
        print(f"[{self._done:3}/{self._total}, {left:4.0f} s left] {text}", flush=True)


def raise_descriptor_limit() -> None:
    """For the servers, which inherit it. Raises BenchError if the hard limit is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise BenchError(f"the hard limit of open files is {hard}; the bench needs {DESCRIPTORS} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("bench: the load bench needs Linux (epoll, and processes pinned to cores)")
    sys.exit(main())
