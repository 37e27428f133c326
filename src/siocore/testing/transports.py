"""What carries a test client: HTTP requests one after another, or a WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from siocore.errors import RemoteProtocolError
from siocore.testing.network import Stream
from siocore.testing.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    WEBSOCKET_HEADERS,
    FrameReader,
    Response,
    ResponseReader,
    masked_frame,
    request_bytes,
    websocket_accept,
)

if TYPE_CHECKING:
    from siocore.testing.server import TestServer

__all__ = ["HttpLane", "WebSocket"]


class Requester(Protocol):
    """On whose behalf requests are made."""

    server: TestServer
    headers: Sequence[tuple[str, str]]
    peer: object


class HttpLane:
    """A keep-alive connection that carries one request at a time; made anew when the server has closed it."""

    def __init__(self, requester: Requester, on_failure: Callable[[], None]) -> None:
        self.stream: Stream | None = None
        self._requester = requester
        self._on_failure = on_failure
        self._on_response: Callable[[Response], None] | None = None
        self._reader = ResponseReader()

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._on_response is not None

    def request(self, method: str, target: str, body: bytes, on_response: Callable[[Response], None]) -> None:
        """Make a request; ``on_response`` is called with the answer."""
        requester = self._requester
        if self.stream is None:
            self.stream = requester.server.connect(requester.peer)
            self.stream.on_data = self._receive
            self.stream.on_end = self._ended
            self._reader = ResponseReader()
        self._on_response = on_response
        self.stream.write(request_bytes(method, target, requester.headers, body))

    def close(self) -> None:
        """Close the connection; an answer under way is not waited for."""
        self._on_response = None
        if self.stream is not None:
            stream, self.stream = self.stream, None
            stream.on_data = _ignore
            stream.on_end = None
            stream.close()

    def _receive(self, data: bytes) -> None:
        for response in self._reader.feed(data):
            on_response, self._on_response = self._on_response, None
            if on_response is None:
                raise RemoteProtocolError("an answer to no request")
            if response.headers.get("connection", "").lower() == "close":
                self.close()
            on_response(response)

    def _ended(self) -> None:
        busy = self.busy
        self.close()
        if busy:
            self._on_failure()


class WebSocket:
    """One WebSocket, from the request for the upgrade on."""

    def __init__(
        self,
        requester: Requester,
        target: str,
        on_message: Callable[[str | bytes], None],
        on_end: Callable[[], None],
        on_open: Callable[[], None] | None = None,
    ) -> None:
        #: The server's answer, if it was not 101.
        self.refusal: Response | None = None
        #: The code of the server's close frame.
        self.close_code: int | None = None
        self._on_message = on_message
        self._on_end: Callable[[], None] | None = on_end
        self._on_open = on_open
        self._responses: ResponseReader | None = ResponseReader()
        self._frames = FrameReader()
        self._close_sent = False
        self.stream = requester.server.connect(requester.peer)
        self.stream.on_data = self._receive
        self.stream.on_end = self._ended
        self.stream.write(request_bytes("GET", target, [*WEBSOCKET_HEADERS, *requester.headers]))

    def take_over(self, on_message: Callable[[str | bytes], None], on_end: Callable[[], None]) -> None:
        """From now on these are called."""
        self._on_message = on_message
        self._on_end = on_end

    def send(self, message: str | bytes) -> None:
        """Send one message in one frame."""
        if isinstance(message, str):
            self.stream.write(masked_frame(TEXT, message.encode()))
        else:
            self.stream.write(masked_frame(BINARY, message))

    def close(self, code: int) -> None:
        """Start the close handshake. Nothing more is reported."""
        self._on_end = None
        self._on_message = _ignore
        if not self._close_sent:
            self._close_sent = True
            self.stream.write(masked_frame(CLOSE, code.to_bytes(2, "big")))

    def abandon(self) -> None:
        """Close the connection without a handshake. Nothing more is reported."""
        self._on_end = None
        self._on_message = _ignore
        self.stream.close()

    def _receive(self, data: bytes) -> None:
        if self._responses is not None:
            responses = self._responses.feed(data)
            if not responses:
                return
            if responses[0].status != 101:
                self.refusal = responses[0]
                self.stream.close()
                self._ended()
                return
            if responses[0].headers.get("sec-websocket-accept") != websocket_accept():
                raise RemoteProtocolError("wrong Sec-WebSocket-Accept")
            data = self._responses.rest()
            self._responses = None
            if self._on_open is not None:
                self._on_open()
        for opcode, payload in self._frames.feed(data):
            self._frame(opcode, payload)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._on_message(payload.decode())
        elif opcode == BINARY:
            self._on_message(payload)
        elif opcode == PING:
            self.stream.write(masked_frame(PONG, payload))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            if not self._close_sent:
                self._close_sent = True
                self.stream.write(masked_frame(CLOSE, payload[:2]))

    def _ended(self) -> None:
        # TCP is the server's to close first (RFC 6455, section 7.1.1); then there is nothing to keep.
        self.stream.close()
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()


def _ignore(_: str | bytes) -> None:
    """Nobody listens any more."""
