"""A Sphinx directive, ``.. state-table:: siocore.engineio.states.TRANSPORT``: a state table as it is in the code."""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from tables import make_table


class StateTable(Directive):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].rpartition(".")
        table: dict[tuple[Enum, Enum], tuple[Enum, Enum]] = getattr(import_module(module), name)
        rows = [("state", "input", "action", "next state")]
        rows += [
            (state.name, step.name, "–" if action.name == "NOTHING" else action.name, following.name)
            for (state, step), (action, following) in table.items()
        ]
        return [make_table(rows)]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("state-table", StateTable)
    return {"parallel_read_safe": True}
