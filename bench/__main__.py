"""``python -m bench``: siocore and its peers under the same load, side by side."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import chart, report, servers, workloads
from bench.figures import Cell, Results, Row
from bench.measure import Cores, Settings, build, measure
from bench.servers import BenchError, Peer
from bench.workloads import Workload

RESULTS = Path(__file__).resolve().parent / "results"
#: What a server or the generator has open besides its connections.
SPARE_DESCRIPTORS = 200
#: Servers that --quick leaves out.
SLOW_PEERS = frozenset({"siocore-uvloop", "python-socketio"})
#: What an open loop takes half of.
SATURATED = "ack-20x1"


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        rows, peers = chosen(options)
        cores = Cores.available()
        build()
    except (ValueError, BenchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    descriptors = raise_descriptor_limit()
    settings = settings_of(options)
    versions, missing = find(peers)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(sys.argv[1:] if arguments is None else arguments),
        "implementation": implementation(versions),
        "machine": report.machine(),
        "cores": {"server on": cores.server, "generator on": cores.generator},
        "runs": f"up to {settings.repetitions} of {settings.seconds:g} s after {settings.warm_up:g} s, interleaved",
    }
    results = Results(about, peers, versions, missing, [])
    progress = Progress(sum(repetitions(row, settings) for row in rows) * len(versions))
    for workload in rows:
        row = Row(workload, {peer.name: Cell(skipped=missing.get(peer.name)) for peer in peers})
        results.rows.append(row)
        if workload.clients + SPARE_DESCRIPTORS > descriptors:
            skip(row, f"needs {workload.clients + SPARE_DESCRIPTORS} open files, and the hard limit is {descriptors}")
        measure_row(row, results, settings, cores, progress)
        # After every row, so that a run that is stopped leaves what it has.
        report.write(results, options.output)
        for name, picture in chart.pictures(results).items():
            (options.output / name).write_text(picture, encoding="utf-8")
    print(f"\n{report.tables(results)}")
    return 1 if any(cell.failed for row in results.rows for cell in row.cells.values()) else 0


def chosen(options: argparse.Namespace) -> tuple[tuple[Workload, ...], tuple[Peer, ...]]:
    """What the options name; what they don't name, --quick thins out. Raises ValueError for an unknown name."""
    rows, peers = workloads.select(options.only), servers.select(options.peers)
    left_out: list[str] = []
    if options.quick and options.peers is None:
        left_out += [peer.title for peer in peers if peer.name in SLOW_PEERS]
        peers = tuple(peer for peer in peers if peer.name not in SLOW_PEERS)
    if options.quick and options.only is None:
        left_out += [row.name for row in rows if not row.quick]
        rows = tuple(row for row in rows if row.quick)
    if left_out:
        print(f"--quick leaves out: {', '.join(left_out)}", flush=True)
    return rows, peers


def command(arguments: list[str], program: str = "bench") -> str:
    """The command line, without the folder for the results: where that is says nothing about them."""
    words = iter(arguments)
    said = []
    for word in words:
        if word == "--output":
            next(words, None)
        elif not word.startswith("--output="):
            said.append(word)
    return " ".join([f"python -m {program}", *said])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short repetition of each: under five minutes")
    made.add_argument("--only", metavar="NAMES", help="workloads, or beginnings of their names, separated by commas")
    made.add_argument("--peers", metavar="NAMES", help="servers, separated by commas")
    made.add_argument("--seconds", type=float, help="how long each run is measured")
    made.add_argument("--repetitions", type=int, help="runs of each")
    made.add_argument("--messages", type=int, help="end each run after so many messages, without warm-up")
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for the tables and pictures")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    seconds = options.seconds or (1.2 if options.quick else 2.0)
    counted = options.messages is not None
    return Settings(
        seconds=seconds,
        warm_up=0.0 if counted else 0.5 if options.quick else 0.6,
        repetitions=options.repetitions or (1 if options.quick or counted else 3),
        settle=1.0 if options.quick else 1.5,
        messages=options.messages,
    )


def repetitions(workload: Workload, settings: Settings) -> int:
    return min(settings.repetitions, workload.most or settings.repetitions)


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


def skip(row: Row, reason: str) -> None:
    for cell in row.cells.values():
        cell.skipped = cell.skipped or reason


def measure_row(row: Row, results: Results, settings: Settings, cores: Cores, progress: Progress) -> None:
    """All peers in turn, then all again: what else the machine does falls on each of them alike."""
    name = row.workload.name
    for _ in range(repetitions(row.workload, settings)):
        for peer in results.peers:
            cell = row.cells[peer.name]
            if peer.name in results.missing:
                continue
            if row.workload.mode in peer.without:
                cell.skipped = peer.without[row.workload.mode]
            workload = at_half(row.workload, peer, results)
            if workload is None and not cell.skipped:
                cell.skipped = f"needs {SATURATED} of {row.workload.half_of or peer.name} in the same run"
            if cell.skipped or workload is None:
                progress.step(f"{name:15} {peer.title:18} skipped: {cell.skipped}")
                continue
            try:
                figures = measure(peer, workload, settings, cores)
            except BenchError as error:
                cell.failed = str(error)
                progress.step(f"{name:15} {peer.title:18} failed: {error}")
                continue
            cell.runs.append(figures)
            progress.step(f"{name:15} {peer.title:18} {summary(figures)}")


def at_half(workload: Workload, peer: Peer, results: Results) -> Workload | None:
    """The workload with its load: for an open loop that follows from what this run found, None if it found nothing."""
    if workload.half_of is None:
        return workload
    rate = results.median(SATURATED, workload.half_of or peer.name, "rate")
    return None if rate is None else replace(workload, per_second=rate / 2)


def summary(figures: dict[str, float]) -> str:
    if "kb_idle" in figures:
        return f"{figures['kb_idle']:8.2f} KB idle {figures['kb_spoken']:8.2f} KB after a message"
    if "load" in figures:
        return f"{figures['p50_ms']:8.2f} ms {figures['p99_ms']:8.2f} ms p99 at {figures['load']:,.0f}/s"
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


def raise_descriptor_limit() -> int:
    """As far as it goes, for the servers, which inherit it; returns how far that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("bench: the load bench needs Linux (epoll, and processes pinned to cores)")
    sys.exit(main())
