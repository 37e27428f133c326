"""The results as one SVG picture: a panel per workload, a bar per server, with its figure beside it."""

from __future__ import annotations

from html import escape

from bench.report import Cell, Results, Row

__all__ = ["draw"]

COLUMNS = 2
PANEL_WIDTH = 470
LABEL_WIDTH = 132
VALUE_WIDTH = 74
BAR = 15
STEP = 21
PANEL_HEAD = 44
GAP = 28
MARGIN = 28
HEAD = 92
FOOT = 40

INK, MUTED, LINE, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
FILLS = {
    "siocore-trio": "#0b62d6",
    "siocore-asyncio": "#4a90e8",
    "siocore-uvloop": "#93c0f5",
    "node": "#5f7a61",
    "python-socketio": "#c08a3e",
    "socketioxide": "#a8563c",
    "go": "#3f8f94",
    "floor": "#b6bec8",
}
STYLE = f"""\
text {{ font-family: -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: {INK}; }}
.title {{ font-size: 20px; font-weight: 600; }}
.note {{ font-size: 12px; fill: {MUTED}; }}
.panel {{ font-size: 13.5px; font-weight: 600; }}
.label {{ font-size: 12px; text-anchor: end; }}
.value {{ font-size: 12px; font-variant-numeric: tabular-nums; }}
.missing {{ font-size: 12px; fill: {MUTED}; font-style: italic; }}
"""
"""Bars are linear and begin at zero, so lengths compare as the figures do; a thin line spans min to max."""


def draw(results: Results) -> str:
    """The whole picture. Panels follow the order of the rows; memory makes two."""
    panels = [panel for row in results.rows for panel in _panels(row)]
    height_of_panel = PANEL_HEAD + STEP * len(results.peers)
    lines = -(-len(panels) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * GAP
    height = HEAD + lines * (height_of_panel + GAP) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        "<title>siocore and its peers under load</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        _text(MARGIN, 40, "title", "Server CPU per message, and memory per connection"),
        _text(MARGIN, 62, "note", "Shorter is better. Medians; the thin line spans the smallest and the largest run."),
    ]
    for index, (title, unit, key, row) in enumerate(panels):
        x = MARGIN + index % COLUMNS * (PANEL_WIDTH + GAP)
        y = HEAD + index // COLUMNS * (height_of_panel + GAP)
        parts.append(_panel(results, x, y, title, unit, key, row))
    machine = results.about["machine"]
    foot = f"{machine['cpu']}, {machine['system']}, {results.about['date'][:10]}; {results.about['runs']}"
    parts += [_text(MARGIN, height - 20, "note", foot), "</svg>"]
    return "\n".join(parts) + "\n"


def _panels(row: Row) -> list[tuple[str, str, str, Row]]:
    title = row.workload.title[0].upper() + row.workload.title[1:]
    if row.workload.mode == "idle":
        return [
            (title, "KB of resident memory per connection", "kb_idle", row),
            ("The same after one message each", "KB of resident memory per connection", "kb_spoken", row),
        ]
    return [(title, f"µs of server CPU per {row.workload.unit}", "cpu_us", row)]


def _panel(results: Results, x: int, y: int, title: str, unit: str, key: str, row: Row) -> str:
    widest = max((cell.spread(key)[1] for cell in row.cells.values() if cell.runs), default=0.0) or 1.0
    scale = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH) / widest
    left = x + LABEL_WIDTH
    parts = [_text(x, y + 12, "panel", title), _text(x, y + 29, "note", unit)]
    for index, peer in enumerate(results.peers):
        top = y + PANEL_HEAD + index * STEP
        parts.append(_text(left - 8, top + BAR - 3, "label", peer.title))
        parts.append(_bar(left, top, scale, FILLS[peer.name], row.cells[peer.name], key))
    bottom = y + PANEL_HEAD + STEP * len(results.peers) - (STEP - BAR) + 3
    parts.append(f'<path d="M{left} {y + PANEL_HEAD - 3}V{bottom}" stroke="{LINE}"/>')
    return "\n".join(parts)


def _bar(left: int, top: int, scale: float, fill: str, cell: Cell, key: str) -> str:
    value = cell.median(key)
    if value is None:
        return _text(left + 6, top + BAR - 3, "missing", "failed" if cell.failed else "skipped")
    low, high = cell.spread(key)
    length = max(value * scale, 1.0)
    parts = [f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{fill}"/>']
    if (high - low) * scale > 2:
        middle = top + BAR / 2
        parts.append(
            f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" stroke="{INK}" opacity="0.6"/>'
        )
    end = left + max(length, high * scale)
    parts.append(_text(end + 6, top + BAR - 3, "value", _figure(value)))
    return "".join(parts)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(text)}</text>'
