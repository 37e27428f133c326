"""Engine.IO 3 packets and HTTP long-polling payloads: what Socket.IO 1 and 2 clients speak.

Text packets are those of revision 4. A binary message is ``04`` and its bytes, or inside text ``b4`` and its base64.
A payload of text has a length in front of each packet, in UTF-16 code units, ``6:4hello``. A payload of bytes has, for
each packet, a byte 0 (text) or 1 (binary), the digits of the length in bytes, one per byte and with the values 0 to 9,
a byte 255, and the packet. Source: Engine.IO protocol, revision 3, "Encoding".
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64

from siocore.errors import DecodeError

__all__ = [
    "ascii_json",
    "decode_binary_packet",
    "decode_binary_payload",
    "decode_text_packet",
    "decode_text_payload",
    "encode_base64_packet",
    "encode_binary_packet",
    "frame_binary",
    "frame_text",
    "prefix_length",
    "undo_double_encoding",
]

#: Digits of a length. It is compared with what is there, and so with Limits.max_payload, which has no more.
_MAX_DIGITS = 19
_MESSAGE = 4
_COLON = ":".encode("utf-16-le")
#: What stands in front of the JSON in a Socket.IO packet: digits, and a namespace that may have any character.
_HEAD = re.compile(r"4[0-9]+-?(?:/[^,]*(?:,|\Z))?")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


# Sending ------------------------------------------------------------------------------------------------------


def encode_binary_packet(data: bytes) -> bytes:
    """A binary message for transports that carry bytes."""
    return b"\x04" + data


def encode_base64_packet(data: bytes) -> bytes:
    """A binary message for transports that carry text."""
    return b"b4" + b2a_base64(data, newline=False)


def prefix_length(packet: bytes) -> bytes:
    """A packet that is text (UTF-8) as a part of a payload of text."""
    units = len(packet) if packet.isascii() else len(packet.decode().encode("utf-16-le")) // 2
    return b"%d:%b" % (units, packet)


def ascii_json(packet: bytes) -> bytes:
    """A Socket.IO packet in a MESSAGE (UTF-8) with nothing but ASCII in its JSON, which stays the same value.

    Clients read the text of a payload as UTF-16, those before Socket.IO 2.0 as bytes, and none tells which it does.
    ASCII is the same in both.
    """
    if packet.isascii():
        return packet
    text = packet.decode()
    head = _HEAD.match(text)
    start = 0 if head is None else head.end()
    return (text[:start] + _NOT_ASCII.sub(_escape, text[start:])).encode()


def frame_text(packet: bytes) -> bytes:
    """A packet that is text (UTF-8) as a part of a payload of bytes."""
    return b"\x00" + _digits(len(packet)) + packet


def frame_binary(packet: bytes) -> bytes:
    """A packet from :func:`encode_binary_packet` as a part of a payload of bytes."""
    return b"\x01" + _digits(len(packet)) + packet


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _digits(length: int) -> bytes:
    return bytes(map(int, str(length))) + b"\xff"


# Receiving ----------------------------------------------------------------------------------------------------


def decode_text_packet(text: str) -> str | bytes:
    """The packet as it is, which begins with one of the digits 0 to 6, or the data of a binary message in base64.

    Raises DecodeError if it is empty, of an unknown type, or bad base64.
    """
    if not text:
        raise DecodeError("empty packet")
    if "0" <= text[0] <= "6":
        return text
    if text[0] != "b":
        raise DecodeError("unknown packet type")
    # strict_mode lets padding stand behind a complete group, "AAAA=" and "AAAA====".
    if text[1:2] != "4" or len(text) & 3 != 2 or text.endswith("==="):
        raise DecodeError("binary packet is not a message in base64")
    try:
        return a2b_base64(text[2:], strict_mode=True)
    except ValueError:
        raise DecodeError("binary packet is not a message in base64") from None


def decode_binary_packet(packet: bytes) -> bytes:
    """The data of a binary message. Raises DecodeError for any other type: none of them has binary data."""
    if packet[:1] != b"\x04":
        raise DecodeError("binary packet is not a message")
    return packet[1:]


def decode_text_payload(body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
    """Return the packets of a payload of text up to the first bad one, and what was wrong with that one, if any.

    They have the form of :func:`decode_text_packet`. Empty packets are skipped; an empty body is bad.
    """
    messages: list[str | bytes] = []
    try:
        units = body.decode().encode("utf-16-le")
    except UnicodeDecodeError:
        return messages, DecodeError("payload is not UTF-8")
    position, end = 0, len(units)
    if not end:
        return messages, DecodeError("empty payload")
    while position < end:
        try:
            start, stop = _text_bounds(units, position)
            if stop > start:
                messages.append(decode_text_packet(_text(units[start:stop])))
        except DecodeError as error:
            return messages, error
        position = stop
    return messages, None


def decode_binary_payload(body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
    """Return the packets of a payload of bytes up to the first bad one, and what was wrong with that one, if any.

    Text packets have the form of :func:`decode_text_packet`, binary messages are their data.
    """
    messages: list[str | bytes] = []
    position, end = 0, len(body)
    if not end:
        return messages, DecodeError("empty payload")
    while position < end:
        try:
            start, stop = _binary_bounds(body, position)
            packet = body[start:stop]
            messages.append(_utf8_packet(packet) if body[position] == 0 else decode_binary_packet(packet))
        except DecodeError as error:
            return messages, error
        position = stop
    return messages, None


def undo_double_encoding(text: str) -> str | None:
    """What a packet was before it was encoded twice, or ``None`` if it surely was not.

    Clients before Socket.IO 2.0 write the UTF-8 of a text as characters, and then encode these. Text in which all that
    is not ASCII can be read as UTF-8 once more was written by one of them, or by somebody who quotes such an accident.
    """
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return None


def _text_bounds(units: bytes, position: int) -> tuple[int, int]:
    """Where the packet begins and ends whose length is at ``position``."""
    header = units[position : position + 2 * (_MAX_DIGITS + 1)]
    size = 0
    while size < len(header) and header[size : size + 2] != _COLON:
        size += 2
    digits = header[:size:2]
    if size == len(header) or not digits.isdigit() or any(header[1:size:2]):
        raise DecodeError("the length of a packet is not a number")
    start = position + size + 2
    stop = start + 2 * int(digits)
    if stop > len(units):
        raise DecodeError("a packet is shorter than its length says")
    return start, stop


def _text(units: bytes) -> str:
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError:
        raise DecodeError("the length of a packet splits a character") from None


def _binary_bounds(body: bytes, position: int) -> tuple[int, int]:
    if body[position] > 1:
        raise DecodeError("a packet is neither text nor binary")
    separator = body.find(b"\xff", position + 1, position + _MAX_DIGITS + 2)
    digits = body[position + 1 : separator] if separator > 0 else b""
    if not digits or max(digits) > 9:
        raise DecodeError("the length of a packet is not a number")
    length = 0
    for digit in digits:
        length = length * 10 + digit
    start = separator + 1
    if length > len(body) - start:
        raise DecodeError("a packet is shorter than its length says")
    return start, start + length


def _utf8_packet(packet: bytes) -> str | bytes:
    try:
        return decode_text_packet(packet.decode())
    except UnicodeDecodeError:
        raise DecodeError("packet is not UTF-8") from None
