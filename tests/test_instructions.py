"""The check that counts instructions: its cases do what they should, and its verdicts, on made-up figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.instructions.baseline import OTHER_ENVIRONMENT, SAME_ENVIRONMENT, Baseline, Comparison, Verdict, environment
from bench.instructions.cases import CASES, Case, Prepared, WrongResultError
from bench.instructions.measure import MeasureError, child_environment, read_total
from bench.instructions.report import as_json, remarks, table
from codec_builds import needs_compiled

ROOT = Path(__file__).resolve().parent.parent
HERE = {"CPython": "3.11.7", "orjson": "3.13.0"}
BASELINE = Baseline(HERE, {"ack": 1000.0, "poll": 2000.0})


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def verdicts(comparison: Comparison) -> dict[str, Verdict]:
    return {row.name: row.verdict for row in comparison.rows}


# The comparison.


@pytest.mark.parametrize(("here", "margin"), [(HERE, SAME_ENVIRONMENT), (HERE | {"orjson": "4.0"}, OTHER_ENVIRONMENT)])
def test_a_case_fails_only_beyond_the_margin(here: dict[str, str], margin: float) -> None:
    at = Comparison({"ack": 1000 * (1 + margin), "poll": 2000.0}, here, BASELINE)
    beyond = Comparison({"ack": 1000 * (1 + margin) + 1, "poll": 2000.0}, here, BASELINE)
    assert at.margin == beyond.margin == margin
    assert not at.failed
    assert verdicts(at) == {"ack": Verdict.WITHIN, "poll": Verdict.WITHIN}
    assert beyond.failed
    assert verdicts(beyond) == {"ack": Verdict.GREW, "poll": Verdict.WITHIN}


def test_the_case_that_grew_is_named_with_how_much() -> None:
    comparison = Comparison({"ack": 1123.0, "poll": 2000.0}, HERE, BASELINE)
    [margin, error] = remarks(comparison)
    assert margin.startswith("Margin: 5 %.")
    assert "Error" in error
    assert "ack (+12.3%)" in error
    assert "poll" not in error


@pytest.mark.parametrize(
    ("recorded", "found"), [({"CPython": "3.11.7"}, "3.13.0 instead of unknown"), (HERE, "4.0 instead of 3.13.0")]
)
def test_another_environment_is_named_and_has_the_wide_margin(recorded: dict[str, str], found: str) -> None:
    here = HERE if len(recorded) == 1 else HERE | {"orjson": "4.0"}
    [margin] = remarks(Comparison({"ack": 1200.0, "poll": 2000.0}, here, Baseline(recorded, BASELINE.instructions)))
    assert margin.startswith("Margin: 30 %.")
    assert f"orjson {found}" in margin
    assert "CPython" not in margin


def test_a_case_well_below_its_baseline_passes_with_a_hint_to_record_it() -> None:
    comparison = Comparison({"ack": 900.0, "poll": 1960.0}, HERE, BASELINE)
    [_, hint] = remarks(comparison)
    assert not comparison.failed
    assert "Hint" in hint
    assert "ack (-10.0%)" in hint
    assert "poll" not in hint
    assert "--update" in hint


def test_a_case_without_a_baseline_fails_and_says_how_to_record_it() -> None:
    comparison = Comparison({"ack": 1000.0, "poll": 2000.0, "new": 5.0}, HERE, BASELINE)
    [_, error] = remarks(comparison)
    assert comparison.failed
    assert "Error: the baseline has no figure for new." in error
    assert "--update" in error


def test_a_recorded_case_that_is_no_more_fails_and_says_how_to_drop_it() -> None:
    comparison = Comparison({"ack": 1000.0}, HERE, BASELINE)
    [_, error] = remarks(comparison)
    assert comparison.failed
    assert "poll" in error
    assert "--update" in error


def test_the_table_has_a_line_for_each_case_with_its_change() -> None:
    comparison = Comparison({"ack": 1123.0, "poll": 1998.0, "new": 5.0}, HERE, BASELINE)
    lines = [line.split() for line in table(comparison, {"ack": "message"}).splitlines()]
    assert lines[2:] == [
        ["ack", "message", "1,123", "1,000", "+12.3", "grew"],
        ["poll", "1,998", "2,000", "-0.1"],
        ["new", "5", "–", "–", "not", "in", "the", "baseline"],
    ]


def test_the_json_says_what_the_table_says() -> None:
    comparison = Comparison({"ack": 1500.0, "new": 5.0}, HERE, BASELINE)
    data = json.loads(json.dumps(as_json(comparison, HERE)))
    assert data["failed"] is True
    assert data["margin"] == SAME_ENVIRONMENT
    assert data["environment"] == HERE
    assert data["gone"] == ["poll"]
    assert data["cases"] == [
        {"name": "ack", "instructions": 1500.0, "baseline": 1000.0, "change": 0.5, "verdict": "grew"},
        {"name": "new", "instructions": 5.0, "baseline": None, "change": None, "verdict": "not in the baseline"},
    ]


# The baseline.


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    BASELINE.save(path)
    assert Baseline.load(path) == BASELINE


def test_without_a_file_nothing_is_recorded(tmp_path: Path) -> None:
    assert Baseline.load(tmp_path / "baseline.json") == Baseline({}, {})


@pytest.mark.parametrize("text", ["", "[]", '{"environment": {}}', '{"environment": {}, "instructions": {"ack": "?"}}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a baseline"):
        Baseline.load(path)


def test_the_recorded_baseline_has_every_case_and_names_no_path() -> None:
    path = ROOT / "bench" / "instructions" / "baseline.json"
    recorded = Baseline.load(path)
    assert list(recorded.instructions) == [case.name for case in CASES]
    assert recorded.environment.keys() == environment().keys()
    assert "/" not in path.read_text()


def test_the_environment_is_that_of_this_interpreter() -> None:
    here = environment()
    assert here["CPython"] == sys.version.partition(" ")[0]
    assert all(here.values())


# Callgrind.


def test_the_total_of_a_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "counters.2"
    path.write_text("version: 1\nevents: Ir\nfn=(1) totals\n7 12\n\ntotals: 4711\n")
    assert read_total(path) == 4711


def test_a_part_that_is_missing_or_has_no_total_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "counters.2"
    with pytest.raises(MeasureError, match="getppid"):
        read_total(path)
    path.write_text("version: 1\nevents: Ir\n")
    with pytest.raises(MeasureError, match="no totals"):
        read_total(path)


def test_hashes_are_the_same_in_each_run_and_the_interpreter_is_as_it_comes() -> None:
    variables = {"HOME": "somewhere", "PYTHONHASHSEED": "random", "PYTHONMALLOC": "debug"}
    assert child_environment(variables) == {"HOME": "somewhere", "PYTHONHASHSEED": "0"}


# The cases and the command.


def test_a_case_with_another_result_than_expected_is_an_error() -> None:
    right, wrong = (Prepared(lambda: [1, 2], expected, sorted) for expected in ([1, 2], [1, 3]))
    case = Case("numbers", "list", lambda: right, 1)
    case.check(right)
    with pytest.raises(WrongResultError, match=r"numbers: expected \[1, 3\], not \[1, 2\]"):
        case.check(wrong)


@pytest.mark.slow
def test_every_case_does_what_it_is_counted_for() -> None:
    done = run("bench.instructions.child", "--calls", "2", "--warm-up", "0")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [[case.name, str(2 * case.operations)] for case in CASES]


def test_pure_python_is_not_measured() -> None:
    done = run("bench.instructions", SIOCORE_NO_EXTENSIONS="1")
    assert done.returncode == 2
    assert "pure Python is in use" in done.stderr


@needs_compiled
def test_without_valgrind_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    done = run("bench.instructions", SIOCORE_NO_EXTENSIONS="", PATH=str(tmp_path))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert "apt-get install valgrind" in line
    assert done.stdout == ""
