"""HttpClient: answers of all kinds, faults of servers, limits. Oracles: HttpConnection, h11 as the server, gzip."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_answers import BAD_ANSWERS, CHUNKED, GOOD_ANSWERS, LIMITS, OK, SWITCH
from siocore.errors import LocalProtocolError
from siocore.http import BodyReceived, HttpConnection, RequestReceived
from siocore.http.client import Answer, HttpClient, excerpt
from siocore.options import Limits

HOST = [(b"Host", b"example.org")]


def asking(limits: Limits = LIMITS, method: str = "GET", body: bytes = b"") -> HttpClient:
    client = HttpClient(limits)
    client.request(method, "/socket.io/?EIO=4", HOST, body)
    client.output.clear()
    return client


def feed(client: HttpClient, data: bytes, size: int = 1_000_000) -> Answer | None:
    for start in range(0, len(data), size):
        client.receive_data(data[start : start + size])
    return client.next_answer()


# --- requests --------------------------------------------------------------------------------------------------------


def test_requests_are_what_a_server_reads() -> None:
    client, server = HttpClient(LIMITS), HttpConnection(LIMITS)
    for method, body in (("GET", b""), ("POST", b"4hello"), ("POST", b""), ("GET", b"")):
        client.request(method, "/socket.io/?EIO=4", [*HOST, (b"X-Own", b"yes")], body)
        assert not client.reusable
        server.receive_data(b"".join(client.output))
        client.output.clear()
        received, whole = server.next_event(), server.next_event()
        assert isinstance(received, RequestReceived)
        assert isinstance(whole, BodyReceived)
        assert (received.request.method, received.request.target, whole.body) == (method, "/socket.io/?EIO=4", body)
        assert received.request.headers["x-own"] == "yes"
        assert received.request.headers["accept-encoding"] == "gzip"
        server.respond(200, [(b"X-Answer", b"a"), (b"X-Answer", b"b")], b"ok" + body)
        answer = feed(client, b"".join(server.output), 1)
        server.output.clear()
        assert answer is not None
        assert (answer.status, answer.body) == (200, b"ok" + body)
        assert answer.headers["X-Answer"] == "a, b"
        assert answer.values(b"x-answer") == [b"a", b"b"]
        assert client.reusable
        assert client.failed is None


def test_the_encodings_that_are_accepted_can_be_chosen() -> None:
    client = HttpClient(LIMITS)
    client.request("GET", "/", [*HOST, (b"accept-encoding", b"identity")])
    assert b"".join(client.output).lower().count(b"accept-encoding") == 1


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", []),
        ("GET", "/", [*HOST, *HOST]),
        ("GET", "/ HTTP/1.1\r\nX: y", HOST),
        ("GET", "/a b", HOST),
        ("GET", "/€", HOST),
        ("G T", "/", HOST),
        ("HEAD", "/", HOST),
        ("GET", "/", [*HOST, (b"X", b"a\r\nY: b")]),
        ("GET", "/", [*HOST, (b"X", b"a\x00")]),
        ("GET", "/", [*HOST, (b"X Y", b"a")]),
        ("GET", "/", [*HOST, (b"Content-Length", b"5")]),
        ("GET", "/", [*HOST, (b"transfer-encoding", b"chunked")]),
        ("GET", "/", [*HOST, (b"Expect", b"100-continue")]),
    ],
)
def test_requests_that_can_not_be_sent_are_refused(
    method: str, target: str, headers: list[tuple[bytes, bytes]]
) -> None:
    client = HttpClient(LIMITS)
    with pytest.raises(LocalProtocolError):
        client.request(method, target, headers)
    assert client.output == []
    assert client.reusable


def test_one_request_at_a_time() -> None:
    client = asking()
    with pytest.raises(LocalProtocolError):
        client.request("GET", "/", HOST)
    client.receive_data(OK + b"Content-Length: 0\r\n\r\n")
    with pytest.raises(LocalProtocolError):
        client.request("GET", "/", HOST)  # the answer was not taken
    assert client.next_answer() is not None
    client.request("GET", "/", HOST)


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD_ANSWERS)
@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
def test_answers_are_read(name: str, size: int) -> None:
    data, status, body, reusable = GOOD_ANSWERS[name]
    client = asking()
    answer = feed(client, data, size)
    assert answer is not None
    assert (answer.status, answer.body) == (status, body)
    assert client.failed is None
    assert client.reusable == reusable
    assert client.next_answer() is None


@pytest.mark.parametrize("name", GOOD_ANSWERS)
def test_cut_answers_are_faults(name: str) -> None:
    data = GOOD_ANSWERS[name][0]
    for cut in range(len(data)):
        client = asking()
        assert feed(client, data[:cut]) is None
        assert client.begun == bool(cut)
        client.receive_eof()
        assert client.failed is not None
        assert client.next_answer() is None
        assert ("without an answer" in client.failed) == (not client.begun)


def test_body_may_end_with_the_connection() -> None:
    for head in (OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: close\r\n"):
        client = asking()
        assert feed(client, head + b"\r\nhel", 1) is None
        client.receive_data(b"lo")
        client.receive_eof()
        answer = client.next_answer()
        assert answer is not None
        assert answer.body == b"hello"
        assert not client.reusable
        assert client.failed is None


def test_the_end_of_an_idle_connection_is_no_fault() -> None:
    for client in (HttpClient(LIMITS), asking()):
        if not client.reusable:
            assert feed(client, OK + b"Content-Length: 0\r\n\r\n") is not None
        client.receive_eof()
        client.receive_eof()
        assert client.failed is None
        assert not client.reusable
        with pytest.raises(LocalProtocolError):
            client.request("GET", "/", HOST)


@pytest.mark.parametrize("rest", [b"x", b"\r\n", OK + b"Content-Length: 0\r\n\r\n"])
def test_what_nobody_asked_for_is_no_answer(rest: bytes) -> None:
    for together in (True, False):
        client = asking()
        client.receive_data(OK + b"Content-Length: 2\r\n\r\nok" + (rest if together else b""))
        if not together:
            client.receive_data(rest)
        answer = client.next_answer()
        assert answer is not None
        assert answer.body == b"ok"
        assert not client.reusable
        assert client.next_answer() is None


def test_a_body_where_none_may_be_is_not_the_next_answer() -> None:
    client = asking()
    smuggled = OK + b"Content-Length: 4\r\n\r\nevil"
    answer = feed(client, b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled))
    assert answer is not None
    assert answer.body == b""
    assert not client.reusable


def test_begun_is_of_the_request_under_way() -> None:
    client = asking()
    assert not client.begun
    assert feed(client, OK + b"Content-Length: 0\r\n\r\n") is not None
    client.request("GET", "/", HOST)
    client.receive_eof()
    assert not client.begun
    assert client.failed == "the server closed the connection without an answer"


# --- switching protocols ---------------------------------------------------------------------------------------------

_UPGRADE = [*HOST, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]


@pytest.mark.parametrize("size", [1, 1_000])
def test_what_follows_a_101_is_handed_over(size: int) -> None:
    client = HttpClient(LIMITS)
    client.request("GET", "/", _UPGRADE)
    answer = feed(client, SWITCH + b"\x81\x01a", size)
    assert answer is not None
    assert answer.status == 101
    assert client.switched
    assert not client.reusable
    assert client.trailing_data() == b"\x81\x01a"
    assert client.trailing_data() == b""
    client.receive_eof()
    assert client.failed is None


def test_a_101_may_follow_interim_answers() -> None:
    client = HttpClient(LIMITS)
    client.request("GET", "/", _UPGRADE)
    answer = feed(client, b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH)
    assert answer is not None
    assert client.switched


def test_an_upgrade_may_be_refused() -> None:
    client = HttpClient(LIMITS)
    client.request("GET", "/", _UPGRADE)
    answer = feed(client, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")
    assert answer is not None
    assert (answer.status, answer.body) == (403, b"nope")
    assert not client.switched


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_ANSWERS)
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_faults_of_servers_are_told_in_a_sentence(name: str, size: int) -> None:
    said, data = BAD_ANSWERS[name]
    client = asking()
    assert feed(client, data, size) is None
    assert client.failed is not None
    assert said in client.failed
    assert client.failed.isprintable()
    assert not client.reusable
    client.receive_data(OK)
    client.receive_eof()
    assert client.next_answer() is None


@pytest.mark.parametrize("size", [1, 100_000])
def test_the_largest_head_passes_and_one_more_byte_does_not(size: int) -> None:
    rest = b"\r\nContent-Length: 0\r\n\r\n"
    fits = OK + b"X: " + b"x" * (2_000 - len(OK) - 3 - len(rest)) + rest
    client = asking()
    assert feed(client, fits, size) is not None
    client = asking()
    assert feed(client, fits.replace(b"X: ", b"X: x"), size) is None
    assert client.failed == "the head of the server's answer has more than max_head=2000 bytes"


def test_a_large_gzip_answer_costs_what_may_be_kept() -> None:
    limits = Limits(max_payload=100_000)
    packed = gzip.compress(bytes(50_000_000), 1)
    client = asking(limits)
    client.receive_data(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
    tracemalloc.start()
    try:
        client.receive_data(b"%x\r\n%s\r\n" % (len(packed), packed))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.failed is not None
    assert peak < 3 * len(packed) + 400_000


def test_long_heads_may_come_byte_by_byte() -> None:
    client = asking(Limits())
    head = OK + b"X: " + b"a" * 16_000 + b"\r\nContent-Length: 0\r\n\r\n"
    answer = feed(client, head, 1)
    assert answer is not None
    assert len(answer.headers["x"]) == 16_000


# --- words for messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, b"<b>no</b>\r\n way", "status 403 (Forbidden): <b>no</b> way"),
        (404, b"", "status 404 (Not Found)"),
        (599, b"x", "status 599: x"),
        (500, b"\x1b[2J\x00\x9b\xff", "status 500 (Internal Server Error): [2J ��"),
        (400, b"x" * 5_000, "status 400 (Bad Request): " + "x" * 200 + "…"),
    ],
)
def test_answers_are_described(status: int, body: bytes, expected: str) -> None:
    client = asking(Limits())
    answer = feed(client, b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
    assert answer is not None
    assert answer.describe() == expected


@given(st.binary(max_size=100))
def test_excerpts_can_be_printed(data: bytes) -> None:
    assert excerpt(data).isprintable()


# --- any split -------------------------------------------------------------------------------------------------------

heads = st.sampled_from([b"", b"Connection: close\r\n", b"X: y\r\n" * 3, b"Content-Encoding: gzip\r\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    body = draw(st.one_of(st.binary(max_size=60), st.just(b"x" * 300)))
    head = draw(heads)
    if b"gzip" in head and draw(st.integers(0, 3)):
        body = gzip.compress(body)
    framing = draw(st.sampled_from(["length", "chunks", "eof"]))
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    if framing == "length":
        return interim + OK + head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if framing == "eof":
        return interim + OK + head + b"\r\n" + body
    pieces = [body[at : at + 40] for at in range(0, len(body), 40)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return interim + OK + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


streams = st.tuples(
    st.one_of(answers(), st.sampled_from([data for _, data in BAD_ANSWERS.values() if len(data) < 400])),
    st.one_of(st.just(b""), st.binary(max_size=20)),
).map(b"".join)


def outcome(stream: bytes, cuts: list[int]) -> tuple[int | None, bytes, bool, bool]:
    client = asking()
    start = 0
    for end in [*sorted(cuts), len(stream)]:
        client.receive_data(stream[start:end])
        start = end
    client.receive_eof()
    answer = client.next_answer()
    if answer is None:
        return None, b"", client.failed is not None, client.reusable
    return answer.status, answer.body, client.failed is not None, client.reusable


@given(stream=streams, data=st.data())
def test_any_split_gives_the_same(stream: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))
    stream = stream[:cut]
    cuts = data.draw(st.one_of(st.lists(st.integers(0, len(stream)), max_size=6), st.just(list(range(len(stream))))))
    assert outcome(stream, cuts) == outcome(stream, [])


@given(stream=answers())
def test_answers_are_what_h11_reads(stream: bytes) -> None:
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="GET", target="/", headers=HOST))
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(stream)
    oracle.receive_data(b"")
    body, squeezed_body, status = b"", False, None
    while not isinstance(event := oracle.next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
        if isinstance(event, h11.Response):
            status = event.status_code
            squeezed_body = any(name == b"content-encoding" for name, _ in event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
    if squeezed_body and body:
        inflater = zlib.decompressobj(31)
        try:
            body = inflater.decompress(body)
        except zlib.error:
            status = None
        if not inflater.eof or inflater.unused_data:
            status = None
    found, content, failed, _ = outcome(stream, [])
    assert found == status
    assert failed == (status is None)
    if status is not None:
        assert content == body


@given(stream=st.one_of(streams, st.binary(max_size=200)), size=st.integers(1, 50))
def test_nothing_that_a_server_sends_raises(stream: bytes, size: int) -> None:
    client = asking()
    feed(client, stream, size)
    client.receive_eof()
    assert not client.reusable
