# cython: language_level=3, annotation_typing=False
"""JSON as JavaScript reads and writes it, with attachments taken out while it is written.

orjson does the work. What it refuses although JavaScript takes it (lone surrogates, integers beyond 64 bit, keys that
are not strings) goes a second time through the standard library, which is told to be as strict as ``JSON.parse``.

This file is compiled a second time as ``siocore._speedups._json``; ``_json.pxd`` there gives it C types.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import Enum
from math import isfinite
from uuid import UUID

import orjson

from siocore.errors import DecodeError, LocalProtocolError

__all__ = ["dumps", "loads", "parse"]

# orjson refuses to write deeper nesting; both paths refuse at the same depth.
_MAX_WRITTEN_DEPTH = 254
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1
# The decimal digits of _MAX_INT, and those of _MIN_INT with its sign.
_MAX_INT_LENGTH = 20
# The smallest integer that is rounded to Infinity when it is read as a double.
_INFINITE_INT = 2**1024 - 2**970

# What stands for the first attachments, as it is written: made once, since it is always the same.
_PLACEHOLDERS = [orjson.Fragment(b'{"_placeholder":true,"num":%d}' % number) for number in range(16)]

_orjson_dumps = orjson.dumps
_orjson_loads = orjson.loads


def loads(text: str, max_depth: int) -> object:
    """Parse ``text``. Integers that do not fit in 64 bits are floats.

    Raises :exc:`DecodeError` for what ``JSON.parse`` refuses, for a number too large for a double (it would be
    Infinity, which JSON can't say), and for arrays and objects nested deeper than ``max_depth``; ``TypeError`` for
    other types of arguments.
    """
    if type(text) is not str or type(max_depth) is not int:
        raise TypeError(f"JSON text is str and its depth int, not {type(text).__name__} and {type(max_depth).__name__}")
    return parse(text, max(-1, min(max_depth, sys.maxsize)))


def parse(text: str, max_depth: int) -> object:
    """What :func:`loads` does, with arguments of which the types are known."""
    try:
        value = _orjson_loads(text)
    except ValueError:
        value = _load_strictly(text)
    # Most messages are too short for such a depth, a level taking two brackets, or have too few brackets.
    if len(text) // 2 > max_depth and text.count("[") + text.count("{") > max_depth and _deeper_than(value, max_depth):
        raise DecodeError("JSON is nested too deeply")
    return value


def dumps(value: object, attachments: list[bytes]) -> bytes:
    """Write ``value``, moving binary data to ``attachments`` in document order, with a placeholder in its place.

    Beside what JSON knows, ``bytes``, ``bytearray`` and ``memoryview`` become attachments (the latter two are copied),
    tuples arrays, dataclasses objects, enumeration members their value, a ``UUID`` its text, a ``datetime`` what
    ``toISOString`` makes of it (a naive one is taken for UTC), NaN and the infinities ``null``. ``value`` stays as it
    is.
    Raises :exc:`LocalProtocolError`, and nothing else, for a ``value`` that can't be sent.
    """
    if type(attachments) is not list:
        raise TypeError(f"attachments are collected in a list, not {type(attachments).__name__}")
    mark = len(attachments)
    try:
        # In use at most once at a time: code of the application that runs meanwhile may come here again.
        extractor = _spare_extractors.pop()
    except IndexError:
        extractor = _Extractor()
    extractor.attachments = attachments
    try:
        return _orjson_dumps(value, extractor.hook, _OPTIONS)
    except TypeError:
        del attachments[mark:]
    finally:
        extractor.attachments = _NO_ATTACHMENTS
        _spare_extractors.append(extractor)
    try:
        plain = _to_plain(value, attachments, _MAX_WRITTEN_DEPTH)
        return json.dumps(plain, allow_nan=False, check_circular=False, separators=(",", ":")).encode()
    except Exception as error:
        del attachments[mark:]
        if isinstance(error, LocalProtocolError):
            raise
        # Code of the application runs here: properties of a dataclass, methods of a subclass.
        raise LocalProtocolError(f"data can't be sent as JSON: {type(error).__name__} in it") from error


class _Extractor:
    """Has what orjson calls, in document order, for each value that it does not know."""

    __slots__ = ("attachments", "hook")

    def __init__(self) -> None:
        self.attachments = _NO_ATTACHMENTS
        # Kept, since to look up a method makes a new object. It refers to its owner, and lives as long as this module.
        self.hook = self.extract

    def extract(self, value: object) -> object:
        if isinstance(value, (bytes, bytearray, memoryview)):
            number = _extract(value, self.attachments)
            if number < len(_PLACEHOLDERS):
                return _PLACEHOLDERS[number]
            return _placeholder(number)
        return _simplify(value)


_NO_ATTACHMENTS: list[bytes] = []
# More than one, so that the list stays as large as it is while one is taken.
_spare_extractors = [_Extractor() for _ in range(4)]


def _extract(data: bytes | bytearray | memoryview, attachments: list[bytes]) -> int:
    attachments.append(data if type(data) is bytes else bytes(data))
    return len(attachments) - 1


def _placeholder(number: int) -> dict[str, object]:
    return {"_placeholder": True, "num": number}


def _simplify(value: object) -> object:
    """One step from a value that JSON does not have towards one that it has."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise LocalProtocolError(f"data of type {type(value).__name__} can't be sent as JSON")


def _to_plain(value: object, attachments: list[bytes], depth: int) -> object:
    """A copy of ``value`` that the standard library writes as orjson would."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return _to_plain(value.value, attachments, depth)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        if not -_INFINITE_INT < value < _INFINITE_INT:
            raise LocalProtocolError("an integer beyond the range of a double can't be sent as JSON")
        return value
    if type(value) is float:
        return value if isfinite(value) else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _placeholder(_extract(value, attachments))
    if isinstance(value, (list, tuple, dict)):
        if depth == 0:
            raise LocalProtocolError("data is nested too deeply, or contains itself")
        if isinstance(value, dict):
            return {_to_key(key): _to_plain(item, attachments, depth - 1) for key, item in value.items()}
        return [_to_plain(item, attachments, depth - 1) for item in value]
    if isinstance(value, UUID):
        return str(value)
    return _to_plain(_simplify(value), attachments, depth)


def _to_key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None:
        return "null"
    if key is True:
        return "true"
    if key is False:
        return "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        return float.__repr__(key)
    raise LocalProtocolError(f"a key of type {type(key).__name__} can't be sent as JSON")


def _load_strictly(text: str) -> object:
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        # The message of JSONDecodeError names the position and never quotes the text.
        raise DecodeError(f"invalid JSON: {error}") from None


def _parse_float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _parse_int(text: str) -> int | float:
    if len(text) <= _MAX_INT_LENGTH:
        number = int(text)
        if _MIN_INT <= number <= _MAX_INT:
            return number
    return _parse_float(text)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=_parse_float, parse_int=_parse_int, parse_constant=_refuse_constant)


def _deeper_than(value: object, max_depth: int) -> bool:
    """Whether arrays and objects are nested deeper than ``max_depth``; one level of the tree at a time."""
    level: list[object] = [value]
    depth = 0
    while True:
        containers = [item for item in level if isinstance(item, (list, dict))]
        if not containers:
            return False
        depth += 1
        if depth > max_depth:
            return True
        level = []
        for container in containers:
            level.extend(container.values() if isinstance(container, dict) else container)
