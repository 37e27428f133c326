"""The leader of a client: it has no listeners, and connects where its endpoint asks it to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from threading import get_ident

from siocore._driver.dialling import Dialler
from siocore._driver.interfaces import ClientApplication, ClientHost, Service
from siocore._driver.leader import Leader
from siocore._driver.sockets import Sockets
from siocore._driver.turn import Turn

__all__ = ["ClientDriver", "check_grace", "seconds_asleep"]


def seconds_asleep() -> float:
    """How long this machine has slept, from any beginning: time that the clocks of event loops leave out."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return 0.0


def check_grace(grace: float) -> None:
    """Raise ValueError now, and not when the block is left."""
    if not grace >= 0:
        raise ValueError(f"grace must be a number of seconds that is not negative, not {grace!r}")


class ClientDriver(Leader):
    """Drives one client. How it is started and stopped is said at :class:`Leader`.

    ``asleep`` tells how long the machine has slept.
    """

    _looks_again = False

    def __init__(
        self, app: ClientApplication, host: ClientHost, *, asleep: Callable[[], float] = seconds_asleep
    ) -> None:
        super().__init__(app, host)
        protocol = app.protocol
        sockets = Sockets(protocol, (), None)
        sockets.dial_with(Dialler(protocol, host, sockets), protocol)
        self._client = protocol
        self._client_host = host
        self._asleep = asleep
        self._traffic = self._sockets = sockets
        self._pump = Turn(protocol, app.dispatch, sockets, host.clock).pump
        #: Called when the driver has failed: whoever uses the client is to stop.
        self.on_failure: Callable[[], object] | None = None

    def start(self, services: Sequence[Service] = ()) -> None:
        self._client.elapsed_clock = self._elapsed
        self._client_host.begin(self.flush)
        super().start(services)

    def wake(self) -> None:
        """There may be something to do. Cheap; to be called from any thread."""
        if get_ident() != self._thread:
            self._traffic.signal()
        elif self._waiting:
            # Most of what a client sends comes from tasks of its own. What they have to send leaves when they let
            # others run, and without a turn, which would be several system calls.
            self._client_host.soon()

    def flush(self) -> None:
        """Between two turns: send what the network takes at once. Does nothing within one."""
        if not self._waiting:
            return
        try:
            self._sockets.write(self._host.clock())
            if self._sockets.stirred or self._client.has_event or self._stopping:
                self._traffic.signal()
                return
            deadline = self._next_deadline()
            if deadline is not None:
                self._client_host.alarm(deadline)
        except BaseException as exc:
            self.fail(exc)

    def close(self) -> None:
        super().close()
        self._client.elapsed_clock = None

    def fail(self, exc: BaseException) -> None:
        super().fail(exc)
        if self.on_failure is not None:
            self.on_failure()

    def _elapsed(self) -> float:
        # Not just the other clock: that of the host may be one that tests set.
        return self._host.clock() + self._asleep()
