"""Entries of Redis streams, as @socket.io/redis-streams-adapter 0.3 has them, and where they are."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any

from siocore.cluster.codec import decode_json, decode_msgpack
from siocore.errors import DecodeError

__all__ = ["Fields", "order", "read_entry", "stream_of"]

#: The fields of an entry that is to be added, in order.
Fields = tuple[tuple[bytes, bytes], ...]


def stream_of(namespace: str, name: str, count: int) -> str:
    """The stream of a namespace: with several, one that its hash chooses, as JavaScript computes it."""
    if count == 1:
        return name
    number = 0
    units = namespace.encode("utf-16-le", "surrogatepass")
    for at in range(0, len(units), 2):
        number = (31 * number + units[at] + 256 * units[at + 1]) & 0xFFFFFFFF
    if number >= 1 << 31:
        number -= 1 << 32
    # Its remainder has the sign of the hash.
    remainder = abs(number) % count
    return f"{name}-{-remainder if number < 0 else remainder}"


def read_entry(fields: dict[bytes, bytes]) -> dict[str, Any]:
    """The message in an entry. Raises DecodeError if it is none."""
    try:
        message: dict[str, Any] = {
            "uid": fields[b"uid"].decode(),
            "nsp": fields[b"nsp"].decode(),
            "type": int(fields[b"type"]),
        }
    except (KeyError, ValueError):
        raise DecodeError("an entry has uid, nsp and type") from None
    data = fields.get(b"data")
    if data:
        try:
            message["data"] = decode_json(data) if data[:1] == b"{" else decode_msgpack(b64decode(data, validate=True))
        except Base64Error:
            raise DecodeError("data that is neither JSON nor base64") from None
    return message


def order(identifier: str) -> tuple[int, int]:
    """For comparing the ids of entries."""
    time, _, number = identifier.partition("-")
    return (int(time or 0), int(number or 0))
