"""A Sphinx directive, ``.. client-options-table::``, that shows the options of clients, as they are in the code."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from siocore import client_options


class ClientOptionsTable(Directive):
    """The argument is the name of the class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 3 3 10", ""]
        rows = [("option", "default", "meaning"), *read_options(self.arguments[0])]
        for row in rows:
            lines += [f"   {'* -' if index == 0 else '  -'} {text}" for index, text in enumerate(row)]
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, source="client_options.py"), self.content_offset, parent)
        return parent.children


def read_options(name: str) -> list[tuple[str, str, str]]:
    """Names, defaults and comments of the fields of a class; fields behind one comment stand in one row."""
    source = inspect.getsource(getattr(client_options, name))
    lines = source.splitlines()
    rows: list[tuple[str, str, str]] = []
    for statement in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            continue
        option, default = f"``{ast.unparse(statement.target)}``", f"``{_default(ast.unparse(statement.value))}``"
        comment = _comment_above(lines, statement.lineno - 1)
        if comment or not rows:
            rows.append((option, default, comment))
        else:
            rows[-1] = (f"{rows[-1][0]}, {option}", f"{rows[-1][1]}, {default}", rows[-1][2])
    return rows


def _default(source: str) -> str:
    return {"field(default_factory=dict)": "{}", "CLIENT_TRANSPORTS": repr(client_options.CLIENT_TRANSPORTS)}.get(
        source, source
    )


def _comment_above(lines: list[str], index: int) -> str:
    found: list[str] = []
    while index > 0 and lines[index - 1].strip().startswith("#:"):
        index -= 1
        found.insert(0, lines[index].strip().removeprefix("#:").strip())
    return " ".join(found)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("client-options-table", ClientOptionsTable)
    return {"parallel_read_safe": True}
