"""The bytes of a client, and those of the server's answers. Made without siocore, since they are what it is held to."""

from __future__ import annotations

import re

__all__ = [
    "BINARY",
    "CLOSE",
    "SWITCHING",
    "TEXT",
    "UPGRADE",
    "answer",
    "frame",
    "get",
    "masked",
    "post",
    "session_id",
    "without_ids",
]

TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8

_TARGET = "/socket.io/?EIO=4&transport="
_COMMON = "Host: 127.0.0.1:3000\r\nUser-Agent: bench\r\nAccept: */*\r\n"
# Key and answer are those of RFC 6455, section 1.3; the mask is that of section 5.7.
UPGRADE = (
    f"GET {_TARGET}websocket HTTP/1.1\r\n{_COMMON}Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_MASK = b"\x37\xfa\x21\x3d"
_ID = re.compile(rb'(?<="sid":")[A-Za-z0-9_-]{20}(?=")')


def masked(opcode: int, payload: bytes) -> bytes:
    """One frame of a client."""
    key = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    return _header(opcode, 0x80, len(payload)) + _MASK + bytes(a ^ b for a, b in zip(payload, key, strict=True))


def frame(opcode: int, payload: bytes) -> bytes:
    """One frame of a server."""
    return _header(opcode, 0, len(payload)) + payload


def get(sid: str = "") -> bytes:
    """A GET of long-polling; without a sid, one that opens a session."""
    return _request("GET", sid) + b"\r\n"


def post(sid: str, body: bytes) -> bytes:
    """A POST of long-polling."""
    head = f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return _request("POST", sid) + head.encode() + body


def answer(content_type: str, body: bytes) -> bytes:
    """What a GET or POST is answered."""
    head = f"content-type: {content_type}\r\ncache-control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\n" + head.encode() + body


def session_id(sent: list[bytes]) -> str:
    """The id in what a handshake is answered."""
    [found] = _ID.findall(b"".join(sent))
    return str(found, "ascii")


def without_ids(sent: list[bytes]) -> list[bytes]:
    """Every id replaced by as many dots: they are random."""
    return [_ID.sub(b"." * 20, data) for data in sent]


def _header(opcode: int, mask: int, size: int) -> bytes:
    if size < 126:
        return bytes((0x80 | opcode, mask | size))
    return bytes((0x80 | opcode, mask | 126)) + size.to_bytes(2, "big")


def _request(method: str, sid: str) -> bytes:
    session = f"&sid={sid}" if sid else ""
    return f"{method} {_TARGET}polling{session} HTTP/1.1\r\n{_COMMON}Connection: keep-alive\r\n".encode()
