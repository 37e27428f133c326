"""What a run of the clients found, as JSON and as tables in Markdown: ``clients.json`` and ``clients.md``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bench import targets
from bench.figures import Cell, Results, Row
from bench.report import aligned, cpu_text, figure, inline

__all__ = ["tables", "write"]


def write(results: Results, folder: Path) -> None:
    """Write ``clients.json`` and ``clients.md`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "workload": row.workload.name,
            "title": row.workload.title,
            "unit": row.workload.unit,
            "peers": {name: cell.as_json() for name, cell in row.cells.items()},
        }
        for row in results.rows
    ]
    judged = targets.as_json(results, targets.CLIENT_TARGETS)
    found = results.about | {"versions": results.versions, "skipped": results.missing, "targets": judged, "rows": rows}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (folder / "clients.json").write_text(text + "\n", encoding="utf-8")
    about = [f"* {name}: {inline(value)}" for name, value in results.about.items()]
    about += [f"* {name}: {version}" for name, version in results.versions.items()]
    head = "\n".join(["# Clients", "", *about, "", "README.md, one folder up, says what the figures mean.", ""])
    (folder / "clients.md").write_text(f"{head}\n{tables(results)}", encoding="utf-8")


def tables(results: Results) -> str:
    parts = [
        "## Client CPU, µs per event: median (min–max), less is better",
        _table(results, cpu_text),
        "## Events per second: median (share of its core that the client took)",
        _table(results, _rate),
        *_ratios(results),
        *_targets(results),
    ]
    notes = [f"* {name}: {reason}" for name, reason in results.missing.items()]
    notes += [
        f"* {row.workload.name}, {name}: {cell.failed or cell.skipped}"
        for row in results.rows
        for name, cell in row.cells.items()
        if (cell.failed or cell.skipped) and name not in results.missing
    ]
    if notes:
        parts += ["## Failed or skipped", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def _table(results: Results, text: Callable[[Cell], str]) -> str:
    lines = [
        [row.workload.title, *(_text(row.cells[peer.name], text) for peer in results.peers)] for row in results.rows
    ]
    return aligned([peer.title for peer in results.peers], lines)


def _text(cell: Cell, text: Callable[[Cell], str]) -> str:
    if cell.runs:
        return text(cell)
    return "failed" if cell.failed else "skipped"


def _rate(cell: Cell) -> str:
    return f"{cell.median('rate'):,.0f} ({cell.median('client_busy'):.0%})"


def _ratios(results: Results) -> list[str]:
    ours = [peer for peer in results.peers if peer.name.startswith("siocore-")]
    theirs = [peer for peer in results.peers if not peer.name.startswith("siocore-")]
    pairs = [(our.name, other.name) for other in theirs for our in ours]
    if not pairs:
        return []
    heads = [f"{our.removeprefix('siocore-')} / {other}" for our, other in pairs]
    lines = [[row.workload.title, *(_ratio(row, *pair) for pair in pairs)] for row in results.rows]
    return ["## siocore's CPU per event as a share of another client's", aligned(heads, lines)]


def _ratio(row: Row, our: str, other: str) -> str:
    mine, theirs = row.cells[our].median("cpu_us"), row.cells[other].median("cpu_us")
    return figure(mine / theirs) if mine and theirs else "–"


def _targets(results: Results) -> list[str]:
    judged = targets.judge(results, targets.CLIENT_TARGETS)
    bindings = list(judged[0][1])
    if not bindings:
        return []
    lines = [[title, *(str(outcomes[name]) for name in bindings)] for title, outcomes in judged]
    return ["## Targets", aligned([name.removeprefix("siocore-") for name in bindings], lines)]
