"""The bench of workers: it finds something for each load, with one worker and with several. No time is asserted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
def test_one_worker_is_measured_beside_several() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.workers", "--seconds", "0.2", "--repetitions", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(\d+) workers? +([\d,]+) a second \(([\d.]+)\) +([\d.]+) µs", done.stdout)
    assert len(found) == 6, done.stdout
    assert [int(workers) > 1 for workers, *_ in found] == [False, True] * 3
    for _, rate, _, cost in found:
        assert int(rate.replace(",", "")) > 0
        assert float(cost) > 0
