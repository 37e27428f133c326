"""How a session ends: from either side, in every state, with which reason, and what the other side is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, RawWebSocket, SocketApp
from siocore.testing import EngineClient, TestServer
from siocore.testing.wire import CLOSE, PING, PONG, TEXT, masked_frame


def open_websocket(engine: EngineApp) -> RawWebSocket:
    websocket = RawWebSocket(engine.server)
    websocket.take()
    return websocket


def after_a_minute(engine: EngineApp) -> None:
    engine.server.advance(60)
    engine.assert_nothing_left()


# The server closes ---------------------------------------------------------------------------------------------


def test_over_websocket_the_client_gets_a_close_frame_behind_what_was_sent() -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    engine.opened[0].send("last words")
    engine.opened[0].close()
    engine.server.settle()
    assert websocket.take() == ["4last words"]
    assert websocket.close_code == 1000
    assert engine.closed == ["forced close"]
    # The answer to the close frame ends the TCP connection, from the server's side.
    assert not websocket.ended
    websocket.raw(masked_frame(CLOSE, (1000).to_bytes(2, "big")))
    assert websocket.ended
    engine.assert_nothing_left()


def test_over_polling_a_parked_get_is_answered_with_the_close_packet() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    engine.opened[0].close()
    engine.server.settle()
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"1"
    assert engine.closed == ["forced close"]
    after_a_minute(engine)


def test_without_a_parked_get_the_next_ones_carry_the_messages_and_the_close_packet() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    engine.opened[0].send("last words")
    engine.opened[0].close()
    engine.server.settle()
    assert engine.closed == ["forced close"]
    engine.server.advance(10)
    first, second = polling.get(), polling.get()
    assert first is not None
    assert second is not None
    assert (first.body, second.body) == (b"4last words", b"1")
    third = polling.get()
    assert third is not None
    assert third.status == 400
    after_a_minute(engine)


def test_a_closed_polling_session_is_forgotten_when_no_get_comes() -> None:
    engine = EngineApp()
    RawPolling(engine.server)
    engine.opened[0].close()
    engine.server.advance(29.9)
    assert len(engine.server.protocol.sessions) == 1
    engine.server.advance(0.1)
    assert engine.server.protocol.sessions == {}
    assert engine.closed == ["forced close"]


def test_nothing_is_delivered_after_the_application_has_closed_the_session() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = open_websocket(engine)
    for session in engine.opened:
        session.close()
    engine.server.settle()
    answer = polling.post(b"4late")
    assert answer is not None
    assert answer.status == 400
    websocket.send("4late")
    assert engine.messages == []


def test_a_post_whose_body_is_under_way_at_the_close_is_refused() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    head = f"POST {polling.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    polling.posts.send(head.encode())
    engine.opened[0].close()
    answer = polling.posts.send(b"4late")
    assert answer is not None
    assert answer.status == 400
    assert engine.messages == []


def test_a_handler_may_close_its_session_in_the_middle_of_a_payload() -> None:
    engine = EngineApp()
    engine.app.on("message")(lambda session, data: session.close())
    polling = RawPolling(engine.server)
    polling.post(b"4a\x1e4b")
    # Both had arrived; the handlers of an event that is under way are not interrupted.
    assert engine.messages[0] == "a"
    assert engine.closed == ["forced close"]


# The client closes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_frame_is_answered_and_ends_the_connection(code: int) -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.raw(masked_frame(CLOSE, code.to_bytes(2, "big")))
    assert websocket.close_code == code
    assert websocket.ended
    assert engine.closed == ["transport close"]
    engine.assert_nothing_left()


def test_messages_in_front_of_the_close_frame_are_delivered_and_those_behind_are_not() -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.raw(masked_frame(TEXT, b"4a") + masked_frame(CLOSE, b"\x03\xe8") + masked_frame(TEXT, b"4b"))
    assert engine.messages == ["a"]


def test_both_sides_may_close_at_once() -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.stream.write(masked_frame(CLOSE, b"\x03\xe8"))
    engine.opened[0].close()
    engine.server.settle()
    assert engine.closed == ["forced close"]
    assert websocket.ended
    engine.assert_nothing_left()


def test_a_close_packet_by_post_ends_the_session_and_releases_the_get_with_a_noop() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    answer = polling.post(b"1")
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ok")
    get = polling.gets.answer()
    assert get is not None
    assert get.body == b"6"
    assert engine.closed == ["transport close"]
    after_a_minute(engine)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_websocket_that_just_ends_is_a_transport_close(how: str) -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    getattr(websocket.stream, how)()
    engine.server.settle()
    assert engine.closed == ["transport close"]
    after_a_minute(engine)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked_frame(TEXT, b"x", rsv=1), 1002),
        (masked_frame(3, b"x"), 1002),
        (masked_frame(TEXT, b"\xff"), 1007),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009),
        (masked_frame(CLOSE, b"\x03"), 1002),
    ],
)
def test_a_peer_that_breaks_rfc_6455_is_a_transport_error(frame: bytes, code: int) -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.raw(frame)
    assert websocket.close_code == code
    assert engine.closed == ["transport error"]
    after_a_minute(engine)


@pytest.mark.parametrize("text", ["9", "x", "", "b*"])
def test_a_bad_packet_over_websocket_is_a_parse_error(text: str) -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.send("4before", text, "4behind")
    assert engine.messages == ["before"]
    assert engine.closed == ["parse error"]
    assert websocket.close_code == 1002


@pytest.mark.parametrize("text", ["0", "1", "5", "6"])
def test_packets_that_mean_nothing_over_websocket_are_ignored(text: str) -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.send(text, "4x")
    if text == "1":
        assert engine.closed == ["transport close"]
    else:
        assert engine.messages == ["x"]


def test_pings_of_the_websocket_layer_are_answered_and_their_pongs_ignored() -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    websocket.raw(masked_frame(PING, b"hello") + masked_frame(PONG, b"unasked"))
    assert websocket.frames[-1] == (PONG, b"hello")
    assert engine.closed == []


# Reasons -------------------------------------------------------------------------------------------------------


def ping_timeout(app: SocketApp, polling: RawPolling) -> None:
    app.server.advance(50)


SOCKET_REASONS: list[tuple[str, Callable[[SocketApp, RawPolling], object]]] = [
    ("ping timeout", ping_timeout),
    ("transport close", lambda app, polling: polling.post(b"1")),
    ("transport error", lambda app, polling: polling.post(b"2")),
    ("parse error", lambda app, polling: polling.post(b"9")),
    ("forced close", lambda app, polling: polling.post(b"4abc")),
    ("client namespace disconnect", lambda app, polling: polling.post(b"41")),
    ("server namespace disconnect", lambda app, polling: app.app.disconnect_sockets()),
    # DISCONNECT goes out first, then the connection ends.
    ("server namespace disconnect", lambda app, polling: app.app.disconnect_sockets(close=True)),
    ("forced server close", lambda app, polling: polling.post(b"40")),
    ("server shutting down", lambda app, polling: app.server.shutdown()),
]


@pytest.mark.parametrize(("reason", "act"), SOCKET_REASONS)
def test_a_disconnect_handler_is_told_the_reason_once(
    reason: str, act: Callable[[SocketApp, RawPolling], object]
) -> None:
    app = SocketApp()
    polling = RawPolling(app.server)
    polling.post(b"40")
    act(app, polling)
    app.server.settle()
    app.server.advance(100)
    assert [event for event in app.events if event[0] == "disconnect"] == [("disconnect", reason)]


# Shutdown ------------------------------------------------------------------------------------------------------


def test_shutdown_tells_every_client_after_what_was_sent_before() -> None:
    engine = EngineApp()
    websocket = open_websocket(engine)
    parked, idle = RawPolling(engine.server), RawPolling(engine.server)
    parked.get()
    for session in engine.opened:
        session.send("last words")
    engine.server.protocol.shutdown(now=engine.server.clock.now)
    engine.server.settle()
    assert websocket.take() == ["4last words"]
    assert websocket.close_code == 1001
    assert engine.closed == ["server shutting down"] * 3
    answer = parked.gets.answer()
    assert answer is not None
    assert answer.body == b"4last words"
    refused = engine.server.request("GET", "/engine.io/?EIO=4&transport=polling")
    assert (refused.status, refused.headers["connection"]) == (503, "close")
    # Who polls gets the rest, on the connections that it has; then these end.
    for polling, bodies in ((parked, [b"1"]), (idle, [b"4last words", b"1"])):
        for body in bodies:
            assert not polling.gets.ended
            answer = polling.get()
            assert answer is not None
            assert answer.body == body
    assert parked.gets.ended
    assert idle.gets.ended
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_shutdown_closes_idle_connections_at_once() -> None:
    engine = EngineApp()
    idle = RawHttp(engine.server)
    engine.server.shutdown()
    assert idle.ended


def test_shutdown_ends_with_nothing_left_even_if_clients_do_not_answer() -> None:
    engine = EngineApp()
    for transport in ("websocket", "polling"):
        client = EngineClient(engine.server, transport)
        client.open()
        for link in client.links:
            link.stall()
    engine.server.shutdown()
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_abort_drops_everything_at_once() -> None:
    engine = EngineApp()
    open_websocket(engine)
    RawPolling(engine.server).get()
    engine.server.close()
    assert engine.closed == ["server shutting down"] * 2
    engine.assert_nothing_left()


def test_an_application_can_be_given_to_another_server_afterwards() -> None:
    engine = EngineApp()
    open_websocket(engine)
    engine.server.close()
    assert TestServer(engine.app).request("GET", "/engine.io/?EIO=4&transport=polling").status == 200
