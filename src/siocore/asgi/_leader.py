"""The leader of a server whose sockets are an ASGI server's.

Requests and WebSockets live in the tasks that the ASGI server gives them. They tell the endpoint what arrived and wait
until it has an answer. Handlers run in the leader's task, as they do on our own driver: see _driver/leader.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from siocore._driver.handlers import Suspended
from siocore._driver.interfaces import Application
from siocore._driver.leader import Leader
from siocore._driver.turn import SLICE, Stop
from siocore._speedups import call_in_copied_context
from siocore.asgi._messages import messages_in
from siocore.asgi._types import AsgiHost
from siocore.endpoint.engine import EngineServerProtocol
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.asgi._connection import AsgiConnection

__all__ = ["AsgiLeader"]

logger = logging.getLogger("siocore")

#: Seconds between two turns if nothing has blocked the event loop.
_TURN: Final = 0.05
#: Messages that WebSockets pass in before they wait until their handlers have run.
_MAX_BEHIND: Final = 64


class AsgiLeader(Leader):
    """Serves one application in one event loop."""

    def __init__(self, app: Application, protocol: EngineServerProtocol, host: AsgiHost) -> None:
        super().__init__(app, host)
        self.protocol = protocol
        self.host = host
        self._requests = self._traffic = _Requests(app, protocol, host)
        self._pump = self._requests.pump
        self._latest = b""
        self._latest_messages: list[str | bytes] = []

    def messages_in(self, frames: bytes) -> list[str | bytes]:
        """The messages in frames. A broadcast brings the same frames again and again: they are decoded once."""
        if frames is not self._latest:
            self._latest_messages = messages_in(frames)
            self._latest = frames
        return self._latest_messages

    def fed(self) -> Waiter | None:
        """The endpoint was told of a message. The waiter is to be waited for before it is told of another."""
        self.wake()
        return self._requests.fed()

    async def stop_serving(self, grace: float) -> None:
        """Say goodbye to clients, give handlers ``grace`` seconds, and cancel what is left."""
        try:
            self.shut_down()
            await self.host.wait_at_most(grace, self.drained)
        finally:
            self.abort()
            try:
                await self.host.wait_anyway(self.ended)
            finally:
                await self.host.end()
                self.close()

    def forget(self) -> None:
        """The event loop has ended without a word. So have its tasks."""
        self.close()
        self.protocol.connections.clear()
        self.protocol.abort(self.protocol.latest)
        while self._protocol.next_event() is not None:
            pass

    def fail(self, exc: BaseException) -> None:
        first = self.failure is None
        super().fail(exc)
        if not first:
            return
        if isinstance(exc, Exception):
            logger.critical("siocore has failed and serves nobody any more", exc_info=exc)
            for connection in list(self.protocol.connections):
                connection.abort()
                cast("AsgiConnection", connection).flush()
        else:
            self.host.crash(exc)

    def _leader_cancelled(self) -> None:
        self.host.leader_cancelled(self._lead_on)


class _Requests:
    """What carries clients here: the requests of the ASGI server, each in a task of its own."""

    def __init__(self, app: Application, protocol: EngineServerProtocol, host: AsgiHost) -> None:
        self._protocol = protocol
        self._dispatch = app.dispatch
        self._host = host
        self._clock = host.clock
        self.signal = host.signal
        self.resume_at: float | None = None
        self._behind = 0
        self._throttled: list[Waiter] = []
        self._latest_turn = 0.0
        # All messages that had arrived at this time have been passed in: nobody is timed out before they were.
        self._settled = float("-inf")

    def __len__(self) -> int:
        return len(self._protocol.connections)

    def fileno(self) -> int:
        return -1

    def read(self, now: float) -> bool:
        """What arrives is read by the tasks of the ASGI server."""
        if self._host.rested:
            self._host.rested = False
            self._settled = now
        elif now - self._latest_turn < _TURN:
            # Busy, but not blocked: the others have had their turns.
            self._settled = self._latest_turn
        self._latest_turn = now
        return False

    def fed(self) -> Waiter | None:
        self._behind += 1
        if self._behind < _MAX_BEHIND:
            return None
        waiter = self._host.make_waiter()
        self._throttled.append(waiter)
        return waiter

    def pump(
        self, now: float, slice_start: float, cancel_requests: Callable[[], int] | None
    ) -> Suspended | Stop | None:
        """Handlers, output and deadline, until the core has nothing more."""
        protocol = self._protocol
        timed = False
        while True:
            outcome = self._handle(slice_start, cancel_requests)
            due = False
            if not timed:
                deadline = protocol.next_deadline()
                if deadline is not None and deadline <= self._settled:
                    due = timed = True
                    protocol.handle_timeout(self._settled)
            self.write(now)
            if outcome is not None:
                return outcome
            if not due:
                self._caught_up()
                return None

    def _handle(self, slice_start: float, cancel_requests: Callable[[], int] | None) -> Suspended | Stop | None:
        protocol = self._protocol
        while (event := protocol.next_event()) is not None:
            started = call_in_copied_context(self._dispatch, event)
            if started is not None:
                context, coroutine = started
                try:
                    return Suspended(context, coroutine, context.run(coroutine.send, None))
                except StopIteration:
                    pass
            if cancel_requests is not None and cancel_requests():
                return Stop.CANCELLED
            if self._clock() - slice_start > SLICE:
                return Stop.SLICE_OVER
        return None

    def write(self, now: float) -> None:
        while ready := self._protocol.take_ready():
            for connection in ready:
                cast("AsgiConnection", connection).flush()

    def _caught_up(self) -> None:
        self._behind = 0
        if self._throttled:
            throttled, self._throttled = self._throttled, []
            for waiter in throttled:
                waiter.wake()

    def close_listeners(self) -> None:
        """The ASGI server has them."""

    def close(self) -> None:
        self._caught_up()
