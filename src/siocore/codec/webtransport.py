"""Engine.IO packets on a WebTransport stream: each with a header that says how long it is and whether it is binary.

One byte: the highest bit is set for binary, the others are the length. There, 126 means that the length follows in two
bytes, 127 that it follows in eight (big endian). Text has its packet type in front, binary is a message as it is.
Source: Engine.IO protocol, revision 4, "WebTransport"; the header is that of a WebSocket frame without its first byte.
"""

from __future__ import annotations

from siocore.errors import DecodeError

__all__ = ["PacketReader", "packets_from_frames"]

_BINARY_FRAME = 0x82
_SIZES = {126: 3, 127: 9}


def packets_from_frames(frames: bytes) -> bytes:
    """The packets that WebSocket frames of ours hold: complete, final, unmasked, text or binary."""
    parts = []
    start = 0
    while start < len(frames):
        length = frames[start + 1]
        size = _SIZES.get(length, 1)
        end = start + 1 + size
        if size > 1:
            payload_end = end + int.from_bytes(frames[start + 2 : end], "big")
        else:
            payload_end = end + length
        parts.append(bytes(((length | 0x80) if frames[start] == _BINARY_FRAME else length,)))
        parts.append(frames[start + 2 : payload_end])
        start = payload_end
    return b"".join(parts)


class PacketReader:
    """Cuts the bytes of a stream into packets: ``str`` for text, ``bytes`` for binary."""

    __slots__ = ("_buffer", "_max_payload")

    def __init__(self, max_payload: float) -> None:
        self._buffer = bytearray()
        self._max_payload = max_payload

    @property
    def partial(self) -> bool:
        """Whether a packet is incomplete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        """Take bytes; return the packets that they complete up to the first fault, and that fault, if any.

        What is kept is at most one packet of ``max_payload`` bytes and its header, and what this read brought.
        """
        buffer = self._buffer
        buffer += data
        packets: list[str | bytes] = []
        start = 0
        fault: DecodeError | None = None
        while start < len(buffer):
            first = buffer[start]
            length = first & 0x7F
            size = _SIZES.get(length, 1)
            if len(buffer) - start < size:
                break
            if size > 1:
                length = int.from_bytes(buffer[start + 1 : start + size], "big")
            if length == 0:
                fault = DecodeError("empty packet")
                break
            if length > self._max_payload:
                fault = DecodeError("packet too big")
                break
            end = start + size + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[start + size : end])
            if first & 0x80:
                packets.append(payload)
            else:
                try:
                    packets.append(payload.decode())
                except UnicodeDecodeError:
                    fault = DecodeError("packet is not UTF-8")
                    break
            start = end
        del buffer[:start]
        return packets, fault
