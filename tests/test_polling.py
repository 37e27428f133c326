"""Long-polling: GET parks and delivers, POST delivers, and neither may overlap with itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, SocketApp
from siocore import Limits, LocalProtocolError
from siocore.testing.wire import request_bytes


def chunked(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_get_is_parked_until_there_is_something() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    assert polling.get() is None
    engine.server.advance(20)
    assert polling.gets.responses == []
    engine.opened[0].send("news")
    engine.server.settle()
    answer = polling.gets.answer()
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"4news")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert answer.headers["cache-control"] == "no-store"


def test_all_that_was_sent_in_one_turn_is_one_answer() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    session = engine.opened[0]
    session.send("a")
    session.send(b"\x01\x02\x03\x04")
    session.send("")
    engine.server.settle()
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"4a\x1ebAQIDBA==\x1e4"


def test_what_waits_is_the_answer_to_the_next_get() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    for number in range(100):
        engine.opened[0].send(str(number))
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"\x1e".join(b"4%d" % number for number in range(100))


def test_a_post_is_answered_ok_and_its_messages_are_delivered_in_order() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    answer = polling.post("4a\x1e4ü\x1ebAQIDBA==\x1e4".encode())
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-type"] == "text/html"
    assert engine.messages == ["a", "ü", b"\x01\x02\x03\x04", ""]


def test_every_packet_of_a_large_payload_is_delivered() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.post(b"\x1e".join(b"4%d" % number for number in range(1_000)))
    assert engine.messages == [str(number) for number in range(1_000)]


def test_a_second_get_while_one_is_parked_closes_the_session() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    second = RawHttp(engine.server).request("GET", polling.target)
    assert second is not None
    assert (second.status, second.body) == (400, b"")
    first = polling.gets.answer()
    assert first is not None
    assert (first.status, first.body) == (200, b"1")
    assert engine.closed == ["transport error"]
    third = polling.get()
    assert third is not None
    assert third.status == 400


def test_a_second_post_while_one_is_under_way_closes_the_session() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    head = request_bytes("POST", polling.target, [("Content-Length", "5")])
    assert polling.posts.send(head + b"4he") is None
    second = RawHttp(engine.server).request("POST", polling.target, body=b"4overtaking")
    assert second is not None
    assert (second.status, second.body) == (400, b"")
    assert engine.closed == ["transport error"]
    first = polling.posts.send(b"ll")
    assert first is not None
    assert first.status == 400
    assert engine.messages == []


def test_a_post_after_the_upgrade_gets_400_and_is_not_delivered() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.upgrade()
    answer = polling.post(b"4by the back door")
    assert answer is not None
    assert answer.status == 400
    get = polling.get()
    assert get is not None
    assert get.status == 400
    assert engine.messages == []
    websocket.send("4by the front door")
    assert engine.messages == ["by the front door"]


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "APPLICATION/Octet-Stream", "application/octet-stream; x=y"]
)
def test_a_binary_payload_of_protocol_3_gets_400_and_ends_the_session(content_type: str) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    answer = polling.post(b"\x00\x01\xff4x", [("Content-Type", content_type)])
    assert answer is not None
    assert answer.status == 400
    assert engine.messages == []
    assert engine.closed == ["transport error"]
    engine.server.advance(60)
    engine.assert_nothing_left()


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json", ""])
def test_any_other_content_type_is_taken_as_text(content_type: str) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.post(b"4x", [("Content-Type", content_type)])
    assert engine.messages == ["x"]


@pytest.mark.parametrize(
    ("body", "delivered"),
    [
        (b"", []),
        (b"\x1e", []),
        (b"4a\x1e\x1e4b", ["a"]),
        (b"4a\x1e9\x1e4b", ["a"]),
        (b"4a\x1ex4b", ["a"]),
        (b"\x1e" * 100_000, []),
        (b"4a\x1e4\xff", ["a"]),
        (b"4\xc0\x80", []),
        (b"4\xed\xa0\x80", []),
        (b"4\xf4\x90\x80\x80", []),
        (b"4\xe2\x82", []),
        (b"4a\x1eb*", ["a"]),
        (b"4a\x1ebAQI", ["a"]),
    ],
)
def test_a_bad_packet_ends_the_session_after_those_before_it(body: bytes, delivered: list[str]) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    answer = polling.post(body)
    assert answer is not None
    assert answer.status == 400
    assert engine.messages == delivered
    assert engine.closed == ["parse error"]


def test_nothing_behind_a_close_packet_is_delivered() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    answer = polling.post(b"4a\x1e1\x1e4b")
    assert answer is not None
    assert answer.status == 200
    assert engine.messages == ["a"]
    assert engine.closed == ["transport close"]


@pytest.mark.parametrize("packet", [b"0", b"5", b"6", b"6x"])
def test_open_upgrade_and_noop_mean_nothing_here(packet: bytes) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.post(packet + b"\x1e4x")
    assert engine.messages == ["x"]
    assert polling.session().open


@pytest.mark.parametrize("way", ["content-length", "one chunk", "chunks"])
@pytest.mark.parametrize("size", [1_000_000, 1_000_001])
def test_a_body_may_have_max_payload_bytes_and_not_one_more(size: int, way: str) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    body = b"4" + b"x" * (size - 1)
    if way == "content-length":
        answer = polling.post(body)
    else:
        step = size if way == "one chunk" else 65_536
        pieces = chunked(body[start : start + step] for start in range(0, size, step))
        head = request_bytes("POST", polling.target, [("Transfer-Encoding", "chunked")])
        answer = polling.posts.send(head + pieces)
    assert answer is not None
    if size == 1_000_000:
        assert answer.status == 200
        assert engine.messages == ["x" * (size - 1)]
        return
    assert answer.status == 413
    assert engine.messages == []
    # The client is told what was wrong; it may still go on.
    assert polling.session().open
    again = RawHttp(engine.server).request("POST", polling.target, body=b"4smaller")
    assert again is not None
    assert again.status == 200
    assert engine.messages == ["smaller"]


def test_a_body_that_is_announced_too_large_is_refused_at_its_head() -> None:
    polling = RawPolling(EngineApp().server)
    answer = polling.posts.send(request_bytes("POST", polling.target, [("Content-Length", "1000001")]))
    assert answer is not None
    assert answer.status == 413
    assert polling.posts.ended


def test_an_endless_chunked_body_is_refused_as_soon_as_it_is_too_large() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.posts.send(request_bytes("POST", polling.target, [("Transfer-Encoding", "chunked")]))
    sent = 0
    while not polling.posts.responses:
        polling.posts.stream.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        sent += 65_536
        engine.server.settle()
        assert sent <= 1_000_000 + 65_536
    assert polling.posts.responses[0].status == 413
    assert polling.posts.ended


def test_a_body_of_too_many_chunks_is_refused() -> None:
    engine = EngineApp(limits=Limits(max_chunks=10))
    polling = RawPolling(engine.server)
    head = request_bytes("POST", polling.target, [("Transfer-Encoding", "chunked")])
    allowed = polling.posts.send(head + chunked([b"4", *[b"x"] * 9]))
    assert allowed is not None
    assert allowed.status == 200
    refused = polling.posts.send(head + chunked([b"4", *[b"x"] * 10]))
    assert refused is not None
    assert refused.status == 400
    assert engine.messages == ["x" * 9]


def test_base64_is_bounded_by_the_body_that_carries_it() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    data = bytes(749_997)
    polling.post(b"b" + b64encode(data))
    assert engine.messages == [data]


def test_a_parked_get_that_is_aborted_ends_the_session() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    polling.gets.stream.reset()
    engine.server.settle()
    assert engine.closed == ["transport error"]
    polling.posts.stream.close()
    engine.server.settle()
    engine.assert_nothing_left()


def test_a_parked_get_whose_client_closes_in_an_orderly_way_ends_the_session_too() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    polling.gets.stream.close()
    engine.server.settle()
    assert engine.closed == ["transport error"]


def test_a_connection_without_a_request_may_end_at_any_time() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.gets.stream.reset()
    polling.posts.stream.close()
    engine.server.settle()
    assert engine.closed == []
    again = RawHttp(engine.server).request("POST", polling.target, body=b"4x")
    assert again is not None
    assert engine.messages == ["x"]


def test_an_answer_that_could_not_be_sent_ends_the_session_since_its_packets_are_lost() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.gets.stream.link.to_client.window = 100
    polling.get()
    engine.opened[0].send("x" * 1_000)
    polling.gets.stream.link.to_client.stall()
    engine.server.settle()
    assert engine.closed == []
    polling.gets.stream.reset()
    engine.server.settle()
    assert engine.closed == ["transport error"]


def test_a_post_that_breaks_off_ends_the_session_and_delivers_nothing() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.posts.send(request_bytes("POST", polling.target, [("Content-Length", "10")]) + b"4half")
    polling.posts.stream.reset()
    engine.server.settle()
    assert engine.messages == []
    assert engine.closed == ["transport error"]


def test_a_get_that_was_answered_may_be_followed_by_one_on_another_connection() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    for number in range(5):
        engine.opened[0].send(str(number))
        answer = RawHttp(engine.server).request("GET", polling.target)
        assert answer is not None
        assert answer.body == b"4%d" % number
    assert engine.closed == []


def test_text_that_would_become_two_packets_is_refused_where_it_is_sent() -> None:
    engine = EngineApp()
    RawPolling(engine.server)
    with pytest.raises(LocalProtocolError):
        engine.opened[0].send("a\x1e4b")
    with pytest.raises(LocalProtocolError):
        engine.opened[0].send("\ud800")


def test_an_event_with_binary_data_is_one_payload() -> None:
    app = SocketApp()
    app.app.on("connection")(lambda socket: socket.emit("file", b"\x01\x02\x03", "name"))
    polling = RawPolling(app.server)
    polling.post(b"40")
    answer = polling.get()
    assert answer is not None
    _connect, event, attachment = answer.body.split(b"\x1e")
    assert event == b'451-["file",{"_placeholder":true,"num":0},"name"]'
    assert attachment == b"bAQID"
