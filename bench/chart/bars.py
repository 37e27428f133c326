"""A panel per workload, a bar per server with its figure beside it.

Bars are linear and begin at zero, so lengths compare as the figures do; a thin line spans min to max."""

from __future__ import annotations

from dataclasses import dataclass

from bench.chart.canvas import COLOURS, INK, LINE, MARGIN, document, figure, room_for, text
from bench.figures import Cell, Results, Row
from bench.servers import Peer

__all__ = ["costs", "idle"]

COLUMNS = 2
PANEL_WIDTH = 470
VALUE_WIDTH = 74
BAR = 15
STEP = 21
PANEL_HEAD = 44
GAP = 28
HEAD = 92
FOOT = 40
NOTE = "Shorter is better. Medians; the thin line spans the smallest and the largest run."


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    key: str
    row: Row
    factor: float = 1.0


def costs(results: Results) -> str | None:
    """CPU per message, workload by workload."""
    modes = ("ack", "binary", "broadcast", "connect", "handshake", "pollecho", "room", "join")
    panels = [
        Panel(_capital(row), f"µs of server CPU per {row.workload.unit}", "cpu_us", row) for row in results.of(*modes)
    ]
    return _draw(results, "Server CPU per message", panels)


def idle(results: Results) -> str | None:
    """What connections cost that do nothing: memory, and heartbeats."""
    panels = []
    for row in results.of("idle"):
        unit = "KB of resident memory per connection"
        panels += [
            Panel(_capital(row), unit, "kb_idle", row),
            Panel(f"The same {row.workload.clients:,} after a message each", unit, "kb_spoken", row),
        ]
    for row in results.of("heartbeat"):
        panels.append(Panel(_capital(row), "% of a core", "server_busy", row, 100))
    return _draw(results, "What idle connections cost", panels)


def _capital(row: Row) -> str:
    return row.workload.title[0].upper() + row.workload.title[1:]


def _draw(results: Results, title: str, panels: list[Panel]) -> str | None:
    if not panels:
        return None
    height_of_panel = PANEL_HEAD + STEP * len(results.peers)
    lines = -(-len(panels) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * GAP
    height = HEAD + lines * (height_of_panel + GAP) + FOOT
    parts = []
    for index, panel in enumerate(panels):
        x = MARGIN + index % COLUMNS * (PANEL_WIDTH + GAP)
        y = HEAD + index // COLUMNS * (height_of_panel + GAP)
        parts.append(_panel(results.peers, x, y, panel))
    return document(results, width, height, title, NOTE, parts)


def _panel(peers: tuple[Peer, ...], x: int, y: int, panel: Panel) -> str:
    cells = panel.row.cells
    widest = max((cell.spread(panel.key)[1] for cell in cells.values() if cell.runs), default=0.0) or 1.0
    label_width = room_for([peer.title for peer in peers]) + 8
    scale = (PANEL_WIDTH - label_width - VALUE_WIDTH) / widest
    left = x + label_width
    parts = [text(x, y + 12, "panel", panel.title), text(x, y + 29, "note", panel.unit)]
    for index, peer in enumerate(peers):
        top = y + PANEL_HEAD + index * STEP
        parts.append(text(left - 8, top + BAR - 3, "label right", peer.title))
        parts.append(_bar(left, top, scale, COLOURS[peer.name], cells[peer.name], panel))
    bottom = y + PANEL_HEAD + STEP * len(peers) - (STEP - BAR) + 3
    parts.append(f'<path d="M{left} {y + PANEL_HEAD - 3}V{bottom}" stroke="{LINE}"/>')
    return "\n".join(parts)


def _bar(left: int, top: int, scale: float, fill: str, cell: Cell, panel: Panel) -> str:
    value = cell.median(panel.key)
    if value is None:
        return text(left + 6, top + BAR - 3, "missing", "failed" if cell.failed else "skipped")
    low, high = cell.spread(panel.key)
    length = max(value * scale, 1.0)
    parts = [f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{fill}"/>']
    if (high - low) * scale > 2:
        middle = top + BAR / 2
        parts.append(
            f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" stroke="{INK}" opacity="0.6"/>'
        )
    end = left + max(length, high * scale)
    parts.append(text(end + 6, top + BAR - 3, "value", figure(value * panel.factor)))
    return "".join(parts)
