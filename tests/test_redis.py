"""Servers that meet at a real Redis, on trio and on asyncio: what they do together, and what outages do to them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import siocore
from redis_scenarios import connect, run, served
from redis_servers import RedisServer, redis_cluster
from siocore import Outage, Server
from siocore.redis import PubSub, ShardedPubSub

LIBRARIES = ["trio", "asyncio"]
Make = Callable[[], Any]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with redis_cluster() as servers:
        yield servers


class Queue:
    """What came, in order."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._there = anyio.Event()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._there.set()

    async def get(self) -> Any:
        while not self._items:
            self._there = anyio.Event()
            await self._there.wait()
        return self._items.popleft()


class Node:
    """A server, and what it was told of Redis."""

    def __init__(self, make: Make, **options: Any) -> None:
        self.cluster = make()
        # Silence is to be noticed as soon as everything else.
        self.cluster._driver._timing.health = min(self.cluster._driver._timing.health, 0.1)
        self.io = Server(adapter=self.cluster, **options)
        self._queue = Queue()
        self.io.on("adapter_up")(self._up)
        self.io.on("adapter_down")(self._down)

    async def told(self, what: str) -> Any:
        """What comes with the next news, which have to be these."""
        found, value = await self._queue.get()
        assert found == what
        return value

    async def _up(self, outage: Outage | None) -> None:
        self._queue.put(("up", outage))

    async def _down(self, reason: str) -> None:
        self._queue.put(("down", reason))


class Heard:
    """The events that a client has received."""

    def __init__(self, client: Any) -> None:
        self._queue = Queue()
        client.on("e")(self._hear)
        client.on("question")(self._answer)

    async def next(self) -> Any:
        return await self._queue.get()

    async def _hear(self, value: Any) -> None:
        self._queue.put(value)

    async def _answer(self, value: Any) -> Any:
        return value


async def with_two_nodes(
    make: Make, body: Callable[[list[Node], list[Heard]], Awaitable[None]], **options: Any
) -> None:
    nodes = [Node(make, **options) for _ in range(2)]

    async def serve_them(serve: Any) -> None:
        ports = [await serve(node.io) for node in nodes]
        for node in nodes:
            assert await node.told("up") is None
        async with connect(ports[0]) as first, connect(ports[1]) as second:
            await body(nodes, [Heard(first), Heard(second)])

    await served(serve_them)


async def find_both(io: Server) -> None:
    found = await io.fetch_sockets()
    assert (len(found), found.missing) == (2, ())


async def what_servers_do_together(make: Make) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        first, second = (node.io for node in nodes)

        @second.on_server_side("question")
        async def answer(value: Any) -> Any:
            return [value]

        first.emit("e", b"\x00")
        assert [await each.next() for each in heard] == [b"\x00"] * 2
        assert await first.emit_with_ack("question", 1) == [1, 1]
        assert await first.server_side_emit_with_ack("question", 2) == [[2]]
        found = await first.fetch_sockets()
        assert (len(found), found.missing) == (2, ())
        # Many at once, too: Redis is asked first who is there, then how many these are.
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(find_both, first)
        remote = next(each for each in found if isinstance(each, siocore.RemoteSocket))
        remote.join("room")
        # What one server sends arrives in order. That the room has a channel Redis has to learn first.
        assert await first.in_(remote.id).emit_with_ack("question", 3) == [3]
        assert [each.rooms for each in await first.in_("room").fetch_sockets()] == [{remote.id, "room"}]
        second.to("room").emit("e", "room")
        first.in_(remote.id).emit("e", "one")
        assert {await heard[1].next(), await heard[1].next()} == {"room", "one"}

    await with_two_nodes(make, body)


async def whether_it_is_there_is_asked_all_the_time(make: Make) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        for number in range(300):
            nodes[0].io.emit("e", number)
            await anyio.lowlevel.checkpoint()
        for each in heard:
            assert [await each.next() for _ in range(300)] == list(range(300))
        assert nodes[0].cluster.dropped == 0

    def asking() -> Any:
        made = make()
        made._driver._timing.health = 0.0
        return made

    await with_two_nodes(asking, body)


async def outage(make: Make, harm: Callable[[], object], heal: Callable[[], object]) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        harm()
        for node in nodes:
            assert "127.0.0.1" in await node.told("down")
        for node in nodes:
            assert not node.cluster.up
            node.io.emit("e", "alone")
        assert [await each.next() for each in heard] == ["alone"] * 2
        # Nobody but our own clients is waited for.
        found = await nodes[0].io.fetch_sockets()
        assert (len(found), found.missing) == (1, ("every other server",))
        heal()
        for node in nodes:
            told = await node.told("up")
            assert isinstance(told, Outage)
            # What was sent, and that sockets were asked for.
            assert told.dropped == (2 if node is nodes[0] else 1)
            assert told.gap
        nodes[0].io.emit("e", "again")
        assert [await each.next() for each in heard] == ["again"] * 2
        assert await nodes[1].io.emit_with_ack("question", 1) == [1, 1]

    await with_two_nodes(make, body)


async def connections_are_killed(make: Make, redis: RedisServer, kinds: list[str]) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        for kind in kinds:
            assert int(redis.command("CLIENT", "KILL", "TYPE", kind)) >= 2
            for node in nodes:
                await node.told("down")
                await node.told("up")
            nodes[0].io.emit("e", kind)
            assert [await each.next() for each in heard] == [kind] * 2

    await with_two_nodes(make, body)


async def redis_comes_later(make: Make, redis: RedisServer) -> None:
    node = Node(make)
    node.cluster._driver._timing.patience = 0.1

    async def serve_it(serve: Any) -> None:
        port = await serve(node.io)
        async with connect(port) as client:
            heard = Heard(client)
            node.io.emit("e", "alone")
            assert await heard.next() == "alone"
            redis.start()
            assert await node.told("up") is None

    await served(serve_it)


async def redis_refuses(make: Make) -> None:
    node = Node(make)
    node.cluster._driver._timing.patience = 0.2

    async def serve_it(serve: Any) -> None:
        await serve(node.io)
        assert not node.cluster.up

    await served(serve_it)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", [PubSub, ShardedPubSub])
def test_what_servers_do_together(library: str, kind: Any, redis: RedisServer) -> None:
    run(library, what_servers_do_together, partial(kind, redis.url))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", [PubSub, ShardedPubSub])
def test_what_servers_do_together_in_a_redis_cluster(library: str, kind: Any, cluster: list[RedisServer]) -> None:
    run(library, what_servers_do_together, partial(kind, f"redis+cluster://127.0.0.1:{cluster[0].port}"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_questions_and_messages_share_connections(library: str, redis: RedisServer) -> None:
    run(library, whether_it_is_there_is_asked_all_the_time, partial(PubSub, redis.url))


@pytest.mark.parametrize("library", LIBRARIES)
def test_redis_is_killed_and_comes_back_empty(library: str) -> None:
    with RedisServer() as redis:
        run(library, outage, partial(PubSub, redis.url), redis.kill, redis.start)


@pytest.mark.parametrize("library", LIBRARIES)
def test_redis_is_there_and_says_nothing(library: str) -> None:
    with RedisServer() as redis:
        run(library, outage, partial(ShardedPubSub, redis.url, timeout=0.3), redis.pause, redis.resume)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", [PubSub, ShardedPubSub])
def test_redis_closes_connections(library: str, kind: Any, redis: RedisServer) -> None:
    run(library, connections_are_killed, partial(kind, redis.url), redis, ["pubsub", "normal"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_redis_comes_later(library: str, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as redis, caplog.at_level(logging.WARNING, "siocore"):
        redis.kill()
        run(library, redis_comes_later, partial(PubSub, redis.url), redis)
    assert sum("can't reach Redis" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_redis_wants_a_password(library: str, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer("--requirepass", "secret") as redis, caplog.at_level(logging.WARNING, "siocore"):
        run(library, redis_refuses, partial(PubSub, redis.url))
        (told,) = [record.getMessage() for record in caplog.records if "can't reach Redis" in record.getMessage()]
        assert "authenticate" in told
        url = redis.url.replace("//", "//:secret@")
        run(library, what_servers_do_together, partial(PubSub, url))
    assert "secret" not in caplog.text
