"""The leader of a client: it has no listeners, and connects where its endpoint asks it to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from siocore._driver.dialling import Dialler
from siocore._driver.interfaces import ClientApplication, ClientHost
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

    def __init__(
        self, app: ClientApplication, host: ClientHost, *, asleep: Callable[[], float] = seconds_asleep
    ) -> None:
        super().__init__(app, host)
        protocol = app.protocol
        sockets = Sockets(protocol, (), None)
        sockets.dial_with(Dialler(protocol, host, sockets), protocol)
        self._client = protocol
        self._asleep = asleep
        self._traffic = sockets
        self._pump = Turn(protocol, app.dispatch, sockets, host.clock).pump
        #: Called when the driver has failed: whoever uses the client is to stop.
        self.on_failure: Callable[[], object] | None = None

    def start(self) -> None:
        self._client.elapsed_clock = self._elapsed
        super().start()

    def close(self) -> None:
        super().close()
        self._client.elapsed_clock = None

    def flush(self) -> None:
        """Between two turns: send what the network takes at once."""
        self._traffic.write(self._host.clock())

    def fail(self, exc: BaseException) -> None:
        super().fail(exc)
        if self.on_failure is not None:
            self.on_failure()

    def _elapsed(self) -> float:
        # Not just the other clock: that of the host may be one that tests set.
        return self._host.clock() + self._asleep()
