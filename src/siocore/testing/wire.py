"""The bytes of a client: HTTP/1.1 requests and responses, WebSocket frames. Shares no code with the server's side."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1

from siocore.errors import RemoteProtocolError

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "WEBSOCKET_HEADERS",
    "FrameReader",
    "Response",
    "ResponseReader",
    "masked_frame",
    "request_bytes",
    "websocket_accept",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

# Those of the examples in RFC 6455, sections 1.3 and 5.7. Tests want the same bytes each time, not unguessable ones.
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x37\xfa\x21\x3d"

#: What a request needs to become a WebSocket.
WEBSOCKET_HEADERS = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", _KEY),
)


def websocket_accept() -> str:
    """The Sec-WebSocket-Accept that answers :data:`WEBSOCKET_HEADERS` (RFC 6455, section 4.2.2)."""
    return b64encode(sha1(_KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def masked_frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame of a client (RFC 6455, section 5.2)."""
    size = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 0x10000:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    mask = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    return head + _MASK + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")


class FrameReader:
    """Cuts what a server sends into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcode and payload of each complete frame. Raises RemoteProtocolError for what siocore never sends."""
        self._buffer += data
        frames = []
        while (end := self._frame_end()) is not None:
            start, stop = end
            frames.append((self._buffer[0] & 0x0F, bytes(self._buffer[start:stop])))
            del self._buffer[:stop]
        return frames

    def _frame_end(self) -> tuple[int, int] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or not buffer[0] & 0x80 or buffer[1] & 0x80:
            raise RemoteProtocolError(f"not an unfragmented server frame: {bytes(buffer[:2]).hex()}")
        size = buffer[1]
        start = {126: 4, 127: 10}.get(size, 2)
        if len(buffer) < start:
            return None
        if start > 2:
            size = int.from_bytes(buffer[2:start], "big")
        return (start, start + size) if len(buffer) >= start + size else None


def request_bytes(method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """One HTTP request. Content-Length is added if there is a body, Host unless it is among ``headers``."""
    lines = [f"{method} {target} HTTP/1.1"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append("Host: test.example")
    lines += [f"{name}: {value}" for name, value in headers]
    if (body or method == "POST") and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass
class Response:
    """An HTTP response. ``headers`` has names in lower case; values of a repeated one are joined with ``", "``."""

    status: int
    headers: dict[str, str]
    body: bytes


class ResponseReader:
    """Cuts what a server sends into HTTP responses."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes, method: str = "GET") -> list[Response]:
        """The responses that are complete, to requests of this method."""
        self._buffer += data
        responses = []
        while (response := self._response(method)) is not None:
            responses.append(response)
            if response.status == 101:
                break
        return responses

    def rest(self) -> bytes:
        """What came behind a 101."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _response(self, method: str) -> Response | None:
        head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not separator:
            return None
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        if version != "HTTP/1.1":
            raise RemoteProtocolError(f"not an HTTP/1.1 response: {status_line!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            key = name.lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        bodyless = method == "HEAD" or status in ("100", "101", "204", "304")
        size = 0 if bodyless else int(headers["content-length"])
        if len(rest) < size:
            return None
        del self._buffer[: len(head) + 4 + size]
        return Response(int(status), headers, rest[:size])
