"""A Sphinx directive, ``.. advice-table::``, that shows what refused requests are told, as it is in the code."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from tables import make_table

from siocore.advice import ADVICE


class AdviceTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [make_table([("what is seen", "cause", "what to change"), *ADVICE.values()])]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("advice-table", AdviceTable)
    return {"parallel_read_safe": True}
