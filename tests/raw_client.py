"""Clients that do what a test says, byte by byte, also what no client should do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from siocore import EngineServer, Limits, Server, Session
from siocore.testing import TestServer
from siocore.testing.wire import (
    BINARY,
    CLOSE,
    TEXT,
    WEBSOCKET_HEADERS,
    FrameReader,
    Response,
    ResponseReader,
    masked_frame,
    request_bytes,
)

Pairs = Sequence[tuple[str, str]]


class RawHttp:
    """One HTTP connection."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.stream = server.connect()
        self.responses: list[Response] = []
        self.method = "GET"
        self._reader = ResponseReader()
        self.stream.on_data = self._receive

    def _receive(self, data: bytes) -> None:
        self.responses += self._reader.feed(data, self.method)

    def request(self, method: str, target: str, headers: Pairs = (), body: bytes = b"") -> Response | None:
        """The answer, or None if there is none yet."""
        return self.send(request_bytes(method, target, headers, body), method)

    def send(self, data: bytes, method: str = "GET") -> Response | None:
        """Send bytes; the next answer, or None if there is none yet."""
        self.method = method
        self.stream.write(data)
        self.server.settle()
        return self.answer()

    def answer(self) -> Response | None:
        """The next answer that has not been taken."""
        return self.responses.pop(0) if self.responses else None

    @property
    def ended(self) -> bool:
        """Whether the server has closed, or half-closed, the connection."""
        return self.stream.eof or self.stream.closed


class RawPolling:
    """A long-polling session: one connection for GET, one for POST."""

    def __init__(self, server: TestServer, query: str = "") -> None:
        self.server = server
        self.gets = RawHttp(server)
        self.posts = RawHttp(server)
        self._path = server.protocol.options.path
        response = self.gets.request("GET", f"{self._path}?EIO=4&transport=polling{query}")
        assert response is not None
        assert response.status == 200, response
        self.handshake: dict[str, Any] = json.loads(response.body[1:])
        self.sid: str = self.handshake["sid"]
        self.target = f"{self._path}?EIO=4&transport=polling&sid={self.sid}"

    def get(self) -> Response | None:
        if self.gets.ended:
            self.gets = RawHttp(self.server)
        return self.gets.request("GET", self.target)

    def post(self, body: bytes, headers: Pairs = ()) -> Response | None:
        if self.posts.ended:
            self.posts = RawHttp(self.server)
        return self.posts.request("POST", self.target, headers, body)

    def websocket(self) -> RawWebSocket:
        """A WebSocket for this session."""
        return RawWebSocket(self.server, f"&sid={self.sid}")

    def session(self) -> Session:
        return self.server.protocol.sessions[self.sid]

    def upgrade(self) -> RawWebSocket:
        """Go through the whole upgrade."""
        websocket = self.websocket()
        websocket.send("2probe")
        websocket.send("5")
        return websocket


class RawWebSocket:
    """One WebSocket, or an attempt at one."""

    def __init__(
        self,
        server: TestServer,
        query: str = "",
        headers: Pairs = WEBSOCKET_HEADERS,
        trailing: bytes = b"",
        eio: str = "EIO=4&",
    ) -> None:
        self.server = server
        self.stream = server.connect()
        self.stream.on_data = self._receive
        self.response: Response | None = None
        #: Text and binary messages that have not been taken.
        self.messages: list[str | bytes] = []
        self.close_code: int | None = None
        self.frames: list[tuple[int, bytes]] = []
        self._responses = ResponseReader()
        self._frames = FrameReader()
        target = f"{server.protocol.options.path}?{eio}transport=websocket{query}"
        self.stream.write(request_bytes("GET", target, headers) + trailing)
        server.settle()

    def _receive(self, data: bytes) -> None:
        if self.response is None:
            responses = self._responses.feed(data)
            if not responses:
                return
            self.response = responses[0]
            data = self._responses.rest()
        if self.response.status != 101:
            return
        for opcode, payload in self._frames.feed(data):
            self.frames.append((opcode, payload))
            if opcode == TEXT:
                self.messages.append(payload.decode())
            elif opcode == BINARY:
                self.messages.append(payload)
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")

    @property
    def sid(self) -> str:
        """Of a handshake that came by WebSocket: the OPEN packet's sid, which must be the first message."""
        first = self.messages[0]
        assert isinstance(first, str)
        return str(json.loads(first[1:])["sid"])

    def send(self, *messages: str | bytes) -> list[str | bytes]:
        """Send messages, all in one write; returns (and takes) what has arrived."""
        return self.raw(b"".join(map(message_frame, messages)))

    def raw(self, data: bytes) -> list[str | bytes]:
        """Send bytes; returns (and takes) the messages that have arrived."""
        self.stream.write(data)
        self.server.settle()
        return self.take()

    def take(self) -> list[str | bytes]:
        """The messages that have arrived."""
        messages, self.messages = self.messages, []
        return messages

    @property
    def ended(self) -> bool:
        """Whether the server has closed, or half-closed, the connection."""
        return self.stream.eof or self.stream.closed


def message_frame(message: str | bytes) -> bytes:
    """One message in one frame."""
    return masked_frame(TEXT, message.encode()) if isinstance(message, str) else masked_frame(BINARY, message)


class EngineApp:
    """An EngineServer that writes down what it is told."""

    def __init__(self, *, limits: Limits | None = None, **options: Any) -> None:
        self.app = EngineServer(limits=Limits() if limits is None else limits, **options)
        self.opened: list[Session] = []
        self.messages: list[str | bytes] = []
        self.closed: list[str] = []
        self.errors: list[tuple[int, dict[str, object]]] = []
        self.app.on("connection")(self.opened.append)
        self.app.on("message")(lambda session, data: self.messages.append(data))
        self.app.on("close")(lambda session, reason: self.closed.append(reason))
        self.app.on("connection_error")(lambda error: self.errors.append((error.code, error.context)))
        self.server = TestServer(self.app)

    def assert_nothing_left(self) -> None:
        """Neither session nor connection nor timer."""
        assert_nothing_left(self.server)


class SocketApp:
    """A Socket.IO server that writes down what it is told."""

    def __init__(self, *, limits: Limits | None = None, **options: Any) -> None:
        self.app = Server(limits=Limits() if limits is None else limits, **options)
        self.events: list[tuple[Any, ...]] = []
        self.app.on("connection")(lambda socket: self.events.append(("connection",)))
        self.app.on("disconnect")(lambda socket, reason: self.events.append(("disconnect", reason)))
        self.app.on_any(lambda socket, name, *args: self.events.append((name, *args)))
        self.server = TestServer(self.app)


def assert_nothing_left(server: TestServer) -> None:
    """Neither session nor connection nor timer, and no handler that waits."""
    protocol = server.protocol
    assert protocol.sessions == {}
    assert protocol.connections == set()
    assert len(protocol.timers) == 0
    assert server.running == 0
