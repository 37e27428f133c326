"""Connecting again: when, how often, and what is told."""

from __future__ import annotations

import random

import pytest

from fake_link import Client, Task
from siocore.errors import ConnectError, LocalProtocolError
from siocore.socketio.reconnection import Backoff


def delays(count: int, draw: float, factor: float = 0.5) -> list[float]:
    backoff = Backoff(1.0, 5.0, factor, lambda: draw)
    return [backoff.next_delay() for _ in range(count)]


def test_delays_double_up_to_the_maximum_and_are_changed_by_chance_also_there() -> None:
    assert delays(5, 0.5) == [1, 2, 4, 5, 5]
    assert delays(5, 0.0) == [0.5, 1, 2, 2.5, 2.5]
    assert delays(5, 1.0) == [1.5, 3, 6, 7.5, 7.5]
    assert delays(5, 0.9, factor=0) == [1, 2, 4, 5, 5]


def test_a_very_patient_client_counts_on() -> None:
    assert delays(5_000, 0.5)[-1] == 5


def test_clients_that_lose_the_same_server_come_back_one_by_one() -> None:
    draw = random.Random(1).random
    attempts: list[float] = []
    for _ in range(10_000):
        backoff = Backoff(1.0, 5.0, 0.5, draw)
        now = 0.0
        # The server is down for a minute.
        while now < 60:
            now += backoff.next_delay()
        attempts.append(now)
    buckets = [0] * 100
    for moment in attempts:
        buckets[int((moment - 60) * 10)] += 1
    busy = [count for count in buckets if count]
    mean = sum(busy) / len(busy)
    assert max(busy) <= 3 * mean
    assert len(busy) > 50


def test_a_lost_connection_is_made_again_after_a_delay() -> None:
    client = Client()
    socket = client.connected()
    client.link.lost("ping timeout", "silence")
    assert client.reports() == [("close", "ping timeout", "silence")]
    assert (socket.active, socket.connected, client.manager.reconnecting, client.manager.link) == (
        True,
        False,
        True,
        None,
    )
    client.advance(0.999)
    assert len(client.hub.links) == 1
    client.advance(0.001)
    assert client.reports() == [("reconnect_attempt", 1)]
    client.link.refused("still down")
    reports = client.reports()
    assert [report[0] for report in reports if isinstance(report, tuple)] == ["error", "reconnect_error"]
    client.advance(2)
    assert client.reports() == [("reconnect_attempt", 2)]
    client.link.opened()
    assert client.reports() == ["open", ("reconnect", 2)]
    assert (client.manager.reconnecting, client.manager.attempts) == (False, 0)
    client.accept()
    assert (socket.connected, socket.id) == (True, "id-3")


def test_success_resets_the_delay() -> None:
    client = Client()
    client.connected()
    client.link.lost()
    client.advance(1)
    client.link.refused()
    client.advance(2)
    client.link.opened()
    client.link.lost()
    client.events()
    client.advance(1)
    assert client.reports() == [("reconnect_attempt", 1)]


def test_attempts_are_counted_and_then_it_is_over() -> None:
    client = Client(reconnection_attempts=2)
    socket = client.manager.socket()
    patient = Task(socket.connect(retry=True))
    client.link.refused("a")
    client.advance(1)
    client.link.refused("b")
    assert not patient.done
    client.advance(2)
    client.events()
    client.link.refused("c")
    assert [name if isinstance(name, str) else name[0] for name in client.reports()] == [  # type: ignore[index]
        "error",
        "reconnect_failed",
        "reconnect_error",
    ]
    assert not socket.active
    with pytest.raises(ConnectError, match="c"):
        _ = patient.result
    client.advance(100)
    assert len(client.hub.links) == 3
    # Whoever wants more says so.
    again = Task(socket.connect())
    client.link.opened()
    client.accept()
    assert again.done
    assert socket.connected


def test_without_reconnection_a_failure_is_final() -> None:
    client = Client(reconnection=False)
    socket = client.manager.socket()
    task = Task(socket.connect(retry=True))
    client.link.refused("down")
    with pytest.raises(ConnectError, match="down"):
        _ = task.result
    assert not socket.active
    socket.connect()
    client.link.opened()
    client.accept()
    client.link.lost()
    client.advance(100)
    assert len(client.hub.links) == 2
    assert not socket.active


def test_disconnect_stops_the_attempts() -> None:
    client = Client()
    socket = client.connected()
    client.link.lost()
    socket.disconnect()
    assert client.told() == [("disconnect", "transport close")]
    client.advance(100)
    assert len(client.hub.links) == 1
    assert client.hub.timers.next_deadline() is None


def test_a_socket_that_connects_while_another_attempt_waits_waits_with_it() -> None:
    client = Client()
    client.connected()
    client.link.lost()
    second = client.manager.socket("/second")
    assert len(client.hub.links) == 1
    client.advance(1)
    client.link.opened()
    assert client.link.take() == ["0", "0/second,"]
    assert second.active


def test_a_new_socket_opens_a_closed_manager_again() -> None:
    client = Client()
    client.connected().disconnect()
    assert client.manager.link is None
    client.manager.socket("/second")
    client.link.opened()
    assert client.link.take() == ["0/second,"]


def test_the_manager_can_be_disconnected_and_connected() -> None:
    client = Client()
    socket = client.connected()
    client.manager.disconnect()
    assert client.told() == [("disconnect", "forced close")]
    assert not socket.active
    client.advance(60)
    assert len(client.hub.links) == 1
    client.manager.connect()
    assert socket.active
    client.link.opened()
    client.accept()
    assert socket.connected


def test_nothing_of_an_old_link_reaches_the_new_connection() -> None:
    client = Client()
    socket = client.connected()
    old = client.link
    old.text('25["question"]')
    (event,) = client.received()
    client.link.lost()
    client.advance(1)
    client.link.opened()
    client.accept()
    client.events()
    client.link.take()
    old.text('2["ghost"]')
    old.binary(b"ghost")
    old.lost("transport error")
    old.user.link_pinged(old)
    old.user.link_upgraded(old)
    assert client.events() == []
    assert socket.connected
    # The server that asked is gone, and the next one would take it for another question's answer.
    event.acknowledge("late")
    assert client.link.take() == []


def test_a_session_that_slept_is_given_up_and_the_event_waits_for_the_next_one() -> None:
    client = Client()
    socket = client.connected()
    slept = client.link
    slept.is_expired = True
    socket.volatile.emit("lost")
    socket.emit("kept")
    assert slept.state == "abandoned"
    assert slept.take() == []
    assert client.told() == [("disconnect", "ping timeout")]
    client.advance(1)
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '2["kept"]']


def test_a_link_that_opens_after_all_is_not_used() -> None:
    client = Client()
    socket = client.manager.socket()
    client.manager.disconnect()
    client.events()
    client.link.opened()
    assert client.events() == []
    assert client.link.take() == []
    assert not socket.active


def test_an_endpoint_that_opens_no_link_leaves_the_manager_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(auto_connect=False)
    socket = client.manager.socket()

    def refuse(*args: object) -> None:
        raise LocalProtocolError("the client is closed")

    with monkeypatch.context() as patched:
        patched.setattr(client.hub, "open_link", refuse)
        with pytest.raises(LocalProtocolError):
            socket.connect()
    assert not socket.active
    socket.connect()
    client.link.opened()
    client.accept()
    assert socket.connected


def test_waiting_that_is_given_up_leaves_nothing_behind() -> None:
    client = Client()
    socket = client.manager.socket()
    task = Task(socket.connect())
    task.cancel()
    assert socket._waiters == []


def test_pings_and_upgrades_are_told() -> None:
    client = Client()
    client.connected()
    client.link.user.link_pinged(client.link)
    client.link.user.link_upgraded(client.link)
    assert client.reports() == ["ping", ("upgrade", "websocket")]
