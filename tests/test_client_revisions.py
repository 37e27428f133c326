"""Which revision of Engine.IO a client speaks, and with which servers; and compression."""

from __future__ import annotations

from typing import Any

import pytest
from wsproto.utilities import generate_accept_token

from client_pairs import TARGET, Pair
from siocore.client_events import ClientMessageReceived, ClientSessionClosed
from siocore.client_options import EngineClientOptions
from siocore.codec.engineio3 import frame_text
from siocore.codec.message import TextMessage
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.engineio.client_session import ClientSession
from siocore.testing import AppClient, ScriptedServer
from siocore.testing.network import Stream

OPEN = b'0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":60000}'
UNSUPPORTED = b'{"code":5,"message":"Unsupported protocol version"}'


def answer(status: str, body: bytes, kind: str = "text/plain") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class OldServer:
    """Answers handshakes as servers of Socket.IO 1 and 2 do, or those of 3 and 4 for which 3 is too old."""

    def __init__(self, to_revision_4: bytes) -> None:
        self.to_revision_4 = to_revision_4
        self.asked: list[str] = []
        self.server = ScriptedServer(self._connected)
        self.protocol = EngineClientProtocol()
        self.client: AppClient = self.server.attach(self.protocol)

    def _connected(self, stream: Stream) -> None:
        stream.on_data = lambda data: self._received(stream, data.decode())

    def _received(self, stream: Stream, request: str) -> None:
        if "sid=" in request:
            return
        revision = request.partition("EIO=")[2][0]
        self.asked.append(revision)
        old = b"%d:%b2:40" % (len(OPEN), OPEN)
        stream.write(self.to_revision_4 if revision == "4" else answer("200 OK", old))


@pytest.mark.parametrize(
    "to_revision_4",
    [
        pytest.param(answer("400 Bad Request", UNSUPPORTED, "application/json"), id="says so"),
        pytest.param(answer("400 Bad Request", b"Unsupported protocol version"), id="says so in plain text"),
        pytest.param(answer("200 OK", b"%d:%b2:40" % (len(OPEN), OPEN)), id="does not look"),
        pytest.param(answer("200 OK", frame_text(OPEN), "application/octet-stream"), id="does not look, bytes"),
    ],
)
def test_auto_falls_back_to_revision_3_within_one_session_and_remembers_it(to_revision_4: bytes) -> None:
    old = OldServer(to_revision_4)
    session = old.protocol.open_session(TARGET, EngineClientOptions(protocol="auto", transports=("polling",)))
    old.client.settle()
    assert session.open
    assert session.revision == 3
    assert session.sid == "abc"
    assert not [event for event in old.client.events if isinstance(event, ClientSessionClosed)]
    again = old.protocol.open_session(TARGET, EngineClientOptions(protocol="auto", transports=("polling",)))
    old.client.settle()
    assert again.open
    assert old.asked == ["4", "3", "3"]
    strict = old.protocol.open_session(TARGET, EngineClientOptions(transports=("polling",)))
    old.client.settle()
    (event,) = [event for event in old.client.events if isinstance(event, ClientSessionClosed)]
    assert event.session is strict
    assert "'auto'" in str(event.error)
    old.client.close()


def test_auto_falls_back_once_only() -> None:
    old = OldServer(b"")
    old._received = lambda stream, request: stream.write(  # type: ignore[method-assign]
        answer("400 Bad Request", UNSUPPORTED)
    )
    session = old.protocol.open_session(TARGET, EngineClientOptions(protocol="auto", transports=("polling",)))
    old.client.settle()
    assert session.closed
    (event,) = old.client.events
    assert event.error.status == 400
    old.client.close()


def test_auto_speaks_revision_4_where_it_can() -> None:
    pair = Pair(allow_eio3=True)
    assert pair.open(protocol="auto").revision == 4
    pair.close()


def test_a_server_without_revision_3_refuses_it_over_either_transport() -> None:
    pair = Pair()
    for transport in ("polling", "websocket"):
        pair.open(protocol=3, transports=(transport,))
    errors = [str(event.error) for event in pair.events(ClientSessionClosed)]
    assert len(errors) == 2
    assert all("Unsupported protocol version" in error for error in errors)
    pair.close()


@pytest.mark.parametrize("options", [{"transports": ("websocket",)}, {}])
def test_compression_is_offered_if_asked_for_and_left_out_where_a_message_says_so(options: dict[str, Any]) -> None:
    pair = Pair(per_message_deflate=True)
    session = pair.open(per_message_deflate=True, **options)
    text = "compress me " * 1_000
    link = pair.client.links[-1]
    before = link.to_server.delivered
    session.send(text)
    session.send(b"\x00" * 5_000)
    pair.server.settle()
    assert pair.messages == [text, b"\x00" * 5_000]
    assert link.to_server.delivered - before < 1_000
    plain = TextMessage(text.encode(), [])
    plain.compress = False
    before = link.to_server.delivered
    session.send_outgoing(plain)
    pair.server.settle()
    assert link.to_server.delivered - before > len(text)
    pair.close()


class Upgrading:
    """A server that accepts every WebSocket, and says ``words`` on it."""

    def __init__(self, *words: bytes) -> None:
        self.words = list(words)
        self.requests: list[str] = []
        self.server = ScriptedServer(self._connected)
        self.protocol = EngineClientProtocol()
        self.client: AppClient = self.server.attach(self.protocol)

    def _connected(self, stream: Stream) -> None:
        stream.on_data = lambda data: self._received(stream, data)

    def _received(self, stream: Stream, data: bytes) -> None:
        if data.startswith(b"GET "):
            self.requests.append(data.decode().split(" ")[1])
            key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = generate_accept_token(key).decode()
            head = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            stream.write(b"HTTP/1.1 101 Switching Protocols\r\n" + head.encode() + self.words.pop(0))

    def open(self, **options: Any) -> ClientSession:
        session = self.protocol.open_session(TARGET, EngineClientOptions(transports=("websocket",), **options))
        self.client.settle()
        return session

    @property
    def ended(self) -> list[ClientSessionClosed]:
        return [event for event in self.client.events if isinstance(event, ClientSessionClosed)]


def text_frames(*payloads: bytes) -> bytes:
    return b"".join(bytes((0x81, len(payload))) + payload for payload in payloads)


def test_a_refusal_behind_the_101_is_told_as_what_it_is() -> None:
    server = Upgrading(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 28\r\n\r\nUnsupported protocol version")
    assert server.open(protocol=3).closed
    (event,) = server.ended
    assert event.error is not None
    assert event.error.status == 400
    assert "Unsupported protocol version" in str(event.error)
    server.client.close()


def test_auto_over_websocket_finds_an_old_server_by_its_unasked_connect() -> None:
    server = Upgrading(*[text_frames(OPEN, b"40")] * 3)
    assert server.open(protocol="auto").closed
    assert [(event.reason, event.error) for event in server.ended] == [("parse error", None)]
    second = server.open(protocol="auto")
    assert second.open
    assert second.revision == 3
    assert [request.partition("EIO=")[2][0] for request in server.requests] == ["4", "3"]
    server.client.close()


def test_auto_over_websocket_takes_a_server_without_max_payload_for_what_it_says() -> None:
    server = Upgrading(text_frames(OPEN, b'40{"sid":"x"}', b"40", b"2"))
    session = server.open(protocol="auto")
    assert session.open
    messages = [event.data for event in server.client.events if isinstance(event, ClientMessageReceived)]
    assert messages == ['0{"sid":"x"}', "0"]
    session.close()
    server.client.advance(10)
    assert [event.reason for event in server.ended] == ["forced close"]
    server.client.close()
