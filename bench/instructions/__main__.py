"""Counts the instructions of codecs and of the path of a message, and fails if a case takes more than it did.

The status is 0 if all is within the margin, 1 if a case grew or is not in the baseline, 2 if nothing can be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import siocore
from bench.instructions import report
from bench.instructions.baseline import Baseline, Comparison, environment
from bench.instructions.cases import CASES
from bench.instructions.measure import MeasureError, measure

BASELINE = Path(__file__).resolve().parent / "baseline.json"


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if siocore.IMPLEMENTATION != "cython":
            raise MeasureError("only the compiled build is measured, and pure Python is in use")
        baseline = recorded(to_be_replaced=options.update)
        note("starting CPython under callgrind: some seconds without a sign of life")
        measured = measure(Progress())
    except (MeasureError, ValueError) as error:
        note(f"error: {error}")
        return 2
    here = environment()
    comparison = Comparison(measured, here, baseline)
    if options.json:
        print(json.dumps(report.as_json(comparison, here), indent=1, ensure_ascii=False))
    else:
        print("\n" + report.table(comparison, {case.name: case.unit for case in CASES}) + "\n")
    if options.update:
        Baseline(here, measured).save(BASELINE)
        note(f"written: {BASELINE.name}")
        return 0
    print(*report.remarks(comparison), sep="\n", file=sys.stderr if options.json else sys.stdout)
    return 1 if comparison.failed else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    made.add_argument("--update", action="store_true", help="record what is counted as the new baseline")
    made.add_argument("--json", action="store_true", help="print data instead of a table")
    return made


def recorded(*, to_be_replaced: bool) -> Baseline:
    """The baseline. Raises ValueError if it can't be read, unless it is going to be replaced anyway."""
    try:
        return Baseline.load(BASELINE)
    except ValueError:
        if not to_be_replaced:
            raise
        return Baseline({}, {})


class Progress:
    """Says what each case came to as soon as it is known."""

    def __init__(self) -> None:
        self._done = 0

    def __call__(self, name: str, instructions: float) -> None:
        self._done += 1
        note(f"[{self._done:2}/{len(CASES)}] {name}: {instructions:,.0f}")


def note(text: str) -> None:
    # Aside, so that the output is the table or the JSON and nothing else.
    print(f"instructions: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
