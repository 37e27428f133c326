"""What more workers bring: ``siocore serve --workers N``, for 1 and for as many as there are cores.

    python -m bench.workers --seconds 3 --repetitions 3

The generator shares the cores with the workers, and takes as much as a handler that does nothing: on two cores, two
workers can be twice as fast as one only where handlers compute. CPU time per message, of all processes of the server
together, tells what being several costs: an acknowledged event concerns one worker alone, and a broadcast goes to the
clients of all. Runs are interleaved; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.hosting import cpu_seconds
from bench.measure import LOAD, build
from bench.servers import HERE, BenchError


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator does. ``work`` is what a handler adds up for each event."""

    title: str
    mode: str
    clients: int
    in_flight: int
    work: int = 0


LOADS = (
    Load("acknowledged event, 20 clients × 8 in flight", "ack", 20, 8),
    Load("the same, with a handler that computes", "ack", 20, 8, work=5_000),
    Load("broadcast to 200 clients, 4 in flight", "broadcast", 200, 4),
)


def measure(workers: int, loop: str, load: Load, seconds: float) -> tuple[float, float]:
    """Messages per second, and microseconds of the server's CPU time per message. Raises BenchError."""
    command = [sys.executable, "-m", "siocore", "serve", "workers_app:io", "--port", "0", "--loop", loop]
    server = subprocess.Popen(
        [*command, "--workers", str(workers)],
        cwd=HERE / "peers",
        env=os.environ | {"BENCH_WORK": str(load.work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        port = _port(server)
        generator = [
            str(LOAD / "load"),
            "127.0.0.1",
            port,
            load.mode,
            "-c",
            str(load.clients),
            "-n",
            str(load.in_flight),
        ]
        numbers = ["-b", "64", "-w", "0.5", "-s", str(seconds), "-p", str(server.pid)]
        before = _cpu(server.pid)
        done = subprocess.run([*generator, *numbers], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise BenchError(done.stderr.strip() or f"the generator ended with status {done.returncode}")
        result = json.loads(done.stdout)
        # The half second of the warm-up is in the CPU time, and its messages are not counted.
        rate = result["messages"] / result["seconds"]
        return rate, (_cpu(server.pid) - before) * 1e6 / (rate * (result["seconds"] + 0.5))
    finally:
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()


def _port(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found is not None:
            return found[1]
    raise BenchError("the server did not start")


def _cpu(pid: int) -> float:
    """Of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(map(_cpu, map(int, children)))


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.workers", description="One worker beside several.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--loop", default="trio", choices=("trio", "asyncio", "uvloop"))
    options = parser.parse_args()
    build()
    counts = (1, max(2, len(os.sched_getaffinity(0))))
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    for load in LOADS:
        runs: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
        for _ in range(options.repetitions):
            for count in counts:
                runs[count].append(measure(count, options.loop, load, options.seconds))
        base = statistics.median(rate for rate, _ in runs[1])
        for count, figures in runs.items():
            rate = statistics.median(each[0] for each in figures)
            cost = statistics.median(each[1] for each in figures)
            named = f"{count} worker{'s' if count > 1 else ' '}"
            print(f"{load.title:46} {named} {rate:9,.0f} a second ({rate / base:.2f}) {cost:7.2f} µs", flush=True)


if __name__ == "__main__":
    main()
