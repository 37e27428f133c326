"""What a run of the bench found, as JSON and as tables in Markdown that are also readable as they stand."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import targets
from bench.figures import Cell, Results, Row
from bench.servers import Peer

__all__ = ["aligned", "cpu_text", "figure", "inline", "machine", "tables", "write"]

#: Above this share of its core the generator, not the server, may have set the pace.
GENERATOR_LIMIT = 0.95
#: In a closed loop one side is always at work. If neither had this share of its core, something else had it.
SHARED_LIMIT = 0.8
#: If the generator's own delay is above this share of what it measures, it has measured itself.
DELAY_LIMIT = 0.25
MARKS = """\
`*` the generator was busy all the time: the server could do more.
`~` other programs took much of both cores: measure again on a quiet machine."""
TAIL_MARKS = """\
`!` more than this server carries: its times grow for as long as the load lasts.
`~` the generator itself was late by as much: measure again on a quiet machine."""

LOADS = ("ack", "binary", "broadcast", "connect", "handshake", "pollecho")
CellText = Callable[[Cell], str]


def as_json(results: Results) -> dict[str, Any]:
    rows = [
        {
            "workload": row.workload.name,
            "title": row.workload.title,
            "unit": row.workload.unit,
            "peers": {name: cell.as_json() for name, cell in row.cells.items()},
        }
        for row in results.rows
    ]
    found = {"targets": targets.as_json(results), "rows": rows}
    return results.about | {"versions": results.versions, "skipped": results.missing} | found


def write(results: Results, folder: Path) -> None:
    """Write ``results.json`` and ``table.md`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(results), indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    about = "\n".join(f"* {name}: {inline(value)}" for name, value in results.about.items())
    versions = "\n".join(f"* {name}: {version}" for name, version in results.versions.items())
    head = "# Load bench\n\n" + about + "\n" + versions + "\n\nREADME.md, one folder up, says what the figures mean.\n"
    (folder / "table.md").write_text(f"{head}\n{tables(results)}", encoding="utf-8")


def tables(results: Results) -> str:
    parts = [
        *_loads(results, results.of(*LOADS)),
        *_tails(results, results.of("tail")),
        *_growth(results, results.of("growth")),
        *_rooms(results, results.of("room", "join")),
        *_idle(results, results.of("idle")),
        *_heartbeats(results, results.of("heartbeat")),
        *_ratios(results),
        *_targets(results),
    ]
    skipped = [f"* {name}: {reason}" for name, reason in results.missing.items()]
    skipped += [
        f"* {row.workload.name}, {name}: {cell.skipped}"
        for row in results.rows
        for name, cell in row.cells.items()
        if cell.skipped and name not in results.missing
    ]
    if skipped:
        parts += ["## Skipped", "\n".join(skipped)]
    failures = [
        f"* {row.workload.name}, {name}: {cell.failed}"
        for row in results.rows
        for name, cell in row.cells.items()
        if cell.failed
    ]
    if failures:
        parts += ["## Failed", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def _loads(results: Results, rows: list[Row]) -> list[str]:
    if not rows:
        return []
    return [
        "## Server CPU, µs per message: median (min–max), less is better",
        _table(results, rows, cpu_text),
        "## Messages per second: median, more is better",
        _table(results, rows, _rate),
        MARKS,
        "## Time to the answer under this load, ms: p50 / p99",
        _table(results, rows, lambda cell: figures(cell, "p50_ms", "p99_ms")),
    ]


def _tails(results: Results, rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        lines.append(_line(results, row, _tail))
        lines.append(["… at so many events per second", *_line(results, row, _load)[1:]])
    heading = "## Time to the answer of events that do not wait for answers, ms: p50 / p99 / p99.9, less is better"
    return [heading, _markdown(results, lines), TAIL_MARKS] if rows else []


def _growth(results: Results, rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = []
    for silent in (True, False):
        alike = [row for row in rows if (row.workload.active is not None) == silent]
        lines += [_line(results, row, cpu_text) for row in alike]
        if len(alike) > 1:
            lines.append(["… largest / smallest", *(_extent(alike, peer) for peer in results.peers)])
    return ["## Growth: server CPU, µs per message: median (min–max), flat is best", _markdown(results, lines)]


def _rooms(results: Results, rows: list[Row]) -> list[str]:
    lines = []
    for mode in ("room", "join"):
        of_mode = [row for row in rows if row.workload.mode == mode]
        lines += [_line(results, row, cpu_text) for row in of_mode]
        if len(of_mode) > 1:
            lines.append(["… largest / smallest", *(_extent(of_mode, peer) for peer in results.peers)])
    heading = "## Rooms: server CPU, µs per delivery (per join and leave): median (min–max), less is better"
    return [heading, _markdown(results, lines)] if rows else []


def _idle(results: Results, rows: list[Row]) -> list[str]:
    heading = "## Resident memory per connection, KB: idle / after one message each, less is better"
    return [heading, _table(results, rows, lambda cell: figures(cell, "kb_idle", "kb_spoken"))] if rows else []


def _heartbeats(results: Results, rows: list[Row]) -> list[str]:
    heading = "## Heartbeats: share of a core / µs per heartbeat, less is better"
    return [heading, _table(results, rows, _heartbeat)] if rows else []


def _ratios(results: Results) -> list[str]:
    ours = [peer for peer in results.peers if peer.name in targets.BINDINGS]
    theirs = [peer for peer in results.peers if not peer.name.startswith("siocore-")]
    pairs = [(our, other) for other in theirs for our in ours]
    if not pairs or not results.rows:
        return []
    keys = {"idle": "kb_idle", "tail": "p99_ms"}
    lines = [
        [
            row.workload.title + (", p99" if row.workload.mode == "tail" else ""),
            *(_ratio(row, our, other, keys.get(row.workload.mode, "cpu_us")) for our, other in pairs),
        ]
        for row in results.rows
    ]
    heads = [f"{our.name.removeprefix('siocore-')} / {other.name}" for our, other in pairs]
    return ["## siocore's CPU per message (or time, or memory) as a share of a peer's", aligned(heads, lines)]


def _targets(results: Results) -> list[str]:
    judged = targets.judge(results)
    if not judged[0][1]:
        return []
    lines = [[title, *(str(outcome) for outcome in outcomes.values())] for title, outcomes in judged]
    heads = [name.removeprefix("siocore-") for name in judged[0][1]]
    return ["## Targets", aligned(heads, lines)]


def _ratio(row: Row, our: Peer, other: Peer, key: str) -> str:
    mine, theirs = (row.cells[peer.name].median(key) for peer in (our, other))
    return f"{mine / theirs:.2f}" if mine is not None and theirs is not None and theirs > 0 else "–"


def _extent(rows: list[Row], peer: Peer) -> str:
    """How far the costs of the same message lie apart."""
    costs = [cost for row in rows if (cost := row.cells[peer.name].median("cpu_us"))]
    return f"{max(costs) / min(costs):.2f}" if len(costs) > 1 else "–"


def cpu_text(cell: Cell) -> str:
    low, high = cell.spread("cpu_us")
    spread = f" ({figure(low)}–{figure(high)})" if len(cell.runs) > 1 else ""
    return f"{figure(cell.median('cpu_us'))}{spread}"


def _rate(cell: Cell) -> str:
    generator, server = cell.median("generator_busy") or 0.0, cell.median("server_busy") or 0.0
    mark = "*" if generator > GENERATOR_LIMIT else "~" if max(generator, server) < SHARED_LIMIT else ""
    return f"{cell.median('rate'):,.0f}{mark}"


def _tail(cell: Cell) -> str:
    late = (cell.median("delay_ms") or 0.0) > DELAY_LIMIT * (cell.median("p99_ms") or 0.0)
    return figures(cell, "p50_ms", "p99_ms", "p999_ms") + ("!" if cell.overloaded else "~" if late else "")


def _load(cell: Cell) -> str:
    return f"{cell.median('load'):,.0f}"


def _heartbeat(cell: Cell) -> str:
    return f"{cell.median('server_busy'):.2%} / {figure(cell.median('cpu_us'))}"


def figures(cell: Cell, *keys: str) -> str:
    return " / ".join(figure(cell.median(key)) for key in keys)


def figure(value: float | None) -> str:
    """Three significant digits, never an exponent."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(results: Results, rows: list[Row], cell_text: CellText) -> str:
    return _markdown(results, [_line(results, row, cell_text) for row in rows])


def _line(results: Results, row: Row, cell_text: CellText) -> list[str]:
    return [row.workload.title, *(_text(row.cells.get(peer.name), cell_text) for peer in results.peers)]


def _text(cell: Cell | None, cell_text: CellText) -> str:
    if cell is None or not cell.runs:
        return "failed" if cell and cell.failed else "skipped"
    return cell_text(cell)


def _markdown(results: Results, lines: list[list[str]]) -> str:
    """A column for each peer."""
    return aligned([peer.title for peer in results.peers], lines)


def aligned(heads: list[str], lines: list[list[str]]) -> str:
    table = [["", *heads], *lines]
    widths = [max(len(line[index]) for line in table) for index in range(len(heads) + 1)]

    def row(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([row(table[0]), row(rule), *(row(line) for line in lines)])


def inline(value: Any) -> str:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def machine() -> dict[str, Any]:
    """What the figures were measured on; nothing that names the computer or its user."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{memory / 1024**3:.0f} GB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }
