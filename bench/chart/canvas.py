"""What all pictures share: paper, ink and text, a colour for each server, scales, and figures in words."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10

from bench.figures import Results

__all__ = ["COLOURS", "INK", "LINE", "MARGIN", "PAPER", "document", "figure", "room_for", "text", "ticks"]

INK, MUTED, LINE, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
MARGIN = 28
COLOURS = {
    "siocore-trio": "#0b62d6",
    "siocore-asyncio": "#4a90e8",
    "siocore-uvloop": "#93c0f5",
    "node": "#4d8a54",
    "python-socketio": "#c89434",
    "socketioxide": "#b5472f",
    "go": "#0f8f8c",
    "floor": "#8c96a1",
}
STYLE = f"""\
text {{ font-family: -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: {INK}; }}
.title {{ font-size: 20px; font-weight: 600; }}
.note {{ font-size: 12px; fill: {MUTED}; }}
.panel {{ font-size: 13.5px; font-weight: 600; }}
.label {{ font-size: 12px; }}
.value {{ font-size: 12px; font-variant-numeric: tabular-nums; }}
.missing {{ font-size: 12px; fill: {MUTED}; font-style: italic; }}
.right {{ text-anchor: end; }}
.middle {{ text-anchor: middle; }}
"""


def document(results: Results, width: int, height: int, title: str, note: str, parts: list[str]) -> str:
    """A whole picture: 92 pixels of head, then ``parts``, then 40 pixels that say what was measured where and when."""
    machine = results.about["machine"]
    foot = f"{machine['cpu']}, {machine['system']}, {results.about['date'][:10]}; {results.about['runs']}"
    size = f'width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
            text(MARGIN, 40, "title", title),
            text(MARGIN, 62, "note", note),
            *parts,
            text(MARGIN, height - 20, "note", foot),
            "</svg>\n",
        ]
    )


def text(x: float, y: float, kind: str, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def room_for(words: list[str]) -> int:
    """Pixels that are enough for the longest of them as a label or a value."""
    return 7 * max((len(each) for each in words), default=0)


def figure(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ticks(low: float, high: float) -> list[float]:
    """Marks of a logarithmic scale that holds ``low`` to ``high``: 1, 2 and 5 times powers of ten, or, if those are
    many, the powers alone. The first is at or below ``low``, the last above it and not below ``high``."""
    high = max(high, 2 * low)
    first, last = floor(log10(low)), ceil(log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    marks = [step * 10.0**exponent for exponent in range(first, last + 1) for step in steps]
    start = max(index for index, mark in enumerate(marks) if mark <= low)
    end = min(index for index, mark in enumerate(marks) if mark >= high)
    return marks[start : end + 1]
