"""The messages of the cluster protocol: their types, and whom they are for.

Source: socket.io-adapter 2.5, the classes ClusterAdapter and ClusterAdapterWithHeartbeat.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from siocore.cluster.codec import encode_json, encode_msgpack
from siocore.codec.message import Outgoing, TextMessage
from siocore.errors import DecodeError
from siocore.socketio.adapter import Selection

__all__ = [
    "EMITTER",
    "MessageType",
    "array_of",
    "json_options",
    "literally",
    "msgpack_options",
    "read_options",
    "read_packet",
    "read_request_id",
    "read_rooms",
    "read_timeout",
    "write_options",
]

#: The longest time for which answers of our clients are handed on, whatever another server says.
_MAX_ACK_TIMEOUT = 3_600.0
#: Characters in the id of a request.
_MAX_REQUEST_ID = 100

#: The id that processes have which only send. They are no servers, and nobody waits for them.
EMITTER = "emitter"

_EVERYBODY_HERE = Selection(local=True)


class MessageType(IntEnum):
    INITIAL_HEARTBEAT = 1
    HEARTBEAT = 2
    BROADCAST = 3
    SOCKETS_JOIN = 4
    SOCKETS_LEAVE = 5
    DISCONNECT_SOCKETS = 6
    FETCH_SOCKETS = 7
    FETCH_SOCKETS_RESPONSE = 8
    SERVER_SIDE_EMIT = 9
    SERVER_SIDE_EMIT_RESPONSE = 10
    BROADCAST_CLIENT_COUNT = 11
    BROADCAST_ACK = 12
    ADAPTER_CLOSE = 13


def write_options(selection: Selection) -> dict[str, Any]:
    """A selection, as Node.js writes it."""
    flags: dict[str, bool] = {}
    if selection.volatile:
        flags["volatile"] = True
    if not selection.compress:
        flags["compress"] = False
    return {"rooms": list(selection.rooms), "except": list(selection.except_), "flags": flags}


def json_options(selection: Selection) -> bytes:
    """What :func:`write_options` writes, as JSON. Raises LocalProtocolError for names that can't be sent."""
    rooms, except_, _, volatile, compress, _ = selection
    if len(rooms) == 1 and not except_ and compress and not volatile:
        (room,) = rooms
        return b'{"rooms":[%b],"except":[],"flags":{}}' % (encode_json(room) or b"")
    return encode_json(write_options(selection)) or b""


def msgpack_options(selection: Selection) -> bytes:
    """What :func:`write_options` writes, as MessagePack. Raises LocalProtocolError for names that can't be sent."""
    rooms, except_, _, volatile, compress, _ = selection
    if len(rooms) == 1 and not except_ and compress and not volatile:
        (room,) = rooms
        return b"\x83\xa5rooms\x91%b\xa6except\x90\xa5flags\x80" % encode_msgpack(room)
    return encode_msgpack(write_options(selection))


def read_options(value: object) -> Selection:
    """The selection that another server has written. Raises DecodeError if it is none."""
    if value is None:
        return _EVERYBODY_HERE
    if not isinstance(value, dict):
        raise DecodeError("whom a message is for is an object")
    rooms, except_, flags = value.get("rooms"), value.get("except"), value.get("flags")
    volatile, compress = False, True
    if flags and isinstance(flags, dict):
        volatile = flags.get("volatile") is True
        compress = flags.get("compress") is not False
    fields = (frozenset(read_rooms(rooms)), frozenset(read_rooms(except_)), True, volatile, compress, None)
    # Three times as fast as to call the class.
    return tuple.__new__(Selection, fields)


def read_rooms(value: object) -> list[str]:
    """Names of rooms. Raises DecodeError if they are none.

    In JavaScript a room may have a number for a name. Here it is what is written so.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise DecodeError("names of rooms are a list of text")
    for room in value:
        if type(room) is not str:
            return [_room(each) for each in value]
    return value


def _room(value: object) -> str:
    if type(value) is not str and type(value) is not int:
        raise DecodeError("names of rooms are a list of text")
    return str(value)


def read_packet(value: object) -> list[Any]:
    """The name and the arguments of an event that another server has sent. Raises DecodeError if it is none."""
    data = value.get("data") if isinstance(value, dict) else value
    if type(data) is list and data and type(data[0]) is str:
        return data
    if (
        not isinstance(data, list)
        or not data
        or not isinstance(data[0], (str, int, float))
        or isinstance(data[0], bool)
    ):
        raise DecodeError("an event is a list that begins with its name")
    return data


def read_request_id(message: dict[str, Any]) -> str:
    request_id = message.get("requestId")
    # It goes back as it came, perhaps in another format, and is kept until then.
    if not isinstance(request_id, str) or not request_id.isascii() or len(request_id) > _MAX_REQUEST_ID:
        raise DecodeError("a request has an id, and so has its answer")
    return request_id


def read_timeout(flags: object) -> float | None:
    """How long a server waits for the answers of clients, in seconds; None if it doesn't say."""
    timeout = flags.get("timeout") if isinstance(flags, dict) else None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        return None
    # Before it is divided: as a float it may be too large.
    return min(timeout, 1000 * _MAX_ACK_TIMEOUT) / 1000


def literally(name: str) -> str:
    """A pattern of Redis for this very name."""
    return "".join("\\" + each if each in "*?[]\\" else each for each in name)


def array_of(message: Outgoing) -> bytes | None:
    """The name and the arguments of an encoded event, in JSON; None if it is something else, or has attachments."""
    if not isinstance(message, TextMessage) or message.attachments:
        return None
    text = message.text
    # Between its type and them is the namespace, if any, which has no comma in it.
    return text[1:] if text[1:2] == b"[" else text[text.index(b",") + 1 :]
