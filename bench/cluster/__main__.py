"""``python -m bench.cluster``: messages from one server of a cluster to another, side by side."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import servers
from bench.__main__ import command, implementation
from bench.clients.__main__ import wanted
from bench.cluster import tables
from bench.cluster.measure import Settings, measure
from bench.figures import Cell, Results, Row
from bench.measure import Cores
from bench.report import machine
from bench.servers import HERE, BenchError, Peer
from bench.workloads import Workload

PROGRAMS = "cluster/programs"
RESULTS = HERE / "results"
NO_CHANNEL = {"channel": "does not speak python-socketio's channel"}


def _siocore(loop: str) -> Peer:
    return Peer(
        name=f"siocore-{loop}",
        title=f"siocore ({loop})",
        command=(sys.executable, f"{PROGRAMS}/siocore_server.py", loop),
        probe=(sys.executable, "peers/versions.py", "siocore.redis", "coredis", loop),
        hint="pip install 'siocore[redis]'",
    )


SERVERS = (
    _siocore("trio"),
    _siocore("asyncio"),
    Peer(
        name="node",
        title="Node.js socket.io",
        command=("node", f"{PROGRAMS}/node_server.js"),
        probe=("node", f"{PROGRAMS}/node_server.js"),
        hint="needs Node.js, and `npm ci` in bench/",
        without=NO_CHANNEL,
    ),
    Peer(
        name="python-socketio",
        title="python-socketio",
        command=(sys.executable, f"{PROGRAMS}/python_socketio_server.py"),
        probe=(sys.executable, "peers/versions.py", "socketio", "redis", "uvicorn", "uvloop", "websockets"),
        hint="pip install python-socketio redis uvicorn websockets uvloop",
        without=dict.fromkeys(("classic", "sharded", "streams"), "speaks its own channel only"),
    ),
)
KINDS = (
    Workload("classic", "publish/subscribe", "cluster", 1),
    Workload("sharded", "sharded publish/subscribe", "cluster", 1),
    Workload("streams", "streams", "cluster", 1),
    Workload("channel", "python-socketio's channel", "cluster", 1),
)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    settings = settings_of(options)
    try:
        names = wanted((peer.name for peer in SERVERS), options.servers)
        peers = tuple(peer for peer in SERVERS if peer.name in names)
        names = wanted((kind.name for kind in KINDS), options.only)
        kinds = tuple(kind for kind in KINDS if kind.name in names)
    except ValueError as error:
        print(f"bench.cluster: {error}", file=sys.stderr)
        return 2
    cores = Cores.available()
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        version, reason = servers.probe(peer)
        found, text = (versions, version) if version is not None else (missing, str(reason))
        found[peer.name] = str(text)
        print(f"{peer.title}: {text if version is not None else f'skipped: {reason}'}", flush=True)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(sys.argv[1:] if arguments is None else arguments, "bench.cluster"),
        "implementation": implementation(versions),
        "machine": machine(),
        "cores": {"sender on": cores.server, "receiver on": cores.generator},
        "runs": f"{settings.repetitions} of {settings.seconds:g} s after {settings.warm_up:g} s, interleaved",
    }
    rows = [Row(kind, {peer.name: Cell(skipped=missing.get(peer.name)) for peer in peers}) for kind in kinds]
    results = Results(about, peers, versions, missing, rows)
    for repetition in range(settings.repetitions):
        for row in rows:
            for peer in peers:
                _fill(row.cells[peer.name], peer, row.workload, settings, cores, repetition)
    tables.write(results, options.output)
    print(f"\n{tables.tables(results)}")
    return 1 if any(cell.failed for row in rows for cell in row.cells.values()) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short repetition of each: under a minute")
    made.add_argument("--only", metavar="NAMES", help="kinds of cluster, separated by commas")
    made.add_argument("--servers", metavar="NAMES", help="servers, separated by commas")
    made.add_argument("--seconds", type=float, help="how long each run is measured")
    made.add_argument("--repetitions", type=int, help="runs of each")
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for the tables")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        seconds=options.seconds or (1.0 if options.quick else 3.0),
        warm_up=min(options.seconds or 1.0, 0.5 if options.quick else 1.0),
        repetitions=options.repetitions or (1 if options.quick else 5),
    )


def _fill(cell: Cell, peer: Peer, kind: Workload, settings: Settings, cores: Cores, repetition: int) -> None:
    cell.skipped = cell.skipped or peer.without.get(kind.name)
    if cell.skipped:
        return
    try:
        found = measure(peer, kind.name, settings, cores)
    except BenchError as error:
        cell.failed = str(error)
        print(f"{repetition + 1}: {kind.name:8} {peer.title:20} failed: {error}", flush=True)
        return
    cell.runs.append(found)
    costs = f"{found['publisher_us']:7.1f} µs to send, {found['receiver_us']:7.1f} µs to receive"
    print(f"{repetition + 1}: {kind.name:8} {peer.title:20} {costs}, {found['rate']:9,.0f}/s", flush=True)


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("bench.cluster: needs Linux (processes pinned to cores)")
    sys.exit(main())
