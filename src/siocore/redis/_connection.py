"""One connection to Redis: pipelines go out, replies and messages come in, without a task switch for each of them.

coredis does the connecting and the handshake. Its own way of waiting for a reply is a task for each, and its way of
handing on messages is a queue without bound. Here what was read is handed on as it comes, and nothing more is read
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from anyio import TASK_STATUS_IGNORED, Lock
from anyio.abc import ByteStream, SocketAttribute, SocketStream, TaskStatus
from coredis.connection import BaseConnection, TCPConnection, UnixDomainSocketConnection

from siocore._driver.transfer import transmit
from siocore.redis._inbound import hand_on
from siocore.redis._resp import Reader

__all__ = ["PipedConnection", "PipedTCPConnection", "PipedUnixConnection"]


#: Whether what runs is one of our connections.
_is_ours = ContextVar("_is_ours", default=False)


class _OfOthers(logging.Filter):
    """Leaves out what coredis says of our connections: the driver itself tells of outages, once."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


logging.getLogger("coredis").addFilter(_OfOthers())


class Asked(Protocol):
    """Whoever waits for replies."""

    @property
    def complete(self) -> bool:
        """Whether there were all."""

    def consume(self, reply: Any) -> None: ...

    def fail(self, error: BaseException) -> None:
        """The connection is lost."""


class PipedConnection(BaseConnection):
    """A connection that hands on what it reads as it comes."""

    #: Called with each push message, of which the first is its kind.
    pushed: Callable[[tuple[Any, ...]], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Streams refuse what a second task wants to write.
        self._writing = Lock(fast_acquire=True)
        # The socket, if it may be written to beside the stream: whoever holds the lock is done with it when it lets go.
        self._socket: Any = None
        # What has to leave before anything else.
        self._unsent = b""
        self._reader = Reader()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Connect, and keep the connection until it ends."""
        _is_ours.set(True)
        try:
            await super().run(task_status=task_status)
        finally:
            # If nobody answers coredis leaves them open, and anyio complains about that.
            for stream in (
                self._write_buffer_in,
                self._write_buffer_out,
                self._push_message_buffer_in,
                self._push_message_buffer_out,
                self._streamed_message_buffer_in,
                self._streamed_message_buffer_out,
            ):
                stream.close()

    def _data_received(self, data: bytes) -> None:
        hand_on(self._reader.feed(data), self._requests, self.pushed)

    async def send(self, data: bytes, asked: Asked) -> None:
        """Send a pipeline. Raises OSError, and anyio's errors, if the connection is broken."""
        if self.send_now(data, asked):
            return
        waiting: Any = asked
        async with self._writing:
            stream = self._open_stream()
            self._requests.append(waiting)
            await self._write(stream, data)

    async def tell(self, data: bytes) -> None:
        """Send what is answered by push messages. Raises as :meth:`send`."""
        async with self._writing:
            await self._write(self._open_stream(), data)

    def send_now(self, data: bytes, asked: Asked) -> bool:
        """Send a pipeline if nothing has to be waited for, and say whether it was sent."""
        waiting: Any = asked
        if self._socket is None or self.stream is None or self._unsent or self._writing.locked():
            return False
        try:
            sent = transmit(self._socket.fileno(), data)
        except OSError:
            # It is closed, or broken: whoever waits is told why.
            return False
        if not sent:
            return False
        self._requests.append(waiting)
        if sent < len(data):
            self._unsent = data[sent:]
            assert self._task_group is not None
            self._task_group.start_soon(self._send_unsent)
        return True

    async def _send_unsent(self) -> None:
        async with self._writing:
            if self._unsent:
                await self._write(self._open_stream(), b"")

    async def _write(self, stream: ByteStream, data: bytes) -> None:
        if self._unsent:
            data = self._unsent + data
            self._unsent = b""
        socket, self._socket = self._socket, None
        await stream.send(data)
        # If it was cancelled, nobody knows what is still on its way.
        self._socket = socket

    def _open_stream(self) -> ByteStream:
        if self.stream is None:
            raise ConnectionResetError(self.failure())
        return self.stream

    def failure(self) -> str:
        """Why it has ended."""
        error: BaseException | None = self._last_error
        while error is not None and error.__cause__ is not None:
            error = error.__cause__
        return str(error) if error is not None and str(error) else "the connection was closed"


class PipedTCPConnection(PipedConnection, TCPConnection):
    """To a host and port, with TLS if asked for."""

    async def _connect(self) -> ByteStream:
        stream = await super()._connect()
        self._socket = _socket_of(stream)
        return stream


class PipedUnixConnection(PipedConnection, UnixDomainSocketConnection):
    """To a Unix socket."""

    async def _connect(self) -> ByteStream:
        stream = await super()._connect()
        self._socket = _socket_of(stream)
        return stream


def _socket_of(stream: ByteStream) -> Any:
    """The socket below a stream; None if the stream is more than that, or may keep some of what was sent on it."""
    if sys.platform == "win32" or not isinstance(stream, SocketStream):
        return None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Trio, which keeps nothing.
        return stream.extra(SocketAttribute.raw_socket)
    # Others collect what is written, and write it later.
    return stream.extra(SocketAttribute.raw_socket) if isinstance(loop, asyncio.SelectorEventLoop) else None
