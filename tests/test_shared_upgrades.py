"""Sessions whose clients upgrade at another server: they move there, or are relayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from raw_client import RawPolling, RawWebSocket
from shared_fleet import (
    Fleet,
    Stranger,
    elsewhere,
    published,
    relayed,
)
from siocore import Limits
from siocore.testing.wire import BINARY, masked_frame

Message = dict[str, Any]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet(3)
    yield fleet
    fleet.close()


# Upgrades -----------------------------------------------------------------------------------------------------


def test_a_session_moves_to_where_it_upgrades_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    sid = polling.sid
    polling.post(b"40")
    seen = published(fleet, monkeypatch)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={sid}")
    assert websocket.send("2probe") == ["3probe"]
    assert websocket.send("5", "4behind") == []
    assert fleet.nodes[0].opened == []
    assert fleet.nodes[0].closed == []
    assert fleet.nodes[0].server.protocol.sessions == {}
    (session,) = fleet.nodes[1].opened
    assert session.sid == sid
    assert fleet.nodes[1].messages == ["0", "behind"]
    session.send("a")
    fleet.settle()
    assert websocket.take() == ["4a"]
    assert websocket.send(b"b") == []
    assert fleet.nodes[1].messages[2:] == [b"b"]
    home, other = fleet.nodes[0].sessions.node, fleet.nodes[1].sessions.node
    assert [message for _, message in seen[2:]] == [
        {
            "requestId": 2,
            "senderId": other,
            "recipientId": home,
            "type": 4,
            "data": {"sid": sid, "success": True},
            "_source": "_eio",
        },
        {
            "requestId": 2,
            "senderId": home,
            "recipientId": other,
            "type": 5,
            "data": {"takeOver": True, "packets": [{"type": "message", "data": "0"}]},
            "_source": "_eio",
        },
    ]
    # It has a heartbeat of its own there.
    fleet.advance(25)
    assert websocket.take() == ["2"]


def test_a_session_that_upgrades_later_is_relayed(fleet: Fleet) -> None:
    home = fleet.nodes[0]
    polling = RawPolling(home.server)
    fleet.advance(0.3)
    (session,) = home.opened
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    assert websocket.send("2probe") == ["3probe"]
    session.send("before")
    assert websocket.send("5") == ["4before"]
    assert session.transport == "websocket"
    session.send("text")
    session.send(b"binary")
    fleet.settle()
    assert websocket.take() == ["4text", b"binary"]
    websocket.send("4a")
    websocket.send(b"b")
    assert home.messages == ["a", b"b"]
    for _ in range(3):
        fleet.advance(25)
        assert websocket.take() == ["2"]
        websocket.send("3")
    websocket.stream.write(masked_frame(8, (1000).to_bytes(2, "big")))
    fleet.settle()
    assert home.closed == [(session, "transport close")]
    assert not fleet.nodes[1].opened


def test_a_relayed_session_is_closed_by_the_application(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    fleet.opened[0].close()
    fleet.settle()
    assert websocket.close_code == 1000
    assert [reason for _, reason in fleet.nodes[0].closed] == ["forced close"]


def test_a_relayed_client_that_falls_silent_is_gone_after_the_ping_timeout(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    fleet.advance(45)
    assert websocket.take() == ["2"]
    assert [reason for _, reason in fleet.nodes[0].closed] == ["ping timeout"]
    assert websocket.close_code == 1000


@pytest.mark.parametrize("gone", ["redis", "home", "relay"])
def test_a_relayed_session_ends_with_what_it_needs(fleet: Fleet, gone: str) -> None:
    websocket = relayed(fleet)
    if gone == "redis":
        fleet.redis.stop()
        fleet.settle()
    elif gone == "home":
        fleet.redis.detach(fleet.nodes[0].sessions.broker)
        websocket.send("4a")
    else:
        fleet.redis.detach(fleet.nodes[1].sessions.broker)
        fleet.opened[0].send("a")
        fleet.settle()
    if gone != "relay":
        assert websocket.close_code == 1001
    if gone != "home":
        assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]


def test_gets_are_released_while_another_server_probes(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    other = elsewhere(fleet, polling, 2)
    assert other.get() is None
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    answer = other.gets.answer()
    assert answer is not None
    assert answer.body == b"6"
    other.get()
    fleet.advance(0.1)
    answer = other.gets.answer()
    assert answer is not None
    assert answer.body == b"6"


@pytest.mark.parametrize("fault", ["another packet", "close", "silence"])
def test_an_upgrade_that_fails_elsewhere_leaves_the_session_on_polling(fleet: Fleet, fault: str) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    if fault == "another packet":
        websocket.send("4a")
    elif fault == "close":
        websocket.stream.close()
        fleet.settle()
    else:
        fleet.advance(10)
    session = fleet.opened[0]
    assert session.transport == "polling"
    assert session.can_upgrade
    # And it can try again.
    again = RawWebSocket(fleet.nodes[2].server, f"&sid={polling.sid}")
    again.send("2probe")
    again.send("5")
    assert session.transport == "websocket"
    session.send("a")
    fleet.settle()
    assert again.take() == ["4a"]


def test_one_upgrade_at_a_time(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    first = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    second = RawWebSocket(fleet.nodes[2].server, f"&sid={polling.sid}")
    assert first.response is not None
    assert first.response.status == 101
    assert second.response is not None
    assert second.response.status == 400


def test_a_client_that_leaves_before_its_lock_is_granted_can_still_upgrade(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    fleet.redis.pause()
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.stream.close()
    fleet.settle()
    fleet.redis.resume()
    fleet.advance(0.1)
    assert fleet.opened[0].can_upgrade


def test_frames_that_come_with_the_request_are_read(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    trailing = masked_frame(1, b"2probe") + masked_frame(1, b"5") + masked_frame(BINARY, b"a")
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}", trailing=trailing)
    assert websocket.take() == ["3probe"]
    assert fleet.nodes[1].messages == [b"a"]


def test_a_wrong_handshake_is_answered_and_the_session_is_as_it_was(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "short"),
    ]
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}", headers)
    assert websocket.response is not None
    assert websocket.response.status == 400
    assert fleet.opened[0].can_upgrade


def test_who_probes_has_the_upgrade_timeout_for_it(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    fleet.redis.detach(fleet.nodes[0].sessions.broker)
    websocket.send("2probe")
    fleet.advance(9.9)
    assert websocket.close_code is None
    fleet.advance(0.1)
    assert websocket.close_code == 1000


def test_what_is_sent_behind_an_upgrade_is_not_read_before_its_answer(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    fleet.redis.pause()
    websocket.send("5", "4a")
    websocket.send("4b")
    (stray,) = fleet.nodes[1].sessions._websockets.values()
    assert stray.connection is not None
    assert not stray.connection.wants_read
    fleet.redis.resume()
    fleet.advance(0.1)
    assert fleet.nodes[1].messages == ["a", "b"]


def test_a_session_with_something_to_send_does_not_move() -> None:
    fleet = Fleet(2)
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    session = polling.session()
    # As a heartbeat that falls into this time would.
    session.send_text(b"first", [])
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    assert websocket.send("5") == ["4first"]
    assert node.opened == [session]
    assert not fleet.nodes[1].opened
    fleet.close()


def test_nothing_is_left_of_a_session_that_has_moved(fleet: Fleet) -> None:
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    timers = len(node.server.protocol.timers)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    assert polling.get() is None
    websocket.send("5")
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"6"
    # Its two timers: the heartbeat, and when the application is told.
    assert len(node.server.protocol.timers) == timers - 2
    fleet.advance(100)
    assert node.opened == []


def test_a_session_that_is_here_already_does_not_move_here(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    own = RawPolling(fleet.nodes[1].server)
    fleet.nodes[1].server.protocol.sessions[polling.sid] = own.session()
    websocket.send("5")
    assert websocket.close_code == 1008
    assert fleet.nodes[1].server.protocol.sessions.pop(polling.sid).sid == own.sid


def test_a_session_that_moves_to_a_server_that_stops_ends(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    fleet.redis.pause()
    websocket.send("5")
    fleet.nodes[1].server.protocol.shutdown(now=fleet.simulation.clock.now)
    fleet.settle()
    assert websocket.close_code == 1001
    fleet.redis.resume()
    fleet.advance(0.1)
    assert not fleet.nodes[0].server.protocol.sessions
    assert not fleet.nodes[1].server.protocol.sessions


def test_only_who_probes_can_upgrade(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    Stranger(fleet).say(4, {"sid": polling.sid, "success": True}, fleet.nodes[0])
    Stranger(fleet).say(4, {"sid": polling.sid, "success": False}, fleet.nodes[0])
    websocket.send("5", "4a")
    assert fleet.nodes[1].messages == ["a"]


def test_the_last_get_of_a_client_that_has_upgraded_is_nobodys_loss(fleet: Fleet) -> None:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    websocket = polling.upgrade()
    fleet.settle()
    Stranger(fleet, fleet.nodes[1].sessions.node).say(
        6, {"sid": polling.sid, "reason": "transport close"}, fleet.nodes[0]
    )
    assert fleet.opened[0].open
    assert websocket.close_code is None


# Backpressure -------------------------------------------------------------------------------------------------


def test_a_relay_reads_no_more_than_redis_takes() -> None:
    fleet = Fleet(2, limits=Limits(high_water=1_000))
    websocket = relayed(fleet)
    fleet.redis.pause()
    for _ in range(10):
        websocket.send(b"a" * 600)
    connection = websocket.stream.link
    (relay,) = fleet.nodes[1].sessions._websockets.values()
    assert relay.connection is not None
    assert not relay.connection.wants_read
    assert fleet.nodes[0].messages == []
    fleet.redis.resume()
    fleet.settle()
    assert connection.stream is websocket.stream
    assert fleet.nodes[0].messages == [b"a" * 600] * 10
    assert relay.connection.wants_read
    fleet.close()


def test_what_arrives_for_handlers_that_are_behind_is_kept_in_order(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    session = fleet.opened[0]
    session.pause()
    websocket.send("4a", "4b", "4c")
    assert fleet.nodes[0].messages == []

    @fleet.nodes[0].app.on("message")
    def again(session: Any, data: object) -> None:
        if data == "a":
            session.pause()

    session.resume()
    fleet.settle()
    websocket.send("4d")
    session.resume()
    fleet.settle()
    assert fleet.nodes[0].messages == ["a", "b", "c", "d"]


def test_what_is_kept_for_handlers_that_are_behind_is_bounded() -> None:
    fleet = Fleet(2, limits=Limits(max_buffered=10_000))
    websocket = relayed(fleet)
    fleet.opened[0].pause()
    websocket.send(b"a" * 9_000)
    assert fleet.opened[0].open
    websocket.send(b"b" * 2_000)
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]
    fleet.close()


def test_what_is_sent_while_redis_takes_nothing_is_bounded() -> None:
    fleet = Fleet(2, limits=Limits(max_buffered=10_000))
    relayed(fleet)
    session = fleet.opened[0]
    fleet.redis.pause()
    for _ in range(5):
        session.send("a" * 2_000)
        fleet.settle()
    assert session.open
    session.send("b")
    fleet.settle()
    assert [reason for _, reason in fleet.nodes[0].closed] == ["slow consumer"]
    fleet.close()


def test_waiting_for_a_relayed_client_ends_when_redis_has_taken_what_was_sent() -> None:
    fleet = Fleet(2, limits=Limits(high_water=1_000))
    relayed(fleet)
    session = fleet.opened[0]
    done: list[int] = []

    @fleet.nodes[0].app.on("message")
    async def flood(session: Any, data: object) -> None:
        for number in range(5):
            await session.send("a" * 2_000)
            done.append(number)

    fleet.redis.pause()
    fleet.nodes[0].server.protocol.session_message(session, "go", 0)
    fleet.settle()
    assert done == []
    fleet.redis.resume()
    fleet.settle()
    assert done == [0, 1, 2, 3, 4]
    assert session.buffered == 0
    fleet.close()


def test_a_client_that_takes_nothing_from_its_relay_is_closed() -> None:
    fleet = Fleet(2, limits=Limits(max_buffered=10_000))
    websocket = relayed(fleet)
    websocket.stream.link.to_client.window = 100
    websocket.stream.link.to_client.stall()
    for _ in range(8):
        fleet.opened[0].send("a" * 2_000)
        fleet.settle()
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport error"]
    assert not fleet.nodes[1].sessions._websockets
    fleet.close()
