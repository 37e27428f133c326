"""An ASGI application on our own driver: what it is told, what it may say, and what becomes of that. Virtual time."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosted import DATE, Client, HostedApp, answer, piece, read_body, start
from siocore import Limits, LocalProtocolError
from siocore._driver.hosting import Hosting, Message, Receive, Scope, Send
from siocore.http.framing import StreamedAnswer
from siocore.testing import VirtualWaiter

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(size: int, *, target: bytes = b"/", extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (target, extra, size)


def chunked(*pieces: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"".join(await read_body(receive))
    await send(start())
    await send(piece(body))


def run(app: Any, request: bytes, **options: Any) -> Client:
    """One request to an application; the connection is looked at when nothing more happens."""
    client = HostedApp(app, **options).client()
    client.send(request)
    return client


def error_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- what the application is told ------------------------------------------------------------------------------------


def scope_of(request: bytes, **options: Any) -> Scope:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answer()(scope, receive, send)

    run(app, request, **options)
    return scopes[0]


def test_scope_tells_all_of_the_request() -> None:
    scope = scope_of(b"GET /caf%C3%A9/%2F?q=%20&r HTTP/1.1\r\nHost: a\r\nX-Name: \xe9\r\nx-name: 2\r\n\r\n")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/café//",
        "raw_path": b"/caf%C3%A9/%2F",
        "query_string": b"q=%20&r",
        "root_path": "",
        "headers": [(b"host", b"a"), (b"x-name", b"\xe9"), (b"x-name", b"2")],
        "client": ("192.0.2.1", 50_000),
        "server": None,
        "state": {},
        "extensions": {},
    }


def test_bytes_of_the_path_that_are_no_utf_8_are_replaced() -> None:
    assert scope_of(b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n")["path"] == "/\ufffd"


def test_root_path_is_put_before_the_path() -> None:
    scope = scope_of(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", root_path="/api")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/a", b"/api/a")


def test_http_1_0_is_told() -> None:
    assert scope_of(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")["http_version"] == "1.0"


def test_each_request_has_a_copy_of_the_state() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = 1
        await answer()(scope, receive, send)

    hosted = HostedApp(app)
    hosted.state["pool"] = "p"
    hosted.client().send(GET + GET)
    assert seen == [{"pool": "p"}] * 2


@pytest.mark.parametrize("root_path", ["api", "/api/", "/\xe9"])
def test_a_root_path_that_is_none_is_refused(root_path: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        Hosting(answer(), state={}, root_path=root_path)


def test_server_is_where_it_listens() -> None:
    places = [
        Hosting(answer(), state={}, addresses=addresses)._server
        for addresses in ([("10.0.0.1", 80)], ["/run/s"], [("0.0.0.0", 80)], [("::", 80)], [("a", 1), ("b", 1)])
    ]
    assert places == [("10.0.0.1", 80), ("/run/s", None), None, None, None]


# --- which requests --------------------------------------------------------------------------------------------------


def test_paths_of_the_endpoint_and_resources_are_not_the_applications() -> None:
    hosted = HostedApp(answer(b"app"))
    hosted.io.add_resource("/page", b"page", "text/plain")
    bodies = {}
    handshake_path = "/socket.io/?EIO=4&transport=polling"
    for path in ("/", "/page", "/page2", "/socket.io", "/socket.io/nothing", "/socket.ioX", handshake_path):
        bodies[path] = hosted.server.request("GET", path).body[:5]
    handshake = bodies.pop(handshake_path)
    assert handshake.startswith(b'0{"si')
    assert {path for path, body in bodies.items() if body == b"app"} == {"/", "/page2", "/socket.ioX"}
    assert bodies["/page"] == b"page"


def test_bodies_of_our_own_paths_keep_their_limit() -> None:
    hosted = HostedApp(answer(), limits=Limits(max_payload=10))
    for extra in (b"", b"Connection: keep-alive, x\r\n"):
        client = hosted.client()
        client.send(post(11, target=b"/socket.io/?EIO=4&transport=polling", extra=extra))
        assert (client.answer("POST").status, client.ended) == (413, True)
    client = hosted.client()
    client.send(post(3, target=b"/socket.io/?EIO=4&transport=polling", extra=b"Content-Encoding: gzip\r\n"))
    assert client.answer("POST").status == 415


def test_websockets_are_refused_with_a_sentence() -> None:
    client = run(
        answer(),
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    refused = client.answer()
    assert refused.status == 400
    assert b"not supported" in refused.body
    assert b"/socket.io/" in refused.body


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answer_in_one_piece_has_its_length_and_the_date() -> None:
    client = run(answer(headers=[(b"content-type", b"text/plain")]), GET)
    assert client.received == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: " + DATE + b"\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert not client.ended


def test_date_of_the_application_is_kept() -> None:
    client = run(answer(headers=[(b"Date", b"today")]), GET)
    assert client.answer().header(b"date") == b"today"


def test_head_leaves_with_the_first_piece() -> None:
    gate = VirtualWaiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await gate
        await send(piece(b"", more=True))
        await receive()
        await receive()

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(GET)
    assert client.received == b""
    gate.wake()
    hosted.server.settle()
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.received.endswith(b"Transfer-Encoding: chunked\r\n\r\n")


PIECES = st.lists(st.binary(max_size=40), min_size=1, max_size=5)


@given(
    pieces=PIECES,
    declared=st.booleans(),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    version=st.sampled_from(["1.0", "1.1"]),
    status=st.sampled_from([200, 404, 500, 299]),
    suspend=st.booleans(),
)
def test_h11_reads_what_the_application_wrote(
    pieces: list[bytes], declared: bool, method: str, version: str, status: int, suspend: bool
) -> None:
    body = b"".join(pieces)
    hosted: HostedApp

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(status, *([(b"content-length", b"%d" % len(body))] if declared else []), (b"x-a", b"b")))
        for number, each in enumerate(pieces):
            await send(piece(each, more=number < len(pieces) - 1))
            if suspend:
                await hosted.server.clock.sleep(1)

    hosted = HostedApp(app)
    client = hosted.client()
    request = f"{method} / HTTP/{version}\r\nHost: a\r\n\r\n".encode()
    count = 2 if version == "1.1" else 1
    client.send(request * count)
    hosted.server.advance(30)
    answers = client.answers(*[method] * count)
    assert len(answers) == count
    for each in answers:
        assert (each.status, each.complete) == (status, True)
        assert each.body == (b"" if method == "HEAD" else body)
        assert each.header(b"x-a") == b"b"
        assert version == "1.1" or each.header(b"transfer-encoding") is None
    assert client.ended == (version == "1.0" or suspend or hosted.server.clock.now > 20)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_answers_without_a_body_leave_the_connection_usable(status: int) -> None:
    client = run(answer(b"", status, [(b"content-length", b"0")] if status == 204 else []), GET + GET)
    for each in client.answers("GET", "GET"):
        assert (each.status, each.complete, each.header(b"transfer-encoding")) == (status, True, None)
        assert each.header(b"content-length") == (b"0" if status == 205 else None)


def test_304_tells_the_length_that_it_would_have() -> None:
    client = run(answer(b"", 304, [(b"content-length", b"17")]), GET + GET)
    assert [each.header(b"content-length") for each in client.answers("GET", "GET")] == [b"17", b"17"]


def test_transfer_encoding_of_the_application_is_ignored_and_close_is_heeded() -> None:
    headers = [(b"Transfer-Encoding", b"gzip"), (b"connection", b"Keep-Alive, Close")]
    client = run(answer(headers=headers), GET)
    only = client.answer()
    assert (only.body, only.header(b"transfer-encoding"), only.header(b"connection")) == (b"hello", None, b"close")
    assert client.ended


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\r\nset-cookie: b")],
        [(b"x", b"a\nb")],
        [(b"x", b"\x00")],
        [(b"x: y", b"a")],
        [(b"", b"a")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"\xb2")],
        [(b"content-length", b"9" * 20)],
    ],
)
def test_headers_that_cannot_be_sent_become_a_500(headers: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = run(answer(headers=headers), GET)
    assert client.answer().status == 500
    assert b"cookie" not in client.received
    assert error_lines(caplog) == ["the hosted application failed on GET '/'"]


@pytest.mark.parametrize("status", [0, 101, 199, 600, 1000])
def test_a_status_that_is_none_becomes_a_500(status: int) -> None:
    assert run(answer(status=status), GET).answer().status == 500


# --- applications that don't do what they should ---------------------------------------------------------------------


async def _raise_first(send: Send) -> None:
    raise RuntimeError("oops")


async def _raise_after_start(send: Send) -> None:
    await send(start())
    raise RuntimeError("oops")


async def _nothing(send: Send) -> None:
    pass


async def _body_without_start(send: Send) -> None:
    await send(piece(b"a"))


async def _two_starts(send: Send) -> None:
    await send(start())
    await send(start())


async def _unknown(send: Send) -> None:
    await send({"type": "http.response.push"})


async def _no_bytes(send: Send) -> None:
    await send(start())
    await send({"type": "http.response.body", "body": 5})


async def _body_of_204(send: Send) -> None:
    await send(start(204))
    await send(piece(b"a"))


@pytest.mark.parametrize(
    "app",
    [
        _raise_first,
        _raise_after_start,
        _nothing,
        _body_without_start,
        _two_starts,
        _unknown,
        _no_bytes,
    ],
)
def test_a_failure_before_the_first_piece_is_a_500_and_one_line(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(send)

    client = run(wrapped, GET + GET)
    answers = client.answers("GET", "GET")
    assert [(each.status, each.body) for each in answers] == [(500, b"Internal Server Error")] * 2
    assert len(error_lines(caplog)) == 2


async def _raise_in_the_body(send: Send) -> None:
    await send(start())
    await send(piece(b"abc", more=True))
    raise RuntimeError("oops")


async def _no_end(send: Send) -> None:
    await send(start())
    await send(piece(b"abc", more=True))


async def _too_long(send: Send) -> None:
    await send(start(200, (b"content-length", b"5")))
    await send(piece(b"abc", more=True))
    await send(piece(b"abc", more=True))


async def _too_short(send: Send) -> None:
    await send(start(200, (b"content-length", b"5")))
    await send(piece(b"abc", more=True))
    await send(piece(b"a"))


@pytest.mark.parametrize("app", [_raise_in_the_body, _no_end, _too_long, _too_short])
def test_a_failure_within_the_body_ends_the_connection(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    gate = VirtualWaiter()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                await gate

        await app(slow_send)

    hosted = HostedApp(wrapped)
    client = hosted.client()
    client.send(GET + GET)
    gate.wake()
    hosted.server.settle()
    [only] = client.answers("GET")
    assert (only.status, only.body, only.complete, client.stream.closed) == (200, b"abc", False, True)
    assert len(error_lines(caplog)) == 1


def test_not_a_byte_more_than_the_content_length_is_framed() -> None:
    framing = StreamedAnswer("GET", False, 200, [(b"content-length", b"5")])
    framing.begin(b"abc", True, False)
    with pytest.raises(LocalProtocolError, match="longer than its Content-Length"):
        framing.piece(b"abc", True)


def test_a_failure_behind_the_answer_is_logged_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer()(scope, receive, send)
        raise RuntimeError("in the background")

    client = run(app, GET + GET)
    assert [each.body for each in client.answers("GET", "GET")] == [b"hello"] * 2
    assert len(error_lines(caplog)) == 2


def test_sending_behind_the_end_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer()(scope, receive, send)
        with pytest.raises(LocalProtocolError):
            await send(piece(b"more"))
        done.append(1)

    done: list[int] = []
    client = run(app, GET)
    assert client.answer().body == b"hello"
    assert done == [1]


# --- bodies of requests ----------------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=4),
    in_chunks=st.booleans(),
    segment=st.integers(1, 500),
    suspend=st.booleans(),
)
def test_bodies_arrive_whole_however_they_are_split(
    pieces: list[bytes], in_chunks: bool, segment: int, suspend: bool
) -> None:
    body = b"".join(pieces)
    hosted: HostedApp

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = b""
        while True:
            message = await receive()
            found += message["body"]
            if not message["more_body"]:
                break
            if suspend:
                await hosted.server.clock.sleep(0.01)
        await send(start())
        await send(piece(found))

    hosted = HostedApp(app, limits=Limits(max_payload=10, max_head=200))
    client = hosted.client(segment=segment)
    request = chunked(*pieces) if in_chunks else post(len(body)) + body
    client.send(request + request)
    hosted.server.advance(15)
    assert [each.body for each in client.answers("POST", "POST")] == [body, body]


def test_a_body_waits_in_the_network_until_it_is_asked_for() -> None:
    gates = [VirtualWaiter() for _ in range(20)]
    pieces = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for gate in gates:
            await gate
            pieces.append(len((await receive())["body"]))
        await answer()(scope, receive, send)

    hosted = HostedApp(app)
    client = hosted.client(segment=65_536)
    client.send(post(20 * 65_536) + bytes(20 * 65_536))
    taken = []
    for gate in gates:
        taken.append(client.stream.link.to_server.delivered)
        gate.wake()
        hosted.server.settle()
    assert taken[0] <= 2 * 65_536
    assert all(later - earlier <= 2 * 65_536 for earlier, later in pairwise(taken))
    assert max(pieces) <= 65_536 + 16_384


def test_no_body_is_one_empty_piece_and_then_it_waits_for_the_end() -> None:
    messages = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        messages.append(await receive())

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(GET)
    assert messages == [{"type": "http.request", "body": b"", "more_body": False}]
    client.stream.reset()
    hosted.server.settle()
    assert messages[1:] == [{"type": "http.disconnect"}]


def test_after_the_answer_receive_tells_the_end() -> None:
    messages = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer()(scope, receive, send)
        messages.append(await receive())

    client = run(app, GET)
    assert messages == [{"type": "http.disconnect"}]
    assert not client.ended


def test_continue_is_sent_when_the_body_is_asked_for() -> None:
    gate = VirtualWaiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate
        await echo(scope, receive, send)

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(post(5, extra=b"Expect: 100-continue\r\n"))
    assert client.received == b""
    gate.wake()
    hosted.server.settle()
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello" + GET)
    first, second = client.answers("POST", "GET")
    assert (first.body, second.body) == (b"hello", b"")


def test_an_answer_instead_of_continue_ends_the_connection() -> None:
    client = run(answer(status=401), post(5, extra=b"Expect: 100-continue\r\n"))
    refused = client.answer("POST")
    assert (refused.status, refused.header(b"connection"), client.ended) == (401, b"close", True)


@pytest.mark.parametrize("missing", [1, 65_536])
def test_the_rest_of_a_short_body_is_read_for_nothing(missing: int) -> None:
    hosted = HostedApp(answer())
    client = hosted.client()
    client.send(post(missing + 3) + b"abc")
    assert client.answer("POST").header(b"connection") is None
    client.send(bytes(missing - 1))
    client.send(b"x" + GET)
    assert [each.status for each in client.answers("POST", "GET")] == [200, 200]


@pytest.mark.parametrize(
    "request_bytes", [post(65_537), chunked(b"abc")[:-5], post(10, extra=b"Expect: 100-continue\r\n")]
)
def test_an_answer_before_a_long_body_ends_the_connection(request_bytes: bytes) -> None:
    client = run(answer(), request_bytes)
    assert (client.answer("POST").header(b"connection"), client.ended) == (b"close", True)
    # It goes on reading for a while: a reset would destroy the answer on its way.
    client.send(bytes(100_000))
    assert client.stream.link.to_server.delivered > 100_000


def test_a_body_that_breaks_off_is_a_disconnect_not_an_end(caplog: pytest.LogCaptureFixture) -> None:
    messages = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            messages.append(await receive())
            if messages[-1]["type"] == "http.disconnect":
                return

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(post(5) + b"abc")
    client.stream.close()
    hosted.server.settle()
    assert [message.get("body") for message in messages] == [b"abc", None]
    assert error_lines(caplog) == []
    assert hosted.server.protocol.connections == set()


def test_a_client_that_only_stops_sending_gets_its_answer() -> None:
    gate = VirtualWaiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate
        await echo(scope, receive, send)

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(post(5) + b"hello")
    client.stream.write_eof()
    hosted.server.settle()
    gate.wake()
    hosted.server.settle()
    only = client.answer("POST")
    assert (only.body, only.header(b"connection"), client.ended) == (b"hello", b"close", True)
    assert hosted.server.protocol.connections == set()


def test_who_waits_is_told_that_the_client_has_stopped_sending() -> None:
    messages = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        messages.append(await receive())
        await answer()(scope, receive, send)

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(GET)
    client.stream.write_eof()
    hosted.server.settle()
    assert messages == [{"type": "http.disconnect"}]
    assert client.answer().body == b"hello"


# --- slow readers ----------------------------------------------------------------------------------------------------


def flood(count: int, size: int, sent: list[int]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(count):
            await send(piece(bytes(size), more=number < count - 1))
            sent.append(number)

    return app


def test_send_waits_for_a_slow_reader() -> None:
    sent: list[int] = []
    hosted = HostedApp(flood(100, 20_000, sent))
    client = hosted.client(window=50_000)
    client.stream.link.to_client.stall()
    client.send(GET)
    [connection] = hosted.server.protocol.connections
    limit = hosted.io.options.limits.high_water + 20_100
    steps = 0
    while len(sent) < 100 and steps < 1_000:
        assert connection.buffered <= limit
        client.stream.link.to_client.resume()
        client.stream.link.to_client.stall()
        hosted.server.settle()
        steps += 1
        assert sent == list(range(len(sent)))
        if steps == 1:
            assert len(sent) < 10
    client.stream.link.to_client.resume()
    hosted.server.advance(1)
    assert len(client.answer().body) == 2_000_000


def test_pipelined_requests_wait_for_the_reader() -> None:
    calls = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)
        await answer(bytes(50_000))(scope, receive, send)

    hosted = HostedApp(app)
    client = hosted.client(window=10_000)
    client.stream.link.to_client.stall()
    client.send(GET * 100)
    assert len(calls) < 5
    [connection] = hosted.server.protocol.connections
    assert connection.buffered < 200_000
    client.stream.link.to_client.window = 1e9
    client.stream.link.to_client.resume()
    hosted.server.settle()
    assert [len(each.body) for each in client.answers(*["GET"] * 100)] == [50_000] * 100


def test_a_reader_that_accepts_nothing_is_dropped() -> None:
    errors: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await flood(100, 20_000, [])(scope, receive, send)
        except OSError as error:
            errors.append(error)
            raise

    hosted = HostedApp(app, limits=Limits(send_timeout=7.0))
    client = hosted.client(window=50_000)
    client.stream.link.to_client.stall()
    client.send(GET)
    hosted.server.advance(6.9)
    assert hosted.server.protocol.connections
    # What was accepted at once counts as progress in the first period.
    hosted.server.advance(7.2)
    assert not hosted.server.protocol.connections
    assert [type(error).__mro__[1] for error in errors] == [ConnectionResetError]
    assert hosted.server.running == 0


def test_a_reader_that_accepts_a_little_is_kept() -> None:
    hosted = HostedApp(flood(10, 20_000, []), limits=Limits(send_timeout=7.0))
    client = hosted.client(window=1_000)
    client.stream.link.to_client.delay = 6.0
    client.send(GET)
    hosted.server.advance(6.0 * 210)
    assert len(client.answer().body) == 200_000


@pytest.mark.parametrize("request_bytes", [GET, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"])
def test_the_end_of_an_answer_leaves_however_slow_its_reader_is(request_bytes: bytes) -> None:
    hosted = HostedApp(answer(bytes(60_000)))
    client = hosted.client(window=1_000)
    client.stream.link.to_client.delay = 4.0
    client.send(request_bytes)
    hosted.server.advance(4.0 * 70)
    only = client.answer()
    assert (len(only.body), only.complete) == (60_000, True)
    hosted.server.advance(60)
    assert hosted.server.protocol.connections == set()


def test_what_the_network_has_taken_is_not_taken_back() -> None:
    hosted = HostedApp(answer(bytes(60_000)), limits=Limits(close_timeout=5.0))
    client = hosted.client()
    client.stream.link.to_client.delay = 7.0
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    hosted.server.advance(8.0)
    assert client.answer().complete
    hosted.server.advance(60)
    assert hosted.server.protocol.connections == set()


# --- clients that leave ----------------------------------------------------------------------------------------------


def test_sending_to_a_client_that_has_gone_raises_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = VirtualWaiter()
    raised: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"a", more=True))
        await gate
        try:
            await send(piece(b"b", more=True))
        except OSError as error:
            raised.append(error)
            raise RuntimeError("what a framework makes of it")  # noqa: B904

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(GET)
    client.stream.reset()
    gate.wake()
    hosted.server.settle()
    assert len(raised) == 1
    assert error_lines(caplog) == []
    assert hosted.server.running == 0
    assert hosted.server.protocol.connections == set()


def test_who_waits_for_a_slow_reader_is_told_that_it_has_gone() -> None:
    outcome = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await flood(100, 20_000, [])(scope, receive, send)
        except ConnectionResetError:
            outcome.append((await receive())["type"])

    hosted = HostedApp(app)
    client = hosted.client(window=50_000)
    client.stream.link.to_client.stall()
    client.send(GET)
    client.stream.reset()
    hosted.server.settle()
    assert outcome == ["http.disconnect"]


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_stop_lets_requests_finish_and_closes_behind_them() -> None:
    gate = VirtualWaiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate
        await answer()(scope, receive, send)

    hosted = HostedApp(app)
    busy, idle, late = hosted.client(), hosted.client(), hosted.client()
    busy.send(GET)
    late.send(b"GET / HT")
    hosted.server.shutdown()
    assert idle.ended
    gate.wake()
    hosted.server.settle()
    assert (busy.answer().body, busy.answer().header(b"connection"), busy.ended) == (b"hello", b"close", True)


def test_a_request_behind_the_beginning_of_a_stop_is_refused() -> None:
    gate = VirtualWaiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"a", more=True))
        await gate
        await send(piece(b"b"))

    hosted = HostedApp(app)
    client = hosted.client()
    client.send(GET + GET)
    hosted.server.shutdown()
    gate.wake()
    hosted.server.settle()
    assert [each.body for each in client.answers("GET")] == [b"ab"]
    assert client.ended
