"""What becomes of a message that is broken: at each of its bytes, and in each of its fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import msgspec

__all__ = ["broken_bytes", "broken_values", "mutants", "reader_of"]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


#: What any field may be replaced by. Some can't be written in JSON, others not in msgpack.
_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    2**63,
    -(2**63),
    1e308,
    float("nan"),
    "",
    "x" * 20_000,
    "/",
    "#*?[\r\n\0",
    "\ud800",
    b"\xff\x00",
    [],
    [None, "", 5, {}],
    ["\ud800"],
    {},
    {"": None, "length": -1, "type": 2, "data": ["e"]},
    _nested(80),
    _nested(400),
]
_GONE = object()
_MORE = object()


def broken_bytes(data: bytes, random: Random) -> Iterator[bytes]:
    """Each byte changed, each left out, and the end at each."""
    for at in range(len(data)):
        yield data[:at] + bytes((data[at] ^ random.randint(1, 255),)) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at]


def broken_values(value: Any) -> Iterator[Any]:
    """Each part of a decoded message replaced by what it can't be, left out, or with something beside it."""
    for path in _paths(value):
        for wrong in (*_VALUES, _GONE, _MORE):
            changed = _changed(value, path, wrong)
            if changed is not _GONE:
                yield changed


def mutants(data: bytes, random: Random) -> Iterator[bytes]:
    """Every broken form of a message in JSON or msgpack."""
    yield b""
    yield data + b"\x00"
    yield data * 2
    yield from broken_bytes(data, random)
    decode, encode = reader_of(data)
    for value in broken_values(decode(data)):
        try:
            yield encode(value)
        except (UnicodeEncodeError, OverflowError, TypeError):
            # The format has no such value.
            continue


def reader_of(data: bytes) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    """How to read and to write messages like this one."""
    if data[:1] == b"{":
        return json.loads, lambda value: json.dumps(value).encode()
    return msgspec.msgpack.decode, msgspec.msgpack.encode


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _paths(part, (*path, name))


def _changed(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        if wrong is _MORE:
            return {**value, "more": 1, "": [1]} if isinstance(value, dict) else _GONE
        return wrong
    value = deepcopy(value)
    parent = value
    for name in path[:-1]:
        parent = parent[name]
    if wrong is _GONE:
        del parent[path[-1]]
    elif wrong is _MORE:
        part = parent[path[-1]]
        if isinstance(part, list):
            part += [*part, None]
        elif isinstance(part, dict):
            part |= {"more": 1, "": [1]}
        else:
            return _GONE
    else:
        parent[path[-1]] = wrong
    return value
