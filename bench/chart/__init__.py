"""The results as pictures (SVG), drawn by hand: bars for costs, curves for growth, a scale of times for the tail."""

from __future__ import annotations

from bench.chart import bars, growth, tail
from bench.figures import Results

__all__ = ["pictures"]


def pictures(results: Results) -> dict[str, str]:
    """The pictures that these results have figures for, by the names of their files."""
    drawn = {
        "cpu.svg": bars.costs(results),
        "idle.svg": bars.idle(results),
        "growth.svg": growth.draw(results),
        "tail.svg": tail.draw(results),
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}
