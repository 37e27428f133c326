"""A client that does not read: what waits for it is bounded, whoever wants can wait for it, and others don't notice."""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket, SocketApp
from siocore import Limits, Socket
from siocore.testing import TestClient


def stuck_websocket(engine: EngineApp, window: int = 0) -> RawWebSocket:
    """A WebSocket client that stops reading once it is open; the network holds ``window`` bytes."""
    websocket = RawWebSocket(engine.server)
    websocket.take()
    websocket.stream.link.to_client.window = window
    websocket.stream.link.to_client.stall()
    return websocket


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_client_that_takes_nothing_is_closed_when_more_than_max_buffered_waits(transport: str) -> None:
    engine = EngineApp(limits=Limits(max_buffered=10_000))
    if transport == "websocket":
        stuck_websocket(engine)
    else:
        RawPolling(engine.server)
    (session,) = engine.opened
    worst = 0
    for _ in range(100):
        session.send("x" * 1_000)
        engine.server.settle()
        worst = max(worst, session.buffered)
        if not session.open:
            break
    # The message that is one too many is not kept.
    assert 10_000 < worst <= 11_100
    assert engine.closed == ["slow consumer"]
    assert session.buffered == 0
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_what_the_kernel_has_not_taken_counts_as_buffered() -> None:
    engine = EngineApp(limits=Limits(max_buffered=10_000))
    stuck_websocket(engine, window=2_000)
    (session,) = engine.opened
    session.send("x" * 5_000)
    engine.server.settle()
    assert 3_000 <= session.buffered <= 3_100
    session.send("y" * 1_000)
    assert 4_000 <= session.buffered <= 4_100


def test_one_message_may_be_larger_than_max_buffered() -> None:
    engine = EngineApp(limits=Limits(max_buffered=10_000))
    websocket = RawWebSocket(engine.server)
    websocket.take()
    engine.opened[0].send("x" * 100_000)
    engine.server.settle()
    assert websocket.take() == ["4" + "x" * 100_000]


def test_a_burst_within_one_turn_counts_in_full() -> None:
    engine = EngineApp(limits=Limits(max_buffered=10_000))
    websocket = RawWebSocket(engine.server)
    for _ in range(8):
        engine.opened[0].send("x" * 1_000)
    engine.server.settle()
    assert len(websocket.take()) == 9
    assert engine.closed == []


def test_a_client_that_reads_again_in_time_gets_everything_in_order() -> None:
    engine = EngineApp()
    websocket = stuck_websocket(engine, window=100)
    for number in range(500):
        engine.opened[0].send(str(number))
    engine.server.advance(10)
    websocket.stream.link.to_client.window = 7
    websocket.stream.link.to_client.resume()
    engine.server.settle()
    assert websocket.take() == [f"4{number}" for number in range(500)]
    assert engine.opened[0].buffered == 0
    assert engine.closed == []


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_an_awaited_send_waits_while_more_than_high_water_is_buffered(transport: str) -> None:
    engine = EngineApp(limits=Limits(high_water=1_000))
    progress: list[int] = []

    @engine.app.on("message")
    async def stream(session: Any, data: object) -> None:
        for number in range(10):
            await session.send("x" * 600)
            progress.append(number)

    if transport == "websocket":
        websocket = stuck_websocket(engine)
        websocket.send("4go")
        assert progress == [0]
        websocket.stream.link.to_client.window = float("inf")
        websocket.stream.link.to_client.resume()
        engine.server.settle()
        assert progress == list(range(10))
        assert len(websocket.take()) == 10
    else:
        polling = RawPolling(engine.server)
        polling.post(b"4go")
        assert progress == [0]
        received = 0
        for _ in range(6):
            answer = polling.get()
            if answer is None:
                break
            received += answer.body.count(b"4x")
        assert progress == list(range(10))
        assert received == 10


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("end", ["server", "client", "time"])
def test_the_end_of_the_session_ends_the_wait(transport: str, end: str) -> None:
    engine = EngineApp(limits=Limits(high_water=100))
    progress: list[str] = []

    @engine.app.on("message")
    async def stream(session: Any, data: object) -> None:
        await session.send("x" * 600)
        progress.append("over")

    if transport == "websocket":
        websocket = stuck_websocket(engine)
        websocket.send("4go")
    else:
        polling = RawPolling(engine.server)
        polling.post(b"4go")
    assert progress == []
    assert engine.server.running == 1
    if end == "server":
        engine.opened[0].close()
    elif end == "time":
        engine.server.advance(46)
    elif transport == "websocket":
        websocket.stream.reset()
    else:
        polling.post(b"1")
    engine.server.settle()
    assert progress == ["over"]
    engine.server.advance(60)
    engine.assert_nothing_left()


def test_an_awaited_send_to_a_client_that_keeps_up_does_not_suspend() -> None:
    engine = EngineApp()
    suspended: list[int] = []

    @engine.app.on("message")
    async def reply(session: Any, data: object) -> None:
        await session.send("x")
        suspended.append(engine.server.running)

    websocket = RawWebSocket(engine.server)
    websocket.send("4go")
    assert suspended == [1]
    assert engine.server.running == 0


def test_many_handlers_can_wait_for_the_same_client() -> None:
    engine = EngineApp(limits=Limits(high_water=100))

    @engine.app.on("message")
    async def reply(session: Any, data: object) -> None:
        await session.send("x" * 200)

    websocket = stuck_websocket(engine)
    websocket.send(*["4go"] * 20)
    assert engine.server.running == 20
    websocket.stream.link.to_client.window = 10
    websocket.stream.link.to_client.resume()
    engine.server.settle()
    assert engine.server.running == 0
    assert len(websocket.take()) == 20


# Socket.IO -----------------------------------------------------------------------------------------------------


def test_one_stuck_client_does_not_hold_up_a_broadcast_to_the_others() -> None:
    app = SocketApp(limits=Limits(max_buffered=10_000))
    clients = [TestClient(app.server, transport) for transport in ("websocket", "polling", "websocket")]
    for client in clients:
        client.connect()
    link = clients[2].engine.links[0]
    link.to_client.window = 0
    link.to_client.stall()
    for number in range(50):
        app.app.emit("news", number, "x" * 1_000)
        app.server.settle()
    for client in clients[:2]:
        assert [event.args[0] for event in client.events] == list(range(50))
    assert app.events.count(("disconnect", "slow consumer")) == 1
    assert len(app.app.local_sockets()) == 2


def test_volatile_events_are_dropped_while_the_client_is_slow_and_never_reorder() -> None:
    app = SocketApp()
    sockets: list[Socket] = []
    app.app.on("connection")(sockets.append)
    client = TestClient(app.server)
    client.connect()
    pipe = client.engine.links[0].to_client
    for number in range(10):
        if number == 3:
            pipe.window = 0
            sockets[0].emit("blocks", number)
            app.server.settle()
        if number == 7:
            pipe.window = float("inf")
            sockets[0].emit("blocks", number)
            pipe.resume()
            app.server.settle()
        sockets[0].volatile.emit("news", number)
        app.app.volatile.emit("to all", number)
        app.server.settle()
    numbers = [event.args[0] for event in client.events]
    assert numbers == sorted(numbers)
    assert 4 not in numbers
    assert 5 not in numbers
    assert 9 in numbers


def test_volatile_over_polling_needs_a_parked_get() -> None:
    app = SocketApp()
    sockets: list[Socket] = []
    app.app.on("connection")(sockets.append)
    polling = RawPolling(app.server)
    polling.post(b"40")
    polling.get()
    sockets[0].volatile.emit("lost")
    app.app.volatile.emit("lost too")
    sockets[0].emit("kept")
    answer = polling.get()
    assert answer is not None
    assert answer.body == b'42["kept"]'
    polling.get()
    sockets[0].volatile.emit("delivered")
    app.server.settle()
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b'42["delivered"]'


def test_a_socket_tells_how_much_waits_for_its_client() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    assert socket.buffered_bytes == 0
    socket.emit("news", "x" * 1_000)
    assert 1_000 < socket.buffered_bytes < 1_050
    app.server.settle()
    assert socket.buffered_bytes == 0
