"""What servers tell each other about the sessions that they share: the wire of @socket.io/cluster-engine 0.1.

Messages are MessagePack on channels of Redis: ``engine.io#`` for all, ``engine.io#<node>#`` for one. A message is a map
with ``requestId`` (for questions and their answers), ``senderId``, ``recipientId`` (if it is for one), ``type``,
``data``, and ``_source``, which is ``_eio``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.errors import DecodeError

__all__ = ["EngineMessage", "EngineMessageType", "decode_message", "encode_message", "read_packet", "write_packet"]

_SOURCE = "_eio"
#: In the order of their numbers.
_PACKETS = ("open", "close", "ping", "pong", "message", "upgrade", "noop")
_NUMBERS = {name: str(number) for number, name in enumerate(_PACKETS)}
#: How engine.io says that what a client sent can't be read.
_ERROR = "error"
#: JavaScript counts that far without gaps.
_MAX_REQUEST = 2**53
_MAX_REASON = 200


class EngineMessageType(IntEnum):
    #: Who has this session, and may a GET, a POST or a WebSocket have it? To all.
    ACQUIRE_LOCK = 0
    ACQUIRE_LOCK_RESPONSE = 1
    #: Packets for the client, to the server that has its GET or its WebSocket.
    DRAIN = 2
    #: A packet from the client, to the server that has the session.
    PACKET = 3
    #: The client has upgraded, or not, at the sender.
    UPGRADE = 4
    UPGRADE_RESPONSE = 5
    #: A request of the client has failed at the sender.
    CLOSE = 6


class EngineMessage:
    """A message, with the fields of ``data`` that its type has. What a type has not is empty."""

    __slots__ = ("packets", "reason", "request", "sender", "sid", "success", "transport", "type", "writes")

    def __init__(self, type: EngineMessageType, sender: str, request: int) -> None:
        self.type = type
        #: The id of the node that sent it.
        self.sender = sender
        #: The number of the question that this is, or is the answer to.
        self.request = request
        self.sid = ""
        #: The transport that a lock is wanted for, and whether it is for a POST.
        self.transport = ""
        self.writes = False
        #: Whether the lock is granted, the upgrade was made, or the session is to be taken over.
        self.success = False
        #: Packets in the form of WebSocket messages; None for what the sender could not read.
        self.packets: Sequence[str | bytes | None] = ()
        self.reason = ""


def encode_message(
    type: EngineMessageType, sender: str, data: dict[str, Any], *, recipient: str = "", request: int | None = None
) -> bytes:
    """Raises LocalProtocolError for text with half a surrogate pair in it."""
    message: dict[str, Any] = {} if request is None else {"requestId": request}
    message["senderId"] = sender
    if recipient:
        message["recipientId"] = recipient
    message["type"] = type.value
    message["data"] = data
    message["_source"] = _SOURCE
    return encode_msgpack(message)


def decode_message(block: bytes) -> EngineMessage | None:
    """None for a message of another program, or of a type that is not known. Raises DecodeError for garbage."""
    value = decode_msgpack(block)
    if not isinstance(value, dict):
        raise DecodeError("a message that is not a map")
    if value.get("_source") != _SOURCE:
        return None
    number, data = value.get("type"), value.get("data")
    if type(number) is not int or not isinstance(data, dict):
        raise DecodeError("a message without a type and data")
    if not 0 <= number < len(EngineMessageType):
        return None
    kind = EngineMessageType(number)
    request = value.get("requestId", 0)
    if type(request) is not int or not 0 <= request <= _MAX_REQUEST:
        raise DecodeError("a request's number that is none")
    message = EngineMessage(kind, _text(value, "senderId"), request)
    _READERS[kind](message, data)
    return message


def write_packet(message: str | bytes) -> dict[str, Any]:
    """A packet, given in the form of a WebSocket message."""
    if isinstance(message, bytes):
        return {"type": "message", "data": message}
    return (
        {"type": _PACKETS[ord(message[0]) - 48], "data": message[1:]}
        if len(message) > 1
        else {"type": _PACKETS[ord(message[0]) - 48]}
    )


def read_packet(packet: object) -> str | bytes | None:
    """The form of a WebSocket message; None for a packet that says that its sender could not read one."""
    if not isinstance(packet, dict):
        raise DecodeError("a packet that is not a map")
    name, data = packet.get("type"), packet.get("data")
    if name == _ERROR:
        return None
    number = _NUMBERS.get(name) if isinstance(name, str) else None
    if number is None:
        raise DecodeError("a packet of an unknown type")
    if data is None:
        return number
    if isinstance(data, str):
        return number + data
    if isinstance(data, bytes) and name == "message":
        return data
    raise DecodeError("a packet with data that is neither text nor binary")


def _text(value: dict[Any, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise DecodeError(f"a message without {name}")
    return text


def _flag(value: dict[Any, Any], name: str) -> bool:
    flag = value.get(name)
    if not isinstance(flag, bool):
        raise DecodeError(f"a message without {name}")
    return flag


def _packets(value: dict[Any, Any]) -> Sequence[str | bytes | None]:
    packets = value.get("packets")
    if not isinstance(packets, list):
        raise DecodeError("a message without packets")
    return [read_packet(each) for each in packets]


def _read_lock(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.sid = _text(data, "sid")
    message.transport = _text(data, "transportName")
    message.writes = _text(data, "type") == "write"


def _read_success(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.success = _flag(data, "success")


def _read_drain(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.sid = _text(data, "sid")
    message.packets = _packets(data)


def _read_packet(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.sid = _text(data, "sid")
    message.packets = (read_packet(data.get("packet")),)


def _read_upgrade(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.sid = _text(data, "sid")
    message.success = _flag(data, "success")


def _read_take_over(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.success = _flag(data, "takeOver")
    message.packets = _packets(data)


def _read_close(message: EngineMessage, data: dict[Any, Any]) -> None:
    message.sid = _text(data, "sid")
    message.reason = _text(data, "reason")[:_MAX_REASON]


_READERS = {
    EngineMessageType.ACQUIRE_LOCK: _read_lock,
    EngineMessageType.ACQUIRE_LOCK_RESPONSE: _read_success,
    EngineMessageType.DRAIN: _read_drain,
    EngineMessageType.PACKET: _read_packet,
    EngineMessageType.UPGRADE: _read_upgrade,
    EngineMessageType.UPGRADE_RESPONSE: _read_take_over,
    EngineMessageType.CLOSE: _read_close,
}
