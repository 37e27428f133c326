"""What is printed while somebody types, on a screen that does what terminals do."""

from __future__ import annotations

import re

import pytest

from siocore.cli.terminal import above, complete, wrap

_SEQUENCE = re.compile(r"\x1b(7|8|\[(\d*)([ABL]))|(.)", re.DOTALL)


class Screen:
    """A terminal of a few rows: enough of one for what ``above`` writes."""

    def __init__(self, rows: int, typed: list[str], column: int) -> None:
        self.rows = [*typed, *[""] * (rows - len(typed))]
        self.row, self.column = len(typed) - 1, column
        self.saved = (0, 0)

    def write(self, text: str) -> None:
        for match in _SEQUENCE.finditer(text):
            whole, count, kind, character = match.groups()
            number = int(count or 1)
            if whole == "7":
                self.saved = (self.row, self.column)
            elif whole == "8":
                self.row, self.column = self.saved
            elif kind == "A":
                self.row = max(0, self.row - number)
            elif kind == "B":
                self.row = min(len(self.rows) - 1, self.row + number)
            elif kind == "L":
                for _ in range(number):
                    self.rows.insert(self.row, "")
                    self.rows.pop()
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                if self.row == len(self.rows) - 1:
                    self.rows = [*self.rows[1:], ""]
                else:
                    self.row += 1
            else:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
                self.column += 1


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("printed", [["one"], ["one", "two"], ["one", "two", "three"], list("abcdef")])
def test_what_is_printed_stands_above_the_line_and_the_cursor_stays_in_it(before: int, printed: list[str]) -> None:
    screen = Screen(5, [*[f"old {number}" for number in range(before)], "> typed"], column=4)
    screen.write(above(printed, lines=4))
    expected = [*[f"old {number}" for number in range(before)], *printed, "> typed"]
    assert [row for row in screen.rows if row] == expected[-5:]
    assert screen.rows[screen.row] == "> typed"
    assert screen.column == 4


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("", 5, [""]),
        ("abcde", 5, ["abcde"]),
        ("abcdef", 5, ["abcde", "f"]),
        ("a\nb", 5, ["a", "b"]),
        ("日本語", 5, ["日本", "語"]),
        ("ae\u0301b", 3, ["ae\u0301b"]),
        ("\x1b[1;36mabc\x1b[0mdef", 5, ["\x1b[1;36mabc\x1b[0mde", "f"]),
    ],
)
def test_rows_are_counted_as_the_terminal_does(text: str, columns: int, rows: list[str]) -> None:
    assert wrap(text, columns) == rows


def test_a_screen_that_is_narrower_than_a_character_ends_nothing() -> None:
    assert "".join(wrap("日本", 1)) == "日本"


def test_completion_offers_what_begins_with_the_text() -> None:
    names = ["/help", "chat", '"chat message"', "check", "chat"]
    assert complete("ch", names) == ["chat", "check"]
    assert complete('"ch', names) == ['"chat message" ']
    assert complete("x", names) == []
