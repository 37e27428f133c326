"""The cluster protocol: requests and their answers, servers that are silent, gone or lie, and what is no message."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import siocore.cluster.adapter
from fake_redis import Nodes
from sharded_nodes import MAIN, NODE_JS, Silent, names, nodes, send, socket_of
from siocore import AckTimeout, LocalProtocolError, RemoteSocket, Socket
from siocore.cluster.adapter import ClusterAdapter
from siocore.codec.message import Outgoing
from siocore.socketio.adapter import MemoryAdapter, Selection

FETCHED = 8
ANSWERED = 10
COUNTED = 11
ACKNOWLEDGED = 12


def adapter(cluster: Nodes, node: int = 0) -> ClusterAdapter:
    found = cluster.apps[node].sockets.adapter
    assert isinstance(found, ClusterAdapter)
    return found


def vanish(cluster: Nodes, server: Silent) -> None:
    cluster.redis.vanish(server.broker)


# Requests ------------------------------------------------------------------------------------------------------


def test_sockets_of_all_servers_are_found() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    for node in (0, 2):
        socket_of(cluster, node, clients[node]).join("r")
    socket_of(cluster, 2, clients[2]).data.name = b"binary"
    found = cluster.start(cluster.apps[0].in_("r").fetch_sockets()).result()
    assert [each.id for each in found] == [clients[0].id, clients[2].id]
    assert found.missing == ()
    assert isinstance(found[0], Socket)
    remote = found[1]
    assert isinstance(remote, RemoteSocket)
    assert remote.data.name == b"binary"
    assert remote.rooms == {"r", clients[2].id}
    remote.join("x")
    remote.emit("hello")
    cluster.settle()
    assert "x" in socket_of(cluster, 2, clients[2]).rooms
    assert names(clients[2]) == [("hello",)]
    assert not adapter(cluster)._requests


def test_what_no_other_server_can_have_is_left_out() -> None:
    cluster = nodes(2)
    client = cluster.client(1)
    data = socket_of(cluster, 1, client).data
    data.name, data.secret = "ann", object()
    (found,) = cluster.start(cluster.apps[0].fetch_sockets()).result()
    assert vars(found.data) == {"name": "ann"}


def test_clients_of_all_servers_acknowledge() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    asked = cluster.start(cluster.apps[0].emit_with_ack("q", 1))
    answers: list[tuple[object, ...]] = [(b"\x00",), ("two", 3), ()]
    for client, args in zip(clients, answers, strict=True):
        client.ack(client.events.popleft(), *args)
    assert not asked.done
    cluster.settle()
    # Of several values, other servers hand on the first.
    assert sorted(asked.result(), key=str) == [None, b"\x00", "two"]
    assert not adapter(cluster)._requests
    assert not any(adapter(cluster, node)._forwarded for node in range(3))


def test_text_that_is_no_unicode_is_no_fault_of_whoever_waits() -> None:
    cluster = nodes(2)
    client = cluster.client(1)
    asked = cluster.start(cluster.apps[0].emit_with_ack("q"))
    # With binary data beside it, it would have to be MessagePack.
    client.engine.send(f'61-{client.events.popleft().ack_id}[["\\ud800",{{"_placeholder":true,"num":0}}]]')
    client.engine.send(b"x")
    cluster.settle()
    assert asked.result() == [None]
    assert cluster.clusters[0].garbage == cluster.clusters[1].garbage == 0


@pytest.mark.parametrize("args", [(object(),), ("\ud800", b"")])
def test_what_can_not_be_sent_leaves_no_request_behind(args: tuple[object, ...]) -> None:
    cluster = nodes(2)
    for ask in (cluster.apps[0].emit_with_ack, cluster.apps[0].server_side_emit_with_ack):
        with pytest.raises(LocalProtocolError):
            ask("e", *args)
    assert not adapter(cluster)._requests


def test_a_client_that_leaves_is_not_waited_for() -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    asked = cluster.start(cluster.apps[0].timeout(3).emit_with_ack("q"))
    clients[0].ack(clients[0].events.popleft(), "here")
    clients[1].disconnect()
    cluster.settle()
    assert not adapter(cluster, 1)._forwarded
    # The other server can't say so in this protocol: what came is in the error.
    cluster.advance(3)
    with pytest.raises(AckTimeout) as caught:
        asked.result()
    assert caught.value.responses == ["here"]


def test_servers_answer_events_of_others() -> None:
    cluster = nodes(3)
    for number, app in enumerate(cluster.apps):

        @app.on_server_side("question")
        async def answer(value: int, number: int = number) -> object:
            return [number, value, b"x"]

    task = cluster.start(cluster.apps[0].server_side_emit_with_ack("question", 7))
    assert sorted(task.result()) == [[1, 7, b"x"], [2, 7, b"x"]]
    heard: list[int] = []

    @cluster.apps[1].on_server_side("told")
    async def told(value: int) -> None:
        heard.append(value)

    cluster.apps[0].server_side_emit("told", 1)
    cluster.settle()
    assert heard == [1]


def test_a_server_alone_waits_for_nobody() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    io = cluster.apps[0]
    assert [each.id for each in cluster.start(io.fetch_sockets()).result()] == [client.id]
    assert cluster.start(io.server_side_emit_with_ack("e")).result() == []
    asked = cluster.start(io.emit_with_ack("e"))
    client.ack(client.events.popleft(), 5)
    cluster.settle()
    assert asked.result() == [5]
    assert not adapter(cluster)._requests


def test_after_the_timeout_the_silent_are_named() -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    Silent(cluster)
    io = cluster.apps[0].timeout(3)
    fetched = cluster.start(io.fetch_sockets())
    asked = cluster.start(io.emit_with_ack("q"))
    told = cluster.start(cluster.apps[0].server_side_emit_with_ack("q", timeout=3))
    for client in clients:
        client.ack(client.events.popleft(), "here")
    cluster.advance(2.9)
    assert not any(task.done for task in (fetched, asked, told))
    cluster.advance(0.1)
    assert {each.id for each in fetched.result()} == {client.id for client in clients}
    assert fetched.result().missing == (NODE_JS,)
    for task, responses in ((asked, ["here", "here"]), (told, [None])):
        with pytest.raises(AckTimeout, match=NODE_JS) as caught:
            task.result()
        assert caught.value.responses == responses
    assert not adapter(cluster)._requests


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_server_that_goes_is_not_waited_for(goodbye: bool) -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    socket_of(cluster, 1, clients[1]).join("a room has a channel, too")
    server = Silent(cluster)
    io = cluster.apps[0].timeout(30)
    tasks = [
        cluster.start(io.fetch_sockets()),
        cluster.start(io.emit_with_ack("q")),
        cluster.start(cluster.apps[0].server_side_emit_with_ack("q", timeout=30)),
    ]
    for client in clients:
        client.ack(client.events.popleft(), "here")
    cluster.advance(0.5)
    assert not any(task.done for task in tasks)
    if goodbye:
        send(cluster, 13, None, uid=NODE_JS)
    else:
        vanish(cluster, server)
        cluster.advance(0.5)
    assert len(tasks[0].result()) == 2
    assert tasks[0].result().missing == ()
    assert [task.result() for task in tasks[1:]] == [["here", "here"], [None]]
    assert not adapter(cluster)._requests


def test_clients_of_a_server_that_goes_are_not_waited_for() -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    asked = cluster.start(cluster.apps[0].timeout(30).emit_with_ack("q"))
    request_id = server.request_id()
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 3})
    server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": 1})
    cluster.advance(3)
    assert not asked.done
    vanish(cluster, server)
    cluster.advance(1)
    assert asked.result() == [1]


def test_a_room_named_like_a_server_is_none() -> None:
    cluster = nodes(2)
    client = cluster.client(0)
    socket = socket_of(cluster, 0, client)
    socket.join("0123456789abcdef")
    Silent(cluster)
    cluster.settle()
    fetched = cluster.start(cluster.apps[1].timeout(3).fetch_sockets())
    # When the room goes, nobody takes that for the silent server.
    socket.leave("0123456789abcdef")
    cluster.advance(2.9)
    assert not fetched.done
    cluster.advance(0.1)
    assert [each.id for each in fetched.result()] == [client.id]
    assert fetched.result().missing == ("1 of 2 servers",)


def test_without_redis_nobody_else_is_waited_for() -> None:
    cluster = nodes(2)
    client = cluster.client(0)
    server = Silent(cluster)
    io = cluster.apps[0]

    def ask() -> list[Any]:
        tasks = [
            cluster.start(io.fetch_sockets()),
            cluster.start(io.server_side_emit_with_ack("e")),
            cluster.start(io.emit_with_ack("q")),
        ]
        client.ack(client.events.popleft(), 1)
        cluster.settle()
        return tasks

    tasks = ask()
    assert not any(task.done for task in tasks)
    assert server.heard
    cluster.redis.disconnect(cluster.clusters[0].broker)
    cluster.settle()
    assert [each.id for each in tasks[0].result()] == [client.id]
    assert tasks[0].result().missing == (NODE_JS,)
    assert [task.result() for task in tasks[1:]] == [[None], [1]]
    # And as long as it is gone.
    tasks = ask()
    assert tasks[0].result().missing == ("every other server",)
    assert [task.result() for task in tasks[1:]] == [[], [1]]
    assert not adapter(cluster)._requests


def test_requests_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siocore.cluster.adapter, "_MAX_REQUESTS", 2)
    cluster = nodes(1)
    client = cluster.client(0)
    Silent(cluster)
    io = cluster.apps[0]
    tasks = [cluster.start(io.fetch_sockets()) for _ in range(2)]
    for ask in (io.fetch_sockets, lambda: io.emit_with_ack("q"), lambda: io.server_side_emit_with_ack("q")):
        with pytest.raises(LocalProtocolError, match="2 requests"):
            ask()
    cluster.advance(5)
    assert all(task.done for task in tasks)
    client.events.clear()
    # Nor do others bind more of us.
    event = {"packet": {"type": 2, "data": ["q"]}, "opts": {"flags": {"timeout": 2000}}}
    for number in range(3):
        send(cluster, 3, {**event, "requestId": str(number)})
    assert len(client.events) == 2
    assert cluster.clusters[0].garbage == 1
    cluster.advance(2)
    assert not adapter(cluster)._forwarded


def test_requests_end_with_their_namespace() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    socket_of(cluster, 0, client).join("room")
    Silent(cluster)
    fetched = cluster.start(cluster.apps[0].fetch_sockets())
    send(cluster, 3, {"packet": {"type": 2, "data": ["q"]}, "opts": {}, "requestId": "1"})
    assert len(client.events) == 1
    adapter(cluster).close()
    cluster.settle()
    assert fetched.result().missing == (NODE_JS,)
    assert not adapter(cluster)._forwarded
    assert not cluster.clusters[0].broker.subscriptions


# Answers that lie -----------------------------------------------------------------------------------------------


def test_of_each_server_one_answer_counts() -> None:
    cluster = nodes(1)
    first, second = Silent(cluster), Silent(cluster, "0" * 16)
    fetched = cluster.start(cluster.apps[0].fetch_sockets())
    request_id = first.request_id()
    sockets = [{"id": "s1", "handshake": {}, "rooms": ["s1"], "data": {}}]
    for _ in range(3):
        first.answer(FETCHED, {"requestId": request_id, "sockets": sockets})
    assert not fetched.done
    second.answer(FETCHED, {"requestId": request_id, "sockets": []})
    assert [each.id for each in fetched.result()] == ["s1"]
    told = cluster.start(cluster.apps[0].server_side_emit_with_ack("e"))
    request_id = first.request_id()
    for value in (1, 2):
        first.answer(ANSWERED, {"requestId": request_id, "packet": value})
    assert not told.done
    second.answer(ANSWERED, {"requestId": request_id, "packet": 3})
    assert told.result() == [1, 3]


@pytest.mark.parametrize("count", [-1, 2**40, "1", 1.5, None, True, [1], {}])
def test_a_count_of_clients_that_is_none_is_dropped(count: object) -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    asked = cluster.start(cluster.apps[0].timeout(3).emit_with_ack("q"))
    request_id = server.request_id()
    server.answer(COUNTED, {"requestId": request_id, "clientCount": count})
    assert cluster.clusters[0].garbage == 1
    assert not asked.done
    # What it says then counts.
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 1})
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 0})
    assert not asked.done
    for value in (1, 2):
        server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": value})
    assert asked.result() == [1]


def test_a_huge_count_ends_with_the_timeout() -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    asked = cluster.start(cluster.apps[0].timeout(3).emit_with_ack("q"))
    request_id = server.request_id()
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 2**32})
    server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": 1})
    cluster.advance(3)
    with pytest.raises(AckTimeout) as caught:
        asked.result()
    assert caught.value.responses == [1]
    # Too late is nobody's.
    server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": 2})
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 2})
    assert not adapter(cluster)._requests
    assert cluster.clusters[0].garbage == 0


def test_answers_before_the_count_of_clients_are_dropped() -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    asked = cluster.start(cluster.apps[0].timeout(3).emit_with_ack("q"))
    request_id = server.request_id()
    server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": "early"})
    server.answer(COUNTED, {"requestId": request_id, "clientCount": 1})
    assert not asked.done
    server.answer(ACKNOWLEDGED, {"requestId": request_id, "packet": "late"})
    assert asked.result() == ["late"]


def test_an_answer_to_another_kind_of_request_is_nobodys() -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    io = cluster.apps[0]
    asked: list[tuple[Awaitable[Any], set[int]]] = [
        (io.fetch_sockets(), {FETCHED}),
        (io.server_side_emit_with_ack("e"), {ANSWERED}),
        (io.emit_with_ack("e"), {COUNTED, ACKNOWLEDGED}),
    ]
    cluster.settle()
    for request, (awaitable, right) in zip(list(server.heard), asked, strict=True):
        task = cluster.start(awaitable)
        for kind in {FETCHED, ANSWERED, COUNTED, ACKNOWLEDGED} - right:
            answer = {"packet": 1, "clientCount": 0, "sockets": []}
            server.answer(kind, {"requestId": request["data"]["requestId"], **answer})
        assert not task.done
    assert cluster.clusters[0].garbage == 0


@pytest.mark.parametrize(
    "sockets", [None, 5, "s", {}, [5], [{}], [{"id": 5, "rooms": []}], [{"id": "s", "rooms": 5}], [None]]
)
def test_sockets_that_are_none_are_dropped(sockets: object) -> None:
    cluster = nodes(1)
    server = Silent(cluster)
    fetched = cluster.start(cluster.apps[0].timeout(1).fetch_sockets())
    server.answer(FETCHED, {"requestId": server.request_id(), "sockets": sockets})
    assert cluster.clusters[0].garbage == 1
    cluster.advance(1)
    assert (list(fetched.result()), fetched.result().missing) == ([], (NODE_JS,))


# Messages that are none -----------------------------------------------------------------------------------------

EVENT = {"type": 2, "data": ["e"]}


def values(*values: Any) -> tuple[Any, ...]:
    return values


BAD: list[tuple[Any, Any]] = [
    *((kind, data) for kind in values(3, 4, 5, 6, 7, 8, 9, 10, 11, 12) for data in values(5, "x", [], True)),
    (3, None),
    *(
        (3, {"packet": packet, "opts": {}})
        for packet in values(None, 5, {}, [], {"data": []}, {"data": [None]}, [True])
    ),
    *((3, {"packet": {"data": [name]}}) for name in values("connect", "disconnect", "disconnecting", {}, [])),
    *((3, {"packet": EVENT, "opts": opts}) for opts in values(5, [], {"rooms": 5}, {"rooms": [5.5]}, {"except": "x"})),
    *((3, {"packet": EVENT, "opts": {}, "requestId": each}) for each in values(5, None, [], {})),
    *((kind, {"opts": {}, "rooms": rooms}) for kind in values(4, 5) for rooms in values(5, "x", [5.5], {"a": 1})),
    *((kind, {"opts": 5, "rooms": [], "close": True, "requestId": "1"}) for kind in values(4, 5, 6, 7)),
    (3, {"packet": {"data": ["connect"]}, "opts": {}, "requestId": "1"}),
    (7, {"opts": {}}),
    *((9, {"packet": packet}) for packet in values(None, 5, [], [None], [{}], [True])),
    (9, {"packet": ["e"], "requestId": 5}),
    *((kind, {}) for kind in values(8, 10, 11, 12)),
    *((kind, {}) for kind in values(0, 14, -1, 2**70, "3", 3.0, None, True, [], {})),
]


@pytest.mark.parametrize(("kind", "data"), BAD)
def test_what_is_no_message_is_dropped(kind: Any, data: Any, caplog: pytest.LogCaptureFixture) -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    with caplog.at_level(logging.WARNING, "siocore"):
        for _ in range(2):
            send(cluster, kind, data)
    assert cluster.clusters[0].garbage == 2
    assert len(caplog.records) == 1
    assert client.connected
    assert not client.events
    assert not adapter(cluster)._forwarded
    assert len(cluster.published()) == 2


@pytest.mark.parametrize("uid", [None, 5, "", "x" * 101, "\u00e9", [], {}])
def test_a_sender_without_an_id_is_none(uid: Any) -> None:
    cluster = nodes(1)
    send(cluster, 7, {"opts": {}, "requestId": "1"}, uid=uid)
    assert cluster.clusters[0].garbage == 1
    assert len(cluster.published()) == 1


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"{}", b"[]", b"5", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x84\xa4type", bytes(1_000_000)),
        b"\x91" * 100_000,
        b'{"type":' + b"[" * 100_000,
        b'{"type":3,"uid":"x","nsp":"/","data":{"packet":{"data":["\xff"]}}}',
    ],
)
def test_bytes_that_are_no_message_are_dropped(data: bytes) -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    cluster.redis.publish(MAIN, data, sharded=True)
    cluster.settle()
    assert cluster.clusters[0].garbage == 1
    assert client.connected


@pytest.mark.parametrize(
    "kind", [1, 2, pytest.param(13, id="goodbye of one that nobody knows"), pytest.param(3, id="nsp")]
)
def test_what_means_nothing_here_is_no_fault(kind: int) -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    send(cluster, kind, {"packet": EVENT, "opts": {}}, nsp="/other" if kind == 3 else "/")
    assert cluster.clusters[0].garbage == 0
    assert not client.events
    assert len(cluster.published()) == 1


@pytest.mark.parametrize(
    "send_bad",
    [
        lambda cluster, sid: send(cluster, 4, {"opts": {}, "rooms": [sid]}),
        lambda cluster, sid: send(cluster, 3, {"packet": {"data": ["e", *[b""] * 50_000]}, "opts": {}}),
    ],
    ids=["the room of a socket", "too many attachments"],
)
def test_what_our_sockets_can_not_do_is_dropped(send_bad: Callable[[Nodes, str], None]) -> None:
    cluster = nodes(1)
    first, second = cluster.client(0), cluster.client(0)
    send_bad(cluster, first.id)
    assert cluster.clusters[0].garbage == 1
    assert socket_of(cluster, 0, second).rooms == {second.id}
    assert not first.events


def test_flags_of_others_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = nodes(1)
    delivered = []

    def broadcast(self: object, data: Any, message: Outgoing, selection: Selection, ack: object) -> None:
        delivered.append((selection, message.compress))

    monkeypatch.setattr(MemoryAdapter, "broadcast", broadcast)
    flags = {"volatile": True, "compress": False, "local": 1, "timeout": 5}
    send(cluster, 3, {"packet": EVENT, "opts": {"rooms": ["a"], "except": ["b"], "flags": flags}})
    send(cluster, 3, {"packet": EVENT, "opts": {"flags": None}})
    assert delivered == [
        (Selection(frozenset("a"), frozenset("b"), local=True, volatile=True, compress=False), False),
        (Selection(local=True), True),
    ]


@pytest.mark.parametrize("timeout", [2000, None, -1, "x", 10**30, True])
def test_how_long_answers_are_handed_on_is_bounded(timeout: object) -> None:
    cluster = nodes(1)
    cluster.client(0)
    send(cluster, 3, {"packet": EVENT, "opts": {"flags": {"timeout": timeout}}, "requestId": "1"})
    (pending,) = adapter(cluster)._forwarded
    wanted = {2000: 2.0, 10**30: 3600.0}.get(timeout, 5.0) if type(timeout) is int else 5.0
    assert pending.deadline is not None
    assert pending.deadline - cluster.servers[0].protocol.now == pytest.approx(wanted)
    cluster.advance(wanted)
    assert not adapter(cluster)._forwarded


def test_a_whole_family_of_namespaces_leaves_no_request_behind() -> None:
    cluster = nodes(2)
    family, _ = [app.of(re.compile(r"/room-\d")) for app in cluster.apps]
    clients = [cluster.client(number // 2, f"/room-{number}") for number in range(4)]
    server = Silent(cluster, channel="socket.io#/room-1#")
    children = [cluster.apps[0].of(f"/room-{number}").adapter for number in range(2)]
    for answers in (True, False):
        asked = cluster.start(family.timeout(3).emit_with_ack("q"))
        request_id = server.request_id()
        for number, client in enumerate(clients[:2]):
            client.ack(client.events.popleft(), number)
        cluster.settle()
        assert not asked.done
        if answers:
            server.answer(COUNTED, {"requestId": request_id, "clientCount": 0})
            assert sorted(asked.result()) == [0, 1]
        else:
            cluster.advance(3)
            with pytest.raises(AckTimeout, match=NODE_JS):
                asked.result()
        assert not any(child._requests for child in children if isinstance(child, ClusterAdapter))
