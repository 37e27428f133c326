"""The application decides about handshakes: allow_request and generate_session_id, over both transports."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, RawWebSocket, SocketApp, assert_nothing_left
from siocore import EngineServerProtocol, Limits, LocalProtocolError, Request, RequestRefused, ServerOptions
from siocore.events import HandshakeRequested
from siocore.testing.wire import WEBSOCKET_HEADERS, Response, masked_frame, request_bytes

TRANSPORTS = ["polling", "websocket"]
HANDSHAKE = "/engine.io/?EIO=4&transport={}"


def handshake(app: EngineApp | SocketApp, transport: str, query: str = "") -> tuple[RawHttp, Response | None]:
    """Ask for a session; the connection, and the answer if there is one."""
    http = RawHttp(app.server)
    target = f"{app.server.protocol.options.path}?EIO=4&transport={transport}{query}"
    return http, http.request("GET", target, WEBSOCKET_HEADERS if transport == "websocket" else ())


def status(app: EngineApp, transport: str, query: str = "") -> int:
    _, response = handshake(app, transport, query)
    assert response is not None
    return response.status


class Waiting(EngineApp):
    """A server whose allow_request waits at a gate, then returns ``verdict``, or raises it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_request=self.allow, **options)
        self.asked: list[Request] = []
        self.verdict: object = True
        self.gate = self.server.new_waiter()

    async def allow(self, request: Request) -> object:
        self.asked.append(request)
        await self.gate
        if isinstance(self.verdict, BaseException):
            raise self.verdict
        return self.verdict

    def open_gate(self) -> None:
        self.gate.wake()
        self.server.settle()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("verdict", "allowed"), [(True, True), (None, True), ("user", True), (False, False), (0, False)]
)
def test_what_is_false_but_not_none_refuses(verdict: object, allowed: bool, transport: str) -> None:
    engine = EngineApp(allow_request=lambda request: verdict)
    refused = 400 if transport == "websocket" else 403
    assert status(engine, transport) == (refused if not allowed else 101 if transport == "websocket" else 200)
    assert len(engine.opened) == allowed
    assert [code for code, _ in engine.errors] == ([] if allowed else [4])


def test_the_application_sees_the_request_that_it_decides_about() -> None:
    engine = EngineApp(allow_request=lambda request: request.query.get("token") == ["s3cret"])
    assert status(engine, "polling") == 403
    assert status(engine, "polling", "&token=guess") == 403
    assert status(engine, "polling", "&token=s3cret") == 200


def test_a_refusal_over_polling_has_the_applications_message_and_status() -> None:
    def allow(request: Request) -> None:
        raise RequestRefused("too many of you", status=429)

    _, response = handshake(EngineApp(allow_request=allow), "polling")
    assert response is not None
    assert response.status == 429
    assert response.headers["content-type"] == "application/json"
    body = json.loads(response.body)
    assert (body["code"], body["message"]) == (4, "too many of you")


def test_a_refusal_over_websocket_is_a_clean_400_before_the_101() -> None:
    def allow(request: Request) -> None:
        raise RequestRefused("gesperrt: ß \ud800", status=503)

    http, response = handshake(EngineApp(allow_request=allow), "websocket")
    assert response is not None
    assert response.status == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.body.decode().startswith("gesperrt: ß ?: ")
    assert http.ended


def test_the_refusal_is_an_event_with_the_message() -> None:
    def allow(request: Request) -> None:
        raise RequestRefused("nope reason")

    engine = EngineApp(allow_request=allow)
    status(engine, "polling")
    assert engine.errors == [(4, {"message": "nope reason"})]


@pytest.mark.parametrize("wrong", [200, 399, 600, 0])
def test_a_refusal_needs_a_status_of_a_refusal(wrong: int) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        RequestRefused("no", status=wrong)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_failure_refuses_and_is_told_to_the_log_and_the_hook_but_not_to_the_client(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    def allow(request: Request) -> bool:
        raise KeyError("database password")

    engine = EngineApp(allow_request=allow)
    failures: list[tuple[str, str]] = []
    engine.app.on_error(lambda error, request, name: failures.append((repr(error), name)))
    _, response = handshake(engine, transport)
    assert response is not None
    assert response.status == (400 if transport == "websocket" else 500)
    assert b"password" not in response.body
    assert b"Forbidden" in response.body
    assert failures == [("KeyError('database password')", "allow_request")]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert engine.opened == []


def test_only_handshakes_are_asked_about() -> None:
    asked: list[str] = []
    engine = EngineApp(allow_request=lambda request: asked.append(request.method))
    polling = RawPolling(engine.server)
    polling.post(b"4x")
    websocket = polling.upgrade()
    websocket.send("4y")
    engine.server.request("GET", "/engine.io/?EIO=4&transport=polling&sid=unknown")
    engine.server.request("GET", "/engine.io/?EIO=4&transport=polling", [("Origin", "https://evil.example")])
    engine.server.request("GET", "/engine.io/?EIO=9&transport=polling")
    engine.server.request("OPTIONS", "/engine.io/?EIO=4&transport=polling")
    assert asked == ["GET"]
    assert engine.messages == ["x", "y"]


def test_without_the_options_there_is_no_event() -> None:
    protocol = EngineServerProtocol(ServerOptions(path="/engine.io/"))
    connection = protocol.connection_made(None, now=0.0)
    connection.receive_data(request_bytes("GET", HANDSHAKE.format("polling")), now=0.0)
    assert len(protocol.sessions) == 1
    assert not isinstance(protocol.next_event(), HandshakeRequested)
    assert protocol.pending == {}


# While the application decides --------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_client_waits_for_a_coroutine(transport: str) -> None:
    engine = Waiting()
    http, response = handshake(engine, transport)
    assert response is None
    assert engine.server.protocol.sessions == {}
    engine.open_gate()
    answer = http.answer()
    assert answer is not None
    assert answer.status == (101 if transport == "websocket" else 200)
    assert len(engine.opened) == 1
    assert engine.server.protocol.pending == {}


def test_others_are_served_meanwhile() -> None:
    engine = Waiting()
    slow, _ = handshake(engine, "polling")
    quick, _ = handshake(engine, "polling")
    assert len(engine.asked) == 2
    engine.open_gate()
    assert [http.answer() is not None for http in (slow, quick)] == [True, True]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_decision_in_time_refuses_and_a_late_one_changes_nothing(transport: str) -> None:
    engine = Waiting(limits=Limits(handshake_timeout=3))
    http, _ = handshake(engine, transport)
    engine.server.advance(2.9)
    assert http.answer() is None
    engine.server.advance(0.2)
    answer = http.answer()
    assert answer is not None
    assert answer.status == (400 if transport == "websocket" else 503)
    assert engine.errors == [(4, {"name": "HANDSHAKE_TIMEOUT"})]
    engine.open_gate()
    assert http.answer() is None
    assert engine.opened == []
    http.stream.close()
    engine.server.settle()
    engine.assert_nothing_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("verdict", [True, False, RequestRefused("no"), ValueError("oops")], ids=repr)
@pytest.mark.parametrize("way", ["close", "write_eof", "reset"])
def test_a_client_that_goes_away_gets_no_session(way: str, verdict: object, transport: str) -> None:
    engine = Waiting()
    engine.verdict = verdict
    http, _ = handshake(engine, transport)
    getattr(http.stream, way)()
    engine.server.settle()
    assert engine.server.protocol.pending == {}
    if way != "write_eof":
        assert len(engine.server.protocol.timers) == 0
    engine.open_gate()
    assert engine.opened == []
    assert engine.server.protocol.sessions == {}
    http.stream.close()
    engine.server.settle()
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_requests_behind_a_waiting_one_are_answered_after_it_in_order() -> None:
    engine = Waiting()
    http = RawHttp(engine.server)
    first = request_bytes("GET", HANDSHAKE.format("polling"))
    http.send(first + request_bytes("GET", "/nothing") + request_bytes("GET", "/engine.io/?EIO=4&transport=x"))
    assert http.responses == []
    engine.open_gate()
    assert [each.status for each in http.responses] == [200, 404, 400]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_sent_behind_a_waiting_request_is_kept_within_bounds(transport: str) -> None:
    engine = Waiting(limits=Limits(max_head=1_024))
    http, _ = handshake(engine, transport)
    (connection,) = engine.server.protocol.connections
    http.send(b"\r" * 1_023)
    assert connection.wants_read
    http.send(b"\r")
    assert not connection.wants_read
    engine.open_gate()
    assert connection.wants_read


def test_frames_that_came_while_the_application_decided_are_read_in_order() -> None:
    engine = Waiting()
    websocket = RawWebSocket(engine.server, trailing=masked_frame(1, b"4one"))
    websocket.raw(masked_frame(1, b"4two"))
    assert engine.messages == []
    engine.open_gate()
    assert engine.messages == ["one", "two"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_stops_refuses_those_who_wait(transport: str) -> None:
    engine = Waiting()
    http, _ = handshake(engine, transport)
    engine.server.shutdown()
    answer = http.answer()
    assert answer is not None
    assert answer.status == 503
    assert http.ended
    engine.open_gate()
    assert engine.opened == []


@pytest.mark.parametrize("asks", [True, False])
def test_a_handshake_that_is_complete_after_the_server_stopped_gets_no_session(asks: bool) -> None:
    engine = EngineApp(allow_request=(lambda request: True) if asks else None)
    http = RawHttp(engine.server)
    http.send(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    engine.server.shutdown()
    answer = http.send(b"b")
    assert answer is not None
    assert answer.status == 503
    assert engine.opened == []


def test_a_cancelled_decision_refuses() -> None:
    engine = Waiting()
    engine.verdict = KeyboardInterrupt()
    http, _ = handshake(engine, "polling")
    with pytest.raises(KeyboardInterrupt):
        engine.open_gate()
    engine.server.settle()
    answer = http.answer()
    assert answer is not None
    assert answer.status == 503


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("verdict", [True, False])
def test_a_thousand_decisions_leave_nothing_behind(verdict: bool, transport: str) -> None:
    engine = EngineApp(allow_request=lambda request: verdict)
    for _ in range(1_000):
        http, _ = handshake(engine, transport)
        http.stream.close()
        engine.server.settle()
    engine.server.advance(120)
    engine.assert_nothing_left()


def test_a_socketio_server_asks_as_well() -> None:
    app = SocketApp(allow_request=lambda request: "token" in request.query)
    _, refused = handshake(app, "polling")
    assert refused is not None
    assert refused.status == 403
    polling = RawPolling(app.server, "&token=1")
    polling.post(b"40")
    assert app.events == [("connection",)]


# Ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_application_can_make_the_session_id_from_the_request(transport: str) -> None:
    engine = EngineApp(generate_session_id=lambda request: "worker-7_" + request.query["n"][0])
    status(engine, transport, "&n=1")
    assert engine.opened[0].sid == "worker-7_1"


def test_making_the_id_may_take_a_coroutine() -> None:
    async def make(request: Request) -> str:
        await gate
        return "x" * 100

    engine = EngineApp(generate_session_id=make)
    gate = engine.server.new_waiter()
    http, response = handshake(engine, "polling")
    assert response is None
    gate.wake()
    engine.server.settle()
    answer = http.answer()
    assert answer is not None
    assert json.loads(answer.body[1:])["sid"] == "x" * 100


def maker(option: str, make: Callable[[], object]) -> dict[str, Any]:
    """The option that makes ids, with or without a request."""
    return {option: make if option == "generate_id" else lambda request: make()}


@pytest.mark.parametrize("option", ["generate_session_id", "generate_id"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "made", ["", "x" * 101, "a b", "a&b", 'a"b', "a\r\nb", "ä", "\ud800", 7, None, b"bytes", ["list"]], ids=repr
)
def test_what_can_not_be_an_id_is_refused_with_code_3(
    made: object, transport: str, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EngineApp(**maker(option, lambda: made))
    _, response = handshake(engine, transport)
    assert response is not None
    assert response.status == 400
    assert b"Bad request" in response.body
    ((code, context),) = engine.errors
    assert (code, context["name"]) == (3, "ID_GENERATION_ERROR")
    assert isinstance(context["error"], LocalProtocolError)
    assert "base64url" in caplog.text
    assert engine.server.protocol.sessions == {}


@pytest.mark.parametrize("option", ["generate_session_id", "generate_id"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_id_that_is_taken_is_refused_and_its_session_lives(transport: str, option: str) -> None:
    engine = EngineApp(**maker(option, lambda: "same"))
    polling = RawPolling(engine.server)
    assert status(engine, transport) == 400
    polling.post(b"4x")
    assert engine.messages == ["x"]
    assert len(engine.opened) == 1


@pytest.mark.parametrize("option", ["generate_session_id", "generate_id"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_failure_to_make_an_id_is_code_3(transport: str, option: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise OSError("no entropy")

    engine = EngineApp(**maker(option, fail))
    _, response = handshake(engine, transport)
    assert response is not None
    assert response.status == 400
    assert b"entropy" not in response.body
    assert engine.errors[0][0] == 3
    assert "no entropy" in caplog.text


def test_who_drives_the_protocol_answers_the_event() -> None:
    protocol = EngineServerProtocol(ServerOptions(path="/engine.io/", allow_request=lambda request: True))
    connection = protocol.connection_made(None, now=0.0)
    connection.receive_data(request_bytes("GET", HANDSHAKE.format("polling")), now=0.0)
    event = protocol.next_event()
    assert isinstance(event, HandshakeRequested)
    with pytest.raises(LocalProtocolError, match="base64url"):
        event.handshake.accept("no id")
    assert event.handshake.waiting
    assert event.handshake.accept("mine")
    assert not event.handshake.waiting
    assert not event.handshake.accept("again")
    event.handshake.refuse()
    assert list(protocol.sessions) == ["mine"]
    assert connection.data_to_send().count(b"HTTP/1.1") == 1


def test_a_client_that_has_half_closed_in_the_same_turn_gets_no_session() -> None:
    protocol = EngineServerProtocol(ServerOptions(path="/engine.io/", allow_request=lambda request: True))
    connection = protocol.connection_made(None, now=0.0)
    connection.receive_data(request_bytes("GET", HANDSHAKE.format("polling")), now=0.0)
    connection.receive_eof(now=0.0)
    event = protocol.next_event()
    assert isinstance(event, HandshakeRequested)
    assert not event.handshake.accept()
    assert protocol.sessions == {}


@pytest.mark.parametrize("name", ["allow_request", "generate_session_id", "headers", "initial_headers"])
def test_a_hook_must_be_a_function(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ServerOptions(**{name: "yes"})  # type: ignore[arg-type]


def test_nothing_is_left_of_a_socketio_server_that_refused() -> None:
    app = SocketApp(allow_request=lambda request: False)
    http, _ = handshake(app, "polling")
    http.stream.close()
    app.server.settle()
    assert_nothing_left(app.server)
