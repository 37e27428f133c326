"""The bench of clusters: it counts what it should, and its tables say what was found. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cluster import tables
from bench.cluster.__main__ import KINDS, SERVERS, main, parser, settings_of
from bench.cluster.measure import figures
from bench.figures import Cell, Results, Row
from bench.servers import BenchError
from redis_servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent


def test_costs_are_shares_of_the_messages_that_came_through() -> None:
    assert figures(2_000, 4.0, 1.0, 0.5) == {
        "publisher_us": 500.0,
        "receiver_us": 250.0,
        "rate": 500.0,
        "publisher_busy": 0.25,
        "receiver_busy": 0.125,
        "messages": 2_000,
    }
    with pytest.raises(BenchError, match="no message came through"):
        figures(0, 4.0, 1.0, 0.5)


def test_quick_settings_are_short() -> None:
    quick = settings_of(parser().parse_args(["--quick"]))
    runs = quick.repetitions * sum(kind.name not in server.without for kind in KINDS for server in SERVERS)
    assert runs * (quick.seconds + quick.warm_up) < 30


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "carrier-pigeons"]) == 2
    assert main(["--servers", "abacus"]) == 2
    said = capsys.readouterr().err
    assert "nothing is named 'carrier-pigeons'; there are classic, sharded, streams, channel" in said
    assert "nothing is named 'abacus'" in said


def test_tables_hold_both_servers_costs_and_what_failed(tmp_path: Path) -> None:
    runs = [figures(1_000, 2.0, cost, cost / 10) for cost in (0.02, 0.01, 0.03)]
    cells = {
        "siocore-trio": Cell(runs),
        "siocore-asyncio": Cell(failed="it fell over"),
        "node": Cell(skipped="not here"),
        "python-socketio": Cell(skipped="speaks its own channel only"),
    }
    results = Results({"implementation": "cython"}, SERVERS, {}, {"node": "not here"}, [Row(KINDS[0], cells)])
    tables.write(results, tmp_path)
    written = json.loads((tmp_path / "cluster.json").read_text(encoding="utf-8"))
    assert written["rows"][0]["peers"]["siocore-trio"]["publisher_us"] == {"min": 10.0, "max": 30.0, "median": 20.0}
    text = (tmp_path / "cluster.md").read_text(encoding="utf-8")
    sender, receiver, rate = (part for part in text.split("## ") if "|" in part)
    assert "20.0 (10.0–30.0)" in sender
    assert "2.00 (1.00–3.00)" in receiver
    assert "500 (1%, 0%)" in rate
    assert "* classic, siocore-asyncio: it fell over" in text
    assert "* node: not here" in text
    assert "* classic, node" not in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")
def test_messages_are_measured_between_two_servers(tmp_path: Path) -> None:
    with RedisServer():
        pass  # Skips where there is none.
    command = [sys.executable, "-m", "bench.cluster", "--only", "classic,streams", "--servers", "siocore-trio"]
    short = ["--seconds", "0.2", "--repetitions", "1", "--output", str(tmp_path)]
    done = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "cluster.json").read_text(encoding="utf-8"))["rows"]
    assert [row["workload"] for row in rows] == ["classic", "streams"]
    for row in rows:
        (run,) = row["peers"]["siocore-trio"]["runs"]
        assert run["messages"] > 0
        assert run["rate"] > 0
