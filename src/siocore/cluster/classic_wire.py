"""The wire of @socket.io/redis-adapter 8.3, as far as its adapter and its emitter have it in common."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from siocore.cluster.codec import decode, encode_json, encode_msgpack
from siocore.cluster.messages import literally, write_options
from siocore.errors import DecodeError, LocalProtocolError
from siocore.socketio.adapter import Selection

__all__ = [
    "ClassicChannels",
    "RequestType",
    "beginning",
    "json_of",
    "narrowed",
    "read_message",
]


class RequestType:
    """What a request, or an answer, is about."""

    SOCKETS = 0
    ALL_ROOMS = 1
    REMOTE_JOIN = 2
    REMOTE_LEAVE = 3
    REMOTE_DISCONNECT = 4
    REMOTE_FETCH = 5
    SERVER_SIDE_EMIT = 6
    BROADCAST = 7
    BROADCAST_CLIENT_COUNT = 8
    BROADCAST_ACK = 9


class ClassicChannels:
    """The names of a namespace's channels."""

    __slots__ = ("_middle", "events", "namespace", "pattern", "requests", "responses")

    def __init__(self, key: str, namespace: str) -> None:
        self.namespace = namespace
        self.events = f"{key}#{namespace}#"
        #: All channels for events: that of the namespace, and one for each room.
        self.pattern = literally(self.events) + "*"
        self.requests = f"{key}-request#{namespace}#"
        self.responses = f"{key}-response#{namespace}#"
        # What is between the arguments of an event and its options.
        self._middle = b"\xa3nsp" + encode_msgpack(namespace)

    def event(self, data: tuple[object, ...], rooms: Set[str], own: bytes, options: bytes) -> tuple[str, bytes]:
        """Where to publish an event, and as what. Raises LocalProtocolError if it can't be written.

        ``own`` is how such begin that this server publishes (:func:`beginning`), and ``options`` are MessagePack.
        """
        # A map of three: {"type": 2, "data": [...], "nsp": "/"}.
        payload = b"%b\x83\xa4type\x02\xa4data%b%b%b" % (own, encode_msgpack(data), self._middle, options)
        if len(rooms) == 1:
            (room,) = rooms
            return f"{self.events}{room}#", payload
        return self.events, payload


def beginning(uid: str) -> bytes:
    """How the events of a server begin: a list of three, and its id."""
    return b"\x93" + encode_msgpack(uid)


def read_message(data: bytes) -> dict[str, Any]:
    message = decode(data)
    if type(message) is not dict:
        raise DecodeError("a map was expected")
    return message


def json_of(message: dict[str, object]) -> bytes:
    """A request or an answer. Raises LocalProtocolError if it can't be written."""
    text = encode_json(message)
    if text is None:
        raise LocalProtocolError("binary data can't be sent to other servers here: this message is JSON")
    return text


def narrowed(selection: Selection) -> dict[str, object]:
    """What requests say of whom they are for."""
    options = write_options(selection)
    return {"rooms": options["rooms"], "except": options["except"]}
