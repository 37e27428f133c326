"""Sessions of our client with our server, on virtual time and virtual links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client_pairs import MODES, Pair
from siocore.client_events import ClientSessionClosed, ClientSessionOpened, ClientSessionUpgraded


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_session_opens_and_carries_messages_both_ways_in_order(pair: Pair, mode: str) -> None:
    session = pair.open(**MODES[mode])
    assert session.open
    assert session.sid == pair.sessions[0].sid
    assert session.transport == ("polling" if mode == "polling" else "websocket")
    sent: list[str | bytes] = ["hello", b"\x00\xff", "größer €😀", b"", "", *map(str, range(50))]
    for data in sent:
        session.send(data)
    pair.server.settle()
    assert pair.received == sent
    assert pair.messages == sent
    assert next(type(event) for event in pair.client.events) is ClientSessionOpened
    assert len(pair.events(ClientSessionUpgraded)) == (mode == "upgrade")


@pytest.mark.parametrize("mode", MODES)
def test_close_lets_what_was_sent_leave_and_is_told_once_on_both_sides(pair: Pair, mode: str) -> None:
    session = pair.open(**MODES[mode])
    session.send("last")
    session.close()
    pair.server.advance(60)
    assert pair.received == ["last"]
    assert pair.closed == ["transport close"]
    assert [(event.reason, event.error) for event in pair.events(ClientSessionClosed)] == [("forced close", None)]
    assert not pair.protocol.sessions
    assert not pair.protocol.connections
    assert pair.protocol.timers.next_deadline() is None


@pytest.mark.parametrize("mode", MODES)
def test_heartbeats_keep_an_idle_session_for_hours(pair: Pair, mode: str) -> None:
    session = pair.open(**MODES[mode])
    pair.server.advance(7_200)
    assert session.open
    assert pair.sessions[0].open


@pytest.mark.parametrize("mode", MODES)
def test_a_silent_network_closes_the_session_with_ping_timeout(pair: Pair, mode: str) -> None:
    pair.open(**MODES[mode])
    for link in pair.client.links:
        link.stall()
    pair.server.advance(46)
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["ping timeout"]


@pytest.mark.parametrize("mode", MODES)
def test_the_server_closing_is_a_transport_close(pair: Pair, mode: str) -> None:
    pair.open(**MODES[mode])
    pair.sessions[0].send("bye")
    pair.sessions[0].close()
    pair.server.settle()
    assert pair.messages == ["bye"]
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["transport close"]


@pytest.mark.parametrize("mode", MODES)
def test_a_cut_is_a_transport_error(pair: Pair, mode: str) -> None:
    pair.open(**MODES[mode])
    pair.client.cut()
    pair.server.settle()
    (event,) = pair.events(ClientSessionClosed)
    assert (event.reason, event.error) == ("transport error", None)
    assert event.detail
