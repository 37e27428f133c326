"""Options of clients: frozen values, checked once, each default with its precedent or reason.

Durations are seconds (float), sizes are bytes (int).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from siocore.options import Limits, PerMessageDeflate
from siocore.target import Target

if TYPE_CHECKING:
    from siocore.codec.parser import Parser

__all__ = ["CLIENT_LIMITS", "CLIENT_TRANSPORTS", "ClientOptions", "CookieStore", "EngineClientOptions"]

CLIENT_TRANSPORTS = ("polling", "websocket")

#: A client chooses its servers, and has few: what they send, and what waits for them, may be larger than on a server.
CLIENT_LIMITS = Limits(max_payload=16_777_216, max_buffered=16_777_216)

_random = random.SystemRandom()


class CookieStore(Protocol):
    """Keeps the cookies of answers and finds those of requests (RFC 6265, section 5)."""

    def header(self, url: str) -> str | None:
        """The value of the Cookie header for a request to ``url``."""

    def store(self, url: str, set_cookie: Sequence[str]) -> None:
        """Keep what the Set-Cookie headers of an answer from ``url`` say. Never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineClientOptions:
    """How an Engine.IO client behaves. Names are those of Node.js' engine.io-client in Python spelling."""

    #: The path of the server. engine.io-client: /engine.io.
    path: str = "/engine.io/"
    #: Whether ``path`` gets a slash at its end, if it has none.
    add_trailing_slash: bool = True
    #: In the order in which they are tried; the first one opens the session.
    transports: tuple[str, ...] = CLIENT_TRANSPORTS
    #: Whether a polling session goes over to WebSocket.
    upgrade: bool = True
    #: Whether a connection that succeeded over WebSocket makes the next one begin with it. engine.io-client: False.
    remember_upgrade: bool = False
    #: Whether the other transports are tried where the first one can't open a session. engine.io-client: False.
    try_all_transports: bool = False
    #: Query parameter that keeps caches out, and whether it is there: ``None`` for polling only.
    timestamp_param: str = "t"
    timestamp_requests: bool | None = None
    #: Whether binary messages go as base64, for servers or proxies that spoil bytes.
    force_base64: bool = False
    #: Query parameters of every request.
    query: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    #: Headers of every request. engine.io-client: extraHeaders.
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    #: The same, for one transport only: ``{"websocket": {"headers": {...}}}``.
    transport_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: WebSocket subprotocols that are offered (RFC 6455, section 1.9).
    protocols: Sequence[str] = ()
    #: Seconds that a polling request may take; ``None`` for as long as the heartbeat allows. engine.io-client: 0, none.
    request_timeout: float | None = None
    #: Seconds in which the session must be open. socket.io-client's ``timeout``: 20.
    timeout: float | None = 20.0
    #: Cookies that servers set are kept and sent: ``True``, or a ``http.cookiejar.CookieJar`` of one's own.
    #: engine.io-client's withCredentials: False.
    cookies: object = False
    #: Whether compression of WebSocket messages is offered (RFC 7692). engine.io-client: offered; here memory and time
    #: are given only to those who ask.
    per_message_deflate: PerMessageDeflate | bool = False
    #: Revision of Engine.IO: 4, 3 for servers of Socket.IO 1 and 2, or "auto": 4, and 3 if the server says that it
    #: does not know that.
    protocol: int | str = 4
    #: A Unix socket to connect to, instead of the URL's host and port.
    unix_path: str | os.PathLike[str] | None = None
    #: URL of an HTTP proxy.
    proxy: str | None = None
    #: Whether the environment chooses the proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
    trust_env: bool = False
    #: An ``ssl.SSLContext``. ``None``: the system's authorities, certificate and name are verified.
    ssl_context: Any = None
    #: The name in the server's certificate, if it is not the URL's host.
    server_hostname: str | None = None
    #: The local address to connect from.
    local_address: str | None = None
    #: Numbers from 0 to 1, for back-off, and bytes for the masks of WebSocket frames, which others must not foresee.
    random: Callable[[], float] = _random.random
    random_bytes: Callable[[int], bytes] = os.urandom
    #: What a server can make the client hold or wait for.
    limits: Limits = CLIENT_LIMITS

    def __post_init__(self) -> None:
        path = self.path
        if not path.startswith("/") or "?" in path or "#" in path:
            raise ValueError(f"path must start with '/' and have no query, not {path!r}")
        if self.add_trailing_slash and not path.endswith("/"):
            object.__setattr__(self, "path", path + "/")
        transports = tuple(self.transports)
        if not transports or not set(transports) <= set(CLIENT_TRANSPORTS):
            known = " and ".join(map(repr, CLIENT_TRANSPORTS))
            raise ValueError(f"transports must be a list of {known}, not {self.transports!r}")
        object.__setattr__(self, "transports", transports)
        for name in ("request_timeout", "timeout"):
            _check_seconds(name, getattr(self, name))
        if self.protocol not in (3, 4, "auto"):
            raise ValueError(f"protocol must be 4, 3 or 'auto', not {self.protocol!r}")
        context: object = self.ssl_context
        if context is not None and not hasattr(context, "wrap_bio"):
            raise ValueError(f"ssl_context must be an ssl.SSLContext or None, not {context!r}")
        deflate = self.per_message_deflate
        if not isinstance(deflate, (PerMessageDeflate, bool)):
            raise ValueError(f"per_message_deflate must be a bool or a PerMessageDeflate, not {deflate!r}")
        if deflate is True:
            object.__setattr__(self, "per_message_deflate", PerMessageDeflate())

    def target(self, host: str, port: int, secure: bool) -> Target:
        """Where a URL with these leads, by the way that the options say."""
        return Target(
            host=host,
            port=port,
            secure=secure,
            unix_path=None if self.unix_path is None else os.fspath(self.unix_path),
            proxy=self.proxy,
            trust_env=self.trust_env,
            ssl_context=self.ssl_context,
            server_hostname=self.server_hostname,
            local_address=self.local_address,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(EngineClientOptions):
    """How a Socket.IO client behaves. Names are those of Node.js' socket.io-client in Python spelling."""

    #: The path of the server. socket.io-client: /socket.io.
    path: str = "/socket.io/"
    #: What goes with CONNECT: a dict, or what returns one, plain function or ``async def``, asked for each connection.
    auth: Mapping[str, Any] | Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]] | None = None
    #: Whether the socket connects as soon as it is made. socket.io-client: True.
    auto_connect: bool = True
    #: Whether a connection is made that is shared with no other socket.
    force_new: bool = False
    #: Whether sockets for other namespaces of the same server share the connection. socket.io-client: True.
    multiplex: bool = True
    #: Whether a connection that is lost is made again.
    reconnection: bool = True
    #: How often that is tried before ``reconnect_failed``; ``None`` for ever.
    reconnection_attempts: int | None = None
    #: Seconds before the first attempt, doubled for each further one up to the maximum. socket.io-client: 1 and 5.
    reconnection_delay: float = 1.0
    reconnection_delay_max: float = 5.0
    #: Each delay is changed by a random part of itself, up to this one, also at the maximum. socket.io-client: 0.5.
    randomization_factor: float = 0.5
    #: How often an event is sent again that was not acknowledged; ``None``: events are sent once.
    retries: int | None = None
    #: Seconds that an acknowledgement may take, unless the call says otherwise. Retries need it.
    ack_timeout: float | None = None
    #: How Socket.IO packets are written: ``None`` as the protocol says, "msgpack", or a :class:`siocore.Parser`.
    parser: Parser | str | None = None
    #: Seconds since 1970. Only compared with the times in the offsets of servers that can recover a connection.
    wall_clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        # Not super(): a dataclass with slots is another class than the one that was written here.
        EngineClientOptions.__post_init__(self)
        for name in ("reconnection_delay", "reconnection_delay_max", "ack_timeout"):
            _check_seconds(name, getattr(self, name))
        for name in ("reconnection_attempts", "retries"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"{name} must be a whole number that is not negative, or None, not {value!r}")
        if not 0 <= self.randomization_factor <= 1:
            raise ValueError(f"randomization_factor must be from 0 to 1, not {self.randomization_factor!r}")
        if self.retries and self.ack_timeout is None:
            raise ValueError("retries need ack_timeout: the seconds after which an event is sent again")
        parser: object = self.parser
        if parser not in (None, "msgpack") and not (hasattr(parser, "encode") and hasattr(parser, "decoder")):
            raise ValueError(f"parser must be None, 'msgpack' or a siocore.Parser, not {parser!r}")
        auth: object = self.auth
        if auth is not None and not callable(auth) and not isinstance(auth, Mapping):
            raise ValueError(f"auth must be a dict, or a function that returns one, not {auth!r}")


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise ValueError(f"{name} must be a positive number of seconds, or None, not {value!r}")
