"""Servers that meet at a real Redis which refuses, throws them out, or is told names that are no Unicode."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import siocore
from redis_scenarios import connect, run, served
from redis_servers import RedisServer
from siocore import Server, Socket
from siocore.redis import PubSub, ShardedPubSub, Streams
from test_redis import LIBRARIES, Heard, Make, Node, Queue, with_two_nodes

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


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_no_unicode_harm_nobody(library: str, kind: Any, redis: RedisServer) -> None:
    run(library, names_that_are_no_unicode, partial(kind, redis.url))


@pytest.mark.parametrize("library", LIBRARIES)
def test_clients_come_back_with_ids_that_are_no_unicode(library: str, redis: RedisServer) -> None:
    run(library, an_id_that_is_no_unicode, redis.url)
