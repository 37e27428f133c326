"""Connection state recovery: how long and how much is kept, and that nothing of it stays."""

from __future__ import annotations

import gc
import json
import re
import weakref
from typing import Any

import msgspec
import pytest

from raw_client import RawWebSocket, assert_nothing_left
from recovering import App
from siocore import IMPLEMENTATION, Limits, LocalProtocolError, Recovery, ServerOptions, Socket
from siocore.socketio.recovery import RoomChange, StoredSession
from siocore.socketio.recovery_memory import RecoveryMemory
from siocore.testing import TestClient, TestServer


def memory(app: App) -> RecoveryMemory:
    """Of the namespace /."""
    return app.io.sockets.adapter._memory  # type: ignore[attr-defined, no-any-return]


# Options --------------------------------------------------------------------------------------------------------


def test_recovery_is_off_unless_asked_for() -> None:
    assert ServerOptions().recovery is None
    assert ServerOptions(recovery=False).recovery is None
    assert ServerOptions(recovery=True).recovery == Recovery(max_disconnection=120.0, skip_middlewares=False)
    assert ServerOptions(recovery=Recovery(max_disconnection=5)).recovery == Recovery(max_disconnection=5)


@pytest.mark.parametrize("value", [0, -1, "5", None, True, float("nan")])
def test_the_longest_absence_is_a_positive_number_of_seconds(value: Any) -> None:
    with pytest.raises(ValueError, match="max_disconnection must be a positive number of seconds"):
        Recovery(max_disconnection=value)


@pytest.mark.parametrize("value", [1, "yes", {}, 120.0])
def test_recovery_is_an_option_of_its_own_type(value: Any) -> None:
    with pytest.raises(ValueError, match=r"recovery must be a siocore\.Recovery, True or None"):
        ServerOptions(recovery=value)


# Time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("away", "recovered"), [(30.0, True), (30.001, False)])
def test_a_client_may_be_away_for_so_long_and_not_longer(away: float, recovered: bool) -> None:
    app = App(Recovery(max_disconnection=30))
    client = app.client()
    app.cut(client)
    app.server.clock.now += away
    websocket = RawWebSocket(app.server)
    (_, connect) = websocket.send("40" + json.dumps({"pid": client.pids["/"]}))
    assert (json.loads(str(connect)[2:])["sid"] == client.id) is recovered


def test_a_client_may_be_away_from_when_that_was_noticed() -> None:
    app = App(Recovery(max_disconnection=30), ping_interval=20, ping_timeout=10)
    client = app.client()
    for link in client.engine.links:
        link.stall()
    app.io.emit("into the void")
    app.server.advance(30)
    assert app.log[-1][0] == "ping timeout"
    app.server.advance(29)
    client.engine.cut()
    assert client.reconnect() is True
    assert app.events(client) == [["into the void"]]


def test_events_are_kept_until_nobody_can_need_them() -> None:
    app = App(Recovery(max_disconnection=30), ping_interval=20, ping_timeout=10)
    app.client()
    app.io.emit("event")
    kept = 30 + 20 + 2 * 10
    app.server.advance(kept - 1)
    assert len(memory(app)._events) == 1
    app.server.advance(1 + kept / 16)
    assert len(memory(app)._events) == 0
    assert memory(app)._budget.size == 0
    assert memory(app)._timer is None


def test_there_is_no_timer_and_no_memory_where_nobody_can_come_back() -> None:
    app = App()
    app.io.emit("to nobody")
    assert len(memory(app)._events) == 0
    client = app.client()
    client.disconnect("/")
    app.server.settle()
    app.io.emit("to nobody")
    assert len(memory(app)._events) == 0
    client.disconnect()
    app.server.settle()
    assert_nothing_left(app.server)


def test_what_is_kept_for_the_last_client_goes_with_it() -> None:
    app = App(Recovery(max_disconnection=30))
    client = app.client()
    app.io.emit("known")
    app.cut(client)
    app.io.emit("missed")
    app.server.advance(29)
    assert len(memory(app)._sessions) == 1
    assert len(memory(app)._events) == 2
    app.server.advance(15)
    assert memory(app)._sessions == {}
    assert memory(app)._ids == set()
    assert len(memory(app)._events) == 0
    app.server.advance(30)
    assert_nothing_left(app.server)


def test_a_server_that_has_stopped_keeps_nothing() -> None:
    app = App()
    app.io.of("/other")
    first, second = app.client(), app.client()
    second.connect("/other")
    app.io.emit("event")
    app.cut(first)
    app.server.shutdown()
    app.server.settle()
    assert [name for name, _ in app.log][-1] == "server shutting down"
    assert len(memory(app)._sessions) == 2
    app.server.close()
    assert memory(app)._sessions == {}
    assert len(memory(app)._events) == 0
    assert_nothing_left(app.server)
    # Another one may serve the application, on a clock of its own.
    app.server = TestServer(app.io)
    first.server = app.server
    again = TestClient(app.server)
    again.pids.update(first.pids)
    assert again.connect() != app.connected[0].id
    assert again.recovered == set()


# Bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("events", "recovered"), [(10, True), (11, False)])
def test_so_many_events_are_kept(events: int, recovered: bool) -> None:
    app = App(limits=Limits(max_recovery_events=10))
    client = app.client()
    app.cut(client)
    for number in range(events):
        app.io.emit("missed", number)
    assert len(memory(app)._events) == 10
    assert client.reconnect() is recovered
    assert app.events(client) == [["missed", number] for number in range(events)] * recovered


def test_so_many_bytes_are_kept() -> None:
    app = App(limits=Limits(max_recovery_log=20_000))
    client = app.client()
    for _ in range(100):
        app.io.emit("event", "x" * 4_000, b"y" * 500)
        assert memory(app)._budget.size <= 20_000
    assert 3 <= len(memory(app)._events) <= 4
    app.io.emit("too large", b"z" * 30_000)
    assert len(memory(app)._events) == 0
    assert memory(app)._budget.size == 0
    assert len(app.events(client)) == 101
    app.cut(client)
    assert client.reconnect() is True
    app.cut(client)
    app.io.emit("too large", b"z" * 30_000)
    assert client.reconnect() is False


@pytest.mark.skipif(IMPLEMENTATION != "python", reason="what a compiled message has made can't be seen")
def test_a_message_is_kept_without_the_forms_in_which_it_was_sent() -> None:
    app = App()
    clients = [app.client(), app.client("polling"), app.client()]
    app.cut(clients[2])
    app.io.compress(False).emit("event", b"x" * 1_000)
    assert clients[2].reconnect() is True
    assert [app.events(client) for client in clients] == [[["event", b"x" * 1_000]]] * 3
    (event,) = memory(app)._events
    assert event.message._frames is None
    assert event.message._payload is None
    assert event.message.compress is False


def test_so_many_sockets_are_kept_and_the_newest_of_them() -> None:
    app = App(limits=Limits(max_recovery_sessions=3))
    clients = [app.client() for _ in range(5)]
    for client in clients:
        app.cut(client)
        app.server.advance(1)
    assert len(memory(app)._sessions) == len(memory(app)._ids) == 3
    assert [client.reconnect() for client in clients] == [False, False, True, True, True]


def rooms_app(**options: Any) -> App:
    """Clients choose the names of the namespaces."""
    app = App(**options)
    app.io.of(re.compile(r"/room-\d+"))
    return app


def test_the_bounds_hold_for_all_namespaces_together() -> None:
    limits = Limits(max_recovery_events=10, max_recovery_sessions=3)
    app = rooms_app(limits=limits)
    client = app.client()
    for number in range(8):
        client.connect(f"/room-{number}")
        for _ in range(3):
            app.io.of(f"/room-{number}").emit("event")
    app.server.settle()
    budget = memory(app)._budget
    assert len(budget.events) == 10
    app.cut(client)
    assert len(budget.sessions) == 3
    assert [client.reconnect(f"/room-{number}") for number in range(8)] == [False] * 5 + [True] * 3
    assert [each.name for each in client.events].count("event") == 24


def test_a_busy_namespace_leaves_room_for_the_others() -> None:
    app = App(limits=Limits(max_recovery_events=10))
    app.io.of("/other")
    client = app.client()
    client.connect("/other")
    for _ in range(50):
        app.io.emit("busy")
    app.server.settle()
    app.cut(client)
    for number in range(3):
        app.io.of("/other").emit("other", number)
        app.io.emit("busy")
        app.io.emit("busy")
    client.events.clear()
    assert client.reconnect("/other") is True
    assert app.events(client) == [["other", number] for number in range(3)]


def test_a_namespace_that_a_client_called_into_being_waits_for_it() -> None:
    app = rooms_app(recovery=Recovery(max_disconnection=30))
    client = app.client()
    client.connect("/room-1")
    app.cut(client)
    app.io.of("/room-1").emit("missed")
    app.server.advance(29)
    assert client.reconnect("/room-1") is True
    assert app.events(client) == [["missed"]]
    app.cut(client)
    family = app.io.of(re.compile(r"/room-\d+"))
    assert len(family.children) == 1
    app.server.advance(30 + 15)
    assert family.children == []
    assert len(memory(app)._budget.events) == 0
    assert len(memory(app)._budget.sessions) == 0
    app.server.advance(60)
    assert_nothing_left(app.server)


def test_who_missed_more_than_may_be_buffered_starts_anew() -> None:
    """To send it would make a slow consumer of it at once, and again."""
    app = App(limits=Limits(max_buffered=100_000))
    clients = [app.client(), app.client("polling")]
    for client in clients:
        app.cut(client)
    for _ in range(4):
        app.io.emit("missed", "x" * 12_000)
    assert [client.reconnect() for client in clients] == [True, True]
    assert [len(app.events(client)) for client in clients] == [4, 4]
    for client in clients:
        app.cut(client)
    for _ in range(5):
        app.io.emit("missed", "x" * 12_000)
    assert [client.reconnect() for client in clients] == [False, False]
    assert [app.events(client) for client in clients] == [[], []]


def test_many_small_events_fit_as_well_as_they_should() -> None:
    app = App(limits=Limits(max_buffered=100_000))
    client = app.client()
    app.cut(client)
    for number in range(1_000):
        app.io.emit("e", number)
    assert client.reconnect() is True
    assert len(app.events(client)) == 1_000


def test_what_is_cut_off_while_middleware_runs_makes_the_client_come_again() -> None:
    app = App(limits=Limits(max_recovery_events=3))
    client = app.client()
    app.cut(client)
    app.io.use(lambda socket: [app.io.emit("missed", number) for number in range(4)] and None)
    with pytest.raises(ConnectionError):
        client.reconnect()
    app.server.settle()
    assert app.io.sockets.sockets == {}
    app.io.sockets.registered.middlewares = ()
    assert not app.io.sockets.recovery_in_use
    # Nothing was let in, so nothing has left.
    assert [name for name, _ in app.log] == ["connection", "transport close"]
    assert client.reconnect() is False
    assert app.events(client) == []


def test_a_room_of_a_socket_is_remembered_while_it_matters() -> None:
    app = App()
    app.client()
    (socket,) = app.connected
    for number in range(1_000):
        socket.join(f"room {number}")
        socket.leave(f"room {number}")
    assert socket.recovery is not None
    assert socket.recovery.changes is not None
    assert len(socket.recovery.changes) == 64


# Nothing stays --------------------------------------------------------------------------------------------------


def test_nothing_of_a_client_stays() -> None:
    app = App(Recovery(max_disconnection=10), ping_interval=5, ping_timeout=5)
    app.connected = weakref.WeakSet()  # type: ignore[assignment]
    app.connected.append = app.connected.add  # type: ignore[attr-defined, method-assign]
    gc.collect()
    gc.disable()
    try:
        for round_ in range(20):
            clients = [TestClient(app.server, transport) for transport in ("websocket", "polling", "upgrade")]
            for client in clients:
                client.connect()
            app.io.emit("event", b"x")
            app.io.sockets_join(f"room {round_}")
            for client in clients[:2]:
                app.cut(client)
            app.io.to(f"room {round_}").emit("missed")
            assert clients[0].reconnect() is True
            clients[0].engine.cut()
            clients[2].disconnect()
        app.server.advance(60)
        del client, clients
        assert_nothing_left(app.server)
        assert len(app.connected) == 0
        assert list(app.io.sockets.adapter.rooms()) == []
        assert memory(app)._ids == set()
    finally:
        gc.enable()


def test_a_stored_session_is_plain_data() -> None:
    app = App()
    client = app.client()
    (socket,) = app.connected
    socket.join("room")
    socket.data.user = "ann"
    app.io.emit("event")
    app.cut(client)
    (stored,) = memory(app)._sessions.values()
    assert stored._replace(since=0.0) == StoredSession(
        pid=client.pids["/"],
        sid=client.id,
        rooms=frozenset({"room"}),
        data={"user": "ann"},
        since=0.0,
        start=stored.start,
        last=stored.end,
        end=stored.end,
        changes=(RoomChange(stored.start, ("room",), joined=True),),
    )
    assert stored.end.removeprefix(stored.start[:8]) == "1"


def test_data_that_a_disconnect_handler_sets_comes_back_too() -> None:
    app = App()

    @app.io.on("disconnect")
    def left(socket: Socket, reason: str) -> None:
        socket.data.left = reason

    client = app.client()
    app.cut(client)
    assert client.reconnect() is True
    assert app.connected[1].data.left == "transport close"


def test_an_event_that_can_not_be_encoded_takes_no_offset() -> None:
    app = App()
    client = app.client()
    with pytest.raises(LocalProtocolError):
        app.io.emit("event", object())
    with pytest.raises(LocalProtocolError):
        app.connected[0].emit("event", object())
    assert len(memory(app)._events) == 0
    app.io.emit("event")
    app.cut(client)
    assert client.reconnect() is True


def test_events_of_another_parser_have_offsets_too() -> None:
    app = App(parser="msgpack")

    def connect(auth: dict[str, str]) -> tuple[RawWebSocket, list[Any]]:
        websocket = RawWebSocket(app.server)
        _, *packets = websocket.send(msgspec.msgpack.encode({"type": 0, "nsp": "/", "data": auth}))
        return websocket, [msgspec.msgpack.decode(each) for each in packets if isinstance(each, bytes)]

    websocket, (answer,) = connect({})
    pid = answer["data"]["pid"]
    app.io.emit("event", b"x")
    app.connected[0].volatile.emit("volatile")
    app.server.settle()
    events = [msgspec.msgpack.decode(each)["data"] for each in websocket.take() if isinstance(each, bytes)]
    offset = events[0][-1]
    assert events == [["event", b"x", offset], ["volatile", offset]]
    websocket.stream.close()
    app.server.settle()
    app.io.emit("missed", b"y")
    _, (answer, missed) = connect({"pid": pid, "offset": offset})
    assert answer["data"] == {"sid": app.connected[0].id, "pid": pid}
    assert missed["data"][:-1] == ["missed", b"y"]
