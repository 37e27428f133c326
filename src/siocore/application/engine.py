"""An Engine.IO server alone: ordered text and binary messages with fallback, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from siocore.application.calls import Calls, log_cluster, runnable
from siocore.application.gatekeeper import Gatekeeper
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.shared_sessions import SharedSessions
from siocore.engineio.session import Session
from siocore.events import (
    BufferFilled,
    CallbackFailed,
    ConnectionErrored,
    Event,
    HandshakeRequested,
    HttpRequestReceived,
    MessageReceived,
    SessionClosed,
    SessionOpened,
)
from siocore.options import ServerOptions

__all__ = ["EngineServer"]

_H = TypeVar("_H", bound=Callable[..., Any])
_Call = Coroutine[Any, Any, None]
_EVENTS = ("connection", "message", "close", "slow_consumer", "connection_error")


class EngineServer(Calls):
    """An Engine.IO server. Options are those of :class:`siocore.ServerOptions`; the default path is ``/engine.io/``.

    ``sessions`` lets any server of a cluster answer the requests of a session: ``siocore.redis.SharedSessions``.
    """

    def __init__(self, *, sessions: SharedSessions | None = None, **options: Any) -> None:
        super().__init__()
        self.protocol = EngineServerProtocol(ServerOptions(**{"path": "/engine.io/", **options}))
        if sessions is not None:
            sessions.bind(self.protocol)
        self._gatekeeper = Gatekeeper(self, self.protocol)
        self._handlers: dict[str, tuple[Callable[..., Any], ...]] = {}
        self._max_running = self.protocol.options.limits.max_running_handlers

    @property
    def options(self) -> ServerOptions:
        return self.protocol.options

    @property
    def sessions(self) -> list[Session]:
        """The open sessions."""
        return [session for session in self.protocol.sessions.values() if session.open]

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler, ``async def`` or plain ``def``.

        ``connection`` is called with the session, ``message`` with the session and a str or bytes, ``close`` with the
        session and the reason, ``slow_consumer`` with the session and a :class:`siocore.SlowConsumer`,
        ``connection_error`` with a :class:`siocore.events.ConnectionErrored`.
        """
        if name not in _EVENTS:
            raise ValueError(f"Engine.IO has the events {', '.join(_EVENTS)}; not {name!r}")

        def register(handler: _H) -> _H:
            self._handlers[name] = (*self._handlers.get(name, ()), handler)
            return handler

        return register

    def add_resource(self, path: str, body: bytes, content_type: str) -> None:
        """Answer GET and HEAD of ``path`` with ``body``."""
        self.protocol.add_resource(path, body, content_type)

    @property
    def services(self) -> Sequence[Any]:
        """What is to run beside it as long as it is served."""
        return runnable(self.protocol.sharing)

    def dispatch(self, event: Event) -> _Call | None:
        """Call the handlers of an event. What is left to await comes back as a coroutine; never raises Exception."""
        if type(event) is MessageReceived:
            return self._message(event)
        if type(event) is SessionOpened:
            return self._lifecycle("connection", event.session)
        if type(event) is SessionClosed:
            event.session.drop_held(lambda held: True)
            return self._lifecycle("close", event.session, event.reason)
        if type(event) is HandshakeRequested:
            return self._gatekeeper.decide(event.handshake)
        if type(event) is BufferFilled:
            return self._lifecycle("slow_consumer", event.target, event.info)
        if type(event) is ConnectionErrored:
            return self._gatekeeper.refused(event, self._handlers.get("connection_error", ()))
        if type(event) is CallbackFailed:
            return self._gatekeeper.callback_failed(event)
        if type(event) is HttpRequestReceived:
            return event.serve(event.exchange)
        log_cluster(event)
        return None

    def _message(self, event: MessageReceived) -> _Call | None:
        handlers = self._handlers.get("message")
        session = event.session
        if handlers is None:
            return None
        if session.running >= self._max_running:
            session.hold(event)
            return None
        session.running += 1
        return self._run_messages(event, handlers)

    async def _run_messages(self, event: MessageReceived, handlers: tuple[Callable[..., Any], ...]) -> None:
        session = event.session
        following: MessageReceived | None = event
        try:
            while following is not None:
                await self.run_all(handlers, (session, following.data), "message")
                following = session.next_held()
        finally:
            session.running -= 1

    def _lifecycle(self, name: str, *args: object) -> _Call | None:
        handlers = self._handlers.get(name)
        return self.run_all(handlers, args, name) if handlers else None
