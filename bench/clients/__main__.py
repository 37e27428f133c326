"""``python -m bench.clients``: clients of Socket.IO side by side, each against the same server."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import servers
from bench.__main__ import command, implementation
from bench.clients import tables
from bench.figures import Cell, Results, Row
from bench.measure import Cores
from bench.report import machine
from bench.servers import HERE, BenchError, Peer
from bench.workloads import Workload

PROGRAMS = "clients/programs"
RESULTS = HERE / "results"
#: A client that has not ended so many seconds after it should have is stuck.
SPARE_SECONDS = 60.0

SERVER = Peer(
    name="server",
    title="Node.js socket.io",
    command=("node", f"{PROGRAMS}/server.js"),
    probe=("node", "peers/versions.js"),
    hint="needs Node.js, and `npm ci` in bench/",
)
ONE_AT_A_TIME = {"ack-1x8": "one call at a time blocks", "ack-20x1": "one call at a time blocks"}


def _siocore(loop: str) -> Peer:
    return Peer(
        name=f"siocore-{loop}",
        title=f"siocore ({loop})",
        command=(sys.executable, "-m", "bench.clients.programs.siocore_client", loop),
        probe=(sys.executable, "peers/versions.py", f"siocore.{loop}", loop),
        hint="install siocore",
    )


CLIENTS = (
    _siocore("trio"),
    _siocore("asyncio"),
    Peer(
        name="siocore-sync",
        title="siocore (blocking)",
        command=(sys.executable, "-m", "bench.clients.programs.siocore_sync_client"),
        probe=(sys.executable, "peers/versions.py", "siocore.sync"),
        hint="install siocore",
        without=ONE_AT_A_TIME,
    ),
    Peer(
        name="node",
        title="Node.js socket.io-client",
        command=("node", f"bench/{PROGRAMS}/node_client.js"),
        probe=("node", f"{PROGRAMS}/versions.js"),
        hint="needs Node.js, and `npm ci` in bench/",
    ),
    Peer(
        name="python-socketio",
        title="python-socketio",
        command=(sys.executable, "-m", "bench.clients.programs.python_socketio_client"),
        probe=(sys.executable, "peers/versions.py", "socketio", "aiohttp"),
        hint="pip install python-socketio aiohttp",
    ),
)
WORKLOADS = (
    Workload("ack-1x1", "acknowledged event, 1 client × 1 in flight", "ack", 1, unit="event"),
    Workload("ack-1x8", "acknowledged event, 1 client × 8 in flight", "ack", 1, 8, unit="event"),
    Workload("ack-20x1", "acknowledged event, 20 clients × 1 in flight", "ack", 20, unit="event"),
    Workload("incoming", "incoming broadcast event, 1 client", "incoming", 1, unit="event"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How long is measured, in seconds, and how many events come in."""

    seconds: float
    warm_up: float
    repetitions: int
    events: int


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    settings = settings_of(options)
    try:
        names = wanted((client.name for client in CLIENTS), options.clients)
        clients = tuple(client for client in CLIENTS if client.name in names)
        names = wanted((workload.name for workload in WORKLOADS), options.only)
        workloads = tuple(workload for workload in WORKLOADS if workload.name in names)
        cores = Cores.available()
        server_version, reason = servers.probe(SERVER)
        if server_version is None:
            raise BenchError(f"the server can't run: {reason}")
    except (ValueError, BenchError) as error:
        print(f"bench.clients: {error}", file=sys.stderr)
        return 2
    versions: dict[str, str] = {"server": server_version}
    missing: dict[str, str] = {}
    for client in clients:
        version, reason = servers.probe(client)
        found, text = (versions, version) if version is not None else (missing, str(reason))
        found[client.name] = str(text)
        print(f"{client.title}: {text if version is not None else f'skipped: {reason}'}", flush=True)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(sys.argv[1:] if arguments is None else arguments, "bench.clients"),
        "implementation": implementation(versions),
        "machine": machine(),
        "cores": {"server on": cores.server, "client on": cores.generator},
        "runs": f"{settings.repetitions} of {settings.seconds:g} s after {settings.warm_up:g} s, "
        f"or of {settings.events:,} incoming events, interleaved",
    }
    rows = [
        Row(each, {client.name: Cell(skipped=missing.get(client.name)) for client in clients}) for each in workloads
    ]
    results = Results(about, clients, versions, missing, rows)
    for repetition in range(settings.repetitions):
        for row in rows:
            for client in clients:
                _fill(row.cells[client.name], client, row.workload, settings, cores, repetition)
    tables.write(results, options.output)
    print(f"\n{tables.tables(results)}")
    return 1 if any(cell.failed for row in rows for cell in row.cells.values()) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.clients", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short repetition of each: under two minutes")
    made.add_argument("--only", metavar="NAMES", help="workloads, separated by commas")
    made.add_argument("--clients", metavar="NAMES", help="clients, separated by commas")
    made.add_argument("--seconds", type=float, help="how long each run is measured")
    made.add_argument("--repetitions", type=int, help="runs of each")
    made.add_argument("--events", type=int, help="how many events come in")
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for the tables")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        seconds=options.seconds or (1.0 if options.quick else 3.0),
        warm_up=min(options.seconds or 1.0, 0.5 if options.quick else 1.0),
        repetitions=options.repetitions or (1 if options.quick else 5),
        events=options.events or (20_000 if options.quick else 50_000),
    )


def measure(client: Peer, workload: Workload, settings: Settings, cores: Cores) -> dict[str, float]:
    """Start the server on one core and the client on the other. Raises BenchError if either fails."""
    with servers.running(SERVER, cores.server) as server:
        plan = {
            "port": server.port,
            "mode": workload.mode,
            "clients": workload.clients,
            "in_flight": workload.in_flight,
            "payload": workload.payload,
            "seconds": settings.seconds,
            "warm_up": settings.warm_up,
            "events": settings.events,
        }
        result = json.loads(_run(client, json.dumps(plan), settings, cores))
    if not result["messages"]:
        raise BenchError("no event came back")
    return {
        "cpu_us": result["cpu"] * 1e6 / result["messages"],
        "rate": result["messages"] / result["seconds"],
        "client_busy": result["cpu"] / result["seconds"],
        "messages": result["messages"],
    }


def _run(client: Peer, plan: str, settings: Settings, cores: Cores) -> str:
    try:
        done = subprocess.run(
            [*client.command, plan],
            cwd=HERE.parent,
            env=servers.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=settings.seconds + settings.warm_up + SPARE_SECONDS,
            preexec_fn=lambda: os.sched_setaffinity(0, {cores.generator}),
        )
    except subprocess.TimeoutExpired:
        raise BenchError("the client never ended") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BenchError(servers.said(lines[-1]) if lines else f"the client ended with status {done.returncode}")
    return done.stdout


def _fill(cell: Cell, client: Peer, workload: Workload, settings: Settings, cores: Cores, repetition: int) -> None:
    cell.skipped = cell.skipped or client.without.get(workload.name)
    if cell.skipped:
        return
    try:
        figures = measure(client, workload, settings, cores)
    except BenchError as error:
        cell.failed = str(error)
        print(f"{repetition + 1}: {workload.name:9} {client.title:25} failed: {error}", flush=True)
        return
    cell.runs.append(figures)
    text = f"{figures['cpu_us']:8.2f} µs {figures['rate']:10,.0f}/s, busy {figures['client_busy']:.0%}"
    print(f"{repetition + 1}: {workload.name:9} {client.title:25} {text}", flush=True)


def wanted(known: Iterable[str], names: str | None) -> set[str]:
    """Raises ValueError for a name that is not known."""
    all_names = list(known)
    wanted = all_names if names is None else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in all_names:
            raise ValueError(f"nothing is named {name!r}; there are {', '.join(all_names)}")
    return set(wanted)


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("bench.clients: needs Linux (processes pinned to cores)")
    sys.exit(main())
