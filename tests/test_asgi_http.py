"""Requests of an ASGI server: long-polling, its limits, and clients that go away."""

from __future__ import annotations

import gzip
import json

import pytest

import siocore
from asgi_harness import LOOPS, Server, on_each_loop, run_on, with_options


@on_each_loop
async def test_a_client_opens_a_session_posts_and_polls(server: Server) -> None:
    @server.io.on("echo")
    async def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
        return args

    session = await server.join_polling()
    posted = await server.post(session, '420["echo",1,"é"]')
    assert (posted.status, posted.text) == (200, "ok")
    polled = await server.poll(session)
    assert (polled.status, polled.text) == (200, '430[1,"é"]')
    assert polled.headers == {
        b"content-type": b"text/plain; charset=UTF-8",
        b"cache-control": b"no-store",
        b"content-length": b"%d" % len('430[1,"é"]'.encode()),
    }
    assert server.connections == 0


@on_each_loop
async def test_a_get_is_parked_until_there_is_something_to_say(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    await server.sleep(10)
    assert not parked.sent
    server.io.emit("news", 1)
    server.io.emit("news", 2)
    await server.settle()
    assert parked.text == '42["news",1]\x1e42["news",2]'
    assert parked.done
    assert parked.error is None


@on_each_loop
async def test_a_long_answer_is_compressed_if_the_client_accepts_it(server: Server) -> None:
    session = await server.join_polling()
    for coding in ("gzip", "identity"):
        server.io.emit("news", "a" * 5_000)
        polled = await server.request("GET", session, headers={"accept-encoding": coding})
        body = polled.sent[1]["body"]
        assert polled.headers[b"vary"] == b"Accept-Encoding"
        assert polled.headers[b"content-length"] == b"%d" % len(body)
        assert polled.headers.get(b"content-encoding", b"identity") == coding.encode()
        plain = gzip.decompress(body) if coding == "gzip" else body
        assert plain == b'42["news","%s"]' % (b"a" * 5_000)


@with_options(per_message_deflate=True)
async def test_messages_of_websockets_are_left_to_the_server_to_compress(server: Server) -> None:
    socket = await server.join_websocket()
    server.io.emit("news", "a" * 5_000)
    await server.settle()
    assert socket.heard == ['42["news","%s"]' % ("a" * 5_000)]


@on_each_loop
async def test_a_silent_client_is_pinged_and_timed_out(server: Server) -> None:
    reasons: list[str] = []

    @server.io.on("disconnect")
    def gone(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)

    session = await server.join_polling()
    parked = await server.poll(session)
    await server.sleep(25.1)
    assert parked.text == "2"
    await server.sleep(19.8)
    assert not reasons
    await server.sleep(0.2)
    assert reasons == ["ping timeout"]


@on_each_loop
async def test_a_parked_get_that_is_left_ends_the_session(server: Server) -> None:
    reasons: list[str] = []

    @server.io.on("disconnect")
    def gone(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)

    session = await server.join_polling()
    parked = await server.poll(session)
    parked.disconnect()
    await server.settle()
    assert parked.done
    assert not parked.sent
    assert reasons == ["transport error"]
    assert server.sessions == server.connections == 0


@on_each_loop
async def test_a_second_get_is_refused_and_ends_the_session(server: Server) -> None:
    session = await server.join_polling()
    first = await server.poll(session)
    second = await server.poll(session)
    assert (second.status, second.text) == (400, "")
    assert first.text == "1"
    assert server.sessions == 0


@on_each_loop
async def test_a_second_post_is_refused_and_ends_the_session(server: Server) -> None:
    session = await server.join_polling()
    first = await server.request("POST", session, None)
    second = await server.post(session, "42[]")
    assert (second.status, second.text) == (400, "")
    assert server.sessions == 0
    first.tell(type="http.request", body=b"40")
    await server.settle()
    assert first.status == 400


@with_options(limits=siocore.Limits(max_payload=1_000))
async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(server: Server) -> None:
    session = await server.join_polling()
    filler = "x" * (1_000 - len('42["e",""]'))
    assert (await server.post(session, f'42["e","{filler}"]')).text == "ok"
    over = await server.post(session, f'42["e","{filler}x"]')
    assert (over.status, over.text) == (413, "")
    assert server.sessions == 1


@with_options(limits=siocore.Limits(max_payload=1_000))
async def test_a_body_that_grows_above_the_limit_is_refused_at_once(server: Server) -> None:
    session = await server.join_polling()
    post = await server.request("POST", session, None)
    for _ in range(10):
        post.tell(type="http.request", body=b"x" * 100, more_body=True)
    await server.settle()
    assert not post.sent
    for _ in range(10):
        post.tell(type="http.request", body=b"x", more_body=True)
    await server.settle()
    assert post.status == 413
    assert post.received == 11
    assert server.sessions == 1
    # The next one is taken: the refused one occupies nothing.
    assert (await server.post(session, "3")).text == "ok"


@with_options(limits=siocore.Limits(max_payload=1_000))
async def test_a_declared_length_above_the_limit_is_refused_before_the_body_is_read(server: Server) -> None:
    session = await server.join_polling()
    post = await server.request("POST", session, None, headers={"content-length": "1001"})
    assert post.status == 413
    assert post.received == 0
    assert server.sessions == 1


@on_each_loop
async def test_a_compressed_body_is_refused(server: Server) -> None:
    session = await server.join_polling()
    post = await server.request("POST", session, b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert post.status == 415
    assert server.sessions == 1


@with_options(limits=siocore.Limits(body_timeout=3.0))
async def test_a_body_that_does_not_arrive_in_time_ends_the_session(server: Server) -> None:
    session = await server.join_polling()
    post = await server.request("POST", session, None)
    post.tell(type="http.request", body=b"4", more_body=True)
    await server.sleep(2.9)
    assert not post.sent
    await server.sleep(0.2)
    assert post.status == 408
    assert server.sessions == 0


@on_each_loop
async def test_a_body_in_pieces_is_put_together(server: Server) -> None:
    got: list[object] = []
    server.io.on("e")(lambda socket, value: got.append(value))
    session = await server.join_polling()
    post = await server.request("POST", session, None)
    for piece in (b'42["e', b"", '","é'.encode()[:-1], '","é'.encode()[-1:], b'"]'):
        post.tell(type="http.request", body=piece, more_body=piece != b'"]')
    await server.settle()
    assert post.text == "ok"
    assert got == ["é"]


@on_each_loop
async def test_a_client_that_goes_away_within_a_body_ends_the_session(server: Server) -> None:
    session = await server.join_polling()
    post = await server.request("POST", session, None)
    post.tell(type="http.request", body=b"4", more_body=True)
    post.disconnect()
    await server.settle()
    assert post.done
    assert not post.sent
    assert server.sessions == 0


@on_each_loop
async def test_an_answer_that_the_client_left_takes_its_session_along(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    parked.fails = BrokenPipeError()
    server.io.emit("news")
    await server.settle()
    assert parked.done
    assert parked.error is None
    assert server.sessions == 0


@on_each_loop
async def test_an_error_of_the_asgi_server_is_not_hidden(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    parked.fails = ValueError("not so")
    server.io.emit("news")
    await server.settle()
    assert parked.error is parked.fails
    assert server.sessions == 0


@with_options(ping_interval=5.0, ping_timeout=2.0)
async def test_an_answer_that_nobody_reads_is_given_up(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    parked.blocked = True
    server.io.emit("news")
    await server.settle()
    assert server.connections == 1
    await server.sleep(7.1)
    assert parked.done
    assert server.sessions == server.connections == 0


@with_options(limits=siocore.Limits(max_buffered=1_000))
async def test_what_waits_for_a_client_is_bounded_while_its_answer_is_stuck(server: Server) -> None:
    reasons: list[str] = []

    @server.io.on("disconnect")
    def gone(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)

    session = await server.join_polling()
    parked = await server.poll(session)
    parked.blocked = True
    for _ in range(30):
        server.io.emit("news", "x" * 100)
        await server.settle()
    assert reasons == ["slow consumer"]


@on_each_loop
async def test_a_cancelled_request_is_a_lost_one(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    parked.cancel()
    await server.settle()
    assert parked.done
    assert not parked.sent
    assert server.sessions == server.connections == 0


@with_options(limits=siocore.Limits(max_running_handlers=1, max_held=1))
async def test_a_post_waits_while_too_many_handlers_run(server: Server) -> None:
    gate = server.new_waiter()
    calls: list[object] = []

    @server.io.on("slow")
    async def slow(socket: siocore.Socket, number: int) -> None:
        calls.append(number)
        if number == 1:
            await gate.wait()

    session = await server.join_polling()
    assert (await server.post(session, '42["slow",1]\x1e42["slow",2]')).text == "ok"
    held = await server.post(session, '42["slow",3]')
    assert not held.sent
    assert calls == [1]
    gate.wake()
    await server.settle()
    assert held.text == "ok"
    assert calls == [1, 2, 3]


@on_each_loop
async def test_refused_requests_get_the_documented_answers(server: Server) -> None:
    errors: list[int] = []
    server.io.on("connection_error")(lambda event: errors.append(event.code))
    for method, query, status, code, text in (
        ("GET", "EIO=4&transport=pigeon", 400, 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=unknown", 400, 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 400, 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 400, 3, "Bad request"),
        ("GET", "EIO=9&transport=polling", 400, 5, "Unsupported protocol version"),
    ):
        answer = await server.request(method, query)
        body = json.loads(answer.text)
        assert (answer.status, body["code"], body["message"]) == (status, code, text)
        assert answer.headers[b"content-type"] == b"application/json"
    refused = await server.request("GET", "EIO=4&transport=polling", headers={"origin": "https://evil.example"})
    assert refused.status == 403
    assert errors == [0, 1, 2, 3, 5, 4]


@with_options(cors_origins="*")
async def test_answers_carry_cors_headers_and_none_of_the_connection(server: Server) -> None:
    answer = await server.request("GET", "EIO=4&transport=polling", headers={"origin": "https://else.example"})
    assert answer.headers[b"access-control-allow-origin"] == b"*"
    preflight = await server.request("OPTIONS", headers={"origin": "https://else.example"})
    assert preflight.status == 204
    assert b"content-length" not in preflight.headers
    for call in (answer, preflight):
        assert all(name == name.lower() for name in call.headers)
        assert not {b"connection", b"transfer-encoding", b"upgrade", b"keep-alive"} & set(call.headers)


@on_each_loop
async def test_handlers_that_suspend_outlive_the_request_that_brought_their_event(server: Server) -> None:
    @server.io.on("slow")
    async def slow(socket: siocore.Socket) -> str:
        await server.sleep(1.0)
        return "done"

    session = await server.join_polling()
    assert (await server.post(session, '421["slow"]')).done
    parked = await server.poll(session)
    await server.sleep(1.1)
    assert parked.text == '431["done"]'


@on_each_loop
async def test_handlers_start_in_the_order_of_their_events(server: Server) -> None:
    order: list[object] = []

    @server.io.on("e")
    async def event(socket: siocore.Socket, number: int) -> None:
        order.append(number)
        if number % 3 == 0:
            await server.sleep(0.5)

    session = await server.join_polling()
    for start in (0, 10, 20):
        await server.post(session, "\x1e".join(f'42["e",{number}]' for number in range(start, start + 10)))
    assert order == list(range(30))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handler_that_fails_is_logged_and_harms_nobody(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: Server) -> None:
        @server.io.on("fail")
        async def fail(socket: siocore.Socket) -> None:
            raise ValueError("of a handler")

        session = await server.join_polling()
        assert (await server.post(session, '42["fail"]')).text == "ok"
        assert server.sessions == 1

    run_on(loop, scenario)
    assert [record.exc_info and str(record.exc_info[1]) for record in caplog.records] == ["of a handler"]


@on_each_loop
async def test_head_is_answered_without_a_body(server: Server) -> None:
    server.io.add_resource("/page", b"<p>hello</p>", "text/html")
    got = await server.request("GET", path="/page")
    assert got.text == "<p>hello</p>"
    head = await server.request("HEAD", path="/page")
    assert head.text == ""
    assert head.headers[b"content-length"] == b"12"
