"""What the driver expects from the application above it and from the host below it.

What it expects from the endpoint is in siocore.driven.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from siocore.driven import ClientEndpoint, DrivenEndpoint, ServerEndpoint
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore._driver.handlers import Suspended
    from siocore._driver.turn import Stop

__all__ = [
    "Address",
    "Application",
    "ClientApplication",
    "ClientHost",
    "Host",
    "Pump",
    "ServedApplication",
    "Service",
    "Traffic",
]

#: Where a server listens: host and port, or the path of a Unix socket.
Address: TypeAlias = tuple[str, int] | str


class Application(Protocol):
    """Whoever handles the events of an endpoint."""

    @property
    def protocol(self) -> DrivenEndpoint:
        """The endpoint."""

    def dispatch(self, event: Any) -> Coroutine[Any, Any, Any] | None:
        """Handle an event; a coroutine is what is left to be awaited. Neither raises ``Exception``."""


class Service(Protocol):
    """Something that runs beside a server, in a task of its own: the connection to a broker."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until cancelled; then send what is left to be sent, in little time. Called again for another run.

        ``ready`` is to be called once: when it works, or when it does not work and the server is not to wait for it.
        """


class ServedApplication(Application, Protocol):
    """The application of a server."""

    @property
    def protocol(self) -> ServerEndpoint:
        """The endpoint."""


class ClientApplication(Application, Protocol):
    """The application of a client."""

    @property
    def protocol(self) -> ClientEndpoint:
        """The endpoint."""


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


class ClientHost(Host, Protocol):
    """What a client needs besides."""

    async def getaddrinfo(self, name: str, port: int) -> Sequence[Sequence[Any]]:
        """What ``socket.getaddrinfo`` says for TCP, without keeping others waiting. Raises as that does."""

    def begin(self, flush: Callable[[], None]) -> None:
        """The driver starts; ``flush`` is what :meth:`soon` is about."""

    def soon(self) -> None:
        """Call ``flush`` as soon as whatever runs now lets others run, once for any number of these calls."""

    def alarm(self, deadline: float) -> None:
        """:meth:`wait`, which is under way, is to return at this time, if not before."""


class Traffic(Protocol):
    """What carries the clients of an endpoint: its sockets, or the requests that somebody else's server hands on."""

    @property
    def resume_at(self) -> float | None:
        """When :meth:`read` has something to do in any case."""

    def __len__(self) -> int:
        """How many connections are open."""

    def fileno(self) -> int:
        """What ``Host.open`` gets."""

    def signal(self) -> None:
        """Make ``Host.wait`` return; from any thread."""

    def read(self, now: float) -> bool:
        """Tell the endpoint what has arrived. Returns whether there was anything."""

    def write(self, now: float) -> None:
        """Send the output of every connection that is ready."""

    def close_listeners(self) -> None:
        """Accept no more."""

    def close(self) -> None:
        """Close everything. The core is not told."""


class Pump(Protocol):
    """The middle of a turn: handlers, output and deadline, until the core has nothing more; then ``None``."""

    def __call__(
        self, now: float, slice_start: float, cancel_requests: Callable[[], int] | None
    ) -> Suspended | Stop | None: ...


def services_of(app: ServedApplication) -> Sequence[Service]:
    """What is to run as long as an application is served. They are started before clients are let in, and end last."""
    services: Sequence[Service] = getattr(app, "services", ())
    return services
