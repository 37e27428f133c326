"""The pages that say what is supported say something about everything, and give their reasons."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import siocore

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "supported-protocol.rst"
CLIENT_PAGE = DOCS / "supported-client.rst"
STATES = {"done", "different", "not offered"}


def rows() -> Iterator[list[str]]:
    for page in (PAGE, CLIENT_PAGE):
        lines = [line.strip() for line in page.read_text().splitlines() if line.startswith('   "')]
        yield from csv.reader(lines, skipinitialspace=True)


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row[0])
def test_each_row_has_a_state_and_a_reason_where_it_needs_one(row: list[str]) -> None:
    assert len(row) == 3
    what, state, note = row
    assert what
    assert state in STATES
    if state != "done":
        assert len(note) > 15, "a difference without its reason"


def test_nothing_is_listed_twice() -> None:
    subjects = [row[0] for row in rows()]
    assert len(subjects) > 100
    assert len(set(subjects)) == len(subjects)


#: Options that Node.js has nothing like: docs/options describes them.
OWN = {"limits", "client_dist", "cors_origins"}


def test_every_option_is_on_the_page() -> None:
    text = PAGE.read_text()
    missing = {field.name for field in fields(siocore.ServerOptions) if f"``{field.name}``" not in text}
    assert missing <= OWN


#: The same for clients: docs/client describes them.
CLIENTS_OWN = {"limits", "random", "random_bytes", "wall_clock"}


def test_every_option_of_a_client_is_on_its_page() -> None:
    text = CLIENT_PAGE.read_text()
    missing = {field.name for field in fields(siocore.ClientOptions) if f"``{field.name}``" not in text}
    assert missing <= CLIENTS_OWN
