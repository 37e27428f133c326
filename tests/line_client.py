"""A client that speaks lines: the twin of line_endpoint, on the other side of a connection."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from siocore.driven import ClientEndpoint, DialledConnection
from siocore.target import Target
from siocore.waiting import Waiter

GOODBYE = b"goodbye\n"


class DialFailed(Exception):
    """What ``opened`` raises."""


class LineDial(DialledConnection):
    """One connection, from the wish for it to its end."""

    def __init__(self, endpoint: LineClient, target: Target) -> None:
        super().__init__(target)
        self.endpoint = endpoint
        self.open = False
        self.lost = False
        self.failure: str | None = None
        self.output = bytearray()
        self.partial = b""
        self.lines: deque[str] = deque()
        self.log: list[str] = []
        self._waiters: list[Waiter] = []

    # For the driver

    def connected(self, now: float) -> None:
        assert not self.log
        self.log.append("connected")
        self.open = True
        self._tell()

    def dial_failed(self, reason: str, now: float) -> None:
        assert not self.log
        self.log.append("failed")
        self.failure = reason
        self.endpoint.dials.discard(self)
        self._tell()

    def receive_data(self, data: bytes, now: float) -> None:
        assert self.open
        assert data
        *lines, self.partial = (self.partial + data).split(b"\n")
        self.lines.extend(line.decode() for line in lines)
        for line in lines:
            self.endpoint.push_received((self, line.decode()))
        self._tell()

    def receive_eof(self, now: float) -> None:
        assert self.open
        self.log.append("eof")
        self.close()

    def connection_lost(self, now: float) -> None:
        assert self.open
        self.log.append("lost")
        self.open = False
        self.lost = True
        self.endpoint.dials.discard(self)
        self._tell()

    def data_to_send(self) -> bytes:
        assert self.open
        assert self.unsent == 0
        data = bytes(self.output)
        self.output.clear()
        return data

    def flushed(self, now: float) -> None:
        assert self.unsent == 0

    # For the application

    def send(self, text: str) -> None:
        self.output += text.encode() + b"\n"
        self.changed()

    def close(self) -> None:
        self.closing = True
        self.changed()

    def close_now(self) -> None:
        self.closed = True
        self.changed()

    def abort(self) -> None:
        self.aborted = True
        self.changed()

    def changed(self) -> None:
        if not self.lost:
            self.endpoint.connection_ready(self)

    async def opened(self) -> LineDial:
        """Wait until it is there; raises DialFailed."""
        await self._until(lambda: bool(self.log))
        if self.failure is not None:
            raise DialFailed(self.failure)
        return self

    async def line(self) -> str:
        """The next line; ``""`` at the end."""
        await self._until(lambda: bool(self.lines) or self.lost)
        return self.lines.popleft() if self.lines else ""

    async def ask(self, text: str) -> str:
        self.send(text)
        return await self.line()

    async def gone(self) -> None:
        await self._until(lambda: self.lost)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = self.endpoint.new_waiter()
            self._waiters.append(waiter)
            await waiter.wait()

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()


class LineClient(ClientEndpoint):
    """``linger``: connections stay open when the client is shut down."""

    def __init__(self, *, linger: bool = False) -> None:
        super().__init__()
        self.linger = linger
        self.dials: set[LineDial] = set()

    def connect(self, address: tuple[str, int] | str, *, secure: bool = False, **options: Any) -> LineDial:
        """Ask for a connection to a host and port, or to a Unix socket."""
        if isinstance(address, str):
            target = Target(host="localhost", port=80, secure=secure, unix_path=address, **options)
        else:
            target = Target(host=address[0], port=address[1], secure=secure, **options)
        dial = LineDial(self, target)
        self.dials.add(dial)
        self.dial(dial)
        return dial

    def shutdown(self, now: float) -> None:
        for dial in list(self.dials):
            if not dial.open:
                dial.abort()
            elif not self.linger:
                dial.output += GOODBYE
                dial.close()

    def abort(self, now: float) -> None:
        for dial in list(self.dials):
            dial.abort()


class LineClientApp:
    """``handler`` is called with each connection and line; it may be async."""

    def __init__(
        self, handler: Callable[[LineDial, str], object] | None = None, *, endpoint: LineClient | None = None
    ) -> None:
        self.protocol = endpoint if endpoint is not None else LineClient()
        self.handler = handler

    def dispatch(self, event: tuple[LineDial, str]) -> Coroutine[Any, Any, Any] | None:
        if self.handler is None:
            return None
        result = self.handler(*event)
        return result if inspect.iscoroutine(result) else None
