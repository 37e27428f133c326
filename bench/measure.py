"""One measurement: a server on one core, the generator on another, and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from bench.servers import HERE, BenchError, Peer, Process, running
from bench.workloads import Workload

__all__ = ["Cores", "Settings", "build", "measure"]

LOAD = HERE / "load"
SOURCES = {
    "load": ("load.c", "websocket.c", "rooms.c", "tail.c", "polling.c", "wire.c", "net.c"),
    "floor": ("floor.c", "net.c"),
}
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server runs on, and which the generator: the same where there is but one."""

    server: int
    generator: int

    @classmethod
    def available(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1] if len(cores) > 1 else cores[0])


@dataclass(frozen=True, slots=True)
class Settings:
    """How long is measured, in seconds. ``messages`` ends a run early."""

    seconds: float
    warm_up: float
    repetitions: int
    settle: float
    messages: int | None = None


def build() -> None:
    """Compile the generator and the C server where they are older than their sources.

    Raises BenchError without a C compiler, or if it fails.
    """
    compiler = os.environ.get("CC") or shutil.which("cc")
    headers = max(path.stat().st_mtime for path in LOAD.glob("*.h"))
    for name, sources in SOURCES.items():
        program = LOAD / name
        newest = max(headers, *((LOAD / source).stat().st_mtime for source in sources))
        if program.exists() and program.stat().st_mtime > newest:
            continue
        if not compiler:
            raise BenchError("there is no C compiler (cc) to build the load generator with")
        # Renamed into place, so that two runs at a time never execute half a program.
        fresh = LOAD / f".{name}.{os.getpid()}"
        command = [*compiler.split(), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(fresh), *sources, "-lm"]
        done = subprocess.run(command, cwd=LOAD, capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"{name} does not compile: {done.stderr.strip()}")
        fresh.replace(program)


def measure(peer: Peer, workload: Workload, settings: Settings, cores: Cores) -> Figures:
    """Start ``peer``, put ``workload`` on it, and return the figures.

    Raises BenchError when the server or the generator fails.
    """
    with running(peer, cores.server) as server:
        if workload.mode == "idle":
            return _idle(server, workload, settings, cores)
        return _load(server, workload, settings, cores)


def _command(server: Process, workload: Workload, *extra: str) -> list[str]:
    numbers = ["-c", str(workload.clients), "-n", str(workload.in_flight), "-b", str(workload.payload)]
    if workload.per_second is not None:
        numbers += ["-r", f"{workload.per_second:.1f}"]
    if workload.active is not None:
        numbers += ["-a", str(workload.active)]
    return [str(LOAD / "load"), "127.0.0.1", str(server.port), workload.mode, *numbers, "-p", str(server.pid), *extra]


def _load(server: Process, workload: Workload, settings: Settings, cores: Cores) -> Figures:
    extra = ["-s", str(workload.seconds or settings.seconds), "-w", str(settings.warm_up)]
    if settings.messages is not None:
        extra += ["-m", str(settings.messages)]
    done = subprocess.run(
        _command(server, workload, *extra),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores.generator}),
    )
    if done.returncode:
        raise BenchError(done.stderr.strip() or f"the generator ended with status {done.returncode}")
    return _figures(json.loads(done.stdout), workload, settings)


def _figures(result: dict[str, Any], workload: Workload, settings: Settings) -> Figures:
    messages, latency = result["messages"], result["latency_us"]
    figures = {
        "rate": result["rate"],
        "p50_ms": latency["p50"] / 1e3,
        "p99_ms": latency["p99"] / 1e3,
        "p999_ms": latency["p999"] / 1e3,
        "messages": messages,
        "server_busy": result["server_cpu"] / result["seconds"],
        "generator_busy": result["generator_cpu"] / result["seconds"],
    }
    if workload.mode == "tail":
        # A server that the load is too much for may not have come to one counted event.
        figures |= {
            "load": workload.per_second or 0.0,
            "delay_ms": result["delay_us"]["p99"] / 1e3,
            "unanswered": result["unanswered"],
        }
    elif not messages:
        raise BenchError("no message came back")
    elif workload.mode == "heartbeat" and settings.messages is None:
        # Connections that are opened at a steady rate are asked for their heartbeats at that rate.
        due = workload.per_second or 0.0
        if result["rate"] < 0.9 * due:
            raise BenchError(f"{result['rate']:.0f} heartbeats per second came, not {due:.0f}")
    return figures | {"cpu_us": result["server_cpu"] * 1e6 / max(messages, 1)}


class _Holder:
    """The generator in mode idle: connections that are held until it is told to stop."""

    def __init__(self, server: Process, workload: Workload, clients: int, cores: Cores) -> None:
        command = _command(server, workload)
        command[command.index("-c") + 1] = str(clients)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cores.generator}),
        )

    def expect(self, line: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stdout.readline().strip() != line:
            raise BenchError(self._process.stderr.read().strip() or f"the generator never said {line!r}")

    def send_messages(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("m")
        self._process.stdin.flush()

    def __enter__(self) -> _Holder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate()


def _idle(server: Process, workload: Workload, settings: Settings, cores: Cores) -> Figures:
    # A few connections first: what a server loads or allocates once is not the price of a connection.
    with _Holder(server, workload, 100, cores) as holder:
        holder.expect("ready")
        holder.send_messages()
        holder.expect("answered")
    time.sleep(settings.settle)
    before = server.resident()
    with _Holder(server, workload, workload.clients, cores) as holder:
        holder.expect("ready")
        time.sleep(settings.settle)
        idle = server.resident()
        holder.send_messages()
        holder.expect("answered")
        time.sleep(settings.settle)
        spoken = server.resident()
    return {
        "kb_idle": (idle - before) / 1024 / workload.clients,
        "kb_spoken": (spoken - before) / 1024 / workload.clients,
        "rss_mb": idle / 1024**2,
    }
