"""Tables for the directives of this folder."""

from __future__ import annotations

from docutils import nodes


def make_table(rows: list[tuple[str, ...]]) -> nodes.table:
    """A table whose first row is its head."""
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    head, body = nodes.thead(), nodes.tbody()
    for index, row in enumerate(rows):
        line = nodes.row()
        for text in row:
            line += nodes.entry("", nodes.paragraph(text=text))
        (head if index == 0 else body).append(line)
    group += [head, body]
    made = nodes.table()
    made += group
    return made
