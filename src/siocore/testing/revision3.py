"""Long-polling payloads of Engine.IO 3, as a client without XMLHttpRequest 2 reads and writes them."""

from __future__ import annotations

from base64 import b64encode

from siocore.errors import RemoteProtocolError

__all__ = ["payload_packet3", "payload_packets3"]


def payload_packet3(packet: str | bytes) -> bytes:
    """A packet with its length in front; bytes are a binary message."""
    text = packet if isinstance(packet, str) else "b4" + b64encode(packet).decode()
    return f"{_units(text)}:{text}".encode()


def payload_packets3(payload: str) -> list[str]:
    """The packets of a payload."""
    packets = []
    while payload:
        length, colon, payload = payload.partition(":")
        if not colon:
            raise RemoteProtocolError("a packet without a length")
        size = 0
        while _units(payload[:size]) < int(length):
            size += 1
        packets.append(payload[:size])
        payload = payload[size:]
    return packets


def _units(text: str) -> int:
    """How many UTF-16 code units the text has."""
    return sum(2 if char > "\uffff" else 1 for char in text)
