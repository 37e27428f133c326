"""An ASGI application hosted by a server on virtual time, and a client whose answers h11 reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import h11

from siocore import Limits, Server
from siocore._driver.hosting import ASGIApplication, Hosting, Message, Receive, Scope, Send
from siocore.testing import TestServer

__all__ = ["Answer", "Client", "HostedApp", "answer", "read_body", "start"]

DATE = b"Thu, 01 Jan 1970 00:00:00 GMT"


class HostedApp:
    """A Socket.IO server with an application beside it."""

    def __init__(
        self, app: ASGIApplication, *, limits: Limits | None = None, root_path: str = "", max_body: int | None = None
    ) -> None:
        self.io = Server(limits=Limits() if limits is None else limits)
        self.server = TestServer(self.io)
        self.state: dict[str, Any] = {}
        self.io.protocol.hosting = Hosting(
            app, state=self.state, root_path=root_path, max_body=max_body, wall_clock=lambda: 0.5
        )

    def client(self, **options: Any) -> Client:
        return Client(self.server, **options)


class Answer:
    """What h11 made of one answer. ``complete`` is false if it broke off."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""
        self.complete = False

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, self.headers
        return values[0] if values else None

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.headers} {self.body[:100]!r} complete={self.complete}>"


class Client:
    """One connection."""

    def __init__(self, server: TestServer, *, segment: int | None = None, window: float | None = None) -> None:
        self.server = server
        self.stream = server.connect()
        if segment is not None:
            self.stream.link.to_server.segment = segment
        if window is not None:
            self.stream.link.to_client.window = window

    def send(self, data: bytes) -> None:
        self.stream.write(data)
        self.server.settle()

    @property
    def received(self) -> bytes:
        return bytes(self.stream.received)

    @property
    def ended(self) -> bool:
        return self.stream.eof or self.stream.closed

    def answers(self, *methods: str) -> list[Answer]:
        """What came, for requests with these methods (default: one GET)."""
        found = []
        rest = self.received
        for method in methods or ("GET",):
            client = h11.Connection(h11.CLIENT)
            client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
            client.send(h11.EndOfMessage())
            client.receive_data(rest)
            if self.ended:
                client.receive_data(b"")
            event = client.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = client.next_event()
            if not isinstance(event, h11.Response):
                break
            answer = Answer(event.status_code, event.headers.raw_items())
            found.append(answer)
            try:
                while isinstance(event := client.next_event(), h11.Data):
                    answer.body += event.data
            except h11.RemoteProtocolError:
                break
            answer.complete = isinstance(event, h11.EndOfMessage)
            rest = client.trailing_data[0]
        else:
            assert rest == b"", rest
        return found

    def answer(self, method: str = "GET") -> Answer:
        answers = self.answers(method)
        assert answers, self.received
        return answers[0]


async def read_body(receive: Receive) -> list[bytes]:
    """The pieces of a body."""
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        pieces.append(message["body"])
        if not message["more_body"]:
            return pieces


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def piece(body: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def answer(
    body: bytes = b"hello", status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An application with one answer to everything."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(status, *headers))
        await send(piece(body))

    return app
