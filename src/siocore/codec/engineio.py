"""Engine.IO 4 packets and HTTP long-polling payloads.

A packet is a type digit and its text, ``4hello``; a binary message inside text is ``b`` and its base64. A payload is
packets joined by U+001E. Source: Engine.IO protocol, revision 4, "Packet encoding" and "HTTP long-polling".

``siocore._speedups._engineio`` has the same functions over pointers.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from siocore.errors import DecodeError

__all__ = ["decode_packet", "decode_payload", "encode_binary_packet", "encode_payload"]

_SEPARATOR = "\x1e"


def decode_packet(text: str) -> tuple[int, str | bytes]:
    """Return the type of a packet and its data: ``bytes`` for base64, else ``str``.

    Raises :exc:`DecodeError` if it is empty, of an unknown type or bad base64, and ``TypeError`` for anything but
    ``str``.
    """
    if type(text) is not str:
        raise TypeError(f"a packet is str, not {type(text).__name__}")
    message = _to_message(text)
    return (4, message) if isinstance(message, bytes) else (ord(text[0]) - 48, text[1:])


def decode_payload(body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
    """Return the packets of an HTTP body up to the first bad one, and what was wrong with that one, if any.

    They have the form of WebSocket messages: ``str`` with the type in front, which is one of the digits 0 to 6, and
    ``bytes`` for what came as base64. An empty body holds one empty packet, which is bad. Raises ``TypeError`` for
    anything but ``bytes``.
    """
    if type(body) is not bytes:
        raise TypeError(f"a payload is bytes, not {type(body).__name__}")
    messages: list[str | bytes] = []
    fault: DecodeError | None = None
    try:
        parts = body.decode().split(_SEPARATOR)
    except UnicodeDecodeError as error:
        # No UTF-8 sequence holds 0x1E, so the packets before the one with the bad byte are whole.
        parts = body[: error.start].decode().split(_SEPARATOR)
        parts.pop()
        fault = DecodeError("payload is not UTF-8")
    for part in parts:
        try:
            message = _to_message(part)
        except DecodeError as error:
            fault = error
            break
        messages.append(message)
    return messages, fault


def encode_payload(packets: list[bytes]) -> bytes:
    """Join encoded packets to an HTTP body.

    The protocol has no escape for the separator: whoever takes text from the application refuses U+001E in it.
    """
    return b"\x1e".join(packets)


def encode_binary_packet(data: bytes) -> bytes:
    """Encode a binary message for transports that carry text."""
    return b"b" + b2a_base64(data, newline=False)


def _to_message(text: str) -> str | bytes:
    """The packet as it is, or the data of one that is base64."""
    if not text:
        raise DecodeError("empty packet")
    kind = text[0]
    if "0" <= kind <= "6":
        return text
    if kind != "b":
        raise DecodeError("unknown packet type")
    # strict_mode lets padding stand behind a complete group, "AAAA=" and "AAAA====".
    if len(text) & 3 != 1 or text.endswith("==="):
        raise DecodeError("binary packet is not base64")
    try:
        return a2b_base64(text[1:], strict_mode=True)
    except ValueError:
        raise DecodeError("binary packet is not base64") from None
