"""Sphinx directives that show the committed figures of the bench (bench/results/results.json).

``.. bench-table:: cpu_us ack-20x1 ack-20x8`` shows a figure of some workloads for every server, ``.. bench-targets::``
the targets and whether they were met, ``.. bench-about::`` the machine and the versions. With ``clients`` or
``cluster`` among the arguments they show the figures of the clients (bench/results/clients.json), or of clusters
(bench/results/cluster.json).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from tables import make_table

RESULTS = Path(__file__).resolve().parent.parent / "bench" / "results"
SHORT = {
    "siocore-trio": "siocore, trio",
    "siocore-asyncio": "siocore, asyncio",
    "siocore-uvloop": "siocore, uvloop",
    "siocore-sync": "siocore, blocking",
    "node": "Node.js",
    "python-socketio": "python-socketio",
    "socketioxide": "socketioxide",
    "go": "Go",
    "floor": "C, no JSON",
}


@cache
def results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def which(arguments: list[str]) -> str:
    return next((name for name in ("clients", "cluster") if name in arguments), "results")


def figure(row: dict[str, Any], peer: str, keys: list[str]) -> str:
    cell = row["peers"].get(peer, {})
    return " / ".join(rounded(cell[key]["median"]) for key in keys) if all(key in cell for key in keys) else "–"


def rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class BenchTable(Directive):
    required_arguments = 2
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        keys = self.arguments[0].split("/")
        wanted = self.arguments[1].split()
        chosen = [row for row in results(which(wanted))["rows"] if row["workload"] in wanted]
        peers = [name for name in SHORT if any(figure(row, name, keys) != "–" for row in chosen)]
        rows = [("", *(SHORT[name] for name in peers))]
        rows += [(row["title"], *(figure(row, name, keys) for name in peers)) for row in chosen]
        return [make_table(rows)]


class BenchTargets(Directive):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        rows = [("target", "trio", "asyncio")]
        for target in results(which(self.arguments))["targets"]:
            cells = []
            for name in ("siocore-trio", "siocore-asyncio"):
                outcome = target.get(name, {"value": "not measured", "met": None})
                verdict = {True: ": met", False: ": NOT MET", None: ""}[outcome["met"]]
                cells.append(outcome["value"] + verdict)
            rows.append((target["target"], *cells))
        return [make_table(rows)]


class BenchAbout(Directive):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        found = results(which(self.arguments))
        lines = [
            f"date: {found['date'][:10]}",
            "machine: " + ", ".join(f"{key} {value}" for key, value in found["machine"].items()),
            "cores: " + ", ".join(f"{key} {value}" for key, value in found["cores"].items()),
            f"runs: {found['runs']}",
            *found["versions"].values(),
            *(f"{SHORT.get(name, name)} was skipped: {reason}" for name, reason in found["skipped"].items()),
        ]
        listed = nodes.bullet_list()
        for line in lines:
            listed += nodes.list_item("", nodes.paragraph(text=line))
        return [listed]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("bench-table", BenchTable)
    app.add_directive("bench-targets", BenchTargets)
    app.add_directive("bench-about", BenchAbout)
    return {"parallel_read_safe": True}
