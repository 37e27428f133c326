"""Which handlers an event of a Socket.IO server calls, and what becomes of what they return."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

from siocore._speedups import first_step
from siocore.application.calls import Calls, is_awaitable, logger, resumed
from siocore.application.gatekeeper import Gatekeeper
from siocore.errors import ConnectionRefused, LocalProtocolError
from siocore.events import (
    CallbackFailed,
    ConnectionErrored,
    ConnectRequested,
    Event,
    EventReceived,
    HandshakeRequested,
    SessionClosed,
    SocketDisconnected,
)
from siocore.options import Recovery
from siocore.socketio.namespace import Namespace
from siocore.socketio.socket import Socket

__all__ = ["Dispatcher"]

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
            if socket.namespace.middlewares and not _skips_middlewares(socket):
                return self._admit(socket)
            # False: the client has gone in the same turn.
            return self._lifecycle(socket.namespace, "connection", (socket,)) if socket.accept() else None
        if type(event) is SocketDisconnected:
            return self._disconnected(event)
        if type(event) is HandshakeRequested:
            return self._gatekeeper.decide(event.handshake)
        if type(event) is ConnectionErrored:
            return self._gatekeeper.refused(event, self._root.lifecycle.get("connection_error", ()))
        if type(event) is CallbackFailed:
            return self._gatekeeper.callback_failed(event)
        if type(event) is SessionClosed:
            logger.info("a client was closed (%s): %.500s", event.reason, event.detail)
        return None

    # Events ---------------------------------------------------------------------------------------------------

    def _event(self, event: EventReceived) -> _Call | None:
        socket = event.socket
        namespace = socket.namespace
        link = socket.link
        if link.running >= self._max_running:
            link.hold(event)
            return None
        handlers = namespace.handlers.get(event.name, ())
        if namespace.any_handlers or len(handlers) != 1:
            if not handlers and not namespace.any_handlers:
                return None
            link.running += 1
            return self._run_event(event, self._several(event))
        try:
            args = event.args
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
        calls = self._calls
        socket = event.socket
        answer: object = None
        if socket.namespace.any_handlers:
            await calls.run_all(socket.namespace.any_handlers, (socket, event.name, *event.args), str(event.name))
        for handler in socket.namespace.handlers.get(event.name, ()):
            try:
                result = handler(socket, *event.args)
                if is_awaitable(result):
                    result = await result
            except Exception as error:
                await calls.failed(error, socket, str(event.name))
                continue
            if answer is None:
                answer = result
        return answer

    # Joining and leaving --------------------------------------------------------------------------------------

    async def _admit(self, socket: Socket) -> None:
        try:
            for middleware in socket.namespace.middlewares:
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
            await self._calls.run_all(socket.namespace.lifecycle.get("connection", ()), (socket,), "connection")

    def _disconnected(self, event: SocketDisconnected) -> _Call | None:
        socket = event.socket
        # Here and not when it was noticed: events in front of this one may have been kept meanwhile.
        socket.link.drop_held(lambda held: held.socket is socket)
        if "disconnecting" in socket.namespace.lifecycle:
            return self._run_disconnect(event)
        socket.release()
        return self._lifecycle(socket.namespace, "disconnect", (socket, event.reason))

    async def _run_disconnect(self, event: SocketDisconnected) -> None:
        socket = event.socket
        lifecycle = socket.namespace.lifecycle
        try:
            await self._calls.run_all(lifecycle["disconnecting"], (socket, event.reason), "disconnecting")
        finally:
            socket.release()
        await self._calls.run_all(lifecycle.get("disconnect", ()), (socket, event.reason), "disconnect")

    def _lifecycle(self, namespace: Namespace, name: str, args: tuple[object, ...]) -> _Call | None:
        handlers = namespace.lifecycle.get(name)
        return self._calls.run_all(handlers, args, name) if handlers else None

    def _reported(self, error: Exception, subject: object, name: str) -> _Call | None:
        pending = self._calls.report(error, subject, name)
        return _wait(pending) if pending is not None else None


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


async def _wait(pending: Any) -> None:
    await pending
