"""Which handlers an event of a Socket.IO server calls, and what becomes of what they return."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from types import CoroutineType
from typing import Any

from siocore._speedups import first_step
from siocore.application.calls import Calls, is_awaitable, log_cluster, logger, resumed
from siocore.application.gatekeeper import Gatekeeper
from siocore.errors import ConnectionRefused, LocalProtocolError
from siocore.events import (
    AdapterDown,
    AdapterUp,
    BufferFilled,
    CallbackFailed,
    ConnectionErrored,
    ConnectRequested,
    Event,
    EventReceived,
    HandshakeRequested,
    HttpRequestReceived,
    ListenerFailed,
    NamespaceCreated,
    NamespaceRequested,
    ServerSideEventReceived,
    SessionClosed,
    SocketDisconnected,
)
from siocore.options import Recovery
from siocore.overflow import SlowConsumer
from siocore.socketio.listeners import Handler, Listeners
from siocore.socketio.namespace import Namespace
from siocore.socketio.parent import NamespaceRequest
from siocore.socketio.socket import Socket

__all__ = ["Dispatcher", "let_through", "run_each", "wait_for"]

_Call = Coroutine[Any, Any, None]


class Dispatcher:
    """Calls the handlers that the namespaces of ``calls`` have; ``root`` is the namespace ``/``."""

    __slots__ = ("_calls", "_gatekeeper", "_max_running", "_root")

    def __init__(self, calls: Calls, root: Namespace, gatekeeper: Gatekeeper) -> None:
        self._calls = calls
        self._gatekeeper = gatekeeper
        self._root = root
        self._max_running = root.hub.options.limits.max_running_handlers

    def dispatch(self, event: Event) -> _Call | None:
        """Call the handlers of an event. What is left to await comes back as a coroutine; never raises Exception."""
        if type(event) is EventReceived:
            return self._event(event)
        if type(event) is ConnectRequested:
            socket = event.socket
            if socket.namespace.registered.middlewares and not _skips_middlewares(socket):
                return self._admit(socket)
            # False: the client has gone in the same turn.
            return self._lifecycle(socket.namespace, "connection", (socket,)) if socket.accept() else None
        if type(event) is SocketDisconnected:
            return self._disconnected(event)
        if type(event) is HandshakeRequested:
            return self._gatekeeper.decide(event.handshake)
        if type(event) is NamespaceRequested:
            return self._decide(event.request)
        if type(event) is NamespaceCreated:
            return self._lifecycle(self._root, "new_namespace", (event.namespace,))
        if type(event) is ServerSideEventReceived:
            return self._server_side(event)
        if type(event) is AdapterDown:
            return self._adapter_down(event)
        if type(event) is AdapterUp:
            return self._adapter_up(event)
        if type(event) is ListenerFailed:
            return self._reported(event.error, event.socket, str(event.name))
        if type(event) is ConnectionErrored:
            return self._gatekeeper.refused(event, self._root.registered.lifecycle.get("connection_error", ()))
        if type(event) is CallbackFailed:
            return self._gatekeeper.callback_failed(event)
        if type(event) is BufferFilled:
            return self._slow(event)
        if type(event) is SessionClosed:
            self._gatekeeper.closed(event)
        if type(event) is HttpRequestReceived:
            return event.serve(event.exchange)
        log_cluster(event)
        return None

    # Events ---------------------------------------------------------------------------------------------------

    def _event(self, event: EventReceived) -> _Call | None:
        socket = event.socket
        namespace = socket.namespace
        link = socket.link
        if link.running >= self._max_running:
            link.hold(event)
            return None
        registered = namespace.registered
        own = socket.registered
        handlers = registered.events.get(event.name, ())
        count = len(handlers)
        # Who sees every event: if there is anybody, this is no simple case.
        watchers = registered.any
        alone = False
        if own is not None:
            own_handlers = own.events.get(event.name, ())
            if own_handlers:
                # If there is only one handler, it is the socket's own.
                handlers = own_handlers
                alone = True
            count += len(own_handlers)
            watchers = watchers or own.any or own.middlewares
        if watchers or count != 1:
            if not watchers and not count:
                return None
            link.running += 1
            return self._run_event(event, self._several(event))
        try:
            args = event.args
            if alone:
                result = handlers[0](*args)
            else:
                # One argument is so common that it is worth a call without a tuple.
                result = handlers[0](socket, args[0]) if len(args) == 1 else handlers[0](socket, *args)
            if type(result) is CoroutineType:
                # Its first step is taken here: most handlers never suspend, and these need no second coroutine.
                ended, value = first_step(result)
                if not ended:
                    link.running += 1
                    return self._run_event(event, resumed(result, value))
                result = value
            elif result is not None and is_awaitable(result):
                link.running += 1
                return self._run_event(event, result)
            ack_id = event.ack_id
            if result is not None and ack_id is not None:
                socket.acknowledge(ack_id, result if type(result) is tuple else (result,))
        except Exception as error:
            return self._reported(error, socket, str(event.name))
        return None

    async def _run_event(self, event: EventReceived, call: Any) -> None:
        link = event.socket.link
        try:
            while True:
                try:
                    result = await call
                    if result is not None and event.ack_id is not None:
                        event.socket.acknowledge(event.ack_id, result if type(result) is tuple else (result,))
                except Exception as error:
                    await self._calls.failed(error, event.socket, str(event.name))
                # The task of the handler that ended goes on with what waited for it.
                following = link.next_held()
                if following is None:
                    return
                event, call = following, self._several(following)
        finally:
            link.running -= 1

    async def _several(self, event: EventReceived) -> object:
        """Every handler of an event in turn; the first value that one returns is the acknowledgement."""
        socket = event.socket
        registered = socket.namespace.registered
        own = socket.registered
        if own is not None and own.middlewares and not await let_through(self._calls, event, own):
            return None
        name = event.name
        args = event.args
        if registered.any:
            await run_each(self._calls, registered.any, (socket, name, *args), socket, name)
        if own is not None and own.any:
            await run_each(self._calls, own.any, (name, *args), socket, name)
        answer = await run_each(self._calls, registered.events.get(name, ()), (socket, *args), socket, name)
        if own is not None:
            own_answer = await run_each(self._calls, own.events.get(name, ()), args, socket, name)
            if answer is None:
                answer = own_answer
        return answer

    # From other servers ---------------------------------------------------------------------------------------

    async def _server_side(self, event: ServerSideEventReceived) -> None:
        namespace = event.namespace
        handlers = namespace.registered.server_side.get(event.name, ())
        answer = await run_each(self._calls, handlers, event.args, namespace, event.name)
        if event.ack is not None:
            try:
                event.ack(answer)
            except Exception as error:
                await self._calls.failed(error, namespace, str(event.name))

    def _adapter_down(self, event: AdapterDown) -> _Call | None:
        logger.warning("the other servers can't be reached: %.500s", event.reason)
        return self._cluster_lifecycle("adapter_down", event.reason)

    def _adapter_up(self, event: AdapterUp) -> _Call | None:
        outage = event.outage
        if outage is not None:
            logger.warning(
                "the other servers can be reached again after %.1f s; %d messages to them were dropped; %s",
                outage.duration,
                outage.dropped,
                outage.gap or "nothing of theirs was missed",
            )
        return self._cluster_lifecycle("adapter_up", outage)

    def _cluster_lifecycle(self, name: str, arg: object) -> _Call | None:
        handlers = self._root.registered.lifecycle.get(name)
        return self._run_alone(handlers, arg, name) if handlers else None

    async def _run_alone(self, handlers: tuple[Handler, ...], arg: object, name: str) -> None:
        await run_each(self._calls, handlers, (arg,), self._root, name)

    # Joining and leaving --------------------------------------------------------------------------------------

    async def _decide(self, request: NamespaceRequest) -> None:
        try:
            admitted = request.ask()
            if is_awaitable(admitted):
                admitted = await admitted
        except Exception as error:
            request.refuse()
            await self._calls.failed(error, None, "namespace predicate")
        except BaseException:
            request.refuse()
            raise
        else:
            request.answer(bool(admitted))

    async def _admit(self, socket: Socket) -> None:
        try:
            for middleware in socket.namespace.registered.middlewares:
                result = middleware(socket)
                if is_awaitable(result):
                    await result
        except ConnectionRefused as refusal:
            _refuse(socket, refusal)
            return
        except Exception as error:
            # What went wrong is ours to know, not the client's.
            socket.refuse("internal error")
            await self._calls.failed(error, socket, "middleware")
            return
        except BaseException:
            socket.refuse("internal error")
            raise
        if socket.accept():
            lifecycle = socket.namespace.registered.lifecycle
            await self._calls.run_all(lifecycle.get("connection", ()), (socket,), "connection")

    def _disconnected(self, event: SocketDisconnected) -> _Call | None:
        socket = event.socket
        if event.detail:
            logger.debug("a socket has left (%s): %.500r", event.reason, event.detail)
        # Here and not when it was noticed: events in front of this one may have been kept meanwhile.
        socket.link.drop_held(lambda held: held.socket is socket)
        if socket.registered is not None or "disconnecting" in socket.namespace.registered.lifecycle:
            return self._run_disconnect(event)
        socket.release()
        return self._lifecycle(socket.namespace, "disconnect", (socket, event.reason))

    async def _run_disconnect(self, event: SocketDisconnected) -> None:
        socket = event.socket
        lifecycle = socket.namespace.registered.lifecycle
        own = {} if socket.registered is None else socket.registered.lifecycle
        args = (event.reason,)
        try:
            await run_each(self._calls, lifecycle.get("disconnecting", ()), (socket, *args), socket, "disconnecting")
            await run_each(self._calls, own.get("disconnecting", ()), args, socket, "disconnecting")
        finally:
            socket.release()
            socket.forget_handlers()
        await run_each(self._calls, lifecycle.get("disconnect", ()), (socket, *args), socket, "disconnect")
        await run_each(self._calls, own.get("disconnect", ()), args, socket, "disconnect")

    def _slow(self, event: BufferFilled) -> _Call | None:
        socket = event.target
        assert isinstance(socket, Socket)
        if socket.registered is not None and "slow_consumer" in socket.registered.lifecycle:
            return self._run_slow(socket, event.info)
        return self._lifecycle(socket.namespace, "slow_consumer", (socket, event.info))

    async def _run_slow(self, socket: Socket, info: SlowConsumer) -> None:
        name = "slow_consumer"
        # Taken now: the handlers of a socket end with it.
        own = socket.registered.lifecycle.get(name, ()) if socket.registered is not None else ()
        await run_each(self._calls, socket.namespace.registered.lifecycle.get(name, ()), (socket, info), socket, name)
        await run_each(self._calls, own, (info,), socket, name)

    def _lifecycle(self, namespace: Namespace, name: str, args: tuple[object, ...]) -> _Call | None:
        handlers = namespace.registered.lifecycle.get(name)
        return self._calls.run_all(handlers, args, name) if handlers else None

    def _reported(self, error: Exception, subject: object, name: str) -> _Call | None:
        pending = self._calls.report(error, subject, name)
        return wait_for(pending) if pending is not None else None


async def run_each(
    calls: Calls, handlers: tuple[Handler, ...], args: Sequence[object], subject: object, name: str | int | float
) -> object:
    """Call handlers one after the other: the first value that is not None. ``subject`` is what the hooks are told."""
    answer: object = None
    for handler in handlers:
        try:
            result = handler(*args)
            if is_awaitable(result):
                result = await result
        except Exception as error:
            await calls.failed(error, subject, str(name))
            continue
        if answer is None:
            answer = result
    return answer


async def let_through(calls: Calls, event: Any, own: Listeners) -> bool:
    """Whether every middleware of a socket lets an event reach its handlers."""
    socket = event.socket
    connected = socket.connected
    for middleware in own.middlewares:
        try:
            result = middleware(event.name, event.args)
            if is_awaitable(result):
                await result
        except Exception as error:
            handlers = own.lifecycle.get("error")
            if handlers:
                await run_each(calls, handlers, (error,), socket, "error")
            else:
                await calls.failed(error, socket, str(event.name))
            return False
    # An event that came before its peer went is handled, unless the middleware has waited for longer than that.
    return socket.connected or not connected


def _skips_middlewares(socket: Socket) -> bool:
    """Whether it has come back, and was let in before."""
    recovery = socket.namespace.hub.options.recovery
    return isinstance(recovery, Recovery) and recovery.skip_middlewares and socket.recovered


def _refuse(socket: Socket, refusal: ConnectionRefused) -> None:
    try:
        socket.refuse(refusal.message, refusal.data)
    except LocalProtocolError:
        logger.exception("the data of a ConnectionRefused can't be sent")
        socket.refuse(refusal.message)


async def wait_for(pending: Any) -> None:
    """The coroutine that awaits this."""
    await pending
