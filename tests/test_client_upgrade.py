"""The upgrade of a client's session: faults at every step, and closing in the middle."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from client_pairs import MODES, TARGET, Pair
from siocore.client_events import ClientSessionClosed, ClientSessionUpgraded
from siocore.client_options import EngineClientOptions
from siocore.link import ClientLink
from siocore.testing import AppClient
from siocore.testing.app_client import Dial
from siocore.testing.network import Link

#: Bytes of the WebSocket's connection after which it is cut, from the request to what follows the UPGRADE packet.
TO_SERVER = range(0, 420, 7)
TO_CLIENT = range(0, 150, 3)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def upgrade_with(pair: Pair, cut: Any) -> None:
    """Open a session whose WebSocket's link is treated by ``cut``, and talk all the time."""

    def script(link: Link) -> None:
        # The handshake and the GETs have the first link, the WebSocket has the second.
        link.to_server.delay = link.to_client.delay = 0.01
        if link.number == 1:
            cut(link)

    pair.server.network.script = script
    session = pair.open()
    pair.server.run_until(lambda: session.open)
    for number in range(40):
        if session.open:
            session.send(str(number))
        if pair.sessions[0].open:
            pair.sessions[0].send(f"server {number}")
        pair.server.advance(0.005)
    pair.server.advance(30)


def check_order(pair: Pair) -> None:
    """Nothing is lost, doubled or out of order, except behind the end of a session."""
    to_server = [item for item in pair.received if isinstance(item, str)]
    assert to_server == [str(number) for number in range(len(to_server))]
    echoes = [item for item in pair.messages if isinstance(item, str) and not item.startswith("server")]
    assert echoes == [str(number) for number in range(len(echoes))]
    from_server = [item for item in pair.messages if isinstance(item, str) and item.startswith("server")]
    assert from_server == [f"server {number}" for number in range(len(from_server))]
    if not pair.events(ClientSessionClosed):
        assert len(to_server) == len(echoes) == len(from_server) == 40


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_cut_at_any_byte_of_the_websocket_loses_or_reorders_nothing(direction: str) -> None:
    ended = upgraded = 0
    for size in TO_SERVER if direction == "to_server" else TO_CLIENT:
        pair = Pair()

        def cut(link: Link, size: int = size) -> None:
            getattr(link, direction).cut_after = size + 1

        upgrade_with(pair, cut)
        check_order(pair)
        ended += len(pair.events(ClientSessionClosed))
        upgraded += len(pair.events(ClientSessionUpgraded))
        assert len(pair.events(ClientSessionClosed)) <= 1
        pair.close()
    # The cuts fall before, in and behind the upgrade.
    assert ended
    assert upgraded


def test_a_websocket_that_can_not_be_dialled_leaves_the_session_on_polling(pair: Pair) -> None:
    def script(dial: Dial) -> None:
        if dial.number == 1:
            dial.refusal = "no"

    pair.client.script = script
    session = pair.open()
    session.send("x")
    pair.server.settle()
    assert session.transport == "polling"
    assert pair.messages == ["x"]
    assert not pair.events(ClientSessionUpgraded)


def test_a_websocket_that_never_answers_is_given_up(pair: Pair) -> None:
    def script(dial: Dial) -> None:
        dial.swallowed = dial.number == 1

    pair.client.script = script
    session = pair.open()
    session.send("x")
    pair.server.advance(21)
    assert session.transport == "polling"
    assert pair.messages == ["x"]
    assert pair.sessions[0].open


def test_a_probe_that_is_never_answered_is_given_up(pair: Pair) -> None:
    def script(link: Link) -> None:
        if link.number == 1:
            # The answer to the handshake arrives, and no more.
            link.to_client.window = 129

    pair.server.network.script = script
    session = pair.open()
    pair.server.advance(25)
    assert session.open
    session.send("x")
    pair.server.advance(1)
    assert "x" in pair.messages


@pytest.mark.parametrize("upgrade", [False, True])
def test_the_upgrade_can_be_left_out(upgrade: bool) -> None:
    pair = Pair(allow_upgrades=not upgrade)
    session = pair.open(upgrade=upgrade)
    pair.server.advance(30)
    assert session.transport == "polling"
    assert not pair.events(ClientSessionUpgraded)
    pair.close()


@pytest.mark.parametrize("step", range(0, 100, 2))
def test_closing_at_any_moment_of_the_upgrade_lets_all_leave(step: int) -> None:
    pair = Pair()

    def script(link: Link) -> None:
        link.to_server.delay = link.to_client.delay = 0.01

    pair.server.network.script = script
    session = pair.open(settle=False)
    pair.server.advance(step * 0.001)
    was_open = session.open
    if was_open:
        session.send("last")
    session.close()
    pair.server.advance(60)
    assert pair.received == (["last"] if was_open else [])
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["forced close"]
    assert not pair.protocol.connections
    assert pair.protocol.timers.next_deadline() is None
    pair.close()


def test_remember_upgrade_begins_with_websocket_the_next_time(pair: Pair) -> None:
    first = pair.open(remember_upgrade=True)
    assert first.transport == "websocket"
    dialled = pair.client.dialled
    second = pair.open(remember_upgrade=True)
    assert second.transport == "websocket"
    assert pair.client.dialled == dialled + 1
    third = pair.open()
    assert pair.client.dialled == dialled + 3
    assert third.open


def test_try_all_transports_goes_on_with_the_next_one_while_it_opens() -> None:
    pair = Pair(transports=("polling",))
    session = pair.open(transports=("websocket", "polling"), try_all_transports=True)
    assert session.open
    assert session.transport == "polling"
    refused = pair.open(transports=("websocket", "polling"))
    assert refused.closed
    (event,) = pair.events(ClientSessionClosed)
    assert "Transport unknown" in str(event.error)
    pair.close()


# The end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["close", "abandon", "cut", "server"])
def test_a_session_that_is_over_is_freed_without_the_collector(mode: str, how: str) -> None:
    pair = Pair()
    session = pair.open(**MODES[mode])
    session.send("x")
    pair.server.settle()
    if how == "cut":
        pair.client.cut()
    elif how == "server":
        pair.sessions[0].close()
    else:
        getattr(session, how)()
    pair.server.advance(60)
    told = [event.reason for event in pair.events(ClientSessionClosed)]
    assert len(told) == (how != "abandon")
    gone = weakref.ref(session)
    pair.client.events.clear()
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()
    pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_after_a_sleep_the_session_has_expired_before_its_timer(mode: str) -> None:
    pair = Pair()
    session = pair.open(**MODES[mode])
    assert not session.expired
    assert session.writable
    pair.client.suspend(600)
    assert session.open == (not pair.events(ClientSessionClosed))
    pair.close()


def test_expired_looks_at_the_time_of_the_world() -> None:
    pair = Pair()
    slept = 0.0
    session = pair.open(transports=("websocket",))
    pair.protocol.elapsed_clock = lambda: pair.client.clock.now + slept
    slept = 44.0
    assert not session.expired
    slept = 46.0
    assert session.expired
    assert not session.writable
    session.close("ping timeout", "slept")
    assert [(event.reason, event.detail) for event in pair.events(ClientSessionClosed)] or session.closed
    pair.server.settle()
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["ping timeout"]
    assert not pair.protocol.connections
    pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_timer_that_is_hours_late_closes_once(mode: str) -> None:
    pair = Pair()
    pair.open(**MODES[mode])
    for link in pair.client.links:
        link.stall()
    pair.protocol.handle_timeout(pair.client.clock.now + 10_000)
    pair.protocol.handle_timeout(pair.client.clock.now + 20_000)
    pair.server.settle()
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["ping timeout"]
    pair.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_program_that_was_busy_does_not_lose_a_session_whose_pings_have_arrived(mode: str) -> None:
    pair = Pair()
    session = pair.open(**MODES[mode])
    pair.server.advance(24)
    pair.client.block(40)
    pair.server.advance(1)
    # The server may have given up; the client must not before it has read.
    assert [event.reason for event in pair.events(ClientSessionClosed)] in (
        [],
        ["transport close"],
        ["transport error"],
    )
    assert session.open or pair.closed
    pair.close()


def test_shutdown_closes_every_session_in_an_orderly_way_and_opens_no_more(pair: Pair) -> None:
    for mode in MODES:
        pair.open(**MODES[mode]).send(mode)
    client: AppClient = pair.client
    client.shutdown()
    pair.server.advance(10)
    assert sorted(map(str, pair.received)) == sorted(MODES)
    assert pair.closed == ["transport close"] * 3
    assert not pair.protocol.connections
    with pytest.raises(Exception, match="closed"):
        pair.protocol.open_session(TARGET, EngineClientOptions())


def test_a_link_is_a_client_link(pair: Pair) -> None:
    assert isinstance(pair.open(), ClientLink)


# Revision 3 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [3, "auto"])
@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_revision_3_carries_text_and_binary_both_ways(mode: str, base64: bool, protocol: int | str) -> None:
    pair = Pair(allow_eio3=True)
    if protocol == "auto":
        # A server of revision 3 that does not look at EIO would answer so; ours is asked for 3 at once.
        pair.protocol.learn_revision(TARGET, 3)
    session = pair.open(protocol=protocol, force_base64=base64, **MODES[mode])
    assert session.revision == 3
    assert session.implied_id("/") == session.sid
    assert session.implied_id("/a") == f"/a#{session.sid}"
    sent: list[str | bytes] = ["hello", b"\x00\xff", "größer €😀", b"", "", "x:y", *map(str, range(20))]
    for data in sent:
        session.send(data)
    pair.server.settle()
    assert pair.received == sent
    assert pair.messages == sent
    pair.server.advance(300)
    assert session.open
    for link in pair.client.links:
        link.stall()
    pair.server.advance(46)
    assert [event.reason for event in pair.events(ClientSessionClosed)] == ["ping timeout"]
    pair.close()


def test_a_websocket_that_fails_while_polling_is_paused_lets_polling_go_on(pair: Pair) -> None:
    def script(link: Link) -> None:
        if link.number == 1:
            link.to_client.delay = 1.0

    pair.server.network.script = script
    session = pair.open()
    polling, websocket = pair.client.links[:2]
    polling.to_client.stall()
    pair.server.advance(3)
    # "3probe" is there, and the GET is still under way: what is sent is held back.
    session.send("held")
    pair.server.settle()
    assert pair.received == []
    websocket.cut()
    polling.to_client.resume()
    pair.server.advance(1)
    assert pair.received == ["held"]
    assert pair.messages == ["held"]
    assert session.transport == "polling"
