"""The least of a Redis that servers can meet at: publish/subscribe, on the clock of a simulation, without latency."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from siocore import Server
from siocore.cluster.broker import Broker, CountSubscribers, Kind, ListChannels, Publish
from siocore.cluster.cluster import BrokerCluster
from siocore.testing import Simulation, TestClient, TestServer
from siocore.testing.participant import Task

_T = TypeVar("_T")

__all__ = ["FakeRedis", "Nodes", "Wiretap"]


class FakeRedis:
    """Channels and patterns. ``published`` has all that was ever published, by channel."""

    def __init__(self) -> None:
        self.brokers: list[Broker] = []
        self.published: list[tuple[str, bytes]] = []
        #: The kinds of the commands that were carried out.
        self.commands: list[type] = []
        self._subscribed: dict[Broker, set[tuple[Kind, str]]] = {}

    def connect(self, broker: Broker) -> None:
        if broker not in self.brokers:
            self.brokers.append(broker)
        broker.take_changes()
        self._subscribed[broker] = set(broker.subscriptions)
        broker.connected()

    def disconnect(self, broker: Broker, reason: str = "the line was cut") -> None:
        del self._subscribed[broker]
        broker.lost(reason)

    def vanish(self, broker: Broker) -> None:
        """As when its process is killed: it is told nothing."""
        del self._subscribed[broker]
        self.brokers.remove(broker)

    def pump(self) -> bool:
        busy = False
        for broker in list(self._subscribed):
            for kind, name, wanted in broker.take_changes():
                busy = True
                (self._subscribed[broker].add if wanted else self._subscribed[broker].discard)((kind, name))
            for command in broker.take_commands():
                busy = True
                command.answered(self._do(command))
        return busy

    def publish(self, channel: str, data: bytes, sharded: bool = False) -> int:
        """As from a process that is no server."""
        self.published.append((channel, data))
        receivers = 0
        for broker, subscribed in list(self._subscribed.items()):
            for kind, name in sorted(subscribed, key=lambda each: each[1]):
                heard = _matches(name, channel) if kind is Kind.PATTERN else name == channel
                if heard and (kind is Kind.SHARD) is sharded:
                    receivers += 1
                    broker.received(kind, name, channel, data)
        return receivers

    def next_moment(self) -> float | None:
        return None

    def expire(self) -> bool:
        return False

    def channels(self, sharded: bool = False) -> set[str]:
        wanted = _kind(sharded)
        return {name for subscribed in self._subscribed.values() for kind, name in subscribed if kind is wanted}

    def _do(self, command: Any) -> object:
        self.commands.append(type(command))
        if isinstance(command, Publish):
            return self.publish(command.channel, command.data, command.sharded)
        if isinstance(command, CountSubscribers):
            return sum((_kind(command.sharded), command.channel) in each for each in self._subscribed.values())
        assert isinstance(command, ListChannels)
        return sorted(name for name in self.channels(command.sharded) if _matches(command.pattern, name))


class Wiretap:
    """A process that is no server, with a subscription of its own: it can also be counted as one that never answers."""

    def __init__(self, redis: FakeRedis, *channels: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.broker = Broker()
        for channel in channels:
            self.broker.subscribe(Kind.CHANNEL, channel, self)
        redis.connect(self.broker)

    def message_received(self, channel: str, data: bytes) -> None:
        self.heard.append((channel, data))


class Nodes:
    """Servers that meet at one Redis, on one clock."""

    def __init__(self, count: int, make: Callable[[], BrokerCluster], **options: Any) -> None:
        self.redis = FakeRedis()
        self.simulation = Simulation()
        self.simulation.add(self.redis)
        self.clusters = [make() for _ in range(count)]
        self.apps = [Server(adapter=cluster, **options) for cluster in self.clusters]
        self.servers = [TestServer(app, simulation=self.simulation) for app in self.apps]
        for cluster in self.clusters:
            self.redis.connect(cluster.broker)

    def client(self, node: int, namespace: str = "/") -> TestClient:
        client = TestClient(self.servers[node])
        client.connect(namespace)
        self.settle()
        return client

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.simulation.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.simulation.advance(seconds)

    def start(self, awaitable: Awaitable[_T]) -> Task[_T]:
        """Await something, as a handler would."""
        task = self.servers[0].start(awaitable)
        self.settle()
        return task

    def published(self) -> list[tuple[str, bytes]]:
        """What was published since this was called the last time."""
        self.settle()
        published, self.redis.published = self.redis.published, []
        return published


def _kind(sharded: bool) -> Kind:
    return Kind.SHARD if sharded else Kind.CHANNEL


def _matches(pattern: str, channel: str) -> bool:
    parts = re.findall(r"\\.|\[[^]]*\]|.", pattern, re.DOTALL)
    wanted = [".*" if each == "*" else each if each[0] == "[" else re.escape(each[-1]) for each in parts]
    return bool(re.fullmatch("".join(wanted), channel, re.DOTALL))
