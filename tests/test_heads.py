"""Plain heads are recognised without h11, by either build, with the result that h11 has."""

from __future__ import annotations

import importlib
from types import ModuleType

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codec_builds import needs_compiled
from siocore.codec import heads as python_build
from siocore.codec.heads import CLOSE, KEEP, UNDECIDED
from siocore.http import BodyReceived, HttpConnection, HttpState, RequestReceived
from siocore.options import Limits

PLAIN = b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\nX-Blanks: \t b \tc \t\r\nX-Empty:\r\nAccept: */*\r\n\r\n"

NOT_PLAIN = [
    pytest.param(head, id=name)
    for name, head in {
        "another method": b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "lower case method": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "absolute form": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "old version": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "two spaces": b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "control in the target": b"GET /\x07 HTTP/1.1\r\nHost: a\r\n\r\n",
        "non-ASCII target": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        "no host": b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
        "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "an empty length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "a huge length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n",
        "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
        "bare line feed inside": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "folded": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "carriage return in a value": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
        "non-ASCII value": b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        "space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "no colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        "empty name": b"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n",
        "long name": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * 65 + b": a\r\n\r\n",
        "bytes behind the end": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        "no end": b"GET / HTTP/1.1\r\nHost: a\r\n",
        "no headers": b"GET / HTTP/1.1\r\n\r\n",
        "nothing": b"",
        "a line": b"\r\n",
    }.items()
]


def compiled_build() -> ModuleType:
    return importlib.import_module("siocore._speedups._heads")


def builds() -> list[object]:
    return [
        pytest.param(lambda: python_build, id="python"),
        pytest.param(compiled_build, id="cython", marks=needs_compiled),
    ]


@pytest.mark.parametrize("build", builds())
def test_a_plain_head_is_taken_apart(build: object) -> None:
    assert build().recognise_head(PLAIN) == (  # type: ignore[operator]
        "GET",
        "/socket.io/?EIO=4",
        [(b"host", b"a"), (b"x-blanks", b"b \tc"), (b"x-empty", b""), (b"accept", b"*/*")],
        0,
        KEEP,
    )


@pytest.mark.parametrize("build", builds())
def test_the_longest_name_and_length_that_are_plain(build: object) -> None:
    name = b"x" * 64
    head = b"POST / HTTP/1.1\r\nHost: a\r\n%s: b\r\nContent-Length: %d\r\n\r\n" % (name, 10**18 - 1)
    assert build().recognise_head(head) == (  # type: ignore[operator]
        "POST",
        "/",
        [(b"host", b"a"), (name, b"b"), (b"content-length", b"9" * 18)],
        10**18 - 1,
        KEEP,
    )


@pytest.mark.parametrize("build", builds())
@pytest.mark.parametrize(
    ("lines", "fate"),
    [
        (b"Connection: Keep-Alive\r\n", KEEP),
        (b"Connection: keep-alive\r\nConnection: keep-alive\r\n", KEEP),
        (b"Connection: Close\r\n", CLOSE),
        (b"Connection: close\r\nConnection: keep-alive\r\n", CLOSE),
        (b"Connection: close, keep-alive\r\n", UNDECIDED),
        (b"Connection: upgrade\r\nConnection: close\r\n", UNDECIDED),
        (b"Connection:\r\n", UNDECIDED),
        (b"Upgrade: websocket\r\n", UNDECIDED),
        (b"Expect: 100-continue\r\nConnection: close\r\n", UNDECIDED),
        (b"Content-Encoding: identity\r\n", UNDECIDED),
    ],
)
def test_what_becomes_of_the_connection(build: object, lines: bytes, fate: int) -> None:
    found = build().recognise_head(b"GET / HTTP/1.1\r\nHost: a\r\n%s\r\n" % lines)  # type: ignore[operator]
    assert found[4] == fate


@pytest.mark.parametrize("build", builds())
@pytest.mark.parametrize("head", NOT_PLAIN)
def test_anything_else_is_left_to_h11(build: object, head: bytes) -> None:
    assert build().recognise_head(head) is None  # type: ignore[operator]


@pytest.mark.parametrize("build", builds())
@pytest.mark.parametrize("wrong", [None, "GET / HTTP/1.1", 5])
def test_a_head_is_bytes(build: object, wrong: object) -> None:
    with pytest.raises(TypeError):
        build().recognise_head(wrong)  # type: ignore[operator]


lines = st.lists(
    st.one_of(
        st.sampled_from(
            [b"Host: a", b"hOST:b", b"Content-Length: 5", b"Connection: close", b"X:\t y ", b"Upgrade: websocket"]
        ),
        st.binary(max_size=12),
        st.tuples(st.sampled_from([b"x", b"Host", b"a-b", b"\xff", b" "]), st.binary(max_size=6)).map(b":".join),
    ),
    max_size=6,
)
request_lines = st.one_of(
    st.sampled_from([b"GET / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"GET /%20 HTTP/1.1", b"GET / HTTP/1.0"]),
    st.binary(max_size=24),
)


def whole(first: bytes, rest: list[bytes]) -> bytes:
    return b"\r\n".join([first, *rest, b"", b""])


@given(request_lines, lines)
@example(b"GET / HTTP/1.1", [b"Host: a", b"X: " + b" " * 100 + b"\xff"])
def test_what_is_recognised_is_what_h11_reads(first: bytes, rest: list[bytes]) -> None:
    head = whole(first, rest)
    plain = python_build.recognise_head(head)
    if plain is None:
        return
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    assert event.http_version == b"1.1"
    assert plain[:3] == (event.method.decode(), event.target.decode(), list(event.headers))


decisive = st.sampled_from(
    [
        b"Connection: close",
        b"Connection: keep-alive",
        b"connection: Keep-Alive, close",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Content-Encoding: identity",
        b"Content-Encoding: gzip",
        b"Content-Length: 0",
        b"Content-Length: 2",
        b"Content-Length: 99999999",
    ]
)


def answered(first: bytes, rest: list[bytes]) -> tuple[object, ...]:
    """What becomes of a request, its body and its connection."""
    connection = HttpConnection(Limits())
    connection.receive_data(whole(first, rest) + b"ok")
    events: list[RequestReceived | BodyReceived] = []
    while (event := connection.next_event()) is not None:
        events.append(event)
    if connection.state is HttpState.ANSWERING:
        connection.respond(200, ())
    reported = [(event.upgrade,) if isinstance(event, RequestReceived) else event.body for event in events]
    return reported, b"".join(connection.output), connection.closing, connection.state


@given(st.sampled_from([b"GET / HTTP/1.1", b"POST / HTTP/1.1"]), st.lists(decisive, max_size=4))
def test_a_plain_head_is_answered_as_one_that_h11_has_read(first: bytes, rest: list[bytes]) -> None:
    # The byte in the last header is not plain, and means nothing.
    assert answered(first, [b"Host: a", *rest]) == answered(first, [b"Host: a", *rest, b"X: \xff"])


@needs_compiled
@given(request_lines, lines)
def test_both_builds_recognise_the_same(first: bytes, rest: list[bytes]) -> None:
    head = whole(first, rest)
    assert compiled_build().recognise_head(head) == python_build.recognise_head(head)


@needs_compiled
@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_both_builds_judge_a_damaged_head_alike(position: int, byte: int) -> None:
    head = bytearray(PLAIN)
    head[position] = byte
    assert compiled_build().recognise_head(bytes(head)) == python_build.recognise_head(bytes(head))


def test_a_plain_request_and_one_for_h11_are_reported_alike() -> None:
    received = []
    for extra in (b"", b"X-Text: \xc3\xa9\r\n"):
        connection = HttpConnection(Limits())
        connection.receive_data(b"GET /a?b HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n")
        event = connection.next_event()
        assert isinstance(event, RequestReceived)
        received.append((event.request.method, event.request.target, event.request.headers["host"], event.upgrade))
    assert received[0] == received[1]
