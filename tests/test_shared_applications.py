"""What applications see of sessions whose requests arrive at any of several servers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from raw_client import RawPolling, RawWebSocket
from shared_fleet import (
    Balancer,
    Fleet,
    at_random,
    elsewhere,
    relayed,
)
from siocore import EngineServer, Limits, Server, Socket
from siocore.endpoint.shared_sessions import SharedSessions
from siocore.errors import LocalProtocolError
from siocore.testing import ModelRedis, Simulation, TestClient, TestServer

Message = dict[str, Any]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet(3)
    yield fleet
    fleet.close()


# When the application hears of it -----------------------------------------------------------------------------


def test_the_application_hears_of_polling_clients_a_moment_later(fleet: Fleet) -> None:
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    answer = polling.post(b"4a")
    assert answer is not None
    assert answer.body == b"ok"
    assert (node.opened, node.messages) == ([], [])
    fleet.advance(0.3)
    assert (len(node.opened), node.messages) == (1, ["a"])
    websocket = RawWebSocket(node.server)
    assert websocket.response is not None
    assert len(node.opened) == 2


def test_it_hears_of_them_at_once_when_they_upgrade_here(fleet: Fleet) -> None:
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    polling.post(b"4a")
    websocket = polling.upgrade()
    websocket.send("4b")
    assert (len(node.opened), node.messages) == (1, ["a", "b"])


@pytest.mark.parametrize("end", [b"1", b"x", b"2"])
def test_it_hears_of_those_that_end_before(fleet: Fleet, end: bytes) -> None:
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    polling.post(b"4a")
    polling.post(end)
    assert len(node.opened) == len(node.closed) == 1
    assert node.messages == ["a"]


def test_what_is_kept_until_then_is_bounded() -> None:
    fleet = Fleet(1, limits=Limits(max_payload=1_000))
    node = fleet.nodes[0]
    polling = RawPolling(node.server)
    polling.post(b"4" + b"a" * 900)
    assert node.opened == []
    polling.post(b"4" + b"b" * 200)
    assert len(node.opened) == 1
    assert [len(each) for each in node.messages] == [900, 200]
    fleet.close()


def test_it_hears_of_those_that_end_with_their_server(fleet: Fleet) -> None:
    node = fleet.nodes[0]
    RawPolling(node.server).post(b"4a")
    node.server.protocol.shutdown(now=fleet.simulation.clock.now)
    fleet.settle()
    assert (len(node.opened), node.messages, len(node.closed)) == (1, ["a"], 1)
    fleet.advance(1)
    assert len(node.opened) == 1


# The end of a server ------------------------------------------------------------------------------------------


def test_clients_of_others_are_told_when_a_server_stops(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    fleet.nodes[1].server.protocol.shutdown(now=fleet.simulation.clock.now)
    fleet.settle()
    assert websocket.close_code == 1001
    answer = other.gets.answer()
    assert answer is not None
    assert answer.body == b"1"
    assert [reason for _, reason in fleet.nodes[0].closed] == ["transport close", "transport close"]
    again = elsewhere(fleet, polling).get()
    assert again is None or again.status == 503


def test_a_stopping_server_tells_its_clients_wherever_they_are(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    fleet.nodes[0].server.protocol.shutdown(now=fleet.simulation.clock.now)
    fleet.settle()
    assert websocket.close_code == 1000
    answer = other.gets.answer()
    assert answer is not None
    assert answer.body == b"1"


# Options and Socket.IO ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["response_timeout", "delayed_connection_timeout"])
@pytest.mark.parametrize("value", [0, -1, 60, float("nan")])
def test_seconds_that_are_none(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        SharedSessions(response_timeout=value) if option[0] == "r" else SharedSessions(delayed_connection_timeout=value)


def test_each_server_has_its_own() -> None:
    sessions = SharedSessions()
    EngineServer(sessions=sessions)
    with pytest.raises(LocalProtocolError, match="make another one"):
        Server(sessions=sessions)


def test_the_log_says_when_sessions_are_not_shared(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.redis.stop()
    fleet.settle()
    assert "not shared with other servers for now: Redis is gone" in caplog.text
    fleet.redis.start()
    fleet.settle()
    assert "shared with other servers again" in caplog.text


@pytest.mark.parametrize("mode", ["polling", "upgrade"])
@pytest.mark.parametrize("seed", range(4))
def test_socketio_clients_of_any_server(mode: str, seed: int) -> None:
    simulation = Simulation()
    random = Random(seed)
    redis = ModelRedis(simulation, latency=lambda: random.uniform(0, 0.05))
    servers = []
    for _ in range(3):
        sessions = SharedSessions()
        app = Server(sessions=sessions)
        redis.attach(sessions.broker)

        @app.on("echo")
        def echo(socket: Socket, *values: object) -> list[object]:
            return list(values)

        servers.append(TestServer(app, simulation=simulation))
    simulation.settle()
    balancer: Any = Balancer(servers, at_random(random, 3))
    clients = [TestClient(balancer, mode, headers=[("connection", "close")]) for _ in range(5)]
    for client in clients:
        client.connect()
    for number in range(10):
        for client in clients:
            assert client.emit_with_ack("echo", number, b"binary") == [number, b"binary"]
    for client in clients:
        client.engine.close()
    simulation.advance(5)
    assert not [each for server in servers for each in server.protocol.sessions]
    for server in servers:
        server.close()
