"""At most ``max_running_handlers`` handlers of one client run at a time.

Above that events are kept, then the client is not read; nothing is lost, and acknowledgements get through.
"""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket, SocketApp
from siocore import Limits, Socket
from siocore.testing import TestClient, VirtualWaiter
from siocore.testing.wire import PING, PONG, masked_frame, request_bytes


class Gated(EngineApp):
    """Message handlers wait at a gate of their own."""

    def __init__(self, limit: int, max_held: int = 1, **options: Any) -> None:
        super().__init__(limits=Limits(max_running_handlers=limit, max_held=max_held), **options)
        self.messages.clear()
        self.started: list[object] = []
        self.ended: list[object] = []
        self.gates: list[VirtualWaiter] = []
        self.app.on("message")(self.handle)

    async def handle(self, session: object, data: object) -> None:
        self.started.append(data)
        gate = VirtualWaiter()
        self.gates.append(gate)
        await gate
        self.ended.append(data)

    def release(self, count: int) -> None:
        for _ in range(count):
            self.gates.pop(0).wake()
            self.server.settle()


def test_no_more_than_the_limit_run_at_the_same_time() -> None:
    engine = Gated(3)
    websocket = RawWebSocket(engine.server)
    websocket.send(*[f"4{number}" for number in range(10)])
    assert engine.started == ["0", "1", "2"]
    assert engine.server.running == 3
    engine.release(1)
    assert engine.started == ["0", "1", "2", "3"]
    assert engine.server.running == 3
    while engine.gates:
        engine.release(1)
    assert engine.started == engine.ended == [str(number) for number in range(10)]


def test_at_the_limit_the_connection_is_not_read_until_what_waits_is_done() -> None:
    engine = Gated(2)
    websocket = RawWebSocket(engine.server)
    websocket.send("40", "41")
    (connection,) = engine.server.protocol.connections
    assert connection.wants_read
    websocket.send("42")
    assert not connection.wants_read
    websocket.send("43", "44")
    assert websocket.stream.link.to_server.empty is False
    engine.release(1)
    assert engine.started == ["0", "1", "2"]
    engine.release(3)
    assert connection.wants_read
    assert websocket.stream.link.to_server.empty
    engine.release(1)
    assert engine.ended == ["0", "1", "2", "3", "4"]


def test_other_clients_are_not_affected() -> None:
    engine = Gated(1)
    busy, other = RawWebSocket(engine.server), RawWebSocket(engine.server)
    busy.send("4a", "4b", "4c")
    other.send("4x")
    assert engine.started == ["a", "x"]


def test_the_heartbeat_survives_while_handlers_lag() -> None:
    engine = Gated(1)
    websocket = RawWebSocket(engine.server)
    websocket.send("4a", "4b")
    for _ in range(10):
        engine.server.advance(20)
        websocket.send("3")
    assert engine.closed == []
    engine.release(2)
    engine.server.advance(44)
    assert engine.closed == []


def test_a_client_that_is_gone_meanwhile_is_noticed_and_its_waiting_messages_dropped() -> None:
    engine = Gated(1)
    websocket = RawWebSocket(engine.server)
    websocket.send("4a", "4b")
    websocket.stream.reset()
    engine.server.settle()
    assert engine.closed == ["transport close"]
    engine.release(1)
    assert engine.started == ["a"]
    engine.assert_nothing_left()


def test_a_polling_client_gets_its_ok_when_handlers_have_caught_up() -> None:
    engine = Gated(1)
    polling = RawPolling(engine.server)
    # The handlers of a POST start behind its answer: the one that goes over the limit is still answered at once.
    for body in (b"4a", b"4b\x1e4c"):
        answer = polling.post(body)
        assert answer is not None
        assert answer.status == 200
    assert polling.post(b"4d") is None
    for _ in range(3):
        assert polling.posts.responses == []
        engine.release(1)
    assert engine.started == ["a", "b", "c", "d"]
    engine.release(1)
    answer = polling.posts.answer()
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ok")
    polling.post(b"4e")
    assert engine.started == ["a", "b", "c", "d", "e"]


def test_a_polling_session_that_ends_meanwhile_still_answers_its_post() -> None:
    engine = Gated(1)
    polling = RawPolling(engine.server)
    polling.post(b"4a\x1e4b")
    assert polling.post(b"4c") is None
    engine.opened[0].fail("transport error")
    engine.server.settle()
    assert polling.posts.answer() is not None
    engine.release(1)
    assert engine.started == ["a"]


def test_websocket_pings_wait_in_the_network_like_everything_else() -> None:
    engine = Gated(1)
    websocket = RawWebSocket(engine.server)
    websocket.send("4a", "4b")
    websocket.raw(masked_frame(PING, b"?"))
    assert (PONG, b"?") not in websocket.frames
    engine.release(2)
    assert (PONG, b"?") in websocket.frames


def test_an_upgrade_while_reading_is_paused_keeps_it_paused() -> None:
    engine = Gated(1)
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    polling.post(b"4a\x1e4b")
    websocket.send("2probe")
    assert polling.post(b"4c") is None
    websocket.send("5", "4d", "4e")
    websocket.send("4f")
    assert engine.server.running == 1
    assert not websocket.stream.link.to_server.empty
    while engine.gates:
        engine.release(1)
    assert engine.ended == ["a", "b", "c", "d", "e", "f"]
    answer = polling.posts.answer()
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_socket_io_handlers_have_the_same_limit_and_their_order_is_kept(transport: str) -> None:
    app = SocketApp(limits=Limits(max_running_handlers=2))
    gate = app.server.new_waiter()
    started: list[int] = []

    @app.app.on("work")
    async def work(socket: Socket, number: int) -> int:
        started.append(number)
        await gate
        return number

    client = TestClient(app.server, transport)
    client.connect()
    answers: list[int] = []
    for number in range(6):
        client.emit("work", number, ack=answers.append)
    app.server.settle()
    assert len(started) <= 2
    assert app.server.running <= 2
    gate.wake()
    app.server.advance(1)
    assert started == sorted(answers) == list(range(6))


def test_plain_functions_never_count_since_they_end_before_the_next_event() -> None:
    app = SocketApp(limits=Limits(max_running_handlers=1))
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send(*['42["e",1]'] * 100)
    assert len(app.events) == 101


# What is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_handlers_that_wait_for_their_own_clients_acknowledgements_get_them(transport: str) -> None:
    """Behind events that are kept, with as many such handlers as may run."""
    app = SocketApp(limits=Limits(max_running_handlers=2))
    answers: list[object] = []

    @app.app.on("ask me")
    async def ask(socket: Socket, number: int) -> None:
        answers.append(await socket.emit_with_ack("question", number))

    client = TestClient(app.server, transport)
    client.connect()
    for number in range(10):
        client.emit("ask me", number)
    app.server.settle()
    for _ in range(10):
        event = client.receive()
        client.ack(event, event.args[0] + 100)
        app.server.settle()
    assert answers == [number + 100 for number in range(10)]
    assert app.server.clock.now < 1


def test_heartbeats_get_through_while_events_are_kept() -> None:
    engine = Gated(1, max_held=10_000)
    websocket = RawWebSocket(engine.server)
    websocket.send("4a", "4b")
    (connection,) = engine.server.protocol.connections
    assert connection.wants_read
    for _ in range(10):
        engine.server.advance(25)
        assert "2" in websocket.take()
        websocket.send("3")
    assert engine.closed == []


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_what_is_kept_is_bounded_and_comes_in_order(transport: str, size: int) -> None:
    engine = Gated(1, max_held=10_000)
    sent = [f"{number:04}" + "x" * size for number in range(1_000)]
    if transport == "websocket":
        websocket = RawWebSocket(engine.server)
        for text in sent:
            websocket.send("4" + text)
    else:
        polling = RawPolling(engine.server)
        # Without waiting for answers: the requests wait in their connection, and then in the network.
        for text in sent:
            polling.posts.send(request_bytes("POST", polling.target, [], b"4" + text.encode()), "POST")
    (session,) = engine.opened
    held: Any = session._held
    # What goes over the bound, and over long-polling the POST that was on its way behind it.
    assert 10_000 < held.size <= 10_000 + 2 * (size + 60)
    assert held.size >= len(held._events) * size
    while engine.gates:
        engine.release(1)
    assert engine.ended == sent


def test_reading_goes_on_when_half_is_handled() -> None:
    engine = Gated(1, max_held=1_000)
    websocket = RawWebSocket(engine.server)
    websocket.send("4a", *["4" + "x" * 200] * 5)
    (connection,) = engine.server.protocol.connections
    assert not connection.wants_read
    engine.release(2)
    assert not connection.wants_read
    engine.release(1)
    assert connection.wants_read


def test_nested_arguments_count_in_full() -> None:
    app = SocketApp(limits=Limits(max_running_handlers=1, max_held=10_000))
    gate = app.server.new_waiter()
    app.app.on("work")(lambda socket, *args: gate)
    client = TestClient(app.server)
    client.connect()
    client.emit("work")
    client.emit("work", [{"key": ["x" * 4_000, b"x" * 4_000]}, [[]] * 60])
    app.server.settle()
    (connection,) = app.server.protocol.connections
    assert not connection.wants_read
