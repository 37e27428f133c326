"""How values of a server are printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from siocore.cli.lines import Style, escape, show, show_all, to_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (float("nan"), "null"),
        (float("inf"), "null"),
        (10**30, "1" + "0" * 30),
        ('a"b\n', '"a\\"b\\n"'),
        ("grün 日本 🎈", '"grün 日本 🎈"'),
        (b"\x00\xff", '{"_bytes":"AP8="}'),
        ({"a": [1, bytearray(b"x")], 2: memoryview(b"")}, '{"a":[1,{"_bytes":"eA=="}],"2":{"_bytes":""}}'),
        ((1, 2), "[1,2]"),
        (json, '"' + str(json).replace("\\", "\\\\") + '"'),
    ],
)
def test_json_says_everything(value: Any, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred\x1b]0;title\x07",
        "\x9b31m",
        "\x7f",
        "a\u202eb",
        "\u2028\u2029",
        "\ud800",
        "\U000e0041",
        "\U0010fffe",
        "\u00a0",
    ],
)
def test_no_control_character_reaches_a_terminal_and_json_stays_json(text: str) -> None:
    for value in (text, {text: [text]}):
        for written in (to_json(value), show(value), show(value, full=True)):
            assert written.isprintable()
            assert written.isascii()
            assert json.loads(written) == value
    assert escape(text).isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, "b"], "c": {}}, '{"a": [1, "b"], "c": {}}'),
        (b"", "<0 bytes>"),
        (b"\x01", "<1 byte: 01>"),
        (bytes(16), f"<16 bytes: {'00' * 16}>"),
        (bytes(1500), f"<1,500 bytes: {'00' * 16}…>"),
        ("x" * 500, '"' + "x" * 500 + '"'),
        ("x" * 1600, '"' + "x" * 500 + '"…(+1,100 characters)'),
        (list(range(52)), f"[{', '.join(map(str, range(50)))}, …(+2 items)]"),
        (dict.fromkeys(map(str, range(51)), 0), None),
    ],
)
def test_what_is_long_is_cut_with_a_count(value: Any, text: str | None) -> None:
    assert show(value) == text or (text is None and show(value).endswith(', "49": 0, …(+1 items)}'))


def test_a_line_is_cut_as_well() -> None:
    shown = show(["x" * 400] * 10)
    assert shown.endswith("…(+2,040 characters)")
    assert len(shown) < 2100
    assert len(show(["x" * 400] * 10, full=True)) == 10 * 402 + 9 * 2 + 2


def test_full_cuts_nothing() -> None:
    value = {"a": "x" * 5000, "b": list(range(500))}
    assert json.loads(show(value, full=True)) == value
    assert show(b"\x00" * 40, full=True) == f"<40 bytes: {'00' * 40}>"


def test_nesting_has_a_bound() -> None:
    value: Any = []
    for _ in range(2000):
        value = [value]
    assert show(value) == "[" * 20 + "[…]" + "]" * 20
    to_json(value)
    show(value, full=True)


def test_values_of_a_line_are_separated_by_spaces() -> None:
    assert show_all([1, "a", None]) == '1 "a" null'
    assert show_all([]) == ""


def test_colours_are_only_there_when_asked_for() -> None:
    assert Style(False).name("x") == "x"
    assert Style(True).name("x") == "\x1b[1;36mx\x1b[0m"
