"""Servers that meet in Redis' sharded publish/subscribe: what they write, byte for byte, and what it does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sharded_nodes import MAIN, NODE_JS, names, nodes, send, socket_of, unpacked
from siocore import Server
from siocore.cluster.broker import Kind
from siocore.cluster.codec import encode
from siocore.cluster.sharded import ShardedCluster
from siocore.codec.parser import Decoder, Parser
from siocore.options import Limits

# The wire ------------------------------------------------------------------------------------------------------

# Recorded from @socket.io/redis-adapter 8.3.0 on socket.io 4.8.4.
RECORDED: list[tuple[Any, str, bytes]] = [
    (
        lambda io: io.emit("hello", 1, "\u00e9"),
        MAIN,
        (
            b'{"type":3,"data":{"packet":{"type":2,"data":["hello",1,"\xc3\xa9"]},'
            b'"opts":{"rooms":[],"except":[],"flags":{}}},"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
    (
        lambda io: io.to("room1").emit("hello", b"\x01\x02"),
        "socket.io#/#room1#",
        (
            b"\x84\xa4type\x03\xa4data\x82\xa6packet\x82\xa4type\x02\xa4data\x92\xa5hello\xc4\x02\x01\x02\xa4opts\x83"
            b"\xa5rooms\x91\xa5room1\xa6except\x90\xa5flags\x80\xa3uid\xb0a92805e79c6d0e15\xa3nsp\xa1/"
        ),
    ),
    (
        lambda io: io.volatile.compress(False).except_("x").emit("v"),
        MAIN,
        (
            b'{"type":3,"data":{"packet":{"type":2,"data":["v"]},"opts":{"rooms":[],"except":["x"],'
            b'"flags":{"volatile":true,"compress":false}}},"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
    (
        lambda io: io.sockets_join("a"),
        MAIN,
        (
            b'{"type":4,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["a"]},'
            b'"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
    (
        lambda io: io.in_("b").sockets_leave("a", "c"),
        MAIN,
        (
            b'{"type":5,"data":{"opts":{"rooms":["b"],"except":[],"flags":{}},"rooms":["a","c"]},'
            b'"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
    (
        lambda io: io.disconnect_sockets(close=True),
        MAIN,
        b'{"type":6,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"close":true},"uid":"a92805e79c6d0e15","nsp":"/"}',
    ),
    (
        lambda io: io.server_side_emit("se", 1),
        MAIN,
        b'{"type":9,"data":{"packet":["se",1]},"uid":"a92805e79c6d0e15","nsp":"/"}',
    ),
    (
        lambda io: io.timeout(0.5).emit_with_ack("ack", 1),
        MAIN,
        (
            b'{"type":3,"data":{"packet":{"type":2,"data":["ack",1]},"requestId":"a0d2d345d0225c74",'
            b'"opts":{"rooms":[],"except":[],"flags":{"timeout":500}}},"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
    (
        lambda io: io.fetch_sockets(),
        MAIN,
        (
            b'{"type":7,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"requestId":"a0d2d345d0225c74"},'
            b'"uid":"a92805e79c6d0e15","nsp":"/"}'
        ),
    ),
]


@pytest.mark.parametrize(("do", "channel", "data"), RECORDED)
def test_what_is_published_is_what_node_js_publishes(do: Any, channel: str, data: bytes) -> None:
    cluster = nodes(1)
    do(cluster.apps[0])
    ((sent_on, sent),) = cluster.published()
    assert sent_on == channel
    request_id = unpacked(sent)["data"].get("requestId")
    if request_id is not None:
        assert len(request_id) == 16
        sent = sent.replace(request_id.encode(), b"a0d2d345d0225c74")
    assert len(cluster.clusters[0].uid) == 16
    assert sent.replace(cluster.clusters[0].uid.encode(), NODE_JS.encode()) == data


@pytest.mark.parametrize("namespace", ["/", "/chat", "/\u00e9"])
@pytest.mark.parametrize(
    "args", [(), ("text \u20ac \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),), ({"a": [1, None]},)]
)
def test_json_that_was_made_for_clients_is_what_would_be_made_for_servers(
    namespace: str, args: tuple[Any, ...]
) -> None:
    cluster = nodes(1)
    io = cluster.apps[0].of(namespace)
    io.to("a").volatile.emit("event", *args)
    ((channel, sent),) = cluster.published()
    assert channel == f"socket.io#{namespace}#a#"
    assert sent == encode(
        {
            "type": 3,
            "data": {
                "packet": {"type": 2, "data": ["event", *args]},
                "opts": {"rooms": ["a"], "except": [], "flags": {"volatile": True}},
            },
            "uid": cluster.clusters[0].uid,
            "nsp": namespace,
        }
    )


class Spaced(Parser):
    """Text that is not Socket.IO's own."""

    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        return [f"2 {json.dumps(data)}"]

    def decoder(self, limits: Limits) -> Decoder:
        raise NotImplementedError


# What it does --------------------------------------------------------------------------------------------------


def test_events_reach_the_clients_of_all_servers_once() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    cluster.apps[0].emit("hello", b"\x00")
    cluster.settle()
    assert [names(client) for client in clients] == [[("hello", b"\x00")]] * 3
    socket_of(cluster, 1, clients[1]).join("room")
    cluster.settle()
    cluster.apps[2].to("room").emit("to room")
    cluster.apps[2].to(clients[0].id).emit("to one")
    cluster.apps[2].local.emit("here")
    cluster.settle()
    assert [names(client) for client in clients] == [[("to one",)], [("to room",)], [("here",)]]


def test_sockets_of_all_servers_join_leave_and_are_disconnected() -> None:
    cluster = nodes(2)
    clients = [cluster.client(node) for node in range(2)]
    cluster.apps[0].sockets_join("a", "b")
    cluster.apps[0].in_("b").sockets_leave("a")
    cluster.settle()
    assert all("b" in socket_of(cluster, i, client).rooms for i, client in enumerate(clients))
    assert not any("a" in socket_of(cluster, i, client).rooms for i, client in enumerate(clients))
    cluster.apps[0].in_("b").disconnect_sockets()
    cluster.settle()
    assert not cluster.apps[0].sockets.sockets
    assert not cluster.apps[1].sockets.sockets


def test_a_room_has_a_channel_as_long_as_it_has_members() -> None:
    cluster = nodes(1)
    broker = cluster.clusters[0].broker
    client = cluster.client(0)
    base = set(broker.subscriptions)
    assert base == {(Kind.SHARD, MAIN), (Kind.SHARD, f"{MAIN}{cluster.clusters[0].uid}#")}
    socket = socket_of(cluster, 0, client)
    socket.join("a", "a", "b")
    socket.join("a")
    cluster.settle()
    assert set(broker.subscriptions) - base == {(Kind.SHARD, "socket.io#/#a#"), (Kind.SHARD, "socket.io#/#b#")}
    assert cluster.redis.channels(sharded=True) == {name for _, name in broker.subscriptions}
    send(cluster, 3, {"packet": {"type": 2, "data": ["once"]}, "opts": {"rooms": ["a"]}}, "socket.io#/#a#")
    assert names(client) == [("once",)]
    socket.leave("a", "a")
    cluster.settle()
    assert set(broker.subscriptions) - base == {(Kind.SHARD, "socket.io#/#b#")}
    client.disconnect()
    cluster.settle()
    assert set(broker.subscriptions) == base
    assert cluster.redis.channels(sharded=True) == {name for _, name in base}


def test_a_hundred_thousand_rooms_leave_nothing_behind() -> None:
    cluster = nodes(1)
    client = cluster.client(0)
    broker = cluster.clusters[0].broker
    socket = socket_of(cluster, 0, client)
    rooms = [f"room {number}" for number in range(100_000)]
    socket.join(*rooms)
    cluster.settle()
    assert len(broker.subscriptions) == 100_002
    socket.leave(*rooms)
    # What came and went before the driver looked is one change each.
    socket.join(*rooms)
    socket.leave(*rooms)
    assert len(broker.take_changes()) == 100_000
    assert len(broker.subscriptions) == 2


@pytest.mark.parametrize(
    ("mode", "to_room", "to_id"),
    [
        ("static", MAIN, MAIN),
        ("dynamic", f"{MAIN}room#", MAIN),
        ("dynamic-private", f"{MAIN}room#", f"{MAIN}{'i' * 20}#"),
    ],
)
def test_the_mode_says_where_an_event_for_one_room_goes(mode: str, to_room: str, to_id: str) -> None:
    cluster = nodes(1, mode)
    io = cluster.apps[0]
    io.to("room").emit("e")
    io.to("i" * 20).emit("e")
    # JavaScript counts this as twenty.
    io.to("\U0001f600" * 10).emit("e")
    io.to("room", "other").emit("e")
    io.to("room").emit_with_ack("e")
    io.in_("room").sockets_join("x")
    channels = [channel for channel, _ in cluster.published()]
    assert channels[:2] == [to_room, to_id]
    assert channels[2] == to_id.replace("i" * 20, "\U0001f600" * 10)
    assert channels[3:] == [MAIN, MAIN, MAIN]


@pytest.mark.parametrize("mode", ["static", "dynamic", "dynamic-private"])
def test_events_for_rooms_and_sockets_arrive_once_in_every_mode(mode: str) -> None:
    cluster = nodes(2, mode)
    first, second = cluster.client(0), cluster.client(1)
    socket_of(cluster, 1, second).join("room")
    cluster.settle()
    io = cluster.apps[0]
    io.to("room").emit("room")
    io.to(second.id).emit("id")
    io.to("room", second.id, "other").emit("several")
    io.to("nobody").emit("nobody")
    io.except_("room").emit("others")
    cluster.settle()
    assert names(second) == [("room",), ("id",), ("several",)]
    assert names(first) == [("others",)]


def test_private_channels_end_with_their_sockets_and_their_namespace() -> None:
    cluster = nodes(1, "dynamic-private")
    broker = cluster.clusters[0].broker
    client = cluster.client(0)
    assert (Kind.SHARD, f"{MAIN}{client.id}#") in broker.subscriptions
    client.disconnect()
    cluster.settle()
    assert len(broker.subscriptions) == 2
    socket_of(cluster, 0, cluster.client(0)).join("room")
    assert len(broker.subscriptions) == 4
    cluster.apps[0].sockets.adapter.close()
    assert not broker.subscriptions


def test_ids_of_sockets_are_to_be_known_by_their_length() -> None:
    def short() -> str:
        return "x" * 12

    with pytest.raises(ValueError, match="12 characters"):
        Server(adapter=ShardedCluster(), generate_id=short)
    Server(adapter=ShardedCluster(mode="static"), generate_id=short)
    with pytest.raises(ValueError, match="mode is one of"):
        ShardedCluster(mode="private")


def test_it_can_not_recover_connections() -> None:
    with pytest.raises(ValueError, match="needs Redis streams"):
        Server(adapter=ShardedCluster(), recovery=True)


def test_events_through_a_parser_are_not_what_clients_are_sent() -> None:
    cluster = nodes(1, parser=Spaced())
    cluster.apps[0].emit("e", 1)
    ((_, sent),) = cluster.published()
    assert unpacked(sent)["data"]["packet"] == {"type": 2, "data": ["e", 1]}


def test_answers_of_others_are_read_from_our_own_channel_alone() -> None:
    cluster = nodes(3)
    clients = [cluster.client(node) for node in range(3)]
    asked = cluster.start(cluster.apps[1].fetch_sockets())
    assert {each.id for each in asked.result()} == {client.id for client in clients}
    own = f"{MAIN}{cluster.clusters[1].uid}#"
    assert [channel for channel, _ in cluster.published()] == [MAIN, own, own]


def test_what_is_sent_while_redis_is_gone_is_counted() -> None:
    cluster = nodes(2)
    first, second = cluster.client(0), cluster.client(1)
    cluster.redis.disconnect(cluster.clusters[0].broker)
    io = cluster.apps[0]
    io.emit("e")
    io.sockets_join("room")
    io.server_side_emit("e")
    cluster.settle()
    assert (names(first), names(second)) == ([("e",)], [])
    assert cluster.clusters[0].dropped == 3
    cluster.redis.connect(cluster.clusters[0].broker)
    # Rooms that came meanwhile are heard.
    cluster.apps[1].to("room").emit("again")
    cluster.settle()
    assert (names(first), names(second)) == ([("again",)], [])
    assert cluster.clusters[0].dropped == 0
