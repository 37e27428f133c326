"""What a client makes of servers that break the protocol: one end with a sentence, and never an exception."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.utilities import generate_accept_token

from siocore.client_events import ClientMessageReceived, ClientSessionClosed
from siocore.client_options import EngineClientOptions
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.options import Limits
from siocore.target import Target
from siocore.testing import AppClient, ScriptedServer
from siocore.testing.network import Stream

TARGET = Target(host="example.test", port=80, secure=False)
OPEN = b'0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}'


def answer(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def frame(payload: bytes, opcode: int = 1) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


class Server:
    """Answers the n-th request with the n-th of ``answers``, then never again. Keeps the requests."""

    def __init__(self, *answers: bytes, then_eof: bool = False) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.then_eof = then_eof
        self.scripted = ScriptedServer(self._connected)
        self.protocol = EngineClientProtocol()
        self.client: AppClient = self.scripted.attach(self.protocol)

    def _connected(self, stream: Stream) -> None:
        stream.on_data = lambda data: self._received(stream, data)

    def _received(self, stream: Stream, data: bytes) -> None:
        self.requests.append(data)
        if self.answers:
            reply = self.answers.pop(0)
            if b"Sec-WebSocket-Key: " in data:
                key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
                reply = reply.replace(b"ACCEPT", generate_accept_token(key))
            stream.write(reply)
            if self.then_eof:
                stream.write_eof()

    def run(self, seconds: float = 0.0, **options: Any) -> list[ClientSessionClosed]:
        self.session = self.protocol.open_session(TARGET, EngineClientOptions(**options))
        self.client.advance(seconds)
        return self.ended

    @property
    def ended(self) -> list[ClientSessionClosed]:
        return [event for event in self.client.events if isinstance(event, ClientSessionClosed)]

    @property
    def messages(self) -> list[str | bytes]:
        return [event.data for event in self.client.events if isinstance(event, ClientMessageReceived)]


SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ACCEPT\r\n\r\n"
)

BAD_OPENS: dict[str, tuple[bytes, str]] = {
    "no packet": (b"", "parse error"),
    "not OPEN": (b"4hello", "first packet is not OPEN"),
    "binary first": (b"bAAAA", "first packet is not OPEN"),
    "not JSON": (b"0nonsense", "not JSON"),
    "an array": (b"0[]", "not a JSON object"),
    "deep": (b"0" + b"[" * 90_000, "not JSON"),
    "huge": (b"0" + b" " * 200_000, "too large"),
    "no sid": (b"0{}", "no session id"),
    "empty sid": (b'0{"sid":"","upgrades":[],"pingInterval":1,"pingTimeout":1}', "no session id"),
    "sid a number": (b'0{"sid":1,"upgrades":[],"pingInterval":1,"pingTimeout":1}', "no session id"),
    "sid with line feeds": (b'0{"sid":"a\\r\\nb","upgrades":[],"pingInterval":1,"pingTimeout":1}', "no session id"),
    "upgrades a string": (b'0{"sid":"a","upgrades":"x","pingInterval":1,"pingTimeout":1}', "upgrades"),
    "no interval": (b'0{"sid":"a","upgrades":[]}', "pingInterval"),
    "interval 0": (b'0{"sid":"a","upgrades":[],"pingInterval":0,"pingTimeout":1}', "pingInterval"),
    "interval true": (b'0{"sid":"a","upgrades":[],"pingInterval":true,"pingTimeout":1}', "pingInterval"),
    "interval NaN": (b'0{"sid":"a","upgrades":[],"pingInterval":NaN,"pingTimeout":1}', "not JSON"),
    "interval huge": (b'0{"sid":"a","upgrades":[],"pingInterval":1e400,"pingTimeout":1}', "pingInterval"),
    "interval endless": (b'0{"sid":"a","pingInterval":' + b"9" * 5000 + b',"pingTimeout":1}', "JSON"),
    "timeout negative": (b'0{"sid":"a","upgrades":[],"pingInterval":1,"pingTimeout":-1}', "pingTimeout"),
    "maxPayload 0": (b'0{"sid":"a","pingInterval":1,"pingTimeout":1,"maxPayload":0}', "maxPayload"),
    "maxPayload text": (b'0{"sid":"a","pingInterval":1,"pingTimeout":1,"maxPayload":"1"}', "maxPayload"),
    "not UTF-8": (b'0{"sid":"\xff"}', ""),
    "unknown type": (b"9", ""),
}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", BAD_OPENS)
def test_a_bad_open_packet_is_a_connect_error_with_a_sentence(transport: str, name: str) -> None:
    packet, words = BAD_OPENS[name]
    server = Server(answer(packet) if transport == "polling" else SWITCH + frame(packet))
    (event,) = server.run(transports=(transport,))
    assert event.reason in ("parse error", "transport error")
    assert event.error is not None
    assert event.error.transport
    assert len(str(event.error)) > 10
    if transport == "polling" or name != "no packet":
        assert words in f"{event.reason} {event.error}"
    assert not server.protocol.sessions
    server.client.advance(60)
    assert not server.protocol.connections
    assert server.protocol.timers.next_deadline() is None


BAD_ANSWERS: dict[str, tuple[bytes, str]] = {
    "redirect": (
        answer(b"", "302 Found", "Location: https://other.test/\r\n"),
        "redirects are not followed.*other.test",
    ),
    "not found": (answer(b"<h1>no</h1>", "404 Not Found"), "404.*path"),
    "code 5": (answer(b'{"code":5,"message":"Unsupported protocol version"}', "400 Bad Request"), "protocol='auto'"),
    "code 1": (answer(b'{"code":1,"message":"Session ID unknown"}', "400 Bad Request"), "code 1"),
    "code 4": (answer(b'{"code":4,"message":"nope"}', "403 Forbidden"), '403, code 4: "nope"'),
    "code a string": (answer(b'{"code":"1","message":"x"}', "400 Bad Request"), "code 1"),
    "a JSON string": (answer(b'"go away"', "401 Unauthorized"), "401: go away"),
    "control characters": (answer(b"\x1b[31mred\x00", "500 Oops"), r"500: \?\[31mred\?"),
    "garbage": (b"\x00\x01\x02\x03garbage\r\n\r\n", "."),
    "tls": (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", "middle"),
    "too short": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n4", "middle"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "."),
    "nothing": (b"", "."),
}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_to_the_handshake_is_a_connect_error_with_a_sentence(transport: str, name: str) -> None:
    data, words = BAD_ANSWERS[name]
    server = Server(data, then_eof=True)
    (event,) = server.run(seconds=30, transports=(transport,))
    assert event.reason in ("transport error", "transport close")
    assert event.error is not None
    assert re.search(words, str(event.error), re.DOTALL), str(event.error)
    server.client.advance(60)
    assert not server.protocol.connections
    assert server.protocol.timers.next_deadline() is None


def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    server = Server()
    assert server.run(seconds=19.9) == []
    server.client.advance(0.2)
    (event,) = server.ended
    assert "20 s" in str(event.error)
    assert not server.protocol.connections


BAD_PACKETS: dict[str, tuple[bytes, str]] = {
    "second OPEN": (OPEN, "parse error"),
    "unknown type": (b"9", "parse error"),
    "bad base64": (b"b!!", "parse error"),
    "CLOSE": (b"1", "transport close"),
}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", BAD_PACKETS)
def test_a_bad_packet_ends_the_session_behind_the_good_ones(transport: str, name: str) -> None:
    packet, reason = BAD_PACKETS[name]
    if transport == "polling":
        server = Server(answer(OPEN + b"\x1e4one"), answer(b"4two\x1e6\x1e5\x1e3\x1e" + packet + b"\x1e4three"))
    else:
        packets = (OPEN, b"4one", b"4two", b"6", b"5", b"3", packet, b"4three")
        server = Server(SWITCH + b"".join(map(frame, packets)))
    (event,) = server.run(transports=(transport,))
    assert server.messages == ["one", "two"]
    assert event.reason == reason
    assert event.error is None
    assert event.detail


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Oops", "302 Found"])
def test_an_error_later_on_is_a_transport_error(status: str) -> None:
    server = Server(answer(OPEN), answer(b'{"code":1,"message":"Session ID unknown"}', status))
    (event,) = server.run(transports=("polling",))
    assert event.reason == "transport error"
    assert status[:3] in event.detail


def test_pings_that_nobody_answers_in_time_do_not_fill_memory() -> None:
    server = Server(SWITCH + frame(OPEN))
    server.run(transports=("websocket",), limits=Limits(max_payload=1_000_000, max_buffered=1_000))
    link = server.client.links[0]
    link.to_server.window = 0
    stream = server.scripted.streams[0]
    for _ in range(100):
        stream.write(frame(b"2") * 1_000)
        server.client.settle()
    assert server.session.open
    assert server.session.buffered < 2_000 + 8 * 1_000


def test_an_answer_that_is_too_large_names_the_limit() -> None:
    server = Server(answer(OPEN), answer(b"4" + b"x" * 2_000))
    (event,) = server.run(transports=("polling",), limits=Limits(max_payload=1_000))
    assert event.reason == "transport error"
    assert "max_payload" in event.detail


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(OPEN, SWITCH, answer(OPEN), answer(b"4x"), answer(b"6"), frame(OPEN), frame(b"4x"), frame(b"2")),
            *(frame(b"3probe"), frame(b"\x03\xe8", 8), frame(b"", 9), b"\r\n"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    transport=st.sampled_from([("polling",), ("websocket",), ("polling", "websocket")]),
    pieces=st.lists(PIECES, max_size=8),
    revision=st.sampled_from([4, 3, "auto"]),
    eof=st.booleans(),
)
def test_no_bytes_of_a_server_raise_and_the_session_ends_at_most_once(
    transport: tuple[str, ...], pieces: list[bytes], revision: int | str, eof: bool
) -> None:
    server = Server(*pieces, then_eof=False)
    server.run(transports=transport, protocol=revision)
    for piece in pieces:
        for stream in list(server.scripted.streams):
            stream.write(piece)
        server.client.settle()
    if eof:
        for stream in server.scripted.streams:
            stream.write_eof()
    server.client.advance(200)
    assert len(server.ended) <= 1
    server.session.close()
    server.client.advance(30)
    assert len(server.ended) == 1
    assert not server.protocol.sessions
    assert not server.protocol.connections
    assert server.protocol.timers.next_deadline() is None
    server.client.close()
