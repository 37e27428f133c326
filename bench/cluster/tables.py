"""What a run found, as JSON and as tables in Markdown: ``cluster.json`` and ``cluster.md``."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Cell, Results
from bench.report import aligned, figure, inline

__all__ = ["tables", "write"]


def write(results: Results, folder: Path) -> None:
    """Write ``cluster.json`` and ``cluster.md`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "workload": row.workload.name,
            "title": row.workload.title,
            "peers": {name: cell.as_json() for name, cell in row.cells.items()},
        }
        for row in results.rows
    ]
    found = results.about | {"versions": results.versions, "skipped": results.missing, "rows": rows}
    (folder / "cluster.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    about = [f"* {name}: {inline(value)}" for name, value in results.about.items()]
    about += [f"* {name}: {version}" for name, version in results.versions.items()]
    head = "\n".join(["# Clusters", "", *about, "", "README.md, one folder up, says what the figures mean.", ""])
    (folder / "cluster.md").write_text(f"{head}\n{tables(results)}", encoding="utf-8")


def tables(results: Results) -> str:
    parts = [
        "## CPU of the server that sends, µs per message: median (min–max), less is better",
        _table(results, "publisher"),
        "## CPU of the server that receives, µs per message: median (min–max), less is better",
        _table(results, "receiver"),
        "## Messages per second: median (share of a core that the sender and the receiver took)",
        _table(results, "rate"),
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


def _table(results: Results, what: str) -> str:
    lines = [
        [row.workload.title, *(_text(row.cells[peer.name], what) for peer in results.peers)] for row in results.rows
    ]
    return aligned([peer.title for peer in results.peers], lines)


def _text(cell: Cell, what: str) -> str:
    if not cell.runs:
        return "failed" if cell.failed else "skipped"
    if what == "rate":
        shares = cell.median("publisher_busy"), cell.median("receiver_busy")
        return f"{cell.median('rate'):,.0f} ({shares[0]:.0%}, {shares[1]:.0%})"
    key = f"{what}_us"
    low, high = cell.spread(key)
    return f"{figure(cell.median(key) or 0.0)} ({figure(low)}–{figure(high)})"
