"""One connection to Redis: pipelines go out, replies and messages come in, without a task switch for each of them.

coredis does the connecting, the handshake, the parsing and the packing. Its own way of waiting for a reply is a task
for each, and its way of handing on messages is a queue without bound. Here what the parser has read is handed on as it
comes, and nothing more is read meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anyio import TASK_STATUS_IGNORED, Lock
from anyio.abc import TaskStatus
from coredis.connection import BaseConnection, TCPConnection, UnixDomainSocketConnection
from coredis.constants.resp import DataType
from coredis.exceptions import ConnectionError as ConnectionLost
from coredis.parser import NotEnoughData

__all__ = ["Arguments", "PipedConnection", "PipedTCPConnection", "PipedUnixConnection", "Pipeline"]

#: A command with its arguments, as Redis has them.
Arguments = tuple[Any, ...]


class Pipeline:
    """Several commands that leave together. ``done`` is called with each reply, or an error, in order."""

    #: What coredis' reader asks of whatever it has in its queue.
    current_decode = False
    current_encoding = "utf-8"

    __slots__ = ("_done", "_left")

    def __init__(self, size: int, done: Callable[[Any], None]) -> None:
        self._left = size
        self._done = done

    @property
    def complete(self) -> bool:
        return not self._left

    def consume(self, reply: Any) -> None:
        self._left -= 1
        self._done(reply)

    def fail(self, error: BaseException) -> None:
        """The connection is lost."""
        while self._left:
            self.consume(error if isinstance(error, ConnectionLost) else ConnectionLost(str(error)))


class PipedConnection(BaseConnection):
    """A connection that hands on what it reads as it comes."""

    #: Called with each push message: a list, of which the first is its kind.
    pushed: Callable[[list[Any]], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Streams refuse what a second task wants to write.
        self._writing = Lock(fast_acquire=True)

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
        parser = self._parser
        requests = self._requests
        parser.feed(data)
        while True:
            response = parser.parse(decode=False, encoding="utf-8")
            if isinstance(response, NotEnoughData):
                return
            if response[0] == DataType.PUSH:
                message: Any = response[1]
                self.pushed(message)
            elif requests:
                request = requests[0]
                request.consume(response[1])
                if request.complete:
                    requests.popleft()

    async def send(self, commands: Sequence[Arguments], done: Callable[[Any], None]) -> None:
        """Send a pipeline. Raises OSError, and anyio's errors, if the connection is broken."""
        pipeline: Any = Pipeline(len(commands), done)
        async with self._writing:
            await self._write(commands, [pipeline])

    async def tell(self, command: Arguments) -> None:
        """Send a command that is answered by push messages. Raises as :meth:`send`."""
        async with self._writing:
            await self._write([command], [])

    async def _write(self, commands: Sequence[Arguments], answered: list[Any]) -> None:
        stream = self.stream
        if stream is None:
            raise ConnectionResetError(self.failure())
        self._requests.extend(answered)
        await stream.send(b"".join(self._packer.pack_commands([*commands])))

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
