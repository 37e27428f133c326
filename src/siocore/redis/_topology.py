"""Which server of Redis is for what: one for everything, or those of a Redis Cluster, each for its slots."""

from __future__ import annotations

from binascii import crc_hqx
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from coredis.exceptions import AskError, ClusterDownError, RedisError

from siocore.redis._address import Address
from siocore.redis._commands import bytes_of
from siocore.redis._connection import PipedConnection
from siocore.redis._inbound import Pipeline
from siocore.redis._resp import pack

__all__ = ["Topology", "find_topology"]


class Topology:
    """The servers, and the slots that each is for."""

    def __init__(self, ranges: list[tuple[int, Address]]) -> None:
        # Each is for the slots from its number on; the first number is 0.
        self._starts = [start for start, _ in ranges]
        self._ranges = [address for _, address in ranges]
        self.addresses = list(dict.fromkeys(self._ranges))

    def slot_of(self, key: str) -> int:
        """The slot of a key or of a sharded channel; 0 if there is one server."""
        return hash_slot(bytes_of(key)) if len(self.addresses) > 1 else 0

    def address_of(self, key: str | None) -> Address:
        """The server for a key or a sharded channel; for None, the same one every time."""
        if key is None or len(self.addresses) == 1:
            return self.addresses[0]
        return self._ranges[bisect_right(self._starts, self.slot_of(key)) - 1]

    def is_wrong(self, error: RedisError) -> bool:
        """Whether this is said by a server that is not the one for a slot any more."""
        return isinstance(error, (AskError, ClusterDownError))


async def find_topology(seed: Address, connect: Callable[[Address], Awaitable[PipedConnection]]) -> Topology:
    """Ask the server that is known for the others, if it is one of a cluster. Raises RedisError and OSError."""
    if not seed.cluster:
        return Topology([(0, seed)])
    connection = await connect(seed)
    answered = anyio.Event()
    replies: list[Any] = []

    def done(reply: Any) -> None:
        replies.append(reply)
        answered.set()

    await connection.send(pack([(b"CLUSTER", b"SLOTS")]), Pipeline(1, done))
    await answered.wait()
    if isinstance(replies[0], RedisError):
        raise replies[0]
    ranges = []
    for start, _, master, *_ in sorted(replies[0], key=lambda each: each[0]):
        # A server that does not know its own name stands for the one that was asked.
        host = master[0].decode() if master[0] else seed.host
        ranges.append((start, seed.at(host, master[1])))
    if not ranges:
        raise RedisError("the Redis Cluster has no slots yet")
    ranges[0] = (0, ranges[0][1])
    return Topology(ranges)


def hash_slot(key: bytes) -> int:
    """The slot of a key, as Redis' documentation has it ("Redis cluster specification", "Hash tags")."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % 16_384
