"""What the driver expects from the endpoint and the application above it, and from the host below it.

Whoever has these methods can be driven: the driver imports none of the classes that implement them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

from siocore.waiting import Waiter

__all__ = ["Address", "Application", "Connection", "Endpoint", "Host"]

#: Where a server listens: host and port, or the path of a Unix socket.
Address: TypeAlias = tuple[str, int] | str


class Connection(Protocol):
    """One TCP connection of an endpoint. A peer can make none of these methods raise."""

    #: For the driver: its record of this connection.
    transport: object | None
    #: Set by the driver: bytes that it took with ``data_to_send`` and that the kernel has not accepted yet.
    unsent: int

    @property
    def wants_read(self) -> bool:
        """False: read no more until the connection is ready again."""

    @property
    def closing(self) -> bool:
        """True: shut down the write side once the output is sent, and read until EOF."""

    @property
    def closed(self) -> bool:
        """True: close the descriptor once the output is sent."""

    @property
    def aborted(self) -> bool:
        """True: close the descriptor now and drop the output."""

    def receive_data(self, data: bytes, *, now: float) -> None:
        """Bytes came."""

    def receive_eof(self, *, now: float) -> None:
        """The peer will send no more."""

    def connection_lost(self, *, now: float) -> None:
        """The descriptor is gone, whoever closed it."""

    def data_to_send(self) -> bytes:
        """Take all output."""

    def flushed(self, *, now: float) -> None:
        """``unsent`` has come back to 0."""


class Endpoint(Protocol):
    """The sans-I/O endpoint."""

    #: Set by the driver; to be called, from any thread, when there is output, an event or an earlier deadline.
    wake: Callable[[], None] | None
    #: Set by the driver.
    make_waiter: Callable[[], Waiter] | None
    #: Set by the driver: the time, between the calls that carry it.
    clock: Callable[[], float] | None

    def connection_made(self, peer: object, *, now: float, secure: bool = False) -> Connection:
        """A connection was accepted."""

    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` is due."""

    def handle_timeout(self, *, now: float) -> None:
        """``now`` has come. Spurious calls are harmless."""

    def next_event(self) -> Any:
        """The next event for the application, or ``None``."""

    def take_ready(self) -> Sequence[Connection]:
        """Connections that have output or changed one of their flags since the last call."""

    def shutdown(self, *, now: float) -> None:
        """Begin to stop: say goodbye to every client."""

    def abort(self, *, now: float) -> None:
        """Stop now: drop what is left."""


class Application(Protocol):
    """Whoever handles the events of an endpoint."""

    @property
    def protocol(self) -> Endpoint:
        """The endpoint."""

    def dispatch(self, event: Any) -> Coroutine[Any, Any, Any] | None:
        """Handle an event; a coroutine is what is left to be awaited. Neither raises ``Exception``."""


class Host(Protocol):
    """What differs between trio and asyncio."""

    #: What a cancelled task raises.
    cancelled: type[BaseException]

    def clock(self) -> float:
        """Seconds, monotonic."""

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        """Watch ``fd`` for being readable; ``wake()`` makes it readable."""

    async def wait(self, deadline: float | None) -> None:
        """Wait until the descriptor is readable or the deadline has come. May return early."""

    async def checkpoint(self) -> None:
        """Let other tasks run."""

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task; it starts later, never within this call."""

    def make_waiter(self) -> Waiter:
        """A new waiter."""

    def cancel_requests(self) -> Callable[[], int] | None:
        """Tells how often the current task was asked to cancel itself, where that is a property of tasks."""
