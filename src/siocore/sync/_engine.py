"""Engine.IO alone for blocking code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from siocore.application.engine_client import EngineClient, EngineConnection
from siocore.sync._host import BlockingHost
from siocore.sync._runner import Runner
from siocore.waiting import Sent

__all__ = ["Connection", "connect_engine"]

_H = TypeVar("_H", bound=Callable[..., Any])


class Connection:
    """One Engine.IO session, for the thread that opened it. Messages arrive and handlers run while a call blocks."""

    def __init__(self, runner: Runner, connection: EngineConnection) -> None:
        self._runner = runner
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str | bytes]:
        """``for message in connection``: every message that no handler takes, until the connection is over."""
        while True:
            try:
                yield self._runner.run(self._connection.__anext__)
            except StopAsyncIteration:
                return

    def __repr__(self) -> str:
        return f"<siocore.sync.Connection {self.transport} {'open' if self.open else 'closed'}>"

    @property
    def sid(self) -> str:
        """The session's id, which is a secret."""
        return self._connection.sid

    @property
    def transport(self) -> str:
        """What carries the messages: ``"polling"`` or ``"websocket"``."""
        return self._connection.transport

    @property
    def open(self) -> bool:
        """Whether messages could be sent when the latest call looked."""
        return self._connection.open

    @property
    def close_reason(self) -> str | None:
        """Why it is over: "transport close", "transport error", "ping timeout", "parse error" or "forced close"."""
        return self._connection.close_reason

    @property
    def close_detail(self) -> str:
        """The same as a sentence, if there is more to say."""
        return self._connection.close_detail

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler, a plain function.

        ``open`` and ``upgrade`` are called with nothing, ``message`` with a str or bytes, ``close`` with the reason.
        Raises LocalProtocolError for an ``async def``.
        """
        register = self._connection.on(name)

        def registered(handler: _H) -> _H:
            register(self._runner.wrapped(handler))
            return handler

        return registered

    def send(self, data: str | bytes) -> None:
        """Send a message. Blocks only while more than ``Limits.high_water`` bytes wait, and never within a handler.

        Raises Disconnected if the connection is over, LocalProtocolError for text that can't be sent, and BufferFull
        when more waits already than ``Limits.max_buffered``.
        """
        runner = self._runner
        runner.call(self._connection.send, data)
        session = self._connection.session
        if session.open and session.buffered > session.high_water and not runner.in_handler:
            runner.run(lambda: Sent(session))

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message. Raises TimeoutError after ``timeout`` seconds, Disconnected when none will come."""
        return self._runner.run(lambda: self._connection.receive(timeout))

    def wait(self, seconds: float | None = None) -> None:
        """Run handlers and answer heartbeats for so many seconds, or until the connection is over."""
        self._runner.run_until(lambda: self._connection.close_reason is not None, seconds)

    def close(self) -> None:
        """Close it: what was sent before still leaves, then the server is told."""
        self._runner.close()


def connect_engine(url: str, *, grace: float = 5.0, **options: Any) -> Connection:
    """An Engine.IO connection without Socket.IO: ``with siocore.sync.connect_engine(url) as connection``.

    The path of the URL is that of the server (default: /engine.io/); ``options`` are those of
    :class:`siocore.EngineClientOptions`. Returns when it is open. Closing it sends what is left, for at most ``grace``
    seconds.

    Raises ConnectError if it can't connect, TypeError and ValueError for options that are wrong.
    """
    app = EngineClient()
    runner = Runner(app, grace, BlockingHost())
    try:
        connection = runner.call(app.connect, url, **options)
        runner.run(connection.opened)
    except BaseException:
        runner.close()
        raise
    return Connection(runner, connection)
