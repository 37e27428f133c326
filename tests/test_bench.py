"""The load bench runs: its generator builds, and understands what a siocore server answers. No time is asserted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from siocore._speedups import IMPLEMENTATION

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the load bench needs Linux"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler (cc)"),
]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def generator() -> Path:
    built = run(sys.executable, "-c", "from bench.measure import build; build()")
    assert built.returncode == 0, built.stderr
    return ROOT / "bench" / "load" / "load"


@pytest.mark.slow
def test_bench_measures_siocore_on_both_loops(generator: Path, tmp_path: Path) -> None:
    workloads, peers = ("ack-20x1", "binary", "pollecho"), ("siocore-trio", "siocore-asyncio")
    limits = ("--messages", "300", "--seconds", "30")
    command = ("--only", ",".join(workloads), "--peers", ",".join(peers), *limits, "--output", str(tmp_path))
    done = run(sys.executable, "-m", "bench", *command)
    assert done.returncode == 0, done.stdout + done.stderr

    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["implementation"] == IMPLEMENTATION
    assert [row["workload"] for row in results["rows"]] == list(workloads)
    for row in results["rows"]:
        assert list(row["peers"]) == list(peers)
        for figures in row["peers"].values():
            assert figures["messages"]["median"] >= 300
            # The kernel brings another process's CPU clock up to date once per tick: so few messages can seem free.
            assert figures["cpu_us"]["median"] >= 0
    assert "siocore (trio)" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert (tmp_path / "chart.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "example.org"])
def test_generator_refuses_hosts_that_are_not_loopback(generator: Path, host: str) -> None:
    done = run(str(generator), host, "80", "ack", "-m", "1")
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_unknown_workloads_and_peers_are_refused_with_the_names_that_there_are() -> None:
    for option, known in (("--only", "ack-20x1"), ("--peers", "siocore-trio")):
        done = run(sys.executable, "-m", "bench", option, "nonsense")
        assert done.returncode == 2
        assert known in done.stderr
