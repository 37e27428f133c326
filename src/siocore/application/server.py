"""The Socket.IO server that applications make: ``io = siocore.Server()``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from re import Pattern
from typing import Any, TypeVar, overload

from siocore.application.calls import Calls, runnable
from siocore.application.client_bundle import bundle_resources
from siocore.application.dispatcher import Dispatcher
from siocore.application.gatekeeper import Gatekeeper
from siocore.endpoint.server import ServerProtocol
from siocore.endpoint.shared_sessions import SharedSessions
from siocore.events import Event
from siocore.options import ServerOptions
from siocore.overflow import Delayed
from siocore.socketio.acks import BroadcastAck, ServerSideAck
from siocore.socketio.adapter import Adapter, SocketList
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.listeners import Handler
from siocore.socketio.namespace import Namespace
from siocore.socketio.parent import NamespacePredicate, ParentNamespace
from siocore.socketio.socket import Socket
from siocore.waiting import Ready

__all__ = ["Server"]

#: Makes the adapter of a server that asks for none; None for one in memory.
_default_adapter: Callable[[], Callable[[], Adapter] | None] = lambda: None  # noqa: E731

_H = TypeVar("_H", bound=Callable[..., Any])


def use_by_default(make: Callable[[], Callable[[], Adapter] | None]) -> None:
    """Servers that are made from now on without an adapter get what ``make`` makes: for one of several workers."""
    global _default_adapter
    _default_adapter = make


class Server(Calls):
    """A Socket.IO server. Its own methods are those of the namespace ``/``.

    Options are those of :class:`siocore.ServerOptions`, as keywords: ``Server(ping_interval=10)``. ``adapter`` makes
    the adapter of each namespace; for a cluster it is one of those of ``siocore.redis``. ``sessions`` lets any server
    of a cluster answer the requests of a session: ``siocore.redis.SharedSessions``. Serve it with
    ``siocore.trio.serve`` or ``siocore.asyncio.serve``.
    """

    def __init__(
        self,
        *,
        adapter: Callable[[], Adapter] | None = None,
        sessions: SharedSessions | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if adapter is None:
            adapter = _default_adapter()
        self.protocol = ServerProtocol(ServerOptions(**options), adapter=adapter)
        if sessions is not None:
            sessions.bind(self.protocol)
        self._root = self.protocol.of("/")
        self._dispatcher = Dispatcher(self, self._root, Gatekeeper(self, self.protocol))
        self.protocol.resources.update(bundle_resources(self.protocol.options))

    @property
    def options(self) -> ServerOptions:
        return self.protocol.options

    @property
    def adapter_up(self) -> bool:
        """Whether the other servers of the cluster can be reached; True where there is no cluster."""
        return self._root.adapter.up

    @property
    def sockets(self) -> Namespace:
        """The namespace ``/``."""
        return self._root

    @overload
    def of(self, name: str) -> Namespace: ...
    @overload
    def of(self, name: Pattern[str] | NamespacePredicate) -> ParentNamespace: ...
    def of(self, name: str | Pattern[str] | NamespacePredicate) -> Namespace | ParentNamespace:
        """A namespace; made on first use. Clients can join it from then on.

        With a regular expression that must match the whole of a name, or a predicate that is called with name and
        auth value (and may be a coroutine function): the parent of all namespaces which it accepts.
        """
        return self.protocol.of(name) if isinstance(name, str) else self.protocol.of_all(name)

    # The namespace "/" ----------------------------------------------------------------------------------------

    def on(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler: see :meth:`Namespace.on`."""
        return self._root.on(name)

    def prepend(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler in front of the others: see :meth:`Namespace.prepend`."""
        return self._root.prepend(name)

    def once(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler for one event: see :meth:`Namespace.once`."""
        return self._root.once(name)

    def off(self, name: str | int | None = None, handler: Handler | None = None) -> None:
        """Take handlers away: see :meth:`Namespace.off`."""
        self._root.off(name, handler)

    def listeners(self, name: str | int) -> list[Handler]:
        """The handlers of this name."""
        return self._root.listeners(name)

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event: see :meth:`Namespace.on_any`."""
        return self._root.on_any(handler)

    def prepend_any(self, handler: _H) -> _H:
        """Register a catch-all handler in front of the others."""
        return self._root.prepend_any(handler)

    def off_any(self, handler: Handler | None = None) -> None:
        """Take away a catch-all handler, or all of them."""
        self._root.off_any(handler)

    def listeners_any(self) -> list[Handler]:
        """The catch-all handlers."""
        return self._root.listeners_any()

    def on_server_side(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler for what other servers send: see :meth:`Namespace.on_server_side`."""
        return self._root.on_server_side(name)

    def server_side_emit(self, name: str | int, *args: object) -> None:
        """Send an event to the other servers: see :meth:`Namespace.server_side_emit`."""
        self._root.server_side_emit(name, *args)

    def server_side_emit_with_ack(self, name: str | int, *args: object, timeout: float = 5.0) -> ServerSideAck:
        """Send an event to the other servers and await the list of their answers."""
        return self._root.server_side_emit_with_ack(name, *args, timeout=timeout)

    def use(self, middleware: _H) -> _H:
        """Register a middleware: see :meth:`Namespace.use`."""
        return self._root.use(middleware)

    def emit(self, name: str | int, *args: object) -> Ready | Delayed:
        """Send an event to every socket."""
        return self._root.emit(name, *args)

    def send(self, *args: object) -> Ready | Delayed:
        """Send the event ``message`` to every socket."""
        return self._root.send(*args)

    def emit_with_ack(self, name: str | int, *args: object) -> BroadcastAck:
        """Send an event to every socket and await the list of their answers."""
        return self._root.emit_with_ack(name, *args)

    def to(self, *rooms: str) -> BroadcastOperator:
        """The members of these rooms: ``io.to("lobby").emit("news", 1)``."""
        return self._root.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody but the members of these rooms."""
        return self._root.except_(*rooms)

    @property
    def volatile(self) -> BroadcastOperator:
        """Everybody who can take it at once."""
        return self._root.volatile

    @property
    def local(self) -> BroadcastOperator:
        """Everybody who is connected to this process."""
        return self._root.local

    def compress(self, compress: bool) -> BroadcastOperator:
        """Whether what is sent may be compressed."""
        return self._root.compress(compress)

    def when_full(self, policy: str) -> BroadcastOperator:
        """What becomes of an event for those who have no room for it."""
        return self._root.when_full(policy)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long ``emit_with_ack`` waits."""
        return self._root.timeout(seconds)

    def fetch_sockets(self) -> Awaitable[SocketList]:
        """All sockets: ``await io.fetch_sockets()``."""
        return self._root.fetch_sockets()

    def local_sockets(self) -> list[Socket]:
        """The sockets that are connected to this process."""
        return self._root.local_sockets()

    def sockets_join(self, *rooms: str) -> None:
        self._root.sockets_join(*rooms)

    def sockets_leave(self, *rooms: str) -> None:
        self._root.sockets_leave(*rooms)

    def disconnect_sockets(self, *, close: bool = False) -> None:
        self._root.disconnect_sockets(close=close)

    def add_resource(self, path: str, body: bytes, content_type: str) -> None:
        """Answer GET and HEAD of ``path`` with ``body``: a page, a script. ETag and 304 included."""
        self.protocol.add_resource(path, body, content_type)

    # For the driver -------------------------------------------------------------------------------------------

    @property
    def services(self) -> Sequence[Any]:
        """What is to run beside it as long as it is served."""
        return runnable(self.protocol.cluster, self.protocol.sharing)

    @property
    def dispatch(self) -> Callable[[Event], Coroutine[Any, Any, None] | None]:
        """Call with an event to call its handlers. What is left to await comes back as a coroutine."""
        return self._dispatcher.dispatch
