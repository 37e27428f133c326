"""Where a client connects to: the URL that it was given, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Target", "parse_url"]

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One origin, and the way to it. Sockets with equal targets can share a connection."""

    #: Name or address, without the brackets of IPv6.
    host: str
    port: int
    #: Whether it is TLS.
    secure: bool
    #: Connect to this Unix socket instead; ``host`` and ``port`` are what the Host header and TLS say.
    unix_path: str | None = None
    #: URL of an HTTP proxy, for the CONNECT method: ``http://user:password@proxy:3128``.
    proxy: str | None = None
    #: Whether the environment says which proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), if ``proxy`` is None.
    trust_env: bool = False
    #: An ``ssl.SSLContext``; None for one that verifies the server's certificate and name.
    ssl_context: Any = None
    #: The name that the server's certificate must have, if it is not ``host``.
    server_hostname: str | None = None
    #: The local address to connect from.
    local_address: str | None = None

    @property
    def authority(self) -> str:
        """The value of the Host header: without the port where that is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """``https://example.org:3000``, for messages."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"


def parse_url(url: str) -> tuple[str, int, bool, str, list[tuple[str, str]]]:
    """Host, port, whether it is TLS, path (the namespace in Socket.IO) and query parameters of a URL.

    Raises :exc:`ValueError`, with a sentence that says what to write instead.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ValueError(f"a URL starts with http://, https://, ws:// or wss:// and a host, not {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user name is not supported: put credentials into auth= or headers=")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"the port of a URL is a number up to 65535: {url!r}") from None
    if not parts.hostname:
        raise ValueError(f"a URL needs a host: {url!r}")
    if parts.fragment:
        raise ValueError(f"a URL of a server has no fragment: {url!r}")
    secure = parts.scheme in ("https", "wss")
    query = parse_qsl(parts.query, keep_blank_values=True)
    return parts.hostname, port or _PORTS[parts.scheme], secure, parts.path or "/", query
