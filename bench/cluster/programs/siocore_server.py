"""siocore in a cluster: ``siocore_server.py trio|asyncio <kind> <URL of Redis>``."""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial
from typing import Any

import siocore
import siocore.redis

CLUSTERS: dict[str, Any] = {
    "classic": siocore.redis.PubSub,
    "sharded": siocore.redis.ShardedPubSub,
    "streams": siocore.redis.Streams,
    "channel": siocore.redis.PythonSocketIO,
}


def server(kind: str, url: str) -> siocore.Server:
    io = siocore.Server(adapter=CLUSTERS[kind](url))

    @io.on("enter")
    async def enter(client: siocore.Socket) -> str:
        client.join("there")
        return "entered"

    @io.on("publish")
    async def publish(client: siocore.Socket, first: int, count: int, text: str) -> None:
        for number in range(first, first + count):
            io.to("there").emit("news", number, text)

    return io


def main(loop: str, kind: str, url: str) -> None:
    io = server(kind, url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("listening", listener.getsockname()[1], flush=True)
        if loop == "trio":
            import trio

            import siocore.trio

            trio.run(partial(siocore.trio.serve, io, sockets=[listener]))
            return
        import siocore.asyncio

        asyncio.run(siocore.asyncio.serve(io, sockets=[listener]))


main(*sys.argv[1:])
