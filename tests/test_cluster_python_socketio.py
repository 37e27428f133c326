"""The bridge to python-socketio: its own manager writes what we read, and reads what we write."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped]

from fake_redis import Nodes, Wiretap
from siocore import AckTimeout, LocalProtocolError, Server
from siocore.cluster.python_socketio import PythonSocketIOAdapter, PythonSocketIOCluster
from siocore.testing import TestClient

CHANNEL = "socketio"
#: A socket of another server.
FAR = "far-away-0123456789a"


def names(client: TestClient) -> list[tuple[Any, ...]]:
    found = [(event.name, *event.args) for event in client.events]
    client.events.clear()
    return found


class Manager(socketio.PubSubManager):  # type: ignore[misc]
    """python-socketio's manager, on the fake Redis: of a server without clients."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__(channel=CHANNEL, write_only=True, logger=False)
        self.nodes = nodes
        self.json = json
        self.server = SimpleNamespace(disconnect=lambda **options: None)

    def _publish(self, data: Any) -> None:
        self.nodes.redis.publish(CHANNEL, json.dumps(data).encode())
        self.nodes.settle()


class Scene:
    """Two servers; the first one's client is in the room r."""

    def __init__(self, **options: Any) -> None:
        self.nodes = Nodes(2, lambda: PythonSocketIOCluster(**options))
        self.io: Server = self.nodes.apps[0]
        self.cluster = self.nodes.clusters[0]
        self.one, self.two = self.nodes.client(0), self.nodes.client(1)
        self.sid = self.one.id
        self.socket = self.io.sockets.sockets[self.sid]
        self.socket.join("r")
        self.manager = Manager(self.nodes)

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(data) for channel, data in self.nodes.published() if channel == CHANNEL]

    def receive(self, message: object) -> None:
        self.nodes.redis.publish(CHANNEL, json.dumps(message).encode())
        self.nodes.settle()

    def adapter(self, node: int = 0) -> PythonSocketIOAdapter:
        adapter = self.nodes.apps[node].sockets.adapter
        assert isinstance(adapter, PythonSocketIOAdapter)
        return adapter


# What is written -------------------------------------------------------------------------------------------------


SAME: list[tuple[Any, Any]] = [
    (lambda io: io.emit("e", 1), lambda manager: manager.emit("e", 1, namespace="/")),
    (lambda io: io.emit("e", 1, "x"), lambda manager: manager.emit("e", (1, "x"), namespace="/")),
    (lambda io: io.emit("e", [1, 2]), lambda manager: manager.emit("e", [1, 2], namespace="/")),
    (lambda io: io.emit("e", {"a": None}), lambda manager: manager.emit("e", {"a": None}, namespace="/")),
    (lambda io: io.to("x").emit("e", 1), lambda manager: manager.emit("e", 1, namespace="/", room="x")),
    (
        lambda io: io.to("x", "a").emit("e", 1),
        lambda manager: manager.emit("e", 1, namespace="/", room=["a", "x"]),
    ),
    (
        lambda io: io.except_(FAR).emit("e", 1),
        lambda manager: manager.emit("e", 1, namespace="/", skip_sid=FAR),
    ),
    (
        lambda io: io.emit("e", b"\x00\x01", {"a": [b"\xff", 1]}),
        lambda manager: manager.emit("e", (b"\x00\x01", {"a": [b"\xff", 1]}), namespace="/"),
    ),
    (lambda io: io.of("/n").emit("e", 1), lambda manager: manager.emit("e", 1, namespace="/n")),
    (lambda io: io.in_(FAR).sockets_join("x"), lambda manager: manager.enter_room(FAR, "/", "x")),
    (lambda io: io.in_(FAR).sockets_leave("x"), lambda manager: manager.leave_room(FAR, "/", "x")),
    (lambda io: io.in_("x").sockets_leave("x"), lambda manager: manager.close_room("x", "/")),
    (lambda io: io.sockets_leave("x"), lambda manager: manager.close_room("x", "/")),
    (lambda io: io.in_(FAR).disconnect_sockets(), lambda manager: manager.can_disconnect(FAR, "/")),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_what_is_written_is_what_python_socketio_writes(ours: Any, theirs: Any) -> None:
    scene = Scene()
    scene.io.of("/n")
    ours(scene.io)
    (written,) = scene.sent()
    theirs(scene.manager)
    (expected,) = scene.sent()
    assert written.pop("host_id") == scene.cluster.uid != expected.pop("host_id")
    assert list(written) == list(expected)
    assert written == expected


def test_the_id_of_a_server_looks_like_theirs() -> None:
    scene = Scene()
    assert len(scene.cluster.uid) == len(scene.manager.host_id) == 32
    assert set(scene.cluster.broker.subscriptions) == set(Scene().cluster.broker.subscriptions)


# What is read ----------------------------------------------------------------------------------------------------


def test_their_events_reach_our_clients() -> None:
    scene = Scene()
    manager = scene.manager
    manager.emit("all", (1, {"a": b"\x00"}, [b"\xff"]), namespace="/")
    manager.emit("nothing", None, namespace="/")
    manager.emit("list", [1], namespace="/")
    manager.emit("room", 1, namespace="/", room="r")
    manager.emit("rooms", 1, namespace="/", room=["r", scene.two.id])
    manager.emit("one", 1, namespace="/", room=scene.sid)
    manager.emit("skip", 1, namespace="/", skip_sid=[scene.sid])
    manager.emit("skip one", 1, namespace="/", skip_sid=scene.two.id)
    manager.emit("elsewhere", 1, namespace="/nobody")
    everybody = [("all", 1, {"a": b"\x00"}, [b"\xff"]), ("nothing",), ("list", [1])]
    assert names(scene.one) == [*everybody, ("room", 1), ("rooms", 1), ("one", 1), ("skip one", 1)]
    assert names(scene.two) == [*everybody, ("rooms", 1), ("skip", 1)]
    assert scene.cluster.garbage == 0


def test_they_move_and_disconnect_our_sockets() -> None:
    scene = Scene()
    scene.manager.enter_room(scene.sid, "/", "x")
    assert scene.socket.rooms == {scene.sid, "r", "x"}
    scene.manager.leave_room(scene.sid, "/", "r")
    assert scene.socket.rooms == {scene.sid, "x"}
    scene.manager.close_room("x", "/")
    assert scene.socket.rooms == {scene.sid}
    scene.manager.can_disconnect(scene.sid, "/")
    assert not scene.socket.connected
    assert scene.nodes.apps[1].local_sockets()[0].connected


def test_our_servers_serve_each_other_by_it() -> None:
    scene = Scene()
    scene.io.emit("e", 1, b"\x00")
    scene.nodes.settle()
    assert names(scene.one) == names(scene.two) == [("e", 1, b"\x00")]
    scene.nodes.apps[1].in_(scene.sid).sockets_join("x", "y")
    scene.nodes.settle()
    assert scene.socket.rooms == {scene.sid, "r", "x", "y"}
    scene.nodes.apps[1].to("x").except_(scene.two.id).emit("e")
    scene.nodes.apps[1].in_(scene.sid).sockets_leave("x", "y")
    scene.nodes.settle()
    assert scene.socket.rooms == {scene.sid, "r"}
    assert names(scene.one) == [("e",)]
    scene.nodes.apps[1].in_(scene.sid).disconnect_sockets()
    scene.nodes.settle()
    assert not scene.socket.connected


def test_of_several_sockets_those_elsewhere_are_told_of() -> None:
    scene = Scene()
    scene.io.in_(scene.sid, FAR).sockets_join("x")
    assert scene.socket.rooms == {scene.sid, "r", "x"}
    assert [(each["method"], each["sid"], each["room"]) for each in scene.sent()] == [("enter_room", FAR, "x")]


def test_what_is_for_our_own_sockets_alone_goes_to_nobody_else() -> None:
    scene = Scene()
    scene.io.to(scene.sid).emit("e")
    scene.io.in_(scene.sid).sockets_join("x")
    scene.io.in_(scene.sid).sockets_leave("x")
    scene.io.local.emit("e")
    scene.io.local.sockets_leave("r")
    assert [each.id for each in scene.nodes.start(scene.io.in_(scene.sid).fetch_sockets()).result()] == [scene.sid]
    asked = scene.nodes.start(scene.io.to(scene.sid).emit_with_ack("q"))
    scene.one.ack(scene.one.events.pop(), 1)
    scene.nodes.settle()
    assert asked.result() == [1]
    scene.io.in_(scene.sid).disconnect_sockets()
    assert scene.sent() == []


# Acknowledgements ------------------------------------------------------------------------------------------------


def test_their_client_acknowledges_what_we_ask() -> None:
    scene = Scene()
    asked = scene.nodes.start(scene.io.to(FAR).emit_with_ack("q", 1))
    (message,) = scene.sent()
    assert message["callback"] == [FAR, "/", 0]
    answer = {"method": "callback", "host_id": scene.cluster.uid, "sid": FAR, "namespace": "/", "id": 0}
    scene.receive({**answer, "host_id": "somebody", "args": [7]})
    assert not asked.done
    scene.receive({**answer, "args": ["yes", 2]})
    assert asked.result() == [("yes", 2)]
    scene.receive({**answer, "args": ["again"]})
    assert scene.cluster.garbage == 0
    assert not scene.adapter()._owed


def test_our_client_acknowledges_what_they_ask() -> None:
    scene = Scene()
    message = {"method": "emit", "event": "q", "data": [1], "binary": False, "namespace": "/", "room": scene.sid}
    scene.receive({**message, "skip_sid": None, "callback": [scene.sid, "/", 5], "host_id": "theirs"})
    scene.sent()
    event = scene.one.events.popleft()
    assert (event.name, event.args) == ("q", [1])
    scene.one.ack(event, "yes", 2)
    expected = {"method": "callback", "host_id": "theirs", "sid": scene.sid, "namespace": "/", "id": 5}
    assert scene.sent() == [{**expected, "args": ["yes", 2]}]
    assert not scene.adapter()._forwarded
    # Binary data has no place there.
    scene.receive({**message, "skip_sid": None, "callback": [scene.sid, "/", 6], "host_id": "theirs"})
    scene.sent()
    scene.one.ack(scene.one.events.popleft(), b"\x00")
    assert scene.sent() == [{**expected, "id": 6, "args": []}]


def test_an_answer_goes_from_one_of_our_servers_to_another() -> None:
    scene = Scene()
    asked = scene.nodes.start(scene.io.to(scene.two.id).emit_with_ack("q"))
    scene.two.ack(scene.two.events.popleft(), "yes")
    scene.nodes.settle()
    assert asked.result() == ["yes"]


def test_of_a_room_as_many_answer_as_do_until_the_time_is_up() -> None:
    scene = Scene()
    scene.nodes.apps[1].sockets.sockets[scene.two.id].join("r")
    asked = scene.nodes.start(scene.io.to("r").timeout(2).emit_with_ack("q"))
    for client in (scene.one, scene.two):
        client.ack(client.events.popleft(), 1)
    scene.nodes.advance(1.9)
    assert not asked.done
    scene.nodes.advance(0.1)
    with pytest.raises(AckTimeout) as timeout:
        asked.result()
    assert timeout.value.responses == [1, 1]
    assert not scene.adapter()._owed


def test_our_clients_answers_are_handed_on_for_so_long() -> None:
    scene = Scene(ack_timeout=10, max_requests=1)
    message = {"method": "emit", "event": "q", "data": [], "namespace": "/", "callback": ["a", "/", 5], "host_id": "x"}
    scene.receive(message)
    scene.receive(message)
    assert len(scene.one.events) == 1
    assert scene.cluster.garbage == 1
    scene.nodes.advance(10)
    assert not scene.adapter()._forwarded
    assert not scene.socket.pending_acks


def test_nobody_is_waited_for_while_the_broker_is_gone() -> None:
    scene = Scene()
    tasks = [scene.nodes.start(scene.io.to(room).emit_with_ack("q")) for room in (FAR, "nobody")]
    scene.nodes.settle()
    assert not any(task.done for task in tasks)
    scene.nodes.redis.disconnect(scene.cluster.broker)
    scene.nodes.settle()
    assert [task.result() for task in tasks] == [[], []]
    assert scene.nodes.start(scene.io.to(FAR).emit_with_ack("q")).result() == []
    scene.io.emit("local")
    scene.nodes.settle()
    assert names(scene.one) == [("local",)]
    assert scene.cluster.dropped == 2
    assert not scene.adapter()._owed


def test_acknowledgements_under_way_are_bounded_and_end_with_their_namespace() -> None:
    scene = Scene(max_requests=1)
    asked = scene.nodes.start(scene.io.to(FAR).emit_with_ack("q"))
    with pytest.raises(LocalProtocolError, match="max_requests"):
        scene.io.to(FAR).emit_with_ack("q")
    scene.adapter().close()
    scene.nodes.settle()
    assert asked.result() == []


# What can't be said ----------------------------------------------------------------------------------------------


IMPOSSIBLE: list[Any] = [
    lambda io: io.except_("r").emit("e"),
    lambda io: io.emit_with_ack("e"),
    lambda io: io.to("a", "b").emit_with_ack("e"),
    lambda io: io.fetch_sockets(),
    lambda io: io.in_("r").fetch_sockets(),
    lambda io: io.in_("r").sockets_join("x"),
    lambda io: io.sockets_join("x"),
    lambda io: io.in_("r").sockets_leave("x"),
    lambda io: io.in_("r").except_(FAR).sockets_leave("r"),
    lambda io: io.in_("r").disconnect_sockets(),
    lambda io: io.disconnect_sockets(),
    lambda io: io.server_side_emit("e"),
    lambda io: io.server_side_emit_with_ack("e"),
]


@pytest.mark.parametrize("do", IMPOSSIBLE)
def test_what_can_not_be_said_there_is_refused_and_not_done_here_either(do: Any) -> None:
    scene = Scene()
    with pytest.raises(LocalProtocolError, match="python-socketio"):
        do(scene.io)
    scene.nodes.settle()
    assert scene.sent() == []
    assert names(scene.one) == []
    assert scene.socket.rooms == {scene.sid, "r"}
    assert scene.socket.connected
    assert not scene.adapter()._owed


# Garbage -----------------------------------------------------------------------------------------------------------


EMIT: dict[str, Any] = {"method": "emit", "event": "e", "data": [1], "namespace": "/", "host_id": "x"}

GARBAGE: list[Any] = [
    b"",
    b"\xff",
    b"\xc1",
    b"[" * 100_000,
    b"cos\nsystem\n(S'touch pwned'\ntR.",
    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"5",
    b"[]",
    b"{}",
    {"method": 5},
    {**EMIT, "event": None},
    {**EMIT, "event": {"a": 1}},
    {**EMIT, "event": "disconnect"},
    {**EMIT, "room": {}},
    {**EMIT, "room": [1]},
    {**EMIT, "skip_sid": 7},
    {**EMIT, "binary": True, "data": []},
    {**EMIT, "binary": True, "data": ["x", "no base64!"]},
    {**EMIT, "binary": True, "data": ["x", {}]},
    {**EMIT, "binary": True, "data": [[{"_placeholder": True, "num": 0}]]},
    {**EMIT, "binary": True, "data": [[{"_placeholder": True, "num": -1}], "AA=="]},
    {**EMIT, "binary": True, "data": [[{"_placeholder": True, "num": True}], "AA==", "AA=="]},
    {**EMIT, "event": "connect", "callback": ["a", "/", 1]},
    {"method": "disconnect", "namespace": "/"},
    {"method": "enter_room", "sid": [], "room": "x"},
    {"method": "close_room", "room": None},
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_counted_and_dropped(garbage: Any) -> None:
    scene = Scene()
    scene.nodes.redis.publish(CHANNEL, garbage if isinstance(garbage, bytes) else json.dumps(garbage).encode())
    scene.nodes.settle()
    assert scene.cluster.garbage == 1
    assert names(scene.one) == []
    assert not scene.adapter()._forwarded
    scene.receive(EMIT)
    assert names(scene.one) == [("e", 1)]


def test_a_socket_is_not_put_into_the_room_of_another() -> None:
    scene = Scene()
    other = scene.nodes.client(0)
    scene.manager.enter_room(scene.sid, "/", other.id)
    assert scene.cluster.garbage == 1
    assert scene.socket.rooms == {scene.sid, "r"}
    scene.receive({"method": "enter_room", "sid": scene.sid, "room": 5})
    scene.receive({"method": "callback", "host_id": scene.cluster.uid, "id": "x", "args": []})
    scene.receive({"method": "callback", "host_id": scene.cluster.uid, "id": 5, "args": {}})
    assert scene.cluster.garbage == 4


def test_what_is_not_known_there_yet_is_ignored() -> None:
    scene = Scene()
    Wiretap(scene.nodes.redis, CHANNEL)
    scene.receive({"method": "something new", "namespace": "/", "host_id": "x"})
    scene.receive({**EMIT, "callback": [1, 2]})
    assert names(scene.one) == [("e", 1)]
    assert scene.cluster.garbage == 0
