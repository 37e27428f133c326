"""How servers of a cluster write what they tell each other: JSON, or MessagePack where there is binary data.

The dialects of MessagePack are those of notepack.io 3 (@socket.io/redis-adapter) and @msgpack/msgpack 2.8
(@socket.io/redis-streams-adapter). They differ in nothing that is written here; what either writes is read, and so is
what notepack.io 2 wrote for ``undefined``, a Date and an ArrayBuffer (extension 0).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from siocore._speedups import dumps, loads
from siocore.codec.msgpack_parser import check_containers, plain, read_extension
from siocore.errors import DecodeError, LocalProtocolError

__all__ = ["MAX_DEPTH", "decode", "decode_json", "decode_msgpack", "encode", "encode_json", "encode_msgpack"]

#: How deeply what other servers send may be nested: as deeply as what clients may send, and what is around it.
MAX_DEPTH = 160
_orjson_loads = orjson.loads
#: What is nested more deeply than most is looked at more slowly.
_QUICK_DEPTH = 32


def encode(value: object) -> bytes:
    """JSON, or MessagePack if there is binary data in it. Raises LocalProtocolError for what can't be sent."""
    attachments: list[bytes] = []
    text = dumps(value, attachments)
    return encode_msgpack(value) if attachments else text


def encode_json(value: object) -> bytes | None:
    """JSON; None if there is binary data in it. Raises LocalProtocolError for what can't be sent."""
    attachments: list[bytes] = []
    text = dumps(value, attachments)
    return None if attachments else text


def encode_msgpack(value: object) -> bytes:
    """MessagePack. Raises LocalProtocolError for what can't be sent, ImportError without msgspec."""
    encoder, _ = _msgpack()
    try:
        if _is_plain(value, _QUICK_DEPTH):
            try:
                return encoder(value)
            except OverflowError:
                # An integer that MessagePack doesn't have.
                pass
        return encoder(plain(value, _date))
    except LocalProtocolError:
        raise
    except UnicodeEncodeError:
        raise LocalProtocolError("text with lone surrogates can't be sent as msgpack") from None
    except Exception as error:
        # Code of the application runs here: properties of a dataclass, methods of a subclass.
        raise LocalProtocolError(f"data can't be sent as msgpack: {type(error).__name__} in it") from error


def decode(data: bytes) -> Any:
    """What :func:`encode` has written: JSON if it begins as an object does. Raises DecodeError."""
    return decode_json(data) if data[:1] == b"{" else decode_msgpack(data)


def decode_json(data: bytes) -> Any:
    """Raises DecodeError for what ``JSON.parse`` refuses and what is nested too deeply."""
    if len(data) <= 2 * MAX_DEPTH:
        # Too short to be too deep.
        try:
            return _orjson_loads(data)
        except ValueError:
            pass
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DecodeError("JSON that is not UTF-8") from None
    return loads(text, MAX_DEPTH)


def decode_msgpack(data: bytes) -> Any:
    """Raises DecodeError for what is not MessagePack, nested too deeply, or has keys that are not text."""
    _, decoder = _msgpack()
    try:
        value = decoder(data)
    except DecodeError:
        raise
    except Exception as error:
        # msgspec's own, RecursionError, and those of Python's types: an unhashable key, a year beyond 9999.
        raise DecodeError(f"invalid msgpack: {type(error).__name__}") from None
    if not _is_plain(value, _QUICK_DEPTH):
        check_containers(value, MAX_DEPTH)
    return value


def _is_plain(value: object, depth: int) -> bool:
    """Whether there is nothing in it but what MessagePack has, of these very types, and it is no deeper than that."""
    kind = type(value)
    if kind is str or value is None or kind is int or kind is float or kind is bool or kind is bytes:
        return True
    if depth == 0:
        return False
    if kind is list or kind is tuple:
        items: Any = value
        # A generator expression would cost as much again as all the rest.
        for item in items:  # noqa: SIM110
            if not _is_plain(item, depth - 1):
                return False
        return True
    if kind is dict:
        members: Any = value
        for key, item in members.items():  # noqa: SIM110
            if type(key) is not str or not _is_plain(item, depth - 1):
                return False
        return True
    return False


def _date(moment: datetime) -> object:
    # msgspec writes it as the timestamp of the specification, extension -1.
    return moment


@cache
def _msgpack() -> tuple[Callable[[object], bytes], Callable[[bytes], Any]]:
    try:
        import msgspec
    except ImportError as error:
        raise ImportError("a cluster with Node.js needs msgspec: pip install 'siocore[redis]'") from error
    return msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(ext_hook=read_extension).decode
