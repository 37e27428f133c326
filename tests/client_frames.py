"""WebSocket frames as a client sends them, legal and illegal ones."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = b"\x37\xfa\x21\x3d"  # the one of RFC 6455, section 5.7


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    width: int | None = None,
    declared: int | None = None,
) -> bytes:
    """One frame. ``key=None`` leaves it unmasked, ``width`` forces 0, 2 or 8 bytes of length, ``declared`` lies."""
    length = len(payload) if declared is None else declared
    if width is None:
        width = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    short = length if width == 0 else 126 if width == 2 else 127
    header = bytes((fin << 7 | rsv << 4 | opcode, (0x80 if key is not None else 0) | short))
    header += length.to_bytes(width, "big") if width else b""
    if key is None:
        return header + payload
    return header + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def turned_round(stream: bytes) -> bytes:
    """The frames of the one side as the other sends them: masked ones without, and unmasked ones with a mask."""
    made = b""
    while len(stream) >= 2:
        second = stream[1]
        start = {126: 4, 127: 10}.get(second & 0x7F, 2)
        length = second & 0x7F if start == 2 else int.from_bytes(stream[2:start], "big")
        header = bytes((stream[0], second ^ 0x80)) + stream[2:start]
        key, rest = (stream[start : start + 4], stream[start + 4 :]) if second & 0x80 else (KEY, stream[start:])
        payload, stream = rest[:length], rest[length:]
        made += header if second & 0x80 else header + key
        made += bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return made + stream


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason
