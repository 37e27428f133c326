"""Servers that meet at a real Redis which refuses, throws them out, or is told names that are no Unicode; servers that
die or stop.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

import siocore
from peers.harness import HERE, ServerProcess
from redis_scenarios import connect, run, served
from redis_servers import RedisServer, free_port
from siocore import Outage, Server, Socket
from siocore.redis import Emitter, PubSub, ShardedPubSub, Streams, StreamsEmitter
from test_redis import LIBRARIES, Heard, Make, Node, Queue, with_two_nodes

Start = Callable[[str, str, int], list[ServerProcess]]

KINDS = [PubSub, ShardedPubSub, Streams]
#: JSON may have it in a text, and neither UTF-8 nor msgpack can.
NO_UNICODE = "\ud800"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def names_that_are_no_unicode(make: Make) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        for node in nodes:
            for socket in node.io.local_sockets():
                assert isinstance(socket, Socket)
                socket.data.name = NO_UNICODE
                socket.data.number = 1
                socket.join(NO_UNICODE, "room")
        for node in nodes:
            found = await node.io.fetch_sockets()
            assert (len(found), found.missing) == (2, ())
            (remote,) = (each for each in found if isinstance(each, siocore.RemoteSocket))
            assert remote.data.number == 1
            assert {remote.id, "room"} <= remote.rooms
        if not isinstance(nodes[0].cluster, PubSub):
            # There msgpack has the names of rooms in it.
            nodes[0].io.to(NO_UNICODE).emit("e", "to the room")
            assert [await each.next() for each in heard] == ["to the room"] * 2
        for node in nodes:
            assert node.cluster.up
            for socket in node.io.local_sockets():
                socket.leave(NO_UNICODE)
            node.io.emit("e", "after")
            assert [await each.next() for each in heard] == ["after"] * 2

    await with_two_nodes(make, body)


async def an_id_that_is_no_unicode(url: str) -> None:
    """The names of keys come from clients, too."""
    io = Server(adapter=Streams(url), recovery=True)
    told = Queue()

    @io.on("connection")
    def connected(socket: Socket) -> None:
        told.put((socket.recovered, dict(socket.handshake.auth)))

    async def serve_it(serve: Any) -> None:
        port = await serve(io)
        for pid in (NO_UNICODE, "\x00", "x" * 10_000):
            auth = {"pid": pid, "offset": "0-1"}
            async with connect(port, auth=auth) as client:
                heard = Heard(client)
                assert await told.get() == (False, auth)
                io.emit("e", "after")
                assert await heard.next() == "after"

    await served(serve_it)


async def subscribers_are_thrown_out(make: Make, streams: bool) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        large = "x" * 60_000
        if streams:
            nodes[0].io.server_side_emit("large", large)
        else:
            nodes[0].io.emit("e", large)
            assert await heard[0].next() == large
        for node in nodes:
            await node.told("down")
        for node in nodes:
            told = await node.told("up")
            assert isinstance(told, Outage)
            # What goes through streams is read from where it was.
            assert bool(told.gap) is not streams
        nodes[0].io.emit("e", "again")
        assert [await each.next() for each in heard] == ["again"] * 2
        found = await nodes[1].io.fetch_sockets()
        assert (len(found), found.missing) == (2, ())

    await with_two_nodes(make, body)


async def an_application_uses_coredis_too(make: Make) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        @nodes[1].io.on_server_side("log")
        async def log(word: str) -> bool:
            logging.getLogger("coredis").warning(word)
            return True

        assert await nodes[0].io.server_side_emit_with_ack("log", "from a handler") == [True]

    await with_two_nodes(make, body)


async def entries_are_refused(
    redis: RedisServer,
    refuse: Callable[[], object],
    allow: Callable[[], object],
    *,
    reconnects: bool = False,
    recovery: bool | None = None,
) -> None:
    async def body(nodes: list[Node], heard: list[Heard]) -> None:
        nodes[0].io.emit("e", "before")
        assert [await each.next() for each in heard] == ["before"] * 2
        refuse()
        if reconnects:
            for node in nodes:
                await node.told("down")
                told = await node.told("up")
                assert isinstance(told, Outage)
                assert (told.dropped, told.gap) == (0, "")
        for node, own in zip(nodes, heard, strict=True):
            node.io.emit("e", "alone")
            assert await own.next() == "alone"
            # Questions are no entries. The answers come behind that about the entry.
            found = await node.io.fetch_sockets()
            assert (len(found), found.missing) == (2, ())
            assert node.cluster.up
            assert node.cluster.dropped == 1
        allow()
        for node in nodes:
            node.io.emit("e", "after")
            assert [await each.next() for each in heard] == ["after"] * 2
        redis.command("CLIENT", "KILL", "TYPE", "normal")
        for node in nodes:
            await node.told("down")
            told = await node.told("up")
            assert isinstance(told, Outage)
            assert (told.dropped, told.gap) == (1, "")

    await with_two_nodes(partial(Streams, redis.url), body, recovery=recovery)


async def a_server_is_killed(url: str, kind: str, servers: list[ServerProcess]) -> None:
    events = 600
    emitter: Any = StreamsEmitter(url) if kind == "streams" else Emitter(url)
    half, all_there = anyio.Event(), [anyio.Event(), anyio.Event()]
    heard: list[list[int]] = [[], [], []]

    async def listen(number: int, value: int) -> None:
        heard[number].append(value)
        if number == 2 and value == events // 3:
            half.set()
        if number < 2 and value == events - 1:
            all_there[number].set()

    async def load() -> None:
        for number in range(events):
            emitter.emit("e", number)
            if number % 10 == 9:
                await emitter.flush()
            if number == events // 3:
                # The rest is sent while one dies.
                await half.wait()

    async with AsyncExitStack() as stack:
        clients = []
        for number, server in enumerate(servers):
            client = await stack.enter_async_context(connect(server.port, auth={"name": number}))
            client.on("e")(partial(listen, number))
            client.on("question")(partial(str, number))
            clients.append(client)
        await stack.enter_async_context(emitter)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(load)
        await half.wait()
        servers[2].process.kill()
        await anyio.to_thread.run_sync(servers[2].wait)
        assert [name for name, _ in await fetched(clients[0])] == [0, 1]
        with anyio.fail_after(10):
            # As soon as Redis has noticed, nobody is missed any more.
            while await fetched(clients[0]) != [(0, 0), (1, 0)]:
                pass
        asked = {"op": "ask", "rooms": ["everybody"], "args": ["question"]}
        assert await clients[1].emit_with_ack("do", asked) == ["0", "1"]
        for each in all_there:
            await each.wait()
        await emitter.flush()
    # Nobody was told of a loss, and there was none.
    assert emitter.dropped == 0
    assert heard[:2] == [list(range(events))] * 2
    assert heard[2] == list(range(len(heard[2])))
    assert events // 3 < len(heard[2]) < events


async def a_server_is_stopped(servers: list[ServerProcess]) -> None:
    stopped = servers[1]
    events = 200
    all_there = [anyio.Event(), anyio.Event()]
    heard: list[list[int]] = [[], []]

    async def listen(number: int, value: int) -> None:
        heard[number].append(value)
        if value == events - 1:
            all_there[number].set()

    async with AsyncExitStack() as stack:
        clients = []
        for number, server in enumerate(servers):
            client = await stack.enter_async_context(connect(server.port, auth={"name": number}))
            client.on("e")(partial(listen, number))
            clients.append(client)
        # Both know of each other, or nobody could be missed.
        while len(await fetched(clients[0])) < 2:
            pass
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            await clients[0].emit_with_ack("do", {"op": "emit", "args": ["e"], "times": events})
            await all_there[0].wait()
            assert await fetched(clients[0]) == [(0, 1)]
            assert heard[1] == []
        finally:
            stopped.process.send_signal(signal.SIGCONT)
        await all_there[1].wait()
        # Answers that come too late are nobody's, and the next question has all of them.
        assert await fetched(clients[0]) == [(0, 0), (1, 0)]
        assert await fetched(clients[1]) == [(0, 0), (1, 0)]
    assert heard == [list(range(events))] * 2


async def fetched(client: Any) -> list[tuple[int, int]]:
    """The names of all clients that its server finds, each with how many servers did not answer."""
    found = await client.emit_with_ack("do", {"op": "fetch"}, timeout=20)
    return sorted((name, missing) for _, _, name, _, missing in found)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_no_unicode_harm_nobody(library: str, kind: Any, redis: RedisServer) -> None:
    run(library, names_that_are_no_unicode, partial(kind, redis.url))


@pytest.mark.parametrize("library", LIBRARIES)
def test_clients_come_back_with_ids_that_are_no_unicode(library: str, redis: RedisServer) -> None:
    run(library, an_id_that_is_no_unicode, redis.url)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_redis_throws_out_who_does_not_keep_up(library: str, kind: Any) -> None:
    with RedisServer("--client-output-buffer-limit", "pubsub 32kb 0 0") as redis:
        run(library, subscribers_are_thrown_out, partial(kind, redis.url), kind is Streams)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("recovery", [None, True])
def test_redis_has_no_memory_left(library: str, recovery: bool | None, redis: RedisServer) -> None:
    def limit(size: str) -> None:
        assert redis.command("CONFIG", "SET", "maxmemory", size) == "OK"

    scenario = partial(entries_are_refused, recovery=recovery)
    run(library, scenario, redis, partial(limit, "1"), partial(limit, "0"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_redis_becomes_a_replica(library: str) -> None:
    with RedisServer() as redis:

        def follow(*whom: str) -> None:
            assert redis.command("REPLICAOF", *whom) == "OK"

        gone = partial(follow, "127.0.0.1", str(free_port()))
        scenario = partial(entries_are_refused, reconnects=True)
        run(library, scenario, redis, gone, partial(follow, "NO", "ONE"))


@pytest.fixture
def start(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts servers of one cluster, each in a process of its own."""
    with ExitStack() as stack:

        def started(kind: str, library: str, count: int) -> list[ServerProcess]:
            monkeypatch.setenv("CLUSTER_KIND", kind)
            monkeypatch.setenv("CLUSTER_URL", redis.url)
            arguments = ["serve", "cluster_app:io", "--port", "0", "--loop", library]
            # Each takes a second to start: together.
            with ThreadPoolExecutor(count) as pool:
                servers = [pool.submit(ServerProcess, arguments, HERE) for _ in range(count)]
            return [stack.enter_context(each.result()) for each in servers]

        yield started


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "library"), [("classic", "trio"), ("streams", "asyncio")])
def test_a_server_is_killed_under_load(kind: str, library: str, redis: RedisServer, start: Start) -> None:
    servers = start(kind, library, 3)
    run(library, a_server_is_killed, redis.url, kind, servers)
    for server in servers[:2]:
        assert server.stop() == 0
        assert "WARNING" not in "\n".join(server.lines), server.lines


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "library"), [("classic", "asyncio"), ("dynamic", "trio"), ("streams", "trio")])
def test_a_server_is_stopped_for_a_while(kind: str, library: str, start: Start) -> None:
    servers = start(kind, library, 2)
    run(library, a_server_is_stopped, servers)
    for server in servers:
        assert server.stop() == 0
        assert "WARNING" not in "\n".join(server.lines), server.lines


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_coredis_tells_the_application_is_logged(
    library: str, kind: Any, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    run(library, an_application_uses_coredis_too, partial(kind, redis.url))
    assert [record.message for record in caplog.records if record.name == "coredis"] == ["from a handler"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "library"), [("classic", "asyncio"), ("streams", "trio")])
def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(
    kind: str, library: str, redis: RedisServer, start: Start
) -> None:
    (server,) = start(kind, library, 1)
    redis.command("CLIENT", "KILL", "SKIPME", "yes")
    server.wait_for_line("can be reached again")
    assert server.stop() == 0
    told = [line for line in server.lines if not line.startswith(("siocore ", "listening on"))]
    assert len(told) == 2, told
    assert all("WARNING siocore: the other servers can" in line for line in told), told
