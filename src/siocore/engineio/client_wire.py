"""How a client writes and reads packets: what differs between revision 4 and revision 3 of Engine.IO.

Source: the Engine.IO protocol, revisions 4 and 3, "Packet encoding" and "Payload encoding".
"""

from __future__ import annotations

from siocore._speedups import decode_packet, decode_payload, encode_binary_packet
from siocore.codec import engineio3
from siocore.codec.message import BinaryMessage, Outgoing, TextMessage
from siocore.engineio.client_interfaces import ClientCarrier
from siocore.errors import DecodeError
from siocore.request import Headers

__all__ = ["Wire3", "Wire4", "one_by_one"]

_TEXT = b"text/plain;charset=UTF-8"
_BINARY = b"application/octet-stream"
#: What servers take that don't say: the default of their maxHttpBufferSize.
_ASSUMED_PAYLOAD = 1_000_000
#: Packets in a POST: the most that python-engineio takes by default (``Payload.max_decode_packets``).
_MAX_PACKETS = 16


class Wire4:
    """Revision 4. ``base64``: binary messages are written as text."""

    __slots__ = ("base64",)

    revision = 4

    def __init__(self, base64: bool) -> None:
        self.base64 = base64

    def send(self, carrier: ClientCarrier, message: Outgoing) -> None:
        """Write a message to a WebSocket."""
        compress = message.compress
        if isinstance(message, TextMessage):
            carrier.send_text(b"4" + message.text, compress)
            for data in message.attachments:
                self._send_binary(carrier, data, compress)
        elif isinstance(message, BinaryMessage):
            self._send_binary(carrier, message.data, compress)
        else:
            carrier.send_text(message.payload(), False)

    def _send_binary(self, carrier: ClientCarrier, data: bytes, compress: bool) -> None:
        if self.base64:
            carrier.send_text(encode_binary_packet(data), compress)
        else:
            carrier.send_binary(data, compress)

    def take_body(self, outbox: list[Outgoing], largest: int | None) -> tuple[bytes, bytes, int]:
        """A body for POST of the first packets in ``outbox``, each of which is one packet; its type, and their number.

        ``largest`` is the server's maxPayload. A packet that is larger than that goes alone, and the server will say.
        """
        packets: list[bytes] = []
        size = -1
        if largest is None:
            largest = _ASSUMED_PAYLOAD
        for message in outbox:
            packet = message.payload()
            size += len(packet) + 1
            if len(packets) == _MAX_PACKETS or (packets and size > largest):
                break
            packets.append(packet)
        return b"\x1e".join(packets), _TEXT, len(packets)

    def read_payload(self, headers: Headers, body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        """The packets in the answer to a GET, up to the first bad one, and what is wrong with that one.

        Text packets begin with one of the digits 0 to 6; binary messages are ``bytes``.
        """
        return decode_payload(body)

    def read_text(self, text: str) -> str | bytes:
        """The packet in a text frame, in the same form. Raises DecodeError."""
        _, data = decode_packet(text)
        return data if isinstance(data, bytes) else text

    def read_binary(self, data: bytes) -> bytes:
        """The binary message in a binary frame. Raises DecodeError."""
        return data


class Wire3(Wire4):
    """Revision 3. ``json``: text messages are JSON, so that they can be written in ASCII alone."""

    __slots__ = ("_encodes_once", "json")

    revision = 3

    def __init__(self, base64: bool, json: bool) -> None:
        super().__init__(base64)
        self.json = json
        # Whether the server has shown that it does not encode text twice, as those before Socket.IO 2.0 do.
        self._encodes_once = False

    def _send_binary(self, carrier: ClientCarrier, data: bytes, compress: bool) -> None:
        if self.base64:
            carrier.send_text(engineio3.encode_base64_packet(data), compress)
        else:
            carrier.send_binary(engineio3.encode_binary_packet(data), compress)

    def take_body(self, outbox: list[Outgoing], largest: int | None) -> tuple[bytes, bytes, int]:
        # Servers of this revision don't tell how much they take.
        binary = not self.base64 and any(message.has_binary for message in outbox)
        packets: list[bytes] = []
        size = 0
        for message in outbox:
            packet = message.revision3_payload(binary, self.json)
            size += len(packet)
            if packets and size > _ASSUMED_PAYLOAD:
                break
            packets.append(packet)
        return b"".join(packets), _BINARY if binary else _TEXT, len(packets)

    def read_payload(self, headers: Headers, body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        if headers.get("content-type", "").lower().startswith("application/octet-stream"):
            return engineio3.decode_binary_payload(body)
        messages, fault = engineio3.decode_text_payload(body)
        if not body.isascii():
            messages = [self._repaired(message) for message in messages]
        return messages, fault

    def read_text(self, text: str) -> str | bytes:
        return engineio3.decode_text_packet(text)

    def read_binary(self, data: bytes) -> bytes:
        return engineio3.decode_binary_packet(data)

    def _repaired(self, message: str | bytes) -> str | bytes:
        if self._encodes_once or isinstance(message, bytes) or message.isascii():
            return message
        repaired = engineio3.undo_double_encoding(message)
        if repaired is None:
            self._encodes_once = True
            return message
        return repaired


def one_by_one(message: Outgoing) -> list[Outgoing]:
    """The packets that a message is made of."""
    if not isinstance(message, TextMessage) or not message.attachments:
        return [message]
    packets: list[Outgoing] = [TextMessage(message.text, [])]
    packets += [BinaryMessage(data) for data in message.attachments]
    for packet in packets:
        packet.compress = message.compress
    return packets
