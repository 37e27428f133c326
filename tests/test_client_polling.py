"""Long-polling of a client: what its requests look like, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from siocore import EngineServer
from siocore.client_events import ClientMessageReceived, ClientSessionClosed
from siocore.client_options import CLIENT_LIMITS, EngineClientOptions
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.engineio.client_session import ClientSession
from siocore.engineio.session import Session
from siocore.errors import BufferFull, LocalProtocolError
from siocore.options import Limits
from siocore.target import Target
from siocore.testing import AppClient, ScriptedServer, TestServer
from siocore.testing.network import Stream

TARGET = Target(host="example.test", port=8080, secure=False)
OPEN = b'0{"sid":"a+b","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}'


def answer(body: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


class Request:
    """One request, as a server sees it."""

    def __init__(self, stream: Stream, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = dict(line.split(": ", 1) for line in lines[1:])
        self.query = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        self.stream = stream

    def answer(self, body: bytes, extra: str = "") -> None:
        self.stream.write(answer(body, extra))


class Bench:
    """A client whose requests the test answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.server = ScriptedServer(self._connected)
        self.protocol = EngineClientProtocol()
        self.client: AppClient = self.server.attach(self.protocol)

    def _connected(self, stream: Stream) -> None:
        stream.on_data = lambda data: self.requests.append(Request(stream, data))

    def begin(self, **options: Any) -> ClientSession:
        options = {"transports": ("polling",), **options}
        session = self.protocol.open_session(TARGET, EngineClientOptions(**options))
        self.client.settle()
        return session

    def open(self, **options: Any) -> ClientSession:
        session = self.begin(**options)
        self.take().answer(OPEN)
        self.client.settle()
        assert session.open
        return session

    def take(self, method: str = "GET") -> Request:
        self.client.settle()
        for request in self.requests:
            if request.method == method:
                self.requests.remove(request)
                return request
        raise AssertionError(f"no {method} was made")

    @property
    def ended(self) -> list[ClientSessionClosed]:
        return [event for event in self.client.events if isinstance(event, ClientSessionClosed)]

    @property
    def messages(self) -> list[str | bytes]:
        return [event.data for event in self.client.events if isinstance(event, ClientMessageReceived)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.client.close()


def test_the_query_and_the_headers_of_requests(bench: Bench) -> None:
    session = bench.begin(
        query={"token": "a b&c"},
        headers={"X-Own": "1", "User-Agent": "mine"},
        transport_options={"polling": {"headers": {"X-Polling": "2"}, "query": {"p": "q"}}},
        force_base64=True,
    )
    handshake = bench.take()
    assert handshake.target.startswith("/engine.io/?token=a%20b%26c&p=q&EIO=4&transport=polling&t=")
    assert [name for name, _ in handshake.query] == ["token", "p", "EIO", "transport", "t", "b64"]
    assert handshake.headers["Host"] == "example.test:8080"
    assert handshake.headers["User-Agent"] == "mine"
    assert (handshake.headers["X-Own"], handshake.headers["X-Polling"]) == ("1", "2")
    assert "Origin" not in handshake.headers
    assert session.request.method == "GET"
    assert session.request.query["token"] == ["a b&c"]
    assert session.request.headers["x-own"] == "1"
    handshake.answer(OPEN)
    poll = bench.take()
    assert [name for name, _ in poll.query] == ["token", "p", "EIO", "transport", "sid", "t"]
    assert dict(poll.query)["sid"] == "a+b"
    assert "sid=a%2Bb" in poll.target
    stamps = {dict(each.query)["t"] for each in (handshake, poll)}
    assert len(stamps) == 2
    assert all(len(stamp) == 8 and stamp.isalnum() and stamp.islower() | stamp.isdigit() for stamp in stamps)


def test_timestamps_can_be_left_out_or_renamed(bench: Bench) -> None:
    bench.begin(timestamp_requests=False)
    assert "t" not in dict(bench.take().query)
    bench.begin(timestamp_param="ts")
    assert "ts" in dict(bench.take().query)


@pytest.mark.parametrize("headers", [{"A b": "c"}, {"A": "b\r\nC: d"}, {"A": "€"}, {"Host": "x"}, {"Upgrade": "h2c"}])
def test_headers_that_can_not_be_sent_are_refused_at_once(bench: Bench, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        bench.begin(headers=headers)
    assert not bench.protocol.sessions


def test_what_is_sent_within_one_turn_leaves_in_one_post_and_connections_are_used_again(bench: Bench) -> None:
    session = bench.open()
    session.send("one")
    session.send(b"\x00\x01")
    post = bench.take("POST")
    assert post.body == b"4one\x1ebAAE="
    assert post.headers["Content-Type"] == "text/plain;charset=UTF-8"
    session.send("two")
    bench.client.settle()
    assert [each.method for each in bench.requests] == ["GET"]
    post.answer(b"ok")
    second = bench.take("POST")
    assert second.body == b"4two"
    assert second.stream is post.stream
    assert len(bench.server.streams) == 2


def test_payloads_are_split_by_what_the_server_takes(bench: Bench) -> None:
    session = bench.open()
    for size in (40, 57, 40, 58, 500, 1):
        session.send("x" * size)
    sizes = []
    for _ in range(5):
        post = bench.take("POST")
        sizes.append([len(packet) - 1 for packet in post.body.split(b"\x1e")])
        assert len(post.body) <= 100 or len(sizes[-1]) == 1
        post.answer(b"ok")
    bench.client.settle()
    # 1 + 40 + 2 + 57 is the 100 that the server allows, and one byte more is too much.
    assert sizes == [[40, 57], [40], [58], [500], [1]]
    assert session.buffered == 0


def test_a_connection_that_has_rested_is_not_used_for_a_post(bench: Bench) -> None:
    session = bench.open()
    session.send("one")
    first = bench.take("POST")
    first.answer(b"ok")
    bench.client.advance(4)
    session.send("two")
    second = bench.take("POST")
    assert second.stream is not first.stream


def test_a_get_is_never_made_again(bench: Bench) -> None:
    """What looks unanswered may have been answered, with packets that are nowhere else."""
    bench.open()
    bench.take().stream.write_eof()
    bench.client.settle()
    assert [event.reason for event in bench.ended] == ["transport error"]
    assert not bench.requests


def test_a_get_whose_answer_had_begun_is_not_made_again(bench: Bench) -> None:
    bench.open()
    poll = bench.take()
    poll.stream.write(b"HTTP/1.1 200")
    poll.stream.write_eof()
    bench.client.settle()
    assert "middle" in bench.ended[0].detail


def test_a_get_whose_connection_was_reset_is_not_made_again(bench: Bench) -> None:
    bench.open()
    bench.take().stream.reset()
    bench.client.settle()
    assert [event.reason for event in bench.ended] == ["transport error"]


def test_a_post_is_never_made_again(bench: Bench) -> None:
    session = bench.open()
    session.send("one")
    bench.take("POST").answer(b"ok")
    bench.client.settle()
    session.send("two")
    bench.take("POST").stream.write_eof()
    bench.client.settle()
    assert [event.reason for event in bench.ended] == ["transport error"]
    assert not [each for each in bench.requests if each.method == "POST"]


def test_answers_that_close_their_connections(bench: Bench) -> None:
    session = bench.begin()
    bench.take().answer(OPEN, "Connection: close\r\n")
    for number in range(3):
        bench.take().answer(b"4%d" % number, "Connection: close\r\n")
    assert bench.take() is not None
    assert bench.messages == ["0", "1", "2"]
    assert session.open


def test_a_request_that_takes_too_long(bench: Bench) -> None:
    bench.open(request_timeout=5.0)
    bench.take()
    bench.client.advance(5.1)
    (event,) = bench.ended
    assert event.reason == "transport error"
    assert "GET within 5 s" in event.detail


def test_close_over_polling_waits_for_the_post_and_then_for_nothing(bench: Bench) -> None:
    session = bench.open()
    session.send("one")
    first = bench.take("POST")
    session.send("two")
    session.close()
    assert session.buffered
    assert not bench.ended
    first.answer(b"ok")
    last = bench.take("POST")
    assert last.body == b"4two\x1e1"
    assert not bench.ended
    last.answer(b"ok")
    bench.client.settle()
    assert [event.reason for event in bench.ended] == ["forced close"]
    bench.client.advance(10)
    assert not bench.protocol.connections


def test_close_over_polling_has_its_time(bench: Bench) -> None:
    session = bench.open()
    session.close()
    bench.take("POST")
    bench.client.advance(4.9)
    assert not bench.ended
    bench.client.advance(0.2)
    assert [event.reason for event in bench.ended] == ["forced close"]


def test_what_waits_is_bounded_and_a_large_message_alone_is_let_through(bench: Bench) -> None:
    session = bench.open(limits=Limits(max_buffered=1_000))
    session.send("x" * 5_000)
    with pytest.raises(BufferFull, match="max_buffered"):
        session.send("y")
    post = bench.take("POST")
    with pytest.raises(BufferFull):
        session.send("y")
    post.answer(b"ok")
    bench.client.settle()
    session.send("y" * 900)
    session.send("z" * 50)
    with pytest.raises(BufferFull):
        session.send("z" * 50)


def test_text_that_can_not_be_sent_is_refused(bench: Bench) -> None:
    session = bench.open()
    with pytest.raises(LocalProtocolError, match=r"U\+001E"):
        session.send("a\x1eb")


def test_cookies_go_back_with_every_request(bench: Bench) -> None:
    kept: list[tuple[str, list[str]]] = []

    class Store:
        def header(self, url: str) -> str | None:
            return "; ".join(cookie.partition(";")[0] for _, cookies in kept for cookie in cookies) or None

        def store(self, url: str, set_cookie: Any) -> None:
            kept.append((url, list(set_cookie)))

    session = bench.begin(cookies=Store(), headers={"cookie": "own=1"})
    handshake = bench.take()
    assert handshake.headers["cookie"] == "own=1"
    handshake.answer(OPEN, "Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n")
    assert bench.take().headers["Cookie"] == "own=1; a=b; c=d"
    session.send("x")
    assert bench.take("POST").headers["Cookie"] == "own=1; a=b; c=d"
    assert kept == [("http://example.test:8080/engine.io/", ["a=b; Path=/", "c=d"])]


def test_a_paused_session_makes_no_get_and_goes_on_when_it_is_resumed(bench: Bench) -> None:
    session = bench.open()
    poll = bench.take()
    session.pause()
    poll.answer(b"4one")
    bench.client.settle()
    assert bench.messages == ["one"]
    assert not bench.requests
    session.resume()
    assert bench.take().method == "GET"


def test_large_messages_both_ways_with_our_server() -> None:
    engine = EngineServer()
    sizes: list[int] = []

    @engine.on("message")
    def echo(session: Session, data: str | bytes) -> None:
        sizes.append(len(data))
        session.send(data)

    server = TestServer(engine)
    protocol = EngineClientProtocol()
    client = server.attach(protocol)
    session = protocol.open_session(TARGET, EngineClientOptions(transports=("polling",), limits=CLIENT_LIMITS))
    server.settle()
    for size in (600_000, 300_000):
        session.send(b"\x00" * size)
        server.settle()
    assert sizes == [600_000, 300_000]
    client.close()
    server.close()
