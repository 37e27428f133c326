"""The Socket.IO server that applications make: ``io = siocore.Server()``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, TypeVar

from siocore.application.calls import Calls, is_awaitable, logger, resumed
from siocore.application.client_bundle import bundle_resources
from siocore.endpoint.server import ServerProtocol
from siocore.errors import ConnectionRefused, LocalProtocolError
from siocore.events import ConnectionErrored, ConnectRequested, Event, EventReceived, SocketDisconnected
from siocore.options import ServerOptions
from siocore.socketio.acks import BroadcastAck
from siocore.socketio.adapter import Adapter
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.namespace import Namespace
from siocore.socketio.socket import Socket
from siocore.waiting import Ready

__all__ = ["Server"]

_H = TypeVar("_H", bound=Callable[..., Any])
_Call = Coroutine[Any, Any, None]


class Server(Calls):
    """A Socket.IO server. Its own methods are those of the namespace ``/``.

    Options are those of :class:`siocore.ServerOptions`, as keywords: ``Server(ping_interval=10)``. ``adapter`` makes
    the adapter of each namespace. Serve it with ``siocore.trio.serve`` or ``siocore.asyncio.serve``.
    """

    def __init__(self, *, adapter: Callable[[], Adapter] | None = None, **options: Any) -> None:
        super().__init__()
        self.protocol = ServerProtocol(ServerOptions(**options), adapter=adapter)
        self._root = self.protocol.of("/")
        self._max_running = self.protocol.options.limits.max_running_handlers
        self.protocol.resources.update(bundle_resources(self.protocol.options))

    @property
    def options(self) -> ServerOptions:
        return self.protocol.options

    @property
    def sockets(self) -> Namespace:
        """The namespace ``/``."""
        return self._root

    def of(self, name: str) -> Namespace:
        """A namespace; made on first use. Clients can join it from then on."""
        return self.protocol.of(name)

    # The namespace "/" ----------------------------------------------------------------------------------------

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler: see :meth:`Namespace.on`."""
        return self._root.on(name)

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event: see :meth:`Namespace.on_any`."""
        return self._root.on_any(handler)

    def use(self, middleware: _H) -> _H:
        """Register a middleware: see :meth:`Namespace.use`."""
        return self._root.use(middleware)

    def emit(self, name: str, *args: object) -> Ready:
        """Send an event to every socket."""
        return self._root.emit(name, *args)

    def send(self, *args: object) -> Ready:
        """Send the event ``message`` to every socket."""
        return self._root.send(*args)

    def emit_with_ack(self, name: str, *args: object) -> BroadcastAck:
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

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long ``emit_with_ack`` waits."""
        return self._root.timeout(seconds)

    def fetch_sockets(self) -> list[Socket]:
        return self._root.fetch_sockets()

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

    def dispatch(self, event: Event) -> _Call | None:
        """Call the handlers of an event. What is left to await comes back as a coroutine; never raises Exception."""
        if type(event) is EventReceived:
            return self._event(event)
        if type(event) is ConnectRequested:
            socket = event.socket
            if socket.namespace.middlewares:
                return self._admit(socket)
            # False: the client has gone in the same turn.
            return self._lifecycle(socket, "connection", socket) if socket.accept() else None
        if type(event) is SocketDisconnected:
            return self._disconnected(event)
        if type(event) is ConnectionErrored:
            return self._lifecycle_of(self._root, "connection_error", event)
        return None

    def _event(self, event: EventReceived) -> _Call | None:
        socket = event.socket
        namespace = socket.namespace
        inbox = socket.client.inbox
        if inbox.running >= self._max_running:
            inbox.hold(event)
            return None
        handlers = namespace.handlers.get(event.name, ())
        if namespace.any_handlers or len(handlers) != 1:
            if not handlers and not namespace.any_handlers:
                return None
            inbox.running += 1
            return self._run_event(event, self._several(event))
        try:
            result = handlers[0](socket, *event.args)
            if type(result) is CoroutineType:
                # Its first step is taken here: most handlers never suspend, and these need no second coroutine.
                try:
                    result = resumed(result, result.send(None))
                except StopIteration as stop:
                    result = stop.value
                else:
                    inbox.running += 1
                    return self._run_event(event, result)
            elif is_awaitable(result):
                inbox.running += 1
                return self._run_event(event, result)
            if result is not None and event.ack_id is not None:
                self._acknowledge(event, result)
        except Exception as error:
            return self._reported(error, socket, str(event.name))
        return None

    async def _run_event(self, event: EventReceived, call: Any) -> None:
        inbox = event.socket.client.inbox
        try:
            while True:
                try:
                    result = await call
                    if result is not None:
                        self._acknowledge(event, result)
                except Exception as error:
                    await self.failed(error, event.socket, str(event.name))
                # The task of the handler that ended goes on with what waited for it.
                following = inbox.next_held()
                if following is None:
                    return
                event, call = following, self._several(following)
        finally:
            inbox.running -= 1

    async def _several(self, event: EventReceived) -> object:
        """Every handler of an event in turn; the first value that one returns is the acknowledgement."""
        socket = event.socket
        answer: object = None
        if socket.namespace.any_handlers:
            await self.run_all(socket.namespace.any_handlers, (socket, event.name, *event.args), str(event.name))
        for handler in socket.namespace.handlers.get(event.name, ()):
            try:
                result = handler(socket, *event.args)
                if is_awaitable(result):
                    result = await result
            except Exception as error:
                await self.failed(error, socket, str(event.name))
                continue
            if answer is None:
                answer = result
        return answer

    def _acknowledge(self, event: EventReceived, result: object) -> None:
        if event.ack_id is None:
            return
        values = result if type(result) is tuple else (result,)
        event.socket.ack(event.ack_id, *values)

    async def _admit(self, socket: Socket) -> None:
        try:
            for middleware in socket.namespace.middlewares:
                result = middleware(socket)
                if is_awaitable(result):
                    await result
        except ConnectionRefused as refusal:
            self._refuse(socket, refusal)
            return
        except Exception as error:
            # What went wrong is ours to know, not the client's.
            socket.refuse("internal error")
            await self.failed(error, socket, "middleware")
            return
        except BaseException:
            socket.refuse("internal error")
            raise
        if socket.accept():
            await self.run_all(socket.namespace.lifecycle.get("connection", ()), (socket,), "connection")

    def _refuse(self, socket: Socket, refusal: ConnectionRefused) -> None:
        try:
            socket.refuse(refusal.message, refusal.data)
        except LocalProtocolError:
            logger.exception("the data of a ConnectionRefused can't be sent")
            socket.refuse(refusal.message)

    def _disconnected(self, event: SocketDisconnected) -> _Call | None:
        socket = event.socket
        # Here and not when it was noticed: events in front of this one may have been kept meanwhile.
        socket.client.inbox.drop(lambda kept: kept.socket is socket)
        lifecycle = socket.namespace.lifecycle
        if "disconnecting" in lifecycle:
            return self._run_disconnect(event)
        socket.release()
        return self._lifecycle(socket, "disconnect", socket, event.reason)

    async def _run_disconnect(self, event: SocketDisconnected) -> None:
        socket = event.socket
        lifecycle = socket.namespace.lifecycle
        try:
            await self.run_all(lifecycle["disconnecting"], (socket, event.reason), "disconnecting")
        finally:
            socket.release()
        await self.run_all(lifecycle.get("disconnect", ()), (socket, event.reason), "disconnect")

    def _lifecycle(self, socket: Socket, name: str, *args: object) -> _Call | None:
        return self._lifecycle_of(socket.namespace, name, *args)

    def _lifecycle_of(self, namespace: Namespace, name: str, *args: object) -> _Call | None:
        handlers = namespace.lifecycle.get(name)
        return self.run_all(handlers, args, name) if handlers else None

    def _reported(self, error: Exception, subject: object, name: str) -> _Call | None:
        pending = self.report(error, subject, name)
        return _wait(pending) if pending is not None else None


async def _wait(pending: Any) -> None:
    await pending
