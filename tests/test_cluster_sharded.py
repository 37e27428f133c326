"""Servers that meet in Redis' sharded publish/subscribe: what they write, byte for byte, and what it does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from fake_redis import Nodes
from siocore import Socket
from siocore.cluster.broker import Broker, Kind
from siocore.cluster.codec import encode
from siocore.cluster.sharded import ShardedCluster
from siocore.testing import TestClient

MAIN = "socket.io#/#"
NODE_JS = "a92805e79c6d0e15"


def nodes(count: int = 2, mode: str = "dynamic", **options: Any) -> Nodes:
    return Nodes(count, lambda: ShardedCluster(mode=mode), **options)


def names(client: TestClient) -> list[tuple[Any, ...]]:
    """The events that have arrived."""
    found = [(event.name, *event.args) for event in client.events]
    client.events.clear()
    return found


def socket_of(cluster: Nodes, node: int, client: TestClient) -> Socket:
    return cluster.apps[node].sockets.sockets[client.id]


def unpacked(data: bytes) -> Any:
    return json.loads(data) if data[:1] == b"{" else msgspec.msgpack.decode(data)


def send(cluster: Nodes, type: Any, data: Any, channel: str = MAIN, uid: Any = NODE_JS, nsp: str = "/") -> None:
    """As another server would."""
    cluster.redis.publish(channel, encode({"type": type, "data": data, "uid": uid, "nsp": nsp}), sharded=True)
    cluster.settle()


class Silent:
    """A server that never answers by itself."""

    def __init__(self, cluster: Nodes, uid: str = NODE_JS) -> None:
        self.uid = uid
        self.cluster = cluster
        self.heard: list[dict[str, Any]] = []
        self.broker = Broker()
        for channel in (MAIN, f"{MAIN}{uid}#"):
            self.broker.subscribe(Kind.SHARD, channel, self)
        cluster.redis.connect(self.broker)

    def message_received(self, channel: str, data: bytes) -> None:
        self.heard.append(unpacked(data))

    def request_id(self) -> str:
        self.cluster.settle()
        found = self.heard[-1]["data"]["requestId"]
        assert isinstance(found, str)
        return found

    def answer(self, type: Any, data: Any) -> None:
        send(self.cluster, type, data, f"{MAIN}{self.cluster.clusters[0].uid}#", self.uid)


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
