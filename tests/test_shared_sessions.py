"""Long-polling whose requests arrive at any of several servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from raw_client import RawHttp, RawPolling, RawWebSocket
from shared_fleet import (
    Delayed,
    Fleet,
    elsewhere,
    published,
)

Message = dict[str, Any]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet(3)
    yield fleet
    fleet.close()


# Long-polling -------------------------------------------------------------------------------------------------


def test_a_get_and_a_post_at_another_server(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    assert other.get() is None
    fleet.opened[0].send("a")
    fleet.opened[0].send(b"b")
    fleet.settle()
    answer = other.gets.answer()
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"4a\x1ebYg==")
    answer = other.post("4é\x1ebYg==".encode())
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ok")
    assert fleet.nodes[0].messages == ["é", b"b"]
    assert fleet.nodes[1].messages == fleet.nodes[2].messages == []


def test_what_waits_already_is_the_answer(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    fleet.opened[0].send("a")
    answer = elsewhere(fleet, polling).get()
    assert answer is not None
    assert answer.body == b"4a"


def test_the_wire(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    seen = published(fleet, monkeypatch)
    home, other = fleet.nodes[0].sessions.node, fleet.nodes[1].sessions.node
    there = elsewhere(fleet, polling)
    there.get()
    there.post(b"4hi\x1e3")
    fleet.opened[0].send(b"\x01")
    fleet.settle()
    sid = polling.sid

    def answer(request: int) -> Message:
        return {
            "requestId": request,
            "senderId": home,
            "recipientId": other,
            "type": 1,
            "data": {"success": True},
            "_source": "_eio",
        }

    def lock(request: int, type: str) -> Message:
        return {
            "requestId": request,
            "senderId": other,
            "type": 0,
            "data": {"sid": sid, "transportName": "polling", "type": type},
            "_source": "_eio",
        }

    def packet(packet: Message) -> Message:
        return {
            "senderId": other,
            "recipientId": home,
            "type": 3,
            "data": {"sid": sid, "packet": packet},
            "_source": "_eio",
        }

    assert seen == [
        ("engine.io#", lock(1, "read")),
        (f"engine.io#{other}#", answer(1)),
        ("engine.io#", lock(2, "write")),
        (f"engine.io#{other}#", answer(2)),
        (f"engine.io#{home}#", packet({"type": "message", "data": "hi"})),
        (f"engine.io#{home}#", packet({"type": "pong"})),
        (
            f"engine.io#{other}#",
            {
                "senderId": home,
                "recipientId": other,
                "type": 2,
                "data": {"sid": sid, "packets": [{"type": "message", "data": b"\x01"}]},
                "_source": "_eio",
            },
        ),
    ]
    assert [list(message) for _, message in seen[:2]] == [
        ["requestId", "senderId", "type", "data", "_source"],
        ["requestId", "senderId", "recipientId", "type", "data", "_source"],
    ]


def test_an_id_that_nobody_has_is_refused_after_the_response_timeout(fleet: Fleet) -> None:
    http = RawHttp(fleet.nodes[0].server)
    assert http.request("GET", "/engine.io/?EIO=4&transport=polling&sid=" + "x" * 20) is None
    fleet.advance(0.99)
    assert http.answer() is None
    fleet.advance(0.01)
    answer = http.answer()
    assert answer is not None
    assert answer.status == 400
    assert b'"code":1' in answer.body
    websocket = RawWebSocket(fleet.nodes[0].server, "&sid=" + "x" * 20)
    assert websocket.response is None
    fleet.advance(1)
    assert websocket.response is not None
    assert websocket.response.status == 400


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "EIO=4&transport=polling&sid=" + "x" * 19),
        ("GET", "EIO=4&transport=polling&sid=" + "x" * 19 + "%2e"),
        ("GET", f"EIO=4&transport=polling&sid={'x' * 20}&sid={'y' * 20}"),
        ("GET", "EIO=3&transport=polling&sid=" + "x" * 20),
        ("PUT", "EIO=4&transport=polling&sid=" + "x" * 20),
        ("GET", "EIO=4&transport=websocket&sid=" + "x" * 20),
    ],
)
def test_nobody_is_asked_for_what_is_no_session(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, method: str, query: str
) -> None:
    seen = published(fleet, monkeypatch)
    answer = RawHttp(fleet.nodes[0].server).request(method, f"/engine.io/?{query}")
    assert answer is not None
    assert answer.status == 400
    assert not seen


def test_who_invents_ids_gets_no_further_than_a_thousand_questions(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = published(fleet, monkeypatch)
    server = fleet.nodes[0].server
    answers = [
        RawHttp(server).request("GET", f"/engine.io/?EIO=4&transport=polling&sid={number:020}")
        for number in range(1_005)
    ]
    assert len(seen) == 1_000
    assert [answer is None for answer in answers] == [True] * 1_000 + [False] * 5
    fleet.advance(1)
    again = RawHttp(server)
    assert again.request("GET", "/engine.io/?EIO=4&transport=polling&sid=" + "x" * 20) is None


def test_while_redis_is_gone_requests_are_refused_at_once(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.redis.stop()
    answer = elsewhere(fleet, polling).get()
    assert answer is not None
    assert answer.status == 400
    # And here all goes on.
    assert polling.get() is None


def test_a_post_that_is_no_payload_ends_the_session(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    answer = elsewhere(fleet, polling).post(b"4a\x1ex")
    assert answer is not None
    assert answer.status == 400
    assert fleet.nodes[0].messages == ["a"]
    assert [reason for _, reason in fleet.nodes[0].closed] == ["parse error"]


def test_a_post_that_is_too_large_or_binary_is_answered_where_it_is(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    other = elsewhere(fleet, polling)
    seen = published(fleet, monkeypatch)
    answer = other.post(b"4" * 1_000_001)
    assert answer is not None
    assert answer.status == 413
    answer = other.post(b"4a", [("content-type", "application/octet-stream")])
    assert answer is not None
    assert answer.status == 400
    assert not seen
    assert polling.session().open


def test_two_gets_at_different_servers_are_one_too_many(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    assert elsewhere(fleet, polling, 1).get() is None
    answer = elsewhere(fleet, polling, 2).get()
    assert answer is not None
    assert answer.status == 400
    # The first one is as it was.
    assert polling.session().open


def test_a_get_that_breaks_elsewhere_ends_the_session(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    other.gets.stream.close()
    fleet.settle()
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_an_answer_that_is_lost_elsewhere_ends_the_session(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    other.gets.stream.link.to_client.window = 10
    other.gets.stream.link.to_client.stall()
    fleet.opened[0].send("a" * 10_000)
    fleet.settle()
    other.gets.stream.link.cut()
    fleet.settle()
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_a_get_that_breaks_before_its_lock_is_granted_ends_the_session(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    fleet.redis.pause()
    other = elsewhere(fleet, polling)
    other.get()
    other.gets.stream.close()
    fleet.settle()
    fleet.redis.resume()
    fleet.advance(0.1)
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_a_lock_that_comes_too_late_ends_the_session(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    fleet.redis.pause()
    other = elsewhere(fleet, polling)
    other.get()
    fleet.advance(1)
    answer = other.gets.answer()
    assert answer is not None
    assert answer.status == 400
    fleet.redis.resume()
    fleet.advance(0.1)
    # It waits for a GET that was answered: what is sent now would be lost.
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_a_server_that_dies_with_a_get_is_noticed_at_the_next_packet(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    elsewhere(fleet, polling).get()
    fleet.redis.detach(fleet.nodes[1].sessions.broker)
    fleet.opened[0].send("a")
    fleet.settle()
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_a_get_is_given_up_when_its_home_has_died(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    fleet.redis.detach(fleet.nodes[0].sessions.broker)
    fleet.advance(44.9)
    assert other.gets.answer() is None
    fleet.advance(0.1)
    answer = other.gets.answer()
    assert answer is not None
    assert answer.status == 400


def test_a_post_whose_home_has_died_is_refused(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    fleet.redis.detach(fleet.nodes[0].sessions.broker)
    assert other.post(b"4a") is None
    fleet.advance(1)
    answer = other.posts.answer()
    assert answer is not None
    assert answer.status == 400


def test_a_post_whose_home_dies_before_its_packets_arrive_is_refused(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    delayed = Delayed(fleet, 1)
    assert other.post(b"4a") is None
    fleet.redis.detach(fleet.nodes[0].sessions.broker)
    delayed.release()
    # The lock was granted; then nobody is there who could take the packet.
    answer = other.posts.answer()
    assert answer is not None
    assert answer.status == 400


def test_the_handlers_of_a_client_are_behind(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    session = fleet.opened[0]
    session.pause()
    other = elsewhere(fleet, polling)
    assert other.post(b"4a") is None
    assert fleet.nodes[0].messages == []
    session.resume()
    fleet.settle()
    answer = other.posts.answer()
    assert answer is not None
    assert answer.body == b"ok"
    assert fleet.nodes[0].messages == ["a"]


def test_the_application_closes_a_session_that_polls_elsewhere(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    fleet.opened[0].send("last")
    fleet.opened[0].close()
    fleet.settle()
    answer = other.gets.answer()
    assert answer is not None
    assert answer.body == b"4last"
    answer = other.get()
    assert answer is not None
    assert answer.body == b"1"
    assert not fleet.nodes[0].server.protocol.sessions


def test_answers_are_compressed_where_the_request_is(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    http = RawHttp(fleet.nodes[1].server)
    http.request("GET", polling.target, [("accept-encoding", "gzip")])
    fleet.opened[0].send("a" * 5_000)
    fleet.settle()
    answer = http.answer()
    assert answer is not None
    assert answer.headers["content-encoding"] == "gzip"


# Order --------------------------------------------------------------------------------------------------------


def test_what_comes_here_waits_for_what_came_by_another_server() -> None:
    """Redis has taken the packet, so that its POST is answered; it has not arrived at the session's server yet."""
    fleet = Fleet(2)
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    delayed = Delayed(fleet)
    assert other.post(b"4first") is None
    # The question arrives.
    delayed.release()
    answer = other.posts.answer()
    assert answer is not None
    assert answer.body == b"ok"
    assert polling.post(b"4second") is None
    assert fleet.nodes[0].messages == []
    delayed.release()
    assert fleet.nodes[0].messages == ["first", "second"]
    answer = polling.posts.answer()
    assert answer is not None
    assert answer.body == b"ok"
    fleet.close()


def test_an_upgrade_here_waits_for_what_came_by_another_server() -> None:
    fleet = Fleet(2)
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    websocket = polling.websocket()
    assert websocket.send("2probe") == ["3probe"]
    other = elsewhere(fleet, polling)
    delayed = Delayed(fleet)
    other.post(b"4first")
    delayed.release()
    assert other.posts.answer() is not None
    websocket.send("5", "4second")
    websocket.send(b"third")
    assert fleet.nodes[0].messages == []
    assert fleet.opened[0].transport == "polling"
    (connection,) = [each for each in fleet.nodes[0].server.protocol.connections if _has_session(each)]
    assert not connection.wants_read
    delayed.release()
    assert fleet.nodes[0].messages == ["first", "second", b"third"]
    assert fleet.opened[0].transport == "websocket"
    assert connection.wants_read
    fleet.close()


def _has_session(connection: Any) -> bool:
    return getattr(connection, "session", None) is not None


def test_an_upgrade_that_was_given_up_is_not_made_for_the_next_one() -> None:
    fleet = Fleet(2, upgrade_timeout=0.2)
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    elsewhere(fleet, polling).post(b"4a")
    first = polling.websocket()
    first.send("2probe")
    fleet.redis.pause()
    first.send("5")
    fleet.advance(0.2)
    second = polling.websocket()
    assert second.send("2probe") == ["3probe"]
    fleet.redis.resume()
    fleet.settle()
    assert fleet.opened[0].transport == "polling"
    assert second.send("5") == []
    assert fleet.opened[0].transport == "websocket"
    fleet.close()
