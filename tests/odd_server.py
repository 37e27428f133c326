"""A server that speaks just enough HTTP and WebSocket to say whatever a test likes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from siocore.testing import ScriptedServer, Simulation, Stream

__all__ = ["OPEN", "OddConnection", "Request", "frame", "odd_server", "open_packet"]


def open_packet(**changes: Any) -> str:
    """An OPEN packet; None takes a field out."""
    fields = {
        "sid": "abcdefghijklmnopqrst",
        "upgrades": [],
        "pingInterval": 25_000,
        "pingTimeout": 20_000,
        "maxPayload": 1_000_000,
    }
    return "0" + json.dumps({name: value for name, value in (fields | changes).items() if value is not None})


OPEN = open_packet()


def frame(payload: str | bytes, opcode: int | None = None, *, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame of a server (RFC 6455, section 5.2)."""
    data = payload.encode() if isinstance(payload, str) else payload
    if opcode is None:
        opcode = 1 if isinstance(payload, str) else 2
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if len(data) < 126:
        head += bytes([len(data)])
    elif len(data) < 0x10000:
        head += b"\x7e" + len(data).to_bytes(2, "big")
    else:
        head += b"\x7f" + len(data).to_bytes(8, "big")
    return head + data


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def upgrades(self) -> bool:
        return "sec-websocket-key" in self.headers

    @property
    def accept(self) -> str:
        """What Sec-WebSocket-Accept has to say."""
        key = self.headers["sec-websocket-key"].encode()
        return b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


class OddConnection:
    """One connection: ``on_request`` is called with each request, ``on_frame`` with opcode and payload of frames."""

    def __init__(self, stream: Stream, on_request: Callable[[OddConnection, Request], None]) -> None:
        self.stream = stream
        self.on_frame: Callable[[int, bytes], None] = lambda opcode, payload: None
        self._on_request = on_request
        self._buffer = bytearray()
        self._framed = False
        stream.on_data = self._receive

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.stream.write(data)

    def answer(self, body: str | bytes, status: str = "200 OK", *headers: str) -> None:
        """Answer a request."""
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Content-Type: text/plain", *headers, "", ""]
        self.raw("\r\n".join(lines).encode("latin-1") + data)

    def upgrade(self, request: Request, *headers: str, accept: str | None = None) -> None:
        """Answer 101; frames come next."""
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {request.accept if accept is None else accept}", *headers, "", ""]
        self._framed = True
        self.raw("\r\n".join(lines).encode())

    def send(self, *messages: str | bytes) -> None:
        """Send messages, one frame each."""
        self.raw(b"".join(map(frame, messages)))

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        while not self._framed:
            head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            size = int(headers.get("content-length", "0"))
            if len(rest) < size:
                return
            del self._buffer[: len(head) + 4 + size]
            method, target, _ = first.split(" ")
            self._on_request(self, Request(method, target, headers, rest[:size]))
        while (taken := self._frame()) is not None:
            self.on_frame(*taken)

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        assert buffer[1] & 0x80, "not masked"
        size = buffer[1] & 0x7F
        start = {126: 4, 127: 10}.get(size, 2)
        if len(buffer) < start + 4:
            return None
        if start > 2:
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + 4 + size:
            return None
        mask = buffer[start : start + 4]
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(buffer[start + 4 : start + 4 + size]))
        opcode = buffer[0] & 0x0F
        del buffer[: start + 4 + size]
        return opcode, payload


def odd_server(
    on_request: Callable[[OddConnection, Request], None], *, simulation: Simulation | None = None
) -> ScriptedServer:
    """A server of which each connection does what ``on_request`` says."""
    return ScriptedServer(lambda stream: _ignore(OddConnection(stream, on_request)), simulation=simulation)


def _ignore(_: OddConnection) -> None:
    """The stream keeps it."""
