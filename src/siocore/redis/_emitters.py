"""Processes that send to the clients of a cluster and serve none."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from siocore.cluster.broker import Broker, Command
from siocore.cluster.emitter import ClassicEmitter
from siocore.cluster.streams_emitter import StreamsEmitter as _StreamsEmitter
from siocore.errors import LocalProtocolError
from siocore.redis._address import Address, parse_address
from siocore.redis._driver import RedisDriver, Timing

__all__ = ["Emitter", "StreamsEmitter"]


class _Connected:
    """What emitters have in common: a connection for as long as a block lasts."""

    _address: Address
    _outbox: _Outbox
    _tasks: TaskGroup | None
    _timeout: float

    @property
    def dropped(self) -> int:
        """How many messages did not reach Redis, or may not have."""
        return self._outbox.dropped

    async def flush(self) -> None:
        """Wait until all that was sent so far has reached Redis.

        Raises ConnectionError if some of it has not, since the last time.
        """
        await self._outbox.drained()

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise LocalProtocolError("this emitter is in use already")
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            ready = anyio.Event()
            driver = RedisDriver(self._outbox, self._address, Timing(timeout=self._timeout, patience=self._timeout))
            tasks.start_soon(driver.run, ready.set)
            await ready.wait()
            if not self._outbox.up:
                raise ConnectionError(self._outbox.reason)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._stop()

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            # Whatever has ended the block is nothing that came out of a task.
            await tasks.__aexit__(None, None, None)


class Emitter(_Connected, ClassicEmitter):
    """Events for the clients of servers with :class:`PubSub`, or with Node.js' @socket.io/redis-adapter::

        async with siocore.redis.Emitter("redis://127.0.0.1:6379") as emitter:
            emitter.to("room").emit("news", 1)

    On trio and on asyncio. The methods queue and return, as those of a server do; leaving the block waits until all has
    reached Redis, as :meth:`flush` does. Entering it raises ConnectionError if Redis is not there within ``timeout``
    seconds. ``url`` and ``ssl_context`` are those of :class:`PubSub`, ``key`` is that of the servers' adapters.

    Raises ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "socket.io",
        namespace: str = "/",
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._outbox = _Outbox()
        super().__init__(self._outbox, key=key, namespace=namespace, done=self._outbox.done)
        self._address = parse_address(url, ssl_context)
        self._timeout = timeout
        self._tasks = None


class StreamsEmitter(_Connected, _StreamsEmitter):
    """Events for the clients of servers with :class:`Streams`, or with Node.js' @socket.io/redis-streams-adapter.

    Used as :class:`Emitter`. ``stream_name``, ``stream_count`` and ``max_length`` are those of the servers' adapters.

    Raises ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        stream_name: str = "socket.io",
        stream_count: int = 1,
        max_length: int = 10_000,
        namespace: str = "/",
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._outbox = _Outbox()
        super().__init__(
            self._outbox,
            stream_name=stream_name,
            stream_count=stream_count,
            max_length=max_length,
            namespace=namespace,
            done=self._outbox.done,
        )
        self._address = parse_address(url, ssl_context)
        self._timeout = timeout
        self._tasks = None


class _Outbox(Broker):
    """A broker that knows what has not been answered."""

    __slots__ = ("_idle", "_lost", "_pending", "_why", "dropped")

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._pending = 0
        self._lost = 0
        self._why = ""
        self._idle: anyio.Event | None = None

    def send(self, command: Command) -> None:
        self._pending += 1
        super().send(command)

    def done(self, reply: object, fault: str | None) -> None:
        """A command was answered, or has failed."""
        self._pending -= 1
        if fault is not None:
            self.dropped += 1
            self._lost += 1
            self._why = fault
        if not self._pending and self._idle is not None:
            self._idle.set()

    async def drained(self) -> None:
        while self._pending:
            if self._idle is None or self._idle.is_set():
                self._idle = anyio.Event()
            await self._idle.wait()
        lost, self._lost = self._lost, 0
        if lost:
            raise ConnectionError(f"{lost} messages did not reach Redis: {self._why}")
