"""The bench of the clients: its Python programs do what they are told, and its tables say what was found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.clients import tables
from bench.clients.__main__ import CLIENTS, WORKLOADS, parser, settings_of
from bench.figures import Cell, Results, Row

ROOT = Path(__file__).resolve().parent.parent
SERVER = """
import socket, trio
from functools import partial
import siocore, siocore.trio
io = siocore.Server()

@io.on("echo")
def echo(client, text):
    return text

@io.on("flood")
def flood(client, count, text):
    for number in range(count):
        io.emit("news", number, text)
    io.emit("end")

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    trio.run(partial(siocore.trio.serve, io, sockets=[listener]))
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def measured(program: str, *arguments: str, **plan: Any) -> dict[str, float]:
    whole = {"clients": 1, "in_flight": 1, "payload": 64, "seconds": 0.1, "warm_up": 0.02, "events": 500} | plan
    command = [sys.executable, "-m", f"bench.clients.programs.{program}", *arguments, json.dumps(whole)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments", "clients"),
    [
        ("siocore_client", ("trio",), 3),
        ("siocore_client", ("asyncio",), 3),
        ("siocore_sync_client", (), 1),
        ("python_socketio_client", (), 3),
    ],
    ids=["trio", "asyncio", "sync", "python-socketio"],
)
def test_a_program_measures_acknowledged_and_incoming_events(
    port: int, program: str, arguments: tuple[str, ...], clients: int
) -> None:
    asked = measured(program, *arguments, port=port, mode="ack", clients=clients, in_flight=2)
    assert asked["messages"] > 0
    assert asked["cpu"] > 0
    assert asked["seconds"] > 0
    told = measured(program, *arguments, port=port, mode="incoming")
    assert told["messages"] == 500


def test_quick_settings_are_short() -> None:
    quick = settings_of(parser().parse_args(["--quick"]))
    runs = quick.repetitions * len(CLIENTS) * len(WORKLOADS)
    assert runs * (quick.seconds + quick.warm_up) < 60


def test_tables_hold_costs_ratios_and_targets(tmp_path: Path) -> None:
    costs = {"siocore-trio": 10.0, "siocore-asyncio": 30.0, "node": 20.0, "python-socketio": 100.0}
    cells = {name: Cell([run_of(cost), run_of(cost * 1.5), run_of(cost * 0.5)]) for name, cost in costs.items()}
    row = Row(WORKLOADS[0], cells | {"siocore-sync": Cell(failed="it fell over")})
    results = Results({"implementation": "cython"}, CLIENTS, {}, {}, [row])
    tables.write(results, tmp_path)
    written = json.loads((tmp_path / "clients.json").read_text(encoding="utf-8"))
    assert written["rows"][0]["peers"]["siocore-trio"]["cpu_us"] == {"min": 5.0, "max": 15.0, "median": 10.0}
    assert written["targets"][0] == {
        "target": "ack-1x1: CPU per event at most 0.2 of python-socketio's",
        "siocore-trio": {"value": "0.10", "met": True},
        "siocore-asyncio": {"value": "0.30", "met": False},
    }
    assert written["targets"][1]["siocore-asyncio"] == {"value": "1.50", "met": False}
    assert written["targets"][2]["siocore-trio"]["met"] is None
    text = (tmp_path / "clients.md").read_text(encoding="utf-8")
    assert "10.0 (5.00–15.0)" in text
    assert "0.50" in text
    assert "* ack-1x1, siocore-sync: it fell over" in text


def run_of(cost: float) -> dict[str, float]:
    return {"cpu_us": cost, "rate": 1e6 / cost, "client_busy": 1.0, "messages": 1000}
