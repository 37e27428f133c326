"""An endpoint that speaks lines: the smallest thing that the driver can drive.

Each line is an event; the application answers with ``connection.send``. It implements the whole surface that the
driver expects of an endpoint (siocore.driven), so that the driver is tested without the protocols.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from siocore.driven import DrivenConnection, ServerEndpoint
from siocore.options import ServerOptions

GOODBYE = b"goodbye\n"


@dataclass(frozen=True)
class Line:
    connection: LineConnection
    text: str


@dataclass(frozen=True)
class Gone:
    connection: LineConnection


class LineConnection(DrivenConnection):
    def __init__(self, endpoint: LineEndpoint, peer: object, secure: bool) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.peer = peer
        self.secure = secure
        self.lost = False
        self.eof = False
        self.output = bytearray()
        self.partial = b""
        self.flushes = 0
        self.deadline: float | None = None
        self.log: list[str] = []

    # For the driver

    def receive_data(self, data: bytes, now: float) -> None:
        assert not self.lost
        assert data
        *lines, self.partial = (self.partial + data).split(b"\n")
        self.endpoint.events.extend(Line(self, line.decode()) for line in lines)
        self.touch(now)

    def receive_eof(self, now: float) -> None:
        assert not self.lost
        assert not self.eof
        self.eof = True
        self.log.append("eof")
        if not self.endpoint.keep_half_open:
            self.close()

    def connection_lost(self, now: float) -> None:
        assert not self.lost
        self.lost = True
        self.deadline = None
        self.log.append("lost")
        self.endpoint.connections.discard(self)
        self.endpoint.events.append(Gone(self))

    def data_to_send(self) -> bytes:
        assert self.unsent == 0, "taken though the kernel has not accepted the earlier output yet"
        data = bytes(self.output)
        self.output.clear()
        return data

    def flushed(self, now: float) -> None:
        assert self.unsent == 0
        self.flushes += 1

    # For the application

    def touch(self, now: float) -> None:
        if self.endpoint.idle_timeout is not None:
            self.deadline = now + self.endpoint.idle_timeout

    def send(self, data: bytes) -> None:
        self.output += data
        self.changed()

    def close(self) -> None:
        """Half-close, then wait for the peer's EOF."""
        self.closing = True
        self.changed()

    def close_now(self) -> None:
        """Close once the output is sent."""
        self.closed = True
        self.changed()

    def abort(self) -> None:
        self.aborted = True
        self.changed()

    def pause(self) -> None:
        self.wants_read = False
        self.changed()

    def resume(self) -> None:
        self.wants_read = True
        self.changed()

    def changed(self) -> None:
        if not self.lost and self not in self.endpoint.ready:
            self.endpoint.ready.append(self)
        if self.endpoint.wake is not None:
            self.endpoint.wake()


class LineEndpoint(ServerEndpoint):
    """``idle_timeout``: seconds until a silent connection is told and closed."""

    def __init__(
        self,
        *,
        idle_timeout: float | None = None,
        keep_half_open: bool = False,
        connection_type: type[LineConnection] = LineConnection,
    ) -> None:
        super().__init__(ServerOptions())
        self.idle_timeout = idle_timeout
        self.keep_half_open = keep_half_open
        self.connection_type = connection_type
        self.connections: set[LineConnection] = set()
        self.events: deque[Line | Gone] = deque()
        self.ready: list[DrivenConnection] = []
        self.stopping = False
        self.alarms: list[tuple[float, Callable[[], None]]] = []

    @property
    def now(self) -> float:
        assert self.clock is not None
        return self.clock()

    def connection_made(self, peer: object, now: float, secure: bool = False) -> LineConnection:
        assert not self.stopping
        connection = self.connection_type(self, peer, secure)
        connection.touch(now)
        self.connections.add(connection)
        return connection

    def next_deadline(self) -> float | None:
        deadlines = [connection.deadline for connection in self.connections if connection.deadline is not None]
        return min([*deadlines, *(deadline for deadline, _ in self.alarms)], default=None)

    def handle_timeout(self, now: float) -> None:
        for connection in list(self.connections):
            if connection.deadline is not None and connection.deadline <= now:
                connection.deadline = None
                connection.send(b"timeout\n")
                connection.close_now()
        for alarm in [alarm for alarm in self.alarms if alarm[0] <= now]:
            self.alarms.remove(alarm)
            alarm[1]()

    def call_at(self, deadline: float, function: Callable[[], None]) -> None:
        self.alarms.append((deadline, function))
        if self.wake is not None:
            self.wake()

    def next_event(self) -> Line | Gone | None:
        return self.events.popleft() if self.events else None

    def take_ready(self) -> list[DrivenConnection]:
        ready, self.ready = self.ready, []
        return ready

    def shutdown(self, now: float) -> None:
        self.stopping = True
        for connection in self.connections:
            connection.send(GOODBYE)
            connection.close()

    def abort(self, now: float) -> None:
        for connection in self.connections:
            connection.abort()


Handler = Callable[[LineConnection, str], object]


class LineApp:
    """``handler`` is called with each line, ``gone`` with each connection that has ended; both may be async."""

    def __init__(
        self,
        handler: Handler,
        *,
        gone: Callable[[LineConnection], object] | None = None,
        endpoint: LineEndpoint | None = None,
    ) -> None:
        self.protocol = endpoint if endpoint is not None else LineEndpoint()
        self.handler = handler
        self.gone = gone
        self.errors: list[Exception] = []

    def dispatch(self, event: Line | Gone) -> Coroutine[Any, Any, Any] | None:
        try:
            if isinstance(event, Line):
                result = self.handler(event.connection, event.text)
            else:
                result = self.gone(event.connection) if self.gone is not None else None
        except Exception as exc:
            self.errors.append(exc)
            return None
        return self._guard(result) if inspect.iscoroutine(result) else None

    async def _guard(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except Exception as exc:
            self.errors.append(exc)


def echo(connection: LineConnection, text: str) -> None:
    connection.send(text.encode() + b"\n")
