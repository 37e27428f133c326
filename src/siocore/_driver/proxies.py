"""Which proxy leads to a server, and who it is."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from siocore.target import Target

__all__ = ["Proxy", "proxy_for"]

_USAGE = "a proxy has a URL like http://user:password@proxy:3128"


class Proxy(NamedTuple):
    """An HTTP proxy that connects with the CONNECT method, and who asks it."""

    host: str
    port: int
    user: str | None
    password: str | None

    def __str__(self) -> str:
        """For people: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def proxy_for(target: Target) -> Proxy | None:
    """The proxy to use, from ``target.proxy`` or from the environment if ``target.trust_env``; ``None`` for none.

    Raises :exc:`ValueError`, with a sentence, for a proxy that can't be used.
    """
    if target.unix_path is not None:
        return None
    url = target.proxy
    if url is None and target.trust_env:
        url = _from_environment(target)
    return _parse(url) if url else None


def _from_environment(target: Target) -> str | None:
    # Here and not above: it takes longer to import than all of siocore, and few want it.
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    proxies = getproxies_environment()
    host = f"[{target.host}]" if ":" in target.host else target.host
    if proxy_bypass_environment(f"{host}:{target.port}", proxies) or proxy_bypass_environment(target.host, proxies):
        return None
    return proxies.get("https" if target.secure else "http") or proxies.get("all")


def _parse(url: str) -> Proxy:
    # Environments often have it without the scheme.
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:
        raise ValueError(f"{_USAGE}; not this one") from None
    if parts.scheme != "http":
        raise ValueError(f"{_USAGE}; {parts.scheme}:// is not supported")
    try:
        port = parts.port or 80
    except ValueError:
        raise ValueError("the port of a proxy's URL is a number up to 65535") from None
    if not parts.hostname:
        raise ValueError(f"{_USAGE}; this one has no host")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Proxy(parts.hostname, port, user, password)
