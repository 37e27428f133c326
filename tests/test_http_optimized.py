"""h11 and wsproto check some things with ``assert``: nothing that a peer sends may depend on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import http_answers
import http_corpus
import siocore


def expected() -> dict[str, list[object]]:
    outcomes: dict[str, list[object]] = {}
    for how in ("whole", "bytes"):
        for name, (status, _) in http_corpus.BAD_REQUESTS.items():
            outcomes[f"{name}, {how}"] = [status, 0, True]
        for name, (status, _) in http_corpus.BAD_BODIES.items():
            outcomes[f"body: {name}, {how}"] = [status, 1, True]
        for name, (code, _) in http_corpus.BAD_FRAMES.items():
            outcomes[f"frame: {name}, {how}"] = [code, 0, True]
            outcomes[f"server's frame: {name}, {how}"] = [code, 0, True]
        for name in http_answers.BAD_ANSWERS:
            outcomes[f"answer: {name}, {how}"] = [0, 0, True]
    return outcomes


def test_bad_input_is_refused_as_documented() -> None:
    assert http_corpus.outcomes() == expected()


def test_bad_input_is_refused_without_assertions_too() -> None:
    source = Path(siocore.__path__[0]).parent
    result = subprocess.run(
        [sys.executable, "-O", http_corpus.__file__],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(result.stdout) == expected()
