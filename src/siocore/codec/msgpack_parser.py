"""The wire of socket.io-msgpack-parser 3.0.2: a packet is one binary message, a map in MessagePack.

``{"type": 2, "data": ["name", ...], "nsp": "/", "id": 1}``; ``data`` and ``id`` are left out where there are none.
Binary data stays where it is. What JavaScript's client (notepack.io 2.2) writes beyond that is read: ``undefined`` as
extension 0 with one byte, a Date as extension 0 with eight, an ArrayBuffer as extension 0 with any other length, and a
key ``options`` that means nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from siocore._speedups import Packet
from siocore.codec.parser import Decoder, Parser
from siocore.codec.rules import checked_id, checked_namespace, checked_type, fault_of_data
from siocore.errors import DecodeError, LocalProtocolError

if TYPE_CHECKING:
    from siocore.options import Limits

__all__ = ["MsgpackParser", "check_containers", "plain", "read_extension"]

_ACK = 3
# As deep as the JSON encoder goes.
_MAX_WRITTEN_DEPTH = 254
_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1
# The smallest integer that would be rounded to Infinity.
_INFINITE_INT = 2**1024 - 2**970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class MsgpackParser(Parser):
    """Packets as MessagePack, for clients with ``parser: require("socket.io-msgpack-parser")``.

    Needs msgspec (``pip install 'siocore[msgpack]'``); raises ImportError without it.
    """

    __slots__ = ("_decode", "_encode", "_extension")

    def __init__(self) -> None:
        try:
            import msgspec
        except ImportError as error:
            raise ImportError("the msgpack parser needs msgspec: pip install 'siocore[msgpack]'") from error
        self._decode = msgspec.msgpack.Decoder(ext_hook=read_extension).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._extension = msgspec.msgpack.Ext

    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        """One binary message. Raises LocalProtocolError, and nothing else, for what a peer would not take.

        Values are sent as with JSON, with these exceptions: binary data stays where it is, a ``datetime`` becomes a
        Date (a naive one is taken for UTC), NaN and the infinities stay what they are.
        """
        kind = checked_type(type)
        fault = fault_of_data(kind, data, float("inf"))
        if fault is not None:
            raise LocalProtocolError(fault)
        packet: dict[str, object] = {"type": kind}
        try:
            if data is not None:
                packet["data"] = plain(data, self._date)
            packet["nsp"] = checked_namespace(namespace)
            if id is not None:
                packet["id"] = checked_id(id)
            elif kind == _ACK:
                raise LocalProtocolError("an acknowledgement needs an id")
            return [self._encode(packet)]
        except LocalProtocolError:
            raise
        except UnicodeEncodeError:
            raise LocalProtocolError("text with lone surrogates can't be sent as msgpack") from None
        except Exception as error:
            # Code of the application runs here: properties of a dataclass, methods of a subclass.
            raise LocalProtocolError(f"data can't be sent as msgpack: {_name(error)} in it") from error

    def decoder(self, limits: Limits) -> Decoder:
        return _MsgpackDecoder(self._decode, limits.max_json_depth)

    def _date(self, moment: datetime) -> object:
        return self._extension(0, ((moment - _EPOCH) // _MILLISECOND).to_bytes(8, "big", signed=True))


class _MsgpackDecoder(Decoder):
    """Every packet is one message, so that nothing is kept."""

    __slots__ = ("_decode", "_max_depth")

    def __init__(self, decode: Any, max_depth: int) -> None:
        self._decode = decode
        self._max_depth = max_depth

    def receive(self, message: str | bytes) -> Packet | None:
        if not isinstance(message, bytes):
            raise DecodeError("text, where packets are binary: the client was not given the msgpack parser")
        try:
            packet: Any = self._decode(message)
        except DecodeError:
            raise
        except Exception as error:
            # msgspec's own, RecursionError, and those of Python's types: an unhashable key, a year beyond 9999.
            raise DecodeError(f"invalid msgpack: {_name(error)}") from None
        if type(packet) is not dict:
            raise DecodeError("a packet is a map")
        field: Any = packet.get
        check_containers(field("data"), self._max_depth)
        return Packet(field("type"), field("nsp"), field("data"), field("id"))


def plain(value: Any, date_of: Callable[[datetime], object], depth: int = _MAX_WRITTEN_DEPTH) -> object:
    """A copy of ``value`` of nothing but what MessagePack has; ``date_of`` says what an aware datetime is.

    Raises LocalProtocolError for what can't be sent.
    """
    kind = type(value)
    if value is None or kind is str or kind is float or kind is bool or kind is bytes:
        return value
    if isinstance(value, Enum):
        return plain(value.value, date_of, depth)
    if isinstance(value, int):
        if _MIN_INT <= value <= _MAX_INT:
            return int(value)
        if -_INFINITE_INT < value < _INFINITE_INT:
            # What JavaScript makes of such a number in JSON.
            return float(value)
        raise LocalProtocolError("an integer beyond the range of a double can't be sent as msgpack")
    if isinstance(value, (list, tuple, dict)):
        if depth == 0:
            raise LocalProtocolError("data is nested too deeply, or contains itself")
        if isinstance(value, dict):
            return {_key(key): plain(item, date_of, depth - 1) for key, item in value.items()}
        return [plain(item, date_of, depth - 1) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, datetime):
        return date_of(value.replace(tzinfo=UTC) if value.tzinfo is None else value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        if depth == 0:
            raise LocalProtocolError("data is nested too deeply, or contains itself")
        return {field.name: plain(getattr(value, field.name), date_of, depth - 1) for field in fields(value)}
    raise LocalProtocolError(f"data of type {_name(value)} can't be sent as msgpack")


def read_extension(code: int, data: memoryview) -> object:
    if code != 0:
        raise DecodeError("unknown msgpack extension")
    if len(data) == 1:
        return None
    if len(data) == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(data, "big", signed=True))
    return bytes(data)


def check_containers(value: object, max_depth: int) -> None:
    """Raise DecodeError for nesting deeper than ``max_depth``, or a key that is not text; one level at a time."""
    level: list[Any] = [value] if isinstance(value, (list, dict)) else []
    depth = 0
    while level:
        depth += 1
        if depth > max_depth:
            raise DecodeError("msgpack is nested too deeply")
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                for key in container:
                    if type(key) is not str:
                        raise DecodeError("a key that is not text")
                items: Any = container.values()
            else:
                items = container
            below += [item for item in items if type(item) is list or type(item) is dict]
        level = below


def _key(key: object) -> str:
    """The name of a member, as the JSON encoder writes it."""
    if isinstance(key, str):
        return str.__str__(key)
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
    raise LocalProtocolError(f"a key of type {_name(key)} can't be sent as msgpack")


def _name(value: object) -> str:
    return type(value).__name__
