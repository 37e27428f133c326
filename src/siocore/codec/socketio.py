"""Socket.IO 5 packets: text with attachments behind it.

``<type>[<attachments>-][<namespace>,][<id>][<JSON>]``, then one binary message per attachment. Source: Socket.IO
protocol, revision 5, "Packet encoding"; what is refused beyond it follows socket.io-parser 4.2.7, without what there
comes from JavaScript's number conversion (a space as a digit, ``1e1`` attachments).

``siocore._speedups._socketio`` has the same classes and functions over pointers.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from siocore.codec.json import dumps, parse
from siocore.codec.rules import MAX_ID, checked_id, checked_namespace, checked_type, fault_of_data, fault_of_event
from siocore.errors import DecodeError, LocalProtocolError

if TYPE_CHECKING:
    from siocore.options import Limits

__all__ = ["Packet", "Reconstructor", "decode_socket_packet", "encode_packet"]

# What packets.SocketPacketType names, as plain numbers: this is the path of every message.
_CONNECT = 0
_DISCONNECT = 1
_EVENT = 2
_ACK = 3
_CONNECT_ERROR = 4
_BINARY_EVENT = 5
_BINARY_ACK = 6
# From BINARY_EVENT to EVENT, and from BINARY_ACK to ACK.
_BINARY_OFFSET = 3

# The digits of MAX_ID.
_MAX_ID_DIGITS = 16
# Only a key can be followed by a colon outside a string, and inside one the quotes have backslashes before them.
_PLACEHOLDER_KEY = b'"_placeholder":true'


class Packet:
    """A Socket.IO packet. ``type`` is never BINARY_EVENT or BINARY_ACK: those are an EVENT or ACK with attachments.

    ``data`` is the JSON value, ``None`` without one; ``id`` asks for an acknowledgement, or is the one acknowledged;
    ``attachments`` is how many are still to come. With any, ``data`` holds placeholders until a
    :class:`Reconstructor` has replaced them.
    """

    __slots__ = ("attachments", "data", "id", "namespace", "type")

    def __init__(
        self,
        type: int,
        namespace: str = "/",
        data: object = None,
        id: int | None = None,
        attachments: int = 0,
    ) -> None:
        self.type = type
        self.namespace = namespace
        self.data = data
        self.id = id
        self.attachments = attachments

    def __repr__(self) -> str:
        return f"<Packet {self.type} {self.namespace[:200]!r} id={self.id} attachments={self.attachments}>"


def decode_socket_packet(text: str, start: int, limits: Limits) -> Packet:
    """Return the packet whose type digit is ``text[start]``.

    Raises :exc:`DecodeError` for anything that the protocol or ``limits`` (attachments, JSON depth, lengths of the
    namespace and the event name) do not allow, ``TypeError`` for other types of arguments.
    """
    if type(text) is not str or type(start) is not int:
        raise TypeError(f"a packet is str and its start int, not {type(text).__name__} and {type(start).__name__}")
    if not 0 <= start < len(text):
        raise DecodeError("empty packet")
    return _decode(text, start, limits)


def encode_packet(type: int, namespace: str, data: object, id: int | None) -> tuple[bytes, list[bytes]]:
    """Return the text of a packet, in UTF-8, and its attachments. ``data`` is not changed.

    ``type`` is CONNECT, DISCONNECT, EVENT, ACK or CONNECT_ERROR; binary data in an EVENT or ACK makes it a
    BINARY_EVENT or BINARY_ACK. ``data`` that is ``None`` is left out of CONNECT and DISCONNECT.
    Raises :exc:`LocalProtocolError`, and nothing else, for what a peer would not take.
    """
    kind = checked_type(type)
    fault = fault_of_data(kind, data, inf)
    if fault is not None:
        raise LocalProtocolError(fault)
    attachments: list[bytes] = []
    payload = b"" if data is None else dumps(data, attachments)
    if attachments:
        if kind not in (_EVENT, _ACK):
            raise LocalProtocolError("only events and acknowledgements carry binary data")
        # Data that came from another peer may look like a placeholder: the receiver would be disconnected for it.
        if payload.count(_PLACEHOLDER_KEY) != len(attachments):
            raise LocalProtocolError("data beside attachments contains what looks like a placeholder")
        head = f"{kind + _BINARY_OFFSET}{len(attachments)}-"
    else:
        head = f"{kind}"
    if namespace != "/":
        head = f"{head}{checked_namespace(namespace)},"
    if id is not None:
        head = f"{head}{checked_id(id)}"
    elif kind == _ACK:
        raise LocalProtocolError("an acknowledgement needs an id")
    return head.encode() + payload, attachments


class Reconstructor:
    """Collects the attachments of one packet and puts them into ``packet.data``."""

    __slots__ = ("_buffers", "_max_size", "_size", "packet")

    def __init__(self, packet: Packet, limits: Limits) -> None:
        if type(packet) is not Packet:
            raise TypeError(f"a packet is a Packet, not {type(packet).__name__}")
        self.packet = packet
        self._buffers: list[bytes] = []
        self._size = 0
        self._max_size = limits.max_payload

    def add(self, data: bytes) -> bool:
        """Take the next attachment; return whether it was the last one and ``packet.data`` is complete.

        Raises :exc:`DecodeError` if none was due, if together they are larger than ``limits.max_payload``, or if a
        placeholder in the data names none of them; ``TypeError`` for anything but ``bytes``.
        """
        if type(data) is not bytes:
            raise TypeError(f"an attachment is bytes, not {type(data).__name__}")
        packet = self.packet
        if packet.attachments == 0:
            raise DecodeError("unexpected attachment")
        self._size += len(data)
        if self._size > self._max_size:
            raise DecodeError("attachments are too large")
        self._buffers.append(data)
        packet.attachments -= 1
        if packet.attachments:
            return False
        _fill(packet.data, self._buffers)
        return True


def _decode(text: str, start: int, limits: Limits) -> Packet:
    end = len(text)
    index = start + 1
    kind = ord(text[start]) - 48
    if not _CONNECT <= kind <= _BINARY_ACK:
        raise DecodeError("unknown packet type")
    packet = Packet.__new__(Packet)
    packet.namespace = "/"
    packet.data = None
    packet.id = None
    packet.attachments = 0
    if kind >= _BINARY_EVENT:
        kind -= _BINARY_OFFSET
        number, index = _read_number(text, index, end)
        if number < 1 or index == end or text[index] != "-":
            raise DecodeError("illegal attachments")
        if number > limits.max_attachments:
            raise DecodeError("too many attachments")
        packet.attachments = number
        index += 1
    packet.type = kind
    if index < end and text[index] == "/":
        packet.namespace, index = _read_namespace(text, index, end, limits)
    if index < end and "0" <= text[index] <= "9":
        number, index = _read_number(text, index, end)
        if number > MAX_ID:
            raise DecodeError("illegal id")
        packet.id = number
    elif kind == _ACK:
        raise DecodeError("acknowledgement without an id")
    if index == end:
        if kind not in (_CONNECT, _DISCONNECT):
            raise DecodeError("payload is missing")
        return packet
    if not _may_start(kind, text[index]):
        raise DecodeError("illegal payload")
    packet.data = parse(text[index:], limits.max_json_depth)
    if kind == _EVENT:
        fault = fault_of_event(packet.data, limits.max_event_name)
        if fault is not None:
            raise DecodeError(fault)
    return packet


def _may_start(kind: int, char: str) -> bool:
    """Whether the JSON of a packet may begin with ``char``: no encoder puts white space there."""
    if char == "[":
        return kind in (_EVENT, _ACK)
    if char == "{":
        return kind in (_CONNECT, _CONNECT_ERROR)
    return char == '"' and kind == _CONNECT_ERROR


def _read_number(text: str, index: int, end: int) -> tuple[int, int]:
    """The number at ``index``, 0 without a digit, and the index behind it.

    A digit that is one too many is left, where nothing accepts it.
    """
    last = min(end, index + _MAX_ID_DIGITS)
    number = 0
    while index < last and "0" <= text[index] <= "9":
        number = number * 10 + ord(text[index]) - 48
        index += 1
    return number, index


def _read_namespace(text: str, start: int, end: int, limits: Limits) -> tuple[str, int]:
    """The namespace that starts at ``start`` and the index behind the comma that ends it, if any does."""
    comma = text.find(",", start)
    stop = end if comma < 0 else comma
    # U+001E could be sent to us over WebSocket, but an answer could not be sent over long polling.
    if stop - start > limits.max_namespace_length or text.find("\x1e", start, stop) >= 0:
        raise DecodeError("illegal namespace")
    return text[start:stop], end if comma < 0 else comma + 1


def _fill(data: object, buffers: list[bytes]) -> None:
    """Replace every placeholder inside ``data``, which is what JSON makes: there are no subclasses in it."""
    pending: list[object] = [data]
    while pending:
        container = pending.pop()
        if type(container) is list:
            for position, item in enumerate(container):
                if type(item) is dict or type(item) is list:
                    container[position] = _resolve(item, buffers, pending)
        elif type(container) is dict:
            for key, item in container.items():
                if type(item) is dict or type(item) is list:
                    # No key comes or goes, so the iteration may go on.
                    container[key] = _resolve(item, buffers, pending)


def _resolve(item: object, buffers: list[bytes], pending: list[object]) -> object:
    """The attachment if ``item`` is a placeholder, else ``item`` itself, into which is looked later."""
    if isinstance(item, dict) and item.get("_placeholder") is True:
        number = item.get("num")
        if type(number) is not int or not 0 <= number < len(buffers):
            raise DecodeError("illegal placeholder")
        return buffers[number]
    pending.append(item)
    return item
