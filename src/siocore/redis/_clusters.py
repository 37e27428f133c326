"""The clusters that meet at Redis: each is one of ``siocore.cluster``, and the way to Redis."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from siocore.cluster.classic import ClassicCluster
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.python_socketio import PythonSocketIOCluster
from siocore.cluster.sharded import ShardedCluster
from siocore.cluster.streams import StreamsCluster
from siocore.redis._address import parse_address
from siocore.redis._driver import RedisDriver, Timing

__all__ = ["PubSub", "PythonSocketIO", "ShardedPubSub", "Streams"]


class _AtRedis(BrokerCluster):
    """What they have in common."""

    def __init__(
        self, url: str, *, ssl_context: ssl.SSLContext | None = None, timeout: float = 5.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self._driver = RedisDriver(self.broker, parse_address(url, ssl_context), Timing(timeout=timeout))

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep the connection to Redis: for whoever serves."""
        await self._driver.run(ready)


class PubSub(_AtRedis, ClassicCluster):
    """Redis Pub/Sub, with the wire of Node.js' @socket.io/redis-adapter: ``Server(adapter=PubSub("redis://..."))``.

    ``url`` is ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS (with ``ssl_context``), ``unix:///path``,
    or ``redis+cluster://host`` for one server of a Redis Cluster. ``timeout`` is how many seconds Redis has to answer.
    Other options are those of :class:`siocore.cluster.classic.ClassicCluster`.

    Raises ValueError for a URL that is none.
    """


class PythonSocketIO(_AtRedis, PythonSocketIOCluster):
    """The channel of python-socketio's Redis managers, to share clients with its servers while you move.

    ``url``, ``ssl_context`` and ``timeout`` are those of :class:`PubSub`; other options are those of
    :class:`siocore.cluster.python_socketio.PythonSocketIOCluster`, where it is also said what can't be done this way.

    Raises ValueError for a URL that is none.
    """


class ShardedPubSub(_AtRedis, ShardedCluster):
    """Redis' sharded Pub/Sub (Redis 7), with the wire of Node.js' ``createShardedAdapter``.

    ``url``, ``ssl_context`` and ``timeout`` are those of :class:`PubSub`; other options are those of
    :class:`siocore.cluster.sharded.ShardedCluster`.

    Raises ValueError for a URL that is none.
    """


class Streams(_AtRedis, StreamsCluster):
    """Redis streams, with the wire of Node.js' @socket.io/redis-streams-adapter 0.3; offers ``recovery``.

    ``url``, ``ssl_context`` and ``timeout`` are those of :class:`PubSub`; other options are those of
    :class:`siocore.cluster.streams.StreamsCluster`.

    Raises ValueError for a URL that is none.
    """
