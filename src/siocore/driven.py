"""What drivers, endpoints and connections know of each other: the base classes of both sides of that seam.

A server's endpoint is told of the connections that its driver accepts; a client's asks its driver to dial.

They are classes, not protocols, because compiled calls go through them without looking anything up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from siocore.errors import LocalProtocolError
from siocore.options import ServerOptions
from siocore.target import Target
from siocore.timers import TimerQueue
from siocore.waiting import Waiter

__all__ = ["ClientEndpoint", "DialledConnection", "DrivenConnection", "DrivenEndpoint", "ServerEndpoint", "Settler"]

#: Events that were taken are dropped from the list when there are so many of them, though others wait.
_MAX_TAKEN = 1_024


class Settler(Protocol):
    """Whoever has something to do once all that was read has been looked at."""

    def settle(self) -> None: ...


class DrivenConnection:
    """One TCP connection of an endpoint, as its driver sees it. A peer can make none of these methods raise."""

    __slots__ = ("aborted", "closed", "closing", "queued", "transport", "unsent", "wants_read")

    def __init__(self) -> None:
        #: Free for the driver.
        self.transport: Any = None
        #: Set by the driver: bytes that it took with ``data_to_send`` and that the network has not accepted yet.
        self.unsent = 0
        #: False: read no more until the connection is ready again.
        self.wants_read = True
        #: True: shut down the sending side once the output is sent, and read until EOF or ``closed``.
        self.closing = False
        #: True: close once the output is sent.
        self.closed = False
        #: True: close now and drop the output.
        self.aborted = False
        #: Set while the endpoint has this connection on its list of ready ones.
        self.queued = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes arrived."""
        raise NotImplementedError

    def receive_eof(self, now: float) -> None:
        """The peer will send nothing more."""
        raise NotImplementedError

    def connection_lost(self, now: float) -> None:
        """The connection is gone, whoever ended it."""
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        """All that is to be sent now, ``b""`` if nothing. The caller must send it, in order."""
        raise NotImplementedError

    def flushed(self, now: float) -> None:
        """The network has accepted what it had refused: ``unsent`` is 0 again."""
        raise NotImplementedError


class DialledConnection(DrivenConnection):
    """A connection that its endpoint asked for.

    Until :meth:`connected` nothing can be sent, and ``data_to_send`` is not called; ``closed`` or ``aborted`` before
    that call the dial off, and then neither method is called.
    """

    __slots__ = ("target",)

    def __init__(self, target: Target) -> None:
        super().__init__()
        #: Where it leads, and by which way.
        self.target = target

    def connected(self, now: float) -> None:
        """The connection is there, TLS and proxies included: what is to be sent is asked for next."""
        raise NotImplementedError

    def dial_failed(self, reason: str, now: float) -> None:
        """It could not be made; nothing else follows. ``reason`` is a sentence for people."""
        raise NotImplementedError


class DrivenEndpoint:
    """An endpoint: its timers, its events for the application, and its connections that have something to send."""

    __slots__ = (
        "_events",
        "_ready",
        "_settlers",
        "_taken",
        "clock",
        "latest",
        "make_waiter",
        "timers",
        "wake",
    )

    def __init__(self) -> None:
        self.timers = TimerQueue()
        #: Set by the driver: tells the time between the calls that carry ``now``.
        self.clock: Callable[[], float] | None = None
        #: Set by the driver: called when there is output, an event or a new deadline. From any thread, often, cheap.
        self.wake: Callable[[], None] | None = None
        #: Set by the driver: makes what the application's awaits wait on.
        self.make_waiter: Callable[[], Waiter] | None = None
        #: The latest ``now`` that the driver has passed in.
        self.latest = 0.0
        # A list and a place in it: a deque can only be reached through its methods.
        self._events: list[Any] = []
        self._taken = 0
        self._ready: list[DrivenConnection] = []
        self._settlers: list[Settler] = []

    # For the driver -------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time, in seconds of the driver's clock."""
        return self.latest if self.clock is None else self.clock()

    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` is to be called at the latest."""
        if self._settlers:
            settlers, self._settlers = self._settlers, []
            for settler in settlers:
                settler.settle()
        return self.timers.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """Time has passed. Spurious calls are harmless."""
        self.latest = now
        self.timers.expire(now)

    def next_event(self) -> Any:
        """The next event for the application, or ``None``."""
        events = self._events
        taken = self._taken
        if taken == len(events):
            return None
        event = events[taken]
        events[taken] = None
        taken += 1
        if taken == len(events) or taken == _MAX_TAKEN:
            del events[:taken]
            taken = 0
        self._taken = taken
        return event

    @property
    def has_event(self) -> bool:
        """Whether :meth:`next_event` has one."""
        return self._taken != len(self._events)

    def take_ready(self) -> list[DrivenConnection]:
        """The connections whose output or flags have changed since the last call."""
        ready = self._ready
        if ready:
            self._ready = []
            for connection in ready:
                connection.queued = False
        return ready

    def shutdown(self, now: float) -> None:
        """Stop gracefully: every client is told. Go on driving until nothing is left."""
        raise NotImplementedError

    def abort(self, now: float) -> None:
        """Drop whatever is left."""
        raise NotImplementedError

    # For what the endpoint is made of -------------------------------------------------------------------------

    def connection_ready(self, connection: DrivenConnection) -> None:
        """A connection has output, or its flags changed."""
        connection.queued = True
        ready = self._ready
        ready.append(connection)
        # Whoever looks for the first one finds the others.
        if len(ready) == 1 and self.wake is not None:
            self.wake()

    def push_event(self, event: object) -> None:
        """For events that the application's own calls can cause: whoever drives the endpoint is told."""
        self._events.append(event)
        if self.wake is not None:
            self.wake()

    def push_received(self, event: object) -> None:
        """For events that are caused by what the driver has passed in: it looks for them anyway."""
        self._events.append(event)

    def settle_later(self, settler: Settler) -> None:
        """``settler.settle()`` is called before the driver is told the next deadline.

        What is over by then needs no timer: arming and cancelling one for each message would cost more than most of it.
        """
        self._settlers.append(settler)

    def new_waiter(self) -> Waiter:
        """Raises LocalProtocolError when nobody drives the endpoint."""
        if self.make_waiter is None:
            raise LocalProtocolError("nobody drives this endpoint: awaiting needs a server that runs")
        return self.make_waiter()


class ServerEndpoint(DrivenEndpoint):
    """An endpoint that is connected to."""

    __slots__ = ("options",)

    def __init__(self, options: ServerOptions) -> None:
        super().__init__()
        self.options = options

    def connection_made(self, peer: object, now: float, secure: bool = False) -> DrivenConnection:
        """A TCP connection was accepted. ``peer`` is its address, for the application; ``secure`` says it is TLS."""
        raise NotImplementedError


class ClientEndpoint(DrivenEndpoint):
    """An endpoint that connects to others."""

    __slots__ = ("_dials", "elapsed_clock")

    def __init__(self) -> None:
        super().__init__()
        #: Set by the driver: seconds that have passed in the world, those in which this machine slept included. The
        #: driver's other clock may have stood still then.
        self.elapsed_clock: Callable[[], float] | None = None
        self._dials: list[DialledConnection] = []

    @property
    def elapsed(self) -> float:
        """Seconds of the world's time, from any beginning."""
        return self.now if self.elapsed_clock is None else self.elapsed_clock()

    def dial(self, connection: DialledConnection) -> None:
        """Ask the driver to open a connection."""
        self._dials.append(connection)
        if self.wake is not None:
            self.wake()

    def take_dials(self) -> list[DialledConnection]:
        """For the driver: the connections that are to be opened."""
        dials = self._dials
        if dials:
            self._dials = []
        return dials
