"""Servers that share their sessions over a model of Redis, and clients whose every request goes to any of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from raw_client import RawHttp, RawPolling, RawWebSocket
from siocore import EngineServer, Session
from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.endpoint.shared_sessions import SharedSessions
from siocore.testing import EngineClient, ManualClock, ModelRedis, Simulation, Stream, TestServer

__all__ = [
    "Balancer",
    "Delayed",
    "EngineNode",
    "Fleet",
    "Stranger",
    "alternating",
    "at_random",
    "elsewhere",
    "published",
    "relayed",
]

#: A connection for each request, so that each can go to another server.
_EACH_ALONE = [("connection", "close")]


class EngineNode:
    """An Engine.IO server that keeps what it is told, and echoes."""

    def __init__(self, fleet: Fleet, options: dict[str, Any]) -> None:
        self.sessions = SharedSessions()
        self.app = EngineServer(sessions=self.sessions, **options)
        self.server = TestServer(self.app, simulation=fleet.simulation)
        self.opened: list[Session] = []
        self.messages: list[str | bytes] = []
        self.closed: list[tuple[Session, str]] = []
        self.echoes = False

        @self.app.on("connection")
        def connected(session: Session) -> None:
            self.opened.append(session)

        @self.app.on("message")
        def received(session: Session, data: str | bytes) -> None:
            self.messages.append(data)
            if self.echoes:
                session.send(data)

        @self.app.on("close")
        def closed(session: Session, reason: str) -> None:
            self.closed.append((session, reason))


class Balancer:
    """Stands where a client looks for its server: each connection leads to the one that ``choose`` names."""

    def __init__(self, servers: list[TestServer], choose: Callable[[], int]) -> None:
        self.servers = servers
        self.choose = choose
        self.protocol = servers[0].protocol

    def connect(self, peer: object = ("192.0.2.1", 50_000)) -> Stream:
        return self.servers[self.choose()].connect(peer)

    @property
    def clock(self) -> ManualClock:
        return self.servers[0].clock

    def settle(self) -> None:
        self.servers[0].settle()

    def advance(self, seconds: float) -> None:
        self.servers[0].advance(seconds)

    def run_until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        self.servers[0].run_until(condition, timeout)


class Fleet:
    """Servers of Engine.IO, all on one clock."""

    def __init__(self, count: int = 2, *, latency: Callable[[], float] = lambda: 0.0, **options: Any) -> None:
        self.simulation = Simulation()
        self.redis = ModelRedis(self.simulation, latency=latency)
        self.nodes = [EngineNode(self, options) for _ in range(count)]
        for node in self.nodes:
            self.redis.attach(node.sessions.broker)
        self.settle()

    def settle(self) -> None:
        self.nodes[0].server.settle()

    def advance(self, seconds: float) -> None:
        self.nodes[0].server.advance(seconds)

    def client(self, mode: str, choose: Callable[[], int]) -> EngineClient:
        balancer: Any = Balancer([node.server for node in self.nodes], choose)
        return EngineClient(balancer, mode, headers=_EACH_ALONE)

    def close(self) -> None:
        for node in self.nodes:
            node.server.close()

    @property
    def opened(self) -> list[Session]:
        """What any server was told of."""
        return [each for node in self.nodes for each in node.opened]

    @property
    def messages(self) -> list[str | bytes]:
        return [each for node in self.nodes for each in node.messages]


def alternating(*numbers: int) -> Callable[[], int]:
    """These, one after another, and the last of them for ever."""
    waiting = list(numbers)
    return lambda: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def at_random(random: Random, count: int) -> Callable[[], int]:
    return lambda: random.randrange(count)


def elsewhere(fleet: Fleet, polling: RawPolling, node: int = 1) -> RawPolling:
    """The same session, with its requests to another server."""
    other = object.__new__(RawPolling)
    other.server = fleet.nodes[node].server
    other.gets, other.posts = RawHttp(other.server), RawHttp(other.server)
    other.sid, other.target = polling.sid, polling.target
    return other


def published(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is published from now on."""
    seen: list[tuple[str, dict[str, Any]]] = []
    publish = fleet.redis.publish

    def watched(channel: str, data: bytes, *, sharded: bool = False) -> int:
        seen.append((channel, decode_msgpack(data)))
        return publish(channel, data, sharded=sharded)

    monkeypatch.setattr(fleet.redis, "publish", watched)
    return seen


class Stranger:
    """Says what a test says, on the channels of the servers."""

    def __init__(self, fleet: Fleet, name: str = "abcdef") -> None:
        self.fleet = fleet
        self.name = name

    def say(self, type: object, data: object, node: EngineNode | None = None, **more: object) -> None:
        recipient = "" if node is None else node.sessions.node
        message = {"requestId": 1, "senderId": self.name, "type": type, "data": data, "_source": "_eio", **more}
        if recipient:
            message["recipientId"] = recipient
        self.publish(encode_msgpack(message), recipient)

    def publish(self, block: bytes, recipient: str = "") -> None:
        self.fleet.redis.publish(f"engine.io#{recipient}#" if recipient else "engine.io#", block)
        self.fleet.settle()


def relayed(fleet: Fleet) -> RawWebSocket:
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    websocket = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
    websocket.send("2probe")
    websocket.send("5")
    assert fleet.opened[0].transport == "websocket"
    return websocket


class Delayed:
    """Stands between Redis and one server: what is pushed to it waits here until :meth:`release`."""

    def __init__(self, fleet: Fleet, number: int = 0) -> None:
        self._fleet = fleet
        self._broker: Any = fleet.nodes[number].sessions.broker
        self._waiting: list[tuple[Any, ...]] = []
        line: Any = fleet.redis._lines[self._broker]
        line.broker = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def received(self, *message: Any) -> None:
        self._waiting.append(message)

    def release(self) -> None:
        """Let through what waits."""
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._broker.received(*message)
        self._fleet.settle()
