"""The ASGI application: which requests are ours, and where they go."""

from __future__ import annotations

import asyncio
import sys
from contextvars import Context, copy_context
from urllib.parse import quote

from siocore._driver.interfaces import services_of
from siocore.application import EngineServer, Server
from siocore.asgi._exchange import HttpExchange
from siocore.asgi._leader import AsgiLeader
from siocore.asgi._lifespan import run_lifespan
from siocore.asgi._types import ASGIApplication, AsgiHost, Receive, Scope, Send
from siocore.asgi._websocket import WebSocketChannel
from siocore.request import Request

__all__ = ["ASGIApp"]


class ASGIApp:
    """A :class:`siocore.Server` or :class:`siocore.EngineServer` as an ASGI application.

    Requests for the Engine.IO path, the browser bundle and what ``add_resource`` has added are answered; all others,
    and the lifespan, go to ``other_app``. Without one they are answered 404.

    ``path`` is where the Engine.IO requests come in, below the ``root_path`` that the server or a framework names;
    by default that of ``io``. An application without ``path`` and ``other_app`` that is mounted somewhere takes its
    mount point for that path, whatever its name.

    ``grace`` is how many seconds handlers have to finish when the lifespan ends, or :meth:`shutdown` is called.

    Whether asyncio or trio runs is found out with the first request.
    """

    def __init__(
        self,
        io: Server | EngineServer,
        other_app: ASGIApplication | None = None,
        *,
        path: str | None = None,
        grace: float = 5.0,
    ) -> None:
        if path is not None:
            if not path.startswith("/") or "?" in path or "#" in path:
                raise ValueError(f"path must start with '/' and have no query, not {path!r}")
            path = path.rstrip("/") + "/"
        self._io = io
        self._other_app = other_app
        self._engine_path = io.options.path
        self._path = self._engine_path if path is None else path
        self._takes_all = path is None and other_app is None
        self._grace = grace
        self._context: Context = copy_context()
        self._leader: AsgiLeader | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" or kind == "websocket":
            path = self._own_path(scope)
            if path is None:
                if self._other_app is not None:
                    await self._other_app(scope, receive, send)
                    return
                path = scope["path"]
            leader = self.start()
            request = _request(scope, path if path == self._engine_path else quote(path))
            if kind == "http":
                await HttpExchange(leader, request).serve(receive, send)
            else:
                subprotocols = scope.get("subprotocols")
                can_answer = "websocket.http.response" in (scope.get("extensions") or ())
                channel = WebSocketChannel(leader, request, subprotocols[0] if subprotocols else None, can_answer)
                await channel.serve(receive, send)
        elif kind == "lifespan":
            await run_lifespan(self, self._other_app, scope, receive, send)
        elif self._other_app is not None:
            await self._other_app(scope, receive, send)
        else:
            raise RuntimeError(f"siocore does not know the ASGI scope {kind!r}")

    # Life -----------------------------------------------------------------------------------------------------

    def start(self) -> AsgiLeader:
        """Make sure that somebody runs handlers and timers in this event loop. The first request does it, too.

        Raises RuntimeError if the application is served elsewhere, or has failed.
        """
        leader = self._leader
        if leader is None:
            leader = self._leader = self._new_leader()
        elif leader.host.is_over:
            # Nobody has told us: there was no lifespan.
            leader.forget()
            leader = self._leader = self._new_leader()
        elif not leader.host.is_here:
            raise RuntimeError("this application is being served by another event loop; make one for each")
        if leader.failure is not None:
            raise RuntimeError("siocore has failed; the log says why") from leader.failure
        return leader

    async def shutdown(self) -> None:
        """Tell clients that the server stops, let handlers finish, cancel those that don't.

        The lifespan calls it. A mounted application has none: call it in that of the application around it.
        """
        leader, self._leader = self._leader, None
        if leader is not None and leader.host.is_here:
            await leader.stop_serving(self._grace)
        elif leader is not None:
            leader.forget()

    def _new_leader(self) -> AsgiLeader:
        leader = AsgiLeader(self._io, self._io.protocol, _host(self._context))
        leader.start(services_of(self._io))
        return leader

    # Paths ----------------------------------------------------------------------------------------------------

    def _own_path(self, scope: Scope) -> str | None:
        """The path as the endpoint knows it, below ``io``'s own; ``None`` if the request is not for us."""
        full: str = scope["path"]
        root: str = scope.get("root_path", "").rstrip("/")
        # Servers and frameworks do not agree on whether the path has the root path in front of it.
        below = full[len(root) :] if root and (full == root or full.startswith(root + "/")) else full
        for path in (below, full):
            if path == self._path or path == self._path[:-1]:
                return self._engine_path
            if path.startswith(self._path):
                return self._engine_path + path[len(self._path) :]
        if below in self._io.protocol.resources:
            return below
        if self._takes_all:
            if below in ("", "/"):
                return self._engine_path
            # The bundle, next to the mount point.
            beside = self._engine_path + below[1:]
            if beside in self._io.protocol.resources:
                return beside
        return None


def _request(scope: Scope, path: str) -> Request:
    query: bytes = scope.get("query_string") or b""
    client = scope.get("client")
    return Request(
        scope.get("method", "GET"),
        f"{path}?{query.decode('latin-1')}" if query else path,
        [(name, value) for name, value in scope["headers"]],
        tuple(client) if client else None,
        scope.get("scheme") in ("https", "wss"),
    )


def _host(context: Context) -> AsgiHost:
    """The event loop that runs now."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from siocore.asgi._on_trio import AsgiTrioHost

        return AsgiTrioHost(context)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("siocore runs on asyncio and trio; neither of them runs here") from None
    from siocore.asgi._on_asyncio import AsgiAsyncioHost

    return AsgiAsyncioHost(context)
