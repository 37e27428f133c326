"""What a session sends: one unit that is never split or interleaved, in the wire form of each transport."""

from __future__ import annotations

from collections.abc import Callable

from siocore._speedups import binary_frame, encode_binary_packet, message_frames, text_frame
from siocore.codec import engineio3
from siocore.errors import LocalProtocolError
from siocore.overflow import CLOSE, Delayer

__all__ = ["BinaryMessage", "ControlPacket", "Outgoing", "TextMessage", "encode_text", "message_of"]

_SEPARATOR = b"\x1e"

# The forms for revision 3 of Engine.IO.
_FRAMES = 0
_BASE64_FRAMES = 1
_TEXT_PAYLOAD = 2
_ASCII_PAYLOAD = 3
_BINARY_PAYLOAD = 4


def _text_size(data: bytes) -> int:
    """Bytes of a binary message that goes through a transport of text, where it is largest."""
    return 4 * ((len(data) + 2) // 3) + 2


class Outgoing:
    """Each wire form is made on first use and kept, so that a broadcast encodes and frames once."""

    __slots__ = (
        "_deflated",
        "_frames",
        "_payload",
        "_revision3",
        "compress",
        "delayed",
        "droppable",
        "size",
        "when_full",
    )

    def __init__(self, size: int) -> None:
        #: Bytes that it counts for in the bound on what waits for one client: those of its long-polling packets.
        self.size = size
        #: Whether it may be compressed, where that was agreed on with the client.
        self.compress = True
        #: What becomes of it where there is no room: a number of siocore.overflow.
        self.when_full = CLOSE
        #: Whether it is an event that the client can do without, and not part of the protocol.
        self.droppable = False
        #: Sessions that had no room for it, if it is to wait for that.
        self.delayed: list[tuple[Delayer, Outgoing]] | None = None
        self._frames: bytes | None = None
        self._payload: bytes | None = None
        self._revision3: dict[int, bytes] | None = None
        self._deflated: dict[tuple[Callable[[bytes], bytes], bytes], bytes] | None = None

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

    # Revision 3

    @property
    def has_binary(self) -> bool:
        """Whether there is binary data in it."""
        return False

    def revision3_frames(self, base64: bool) -> bytes:
        """WebSocket frames for revision 3, with ``base64`` text frames only."""
        return self._form3(_BASE64_FRAMES if base64 else _FRAMES) if self.has_binary else self.frames()

    def revision3_payload(self, binary: bool, json: bool) -> bytes:
        """Its part of a long-polling payload of revision 3: of one of bytes, or of text.

        ``json``: the text is JSON, and what of it goes into a payload of text is to have ASCII characters only.
        """
        return self._form3(_BINARY_PAYLOAD if binary else _ASCII_PAYLOAD if json else _TEXT_PAYLOAD)

    def _form3(self, form: int) -> bytes:
        if self._revision3 is None:
            self._revision3 = {}
        made = self._revision3.get(form)
        if made is None:
            made = self._revision3[form] = self._make_form3(form)
        return made

    # Compressed

    def deflated(self, frames: bytes, deflate: Callable[[bytes], bytes]) -> bytes:
        """``frames``, which are this message in one form or other, compressed."""
        if self._deflated is None:
            self._deflated = {}
        key = (deflate, frames)
        made = self._deflated.get(key)
        if made is None:
            made = self._deflated[key] = deflate(frames)
        return made

    def _make_frames(self) -> bytes:
        raise NotImplementedError

    def _make_payload(self) -> bytes:
        raise NotImplementedError

    def _make_form3(self, form: int) -> bytes:
        raise NotImplementedError


class TextMessage(Outgoing):
    """A MESSAGE packet with text (UTF-8), followed by one binary message per attachment."""

    __slots__ = ("attachments", "text")

    def __init__(self, text: bytes, attachments: list[bytes]) -> None:
        super().__init__(len(text) + 2 + (sum(map(_text_size, attachments)) if attachments else 0))
        self.text = text
        self.attachments = attachments

    def _make_frames(self) -> bytes:
        return message_frames(self.text, self.attachments)

    def _make_payload(self) -> bytes:
        packet = b"4" + self.text
        if not self.attachments:
            return packet
        return _SEPARATOR.join([packet, *map(encode_binary_packet, self.attachments)])

    @property
    def has_binary(self) -> bool:
        return bool(self.attachments)

    def _make_form3(self, form: int) -> bytes:
        packet = b"4" + self.text
        if form == _ASCII_PAYLOAD:
            packet = engineio3.ascii_json(packet)
        return _text3(packet, form) + b"".join([_binary3(each, form) for each in self.attachments])


class BinaryMessage(Outgoing):
    """A binary message."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        super().__init__(_text_size(data))
        self.data = data

    def _make_frames(self) -> bytes:
        return binary_frame(self.data)

    def _make_payload(self) -> bytes:
        return encode_binary_packet(self.data)

    @property
    def has_binary(self) -> bool:
        return True

    def _make_form3(self, form: int) -> bytes:
        return _binary3(self.data, form)


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

    def _make_form3(self, form: int) -> bytes:
        return _text3(self.packet, form)


def message_of(data: str | bytes) -> Outgoing:
    """A message of an application. Raises LocalProtocolError as :func:`encode_text`, and for anything else."""
    if isinstance(data, str):
        return TextMessage(encode_text(data), [])
    if isinstance(data, (bytes, bytearray, memoryview)):
        return BinaryMessage(bytes(data))
    raise LocalProtocolError(f"a message is str or bytes, not {type(data).__name__}")


def encode_text(text: str) -> bytes:
    """Text of an application as UTF-8.

    Raises LocalProtocolError for what Engine.IO can't carry: lone surrogates, or U+001E, which separates the packets
    of a long-polling payload.
    """
    if "\x1e" in text:
        raise LocalProtocolError("text with U+001E can't be sent: it separates packets in long-polling")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("text with lone surrogates can't be sent") from None


def _text3(packet: bytes, form: int) -> bytes:
    if form in (_FRAMES, _BASE64_FRAMES):
        return text_frame(packet)
    return engineio3.frame_text(packet) if form == _BINARY_PAYLOAD else engineio3.prefix_length(packet)


def _binary3(data: bytes, form: int) -> bytes:
    if form == _FRAMES:
        return binary_frame(engineio3.encode_binary_packet(data))
    if form == _BASE64_FRAMES:
        return text_frame(engineio3.encode_base64_packet(data))
    if form == _BINARY_PAYLOAD:
        return engineio3.frame_binary(engineio3.encode_binary_packet(data))
    return engineio3.prefix_length(engineio3.encode_base64_packet(data))
