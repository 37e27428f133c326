"""What goes to Redis and comes from it, as bytes: RESP 3.

Compiled from ``_speedups/_resp.pyx`` where that was built: the same over pointers. In pure Python coredis does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coredis._packer import Packer
from coredis.constants.resp import DataType
from coredis.parser import NotEnoughData, Parser

__all__ = ["Reader", "pack"]

#: Parts of a command.
Arguments = Sequence[bytes | str | int]

_packer = Packer("utf-8")


class Reader:
    """Makes values of bytes as they come, in pieces of any size."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = Parser()

    def feed(self, data: bytes) -> list[Any]:
        """The values that are complete now, in order. A push message is a tuple, an error an exception in the list.

        Raises coredis' InvalidResponse, ValueError or TypeError for what Redis would not send: the rest is lost then.
        """
        parser = self._parser
        parser.feed(data)
        values: list[Any] = []
        while not isinstance(parsed := parser.parse(decode=False, encoding="utf-8"), NotEnoughData):
            value: Any = parsed[1]
            values.append(tuple(value) if parsed[0] == DataType.PUSH else value)
        return values


def pack(commands: Sequence[Arguments]) -> bytes:
    """Several commands in one piece. Raises TypeError for other types of arguments."""
    return b"".join(_packer.pack_commands([tuple(command) for command in commands]))
