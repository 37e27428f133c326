"""What runs under callgrind: every case, with a call of getppid() in front of its counted part and one behind it.

Callgrind is told to write down its counters, and to begin anew, wherever the C function of that name is entered
(``--dump-before=getppid``). Nothing else calls it, and it costs next to nothing.
"""

from __future__ import annotations

import argparse
import gc
import os
from itertools import repeat

from bench.instructions.cases import CASES, Case

#: By then CPython has specialised what it is going to specialise, and caches and free lists are filled.
WARM_UP = 50


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions.child", description=__doc__)
    parser.add_argument("--calls", type=int, help="run each case so often, instead of as often as it asks for")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="runs before that which are not counted")
    options = parser.parse_args(arguments)
    # When a collection falls due depends on all that was allocated before: it would hit one case or another, by what
    # has changed elsewhere. Between the cases nothing is counted.
    gc.disable()
    for case in CASES:
        calls = options.calls or case.calls
        count(case, calls, options.warm_up)
        print(case.name, calls * case.operations, flush=True)


def count(case: Case, calls: int, warm_up: int) -> None:
    """Raises WrongResultError if a case does not do what it should, before the counted part or behind it."""
    prepared = case.prepare()
    case.check(prepared)
    run = prepared.run
    for _ in repeat(None, warm_up):
        run()
    gc.collect()
    os.getppid()
    for _ in repeat(None, calls):
        run()
    os.getppid()
    case.check(prepared)


if __name__ == "__main__":
    main()
