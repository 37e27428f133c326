"""Hosting an ASGI application (HTTP, ASGI 3.0, spec version 2.4) for every path that is not the endpoint's own.

The application's coroutine is driven like that of a handler: one that never suspends costs no task.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from email.utils import formatdate
from typing import Any, TypeAlias
from urllib.parse import unquote

from siocore._driver.interfaces import Address
from siocore.endpoint.exchange import Exchange
from siocore.errors import LocalProtocolError
from siocore.request import Request
from siocore.waiting import Sent

__all__ = ["ASGIApplication", "Hosting", "Message", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("siocore")

_EVERYWHERE = ("0.0.0.0", "::")


class ClientGone(ConnectionResetError):
    """Raised by ``send``: nobody reads the answer any more."""


class Hosting:
    """Answers exchanges by calling an ASGI application.

    ``addresses`` are those at which the driver listens, ``state`` is what the application's lifespan has put there.
    """

    def __init__(
        self,
        app: ASGIApplication,
        *,
        state: dict[str, Any],
        root_path: str = "",
        max_body: int | None = None,
        addresses: Sequence[Address] = (),
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if root_path and (not root_path.startswith("/") or root_path.endswith("/") or not root_path.isascii()):
            raise ValueError(f"root_path must start with '/', and not end with it, not {root_path!r}")
        if max_body is not None and max_body < 0:
            raise ValueError(f"max_body must be a number of bytes, not {max_body!r}")
        self._app = app
        self._state = state
        self._root_path = root_path
        self._max_body = math.inf if max_body is None else max_body
        self._server = _only_address(addresses)
        self._wall_clock = wall_clock
        self._second = -1
        self._date = b""

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answer an exchange."""
        exchange.max_body = self._max_body
        return self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        complete = False

        async def receive() -> Message:
            while True:
                piece = exchange.read()
                if piece is not None:
                    return {"type": "http.request", "body": piece[0], "more_body": piece[1]}
                if not exchange.active or exchange.peer_ended:
                    return {"type": "http.disconnect"}
                waiter = exchange.wait_for_peer()
                try:
                    await waiter.wait()
                finally:
                    exchange.forget(waiter)

        async def send(message: Message) -> None:
            nonlocal complete
            kind = message["type"]
            if exchange.gone:
                raise ClientGone("the client has gone")
            if kind == "http.response.start":
                exchange.start(message["status"], message.get("headers", ()), self._http_date())
                return
            if kind != "http.response.body" or complete:
                raise LocalProtocolError(f"{kind!r} is not a message to be sent {'now' if complete else 'here'}")
            more = bool(message.get("more_body", False))
            exchange.write(_as_bytes(message.get("body", b"")), more)
            complete = not more
            try:
                if exchange.buffered > exchange.high_water:
                    await Sent(exchange)
            except BaseException:
                # What is on its way may leave, but nobody is there to say when it has.
                if complete:
                    exchange.finish(close=True)
                raise
            if complete:
                exchange.finish()

        try:
            await self._app(self._scope(exchange), receive, send)
        except Exception as error:
            if not _is_client_gone(error):
                logger.error("the hosted application failed on %s", _shown(exchange.request), exc_info=error)
            exchange.fail()
        except BaseException:
            exchange.fail()
            raise
        if exchange.active and exchange.peer_ended:
            # It was told so, and has nobody to answer.
            exchange.fail()
        elif exchange.active:
            what = "the rest of its answer" if exchange.begun else "an answer"
            logger.error("the hosted application returned without %s to %s", what, _shown(exchange.request))
            exchange.fail()

    def _scope(self, exchange: Exchange) -> Scope:
        request = exchange.request
        raw_path = path = self._root_path + request.path
        peer = request.peer
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": exchange.http_version,
            "method": request.method.upper(),
            "scheme": "https" if request.secure else "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path.encode("ascii"),
            "query_string": request.query_string.encode("ascii"),
            "root_path": self._root_path,
            "headers": list(request.raw_headers()),
            "client": (peer[0], peer[1]) if isinstance(peer, tuple) else None,
            "server": self._server or _local_address(exchange.transport),
            "state": self._state.copy(),
            "extensions": {},
        }

    def _http_date(self) -> bytes:
        """RFC 9110, section 6.6.1: an origin server with a clock sends a Date."""
        second = int(self._wall_clock())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date


def _as_bytes(body: object) -> bytes:
    if type(body) is bytes:
        return body
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"the body of an answer is bytes, not {type(body).__name__}")
    return bytes(body)


def _only_address(addresses: Sequence[Address]) -> tuple[str, int | None] | None:
    """Where every connection comes in, if that is one place."""
    if len(addresses) != 1:
        return None
    [address] = addresses
    if isinstance(address, str):
        return address, None
    return None if address[0] in _EVERYWHERE else address


def _local_address(transport: Any) -> tuple[str, int | None] | None:
    sock = getattr(transport, "sock", None)
    if sock is None:
        return None
    name = sock.getsockname()
    return (name[0], name[1]) if isinstance(name, tuple) else (name, None)


def _is_client_gone(error: BaseException) -> bool:
    """Whether this is what became of a ClientGone on its way through the application."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ClientGone):
            return True
        if isinstance(seen, BaseExceptionGroup):
            return all(_is_client_gone(each) for each in seen.exceptions)
        seen = seen.__cause__ or seen.__context__
    return False


def _shown(request: Request) -> str:
    # A bound and %r: paths come from peers and logs go to terminals.
    return f"{request.method[:20]} {request.path[:200]!r}"
