"""An Engine.IO client alone: ordered text and binary messages with fallback, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from siocore.application.calls import Calls
from siocore.application.cookie_option import make_cookie_store
from siocore.application.option_names import check_names
from siocore.client_events import (
    ClientMessageReceived,
    ClientSessionClosed,
    ClientSessionOpened,
    ClientSessionUpgraded,
)
from siocore.client_options import EngineClientOptions
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.engineio.client_session import ClientSession
from siocore.errors import ConnectError, Disconnected
from siocore.link import size_of
from siocore.target import parse_url
from siocore.timers import Timer
from siocore.waiting import Sent, Waiter

__all__ = ["EngineClient", "EngineConnection"]

_H = TypeVar("_H", bound=Callable[..., Any])
_Call = Coroutine[Any, Any, None]
_EVENTS = ("open", "message", "upgrade", "close")
#: Reading goes on when this part of what may be kept is left.
_RESUME_SHARE = 0.5


class EngineClient(Calls):
    """Engine.IO connections to any number of servers. Made by ``connect_engine`` of siocore.trio or siocore.asyncio."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = EngineClientProtocol()
        self._connections: dict[ClientSession, EngineConnection] = {}

    def connect(self, url: str, **options: Any) -> EngineConnection:
        """Begin to connect. Options are those of :class:`siocore.EngineClientOptions`.

        A path in the URL is the option ``path``; its query goes with every request. Raises TypeError and ValueError for
        options and URLs that are none.
        """
        check_names(options, EngineClientOptions)
        host, port, secure, path, query = parse_url(url)
        if path != "/":
            if "path" in options:
                raise ValueError(f"the path is in the URL, {path!r}, and in the options, {options['path']!r}")
            options = {**options, "path": path}
        if options.get("cookies"):
            options = {**options, "cookies": make_cookie_store(options["cookies"])}
        chosen = EngineClientOptions(**options)
        session = self.protocol.open_session(chosen.target(host, port, secure), chosen, query=query)
        connection = self._connections[session] = EngineConnection(self, session)
        return connection

    def dispatch(self, event: Any) -> _Call | None:
        """Call the handlers of an event. What is left to await comes back as a coroutine; never raises Exception."""
        connection = self._connections.get(event.session)
        if connection is None:
            return None
        if type(event) is ClientMessageReceived:
            return connection.message_received(event)
        if type(event) is ClientSessionOpened:
            connection.wake()
            return connection.call("open")
        if type(event) is ClientSessionUpgraded:
            return connection.call("upgrade")
        if type(event) is ClientSessionClosed:
            del self._connections[event.session]
            return connection.closed_by(event)
        return None


class EngineConnection:
    """One session with a server. Messages go to the handlers of "message", or wait for ``receive()`` and ``async for``.

    When many wait, nothing more is read until they are taken.
    """

    def __init__(self, client: EngineClient, session: ClientSession) -> None:
        self._client = client
        self._session = session
        self._handlers: dict[str, tuple[Callable[..., Any], ...]] = {}
        self._inbox: deque[tuple[str | bytes, int]] = deque()
        self._inbox_size = 0
        self._waiters: list[Waiter] = []
        self._end: ClientSessionClosed | None = None

    def __repr__(self) -> str:
        return f"<EngineConnection {self._session!r}>"

    @property
    def session(self) -> ClientSession:
        """The session, with all that is known of it."""
        return self._session

    @property
    def sid(self) -> str:
        """The session's id, which is a secret; "" before it is open."""
        return self._session.sid

    @property
    def transport(self) -> str:
        """What carries the messages: ``"polling"`` or ``"websocket"``."""
        return self._session.transport

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._session.open

    @property
    def close_reason(self) -> str | None:
        """Why it is over: "transport close", "transport error", "ping timeout", "parse error" or "forced close"."""
        return None if self._end is None else self._end.reason

    @property
    def close_detail(self) -> str:
        """The same as a sentence, if there is more to say."""
        return "" if self._end is None else self._end.detail

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler, ``async def`` or plain ``def``.

        ``open`` and ``upgrade`` are called with nothing, ``message`` with a str or bytes, ``close`` with the reason.
        """
        if name not in _EVENTS:
            raise ValueError(f"an Engine.IO connection has the events {', '.join(_EVENTS)}; not {name!r}")

        def register(handler: _H) -> _H:
            self._handlers[name] = (*self._handlers.get(name, ()), handler)
            return handler

        return register

    def send(self, data: str | bytes) -> Sent:
        """Send a message. ``await`` what it returns to wait while the server is slow.

        Raises Disconnected if the connection is over, LocalProtocolError for text that can't be sent, and BufferFull
        when more waits already than ``Limits.max_buffered``.
        """
        if self._session.closed:
            raise Disconnected("the connection is over")
        return self._session.send(data)

    def close(self) -> None:
        """Close it: what was sent before still leaves, then the server is told."""
        self._session.close()

    async def opened(self) -> EngineConnection:
        """Wait until it is open. Raises ConnectError if that fails."""
        while not self._session.open and self._end is None:
            await self._news(None)
        if self._end is not None and self._session.handshake is None:
            raise self._end.error or ConnectError(self._end.detail, transport=True)
        return self

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message. Raises TimeoutError after ``timeout`` seconds, Disconnected when none will come.

        Giving up, or being cancelled, loses no message.
        """
        limit = None if timeout is None else _TimeLimit(self._client.protocol, timeout)
        try:
            while not self._inbox:
                if self._end is not None:
                    raise Disconnected(f"the connection is over: {self._end.detail or self._end.reason}")
                if limit is not None and limit.over:
                    raise TimeoutError(f"no message arrived within {timeout:g} s")
                await self._news(limit)
        finally:
            if limit is not None:
                limit.cancel()
        return self._take()

    def __aiter__(self) -> EngineConnection:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except Disconnected:
            raise StopAsyncIteration from None

    # For the client -------------------------------------------------------------------------------------------

    def message_received(self, event: ClientMessageReceived) -> _Call | None:
        """A message has arrived."""
        handlers = self._handlers.get("message")
        session = self._session
        if handlers is None:
            size = size_of(event.data)
            self._inbox.append((event.data, size))
            self._inbox_size += size
            if self._inbox_size > session.max_held and not session.paused:
                session.pause()
            self.wake()
            return None
        if session.running >= session.options.limits.max_running_handlers:
            session.hold(event)
            return None
        session.running += 1
        return self._run_messages(event, handlers)

    def closed_by(self, event: ClientSessionClosed) -> _Call | None:
        """It is over."""
        self._end = event
        self._session.drop_held(_anything)
        self.wake()
        return self.call("close", event.reason)

    def call(self, name: str, *args: object) -> _Call | None:
        """Call the handlers of this name."""
        handlers = self._handlers.get(name)
        return self._run(handlers, args, name) if handlers else None

    def wake(self) -> None:
        """Those who wait may look."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    async def _run(self, handlers: tuple[Callable[..., Any], ...], args: tuple[object, ...], name: str) -> None:
        for handler in handlers:
            try:
                result = handler(*args)
                if hasattr(result, "__await__"):
                    await result
            except Exception as error:
                await self._client.failed(error, self, name)

    async def _run_messages(self, event: ClientMessageReceived, handlers: tuple[Callable[..., Any], ...]) -> None:
        session = self._session
        following: ClientMessageReceived | None = event
        try:
            while following is not None:
                await self._run(handlers, (following.data,), "message")
                following = session.next_held()
        finally:
            session.running -= 1

    def _take(self) -> str | bytes:
        data, size = self._inbox.popleft()
        self._inbox_size -= size
        session = self._session
        if session.paused and self._inbox_size <= session.max_held * _RESUME_SHARE:
            session.resume()
        return data

    async def _news(self, limit: _TimeLimit | None) -> None:
        waiter = self._client.protocol.new_waiter()
        self._waiters.append(waiter)
        if limit is not None:
            limit.waiter = waiter
        try:
            await waiter.wait()
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)


class _TimeLimit:
    """Wakes a waiter when the time is up."""

    __slots__ = ("_protocol", "_timer", "over", "waiter")

    def __init__(self, protocol: EngineClientProtocol, timeout: float) -> None:
        self.over = False
        self.waiter: Waiter | None = None
        self._protocol = protocol
        self._timer: Timer | None = protocol.timers.arm(protocol.now + timeout, self, 0)
        if protocol.wake is not None:
            # Whoever drives may be waiting for a later deadline.
            protocol.wake()

    def timer_expired(self, kind: int, now: float) -> None:
        self.over = True
        if self.waiter is not None:
            self.waiter.wake()

    def cancel(self) -> None:
        self._protocol.timers.cancel(self._timer)


def _anything(event: object) -> bool:
    return True
