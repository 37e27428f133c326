"""Every deadline: whoever is late is gone on time, and leaves nothing."""

from __future__ import annotations

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, RawWebSocket, SocketApp, assert_nothing_left, message_frame
from siocore import Limits
from siocore.testing import TestClient
from siocore.testing.wire import BINARY, TEXT, masked_frame, request_bytes


def drip(http: RawHttp, data: bytes, seconds: float) -> float | None:
    """Send a byte each second; when the server ended the connection, if it did."""
    for index in range(int(seconds)):
        if http.ended:
            return http.server.clock.now
        http.stream.write(data[index : index + 1])
        http.server.advance(1)
    return http.server.clock.now if http.ended else None


def test_a_connection_that_says_nothing_is_closed_after_the_head_timeout() -> None:
    engine = EngineApp(limits=Limits(head_timeout=10))
    http = RawHttp(engine.server)
    engine.server.advance(9.9)
    assert not http.ended
    engine.server.advance(0.1)
    assert http.ended
    assert http.responses == []
    engine.server.advance(5)
    engine.assert_nothing_left()


def test_a_head_that_drips_in_gets_408_at_the_head_timeout() -> None:
    engine = EngineApp(limits=Limits(head_timeout=10))
    http = RawHttp(engine.server)
    head = request_bytes("GET", "/engine.io/?EIO=4&transport=polling")
    assert drip(http, head, 30) == 10
    assert [response.status for response in http.responses] == [408]
    engine.server.advance(10)
    engine.assert_nothing_left()


def test_a_body_that_drips_in_ends_the_session_at_the_body_timeout() -> None:
    engine = EngineApp(limits=Limits(body_timeout=30))
    polling = RawPolling(engine.server)
    http = RawHttp(engine.server)
    http.send(request_bytes("POST", polling.target, [("Content-Length", "1000")]))
    assert drip(http, b"x" * 1_000, 60) == 30
    assert [response.status for response in http.responses] == [408]
    assert engine.closed == ["transport error"]
    engine.server.advance(10)
    engine.assert_nothing_left()


def test_an_idle_connection_is_kept_for_the_keep_alive_timeout() -> None:
    engine = EngineApp(limits=Limits(keep_alive_timeout=20))
    http = RawHttp(engine.server)
    assert http.request("GET", "/nothing") is not None
    engine.server.advance(19.9)
    assert http.request("GET", "/nothing") is not None
    engine.server.advance(19.9)
    assert not http.ended
    engine.server.advance(0.1)
    assert http.ended
    engine.assert_nothing_left()


def test_a_parked_get_has_no_deadline_but_the_heartbeats() -> None:
    engine = EngineApp(ping_interval=1_000)
    polling = RawPolling(engine.server)
    polling.get()
    engine.server.advance(999)
    assert not polling.gets.ended
    assert engine.closed == []


@pytest.mark.parametrize("begin", [b"\x81", b"\x82\x85", masked_frame(BINARY, b"x" * 100)[:50]])
def test_a_frame_that_is_not_completed_ends_the_session_at_the_frame_timeout(begin: bytes) -> None:
    engine = EngineApp(limits=Limits(frame_timeout=20), ping_interval=100)
    websocket = RawWebSocket(engine.server)
    websocket.raw(begin)
    engine.server.advance(19.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["transport error"]
    assert websocket.close_code == 1008
    engine.server.advance(10)
    engine.assert_nothing_left()


def test_a_fragmented_message_has_the_same_deadline_however_many_frames_come() -> None:
    engine = EngineApp(limits=Limits(frame_timeout=20), ping_interval=100)
    websocket = RawWebSocket(engine.server)
    websocket.raw(masked_frame(TEXT, b"4", fin=False))
    for _ in range(19):
        engine.server.advance(1)
        websocket.raw(masked_frame(0, b"x", fin=False))
    assert engine.closed == []
    engine.server.advance(1)
    assert engine.closed == ["transport error"]


def test_each_completed_message_earns_the_next_its_full_time() -> None:
    engine = EngineApp(limits=Limits(frame_timeout=20), ping_interval=100)
    websocket = RawWebSocket(engine.server)
    frame = masked_frame(TEXT, b"4x")
    for _ in range(5):
        websocket.raw(frame[4:] + frame[:4] if engine.messages else frame + frame[:4])
        engine.server.advance(15)
    assert engine.closed == []
    assert engine.messages == ["x"] * 5


def test_a_session_without_connect_is_closed_at_the_connect_timeout() -> None:
    app = SocketApp(connect_timeout=5)
    polling, websocket = RawPolling(app.server), RawWebSocket(app.server)
    app.server.advance(4.9)
    assert len(app.server.protocol.sessions) == 2
    app.server.advance(0.1)
    assert websocket.close_code == 1000
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"1"
    assert app.events == []
    app.server.advance(60)
    assert_nothing_left(app.server)


def test_a_client_in_any_namespace_has_connected() -> None:
    app = SocketApp(connect_timeout=5)
    app.app.of("/admin")
    client = TestClient(app.server)
    client.connect("/admin")
    app.server.advance(20)
    assert client.engine.state == "open"


def test_a_client_that_was_refused_must_still_connect_in_time() -> None:
    app = SocketApp(connect_timeout=5)
    websocket = RawWebSocket(app.server)
    websocket.send("40/unknown,")
    app.server.advance(5)
    assert websocket.close_code == 1000


def test_attachments_that_do_not_come_end_the_connection_at_their_timeout() -> None:
    app = SocketApp(limits=Limits(attachment_timeout=7))
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send('452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
    app.server.advance(6)
    # One of two gives no more time.
    websocket.send(b"first")
    app.server.advance(0.9)
    assert websocket.close_code is None
    app.server.advance(0.1)
    assert websocket.close_code == 1000
    assert app.events == [("connection",), ("disconnect", "forced close")]
    app.server.advance(10)
    assert_nothing_left(app.server)


def test_attachments_in_time_disarm_it() -> None:
    app = SocketApp(limits=Limits(attachment_timeout=7), ping_interval=100)
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send('451-["e",{"_placeholder":true,"num":0}]')
    app.server.advance(6.9)
    websocket.send(b"there")
    app.server.advance(60)
    assert app.events == [("connection",), ("e", b"there")]


@pytest.mark.parametrize("answers", [True, False])
def test_a_close_handshake_that_is_not_answered_ends_after_the_close_timeout(answers: bool) -> None:
    engine = EngineApp(limits=Limits(close_timeout=5))
    websocket = RawWebSocket(engine.server)
    engine.opened[0].close()
    engine.server.advance(4.9)
    assert not websocket.ended
    if answers:
        websocket.raw(masked_frame(8, b"\x03\xe8"))
        assert websocket.ended
    else:
        # What else it sends gives no more time.
        websocket.raw(message_frame("4x") * 10)
        engine.server.advance(0.1)
        assert websocket.ended
    engine.assert_nothing_left()


def test_output_that_a_closed_client_does_not_take_is_dropped_after_the_close_timeout() -> None:
    engine = EngineApp(limits=Limits(close_timeout=5))
    websocket = RawWebSocket(engine.server)
    websocket.stream.link.to_client.window = 1_000
    websocket.stream.link.to_client.stall()
    engine.opened[0].send("x" * 100_000)
    engine.server.settle()
    engine.opened[0].close()
    engine.server.advance(4.9)
    assert engine.server.protocol.connections
    # The client can't hear of it: its network is stalled.
    engine.server.advance(0.1)
    assert not engine.server.protocol.connections
    engine.assert_nothing_left()


def test_a_client_that_does_not_read_its_error_answer_is_dropped_after_the_close_timeout() -> None:
    engine = EngineApp(limits=Limits(close_timeout=5))
    http = RawHttp(engine.server)
    answer = http.send(b"nonsense\r\n\r\n")
    assert answer is not None
    assert answer.status == 400
    # It goes on sending, and never closes its side.
    for _ in range(4):
        http.send(b"more")
        engine.server.advance(1)
    assert not http.stream.closed
    engine.server.advance(1)
    assert http.stream.closed
    engine.assert_nothing_left()


def test_a_half_closed_client_still_gets_its_answer() -> None:
    engine = EngineApp()
    http = RawHttp(engine.server)
    http.stream.write(request_bytes("GET", "/engine.io/?EIO=4&transport=polling"))
    http.stream.write_eof()
    engine.server.settle()
    assert [response.status for response in http.responses] == [200]
    assert http.ended
    engine.server.advance(60)
    engine.assert_nothing_left()


@pytest.mark.parametrize("stage", ["head", "body", "frame", "candidate", "silent"])
def test_a_hundred_dripping_connections_are_gone_and_a_healthy_client_does_not_notice(stage: str) -> None:
    engine = EngineApp()
    client = RawWebSocket(engine.server)
    client.take()
    sessions = []
    for _ in range(100):
        if stage == "head":
            RawHttp(engine.server).send(b"GET /")
        elif stage == "silent":
            RawHttp(engine.server)
        elif stage == "frame":
            RawWebSocket(engine.server).raw(b"\x81")
        else:
            polling = RawPolling(engine.server)
            sessions.append(polling)
            if stage == "body":
                RawHttp(engine.server).send(request_bytes("POST", polling.target, [("Content-Length", "9")]))
            else:
                polling.websocket()
    for _ in range(60):
        engine.server.advance(2)
        if "2" in client.send("4alive"):
            client.send("3")
    assert len(engine.server.protocol.connections) == 1
    assert list(engine.server.protocol.sessions.values()) == [engine.opened[0]]
    assert engine.messages == ["alive"] * 60
