"""Times to the answer in the open loop: for each server the median, the 99th and the 99.9th percentile."""

from __future__ import annotations

from math import log10

from bench.chart.canvas import COLOURS, LINE, MARGIN, PAPER, document, figure, room_for, text, ticks
from bench.figures import Cell, Results, Row
from bench.servers import Peer

__all__ = ["draw"]

WIDTH = 1024
HEAD, FOOT = 92, 40
PANEL_HEAD, PANEL_FOOT = 34, 52
STEP = 26
KEYS = ("p50_ms", "p99_ms", "p999_ms")
NOTE = (
    "Further left is better. Events leave at random times, whether or not others were answered; from ○ the median, "
    "over ● p99, to | p99.9."
)


def draw(results: Results) -> str | None:
    rows = results.of("tail")
    times = [
        time
        for row in rows
        for cell in row.cells.values()
        for key in KEYS
        if cell.runs and (time := cell.median(key)) is not None
    ]
    if not times:
        return None
    scale = Scale(results, ticks(max(min(times), 0.001), max(times)))
    height_of_panel = PANEL_HEAD + STEP * len(results.peers) + PANEL_FOOT
    parts = [_panel(results.peers, row, HEAD + index * height_of_panel, scale) for index, row in enumerate(rows)]
    height = HEAD + len(rows) * height_of_panel + FOOT
    return document(results, WIDTH, height, "Time to the answer, and its tail", NOTE, parts)


class Scale:
    """Where a time lies between the names of the servers and their figures; logarithmic."""

    def __init__(self, results: Results, marks: list[float]) -> None:
        self.marks = marks
        self.left = MARGIN + room_for([peer.title for peer in results.peers]) + 14
        self.right = WIDTH - MARGIN - 200

    def x(self, time: float) -> float:
        first, last = self.marks[0], self.marks[-1]
        return self.left + (self.right - self.left) * log10(max(time, first) / first) / log10(last / first)


def _panel(peers: tuple[Peer, ...], row: Row, top: int, scale: Scale) -> str:
    bottom = top + PANEL_HEAD + STEP * len(peers)
    parts = [text(MARGIN, top + 12, "panel", row.workload.title[0].upper() + row.workload.title[1:])]
    parts.append(text(scale.right, top + 12, "note right", "ms, logarithmic"))
    for mark in scale.marks:
        parts.append(f'<path d="M{scale.x(mark):.1f} {top + PANEL_HEAD - 6}V{bottom}" stroke="{LINE}"/>')
        parts.append(text(scale.x(mark), bottom + 17, "value middle", f"{mark:,g}"))
    for index, peer in enumerate(peers):
        middle = top + PANEL_HEAD + index * STEP + STEP / 2
        parts.append(text(scale.left - 14, middle + 4, "label right", peer.title))
        parts.append(_times(row.cells[peer.name], middle, COLOURS[peer.name], scale))
    return "\n".join(parts)


def _times(cell: Cell, middle: float, colour: str, scale: Scale) -> str:
    values = [value for key in KEYS if (value := cell.median(key)) is not None]
    if not values:
        return text(scale.left + 6, middle + 4, "missing", "failed" if cell.failed else "skipped")
    median, late, latest = (scale.x(value) for value in values)
    line = f"M{median:.1f} {middle}H{latest:.1f}M{latest:.1f} {middle - 6}v12"
    words = "falls behind" if cell.overloaded else f"p99 {figure(values[1])} ms"
    return "".join(
        [
            f'<path d="{line}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{median:.1f}" cy="{middle}" r="4.5" fill="{PAPER}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{late:.1f}" cy="{middle}" r="5" fill="{colour}"/>',
            text(scale.right + 20, middle + 4, "value", f"{words} at {cell.median('load'):,.0f}/s"),
        ]
    )
