"""Options and limits: frozen values, checked once, each default with its precedent or reason.

Durations are seconds (float), sizes are bytes (int).
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from siocore.browsers import Cookie, Cors, OriginRule
from siocore.overflow import policy_number
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.codec.parser import Parser

__all__ = [
    "MAX_WORKERS",
    "TRANSPORTS",
    "HeaderHook",
    "HttpCompression",
    "Limits",
    "PerMessageDeflate",
    "Recovery",
    "ServerOptions",
    "WebTransport",
    "Worker",
]

TRANSPORTS = ("polling", "websocket", "webtransport")
#: Two characters of each session's id say whose it is.
MAX_WORKERS = 4_096

#: Fills the dict with headers of an answer to the request.
HeaderHook = Callable[[dict[str, str], Request], object]


def random_id() -> str:
    """120 random bits from the operating system as 20 characters of base64url.

    The length matters: Node.js' cluster adapters tell a socket id from a room name by its 20 characters.
    """
    return secrets.token_urlsafe(15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer can make siocore hold or wait for. At the limit works; one over is refused as documented."""

    #: Largest inbound message, decoded: an HTTP body (413 above), a WebSocket message (close code 1009 above), and the
    #: sum of the attachments of one packet. Advertised to clients as maxPayload. engine.io: 1e6.
    max_payload: int = 1_000_000
    #: Binary attachments of one packet. socket.io-parser since 4.2.6: 10.
    max_attachments: int = 10
    #: Seconds from a binary packet's header to its last attachment.
    attachment_timeout: float = 30.0
    #: Frames of one fragmented WebSocket message. ws: 16,384; aiohttp: at least 1,024. Browsers do not fragment.
    max_fragments: int = 1_024
    #: Nesting of arrays and objects in JSON. JavaScript's own stack ends near 10^4, Python's near 10^3.
    max_json_depth: int = 128
    #: Characters of a namespace's name, and namespaces that one client may join. Names come from the peer.
    max_namespace_length: int = 256
    max_namespaces: int = 16
    #: Namespaces that clients have called into being. socket.io: no bound.
    max_dynamic_namespaces: int = 10_000
    #: Characters of an event's name.
    max_event_name: int = 256
    #: Head of an HTTP request: bytes (431 above) and number of headers. Node.js: 16 KiB; nginx: 4 × 8 KiB.
    max_head: int = 16_384
    max_headers: int = 100
    #: Chunks of one chunked body. A body of one-byte chunks costs 100 times its size to parse.
    max_chunks: int = 10_000
    #: Seconds for the head of a request. Node.js headersTimeout: 60; nginx client_header_timeout: 60; Apache: 20.
    head_timeout: float = 10.0
    #: Seconds that ``allow_request`` and ``generate_session_id`` may take together. socket.io's connectTimeout: 45.
    handshake_timeout: float = 10.0
    #: Seconds for the body of a request.
    body_timeout: float = 30.0
    #: Bytes per second that the body of a request for a hosted application must bring, once ``body_timeout`` has been
    #: used up by waiting for it. Apache's RequestReadTimeout: MinRate=500.
    min_body_rate: int = 500
    #: Seconds in which the reader of a hosted application's answer must accept something of it. nginx send_timeout: 60.
    send_timeout: float = 60.0
    #: Seconds that an idle HTTP connection is kept for another request. Node.js: 5; nginx: 75.
    keep_alive_timeout: float = 20.0
    #: Seconds for the rest of a WebSocket frame or fragmented message once its first byte is there.
    frame_timeout: float = 60.0
    #: Seconds for the WebSocket close handshake, and for the peer to read an error answer. ws: 30.
    close_timeout: float = 5.0
    #: Seconds that a closed polling session waits for a GET that carries its last packets. engine.io: 30.
    linger_timeout: float = 30.0
    #: Bytes that wait for one client. Above it the client is closed with reason "slow consumer".
    max_buffered: int = 1_000_000
    #: Below this many bytes, ``await socket.emit(...)`` does not wait. websockets' write_limit: 32 KiB.
    high_water: int = 65_536
    #: Handlers of one client that run at the same time. At the limit its events are kept.
    max_running_handlers: int = 64
    #: Bytes of events, about, that are kept for one client until handlers have ended; above it is not read.
    max_held: int = 1_000_000
    #: Acknowledgements that one socket owes us; one more emit_with_ack raises LocalProtocolError.
    max_pending_acks: int = 10_000
    #: Events that are kept for clients that may come back, and their bytes, in all namespaces together. The oldest go
    #: first, and whoever missed one of them starts anew. Node.js: no bound.
    max_recovery_events: int = 50_000
    max_recovery_log: int = 16_777_216
    #: Sockets that are gone and may come back, in all namespaces. Above it the one that has been away longest can't.
    max_recovery_sessions: int = 10_000

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                raise ValueError(f"Limits.{each.name} must be a positive number, not {value!r}")
            if each.type == "int" and not isinstance(value, int):
                raise ValueError(f"Limits.{each.name} counts, so it must be an int, not {value!r}")
            if each.type == "int" and value > sys.maxsize:
                raise ValueError(f"Limits.{each.name} must be at most {sys.maxsize}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCompression:
    """How answers over HTTP are compressed, for clients whose Accept-Encoding allows it."""

    #: Bytes from which on an answer is compressed. engine.io: 1024.
    threshold: int = 1024
    #: Effort, from 1 (fast) to 9 (small). zlib's own default, and so Node.js': 6.
    level: int = 6

    def __post_init__(self) -> None:
        _check_whole("HttpCompression", self, threshold=(0, sys.maxsize), level=(1, 9))


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMessageDeflate:
    """What is offered of WebSocket compression (RFC 7692), and what is done with it."""

    #: Bytes from which on a message is compressed. ws: 1024.
    threshold: int = 1024
    #: Effort, from 1 (fast) to 9 (small). zlib's own default, and so Node.js': 6.
    level: int = 6
    #: Memory of a compressor, 1 to 9, where 9 is fastest: 2 to the power of (9 + mem_level). zlib's own default: 8.
    mem_level: int = 8
    #: Whether what we send is compressed message by message. Broadcasts are then compressed once for all, and no
    #: compressor is kept for each client. ws: false.
    server_no_context_takeover: bool = True
    #: Whether clients are told to do the same, so that no decompressor is kept for each. ws: false.
    client_no_context_takeover: bool = True
    #: How far back, as a power of two, what we send may refer; a client may ask for less. zlib can't do 8.
    server_max_window_bits: int = 15
    #: The same for clients, as far as they let us choose.
    client_max_window_bits: int = 15

    def __post_init__(self) -> None:
        _check_whole(
            "PerMessageDeflate",
            self,
            threshold=(0, sys.maxsize),
            level=(1, 9),
            mem_level=(1, 9),
            server_max_window_bits=(9, 15),
            client_max_window_bits=(9, 15),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Connection state recovery: a client that comes back gets its id, its rooms and the events that it missed."""

    #: Seconds that a client may be away, from the moment at which its disconnection was noticed. socket.io: 120.
    max_disconnection: float = 120.0
    #: Whether a client that comes back is let in without middleware, and so without a look at its auth value.
    #: socket.io: True.
    skip_middlewares: bool = False

    def __post_init__(self) -> None:
        value: object = self.max_disconnection
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            raise ValueError(f"max_disconnection must be a positive number of seconds, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a server behaves. Names are those of Node.js' socket.io in Python spelling."""

    #: Where Engine.IO requests arrive. Node.js: /socket.io, and /engine.io for Engine.IO alone.
    path: str = "/socket.io/"
    #: "polling", "websocket" and "webtransport", in the order in which they are announced. The last needs ``serve`` to
    #: be told a certificate for HTTP/3.
    transports: tuple[str, ...] = ("polling", "websocket")
    #: Whether a polling client is offered the upgrade to WebSocket.
    allow_upgrades: bool = True
    #: Whether clients of Socket.IO 1 and 2 (Engine.IO 3) are let in. They show their secret session id to others, as
    #: their socket id. engine.io: off.
    allow_eio3: bool = False
    #: Called with the :class:`Request` of each handshake, and of nothing else, over either transport; may be async.
    #: What is false but not ``None`` refuses it (code 4), and so does raising :exc:`RequestRefused`.
    allow_request: Callable[[Request], object] | None = None
    #: Makes the id of a session from the handshake's request, instead of ``generate_id``; may be async. Engine.IO ids
    #: are secrets. 1 to 100 characters, those of base64url.
    generate_session_id: Callable[[Request], str | Awaitable[str]] | None = None
    #: A cookie with the session's id, set by the answer to the handshake: ``True`` for engine.io's ("io"), its name,
    #: or a :class:`Cookie`. engine.io: none.
    cookie: bool | str | Cookie | None = None
    #: A message that every client gets behind the OPEN packet, in the same answer: text or binary. engine.io: none.
    initial_packet: str | bytes | None = None
    #: Adds headers to the answer that opens a session: called with a dict to fill and the request, plain function.
    initial_headers: HeaderHook | None = None
    #: The same for every answer.
    headers: HeaderHook | None = None
    #: Seconds between a PONG and the next PING. engine.io: 25.
    ping_interval: float = 25.0
    #: Seconds that a client has to answer a PING. engine.io: 20.
    ping_timeout: float = 20.0
    #: Seconds from the opening of the upgrade's WebSocket to the UPGRADE packet. engine.io: 10.
    upgrade_timeout: float = 10.0
    #: Seconds in which a client must have joined a namespace. socket.io: 45.
    connect_timeout: float = 45.0
    #: Whether a namespace that a client has called into being ends with its last socket. socket.io: False, so that it
    #: keeps every name that any client ever asked for.
    cleanup_empty_child_namespaces: bool = True
    #: Which Origin headers are let in: ``None`` for the same host only, ``"*"`` for all, or a list of origins.
    #: Short for ``cors=Cors(origins=...)``, with credentials unless it is ``"*"``.
    cors_origins: OriginRule | None = None
    #: The same, with all that can be said to browsers of other origins.
    cors: Cors | None = None
    #: Whether the browser bundle is served at ``<path>/socket.io.js``.
    serve_client: bool = True
    #: A folder with the browser bundle, instead of the one in the package (environment: SIOCORE_CLIENT_DIST).
    client_dist: str | os.PathLike[str] | None = None
    #: Compression of long-polling answers and files. engine.io's httpCompression: on.
    http_compression: HttpCompression | bool = True
    #: Compression of WebSocket messages: memory and time for bytes. engine.io's perMessageDeflate: off.
    per_message_deflate: PerMessageDeflate | bool = False
    #: Makes session and socket ids. They are secrets: at least 96 random bits.
    generate_id: Callable[[], str] = field(default=random_id)
    #: How Socket.IO packets are written: ``None`` as the protocol says, "msgpack", or a :class:`siocore.Parser`.
    #: Clients must have the same one. Node.js: socket.io-parser.
    parser: Parser | str | None = None
    #: What becomes of an event for a client for which ``Limits.max_buffered`` bytes wait: "close" the client, let the
    #: event "wait" until it is awaited and there is room, "drop_volatile" events, or "drop_oldest".
    slow_consumer: str = "close"
    #: Connection state recovery: ``True`` for the defaults of :class:`Recovery`. socket.io: off.
    recovery: Recovery | bool | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in ("ping_interval", "ping_timeout", "upgrade_timeout", "connect_timeout"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
        for name, kind in (("http_compression", HttpCompression), ("per_message_deflate", PerMessageDeflate)):
            value = getattr(self, name)
            if not isinstance(value, (kind, bool)):
                raise ValueError(f"{name} must be a bool or a {kind.__name__}, not {value!r}")
            if value is True:
                object.__setattr__(self, name, kind())
        path = self.path
        if not path.startswith("/") or "?" in path or "#" in path:
            raise ValueError(f"path must start with '/' and have no query, not {path!r}")
        if not path.endswith("/"):
            object.__setattr__(self, "path", path + "/")
        transports = tuple(self.transports)
        if not transports or not set(transports) <= set(TRANSPORTS):
            known = ", ".join(map(repr, TRANSPORTS))
            raise ValueError(f"transports must be a list of {known}, not {self.transports!r}")
        object.__setattr__(self, "transports", transports)
        policy_number(self.slow_consumer)
        parser: object = self.parser
        if parser not in (None, "msgpack") and not (hasattr(parser, "encode") and hasattr(parser, "decoder")):
            raise ValueError(f"parser must be None, 'msgpack' or a siocore.Parser, not {parser!r}")
        recovery = self.recovery
        if isinstance(recovery, bool):
            object.__setattr__(self, "recovery", Recovery() if recovery else None)
        elif recovery is not None and not isinstance(recovery, Recovery):
            raise ValueError(f"recovery must be a siocore.Recovery, True or None, not {recovery!r}")
        if self.cors_origins is not None:
            if self.cors is not None:
                raise ValueError("cors_origins is short for cors: give one of them")
            cors = Cors(origins=self.cors_origins, credentials=self.cors_origins != "*")
            object.__setattr__(self, "cors", cors)
        if self.initial_packet is not None and not isinstance(self.initial_packet, (str, bytes)):
            raise ValueError(f"initial_packet must be str or bytes, not {self.initial_packet!r}")
        object.__setattr__(self, "cookie", _cookie(self.cookie))
        for name in ("allow_request", "generate_session_id", "initial_headers", "headers"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ValueError(f"{name} must be a function, not {value!r}")


def _cookie(value: object) -> Cookie | None:
    if value is None or value is False or isinstance(value, Cookie):
        return value or None
    if value is True:
        return Cookie()
    if isinstance(value, str):
        return Cookie(name=value)
    raise ValueError(f"cookie must be True, a name or a Cookie, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The place of one process among several that serve together on one machine: ``serve(io, worker=Worker(...))``.

    ``siocore serve --workers`` makes these. Whoever manages processes otherwise gives each the same ``folder`` and
    ``count``, and an ``index`` of its own from 0 on. Raises ValueError for an index that there is not.
    """

    index: int
    count: int
    #: Where the workers find each other: a folder that only their user can enter.
    folder: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_WORKERS:
            raise ValueError(f"there can be 1 to {MAX_WORKERS} workers, not {self.count!r}")
        if not 0 <= self.index < self.count:
            raise ValueError(f"the index of one of {self.count} workers is 0 to {self.count - 1}, not {self.index!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebTransport:
    """The certificate for WebTransport: ``serve(io, ..., webtransport=WebTransport(certificate="cert.pem"))``.

    Clients reach it by HTTP/3, at the port over UDP that they use over TCP. Both are PEM files; without
    ``private_key``, the key is in the certificate's file. Needs the extra ``siocore[webtransport]``, and
    ``"webtransport"`` among ``ServerOptions.transports``.
    """

    certificate: str | os.PathLike[str]
    private_key: str | os.PathLike[str] | None = None


def _check_whole(owner: str, options: object, **ranges: tuple[int, int]) -> None:
    for name, (least, most) in ranges.items():
        value = getattr(options, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{owner}.{name} must be a whole number from {least} to {most}, not {value!r}")
