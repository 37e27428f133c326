"""Where Redis is, and how to get in: what a URL says."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, unquote, urlsplit

from coredis.connection import TCPLocation, UnixDomainSocketLocation

from siocore.redis._connection import PipedConnection, PipedTCPConnection, PipedUnixConnection

__all__ = ["Address", "parse_address"]

_FORMS = "redis://[user:password@]host[:port][/db], rediss://... for TLS, redis+cluster://..., unix:///path"


@dataclass(frozen=True, slots=True)
class Address:
    """One server of Redis. ``cluster``: it is one of a Redis Cluster, which knows the others."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    # Kept out of representations, which end up in logs.
    password: str | None = field(default=None, repr=False)
    db: int = 0
    ssl_context: ssl.SSLContext | None = None
    cluster: bool = False

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def at(self, host: str, port: int) -> Address:
        """Another server of the same cluster."""
        return replace(self, host=host, port=port)

    def connection(self, connect_timeout: float) -> PipedConnection:
        """A connection that is to be run. ``connect_timeout`` is in seconds."""
        if self.path is not None:
            return PipedUnixConnection(
                UnixDomainSocketLocation(self.path),
                connect_timeout=connect_timeout,
                username=self.username,
                password=self.password,
                db=self.db,
            )
        return PipedTCPConnection(
            TCPLocation(self.host, self.port),
            connect_timeout=connect_timeout,
            username=self.username,
            password=self.password,
            db=self.db,
            ssl_context=self.ssl_context,
            socket_keepalive=True,
        )


def parse_address(url: str, ssl_context: ssl.SSLContext | None = None) -> Address:
    """The server that a URL names. ``ssl_context`` is for ``rediss://``; by default certificates are verified.

    Raises ValueError for a URL that names none.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss", "unix") or kind not in ("", "cluster") or (scheme == "unix" and kind):
        raise ValueError(f"not a URL of Redis: {parts.scheme}://...; the forms are {_FORMS}")
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    query = parse_qs(parts.query)
    database = (query.get("db") or [parts.path.strip("/") if scheme != "unix" else ""])[0] or "0"
    if not database.isdecimal():
        raise ValueError(f"the number of a database is expected, not {database!r}; the forms are {_FORMS}")
    if kind and database != "0":
        raise ValueError("a Redis Cluster has one database, 0")
    if scheme == "unix":
        if not parts.path:
            raise ValueError(f"a Unix socket has a path; the forms are {_FORMS}")
        return Address(path=unquote(parts.path), username=username, password=password, db=int(database))
    if scheme == "rediss" and ssl_context is None:
        ssl_context = ssl.create_default_context()
    if scheme == "redis" and ssl_context is not None:
        raise ValueError("ssl_context is for rediss://")
    try:
        port = parts.port or 6379
    except ValueError:
        raise ValueError(f"the port of Redis is a number up to 65535; the forms are {_FORMS}") from None
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=port,
        username=username,
        password=password,
        db=int(database),
        ssl_context=ssl_context,
        cluster=bool(kind),
    )
