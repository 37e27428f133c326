"""A comparison as a table with remarks, and as data for JSON."""

from __future__ import annotations

from typing import Any

from bench.instructions.baseline import SAME_ENVIRONMENT, Comparison, Row, Verdict

__all__ = ["as_json", "remarks", "table"]

_UPDATE = "python -m bench.instructions --update"


def table(comparison: Comparison, units: dict[str, str]) -> str:
    """Every case on a line; ``units`` says what one operation of each is."""
    heads = ["case", "one operation", "instructions", "baseline", "change %"]
    lines = [[*heads, ""]]
    for row in comparison.rows:
        baseline = "–" if row.baseline is None else f"{row.baseline:,.0f}"
        change = "–" if row.change is None else f"{row.change * 100:+z.1f}"
        mark = "" if row.verdict is Verdict.WITHIN else row.verdict.value
        lines.append([row.name, units.get(row.name, ""), f"{row.instructions:,.0f}", baseline, change, mark])
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, [*("-" * width for width in widths), ""])
    return "\n".join(_aligned(line, widths) for line in lines)


def remarks(comparison: Comparison) -> list[str]:
    """Which margin was used and why; what fails the check; what should be recorded anew."""
    said = [f"Margin: {comparison.margin * 100:.0f} %. {_reason(comparison)}"]
    rows = comparison.rows
    if missing := _names(rows, Verdict.NOT_RECORDED):
        said.append(f"Error: the baseline has no figure for {missing}. Record one: {_UPDATE}")
    if comparison.gone:
        said.append(f"Error: the baseline has cases that there are no more: {', '.join(comparison.gone)}. {_UPDATE}")
    if grew := _names(rows, Verdict.GREW):
        said.append(
            f"Error: more instructions than the margin allows: {grew}. "
            f"If what they buy is worth it, record them, and say in the commit what it is: {_UPDATE}"
        )
    if shrank := _names(rows, Verdict.SHRANK):
        said.append(f"Hint: well below the baseline: {shrank}. Record it, so that it stays so: {_UPDATE}")
    return said


def as_json(comparison: Comparison, here: dict[str, str]) -> dict[str, Any]:
    return {
        "environment": here,
        "margin": comparison.margin,
        "reason": _reason(comparison),
        "failed": comparison.failed,
        "gone": comparison.gone,
        "cases": [
            {
                "name": row.name,
                "instructions": row.instructions,
                "baseline": row.baseline,
                "change": row.change,
                "verdict": row.verdict.value,
            }
            for row in comparison.rows
        ],
    }


def _aligned(line: list[str], widths: list[int]) -> str:
    """Text to the left, figures to the right, and the mark behind them."""
    cells = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=False))
    ]
    return "  ".join([*cells, line[-1]]).rstrip()


def _reason(comparison: Comparison) -> str:
    if not comparison.differences:
        return "The baseline was recorded in an environment like this one."
    found = ", ".join(f"{name} {here} instead of {there}" for name, (there, here) in comparison.differences.items())
    return (
        f"The baseline was recorded in another environment, where the code next to siocore differs: {found}. "
        f"In an environment like that one the margin is {SAME_ENVIRONMENT * 100:.0f} %."
    )


def _names(rows: list[Row], verdict: Verdict) -> str:
    return ", ".join(
        row.name if row.change is None else f"{row.name} ({row.change:+.1%})" for row in rows if row.verdict is verdict
    )
