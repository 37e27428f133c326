"""One connection to Redis: pipelines go out, replies and messages come in, without a task switch for each of them.

coredis does the connecting and the handshake. Its own way of waiting for a reply is a task for each, and its way of
handing on messages is a queue without bound. Here what was read is handed on as it comes, and nothing more is read
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio import TASK_STATUS_IGNORED, Lock
from anyio.abc import ByteStream, TaskStatus
from coredis.connection import BaseConnection, TCPConnection, UnixDomainSocketConnection

from siocore.redis._inbound import Batch, Pipeline, hand_on
from siocore.redis._resp import Reader

__all__ = ["PipedConnection", "PipedTCPConnection", "PipedUnixConnection"]


class PipedConnection(BaseConnection):
    """A connection that hands on what it reads as it comes."""

    #: Called with each push message, of which the first is its kind.
    pushed: Callable[[tuple[Any, ...]], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Streams refuse what a second task wants to write.
        self._writing = Lock(fast_acquire=True)
        self._reader = Reader()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Connect, and keep the connection until it ends."""
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

    async def send(self, data: bytes, asked: Pipeline | Batch) -> None:
        """Send a pipeline. Raises OSError, and anyio's errors, if the connection is broken."""
        waiting: Any = asked
        async with self._writing:
            stream = self._open_stream()
            self._requests.append(waiting)
            await stream.send(data)

    async def tell(self, data: bytes) -> None:
        """Send what is answered by push messages. Raises as :meth:`send`."""
        async with self._writing:
            await self._open_stream().send(data)

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


class PipedUnixConnection(PipedConnection, UnixDomainSocketConnection):
    """To a Unix socket."""
