"""What a session sends: one unit that is never split or interleaved, in the wire form of each transport."""

from __future__ import annotations

from siocore._speedups import binary_frame, encode_binary_packet, message_frames, text_frame

__all__ = ["BinaryMessage", "ControlPacket", "Outgoing", "TextMessage"]

_SEPARATOR = b"\x1e"


class Outgoing:
    """Each wire form is made on first use and kept, so that a broadcast encodes and frames once."""

    __slots__ = ("_frames", "_payload", "compress", "size")

    def __init__(self, size: int) -> None:
        #: Bytes that it counts for in the bound on what waits for one client.
        self.size = size
        #: Whether it may be compressed, where that was agreed on with the client.
        self.compress = True
        self._frames: bytes | None = None
        self._payload: bytes | None = None

    def frames(self) -> bytes:
        """WebSocket frames."""
        if self._frames is None:
            self._frames = self._make_frames()
        return self._frames

    def payload(self) -> bytes:
        """Long-polling packets, joined if they are several."""
        if self._payload is None:
            self._payload = self._make_payload()
        return self._payload

    def base64_frames(self) -> bytes:
        """WebSocket text frames only, for a client that asked for ``b64=1``."""
        return b"".join([text_frame(packet) for packet in self.payload().split(_SEPARATOR)])

    def _make_frames(self) -> bytes:
        raise NotImplementedError

    def _make_payload(self) -> bytes:
        raise NotImplementedError


class TextMessage(Outgoing):
    """A MESSAGE packet with text (UTF-8), followed by one binary message per attachment."""

    __slots__ = ("attachments", "text")

    def __init__(self, text: bytes, attachments: list[bytes]) -> None:
        super().__init__(len(text) + sum(map(len, attachments)) if attachments else len(text))
        self.text = text
        self.attachments = attachments

    def _make_frames(self) -> bytes:
        return message_frames(self.text, self.attachments)

    def _make_payload(self) -> bytes:
        packet = b"4" + self.text
        if not self.attachments:
            return packet
        return _SEPARATOR.join([packet, *map(encode_binary_packet, self.attachments)])


class BinaryMessage(Outgoing):
    """A binary message."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self.data = data

    def _make_frames(self) -> bytes:
        return binary_frame(self.data)

    def _make_payload(self) -> bytes:
        return encode_binary_packet(self.data)


class ControlPacket(Outgoing):
    """Any other packet, already encoded (``b"2"``)."""

    __slots__ = ("packet",)

    def __init__(self, packet: bytes) -> None:
        super().__init__(len(packet))
        self.packet = packet

    def _make_frames(self) -> bytes:
        return text_frame(self.packet)

    def _make_payload(self) -> bytes:
        return self.packet
