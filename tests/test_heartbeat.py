"""The heartbeat, on virtual time: PING from the server, PONG from the client, and nothing else moves it."""

from __future__ import annotations

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket
from siocore import Limits
from siocore.testing.wire import TEXT, masked_frame


def started(engine: EngineApp) -> RawWebSocket:
    websocket = RawWebSocket(engine.server)
    websocket.take()
    return websocket


def pings(engine: EngineApp, websocket: RawWebSocket, until: float) -> list[float]:
    """When PINGs arrive; each is answered at once."""
    times = []
    while engine.server.clock.now < until:
        engine.server.advance(0.5)
        for message in websocket.take():
            assert message == "2"
            times.append(engine.server.clock.now)
            websocket.send("3")
    return times


def test_a_ping_comes_one_interval_after_each_pong() -> None:
    engine = EngineApp()
    websocket = started(engine)
    assert pings(engine, websocket, 110) == [25, 50, 75, 100]
    assert engine.closed == []


def test_the_schedule_starts_from_the_pong_not_from_the_ping() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(25)
    assert websocket.take() == ["2"]
    engine.server.advance(10)
    websocket.send("3")
    engine.server.advance(24.9)
    assert websocket.take() == []
    engine.server.advance(0.1)
    assert websocket.take() == ["2"]


def test_a_client_that_never_answers_is_gone_after_interval_and_timeout() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(44.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["ping timeout"]
    assert websocket.close_code == 1000
    engine.server.advance(10)
    engine.assert_nothing_left()


def test_the_intervals_are_those_of_the_options() -> None:
    engine = EngineApp(ping_interval=3, ping_timeout=2)
    started(engine)
    engine.server.advance(4.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["ping timeout"]


def test_a_polling_client_is_pinged_through_its_get() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    engine.server.advance(25)
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"2"
    polling.post(b"3")
    polling.get()
    engine.server.advance(24.9)
    assert polling.gets.responses == []
    engine.server.advance(0.1)
    assert [answer.body for answer in polling.gets.responses] == [b"2"]


def test_a_polling_client_without_a_get_times_out_too() -> None:
    engine = EngineApp()
    RawPolling(engine.server)
    engine.server.advance(45)
    assert engine.closed == ["ping timeout"]
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_other_packets_extend_the_deadline_of_a_pong_once() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(40)
    websocket.send("4busy")
    # 20 seconds from the message instead of 20 from the PING; further messages change nothing.
    for _ in range(19):
        engine.server.advance(1)
        websocket.send("4busy")
    engine.server.advance(0.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["ping timeout"]


def test_binary_messages_extend_it_as_well() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(44)
    websocket.send(b"busy")
    engine.server.advance(19.9)
    assert engine.closed == []


def test_messages_before_the_ping_extend_nothing() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(24)
    websocket.send("4early")
    engine.server.advance(21)
    assert engine.closed == ["ping timeout"]


def test_a_pong_after_the_extension_counts() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(44)
    assert websocket.send("4busy") == ["2"]
    engine.server.advance(15)
    websocket.send("3")
    engine.server.advance(25)
    assert websocket.take() == ["2"]
    assert engine.closed == []


def test_a_flood_of_pongs_neither_moves_the_schedule_nor_arms_timers() -> None:
    engine = EngineApp()
    websocket = started(engine)
    timers = len(engine.server.protocol.timers)
    engine.server.advance(10)
    websocket.send(*["3"] * 10_000)
    assert len(engine.server.protocol.timers) == timers
    engine.server.advance(14.9)
    assert websocket.take() == []
    engine.server.advance(0.1)
    assert websocket.take() == ["2"]
    engine.server.advance(20)
    assert engine.closed == ["ping timeout"]


@pytest.mark.parametrize("packet", ["2", "2probe", "2x"])
def test_a_ping_from_the_client_ends_the_session(packet: str) -> None:
    engine = EngineApp()
    websocket = started(engine)
    websocket.send(packet)
    assert engine.closed == ["transport error"]
    assert websocket.close_code == 1002
    polling_engine = EngineApp()
    polling = RawPolling(polling_engine.server)
    polling.post(packet.encode())
    assert polling_engine.closed == ["transport error"]


def test_the_upgrade_does_not_move_the_schedule() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    engine.server.advance(20)
    websocket = polling.upgrade()
    websocket.take()
    engine.server.advance(4.9)
    assert websocket.take() == []
    engine.server.advance(0.1)
    assert websocket.take() == ["2"]


def test_a_ping_that_falls_into_the_upgrade_is_answered_over_the_new_transport() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    engine.server.advance(24)
    websocket = polling.websocket()
    assert websocket.send("2probe") == ["3probe"]
    engine.server.advance(1)
    assert websocket.send("5") == ["2"]
    websocket.send("3")
    engine.server.advance(24)
    assert engine.closed == []


def test_a_long_jump_of_the_clock_ends_each_session_once() -> None:
    engine = EngineApp()
    websocket = started(engine)
    RawPolling(engine.server)
    engine.server.clock.now += 600
    engine.server.settle()
    engine.server.advance(600)
    assert engine.closed == ["ping timeout", "ping timeout"]
    assert websocket.take() == ["2"]


def test_bytes_that_have_arrived_are_read_before_anybody_is_declared_gone() -> None:
    engine = EngineApp()
    websocket = started(engine)
    engine.server.advance(25)
    websocket.take()
    # The server is blocked for 30 seconds; the PONG arrives meanwhile.
    websocket.stream.write(masked_frame(TEXT, b"3"))
    engine.server.clock.now += 30
    engine.server.settle()
    assert engine.closed == []


def lagging(engine: EngineApp) -> RawWebSocket:
    """A client whose first message is handled for ever, and whose second one makes the server stop reading."""

    @engine.app.on("message")
    async def wait(session: object, data: object) -> None:
        await engine.server.new_waiter()

    websocket = started(engine)
    websocket.send("4first", "4second")
    return websocket


def test_a_pong_that_waits_behind_unread_messages_is_found() -> None:
    engine = EngineApp(limits=Limits(max_running_handlers=1, max_held=1))
    websocket = lagging(engine)
    for _ in range(600):
        engine.server.advance(1)
        websocket.send("4more")
        while "2" in websocket.messages:
            websocket.messages.remove("2")
            websocket.send("3")
    assert engine.closed == []
    # What is taken in while handlers lag is a few reads, not what was sent.
    held = engine.opened[0]._held
    assert held is not None
    assert len(held) < 60


def test_a_client_that_is_gone_while_handlers_lag_is_noticed() -> None:
    engine = EngineApp(limits=Limits(max_running_handlers=1, max_held=1))
    websocket = lagging(engine)
    websocket.stream.link.stall()
    engine.server.advance(64.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["ping timeout"]


def test_pings_that_are_due_soon_leave_with_the_one_that_is_due_now() -> None:
    engine = EngineApp()
    first = started(engine)
    engine.server.advance(0.4)
    second = started(engine)
    engine.server.advance(0.4)
    third = started(engine)
    engine.server.advance(24.2)
    assert engine.server.clock.now == 25
    # Half a second is two hundredths of the interval.
    assert [first.take(), second.take(), third.take()] == [["2"], ["2"], []]
    engine.server.advance(0.8)
    assert third.take() == ["2"]
