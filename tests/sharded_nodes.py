"""Servers of the cluster protocol, at one Redis without sockets, and another one whose every word the test says."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fake_redis import Nodes
from siocore import Socket
from siocore.cluster.broker import Broker, Kind
from siocore.cluster.codec import encode
from siocore.cluster.sharded import ShardedCluster
from siocore.testing import TestClient

__all__ = ["MAIN", "NODE_JS", "Silent", "names", "nodes", "send", "socket_of", "unpacked"]

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

    def __init__(self, cluster: Nodes, uid: str = NODE_JS, channel: str = MAIN) -> None:
        self.uid = uid
        self.cluster = cluster
        self.channel = channel
        self.heard: list[dict[str, Any]] = []
        self.broker = Broker()
        for name in (channel, f"{channel}{uid}#"):
            self.broker.subscribe(Kind.SHARD, name, self)
        cluster.redis.connect(self.broker)

    def message_received(self, channel: str, data: bytes) -> None:
        self.heard.append(unpacked(data))

    def request_id(self) -> str:
        """That of the latest request."""
        self.cluster.settle()
        found = self.heard[-1]["data"]["requestId"]
        assert isinstance(found, str)
        return found

    def answer(self, type: Any, data: Any) -> None:
        """Answer the first of the servers."""
        namespace = self.channel.split("#")[1]
        send(self.cluster, type, data, f"{self.channel}{self.cluster.clusters[0].uid}#", self.uid, namespace)
