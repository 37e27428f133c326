"""Servers that meet in Redis' publish/subscribe as Node.js' do: what they write, byte for byte, and what it does."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import msgspec
import pytest

from fake_redis import Nodes, Wiretap
from siocore import AckTimeout, LocalProtocolError, RemoteSocket, Socket, SocketList
from siocore.cluster.broker import Broker, ListChannels
from siocore.cluster.classic import ClassicAdapter, ClassicCluster
from siocore.cluster.requests import AllRooms
from siocore.testing import TestClient

REQUESTS = "socket.io-request#/#"
RESPONSES = "socket.io-response#/#"


def nodes(count: int = 2, **options: Any) -> Nodes:
    return Nodes(count, ClassicCluster, **options)


def adapter(cluster: Nodes, node: int = 0) -> ClassicAdapter:
    found = cluster.apps[node].sockets.adapter
    assert isinstance(found, ClassicAdapter)
    return found


def names(client: TestClient) -> list[tuple[Any, ...]]:
    """The events that have arrived."""
    found = [(event.name, *event.args) for event in client.events]
    client.events.clear()
    return found


def socket_of(cluster: Nodes, node: int, client: TestClient) -> Socket:
    return cluster.apps[node].sockets.sockets[client.id]


def unpacked(data: bytes) -> Any:
    return json.loads(data) if data[:1] == b"{" else msgspec.msgpack.decode(data)


def answer(cluster: Nodes, message: dict[str, Any]) -> dict[str, Any]:
    """What a server answers to a request."""
    cluster.redis.published.clear()
    cluster.redis.publish(REQUESTS, json.dumps(message).encode())
    sent = cluster.published()[1:]
    assert [channel for channel, _ in sent] == [RESPONSES]
    found = json.loads(sent[0][1])
    # Ours, which Node.js' servers don't look at, is the last.
    assert list(found)[-1] == "uid"
    assert found.pop("uid") in [each.uid for each in cluster.clusters]
    assert isinstance(found, dict)
    return found


# The wire ------------------------------------------------------------------------------------------------------


def test_channels_are_those_of_node_js() -> None:
    cluster = nodes(1)
    uid = cluster.clusters[0].uid
    assert len(uid) == 6
    kinds = {(kind.value, name) for kind, name in cluster.clusters[0].broker.subscriptions}
    assert kinds == {
        ("PSUBSCRIBE", "socket.io#/#*"),
        ("SUBSCRIBE", "socket.io-request#/#"),
        ("SUBSCRIBE", "socket.io-response#/#"),
        ("SUBSCRIBE", f"socket.io-response#/#{uid}#"),
    }


# Recorded from @socket.io/redis-adapter 8.3.0 on socket.io 4.8.4, whose id was kdkk-w.
RECORDED: list[tuple[Any, str, bytes]] = [
    (
        lambda io: io.emit("hello", 1, "\u00e9"),
        "socket.io#/#",
        b"\x93\xa6kdkk-w\x83\xa4type\x02\xa4data\x93\xa5hello\x01\xa2\xc3\xa9\xa3nsp\xa1/\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80",
    ),
    (
        lambda io: io.to("room1").emit("hello", b"\x01\x02"),
        "socket.io#/#room1#",
        b"\x93\xa6kdkk-w\x83\xa4type\x02\xa4data\x92\xa5hello\xc4\x02\x01\x02\xa3nsp\xa1/\x83\xa5rooms\x91\xa5room1\xa6except\x90\xa5flags\x80",
    ),
    (
        lambda io: io.volatile.compress(False).except_("x").emit("v"),
        "socket.io#/#",
        b"\x93\xa6kdkk-w\x83\xa4type\x02\xa4data\x91\xa1v\xa3nsp\xa1/\x83\xa5rooms\x90\xa6except\x91\xa1x\xa5flags\x82\xa8volatile\xc3\xa8compress\xc2",
    ),
    (
        lambda io: io.sockets_join("a"),
        REQUESTS,
        b'{"uid":"kdkk-w","type":2,"opts":{"rooms":[],"except":[]},"rooms":["a"]}',
    ),
    (
        lambda io: io.in_("b").sockets_leave("a", "c"),
        REQUESTS,
        b'{"uid":"kdkk-w","type":3,"opts":{"rooms":["b"],"except":[]},"rooms":["a","c"]}',
    ),
    (
        lambda io: io.disconnect_sockets(close=True),
        REQUESTS,
        b'{"uid":"kdkk-w","type":4,"opts":{"rooms":[],"except":[]},"close":true}',
    ),
    (lambda io: io.server_side_emit("se", 1), REQUESTS, b'{"uid":"kdkk-w","type":6,"data":["se",1]}'),
    (
        lambda io: io.timeout(0.5).emit_with_ack("ack", 1),
        REQUESTS,
        b"\x85\xa3uid\xa6kdkk-w\xa9requestId\xa607b31Q\xa4type\x07\xa6packet\x83\xa4type\x02\xa4data\x92\xa3ack\x01\xa3nsp\xa1/\xa4opts\x83\xa5rooms\x90\xa6except\x90\xa5flags\x81\xa7timeout\xcd\x01\xf4",
    ),
    (lambda io: io.sockets.adapter.all_rooms(), REQUESTS, b'{"uid":"kdkk-w","requestId":"07b31Q","type":1}'),
    (
        lambda io: io.fetch_sockets(),
        REQUESTS,
        b'{"uid":"kdkk-w","requestId":"07b31Q","type":5,"opts":{"rooms":[],"except":[]}}',
    ),
]


@pytest.mark.parametrize(("do", "channel", "data"), RECORDED)
def test_what_is_published_is_what_node_js_publishes(do: Any, channel: str, data: bytes) -> None:
    cluster = nodes(1)
    do(cluster.apps[0])
    ((sent_on, sent),) = cluster.published()
    assert sent_on == channel
    message = unpacked(sent)
    if isinstance(message, dict) and "requestId" in message:
        sent = sent.replace(message["requestId"].encode(), b"07b31Q")
    assert sent.replace(cluster.clusters[0].uid.encode(), b"kdkk-w") == data


def test_the_measured_payload_of_an_event_for_one_room() -> None:
    payload = bytes.fromhex(
        "93a65862336445 66".replace(" ", "")
        + "83a474797065 02a464617461 92a568656c6c6f01 a36e7370a12f".replace(" ", "")
        + "83a5726f6f6d7391a5726f6f6d31a6657863657074 90a5666c61677380".replace(" ", "")
    )
    cluster = nodes(1)
    client = cluster.client(0)
    socket_of(cluster, 0, client).join("room1")
    cluster.redis.publish("socket.io#/#room1#", payload)
    cluster.settle()
    assert names(client) == [("hello", 1)]


# Broadcasts ------------------------------------------------------------------------------------------------------


def test_a_broadcast_reaches_the_clients_of_every_server_once() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    for node in (0, 1):
        socket_of(cluster, node, clients[node]).join("room")
    cluster.apps[0].emit("all", {"a": [1, None, "\u00e9", b"\x00\x01"]})
    cluster.settle()
    cluster.apps[1].to("room").emit("room")
    cluster.apps[2].to(clients[0].id).emit("one")
    cluster.apps[2].to("room", clients[2].id).except_(clients[0].id).emit("some")
    cluster.apps[0].local.emit("local")
    cluster.settle()
    heard = [names(each) for each in clients]
    assert [each[0] for each in heard] == [("all", {"a": [1, None, "\u00e9", b"\x00\x01"]})] * 3
    assert [sorted(name for name, *_ in each[1:]) for each in heard] == [
        ["local", "one", "room"],
        ["room", "some"],
        ["some"],
    ]


def test_local_clients_do_not_wait_for_the_broker() -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    cluster.redis.disconnect(cluster.clusters[0].broker)
    for number in range(3):
        cluster.apps[0].emit("e", number)
    cluster.settle()
    assert names(clients[0]) == [("e", 0), ("e", 1), ("e", 2)]
    assert names(clients[1]) == []
    assert cluster.clusters[0].dropped == 3


def test_what_was_lost_while_redis_was_gone_is_told() -> None:
    cluster = nodes(2)
    told: list[Any] = []
    cluster.apps[0].on("adapter_up")(told.append)
    cluster.settle()
    told.clear()
    assert cluster.apps[0].adapter_up
    cluster.redis.disconnect(cluster.clusters[0].broker)
    cluster.apps[0].emit("lost")
    cluster.apps[0].sockets_join("lost")
    cluster.advance(3)
    assert not cluster.apps[0].adapter_up
    cluster.redis.connect(cluster.clusters[0].broker)
    cluster.settle()
    assert [(outage.duration, outage.dropped, bool(outage.gap)) for outage in told] == [(3.0, 2, True)]
    assert cluster.clusters[0].dropped == 0


def test_flags_of_other_servers_are_honoured() -> None:
    cluster = nodes(2)
    quick, slow = cluster.client(1), cluster.client(1)
    pipe = slow.engine.links[0].to_client
    pipe.window = 0
    cluster.apps[1].local.to(slow.id).emit("blocks")
    cluster.settle()
    cluster.apps[0].volatile.emit("v")
    cluster.settle()
    assert names(quick) == [("v",)]
    pipe.window = float("inf")
    pipe.resume()
    cluster.settle()
    assert names(slow) == [("blocks",)]


def test_an_event_for_an_unknown_room_is_dropped_before_it_is_decoded() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    cluster.redis.publish("socket.io#/#nobody#", b"\xc1")
    assert cluster.clusters[0].garbage == 0
    socket_of(cluster, 0, client).join("nobody")
    cluster.redis.publish("socket.io#/#nobody#", b"\xc1")
    cluster.redis.publish(f"socket.io#/#{client.id}#", b"\xc1")
    assert cluster.clusters[0].garbage == 2


def test_rooms_that_are_numbers_in_javascript_are_text_here() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    cluster.redis.publish(REQUESTS, b'{"type":2,"opts":{"rooms":[],"except":[]},"rooms":[42]}')
    cluster.settle()
    assert socket_of(cluster, 0, client).rooms == {client.id, "42"}
    message = ["n", {"type": 2, "data": ["e"]}, {"rooms": [42], "except": [7]}]
    cluster.redis.publish("socket.io#/#42#", msgspec.msgpack.encode(message))
    cluster.settle()
    assert names(client) == [("e",)]


def test_an_event_for_nobody_here_is_not_encoded() -> None:
    cluster = nodes(1)
    # Clients would not take so many attachments: who encodes it notices.
    data = ["e", [b"\x00"] * 11]

    def arrive(*rooms: str) -> int:
        message = ["n", {"type": 2, "data": data}, {"rooms": rooms}]
        cluster.redis.publish("socket.io#/#", msgspec.msgpack.encode(message))
        return cluster.clusters[0].garbage

    assert arrive() == 0
    client = cluster.client(0)
    assert arrive() == 1
    assert arrive("a", "b") == 1
    socket_of(cluster, 0, client).join("b")
    assert arrive("a", "b") == 2
    assert arrive("a", client.id) == 3


def test_namespaces_whose_names_are_alike_are_kept_apart() -> None:
    cluster = nodes(2)
    for app in cluster.apps:
        for name in ("/a*", "/ab", "/a", "/#x", "/a[b]"):
            app.of(name)
    clients = {name: cluster.client(1, name) for name in ("/", "/a*", "/ab", "/a", "/#x", "/a[b]")}
    socket_of(cluster, 1, clients["/"]).join("x")
    for name in clients:
        cluster.apps[0].of(name).emit("to", name)
        cluster.apps[0].of(name).to("y").emit("nobody")
    cluster.settle()
    for name, client in clients.items():
        assert names(client) == [("to", name)]


def test_a_namespace_that_ends_leaves_no_subscription() -> None:
    cluster = nodes(1)
    broker = cluster.clusters[0].broker
    before = set(broker.subscriptions)
    cluster.apps[0].of(re.compile("/dyn-.*")).on("connection")(lambda socket: None)
    client = cluster.client(0, "/dyn-1")
    assert len(broker.subscriptions) == len(before) + 4
    client.disconnect("/dyn-1")
    cluster.settle()
    assert "/dyn-1" not in cluster.apps[0].protocol.namespaces
    assert set(broker.subscriptions) == before
    assert len(broker._watchers) == 2


# Rooms ---------------------------------------------------------------------------------------------------------


def test_sockets_of_other_servers_join_and_leave_and_are_disconnected() -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    sockets = [socket_of(cluster, node, client) for node, client in enumerate(clients)]
    cluster.apps[0].sockets_join("a", "b")
    assert sockets[0].rooms == {sockets[0].id, "a", "b"}
    cluster.settle()
    assert sockets[1].rooms == {sockets[1].id, "a", "b"}
    cluster.apps[1].in_("a").except_(sockets[0].id).sockets_leave("b")
    cluster.settle()
    assert "b" in sockets[0].rooms
    assert "b" not in sockets[1].rooms
    cluster.apps[0].local.sockets_join("here")
    cluster.settle()
    assert "here" not in sockets[1].rooms
    cluster.apps[0].in_(sockets[1].id).disconnect_sockets()
    cluster.settle()
    assert not sockets[1].connected
    assert sockets[0].connected


def test_what_our_own_requests_ask_for_is_done_once() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    cluster.apps[0].sockets_join("a")
    socket_of(cluster, 0, client).leave("a")
    cluster.settle()
    assert "a" not in socket_of(cluster, 0, client).rooms


def test_what_servers_of_old_ask_for_one_socket_is_done_and_answered() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    socket = socket_of(cluster, 0, client)
    asked = {"requestId": "abc", "sid": client.id, "room": "r"}
    assert answer(cluster, {"type": 2, **asked}) == {"requestId": "abc"}
    assert "r" in socket.rooms
    assert answer(cluster, {"type": 3, **asked}) == {"requestId": "abc"}
    assert "r" not in socket.rooms
    assert answer(cluster, {"type": 4, **asked, "close": True}) == {"requestId": "abc"}
    assert not socket.connected
    cluster.redis.publish(REQUESTS, json.dumps({"type": 2, **asked}).encode())
    assert len(cluster.published()) == 1


def test_questions_of_other_servers_are_answered_as_node_js_answers_them() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    socket = socket_of(cluster, 0, client)
    socket.join("r")
    socket.data.user = "ann"
    asked = {"uid": "node-1", "requestId": "abc"}
    assert answer(cluster, {**asked, "type": 0, "rooms": ["r"]}) == {"requestId": "abc", "sockets": [client.id]}
    assert answer(cluster, {**asked, "type": 0, "rooms": ["x"]}) == {"requestId": "abc", "sockets": []}
    assert answer(cluster, {**asked, "type": 1}) == {"requestId": "abc", "rooms": ["r", client.id]}
    opts = {"rooms": ["r"], "except": []}
    fetched = answer(cluster, {**asked, "type": 5, "opts": opts})
    assert list(fetched) == ["requestId", "sockets"]
    (described,) = fetched["sockets"]
    assert list(described) == ["id", "handshake", "rooms", "data"]
    assert (described["id"], described["data"]) == (client.id, {"user": "ann"})
    assert sorted(described["rooms"]) == sorted(["r", client.id])


def test_what_can_not_be_sent_of_a_sockets_data_is_left_out() -> None:
    cluster = nodes(1)
    socket = socket_of(cluster, 0, cluster.client(0))
    socket.data.connection = object()
    socket.data.picture = b"\x00"
    socket.data.name = "ann"
    fetched = answer(cluster, {"uid": "n", "requestId": "a", "type": 5, "opts": {"rooms": [], "except": []}})
    assert fetched["sockets"][0]["data"] == {"name": "ann"}
    assert socket.data.picture == b"\x00"


def test_answers_go_to_the_channel_of_whoever_has_asked_if_that_is_wanted() -> None:
    cluster = Nodes(1, lambda: ClassicCluster(specific_responses=True))
    cluster.redis.publish(REQUESTS, b'{"uid":"node-1","requestId":"a","type":1}')
    cluster.redis.publish(REQUESTS, b'{"uid":"\\ud800","requestId":"a","type":1}')
    cluster.redis.publish(REQUESTS, b'{"uid":7,"requestId":"a","type":1}')
    sent = [channel for channel, _ in cluster.published()]
    assert sent[3:] == ["socket.io-response#/#node-1#", RESPONSES, RESPONSES]


# Requests -------------------------------------------------------------------------------------------------------


def test_sockets_and_rooms_of_all_servers_are_found() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    for node in (0, 2):
        socket_of(cluster, node, clients[node]).join("r")
    socket_of(cluster, 2, clients[2]).data.name = "ann"
    found = cluster.start(cluster.apps[0].in_("r").fetch_sockets()).result()
    assert isinstance(found, SocketList)
    assert found.missing == ()
    assert {each.id for each in found} == {clients[0].id, clients[2].id}
    assert isinstance(found[0], Socket)
    remote = found[1]
    assert isinstance(remote, RemoteSocket)
    assert remote.data.name == "ann"
    rooms = cluster.start(adapter(cluster).all_rooms()).result()
    assert rooms == {"r", *(each.id for each in clients)}
    assert rooms.missing == ()
    assert len(cluster.start(cluster.apps[0].local.fetch_sockets()).result()) == 1
    assert not adapter(cluster)._requests


def test_a_server_alone_waits_for_nobody() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    assert [each.id for each in cluster.start(cluster.apps[0].fetch_sockets()).result()] == [client.id]
    assert cluster.start(adapter(cluster).all_rooms()).result() == {client.id}
    assert cluster.start(cluster.apps[0].server_side_emit_with_ack("e")).result() == []
    asked = cluster.start(cluster.apps[0].emit_with_ack("e"))
    client.ack(client.events.popleft(), 5)
    cluster.settle()
    assert asked.result() == [5]
    assert not adapter(cluster)._requests


def silent(cluster: Nodes, uid: str = "silent") -> Wiretap:
    """A server that is there, and never answers."""
    return Wiretap(cluster.redis, REQUESTS, RESPONSES, f"{RESPONSES}{uid}#")


def test_servers_that_do_not_answer_in_time_are_named() -> None:
    cluster = nodes(2)
    silent(cluster)
    client = cluster.client(1)
    fetched = cluster.start(cluster.apps[0].timeout(3).fetch_sockets())
    rooms = cluster.start(adapter(cluster).all_rooms())
    cluster.advance(2.9)
    assert not fetched.done
    cluster.advance(0.1)
    assert ([each.id for each in fetched.result()], fetched.result().missing) == ([client.id], ("silent",))
    assert not rooms.done
    cluster.advance(2)
    assert (set(rooms.result()), rooms.result().missing) == ({client.id}, ("silent",))
    assert isinstance(rooms.result(), AllRooms)
    assert not adapter(cluster)._requests


def test_where_answers_bear_no_name_it_is_said_how_many_are_missing() -> None:
    cluster = nodes(1)
    for uid in ("node-a", "node-b", "node-c"):
        silent(cluster, uid)
    fetched = cluster.start(cluster.apps[0].fetch_sockets())
    request = unpacked(cluster.published()[-1][1])
    cluster.redis.publish(RESPONSES, json.dumps({"requestId": request["requestId"], "sockets": []}).encode())
    cluster.advance(5)
    assert fetched.result().missing == ("2 of 3 servers",)


def test_a_server_that_is_gone_is_not_waited_for() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    dead = silent(cluster)
    app = cluster.apps[0]
    fetched = cluster.start(app.timeout(30).fetch_sockets())
    rooms = cluster.start(adapter(cluster).all_rooms(30))
    answers = cluster.start(app.server_side_emit_with_ack("e", timeout=30))
    asked = cluster.start(app.timeout(30).emit_with_ack("q"))
    for client in clients:
        client.ack(client.events.popleft(), "here")
    cluster.advance(0.5)
    assert not any(task.done for task in (fetched, rooms, answers, asked))
    cluster.redis.vanish(dead.broker)
    cluster.advance(1)
    assert len(fetched.result()) == 3
    assert fetched.result().missing == ()
    assert len(rooms.result()) == 3
    assert answers.result() == [None, None]
    assert asked.result() == ["here"] * 3


def test_a_server_that_has_answered_and_is_gone_counts_once() -> None:
    cluster = nodes(2)
    silent(cluster)
    answers = cluster.start(cluster.apps[0].server_side_emit_with_ack("e", timeout=4))
    fetched = cluster.start(cluster.apps[0].timeout(4).fetch_sockets())
    cluster.settle()
    cluster.redis.vanish(cluster.clusters[1].broker)
    cluster.advance(3)
    assert not answers.done
    assert not fetched.done
    cluster.advance(1)
    with pytest.raises(AckTimeout) as timeout:
        answers.result()
    assert timeout.value.missing == fetched.result().missing == ("silent",)


def test_clients_of_a_server_that_is_gone_are_not_waited_for() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    asked = cluster.start(cluster.apps[0].timeout(30).emit_with_ack("q"))
    for client in clients[:2]:
        client.ack(client.events.popleft(), "here")
    cluster.advance(3)
    assert not asked.done
    cluster.redis.vanish(cluster.clusters[2].broker)
    cluster.advance(1)
    assert asked.result() == ["here", "here"]


def test_nobody_is_waited_for_once_redis_is_gone() -> None:
    cluster = nodes(2)
    client = cluster.client(0)
    silent(cluster)
    app = cluster.apps[0]
    tasks: list[Any] = [
        cluster.start(app.fetch_sockets()),
        cluster.start(adapter(cluster).all_rooms()),
        cluster.start(app.server_side_emit_with_ack("e")),
        cluster.start(app.emit_with_ack("q")),
    ]
    client.ack(client.events.popleft(), 1)
    cluster.settle()
    assert not any(task.done for task in tasks)
    cluster.redis.disconnect(cluster.clusters[0].broker)
    cluster.settle()
    assert [list(task.result()) for task in tasks[2:]] == [[None], [1]]
    assert [each.id for each in tasks[0].result()] == [client.id]
    assert tasks[0].result().missing == ("silent",)
    assert tasks[1].result().missing == ("silent",)
    # And as long as it is.
    assert cluster.start(app.fetch_sockets()).result().missing == ("every other server",)
    assert cluster.start(app.server_side_emit_with_ack("e")).result() == []
    asked = cluster.start(app.emit_with_ack("q"))
    client.ack(client.events.popleft(), 2)
    cluster.settle()
    assert asked.result() == [2]
    assert not adapter(cluster)._requests


def test_redis_lists_its_channels_only_when_the_number_of_servers_has_changed() -> None:
    cluster = nodes(3)
    app = cluster.apps[0]

    def fetch() -> tuple[int, int]:
        """How often the channels were listed for it, and how many servers have answered."""
        cluster.advance(1)
        cluster.redis.commands.clear()
        cluster.published()
        task = cluster.start(app.timeout(0.5).fetch_sockets())
        cluster.advance(0.5)
        assert task.done
        answers = [channel for channel, _ in cluster.published() if channel == RESPONSES]
        return cluster.redis.commands.count(ListChannels), len(answers)

    assert fetch() == (1, 2)
    cluster.advance(2)
    assert fetch() == (0, 2)
    late = silent(cluster)
    assert fetch() == (1, 2)
    cluster.redis.vanish(late.broker)
    assert fetch() == (1, 2)
    assert fetch() == (0, 2)
    # Not for ever: as many may be others.
    cluster.advance(10)
    assert fetch() == (1, 2)
    cluster.redis.disconnect(cluster.clusters[0].broker)
    cluster.redis.connect(cluster.clusters[0].broker)
    assert fetch() == (1, 2)


def test_a_server_in_the_place_of_another_is_waited_for() -> None:
    cluster = nodes(2)
    first = silent(cluster, "first")
    app = cluster.apps[0]
    task = cluster.start(app.timeout(0.5).fetch_sockets())
    cluster.advance(0.5)
    assert task.result().missing == ("first",)
    cluster.redis.vanish(first.broker)
    silent(cluster, "second")
    cluster.advance(1)
    for _ in range(2):
        task = cluster.start(app.timeout(3).fetch_sockets())
        cluster.advance(3)
        assert task.result().missing == ("second",)


@pytest.mark.parametrize("names_first", [True, False])
def test_names_and_number_of_the_servers_may_come_in_any_order(names_first: bool) -> None:
    cluster = nodes(3)
    broker = cluster.clusters[0].broker
    task = cluster.servers[0].start(cluster.apps[0].fetch_sockets())
    commands = broker.take_commands()
    order = commands if names_first else [*commands[1:], commands[0]]
    for command in order:
        command.answered(cluster.redis._do(command))
    cluster.settle()
    assert task.result().missing == ()
    assert not adapter(cluster)._requests


def test_requests_under_way_are_bounded() -> None:
    cluster = Nodes(1, lambda: ClassicCluster(max_requests=2))
    silent(cluster)
    app = cluster.apps[0]
    tasks = [cluster.start(app.fetch_sockets()) for _ in range(2)]
    for ask in (app.fetch_sockets, lambda: app.emit_with_ack("q"), lambda: app.server_side_emit_with_ack("q")):
        with pytest.raises(LocalProtocolError, match="max_requests"):
            ask()
    cluster.advance(5)
    assert all(task.done for task in tasks)
    assert cluster.start(app.fetch_sockets()).done is False


def test_requests_end_with_their_namespace() -> None:
    cluster = nodes(1)
    silent(cluster)
    task = cluster.start(cluster.apps[0].fetch_sockets())
    adapter(cluster).close()
    cluster.settle()
    assert task.done
    assert not cluster.clusters[0].broker.subscriptions


# Acknowledgements ------------------------------------------------------------------------------------------------


def test_clients_of_all_servers_acknowledge() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in (0, 1, 1, 2)]
    asked = cluster.start(cluster.apps[0].emit_with_ack("q", 1))
    for number, client in enumerate(clients):
        client.ack(client.events.popleft(), number, "second")
    cluster.settle()
    # Of what clients of other servers say, the first travels.
    assert sorted(asked.result(), key=str) == [(0, "second"), 1, 2, 3]
    assert not adapter(cluster)._requests
    for node in range(3):
        assert not adapter(cluster, node)._forwarded


def test_a_client_elsewhere_that_does_not_answer_is_missed_in_time() -> None:
    cluster = nodes(2)
    clients = [cluster.client(1) for _ in range(2)]
    asked = cluster.start(cluster.apps[0].timeout(2).emit_with_ack("q"))
    clients[0].ack(clients[0].events.popleft(), b"\x01")
    cluster.advance(2)
    with pytest.raises(AckTimeout) as timeout:
        asked.result()
    assert timeout.value.responses == [b"\x01"]
    assert timeout.value.missing == ()
    assert not adapter(cluster)._requests
    # The other server has let go as well, at the time that it was told.
    assert not adapter(cluster, 1)._forwarded
    assert not socket_of(cluster, 1, clients[1]).pending_acks
    clients[1].ack(clients[1].events.popleft(), "late")
    cluster.settle()
    assert timeout.value.responses == [b"\x01"]


def test_what_a_broadcast_with_acknowledgements_is_answered_with() -> None:
    cluster = nodes(1)
    uid = cluster.clusters[0].uid
    one, two = cluster.client(0), cluster.client(0)
    request = {"uid": "node-1", "requestId": "abc", "type": 7, "packet": {"type": 2, "data": ["q"], "nsp": "/"}}
    request["opts"] = {"rooms": [], "except": [], "flags": {"timeout": 1000}}
    cluster.redis.publish(REQUESTS, msgspec.msgpack.encode(request))
    cluster.settle()
    one.ack(one.events.popleft(), 1, 2)
    two.ack(two.events.popleft())
    counted, *answered = cluster.published()[1:]
    assert counted == (RESPONSES, f'{{"type":8,"requestId":"abc","clientCount":2,"uid":"{uid}"}}'.encode())
    # "packet" is left out where there is none.
    own = b"\xa3uid\xa6" + uid.encode()
    assert answered == [
        (RESPONSES, b"\x84\xa4type\x09\xa9requestId\xa3abc\xa6packet\x01" + own),
        (RESPONSES, b"\x83\xa4type\x09\xa9requestId\xa3abc" + own),
    ]
    assert not adapter(cluster)._forwarded


def test_nothing_is_kept_for_a_broadcast_that_no_client_was_sent() -> None:
    cluster = nodes(1)
    request = {"uid": "node-1", "requestId": "a", "type": 7, "packet": {"type": 2, "data": ["q"], "nsp": "/"}}
    cluster.redis.publish(REQUESTS, msgspec.msgpack.encode({**request, "opts": {"rooms": ["nobody"], "except": []}}))
    assert json.loads(cluster.published()[1][1])["clientCount"] == 0
    assert not adapter(cluster)._forwarded


def test_the_answer_of_a_client_that_is_no_unicode_counts_as_none() -> None:
    cluster = nodes(2)
    client = cluster.client(1)
    asked = cluster.start(cluster.apps[0].emit_with_ack("q"))
    client.engine.send(f'3{client.events.popleft().ack_id}["\\ud800"]')
    cluster.settle()
    assert asked.result() == [None]


# Between servers ---------------------------------------------------------------------------------------------------


def test_events_between_servers() -> None:
    cluster = nodes(3)
    heard: list[Any] = []
    for number, app in enumerate(cluster.apps):

        @app.on_server_side("e")
        def handler(*args: object, number: int = number) -> object:
            heard.append((number, args))
            return {"number": number}

    cluster.apps[0].server_side_emit("e", 1, "x")
    cluster.settle()
    assert sorted(heard) == [(1, (1, "x")), (2, (1, "x"))]
    answers = cluster.start(cluster.apps[0].server_side_emit_with_ack("e", 2)).result()
    assert sorted(each["number"] for each in answers) == [1, 2]
    with pytest.raises(LocalProtocolError, match="binary"):
        cluster.apps[0].server_side_emit("e", b"\x00")


def test_a_server_that_does_not_answer_an_event_is_named() -> None:
    cluster = nodes(2)
    silent(cluster)
    asked = cluster.start(cluster.apps[0].server_side_emit_with_ack("e", timeout=2))
    cluster.advance(2)
    with pytest.raises(AckTimeout) as timeout:
        asked.result()
    assert timeout.value.responses == [None]
    assert timeout.value.missing == ("silent",)
    assert not adapter(cluster)._requests


def test_the_answer_to_an_event_goes_to_the_common_channel() -> None:
    cluster = Nodes(1, lambda: ClassicCluster(specific_responses=True))
    cluster.apps[0].on_server_side("e")(lambda value: value + 1)
    cluster.redis.publish(REQUESTS, b'{"uid":"node-1","requestId":"abc","type":6,"data":["e",1]}')
    uid = cluster.clusters[0].uid
    assert cluster.published()[1:] == [
        (RESPONSES, f'{{"type":6,"requestId":"abc","data":2,"uid":"{uid}"}}'.encode()),
    ]


# Recovery -----------------------------------------------------------------------------------------------------------


def test_a_client_that_comes_back_gets_what_other_servers_sent_to_its_room() -> None:
    cluster = nodes(2, recovery=True)
    client = cluster.client(0)
    socket_of(cluster, 0, client).join("r")
    cluster.apps[1].to("r").emit("before")
    cluster.settle()
    assert names(client) == [("before",)]
    client.engine.cut()
    cluster.advance(60)
    cluster.apps[1].to("r").emit("meanwhile")
    cluster.apps[1].to("other").emit("not for it")
    cluster.settle()
    assert client.reconnect()
    cluster.settle()
    assert names(client) == [("meanwhile",)]


# Garbage -------------------------------------------------------------------------------------------------------------


GARBAGE: list[bytes] = [
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x00",
    b"\x91" * 100_000,
    b"\x00" * 1_000_000,
    b"{",
    b"{" * 100_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"cos\nsystem\n(S'touch pwned'\ntR.",
    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"\x90",
    b"\x93\x01\x02\x03",
    b"{}",
    b'{"type":"x"}',
    b'{"type":99,"requestId":"a"}',
    b'{"type":2,"opts":5,"rooms":["a"]}',
    b'{"type":2,"opts":{"rooms":{}},"rooms":["a"]}',
    b'{"type":2,"opts":{"rooms":[]},"rooms":[{}]}',
    b'{"type":6,"data":{}}',
    b'{"type":6,"data":[]}',
    b'{"type":6,"data":[{}]}',
    b'{"type":6,"data":["e"],"requestId":[]}',
    b'{"type":7,"requestId":"a","packet":5}',
    b'{"type":7,"requestId":"a","packet":{"data":["e"]},"opts":[]}',
    b'{"type":7,"requestId":"a","packet":{"data":["disconnect"]},"opts":{}}',
    b'{"type":5,"opts":{"rooms":7},"requestId":"a"}',
    b'{"type":5,"opts":{}}',
]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_counted_and_dropped(data: bytes) -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    pending = cluster.start(cluster.apps[0].emit_with_ack("q"))
    client.events.clear()
    for channel in ("socket.io#/#", REQUESTS, RESPONSES, f"{RESPONSES}{cluster.clusters[0].uid}#"):
        cluster.redis.publish(channel, data)
    cluster.settle()
    assert cluster.clusters[0].garbage >= 2
    assert names(client) == []
    assert not adapter(cluster)._forwarded
    assert not pending.done
    cluster.redis.publish("socket.io#/#", msgspec.msgpack.encode(["n", {"type": 2, "data": ["e"]}, {}]))
    cluster.settle()
    assert names(client) == [("e",)]


@pytest.mark.parametrize(
    "packet",
    [
        None,
        [],
        {},
        {"type": 3, "data": ["e"], "nsp": "/"},
        {"type": 2, "nsp": "/"},
        {"type": 2, "data": [], "nsp": "/"},
        {"type": 2, "data": [None], "nsp": "/"},
        {"type": 2, "data": ["disconnect"], "nsp": "/"},
        {"type": 2, "data": ["e", [b"\x00"] * 11], "nsp": "/"},
        {"type": 2, "data": {"e": 1}, "nsp": "/"},
    ],
)
def test_what_is_no_event_is_dropped(packet: object, caplog: pytest.LogCaptureFixture) -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    with caplog.at_level(logging.WARNING, "siocore"):
        for _ in range(2):
            cluster.redis.publish("socket.io#/#", msgspec.msgpack.encode(["n", packet, {"rooms": [], "except": []}]))
        cluster.settle()
    assert names(client) == []
    assert cluster.clusters[0].garbage == 2
    assert len(caplog.records) == 1


def test_answers_that_lie_do_no_harm() -> None:
    cluster = nodes(1)
    silent(cluster, "liar")
    silent(cluster, "other")
    asked = cluster.start(cluster.apps[0].emit_with_ack("q"))
    request_id = unpacked(cluster.published()[-1][1])["requestId"]

    def say(**answer: object) -> None:
        cluster.redis.publish(RESPONSES, json.dumps({"requestId": request_id, **answer}).encode())

    counts: list[Any] = [-1, 1.5, "2", None, True, 2**70, [], {}]
    for count in counts:
        say(type=8, clientCount=count)
    assert cluster.clusters[0].garbage == 8
    say(type=5, sockets=[])
    assert cluster.clusters[0].garbage == 9
    cluster.settle()
    assert not asked.done
    say(type=8, clientCount=2, uid="liar")
    # Once is enough, and so are two answers.
    say(type=8, clientCount=2_000_000, uid="liar")
    say(type=9, packet=1, uid="liar")
    say(type=9, packet=2, uid="liar")
    say(type=9, packet=3, uid="liar")
    cluster.settle()
    assert not asked.done
    say(type=8, clientCount=0, uid="other")
    cluster.settle()
    assert asked.result() == [1, 2]


def test_sockets_that_are_none_spoil_no_answer() -> None:
    cluster = nodes(1)
    silent(cluster, "liar")
    fetched = cluster.start(cluster.apps[0].fetch_sockets())
    request_id = unpacked(cluster.published()[-1][1])["requestId"]
    answers: list[Any] = [None, {}, "x", [1], [{"id": "a"}]]
    for sockets in answers:
        cluster.redis.publish(RESPONSES, json.dumps({"requestId": request_id, "sockets": sockets}).encode())
    assert cluster.clusters[0].garbage == 5
    cluster.settle()
    assert not fetched.done
    good = {"requestId": request_id, "sockets": [{"id": "a", "rooms": ["a"], "handshake": {}, "data": {}}]}
    cluster.redis.publish(RESPONSES, json.dumps(good).encode())
    cluster.settle()
    assert [each.id for each in fetched.result()] == ["a"]


def test_a_broker_can_be_given() -> None:
    broker = Broker()
    assert ClassicCluster(broker=broker).broker is broker
