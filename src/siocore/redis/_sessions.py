"""Sessions that any of several servers may be asked for, over Redis."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from siocore.endpoint.shared_sessions import SharedSessions as _SharedSessions
from siocore.redis._address import parse_address
from siocore.redis._driver import RedisDriver, Timing

__all__ = ["SharedSessions"]


class SharedSessions(_SharedSessions):
    """Long-polling and upgrades behind a load balancer that keeps no client at one server.

    ``Server(sessions=SharedSessions("redis://..."))``, and the same for ``EngineServer``. Servers of Node.js with
    @socket.io/cluster-engine can be among them. ``url``, ``ssl_context`` and ``timeout`` are those of
    :class:`siocore.redis.PubSub`; ``redis+cluster://`` is not one of them, since a Redis Cluster does not tell whether
    somebody has received what is published. The other parameters are those of
    :class:`siocore.endpoint.shared_sessions.SharedSessions`.

    Each request that arrives at another server than its session's costs it one or two messages through Redis. A client
    that begins with long-polling is announced to the application ``delayed_connection_timeout`` seconds later, unless
    it has upgraded by then: a session that moves to the server that has its WebSocket costs nothing more.

    Raises ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        channel_prefix: str = "engine.io",
        response_timeout: float = 1.0,
        delayed_connection_timeout: float = 0.3,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        super().__init__(
            channel_prefix=channel_prefix,
            response_timeout=response_timeout,
            delayed_connection_timeout=delayed_connection_timeout,
        )
        address = parse_address(url, ssl_context)
        if address.cluster:
            raise ValueError("shared sessions need a single Redis, not a Redis Cluster: redis://host instead")
        self._driver = RedisDriver(self.broker, address, Timing(timeout=timeout))

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep the connection to Redis: for whoever serves."""
        await self._driver.run(ready)
