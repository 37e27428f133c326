"""WebSocket frames (RFC 6455, section 5.2), the common ones only: whole data messages in one frame.

A server writes them with :func:`text_frame`, :func:`binary_frame` and :func:`message_frames`, and reads them with
:func:`parse_frames`, which stops in front of anything uncommon: that is left to wsproto (siocore/http/websocket.py).
For clients there is the same once more: what they send is masked, what they receive is not.

``siocore._speedups._frames`` has the same functions over pointers. Both refuse wrong arguments in the same way: a
payload must be ``bytes`` exactly, since what subclasses and other buffers hold can change after it was framed.
"""

from __future__ import annotations

import sys
from operator import index

__all__ = [
    "apply_mask",
    "binary_frame",
    "masked_binary_frame",
    "masked_message_frames",
    "masked_text_frame",
    "message_frames",
    "parse_frames",
    "parse_unmasked_frames",
    "text_frame",
]

# FIN is set in both: a frame that holds the whole message.
_TEXT = 0x81
_BINARY = 0x82


def text_frame(payload: bytes) -> bytes:
    """One final, unmasked text frame. The payload is UTF-8; that is the caller's promise and is not checked."""
    _require_bytes(payload)
    return _header(_TEXT, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """One final, unmasked binary frame."""
    _require_bytes(payload)
    return _header(_BINARY, len(payload)) + payload


def message_frames(text: bytes, attachments: list[bytes]) -> bytes:
    """An Engine.IO MESSAGE and its attachments, in one buffer, so that nothing can come between them.

    ``text`` gets the packet type ``4`` in front of it and goes into a text frame, each attachment into a binary frame.
    """
    _require_bytes(text)
    if type(attachments) is not list:
        raise TypeError(f"attachments must be a list, not {type(attachments).__name__}")
    parts = [_header(_TEXT, len(text) + 1), b"4", text]
    for attachment in attachments:
        _require_bytes(attachment)
        parts.append(_header(_BINARY, len(attachment)))
        parts.append(attachment)
    return b"".join(parts)


def masked_text_frame(payload: bytes, key: bytes) -> bytes:
    """One final text frame, masked with the four bytes of ``key``. The payload is UTF-8, which is not checked."""
    _require_bytes(payload)
    _require_keys(key, 4)
    return _masked(_TEXT, payload, key)


def masked_binary_frame(payload: bytes, key: bytes) -> bytes:
    """One final binary frame, masked with the four bytes of ``key``."""
    _require_bytes(payload)
    _require_keys(key, 4)
    return _masked(_BINARY, payload, key)


def masked_message_frames(text: bytes, attachments: list[bytes], keys: bytes) -> bytes:
    """What :func:`message_frames` returns, masked. ``keys`` has four bytes for each frame."""
    _require_bytes(text)
    if type(attachments) is not list:
        raise TypeError(f"attachments must be a list, not {type(attachments).__name__}")
    for attachment in attachments:
        _require_bytes(attachment)
    _require_keys(keys, 4 + 4 * len(attachments))
    parts = [_masked(_TEXT, b"4" + text, keys[:4])]
    for at, attachment in enumerate(attachments, 1):
        parts.append(_masked(_BINARY, attachment, keys[4 * at : 4 * at + 4]))
    return b"".join(parts)


def parse_frames(data: bytes | bytearray, start: int, max_payload: int, out: list[str | bytes]) -> int:
    """Parse the frames at ``start`` as long as they are common, and append what they hold to ``out``.

    Common is: complete, final, no reserved bit, text or binary, masked, the shortest form of the length, at most
    ``max_payload`` bytes, and text that is UTF-8. The index of the first byte that was not consumed is returned:
    ``len(data)``, or the start of a frame that is incomplete, or of one that somebody else has to judge.
    """
    if type(data) is not bytes and type(data) is not bytearray:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    if type(out) is not list:
        raise TypeError(f"out must be a list, not {type(out).__name__}")
    position = _size(start, "start")
    largest = _size(max_payload, "max_payload")
    end = len(data)
    while end - position >= 6:
        first = data[position]
        if first != _TEXT and first != _BINARY:
            break
        length = data[position + 1] - 0x80  # negative: the mask bit is missing
        key = position + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length = int.from_bytes(data[key : key + width], "big")
            key += width
            if length <= (125 if width == 2 else 0xFFFF):
                break
        if length < 0 or length > largest or end - key < 4 or length > end - key - 4:
            break
        payload = _unmask(data[key + 4 : key + 4 + length], data[key : key + 4])
        if first == _TEXT:
            try:
                out.append(payload.decode())
            except UnicodeDecodeError:
                break
        else:
            out.append(payload)
        position = key + 4 + length
    return position


def parse_unmasked_frames(data: bytes | bytearray, start: int, max_payload: int, out: list[str | bytes]) -> int:
    """:func:`parse_frames` for a client: common frames are those that are not masked."""
    if type(data) is not bytes and type(data) is not bytearray:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    if type(out) is not list:
        raise TypeError(f"out must be a list, not {type(out).__name__}")
    position = _size(start, "start")
    largest = _size(max_payload, "max_payload")
    end = len(data)
    while end - position >= 2:
        first = data[position]
        if first != _TEXT and first != _BINARY:
            break
        length = data[position + 1]
        payload = position + 2
        if length >= 126:
            if length > 127:  # the mask bit
                break
            width = 2 if length == 126 else 8
            length = int.from_bytes(data[payload : payload + width], "big")
            payload += width
            if length <= (125 if width == 2 else 0xFFFF):
                break
        if length > largest or length > end - payload:
            break
        content = data[payload : payload + length]
        if first == _TEXT:
            try:
                out.append(content.decode())
            except UnicodeDecodeError:
                break
        else:
            out.append(bytes(content))
        position = payload + length
    return position


def apply_mask(data: bytes | bytearray, key: bytes, offset: int) -> bytes:
    """``data`` XOR the four bytes of ``key``, whose byte ``offset % 4`` comes first (RFC 6455, section 5.3)."""
    if type(data) is not bytes and type(data) is not bytearray:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    _require_bytes(key)
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)}")
    turn = _size(offset, "offset") % 4
    return _unmask(data, key[turn:] + key[:turn])


def _unmask(data: bytes | bytearray, key: bytes | bytearray) -> bytes:
    # One XOR of two large integers: Python has nothing faster that needs no extension.
    size = len(data)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(size, "little")


def _masked(first: int, payload: bytes, key: bytes) -> bytes:
    header = bytearray(_header(first, len(payload)))
    header[1] |= 0x80
    return b"".join((header, key, _unmask(payload, key)))


def _header(first: int, length: int) -> bytes:
    if length <= 125:
        return bytes((first, length))
    if length <= 0xFFFF:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def _require_bytes(value: bytes) -> None:
    if type(value) is not bytes:
        raise TypeError(f"a payload must be bytes, not {type(value).__name__}")


def _require_keys(keys: bytes, size: int) -> None:
    _require_bytes(keys)
    if len(keys) != size:
        raise ValueError(f"each frame needs a masking key of 4 bytes: {size} bytes, not {len(keys)}")


def _size(value: int, name: str) -> int:
    # The rules of Py_ssize_t, so that both implementations refuse the same numbers.
    size = index(value)
    if size > sys.maxsize or size < -sys.maxsize - 1:
        raise OverflowError(f"{name} is too large")
    if size < 0:
        raise ValueError(f"{name} must not be negative")
    return size
