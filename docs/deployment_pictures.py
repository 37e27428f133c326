"""A Sphinx directive that draws a deployment, from the clients at the top to the broker at the bottom.

::

    .. deployment:: Two machines, one of them with Node.js.

       clients: 6
       balancer: sticky load balancer
       machine: siocore, siocore | messages and connections
       machine: Node.js
       broker: Redis Pub/Sub

The argument is what is said to those who don't see it. ``machine`` names its servers, and behind ``|`` what goes
between them. All keys but ``machine`` may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

WIDTH = 640
CENTRE = WIDTH / 2
#: Heights of the rows, and of the gaps between them.
BOX = 34
GAP = 38
NODE_WIDTH = 92
NODE_GAP = 14
PADDING = 14
STYLE = "font-family:inherit;font-size:13px;color:var(--color-foreground-primary,#222)"


@dataclass
class Machine:
    servers: list[str]
    between: str

    @property
    def width(self) -> float:
        return len(self.servers) * (NODE_WIDTH + NODE_GAP) - NODE_GAP + 2 * PADDING


@dataclass
class Picture:
    machines: list[Machine]
    clients: int = 5
    balancer: str = ""
    broker: str = ""
    shapes: list[str] = field(default_factory=list)

    def svg(self, title: str) -> str:
        total = sum(each.width for each in self.machines) + 2 * NODE_GAP * (len(self.machines) - 1)
        top = 12.0
        clients = [CENTRE + (index - (self.clients - 1) / 2) * 56 for index in range(self.clients)]
        for x in clients:
            self.shapes.append(f'<circle cx="{x}" cy="{top}" r="7" fill="none" stroke="currentColor"/>')
        if clients:
            self._text(clients[-1] + 48, top + 4.5, "clients")
        below = top + 7
        servers_top = below + GAP + (BOX + GAP if self.balancer else 0) + PADDING
        centres = []
        left = (WIDTH - total) / 2
        for machine in self.machines:
            centres += self._machine(machine, left, servers_top)
            left += machine.width + 2 * NODE_GAP
        if self.balancer:
            for x in clients:
                self._line(x, below, x, below + GAP)
            self._box(CENTRE - total / 2, below + GAP, total, self.balancer)
            for x in centres:
                self._line(x, below + GAP + BOX, x, servers_top)
        else:
            for index, x in enumerate(clients):
                self._line(x, below, centres[index * len(centres) // len(clients)], servers_top)
        bottom = servers_top + BOX + PADDING
        if any(machine.between for machine in self.machines):
            bottom += 22
        if self.broker:
            for x in centres:
                self._line(x, servers_top + BOX, x, bottom + GAP)
            self._box(CENTRE - total / 2, bottom + GAP, total, self.broker)
            bottom += GAP + BOX
        height = bottom + 4
        return (
            f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height:g}" '
            f'style="max-width:{WIDTH}px;width:100%;{STYLE}">{"".join(self.shapes)}</svg>'
        )

    def _machine(self, machine: Machine, left: float, top: float) -> list[float]:
        """Draw a machine; returns where the middles of its servers are."""
        height = BOX + 2 * PADDING + (22 if machine.between else 0)
        self.shapes.append(
            f'<rect x="{left}" y="{top - PADDING}" width="{machine.width}" height="{height}" rx="8" fill="none" '
            'stroke="currentColor" stroke-dasharray="4 4" opacity="0.6"/>'
        )
        centres = []
        for index, server in enumerate(machine.servers):
            x = left + PADDING + index * (NODE_WIDTH + NODE_GAP)
            self._box(x, top, NODE_WIDTH, server)
            centres.append(x + NODE_WIDTH / 2)
        if machine.between:
            y = top + BOX + 10
            self._line(centres[0], y, centres[-1], y)
            for x in centres:
                self._line(x, top + BOX, x, y)
            self._text(left + machine.width / 2, y + 16, machine.between)
        return centres

    def _box(self, x: float, y: float, width: float, text: str) -> None:
        self.shapes.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{BOX}" rx="5" fill="none" stroke="currentColor"/>'
        )
        self._text(x + width / 2, y + BOX / 2 + 4.5, text)

    def _text(self, x: float, y: float, text: str) -> None:
        self.shapes.append(f'<text x="{x}" y="{y}" text-anchor="middle" fill="currentColor">{escape(text)}</text>')

    def _line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.shapes.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="currentColor" opacity="0.6"/>'
        )


class Deployment(Directive):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        picture = Picture([])
        for line in self.content:
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "machine":
                servers, _, between = value.partition("|")
                picture.machines.append(Machine([each.strip() for each in servers.split(",")], between.strip()))
            elif key == "clients":
                picture.clients = int(value)
            elif key == "balancer":
                picture.balancer = value
            elif key == "broker":
                picture.broker = value
            else:
                raise self.error(f"a deployment has clients, balancer, machine and broker, not {key!r}")
        if not picture.machines:
            raise self.error("a deployment has a machine at least")
        return [nodes.raw("", picture.svg(self.arguments[0]), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("deployment", Deployment)
    return {"parallel_read_safe": True}
