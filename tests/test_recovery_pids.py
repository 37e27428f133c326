"""Connection state recovery: who gets a socket back, and who does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raw_client import RawWebSocket
from recovering import App
from siocore import Adapter, ConnectionRefused, MemoryAdapter, Recovery, Server, Socket
from siocore.socketio.recovery import Returning
from siocore.testing import TestClient


class Returner:
    """A client that says that it was here before: what CONNECT is answered, and what else arrives."""

    def __init__(self, app: App, pid: object, offset: object = None, namespace: str = "/") -> None:
        self._prefix = "" if namespace == "/" else f"{namespace},"
        auth = {"pid": pid} if offset is None else {"pid": pid, "offset": offset}
        self.websocket = RawWebSocket(app.server)
        self._messages = self.websocket.send(f"40{self._prefix}{json.dumps(auth)}")

    @property
    def messages(self) -> list[str]:
        """All that has arrived, OPEN first."""
        self.websocket.server.settle()
        self._messages += self.websocket.take()
        return [str(each) for each in self._messages]

    @property
    def answer(self) -> dict[str, Any]:
        start = f"40{self._prefix}"
        (answer,) = [each for each in self.messages if each.startswith(start)]
        value: dict[str, Any] = json.loads(answer.removeprefix(start))
        return value

    @property
    def events(self) -> list[str]:
        """The names."""
        return [json.loads(each[2:])[0] for each in self.messages if each.startswith("42")]


# A pid is taken by whoever presents it --------------------------------------------------------------------------


def test_a_pid_that_is_presented_twice_never_makes_two_sockets_of_one_id() -> None:
    app = App()
    client = app.client()
    app.io.emit("known")
    app.events(client)
    app.cut(client)
    app.io.emit("missed")
    pid, offset = client.pids["/"], client.offsets["/"]
    first = Returner(app, pid, offset)
    second = Returner(app, pid, offset)
    # The second one ended the first, which may be dead without anybody knowing.
    assert first.answer == second.answer == {"sid": app.connected[0].id, "pid": pid}
    assert first.events == second.events == ["missed"]
    old, new = app.connected[1:]
    assert (old.connected, new.connected) == (False, True)
    assert app.io.sockets.sockets == {new.id: new}
    assert [name for name, _ in app.log] == ["connection", "transport close"] * 2 + ["connection"]


def test_a_half_open_connection_ends_before_its_client_is_back() -> None:
    app = App()
    app.io.of("/other")
    client = app.client()
    client.connect("/other")
    app.io.emit("known")
    app.events(client)
    (old,) = app.connected
    old.join("room")
    for link in client.engine.links:
        link.stall()
    app.io.to("room").emit("into the void")
    overlaps: list[int] = []

    @app.io.on("connection")
    def connection(socket: Socket) -> None:
        overlaps.append(len([each for each in app.connected if each.connected and each.id == socket.id]))

    returner = Returner(app, client.pids["/"], client.offsets["/"])
    assert returner.answer == {"sid": old.id, "pid": client.pids["/"]}
    assert returner.events == ["into the void"]
    assert app.log == [("connection", old.id), ("transport close", old.id), ("connection", old.id)]
    assert overlaps == [1]
    assert len(app.server.protocol.sessions) == 1
    assert not app.io.of("/other").sockets


def test_while_middleware_runs_the_pid_is_taken() -> None:
    app = App()
    client = app.client()
    app.cut(client)
    gates = []

    @app.io.use
    async def slow(socket: Socket) -> None:
        gate = app.server.new_waiter()
        gates.append(gate)
        await gate.wait()

    first = Returner(app, client.pids["/"])
    second = Returner(app, client.pids["/"])
    for gate in gates:
        gate.wake()
    assert first.answer["sid"] == app.connected[0].id
    assert second.answer["sid"] != app.connected[0].id
    assert second.answer["pid"] != client.pids["/"]
    assert [socket.recovered for socket in app.connected] == [False, True, False]
    assert len(app.io.sockets.sockets) == 2


def test_a_client_that_goes_while_middleware_runs_can_come_back_later() -> None:
    app = App(Recovery(max_disconnection=10))
    client = app.client()
    app.connected[0].join("room")
    app.cut(client)
    gates = []

    @app.io.use
    async def slow(socket: Socket) -> None:
        socket.join("by middleware")
        gate = app.server.new_waiter()
        gates.append(gate)
        await gate.wait()

    app.server.advance(6)
    Returner(app, client.pids["/"]).websocket.stream.close()
    app.server.settle()
    app.io.to("room").emit("missed")
    app.server.advance(4)
    app.io.sockets.registered.middlewares = ()
    assert client.reconnect() is True
    assert app.events(client) == [["missed"]]
    assert app.connected[-1].rooms == {app.connected[0].id, "room"}
    gates[0].wake()
    app.server.settle()
    assert len(app.connected) == 2


def test_it_is_away_for_as_long_as_it_was_although_somebody_came_in_between() -> None:
    app = App(Recovery(max_disconnection=10))
    client = app.client()
    app.cut(client)
    app.io.use(lambda socket: app.server.new_waiter().wait())
    app.server.advance(6)
    Returner(app, client.pids["/"]).websocket.stream.close()
    app.server.advance(5)
    app.io.sockets.registered.middlewares = ()
    assert client.reconnect() is False


# Middleware -----------------------------------------------------------------------------------------------------


def test_middleware_sees_who_comes_back_and_may_refuse() -> None:
    app = App()
    seen: list[tuple[str, bool, set[str], object]] = []

    @app.io.use
    def check(socket: Socket) -> None:
        seen.append((socket.id, socket.recovered, set(socket.rooms), getattr(socket.data, "user", None)))
        if socket.handshake.auth.get("token") == "bad":
            raise ConnectionRefused("expired")

    client = app.client()
    (first,) = app.connected
    first.join("room")
    first.data.user = "ann"
    app.cut(client)
    app.io.emit("missed")
    with pytest.raises(ConnectionRefused, match="expired"):
        client.reconnect(auth={"token": "bad"})
    assert seen[1] == (first.id, True, {first.id, "room"}, "ann")
    assert app.events(client) == []
    # The state is gone with the refusal.
    assert not app.io.sockets.recovery_in_use
    assert client.reconnect() is False
    assert app.connected[1].id != first.id
    assert app.connected[1].rooms == {app.connected[1].id}
    assert app.events(client) == []


def test_middleware_can_be_skipped_by_those_who_come_back() -> None:
    app = App(Recovery(skip_middlewares=True))
    calls: list[bool] = []
    app.io.use(lambda socket: calls.append(socket.recovered))
    client = app.client()
    app.cut(client)
    assert client.reconnect() is True
    client.disconnect("/")
    assert client.reconnect() is False
    assert calls == [False, False]


def test_rooms_that_middleware_changes_count_from_then_on() -> None:
    app = App()
    client = app.client()
    app.connected[0].join("old")
    app.cut(client)
    app.io.to("old").emit("for the old room")
    app.io.to("new").emit("before it joined")

    @app.io.use
    def move(socket: Socket) -> None:
        socket.leave("old")
        socket.join("new")
        app.io.to("old").emit("after it left")
        app.io.to("new").emit("for the new room")

    assert client.reconnect() is True
    assert app.connected[1].rooms == {client.id, "new"}
    assert app.events(client) == [["for the old room"], ["for the new room"]]


def test_what_is_emitted_while_middleware_runs_is_replayed() -> None:
    app = App()
    client = app.client()
    app.cut(client)
    gates = []

    @app.io.use
    async def slow(socket: Socket) -> None:
        gate = app.server.new_waiter()
        gates.append(gate)
        socket.emit("to itself")
        await gate.wait()

    app.io.emit("before")
    client.engine = TestClient(app.server).engine
    client.engine.on_message = client._message
    client.engine.open()
    client.join()
    app.server.settle()
    app.io.emit("meanwhile")
    assert app.events(client) == []
    gates[0].wake()
    assert app.events(client) == [["before"], ["meanwhile"]]


# Pids and offsets from strangers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pid",
    ["", "guess", "A" * 20, "A" * 100_000, 1, 0, 1e300, True, None, [], ["x"], {}, {"pid": "x"}, "\x00"],
    ids=lambda pid: repr(pid)[:20],
)
def test_a_pid_that_nobody_has_makes_a_new_socket(pid: object) -> None:
    app = App()
    client = app.client()
    app.cut(client)
    assert Returner(app, pid, "0").answer["sid"] != app.connected[0].id
    assert not app.connected[1].recovered
    assert client.reconnect() is True


def test_the_public_id_is_no_pid() -> None:
    app = App()
    client = app.client()
    app.cut(client)
    assert Returner(app, client.id).answer["sid"] != client.id


def test_a_pid_counts_in_its_own_namespace_only() -> None:
    app = App()
    app.io.of("/other")
    client = app.client()
    app.cut(client)
    assert Returner(app, client.pids["/"], namespace="/other").answer["sid"] != client.id
    assert client.reconnect() is True


@pytest.mark.parametrize("offset", [1, -1, 1.5, True, [], {}, ["x"], "x" * 1_000], ids=lambda each: repr(each)[:20])
def test_an_offset_that_can_not_be_one_makes_a_new_socket(offset: object) -> None:
    app = App()
    client = app.client()
    app.cut(client)
    app.io.emit("missed")
    returner = Returner(app, client.pids["/"], offset)
    assert returner.answer["sid"] != client.id
    assert returner.events == []


def foreign_offset() -> str:
    other = App()
    client = other.client()
    other.io.emit("event")
    other.events(client)
    return client.offsets["/"]


FOREIGN = [
    *("", "x", "0", "-1", "Q87Zpod", "9" * 250, "\u0661" * 20, "1-0", "{other namespace}", "{other server}"),
    *("{tag}", "{tag}-1", "{tag} 1", "{tag}1_0", "{tag}1\n", "{tag}+1", "{tag}0x1", "{tag}" + "f" * 200, "{tag}\u0661"),
]


@pytest.mark.parametrize("offset", FOREIGN, ids=lambda each: ascii(each)[:24])
def test_an_offset_of_something_else_says_that_it_received_nothing_here(offset: str) -> None:
    """JavaScript's client keeps that of an earlier life until the first event of the next."""
    app = App()
    other = app.io.of("/other")
    earlier = app.client()
    app.io.emit("not for it")
    app.events(earlier)
    tag = earlier.offsets["/"][:8]
    client = app.client()
    client.connect("/other")
    other.emit("elsewhere")
    app.events(client)
    app.io.emit("known")
    app.cut(client)
    app.io.emit("missed")
    offset = offset.replace("{tag}", tag).replace("{other namespace}", client.offsets["/other"])
    offset = offset.replace("{other server}", foreign_offset())
    returner = Returner(app, client.pids["/"], offset)
    assert returner.answer["sid"] == client.ids["/"]
    assert returner.events == ["known", "missed"]


def test_an_offset_of_the_future_makes_a_new_socket() -> None:
    app = App()
    client = app.client()
    app.io.emit("known")
    app.events(client)
    app.cut(client)
    returner = Returner(app, client.pids["/"], client.offsets["/"][:8] + "ff")
    assert returner.answer["sid"] != client.id
    assert returner.events == []


def test_an_offset_from_before_its_time_shows_nothing_of_others() -> None:
    app = App()
    early = app.client()
    app.io.emit("first")
    app.events(early)
    app.io.emit("before it came")
    client = app.client()
    app.cut(client)
    app.io.emit("missed")
    returner = Returner(app, client.pids["/"], early.offsets["/"])
    assert returner.answer["sid"] == client.id
    assert returner.events == ["missed"]


def test_nobody_can_join_the_room_of_a_socket_that_is_away() -> None:
    app = App()
    client, thief = app.client(), app.client()
    app.cut(client)
    with pytest.raises(Exception, match="another socket's id"):
        app.connected[1].join(app.connected[0].id)
    assert client.reconnect() is True
    assert app.events(thief) == []


# Other adapters -------------------------------------------------------------------------------------------------


class DistantAdapter(MemoryAdapter):
    """Its store answers later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Returning]] = []

    def restore_session(self, pid: str, returning: Returning) -> None:
        self.asked.append((pid, returning))

    def answer(self) -> None:
        pid, returning = self.asked.pop(0)
        super().restore_session(pid, returning)


def distant() -> tuple[App, DistantAdapter]:
    adapter = DistantAdapter()
    return App(adapter=lambda: adapter), adapter


def test_a_store_may_answer_later() -> None:
    app, adapter = distant()
    client = app.client()
    app.cut(client)
    app.io.emit("missed 1")
    returner = Returner(app, client.pids["/"])
    assert len(returner.messages) == 1
    app.io.emit("missed 2")
    adapter.answer()
    assert returner.answer["sid"] == client.id
    assert returner.events == ["missed 1", "missed 2"]


def test_a_client_that_the_store_does_not_know_joins_when_that_is_known() -> None:
    app, adapter = distant()
    seen: list[Socket] = []
    app.io.use(seen.append)
    returner = Returner(app, "unknown")
    assert len(returner.messages) == 1
    returning = adapter.asked[0][1]
    returning.lost()
    returning.lost()
    assert returner.answer["sid"] == app.connected[0].id
    assert seen == app.connected
    assert len(seen) == 1


def test_a_store_is_not_asked_for_what_can_not_be_a_pid() -> None:
    app, adapter = distant()
    Returner(app, "x" * 257)
    Returner(app, "")
    assert adapter.asked == []
    assert len(app.connected) == 2
    Returner(app, "x" * 256)
    assert len(adapter.asked) == 1


def test_middleware_does_not_see_a_client_that_has_gone_before_the_store_answered() -> None:
    app, adapter = distant()
    seen: list[Socket] = []
    app.io.use(seen.append)
    Returner(app, "unknown").websocket.stream.close()
    app.server.settle()
    adapter.answer()
    app.server.settle()
    assert seen == []


def test_a_client_that_waits_for_the_store_has_not_joined() -> None:
    app, adapter = distant()
    returner = Returner(app, "unknown")
    returner.websocket.send('42["early"]')
    assert returner.websocket.close_code == 1000
    adapter.answer()
    app.server.settle()
    assert app.connected == []


def test_what_a_store_hands_to_a_client_that_has_gone_goes_back() -> None:
    app, adapter = distant()
    client = app.client()
    app.cut(client)
    Returner(app, client.pids["/"]).websocket.stream.close()
    app.server.settle()
    adapter.answer()
    returner = Returner(app, client.pids["/"])
    adapter.answer()
    assert returner.answer["sid"] == client.id


def test_a_store_that_never_answers_holds_a_client_as_long_as_the_connect_timeout() -> None:
    app, _ = distant()
    returner = Returner(app, "unknown")
    app.server.advance(44.9)
    assert returner.websocket.close_code is None
    app.server.advance(0.1)
    assert returner.websocket.close_code == 1000


def test_an_adapter_that_keeps_nothing_can_not_be_used_with_recovery() -> None:
    class Forgetful(MemoryAdapter):
        start_recovery = Adapter.start_recovery

    with pytest.raises(ValueError, match="Forgetful keeps no events"):
        Server(recovery=True, adapter=Forgetful)
    Server(adapter=Forgetful)
