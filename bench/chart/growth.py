"""CPU per message against the number of clients, all of them active: a curve per server, both scales logarithmic."""

from __future__ import annotations

from math import log10

from bench.chart.canvas import COLOURS, INK, LINE, MARGIN, document, figure, room_for, text, ticks
from bench.figures import Results

__all__ = ["draw"]

WIDTH, HEIGHT = 1024, 560
LEFT, TOP, BOTTOM = MARGIN + 52, 100, HEIGHT - 96
#: Between the words at two curves' ends.
LABEL_STEP = 17
Point = tuple[float, float]


def draw(results: Results) -> str | None:
    rows = [row for row in results.of("growth") if row.workload.active is None]
    curves = {
        peer.name: [
            (float(row.workload.clients), cost) for row in rows if (cost := row.cells[peer.name].median("cpu_us"))
        ]
        for peer in results.peers
    }
    curves = {name: points for name, points in curves.items() if points}
    if len(rows) < 2 or not curves:
        return None
    titles = {peer.name: peer.title for peer in results.peers}
    words = {name: f"{titles[name]}: {_span([cost for _, cost in points])}" for name, points in curves.items()}
    costs = [cost for points in curves.values() for _, cost in points]
    across, upward = [float(row.workload.clients) for row in rows], ticks(min(costs), max(costs))
    right = WIDTH - MARGIN - room_for(list(words.values())) - 34

    def x(clients: float) -> float:
        return LEFT + (right - LEFT) * log10(clients / across[0]) / log10(across[-1] / across[0])

    def y(cost: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * log10(cost / upward[0]) / log10(upward[-1] / upward[0])

    parts = [text(LEFT, TOP - 14, "note", "µs of server CPU per message")]
    for mark in upward:
        parts.append(f'<path d="M{LEFT} {y(mark):.1f}H{right}" stroke="{LINE}"/>')
        parts.append(text(LEFT - 8, y(mark) + 4, "value right", f"{mark:g}"))
    for clients in across:
        parts.append(f'<path d="M{x(clients):.1f} {BOTTOM}v5" stroke="{INK}"/>')
        parts.append(text(x(clients), BOTTOM + 21, "value middle", f"{clients:,.0f}"))
    parts.append(f'<path d="M{LEFT} {BOTTOM}H{right}" stroke="{INK}"/>')
    parts.append(text((LEFT + right) / 2, BOTTOM + 42, "note middle", "connected clients"))
    labels = _apart({name: y(points[-1][1]) for name, points in curves.items()})
    for name, points in curves.items():
        placed = [(x(clients), y(cost)) for clients, cost in points]
        end_x, end_y = placed[-1]
        leader = f"M{end_x:.1f} {end_y:.1f}L{right + 22} {labels[name]:.1f}h6"
        parts.append(f'<path d="{leader}" fill="none" stroke="{COLOURS[name]}"/>')
        parts.append(_curve(placed, COLOURS[name]))
        parts.append(text(right + 34, labels[name] + 4, "label", words[name]))
    note = (
        "Flat is best. Acknowledged events, 10 in flight in all, spread over all clients; "
        "× is the dearest message over the cheapest."
    )
    return document(results, WIDTH, HEIGHT, "Server CPU per message as connections grow", note, parts)


def _span(costs: list[float]) -> str:
    return f"{figure(costs[0])} to {figure(costs[-1])}, ×{max(costs) / min(costs):.2f}"


def _curve(points: list[Point], colour: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _apart(wanted: dict[str, float]) -> dict[str, float]:
    """The same places in the same order, moved so that no two are nearer than a line of text."""
    names = sorted(wanted, key=wanted.__getitem__)
    placed: list[float] = []
    for name in names:
        placed.append(max(wanted[name], placed[-1] + LABEL_STEP) if placed else wanted[name])
    # What was pushed below the lowest curve pushes back.
    limit = float(BOTTOM)
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - LABEL_STEP
    return dict(zip(names, placed, strict=True))
