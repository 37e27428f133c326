"""Events that no handler takes: receive(), events(), and what becomes of them when nobody comes."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from fake_link import Client, Task
from siocore.errors import Disconnected
from siocore.options import Limits
from siocore.socketio.client_socket import ClientSocket


def deliver(client: Client, *packets: str) -> None:
    """What a dispatcher does without handlers."""
    for packet in packets:
        client.link.text(packet)
    for event in client.received():
        event.socket.keep(event)


def names(socket: ClientSocket) -> list[object]:
    return [Task(socket.receive()).result.name for _ in range(len(socket.inbox))]


def test_events_are_kept_in_order_and_can_be_asked_for_by_name() -> None:
    client = Client()
    socket = client.connected()
    deliver(client, '2["a",1]', '2["b",2]', '2["a",3]', '27["c"]')
    first = Task(socket.receive("b")).result
    assert (first.name, first.args, first.ack_id) == ("b", [2], None)
    assert Task(socket.receive()).result.args == [1]
    assert Task(socket.receive("a")).result.args == [3]
    question = Task(socket.receive("c")).result
    question.acknowledge(1)
    assert client.link.take() == ["37[1]"]
    assert len(socket.inbox) == 0


def test_receive_waits_for_its_event() -> None:
    client = Client()
    socket = client.connected()
    by_name, any_name = Task(socket.receive("b")), Task(socket.receive())
    deliver(client, '2["a"]')
    assert any_name.result.name == "a"
    assert not by_name.done
    deliver(client, '2["b"]')
    assert by_name.result.name == "b"


def test_receive_can_be_given_a_time() -> None:
    client = Client()
    socket = client.connected()
    task = Task(socket.receive(timeout=5))
    in_time = Task(socket.receive("a", timeout=6))
    client.advance(4.9)
    assert not task.done
    client.advance(0.1)
    with pytest.raises(TimeoutError):
        _ = task.result
    deliver(client, '2["a"]')
    assert in_time.done
    assert client.hub.timers.next_deadline() is None


def test_a_receive_that_is_cancelled_takes_no_event_with_it() -> None:
    client = Client()
    socket = client.connected()
    cancelled, waiting = Task(socket.receive(timeout=5)), Task(socket.receive())
    cancelled.cancel()
    deliver(client, '2["a"]')
    assert waiting.result.name == "a"
    late = Task(socket.receive())
    late.cancel()
    deliver(client, '2["b"]')
    assert names(socket) == ["b"]
    assert client.hub.timers.next_deadline() is None


def test_a_receive_that_was_woken_and_then_cancelled_takes_no_event_with_it() -> None:
    client = Client()
    socket = client.connected()
    steps = socket.receive().__await__()
    waiter: Any = next(steps)
    deliver(client, '2["a"]')
    assert waiter.woken
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
    assert names(socket) == ["a"]


def test_receive_ends_when_the_socket_is_not_active_any_more_but_not_before_the_last_event() -> None:
    client = Client()
    socket = client.connected()
    waiting = Task(socket.receive("other"))
    deliver(client, '2["a"]', '2["b"]')
    client.link.lost()
    assert not waiting.done
    socket.disconnect()
    with pytest.raises(Disconnected):
        _ = waiting.result
    assert names(socket) == ["a", "b"]
    with pytest.raises(Disconnected):
        _ = Task(socket.receive()).result


def next_of(events: Any) -> Task:
    return Task(events.__anext__())


def test_events_goes_on_across_connections_and_ends_with_the_socket() -> None:
    client = Client()
    socket = client.connected()
    events = socket.events().__aiter__()
    first = next_of(events)
    deliver(client, '2["a"]')
    assert first.result.name == "a"
    second = next_of(events)
    client.link.lost()
    client.advance(1)
    client.link.opened()
    client.accept()
    assert not second.done
    deliver(client, '2["b"]')
    assert second.result.name == "b"
    third = next_of(events)
    deliver(client, '2["c"]')
    assert third.result.name == "c"
    fourth = next_of(events)
    client.link.text("1")
    assert isinstance(fourth.error, StopAsyncIteration)


def big(number: int) -> str:
    return f'2["e{number}","{"x" * 300}"]'


def test_without_a_reader_the_oldest_events_go_and_are_counted() -> None:
    client = Client(limits=Limits(max_held=2_000))
    socket = client.connected()
    deliver(client, *(big(number) for number in range(20)))
    assert not client.link.paused
    kept = names(socket)
    assert 2 <= len(kept) <= 6
    assert kept == [f"e{number}" for number in range(20 - len(kept), 20)]
    assert socket.dropped == 20 - len(kept)


def test_one_event_that_is_larger_than_all_that_is_kept_is_kept_alone() -> None:
    client = Client(limits=Limits(max_held=100))
    socket = client.connected()
    deliver(client, big(1), big(2))
    assert names(socket) == ["e2"]
    assert socket.dropped == 1


def test_a_reader_that_is_slow_stops_the_reading_and_loses_nothing() -> None:
    client = Client(limits=Limits(max_held=2_000))
    socket = client.connected()
    events = socket.events().__aiter__()
    deliver(client, *(big(number) for number in range(20)))
    assert client.link.paused
    assert socket.dropped == 0
    seen = []
    while client.link.paused:
        seen.append(next_of(events).result.name)
    assert 0 < len(socket.inbox) < 6
    while len(socket.inbox):
        seen.append(next_of(events).result.name)
    assert seen == [f"e{number}" for number in range(20)]


def test_a_reader_that_leaves_lets_the_reading_go_on() -> None:
    client = Client(limits=Limits(max_held=2_000))
    socket = client.connected()
    events: Any = socket.events().__aiter__()
    deliver(client, *(big(number) for number in range(20)))
    assert client.link.paused
    del events
    gc.collect()
    assert not client.link.paused
    assert socket.dropped > 10
    deliver(client, big(20))
    assert not client.link.paused


def test_a_link_that_is_gone_is_not_read_on() -> None:
    client = Client(limits=Limits(max_held=1_000))
    socket = client.connected()
    events = socket.events().__aiter__()
    deliver(client, *(big(number) for number in range(9)))
    old = client.link
    old.lost()
    client.advance(1)
    client.link.opened()
    client.accept()
    for _ in range(9):
        assert next_of(events).done
    assert not client.link.paused
    deliver(client, *(big(number) for number in range(9)))
    assert client.link.paused


def test_the_driver_is_told_of_new_deadlines() -> None:
    client = Client()
    socket = client.connected()
    client.link.lost()
    woken: list[float | None] = []
    client.hub.wake = lambda: woken.append(client.hub.next_deadline())
    Task(socket.receive(timeout=0.5))
    assert woken == [0.5]
    socket.emit_with_ack("a", timeout=0.25)
    assert woken == [0.5, 0.25]
    client.advance(1)
    woken.clear()
    client.link.refused()
    assert woken[-1] == 3
