"""HttpConnection: requests in, answers out, limits; h11's client is the oracle for what it writes."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_corpus import BAD_BODIES, BAD_REQUESTS, LIMITS, converse
from siocore.errors import LocalProtocolError
from siocore.http import BodyReceived, HttpConnection, HttpState, RequestReceived
from siocore.options import Limits

GET = b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"


def http(limits: Limits = LIMITS) -> HttpConnection:
    return HttpConnection(limits)


def single_bytes(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def events(connection: HttpConnection) -> list[RequestReceived | BodyReceived]:
    found = []
    while (event := connection.next_event()) is not None:
        found.append(event)
    return found


def received(stream: bytes, limits: Limits = LIMITS) -> tuple[HttpConnection, list[RequestReceived | BodyReceived]]:
    connection = http(limits)
    connection.receive_data(stream)
    return connection, events(connection)


def take(connection: HttpConnection) -> bytes:
    output = b"".join(connection.output)
    connection.output.clear()
    return output


def read_by_client(output: bytes, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes, bool]:
    """What h11's client makes of one answer: status, headers, body, whether the connection stays open."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(output)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    return response.status_code, dict(response.headers), body, client.their_state is h11.DONE


# --- requests --------------------------------------------------------------------------------------------------------


def test_request_is_reported_and_then_its_body() -> None:
    connection = HttpConnection(LIMITS, peer=("192.0.2.1", 5), secure=True)
    connection.receive_data(POST)
    head, body = events(connection)
    assert isinstance(head, RequestReceived)
    assert (head.request.method, head.request.target, head.upgrade) == ("POST", "/p", False)
    assert head.request.headers.raw == [(b"host", b"a"), (b"content-length", b"5")]
    assert (head.request.peer, head.request.secure) == (("192.0.2.1", 5), True)
    assert body == BodyReceived(b"hello")


@pytest.mark.parametrize("request_bytes", [GET, UPGRADE, GET.replace(b"GET", b"DELETE")])
def test_request_without_a_body_has_an_empty_one_at_once(request_bytes: bytes) -> None:
    connection, [head, body] = received(request_bytes)
    assert isinstance(head, RequestReceived)
    assert head.upgrade == (request_bytes is UPGRADE)
    assert body == BodyReceived(b"")
    assert connection.state is HttpState.ANSWERING


def test_chunked_body_is_joined_and_trailers_are_dropped() -> None:
    _, [_, body] = received(CHUNKED)
    assert body == BodyReceived(b"hello")


def test_state_follows_the_request() -> None:
    connection = http()
    states = [connection.state]
    for piece in (POST[:1], POST[1:-1], POST[-1:]):
        connection.receive_data(piece)
        events(connection)
        states.append(connection.state)
    connection.respond(200, [])
    states.append(connection.state)
    idle = HttpState.HEAD_WAIT
    assert states == [idle, HttpState.HEAD, HttpState.BODY, HttpState.ANSWERING, idle]


def test_non_ascii_header_values_are_kept() -> None:
    _, [head, _] = received(b"GET / HTTP/1.1\r\nHost: \xff\r\nCookie: \xe9\x80\r\nConnection: \xff, close\r\n\r\n")
    assert isinstance(head, RequestReceived)
    assert head.request.headers["cookie"] == "\xe9\x80"


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: close\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\xff\r\n",
    ],
)
def test_other_upgrades_are_ordinary_requests(headers: bytes) -> None:
    connection, [head, _] = received(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
    assert isinstance(head, RequestReceived)
    assert not head.upgrade
    connection.respond(200, [])
    with pytest.raises(LocalProtocolError):
        connection.switch_protocols([])


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_answered_here_and_not_reported(name: str) -> None:
    status, stream = BAD_REQUESTS[name]
    for pieces in ([stream], single_bytes(stream)):
        connection = http()
        # The good request in front of it is answered first.
        reported, output = converse(connection, [GET, *pieces])
        assert len(reported) == 2
        answer = output[output.index(b"HTTP/1.1", 1) :]
        assert read_by_client(answer) == (status, {b"content-length": b"0", b"connection": b"close"}, b"", False)
        assert connection.closing
        assert connection.state is HttpState.CLOSED
        connection.receive_data(GET)
        assert events(connection) == []
        assert take(connection) == b""


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_is_answered_here_and_not_reported(name: str) -> None:
    status, body = BAD_BODIES[name]
    for pieces in ([body], single_bytes(body)):
        connection = http()
        reported, output = converse(connection, [CHUNKED_HEAD, *pieces])
        assert len(reported) == 1
        assert read_by_client(output)[0] == status
        assert connection.closing
        assert connection.state is HttpState.CLOSED


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["whole", "bytes"])
def test_largest_head_passes(how: str) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    stream = head + b"x" * (LIMITS.max_head - len(head) - 4) + b"\r\n\r\n"
    assert len(stream) == LIMITS.max_head
    reported, _ = converse(http(), [stream] if how == "whole" else single_bytes(stream))
    assert len(reported) == 2


def test_head_is_refused_as_soon_as_it_must_be_too_large() -> None:
    connection, _ = received(b"GET /" + b"a" * (LIMITS.max_head - 6))
    assert not connection.closing
    connection.receive_data(b"a")
    assert events(connection) == []
    assert take(connection).startswith(b"HTTP/1.1 431 ")


def test_most_headers_pass() -> None:
    lines = b"".join(b"a%d: x\r\n" % i for i in range(LIMITS.max_headers - 1))
    _, found = received(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    assert len(found) == 2


def test_largest_body_passes() -> None:
    body = b"x" * LIMITS.max_payload
    sized = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunked = CHUNKED_HEAD + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    for stream in (sized, chunked):
        for pieces in ([stream], single_bytes(stream)):
            reported, _ = converse(http(), pieces)
            assert reported[1] == (body,)


def test_most_chunks_pass() -> None:
    stream = CHUNKED_HEAD + b"1\r\nx\r\n" * LIMITS.max_chunks + b"0\r\n\r\n"
    for pieces in ([stream * 2], single_bytes(stream * 2)):
        reported, _ = converse(http(), pieces)
        assert reported[1::2] == [(b"x" * LIMITS.max_chunks,)] * 2


def test_too_large_a_content_length_is_refused_at_the_head() -> None:
    connection, found = received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
    assert found == []
    assert take(connection).startswith(b"HTTP/1.1 413 ")


def test_chunked_body_is_refused_at_the_first_byte_over() -> None:
    connection, [_] = received(CHUNKED_HEAD + b"1000\r\n" + b"x" * LIMITS.max_payload)
    assert take(connection) == b""
    connection.receive_data(b"x")
    assert events(connection) == []
    assert take(connection).startswith(b"HTTP/1.1 413 ")


def test_long_head_may_come_in_single_bytes() -> None:
    # Scanned from its start at each of them, this would take minutes.
    stream = b"GET /" + b"a" * 400_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    reported, _ = converse(http(Limits(max_head=500_000)), single_bytes(stream))
    assert reported[0][0] == "GET"


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"hello", b"x" * 100_000])
def test_answer_is_framed_by_its_length(body: bytes) -> None:
    connection, _ = received(GET)
    connection.respond(200, [(b"Content-Type", b"text/plain"), (b"X-Latin", b"\xe9\t!")], body)
    assert read_by_client(take(connection)) == (
        200,
        {b"content-type": b"text/plain", b"x-latin": b"\xe9\t!", b"content-length": b"%d" % len(body)},
        body,
        True,
    )
    assert not connection.closing


def test_head_is_answered_without_a_body() -> None:
    connection, _ = received(GET.replace(b"GET", b"HEAD"))
    connection.respond(200, [], b"hello")
    assert read_by_client(take(connection), "HEAD") == (200, {b"content-length": b"5"}, b"", True)


@pytest.mark.parametrize("status", [204, 304])
def test_bodyless_status_has_no_length(status: int) -> None:
    connection, _ = received(GET)
    connection.respond(status, [(b"ETag", b'"a"')])
    assert read_by_client(take(connection)) == (status, {b"etag": b'"a"'}, b"", True)
    connection, _ = received(GET)
    with pytest.raises(LocalProtocolError):
        connection.respond(status, [], b"body")


@pytest.mark.parametrize("status", [200, 299, 400, 413, 499, 503, 599])
def test_any_final_status_can_be_sent(status: int) -> None:
    connection, _ = received(GET)
    connection.respond(status, [])
    assert read_by_client(take(connection))[0] == status


@pytest.mark.parametrize("status", [0, 100, 101, 199, 205, 600, 1000, -200])
def test_other_status_is_refused(status: int) -> None:
    connection, _ = received(GET)
    with pytest.raises(LocalProtocolError):
        connection.respond(status, [])
    assert take(connection) == b""
    connection.respond(200, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X", b"a\r\nY: b"),
        (b"X", b"a\nY: b"),
        (b"X", b"a\rb"),
        (b"X", b"a\x00b"),
        (b"X", b"a\x7fb"),
        (b"X", b"a\x1bb"),
        (b"X", b"a\n"),
        (b"X\r\nY", b"a"),
        (b"X Y", b"a"),
        (b"X:", b"a"),
        (b"", b"a"),
        (b"X\xe9", b"a"),
        (b"Content-Length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"Connection", b"close"),
    ],
)
def test_header_that_would_break_the_framing_is_refused(name: bytes, value: bytes) -> None:
    connection, _ = received(GET)
    with pytest.raises(LocalProtocolError):
        connection.respond(200, [(b"A", b"b"), (name, value)])
    assert take(connection) == b""
    connection.respond(200, [])
    connection, _ = received(UPGRADE)
    with pytest.raises(LocalProtocolError):
        connection.switch_protocols([(name, value)])
    assert take(connection) == b""
    connection.switch_protocols([])


def test_only_one_answer_per_request() -> None:
    connection = http()
    with pytest.raises(LocalProtocolError):
        connection.respond(200, [])
    connection.receive_data(GET[:-1])
    assert events(connection) == []
    with pytest.raises(LocalProtocolError):
        connection.respond(200, [])
    connection.receive_data(GET[-1:])
    assert len(events(connection)) == 2
    connection.respond(200, [])
    with pytest.raises(LocalProtocolError):
        connection.respond(200, [])


# --- the life of a connection ----------------------------------------------------------------------------------------


def test_connection_is_kept_for_the_next_request() -> None:
    connection = http()
    for request_bytes in (GET, POST, CHUNKED, GET):
        connection.receive_data(request_bytes)
        assert len(events(connection)) == 2
        connection.respond(200, [], b"ok")
        assert read_by_client(take(connection))[3]
        assert events(connection) == []
        assert connection.state is HttpState.HEAD_WAIT
        assert not connection.closing


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nConnection: x , CLOSE\r\n\r\n"),
        GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_connection_ends_when_the_client_says_so(request_bytes: bytes) -> None:
    connection, found = received(request_bytes + GET)
    assert len(found) == 2
    connection.respond(200, [], b"ok")
    assert read_by_client(take(connection)) == (200, {b"content-length": b"2", b"connection": b"close"}, b"ok", False)
    assert connection.closing
    assert connection.state is HttpState.CLOSED
    assert events(connection) == []


def test_connection_ends_when_we_say_so() -> None:
    connection, _ = received(GET + GET)
    connection.respond(200, [], close=True)
    assert not read_by_client(take(connection))[3]
    assert connection.closing
    assert events(connection) == []


@pytest.mark.parametrize("request_bytes", [POST, CHUNKED])
def test_answer_before_the_body_closes_however_much_of_it_is_here(request_bytes: bytes) -> None:
    connection = http()
    connection.receive_data(request_bytes)
    assert isinstance(connection.next_event(), RequestReceived)
    connection.respond(403, [])
    assert not read_by_client(take(connection))[3]
    assert connection.closing
    assert events(connection) == []


def test_answer_to_a_bodyless_request_need_not_wait_for_its_body() -> None:
    connection = http()
    connection.receive_data(GET + POST)
    assert isinstance(connection.next_event(), RequestReceived)
    connection.respond(200, [])
    assert read_by_client(take(connection))[3]
    head, body = events(connection)
    assert isinstance(head, RequestReceived)
    assert head.request.method == "POST"
    assert body == BodyReceived(b"hello")


def test_pipelined_requests_are_reported_one_at_a_time() -> None:
    connection, found = received(GET + POST + CHUNKED + GET)
    targets = []
    while found:
        head, _ = found
        assert isinstance(head, RequestReceived)
        targets.append(head.request.path)
        assert events(connection) == []
        connection.respond(200, [], head.request.path.encode())
        found = events(connection)
    assert targets == ["/socket.io/", "/p", "/c", "/socket.io/"]
    assert connection.state is HttpState.HEAD_WAIT


def test_pipelined_input_pauses_at_its_bound() -> None:
    connection, _ = received(GET)
    assert not connection.paused
    connection.receive_data(b"x" * (LIMITS.max_head - 1))
    assert not connection.paused
    connection.receive_data(b"x")
    assert connection.paused
    connection.respond(200, [])
    assert not connection.paused


def test_many_pipelined_requests_in_one_read() -> None:
    reported, output = converse(http(), [GET * 5_000])
    assert len(reported) == 10_000
    assert output.count(b"HTTP/1.1 200 OK\r\n") == 5_000


@pytest.mark.parametrize("body", [POST[-5:], b"", POST[-5:-2]])
def test_expectation_is_met_once_the_endpoint_wants_the_body(body: bytes) -> None:
    connection = http()
    connection.receive_data(POST[:-9] + b"\r\nExpect: 100-Continue\r\n\r\n" + body)
    assert isinstance(connection.next_event(), RequestReceived)
    assert take(connection) == b""
    event = connection.next_event()
    assert take(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
    if event is None:
        connection.receive_data(POST[len(POST) - 5 + len(body) :])
        event = connection.next_event()
    assert event == BodyReceived(b"hello")
    assert events(connection) == []
    assert take(connection) == b""


def test_refusal_comes_instead_of_100_continue() -> None:
    connection = http()
    connection.receive_data(POST[:-9] + b"\r\nExpect: 100-continue\r\n\r\n")
    assert isinstance(connection.next_event(), RequestReceived)
    connection.respond(403, [])
    assert events(connection) == []
    assert take(connection).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("line", [b"Content-Length: 0", b"X: y"])
def test_expectation_without_a_body_is_ignored(line: bytes) -> None:
    connection, _ = received(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + line + b"\r\n\r\n")
    assert take(connection) == b""


def test_expectation_of_http_1_0_is_ignored() -> None:
    stream = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
    connection, [_, body] = received(stream)
    assert body == BodyReceived(b"ab")
    assert take(connection) == b""


@pytest.mark.parametrize("line", [b"Content-Encoding: identity", b"Content-Encoding: Identity, identity"])
def test_identity_is_an_accepted_encoding(line: bytes) -> None:
    _, found = received(POST.replace(b"Host: a", b"Host: a\r\n" + line))
    assert found[1] == BodyReceived(b"hello")


def test_encoding_of_no_body_does_not_matter() -> None:
    _, found = received(GET.replace(b"Host: a", b"Host: a\r\nContent-Encoding: gzip"))
    assert len(found) == 2


# --- the upgrade -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [b"", b"\x81\x80abcd"])
@pytest.mark.parametrize("pump", [False, True])
def test_switching_writes_the_101_and_returns_what_came_behind_the_head(rest: bytes, pump: bool) -> None:
    connection = http()
    connection.receive_data(UPGRADE + rest)
    head = connection.next_event()
    assert isinstance(head, RequestReceived)
    assert head.upgrade
    if pump:
        assert events(connection) == [BodyReceived(b"")]
    assert connection.switch_protocols([(b"Sec-WebSocket-Accept", b"abc=")]) == rest
    assert connection.state is HttpState.SWITCHED
    assert not connection.closing
    assert events(connection) == []
    client = h11.Connection(h11.CLIENT)
    upgrade = [("Host", "a"), ("Upgrade", "websocket"), ("Connection", "upgrade")]
    client.send(h11.Request(method="GET", target="/", headers=upgrade))
    client.send(h11.EndOfMessage())
    client.receive_data(take(connection))
    response = client.next_event()
    assert isinstance(response, h11.InformationalResponse)
    assert list(response.headers) == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", b"abc="),
    ]
    assert client.trailing_data == (b"", False)
    connection.receive_data(GET)
    assert events(connection) == []
    with pytest.raises(LocalProtocolError):
        connection.switch_protocols([])


def test_upgrade_can_be_answered_otherwise() -> None:
    connection, _ = received(UPGRADE + GET)
    connection.respond(400, [], b"no")
    assert read_by_client(take(connection))[0] == 400
    assert len(events(connection)) == 2
    with pytest.raises(LocalProtocolError):
        connection.switch_protocols([])


def test_frames_behind_an_unanswered_upgrade_pause_at_their_bound() -> None:
    connection, _ = received(UPGRADE + b"x" * LIMITS.max_head)
    assert connection.paused
    assert connection.switch_protocols([]) == b"x" * LIMITS.max_head
    assert not connection.paused


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [b"", GET[:1], GET[:-1], POST[:-1], CHUNKED[:-1]])
def test_eof_inside_a_request_closes_silently(part: bytes) -> None:
    connection = http()
    connection.receive_data(part)
    events(connection)
    connection.receive_eof()
    assert events(connection) == []
    assert connection.closing
    assert connection.state is HttpState.CLOSED
    assert take(connection) == b""


def test_requests_in_front_of_eof_are_answered() -> None:
    connection = http()
    connection.receive_data(GET + POST + GET[:10])
    connection.receive_eof()
    for _ in range(2):
        assert len(events(connection)) == 2
        assert not connection.closing
        connection.respond(200, [], b"ok")
    assert events(connection) == []
    assert connection.closing
    assert take(connection).count(b"HTTP/1.1 200 OK") == 2


def test_last_answer_after_eof_says_close() -> None:
    connection, _ = received(GET)
    connection.receive_eof()
    assert events(connection) == []
    assert not connection.closing
    connection.respond(200, [], b"ok")
    assert not read_by_client(take(connection))[3]
    assert connection.closing


@pytest.mark.parametrize("part", [GET[:1], GET[:-1], POST[:-1], CHUNKED[:-1]])
def test_time_out_inside_a_request_is_408(part: bytes) -> None:
    connection = http()
    connection.receive_data(part)
    events(connection)
    connection.timed_out()
    assert read_by_client(take(connection)) == (408, {b"content-length": b"0", b"connection": b"close"}, b"", False)
    assert connection.closing
    assert events(connection) == []


def test_time_out_between_requests_closes_silently() -> None:
    connection = http()
    connection.timed_out()
    assert connection.closing
    assert take(connection) == b""


def test_late_time_out_is_harmless() -> None:
    connection, _ = received(GET)
    connection.timed_out()
    assert not connection.closing
    connection.respond(200, [], close=True)
    output = take(connection)
    connection.timed_out()
    assert take(connection) == b""
    assert read_by_client(output)[0] == 200


def test_state_after_refusal_can_not_be_answered() -> None:
    connection, [_] = received(CHUNKED_HEAD + b"zzz\r\n")
    with pytest.raises(LocalProtocolError):
        connection.respond(200, [])


# --- splits ----------------------------------------------------------------------------------------------------------

good_requests = st.sampled_from(
    [
        GET,
        POST,
        CHUNKED,
        UPGRADE,
        POST[:-9] + b"\r\nExpect: 100-continue\r\n\r\nhello",
        CHUNKED_HEAD + b"0\r\n\r\n",
        CHUNKED_HEAD + b"1\r\nx\r\n" * 10 + b"0\r\n\r\n",
        GET.replace(b"GET", b"HEAD"),
        b"GET / HTTP/1.0\r\n\r\n",
    ]
)
bad_requests = st.sampled_from(
    [stream for _, stream in BAD_REQUESTS.values() if len(stream) < 3_000]
    + [CHUNKED_HEAD + body for _, body in BAD_BODIES.values() if len(body) < 3_000]
)


@given(
    parts=st.tuples(st.lists(good_requests, max_size=4), st.one_of(st.just(b""), bad_requests, st.binary(max_size=40))),
    data=st.data(),
)
def test_any_split_gives_the_same_events_and_output(parts: tuple[list[bytes], bytes], data: st.DataObject) -> None:
    stream = b"".join(parts[0]) + parts[1]
    stream = stream[: data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    split = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = http()
    expected = converse(whole, [stream])
    for pieces in (split, single_bytes(stream)):
        connection = http()
        assert converse(connection, pieces) == expected
        assert (connection.state, connection.closing) == (whole.state, whole.closing)


@given(stream=st.one_of(st.binary(max_size=100), st.tuples(good_requests, st.integers(0, 60), st.binary(max_size=3))))
def test_what_is_accepted_is_what_h11_reads(stream: bytes | tuple[bytes, int, bytes]) -> None:
    if isinstance(stream, tuple):
        request_bytes, position, patch = stream
        stream = request_bytes[:position] + patch + request_bytes[position + len(patch) :]
    connection, found = received(stream)
    if not found:
        assert connection.closing or connection.state in (HttpState.HEAD, HttpState.HEAD_WAIT)
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(stream)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert isinstance(found[0], RequestReceived)
    request = found[0].request
    assert (request.method.encode(), request.target.encode()) == (head.method, head.target)
    assert request.headers.raw == list(head.headers)
    if len(found) == 2:
        body = b""
        while isinstance(event := server.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        assert found[1] == BodyReceived(body)
