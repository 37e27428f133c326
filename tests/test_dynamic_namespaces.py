"""Namespaces whose names clients choose: who may have them, what applies to them, and when they end."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import pytest

from raw_client import RawWebSocket, SocketApp, assert_nothing_left
from siocore import ConnectionRefused, Limits, MemoryAdapter, Namespace, Recovery, Socket
from siocore.testing import TestClient

ROOMS = re.compile(r"/room-\d+")


class Rooms(SocketApp):
    """A server with a family of namespaces; ``joined`` has the names in which clients arrived."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rooms = self.app.of(ROOMS)
        self.joined: list[str] = []
        self.rooms.on("connection")(lambda socket: self.joined.append(socket.namespace.name))

    def client(self, *names: str) -> TestClient:
        client = TestClient(self.server)
        for name in names:
            client.connect(name)
        return client

    def names(self) -> set[str]:
        return set(self.app.protocol.namespaces) - {"/"}


# Which names ---------------------------------------------------------------------------------------------------------


def test_a_client_may_join_every_name_that_matches_and_no_other() -> None:
    app = Rooms()
    client = app.client("/room-1", "/room-22")
    for name in ("/room-", "/room-x", "/other", "/room-1/x", "/x/room-1", "/room-1\n"):
        with pytest.raises(ConnectionRefused, match="Invalid namespace"):
            client.connect(name)
    assert app.joined == ["/room-1", "/room-22"]
    assert app.names() == {"/room-1", "/room-22"}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_predicate_is_asked_with_the_name_and_the_auth_value(transport: str) -> None:
    app = SocketApp()
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def accepts(name: str, auth: Mapping[str, Any]) -> bool:
        asked.append((name, auth))
        return auth.get("token") == "good"

    app.app.of(accepts)
    client = TestClient(app.server, transport)
    with pytest.raises(ConnectionRefused, match="Invalid namespace"):
        client.connect("/secret")
    client.connect("/secret", {"token": "good"})
    assert asked == [("/secret", {}), ("/secret", {"token": "good"})]
    assert [child.name for child in app.app.of(accepts).children] == ["/secret"]


def test_a_predicate_is_asked_for_every_client_also_when_the_namespace_exists() -> None:
    """It sees the client's auth value: the first one that is let in must not open the door for the others."""
    app = SocketApp()
    app.app.of(lambda name, auth: auth.get("token") == "good")
    TestClient(app.server).connect("/secret", {"token": "good"})
    with pytest.raises(ConnectionRefused, match="Invalid namespace"):
        TestClient(app.server).connect("/secret", {"token": "bad"})


def test_about_a_namespace_that_exists_its_own_parent_alone_is_asked() -> None:
    app = SocketApp()
    asked: list[str] = []

    def first(name: str, auth: Mapping[str, Any]) -> bool:
        asked.append("first")
        return bool(auth.get("first"))

    def second(name: str, auth: Mapping[str, Any]) -> bool:
        asked.append("second")
        return True

    app.app.of(first)
    app.app.of(second)
    TestClient(app.server).connect("/a")
    TestClient(app.server).connect("/a", {"first": True})
    assert asked == ["first", "second", "second"]


def test_parents_are_tried_in_the_order_of_their_registration() -> None:
    app = SocketApp()
    order: list[str] = []

    async def waits(name: str, auth: Mapping[str, Any]) -> bool:
        await app.server.clock.sleep(1)
        order.append("predicate")
        return name.endswith("b")

    families = [app.app.of(re.compile("/a.*")), app.app.of(waits), app.app.of(re.compile(".*"))]
    client = TestClient(app.server)
    for name in ("/ab", "/b", "/c"):
        client.connect(name)
    assert [[child.name for child in family.children] for family in families] == [["/ab"], ["/b"], ["/c"]]
    assert order == ["predicate", "predicate"]


def test_the_same_pattern_is_the_same_parent_and_other_things_are_no_names() -> None:
    app = SocketApp()
    assert app.app.of(re.compile("/a")) is app.app.of(re.compile("/a"))
    assert app.app.of(re.compile("/a")) is not app.app.of(re.compile("/b"))
    for wrong in (1, None, re.compile(b"/a")):
        with pytest.raises(TypeError):
            app.app.of(wrong)  # type: ignore[arg-type]


def test_a_namespace_that_the_application_makes_belongs_to_the_parent_that_it_matches() -> None:
    app = Rooms()
    own = app.app.of("room-7")
    assert app.rooms.children == [own]
    assert own.parent is app.rooms
    client = app.client("/room-7")
    assert app.joined == ["/room-7"]
    client.disconnect("/room-7")
    app.server.settle()
    # The application may have kept it, and registered handlers there: it does not end with its last socket.
    assert app.app.of("/room-7") is own
    assert app.app.of("/elsewhere").parent is None


# What applies to them ------------------------------------------------------------------------------------------------


def test_handlers_of_the_parent_apply_to_children_before_and_after_they_are_made() -> None:
    app = Rooms()
    seen: list[tuple[Any, ...]] = []
    app.rooms.on("first")(lambda socket, *args: seen.append((socket.namespace.name, "first", *args)))
    client = app.client("/room-1")
    # This child has handlers of its own from now on.
    (child,) = app.rooms.children
    child.on("own")(lambda socket: seen.append((socket.namespace.name, "own")))
    client.connect("/room-2")
    app.rooms.on("later")(lambda socket: seen.append((socket.namespace.name, "later")))
    app.rooms.on_any(lambda socket, name, *args: seen.append((socket.namespace.name, "any", name)))
    app.rooms.on("disconnect")(lambda socket, reason: seen.append((socket.namespace.name, "gone", reason)))
    for name in ("/room-1", "/room-2"):
        client.emit("first", 1, namespace=name)
        client.emit("later", namespace=name)
        client.emit("own", namespace=name)
        app.server.settle()
        expected = [(name, "any", "first"), (name, "first", 1), (name, "any", "later"), (name, "later")]
        expected += [(name, "any", "own"), (name, "own")] if name == "/room-1" else [(name, "any", "own")]
        assert seen == expected
        seen.clear()
    app.rooms.off("later")
    client.emit("later", namespace="/room-1")
    client.disconnect("/room-1")
    app.server.settle()
    assert seen == [("/room-1", "any", "later"), ("/room-1", "gone", "client namespace disconnect")]


def test_what_the_parent_had_before_a_child_got_handlers_of_its_own_still_applies() -> None:
    app = Rooms()
    seen: list[str] = []
    app.rooms.on_any(lambda socket, name: seen.append("any " + name))
    app.rooms.use(lambda socket: seen.append("middleware"))
    app.rooms.on_server_side("e")(lambda: seen.append("server side"))
    app.app.on("new_namespace")(lambda namespace: namespace.on("own")(lambda socket: seen.append("own")))
    client = app.client("/room-1")
    client.emit("own", namespace="/room-1")
    app.server.settle()
    app.rooms.children[0].server_side_received(["e"])
    app.server.settle()
    assert seen == ["middleware", "any own", "own", "server side"]


def test_middleware_of_the_parent_guards_every_child() -> None:
    app = Rooms()

    @app.rooms.use
    def guard(socket: Socket) -> None:
        if socket.handshake.auth.get("token") != "good":
            raise ConnectionRefused("no")

    client = TestClient(app.server)
    with pytest.raises(ConnectionRefused, match="no"):
        client.connect("/room-1")
    client.connect("/room-1", {"token": "good"})
    (child,) = app.rooms.children
    child.on("own")(lambda socket: None)
    app.rooms.use(lambda socket: 1 / 0)
    other = TestClient(app.server)
    with pytest.raises(ConnectionRefused, match="internal error"):
        other.connect("/room-1", {"token": "good"})
    assert app.joined == ["/room-1"]


def test_once_on_a_parent_is_once_for_all_its_children() -> None:
    app = Rooms()
    seen: list[str] = []
    app.rooms.once("e")(lambda socket: seen.append(socket.namespace.name))
    client = app.client("/room-1", "/room-2")
    app.rooms.children[1].on("own")(lambda socket: None)
    for name in ("/room-2", "/room-1", "/room-2"):
        client.emit("e", namespace=name)
    app.server.settle()
    assert seen == ["/room-2"]


def test_a_parent_broadcasts_to_the_sockets_of_all_its_children() -> None:
    app = Rooms()
    app.app.of("/other")
    client = app.client("/room-1", "/room-2", "/room-3", "/other", "/")
    sockets = {socket.namespace.name: socket for socket in app.rooms.local_sockets()}
    assert set(sockets) == {"/room-1", "/room-2", "/room-3"}
    sockets["/room-1"].join("a")
    app.rooms.to("a", sockets["/room-3"].id).emit("chosen", b"x")
    app.rooms.except_("a").emit("others")
    app.rooms.in_(sockets["/room-2"].id).sockets_join("b")
    app.rooms.to("b").emit("in b")
    app.rooms.in_("b").sockets_leave("b")
    app.rooms.to("b").emit("in b")
    app.server.settle()
    assert sorted((event.namespace, event.name, *event.args) for event in client.events) == [
        ("/room-1", "chosen", b"x"),
        ("/room-2", "in b"),
        ("/room-2", "others"),
        ("/room-3", "chosen", b"x"),
        ("/room-3", "others"),
    ]
    app.rooms.except_("a").disconnect_sockets()
    app.server.settle()
    assert set(client.ids) == {"/room-1", "/other", "/"}


def test_a_parent_collects_the_answers_and_the_sockets_of_all_its_children() -> None:
    app = Rooms()
    results: list[object] = []

    @app.rooms.on("ask")
    async def ask(socket: Socket) -> None:
        # Its own question is under way meanwhile, and each answer must find the right one.
        single = socket.emit_with_ack("alone")
        results.append(sorted(await app.rooms.timeout(5).emit_with_ack("everybody")))
        results.append(await single)
        results.append({each.namespace.name for each in await app.rooms.fetch_sockets()})

    client = TestClient(app.server)
    client.on_event = lambda event: client.ack(event, f"{event.name} {event.namespace}")
    for name in ("/room-1", "/room-2"):
        client.connect(name)
    client.emit("ask", namespace="/room-1")
    app.server.settle()
    assert results == [["everybody /room-1", "everybody /room-2"], "alone /room-1", {"/room-1", "/room-2"}]


def test_the_answers_of_one_child_do_not_end_the_wait_for_the_others() -> None:
    app = Rooms()
    client = TestClient(app.server)
    client.on_event = lambda event: client.ack(event, event.namespace)
    for name in ("/room-1", "/room-2"):
        client.connect(name)
    first = app.app.of("/room-1").local_sockets()[0]
    # All that the first namespace has to wait for is gone before the second one is asked.
    first.on_any_outgoing(lambda name: first.disconnect())
    pending = app.rooms.timeout(5).emit_with_ack("ask")
    assert not pending.done
    app.server.settle()
    assert pending.result() == ["/room-2"]


def test_new_namespace_handlers_run_before_the_first_middleware() -> None:
    app = SocketApp()
    made: list[str] = []
    order: list[str] = []

    @app.app.on("new_namespace")
    def new(namespace: Namespace) -> None:
        made.append(namespace.name)
        namespace.use(lambda socket: order.append("middleware"))

    app.app.of(ROOMS).on("connection")(lambda socket: order.append("connection"))
    app.app.of("/static")
    client = TestClient(app.server)
    client.connect("/room-1")
    client.connect("/static")
    assert made == ["/static", "/room-1"]
    assert order == ["middleware", "connection", "middleware"]


# When they end -------------------------------------------------------------------------------------------------------


class Closing(MemoryAdapter):
    """Writes down that it was closed."""

    closed = 0

    def close(self) -> None:
        Closing.closed += 1


@pytest.mark.parametrize("end", ["leaves", "cut", "kicked", "refused"])
def test_a_namespace_ends_with_its_last_socket(end: str) -> None:
    Closing.closed = 0
    app = Rooms(adapter=Closing)
    ended: list[str] = []
    app.rooms.on("disconnect")(lambda socket, reason: ended.append(socket.namespace.name))
    if end == "refused":

        @app.rooms.use
        def refuse(socket: Socket) -> None:
            raise ConnectionRefused("no")

        with pytest.raises(ConnectionRefused):
            app.client("/room-1")
    else:
        client, other = app.client("/room-1"), app.client("/room-1")
        other.disconnect("/room-1")
        app.server.settle()
        assert app.names() == {"/room-1"}
        if end == "leaves":
            client.disconnect("/room-1")
        elif end == "cut":
            client.engine.cut()
        else:
            app.rooms.disconnect_sockets()
        app.server.settle()
        assert ended == ["/room-1", "/room-1"]
    assert app.names() == set()
    assert app.rooms.children == []
    assert Closing.closed == 1


def test_a_namespace_does_not_end_under_a_client_that_waits_to_be_let_in() -> None:
    app = Rooms()
    gate = app.server.new_waiter()

    @app.rooms.use
    async def wait(socket: Socket) -> None:
        if socket.handshake.auth.get("slow"):
            await gate

    slow = TestClient(app.server)
    slow.engine.open()
    slow.join("/room-1", {"slow": True})
    quick = app.client("/room-1")
    quick.disconnect("/room-1")
    app.server.settle()
    gate.wake()
    app.server.settle()
    assert set(slow.ids) == {"/room-1"}
    assert app.rooms.local_sockets()[0].namespace is app.app.of("/room-1")
    slow.engine.cut()
    app.server.settle()
    assert app.names() == set()


def test_namespaces_can_be_kept_as_node_does() -> None:
    app = Rooms(cleanup_empty_child_namespaces=False)
    client = app.client("/room-1")
    client.disconnect("/room-1")
    app.server.settle()
    assert app.names() == {"/room-1"}


def test_a_namespace_lives_as_long_as_a_client_may_come_back_to_it() -> None:
    app = Rooms(recovery=Recovery(max_disconnection=10))
    client = app.client("/room-1")
    pid = app.rooms.local_sockets()[0].recovery
    assert pid is not None
    client.engine.cut()
    app.server.settle()
    app.rooms.emit("missed")
    back = TestClient(app.server)
    back.connect("/room-1", {"pid": pid.pid})
    assert back.receive().name == "missed"
    (socket,) = app.rooms.local_sockets()
    assert socket.recovered
    back.engine.cut()
    app.server.advance(9)
    assert app.names() == {"/room-1"}
    app.server.advance(120)
    assert app.names() == set()
    assert len(app.server.protocol.timers) == 0


def test_what_is_kept_for_clients_that_come_back_ends_with_the_namespace() -> None:
    app = Rooms(recovery=Recovery())
    app.client("/")
    timers = len(app.server.protocol.timers)
    client = app.client("/room-1")
    app.rooms.emit("kept")
    app.server.settle()
    client.disconnect("/room-1")
    app.server.settle()
    client.engine.cut()
    app.server.settle()
    assert app.names() == set()
    assert len(app.server.protocol.timers) == timers


# Clients that do harm ------------------------------------------------------------------------------------------------


def test_there_are_max_dynamic_namespaces_and_not_one_more() -> None:
    app = Rooms(limits=Limits(max_dynamic_namespaces=3))
    app.app.of("/room-0")
    clients = [app.client(f"/room-{number}") for number in range(4)]
    late = TestClient(app.server)
    with pytest.raises(ConnectionRefused, match="Too many namespaces"):
        late.connect("/room-9")
    # What is there can be joined, and what ends makes room.
    late.connect("/room-3")
    clients[1].disconnect("/room-1")
    app.server.settle()
    late.connect("/room-9")


def test_a_thousand_names_make_no_more_namespaces_than_one_client_may_join() -> None:
    app = Rooms(limits=Limits(max_namespaces=16))
    websocket = RawWebSocket(app.server)
    answers = [websocket.send(f"40/room-{number},")[-1] for number in range(1_000)]
    assert len(app.names()) == len(app.joined) == 16
    assert set(answers[16:]) == {f'44/room-{number},{{"message":"Too many namespaces"}}' for number in range(16, 1_000)}
    websocket.stream.close()
    app.server.settle()
    assert app.names() == set()


def test_one_client_that_goes_from_name_to_name_leaves_nothing() -> None:
    app = Rooms()
    websocket = RawWebSocket(app.server)
    for number in range(1_000):
        websocket.send(f"40/room-{number},")
        assert app.names() == {f"/room-{number}"}
        websocket.send(f"41/room-{number},")
    assert app.names() == set()
    assert len(app.joined) == 1_000


def test_a_name_may_be_as_long_as_any_and_not_longer() -> None:
    app = SocketApp()
    app.app.of(re.compile("/.*"))
    client = TestClient(app.server)
    client.connect("/" + "x" * 255)
    websocket = RawWebSocket(app.server)
    websocket.send("40/" + "x" * 256 + ",")
    assert websocket.close_code == 1000
    assert set(app.app.protocol.namespaces) == {"/", "/" + "x" * 255}


class Slow(SocketApp):
    """A server whose predicate waits at a gate."""

    def __init__(self, answer: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.gate = self.server.new_waiter()
        self.asked = 0

        async def accepts(name: str, auth: Mapping[str, Any]) -> bool:
            self.asked += 1
            await self.gate
            return answer

        self.family = self.app.of(accepts)
        self.handled: list[object] = []
        self.family.on_any(lambda socket, name, *args: self.handled.append(name))

    def open_gate(self) -> None:
        self.gate.wake()
        self.server.settle()


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize(
    "early", ['42/a,["e"]', "40/a,", "41/a,", '43/a,1["x"]', '451-/a,["e",{"_placeholder":true,"num":0}]']
)
def test_whoever_does_not_wait_for_the_predicate_loses_the_connection(early: str, answer: bool) -> None:
    app = Slow(answer)
    websocket = RawWebSocket(app.server)
    websocket.send("40/a,")
    websocket.send(early)
    assert websocket.close_code == 1000
    app.open_gate()
    assert app.handled == []
    assert set(app.app.protocol.namespaces) == {"/"}
    app.server.advance(60)
    assert_nothing_left(app.server)


def test_a_client_is_let_in_when_the_predicate_has_answered() -> None:
    app = Slow()
    websocket = RawWebSocket(app.server)
    websocket.send("40/a,")
    assert set(app.app.protocol.namespaces) == {"/"}
    app.open_gate()
    (joined,) = websocket.take()
    assert str(joined).startswith('40/a,{"sid":')
    websocket.send('42/a,["e"]')
    assert app.handled == ["e"]


def test_names_that_wait_for_a_predicate_count_as_joined() -> None:
    app = Slow(limits=Limits(max_namespaces=3))
    client = TestClient(app.server)
    client.connect()
    for name in ("/a", "/b", "/c"):
        client.join(name)
    app.server.settle()
    assert app.asked == 2
    assert client.refusals == {"/c": {"message": "Too many namespaces"}}
    app.open_gate()
    assert set(client.ids) == {"/", "/a", "/b"}


def test_a_client_that_goes_while_the_predicate_is_asked_was_never_there() -> None:
    app = Slow()
    client = TestClient(app.server)
    client.engine.open()
    client.join("/a")
    app.server.settle()
    client.engine.cut()
    app.server.settle()
    app.open_gate()
    assert set(app.app.protocol.namespaces) == {"/"}
    assert_nothing_left(app.server)


def test_the_connect_timeout_passes_while_the_predicate_is_asked() -> None:
    app = Slow(connect_timeout=5)
    client = TestClient(app.server)
    client.engine.open()
    client.join("/a")
    app.server.advance(5)
    assert client.engine.state == "closed"


def test_two_clients_that_ask_at_the_same_time_meet_in_one_namespace() -> None:
    app = Slow()
    clients = [TestClient(app.server) for _ in range(2)]
    for client in clients:
        client.engine.open()
        client.join("/a")
    app.server.settle()
    app.open_gate()
    assert app.asked == 2
    app.family.emit("hello")
    assert [client.receive().name for client in clients] == ["hello", "hello"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_predicate_that_fails_keeps_the_client_out_and_tells_it_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = SocketApp()
    errors: list[tuple[str, object, str]] = []
    app.app.on_error(lambda error, subject, name: errors.append((str(error), subject, name)))

    def fails(name: str, auth: Mapping[str, Any]) -> bool:
        raise RuntimeError("password of the database")

    async def fails_later(name: str, auth: Mapping[str, Any]) -> bool:
        await app.server.clock.sleep(1)
        raise RuntimeError("password of the database")

    app.app.of(fails if kind == "def" else fails_later)
    # One that cannot decide is no reason to ask the next.
    app.app.of(re.compile(".*"))
    client = TestClient(app.server)
    with caplog.at_level(logging.ERROR), pytest.raises(ConnectionRefused) as caught:
        client.connect("/a")
    assert (caught.value.message, caught.value.data) == ("Invalid namespace", None)
    assert errors == [("password of the database", None, "namespace predicate")]
    assert len(caplog.records) == 1
    assert client.engine.state == "open"


def test_a_cancelled_predicate_refuses_its_client() -> None:
    app = Slow()
    client = TestClient(app.server)
    client.engine.open()
    client.join("/a")
    app.server.settle()
    (task,) = app.server._tasks
    task.coroutine.close()
    app.server.settle()
    assert client.refusals == {"/a": {"message": "Invalid namespace"}}


def test_a_namespace_that_belongs_to_another_parent_is_not_entered_by_a_predicate_that_was_slow() -> None:
    app = SocketApp()
    gate = app.server.new_waiter()

    async def slow(name: str, auth: Mapping[str, Any]) -> bool:
        if auth.get("slow"):
            await gate
            return True
        return False

    app.app.of(slow)
    app.app.of(lambda name, auth: auth.get("token") == "good")
    client = TestClient(app.server)
    client.engine.open()
    client.join("/a", {"slow": True})
    app.server.settle()
    TestClient(app.server).connect("/a", {"token": "good"})
    gate.wake()
    app.server.settle()
    assert client.refusals == {"/a": {"message": "Invalid namespace"}}
