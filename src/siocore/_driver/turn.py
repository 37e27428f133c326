"""The middle of a turn: events to handlers, output to sockets, deadlines to the core."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Final

from siocore._driver.handlers import Suspended
from siocore._driver.sockets import Sockets
from siocore._speedups import call_in_copied_context
from siocore.driven import DrivenEndpoint

__all__ = ["SLICE", "Stop", "Turn"]

#: Seconds after which the leader lets other tasks run.
SLICE: Final = 0.005
#: The leader looks at the clock after this many handlers.
_HANDLERS: Final = 32


class Stop(Enum):
    """Why no more handlers are run now."""

    SLICE_OVER = "it is other tasks' turn"
    CANCELLED = "a handler has cancelled the leader's task"


class Turn:
    """Runs handlers and moves what comes of them, for one driver."""

    __slots__ = ("_clock", "_dispatch", "_protocol", "_sockets")

    def __init__(
        self,
        protocol: DrivenEndpoint,
        dispatch: Callable[[Any], Coroutine[Any, Any, Any] | None],
        sockets: Sockets,
        clock: Callable[[], float],
    ) -> None:
        self._protocol = protocol
        self._dispatch = dispatch
        self._sockets = sockets
        self._clock = clock

    def pump(
        self, now: float, slice_start: float, cancel_requests: Callable[[], int] | None
    ) -> Suspended | Stop | None:
        """Handlers, output and deadline, until the core has nothing more: then ``None``."""
        sockets = self._sockets
        protocol = self._protocol
        timed = False
        while True:
            outcome = self._handle(slice_start, cancel_requests)
            due = False
            if not timed:
                deadline = protocol.next_deadline()
                if deadline is not None and deadline <= sockets.settled:
                    due = timed = True
                    protocol.handle_timeout(sockets.settled)
            sockets.write(now)
            if outcome is not None:
                return outcome
            if not due and not sockets.stirred:
                return None
            sockets.stirred = False

    def _handle(self, slice_start: float, cancel_requests: Callable[[], int] | None) -> Suspended | Stop | None:
        """Run handlers until there is no event left, or one suspends, or other tasks should run."""
        protocol = self._protocol
        dispatch = self._dispatch
        left = _HANDLERS
        while (event := protocol.next_event()) is not None:
            started = call_in_copied_context(dispatch, event)
            if started is not None:
                context, coroutine = started
                try:
                    return Suspended(context, coroutine, context.run(coroutine.send, None))
                except StopIteration:
                    pass
            if cancel_requests is not None and cancel_requests():
                return Stop.CANCELLED
            left -= 1
            if not left:
                left = _HANDLERS
                if self._clock() - slice_start > SLICE:
                    return Stop.SLICE_OVER
        return None
