"""What is printed: values, events and what happens to the connection, as lines.

What a server sends goes to somebody's terminal: every character that is not printable is written as JSON's escape, so
that no control sequence gets through. Pure functions.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["PLAIN", "Style", "escape", "show", "show_all", "show_name", "to_json"]

# Names that may be written without quotes in the lines of a session.
_WORD = re.compile(r"[^\s\"'?{\[@/][^\s\"']{0,99}")
#: How many levels of arrays and objects are written: more than ``Limits.max_json_depth`` lets through.
_MAX_DEPTH = 150
#: Where values are cut for people: characters of a string, items of an array or object, characters of a line.
_MAX_STRING = 500
_MAX_ITEMS = 50
_MAX_LINE = 2000


class Style:
    """Colours of a terminal, or none."""

    def __init__(self, colours: bool) -> None:
        self.colours = colours

    def faint(self, text: str) -> str:
        return self._wrap("2", text)

    def name(self, text: str) -> str:
        return self._wrap("1;36", text)

    def good(self, text: str) -> str:
        return self._wrap("32", text)

    def bad(self, text: str) -> str:
        return self._wrap("31", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text


PLAIN = Style(False)


def escape(text: str) -> str:
    """``text`` with every character that is not printable as ``\\uXXXX``. What was JSON stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _code(character) for character in text)


def to_json(value: object) -> str:
    """``value`` in one line of JSON; bytes are ``{"_bytes": "<base64>"}``."""
    return escape(json.dumps(_plain(value, _MAX_DEPTH), ensure_ascii=False, separators=(",", ":")))


def show(value: object, *, full: bool = False) -> str:
    """``value`` for people: JSON in which bytes are ``<5 bytes: 00ff…>`` and, unless ``full``, what is long is cut."""
    text = _show(value, _MAX_DEPTH if full else 20, full)
    if full or len(text) <= _MAX_LINE:
        return text
    return f"{text[:_MAX_LINE]}…(+{len(text) - _MAX_LINE:,} characters)"


def show_all(values: Iterable[object], *, full: bool = False) -> str:
    """Several values, with a space between them: those that a line of a session would be typed with."""
    return " ".join(show(value, full=full) for value in values)


def show_name(name: object) -> str:
    """The name of an event: a word as it is, anything else as JSON."""
    return name if isinstance(name, str) and name.isprintable() and _WORD.fullmatch(name) else show(name)


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def _plain(value: object, depth: int) -> Any:
    """What the standard library's JSON can write."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"_bytes": base64.b64encode(value).decode()}
    if isinstance(value, (dict, list, tuple)) and not depth:
        return "…"
    if isinstance(value, dict):
        return {_key(key): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    # Times and extension types of other parsers.
    return str(value)


def _key(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(_plain(key, 0))


def _show(value: object, depth: int, full: bool) -> str:
    if isinstance(value, str):
        cut = 0 if full else max(0, len(value) - _MAX_STRING)
        text = escape(json.dumps(value[: len(value) - cut], ensure_ascii=False))
        return f"{text}…(+{cut:,} characters)" if cut else text
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        hexadecimal = data.hex() if full else data[:16].hex() + ("…" if len(data) > 16 else "")
        return f"<{len(data):,} byte{'' if len(data) == 1 else 's'}{': ' if data else ''}{hexadecimal}>"
    if isinstance(value, dict):
        return _show_items(list(value.items()), "{}", depth, full)
    if isinstance(value, (list, tuple)):
        return _show_items(value, "[]", depth, full)
    return escape(json.dumps(_plain(value, 0), ensure_ascii=False))


def _show_items(items: Sequence[Any], brackets: str, depth: int, full: bool) -> str:
    if not depth:
        return f"{brackets[0]}…{brackets[1]}"
    cut = 0 if full else max(0, len(items) - _MAX_ITEMS)
    parts = []
    for item in items[: len(items) - cut]:
        if brackets == "{}":
            key, item = item
            parts.append(f"{_show(_key(key), 0, full)}: {_show(item, depth - 1, full)}")
        else:
            parts.append(_show(item, depth - 1, full))
    if cut:
        parts.append(f"…(+{cut:,} items)")
    return brackets[0] + ", ".join(parts) + brackets[1]
