"""What people type: the arguments of events, on the command line and in the lines of a session.

Pure functions, except that ``@file`` reads files.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["BadArgument", "Command", "Emission", "parse_line", "parse_value", "parse_values", "parse_word"]

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_SPACE = " \t\r\n"


class BadArgument(ValueError):
    """It can't be understood, or a file not read; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Emission:
    """A line that emits an event."""

    name: str
    args: list[Any]
    #: Whether the acknowledgement is asked for.
    ack: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A line that begins with a slash."""

    name: str
    #: What stands behind the name.
    rest: str


def parse_value(text: str) -> Any:
    """The value of JSON ``text``; ``{"_bytes": "<base64>"}`` in it stands for bytes.

    Raises :exc:`BadArgument` for what is not JSON.
    """
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as exc:
        raise BadArgument(_complaint(text, exc)) from None
    except RecursionError:
        raise BadArgument("this JSON is nested too deeply") from None


def parse_word(word: str, stdin: BinaryIO | None = None) -> Any:
    """The value of one word of a command line.

    ``@file`` is the content of a file as bytes. What begins with a brace, a bracket or a double quote must be JSON;
    a number, ``true``, ``false`` and ``null`` are what they are in JSON; any other word is a string. With ``stdin``,
    ``-`` stands for what can be read there, understood in the same way, and ``@-`` for its bytes.

    Raises :exc:`BadArgument`.
    """
    if stdin is not None and word in ("-", "@-"):
        data = stdin.read()
        if word == "@-":
            return data
        try:
            return _plain(data.decode().strip(_SPACE))
        except UnicodeDecodeError:
            raise BadArgument("standard input is not UTF-8 text; @- takes it as bytes") from None
    if word.startswith("@"):
        return _read(word[1:])
    return _plain(word)


def parse_line(line: str) -> Emission | Command | None:
    """What a line of a session asks for: ``event value… [?]``, or ``/command …``; None for an empty line.

    Values are those of :func:`parse_word`, and may have spaces in JSON; ``'…'`` is a string as it stands. A question
    mark at the end, as a word of its own, asks for the acknowledgement. Raises :exc:`BadArgument`.
    """
    line = line.strip(_SPACE)
    if not line:
        return None
    if line.startswith("/"):
        name, _, rest = line[1:].partition(" ")
        return Command(name, rest.strip(_SPACE))
    values, ack = _values(line)
    if not values:
        raise BadArgument("a line begins with the name of the event, as in: chat hello")
    name = values.pop(0)
    if isinstance(name, str):
        return Emission(name, values, ack)
    # A number as a name is what was typed, since names are strings nearly everywhere.
    word = line.split(None, 1)[0]
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        return Emission(word, values, ack)
    raise BadArgument(f"the name of an event is a word or a string in double quotes, not {word}")


def parse_values(text: str) -> list[Any]:
    """The values of ``text``, as in :func:`parse_line`."""
    return _values(text + " ?")[0]


def _values(line: str) -> tuple[list[Any], bool]:
    """The values of a line, and whether a question mark ends it."""
    ack = line == "?" or (line[-1:] == "?" and line[-2:-1] in _SPACE)
    if ack:
        line = line[:-1].rstrip(_SPACE)
    values = []
    index = 0
    while index < len(line):
        if line[index] in _SPACE:
            index += 1
            continue
        value, index = _value_at(line, index)
        values.append(value)
    return values, ack


def _value_at(line: str, index: int) -> tuple[Any, int]:
    """The value that begins there, and the index behind it."""
    first = line[index]
    if first in '{["':
        value, end = _json_at(line, index)
    elif first == "'":
        end = line.find("'", index + 1) + 1
        if not end:
            raise BadArgument("a single quote is not closed: write 'some text', or \"it's\" for text with one in it")
        value = line[index + 1 : end - 1]
    elif line.startswith('@"', index):
        path, end = _json_at(line, index + 1)
        value = _read(path)
    else:
        end = index
        while end < len(line) and line[end] not in _SPACE:
            end += 1
        value = parse_word(line[index:end])
    if end < len(line) and line[end] not in _SPACE:
        raise BadArgument(f"there is no space between {line[index:end]} and {line[end:][:20]}")
    return value, end


def _json_at(line: str, index: int) -> tuple[Any, int]:
    try:
        return _decoder.raw_decode(line, index)
    except json.JSONDecodeError as exc:
        shifted = json.JSONDecodeError(exc.msg, line[index:], max(0, exc.pos - index))
        raise BadArgument(_complaint(line[index:], shifted)) from None
    except RecursionError:
        raise BadArgument("this JSON is nested too deeply") from None


def _plain(word: str) -> Any:
    if word[:1] in ("{", "[", '"'):
        return parse_value(word)
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word):
        return parse_value(word)
    return word


def _read(path: str) -> bytes:
    if not path:
        raise BadArgument('@ is followed by the path of a file; for the string "@", write it in double quotes')
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadArgument(
            f"can't read {path}: {exc.strerror}; @ stands for the content of a file, "
            f'for a string write it in double quotes: "@{path}"'
        ) from None


def _complaint(text: str, error: json.JSONDecodeError) -> str:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    # A quote that is missing is nearly always the shell's doing, or a habit from JavaScript.
    hint = ""
    if text[:1] in "{[" and '"' not in text:
        hint = """; names and strings need double quotes, and in a shell single ones around it all: '{"a": "b"}'"""
    return f"not JSON: {shown} ({error.msg.lower()} at character {error.pos + 1}){hint}"


def _revive(value: dict[str, Any]) -> Any:
    if len(value) == 1 and isinstance(encoded := value.get("_bytes"), str):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise BadArgument(f'"_bytes" stands for bytes, in base64, which {encoded[:40]!r} is not') from None
    return value


def _refuse_constant(name: str) -> Any:
    raise BadArgument(f"JSON has no {name}")


_decoder = json.JSONDecoder(object_hook=_revive, parse_constant=_refuse_constant)
