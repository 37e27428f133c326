"""Which handlers an event of a Socket.IO client calls, and what becomes of what they return."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import Any

from siocore._speedups import first_step
from siocore.application.calls import Calls, is_awaitable, logger, resumed
from siocore.application.dispatcher import let_through, run_each, wait_for
from siocore.client_events import (
    AuthRequested,
    ClientEvent,
    ClientListenerFailed,
    ManagerReported,
    SocketClosed,
    SocketConnected,
    SocketRefused,
)
from siocore.link import ClientLink

__all__ = ["ClientDispatcher"]

_Call = Coroutine[Any, Any, None]


class ClientDispatcher:
    """Calls the handlers that sockets and managers have."""

    __slots__ = ("_calls",)

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def dispatch(self, event: Any) -> _Call | None:
        """Call the handlers of an event. What is left to await comes back as a coroutine; never raises Exception."""
        if type(event) is ClientEvent:
            return self._event(event)
        if type(event) is SocketConnected:
            return self._lifecycle(event.socket, "connect", ())
        if type(event) is SocketRefused:
            return self._lifecycle(event.socket, "connect_error", (event.error,))
        if type(event) is SocketClosed:
            return self._closed(event)
        if type(event) is ManagerReported:
            return self._lifecycle(event.manager, event.name, event.args)
        if type(event) is AuthRequested:
            return self._authenticate(event)
        if type(event) is ClientListenerFailed:
            return self._reported(event.error, event.socket, str(event.name))
        return None

    # Events ---------------------------------------------------------------------------------------------------

    def _event(self, event: ClientEvent) -> _Call | None:
        socket = event.socket
        registered = socket.registered
        if registered is None:
            socket.keep(event)
            return None
        link = socket.link
        assert link is not None
        if link.running and link.running >= socket.manager.options.limits.max_running_handlers:
            link.hold(event)
            return None
        handlers = registered.events.get(event.name, ())
        if registered.any or registered.middlewares or len(handlers) > 1:
            link.running += 1
            return self._run_event(event, link, self._several(event))
        if not handlers:
            socket.keep(event)
            return None
        try:
            result = handlers[0](*event.args)
            if type(result) is CoroutineType:
                # Its first step is taken here: most handlers never suspend, and these need no second coroutine.
                ended, value = first_step(result)
                if not ended:
                    link.running += 1
                    return self._run_event(event, link, resumed(result, value))
                result = value
            elif result is not None and is_awaitable(result):
                link.running += 1
                return self._run_event(event, link, result)
            if result is not None and event.ack_id is not None:
                socket.acknowledge_event(event, result if type(result) is tuple else (result,))
        except Exception as error:
            return self._reported(error, socket, str(event.name))
        return None

    async def _run_event(self, event: ClientEvent, link: ClientLink, call: Any) -> None:
        # The link is that of the beginning: the socket may have another one by the end.
        try:
            while True:
                try:
                    result = await call
                    if result is not None and event.ack_id is not None:
                        event.socket.acknowledge_event(event, result if type(result) is tuple else (result,))
                except Exception as error:
                    await self._calls.failed(error, event.socket, str(event.name))
                # The task of the handler that ended goes on with what waited for it.
                following = link.next_held()
                if following is None:
                    return
                event, call = following, self._several(following)
        finally:
            link.running -= 1

    async def _several(self, event: ClientEvent) -> object:
        """Every handler of an event in turn; the first value that one returns is the acknowledgement."""
        socket = event.socket
        registered = socket.registered
        if registered is None:
            socket.keep(event)
            return None
        if registered.middlewares and not await let_through(self._calls, event, registered):
            return None
        name = event.name
        args = event.args
        if registered.any:
            await run_each(self._calls, registered.any, (name, *args), socket, name)
        handlers = registered.events.get(name)
        if handlers is None:
            # Those that see every event are there to watch: they take none of them from receive() and events().
            socket.keep(event)
            return None
        return await run_each(self._calls, handlers, args, socket, name)

    # Connections ----------------------------------------------------------------------------------------------

    async def _authenticate(self, event: AuthRequested) -> None:
        socket = event.socket
        try:
            auth = socket.auth
            value = auth() if callable(auth) else auth
            if isinstance(value, Awaitable):
                value = await value
            socket.authenticate(event.generation, value)
        except Exception as error:
            socket.authentication_failed(event.generation, error)
            await self._calls.failed(error, socket, "auth")
        except BaseException:
            socket.authentication_failed(event.generation, RuntimeError("it was cancelled"))
            raise

    def _closed(self, event: SocketClosed) -> _Call | None:
        socket = event.socket
        if event.detail:
            logger.debug("a socket is disconnected (%s): %.500r", event.reason, event.detail)
        if event.reason == "io client disconnect":
            # The application wants no more of them. If the connection was lost, what had arrived is handled.
            assert socket.link is not None
            socket.link.drop_held(lambda held: held.socket is socket)
        return self._lifecycle(socket, "disconnect", (event.reason, event.detail))

    def _lifecycle(self, place: Any, name: str, args: tuple[object, ...]) -> _Call | None:
        """Handlers of what happens to a socket or a manager: they are called without it."""
        registered = place.registered
        handlers = registered.lifecycle.get(name) if registered is not None else None
        return self._run_lifecycle(handlers, place, name, args) if handlers else None

    async def _run_lifecycle(self, handlers: Any, place: object, name: str, args: tuple[object, ...]) -> None:
        await run_each(self._calls, handlers, args, place, name)

    def _reported(self, error: Exception, subject: object, name: str) -> _Call | None:
        pending = self._calls.report(error, subject, name)
        return wait_for(pending) if pending is not None else None
