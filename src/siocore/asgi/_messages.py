"""From WebSocket frames back to messages: sessions write frames, and an ASGI server makes its own."""

from __future__ import annotations

__all__ = ["messages_in"]

_TEXT = 0x81


def messages_in(frames: bytes) -> list[str | bytes]:
    """The messages in frames that were made here: final, unmasked, text or binary, and complete."""
    messages: list[str | bytes] = []
    start = 0
    end = len(frames)
    while start < end:
        opcode = frames[start]
        length = frames[start + 1]
        start += 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length = int.from_bytes(frames[start : start + width], "big")
            start += width
        payload = frames[start : start + length]
        messages.append(payload.decode() if opcode == _TEXT else payload)
        start += length
    return messages
