"""Hostile input at the paths of a hosted application: it never hears of it, and nothing grows or waits for ever."""

from __future__ import annotations

import pytest

from hosted import HostedApp, answer, piece, read_body, start
from http_corpus import BAD_BODIES, BAD_REQUESTS, LIMITS
from siocore import Limits
from siocore._driver.hosting import Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

#: What is too large or encoded for our own paths is a hosted application's to judge.
FOR_THE_APPLICATION = {
    "Content-Length of a byte too many",
    "compressed body",
    "compressed chunked body",
    "second coding of the body",
}
ENDLESS = {"chunk of a byte too many", "chunks of a byte too many", "endless chunk", "one chunk too many"}


class Recorder:
    """An application that reads every body, and writes down what it was called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ends: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(scope["method"])
        while True:
            message = await receive()
            if message["type"] == "http.disconnect" or not message["more_body"]:
                break
        self.ends.append(message["type"])
        if message["type"] == "http.request":
            await answer()(scope, receive, send)


@pytest.mark.parametrize("segment", [None, 1])
@pytest.mark.parametrize("name", sorted(BAD_REQUESTS.keys() - FOR_THE_APPLICATION))
def test_a_bad_head_is_refused_before_the_application(name: str, segment: int | None) -> None:
    status, request = BAD_REQUESTS[name]
    app = Recorder()
    client = HostedApp(app, limits=LIMITS).client(segment=segment)
    client.send(request)
    if segment is None or not client.ended:
        client.server.advance(60)
    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert client.ended
    assert app.calls == []


@pytest.mark.parametrize("name", sorted(FOR_THE_APPLICATION))
def test_bodies_that_are_not_for_us_reach_the_application(name: str) -> None:
    app = Recorder()
    client = HostedApp(app, limits=LIMITS).client()
    client.send(BAD_REQUESTS[name][1])
    assert client.answer("POST").status == 200
    assert app.ends == ["http.request"]


@pytest.mark.parametrize("segment", [None, 1])
@pytest.mark.parametrize("name", sorted(BAD_BODIES.keys() - ENDLESS))
def test_a_bad_chunk_is_a_400_and_a_disconnect(name: str, segment: int | None) -> None:
    status, body = BAD_BODIES[name]
    app = Recorder()
    client = HostedApp(app, limits=LIMITS).client(segment=segment)
    client.send(CHUNKED + body)
    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert client.ended
    assert app.ends == ["http.disconnect"]


def test_a_bad_chunk_behind_the_beginning_of_an_answer_breaks_it_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(piece(b"a", more=True))
        assert (await receive())["type"] == "http.disconnect"

    client = HostedApp(app).client()
    client.send(CHUNKED + b"1\r\nx\r\n")
    client.send(b"nonsense\r\n" + GET)
    assert client.received.count(b"HTTP/1.1") == 1
    assert not client.answer("POST").complete
    assert client.stream.closed


def test_one_byte_chunks_are_limited_and_large_ones_are_not() -> None:
    limits = Limits(max_chunks=100)
    bomb, large = Recorder(), Recorder()
    client = HostedApp(bomb, limits=limits).client(segment=60)
    client.send(CHUNKED + b"1\r\nx\r\n" * 1_000)
    assert client.received.startswith(b"HTTP/1.1 400 ")
    assert bomb.ends == ["http.disconnect"]
    client = HostedApp(large, limits=limits).client(segment=1_000)
    client.send(CHUNKED + (b"14\r\n" + b"x" * 20 + b"\r\n") * 2_000 + b"0\r\n\r\n")
    assert client.answer("POST").status == 200


@pytest.mark.parametrize(
    ("request_bytes", "before"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 0),
        (CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 1),
    ],
)
def test_max_body_is_a_413(request_bytes: bytes, before: int) -> None:
    ends = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            ends.append(message["more_body"])
        ends.append(message["type"])

    client = HostedApp(app, max_body=1_000).client()
    client.send(request_bytes)
    refused = client.answer("POST")
    assert (refused.status, refused.header(b"connection"), client.ended) == (413, b"close", True)
    assert ends == ["http.disconnect"]


def test_a_body_of_max_body_is_taken() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = sum(map(len, await read_body(receive)))
        await send(start())
        await send(piece(b"%d" % size))

    client = HostedApp(app, max_body=1_000).client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + bytes(1_000))
    client.send(CHUNKED + b"3e8\r\n" + bytes(1_000) + b"\r\n0\r\n\r\n")
    assert [each.body for each in client.answers("POST", "POST")] == [b"1000", b"1000"]


def test_a_flood_of_pipelined_requests_is_not_read_while_one_waits() -> None:
    app_calls = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        app_calls.append(1)
        await receive()
        await receive()

    hosted = HostedApp(app)
    client = hosted.client(segment=10_000)
    client.send(GET * 100_000)
    assert len(app_calls) == 1
    assert client.stream.link.to_server.delivered <= 30_000
    client.stream.reset()
    hosted.server.settle()
    assert hosted.server.running == 0
    assert hosted.server.protocol.connections == set()


# --- slow senders ----------------------------------------------------------------------------------------------------


def drip(client_limits: Limits, head: bytes, rate: float, size: int, duration: float) -> tuple[Recorder, bytes, float]:
    """Send ``size`` bytes every ``1 / rate`` seconds; the application, the answer, and when the connection ended."""
    app = Recorder()
    hosted = HostedApp(app, limits=client_limits)
    client = hosted.client()
    client.send(head)
    while not client.ended and hosted.server.clock.now < duration:
        hosted.server.advance(1 / rate)
        client.send(b"x" * size)
    return app, client.received, hosted.server.clock.now


def test_a_head_that_drips_is_a_408() -> None:
    app, received, ended = drip(Limits(head_timeout=10), b"GET / HTTP/1.1\r\nX: ", 1, 1, 100)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert ended == pytest.approx(10, abs=1.5)
    assert app.calls == []


@pytest.mark.parametrize("size", [1, 300])
def test_a_body_that_drips_is_a_408(size: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"
    app, received, ended = drip(Limits(body_timeout=30, min_body_rate=500), head, 1, size, 1_000)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert app.ends == ["http.disconnect"]
    # Each byte earns a five-hundredth of a second.
    assert ended == pytest.approx(30 / (1 - size / 500), abs=2)


def test_a_body_that_comes_at_the_least_rate_may_take_long() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n"
    app, received, _ = drip(Limits(body_timeout=30, min_body_rate=500), head, 1, 600, 1_000)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert app.ends == ["http.request"]


def test_a_body_is_in_no_hurry_while_the_application_does_not_ask() -> None:
    hosted: HostedApp

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hosted.server.clock.sleep(1_000)
        await read_body(receive)
        await answer()(scope, receive, send)

    hosted = HostedApp(app, limits=Limits(body_timeout=30))
    client = hosted.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    hosted.server.advance(1_001)
    client.send(b"hello")
    assert client.answer("POST").status == 200


def test_a_slow_body_behind_the_beginning_of_an_answer_breaks_it_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"a", more=True))
        await receive()

    hosted = HostedApp(app, limits=Limits(body_timeout=30))
    client = hosted.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    hosted.server.advance(31)
    assert client.stream.closed
    assert not client.answer("POST").complete
    assert hosted.server.running == 0


def test_the_rest_of_a_body_that_is_read_for_nothing_has_a_deadline() -> None:
    hosted = HostedApp(answer(), limits=Limits(body_timeout=30))
    client = hosted.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n")
    for _ in range(40):
        hosted.server.advance(1)
        client.send(b"x")
    assert client.ended
    assert client.received.count(b"HTTP/1.1") == 1


def test_idle_connections_are_closed() -> None:
    hosted = HostedApp(answer(), limits=Limits(keep_alive_timeout=20))
    client = hosted.client()
    client.send(GET)
    hosted.server.advance(19.9)
    assert not client.ended
    hosted.server.advance(0.2)
    assert client.ended
    assert hosted.server.protocol.connections == set()
