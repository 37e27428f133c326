"""The turn of the loop, its leader and its followers.

One task, the leader, does everything: it reads what is ready, hands it to the core, runs the handlers, and writes
what has come out of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from threading import get_ident
from typing import Final

from siocore._driver.handlers import Suspended, stay_with
from siocore._driver.interfaces import Application, Host, Pump, Service, Traffic
from siocore._driver.turn import SLICE, Stop
from siocore.waiting import Waiter

__all__ = ["Leader"]

# Theory of operation
# -------------------
# A turn:    read what is ready -> core -> handlers -> deadline -> output, one write per connection -> wait.
#            Deadlines and output can make events: Turn.pump() repeats these steps until nothing is left.
# Leader:    the task that runs turns. A handler that suspends makes it a follower: the task stays with that handler
#            and ends with it, and a new task leads (handlers.py). So there is one leader at any time, and no lock.
# Waking:    the endpoint calls wake() whenever it has work. The leader looks for work before it waits, so within its
#            thread that matters only while it waits (_waiting). Other threads always signal.
# Timeouts:  the core is told a time only when all bytes that were in the kernel by then have been read, so that
#            nobody is declared dead whose answer has arrived, however long a handler has blocked the loop.
# Stopping:  shut_down() accepts no more and tells the endpoint; turns go on until connections and handlers are
#            gone (`drained`). abort() drops the rest; the leader's last turn ends with `ended`. Then the host
#            cancels what handlers and services are left. A failure wakes `stop` and skips the first half.

logger = logging.getLogger("siocore")

#: The leader lets other tasks run after this many turns, or SLICE seconds.
_TURNS: Final = 16


class Leader:
    """Runs the turns of one application, whatever carries its clients: subclasses set ``_traffic`` and ``_pump``.

    Its host starts it with :meth:`start`, waits for ``stop``, and stops it with :meth:`shut_down` (for a graceful
    stop), :meth:`abort` and :meth:`close`, in this order.
    """

    _traffic: Traffic
    _pump: Pump
    #: Whether a turn that has read something is followed by another one before the leader waits. Among many connections
    #: there is mostly more by then.
    _looks_again = True

    def __init__(self, app: Application, host: Host) -> None:
        protocol = app.protocol
        if protocol.wake is not None:
            raise RuntimeError("this application is being served already; make one application for each server")
        self._protocol = protocol
        self._host = host
        self._thread = get_ident()
        self._waiting = False
        # Handlers that have suspended and not ended.
        self._suspended = 0
        self._leading = False
        # The latest turn has not handled all events.
        self._left_over = False
        self._stopping = False
        # Of a graceful stop: the clients have not been told yet.
        self._farewell_due = False
        self._aborted = False
        # Services that have not said yet that they are ready; None once the leader leads.
        self._opening: int | None = 0
        #: What ended the driver, if it was not asked to end. The host raises it.
        self.failure: BaseException | None = None
        #: Serving should stop: woken by a failure, and by the host.
        self.stop: Waiter = host.make_waiter()
        #: Clients are let in: every service is ready. Woken by what wakes ``stop``, too.
        self.started: Waiter = host.make_waiter()
        self.drained: Waiter = host.make_waiter()
        self.ended: Waiter = host.make_waiter()
        #: Whether ``ended`` has been woken.
        self.over = False

    # For the host -------------------------------------------------------------------------------------------------

    def start(self, services: Sequence[Service] = ()) -> None:
        """Begin to serve: first the services, then, when all are ready, the clients. ``started`` tells when."""
        self._protocol.wake = self.wake
        self._protocol.make_waiter = self._host.make_waiter
        self._protocol.clock = self._host.clock
        self._opening = len(services)
        for service in services:
            self._host.spawn(partial(self._run_service, service))
        if not services:
            self._begin()

    def ask_to_stop(self) -> None:
        """Wake the host, which waits for ``started`` or ``stop``."""
        self.started.wake()
        self.stop.wake()

    def shut_down(self) -> None:
        """Begin a graceful stop: accept no more, say goodbye, and let everything end. ``drained`` tells when."""
        if not self._stopping:
            self._begin()
            self._stopping = True
            self._traffic.close_listeners()
            # What was read before is handled first: whoever has sent it gets the answer.
            self._farewell_due = True
            if not self._left_over:
                self._say_farewell()
            self._traffic.signal()

    def abort(self) -> None:
        """Drop every connection. ``ended`` tells when the application has heard of it."""
        self._aborted = True
        if isinstance(self.failure, Exception):
            # A bug. The core can't be trusted with anything more.
            self._end()
            return
        try:
            self.shut_down()
            self._say_farewell()
            self._traffic.write(self._host.clock())
            self._protocol.abort(self._host.clock())
        except Exception as exc:
            self.fail(exc)
            return
        if self._leading:
            self._traffic.signal()
        else:
            self._lead_on()

    def close(self) -> None:
        """Close every descriptor. No task of the driver may be left."""
        self._protocol.wake = None
        self._protocol.make_waiter = None
        self._protocol.clock = None
        self._traffic.close()

    def wake(self) -> None:
        """There may be something to do. Cheap; to be called from any thread."""
        if self._waiting or get_ident() != self._thread:
            self._traffic.signal()

    def fail(self, exc: BaseException) -> None:
        """End the driver with this exception."""
        if self.failure is None:
            self.failure = exc
        self.ask_to_stop()
        self.drained.wake()
        if self._aborted:
            self._end()

    # Services -----------------------------------------------------------------------------------------------------

    async def _run_service(self, service: Service) -> None:
        """The body of the task of a service. It ends when the host cancels what is left, last of all."""
        ready = False

        def is_ready() -> None:
            nonlocal ready
            if not ready:
                ready = True
                self._service_ready()

        try:
            await service.run(is_ready)
        except self._host.cancelled:
            raise
        except BaseException as exc:
            self.fail(exc)
        finally:
            is_ready()

    def _service_ready(self) -> None:
        if self._opening is not None:
            self._opening -= 1
            if not self._opening:
                self._begin()

    def _begin(self) -> None:
        """Let clients in."""
        if self._opening is not None:
            self._opening = None
            self._host.open(self._traffic.fileno(), self._traffic.signal)
            self._lead_on()
            self.started.wake()

    # Leader and follower ------------------------------------------------------------------------------------------

    def _lead_on(self) -> None:
        self._leading = True
        self._host.spawn(self._lead)

    async def _lead(self) -> None:
        """The body of every task of the driver: lead, then stay with the handler that suspended."""
        try:
            suspended = await self._turns()
        except self._host.cancelled:
            # By somebody who took this task for that of a handler, or by a handler that awaited what was cancelled
            # already. The driver's own end is not a cancellation.
            if self._leading:
                self._leader_cancelled()
            raise
        except BaseException as exc:
            self._leading = False
            self.fail(exc)
            return
        if suspended is None:
            return
        self._suspended += 1
        self._lead_on()
        try:
            await stay_with(suspended)
        except self._host.cancelled:
            raise
        except BaseExceptionGroup as group:
            self._group_raised(group)
        except BaseException as exc:
            self.fail(exc)
        finally:
            self._suspended -= 1
            if self._stopping:
                self.wake()

    def _leader_cancelled(self) -> None:
        self._lead_on()

    def _group_raised(self, group: BaseExceptionGroup[BaseException]) -> None:
        """A handler's nursery has raised. What was cancelled in it is over, and errors do not end the server."""
        _, rest = group.split(self._host.cancelled)
        if isinstance(rest, ExceptionGroup):
            logger.error("a handler failed while it was cancelled", exc_info=rest)
        elif rest is not None:
            self.fail(rest)

    async def _turns(self) -> Suspended | None:
        """Lead. Returns the handler that suspended, or ``None`` if this task has nothing more to do."""
        host = self._host
        clock = host.clock
        read = self._traffic.read
        pump = self._pump
        looks_again = self._looks_again
        cancel_requests = host.cancel_requests()
        self._waiting = False
        turns = 0
        slice_start = clock()
        while True:
            now = clock()
            # Events that are left over come first: what is read must not pile up.
            busy = self._left_over or read(now)
            self._left_over = True
            outcome = pump(now, slice_start, cancel_requests)
            self._left_over = outcome is not None
            if outcome is None:
                if self._farewell_due:
                    self._say_farewell()
                    continue
                if self._stopping and self._is_over():
                    return None
                if not busy or not looks_again:
                    self._waiting = True
                    await host.wait(self._next_deadline())
                    self._waiting = False
                    turns = 0
                    slice_start = clock()
                    continue
                turns += 1
            elif outcome is Stop.SLICE_OVER:
                turns = _TURNS
            elif outcome is Stop.CANCELLED:
                self._lead_on()
                return None
            else:
                return outcome
            if turns >= _TURNS or now - slice_start > SLICE:
                await host.checkpoint()
                turns = 0
                slice_start = clock()

    def _say_farewell(self) -> None:
        if self._farewell_due:
            self._farewell_due = False
            self._protocol.shutdown(self._host.clock())

    def _is_over(self) -> bool:
        if not self._traffic and not self._suspended:
            self.drained.wake()
        if not self._aborted:
            return False
        self._end()
        return True

    def _end(self) -> None:
        self._leading = False
        self.over = True
        self.ended.wake()

    def _next_deadline(self) -> float | None:
        deadline = self._protocol.next_deadline()
        resume_at = self._traffic.resume_at
        return resume_at if resume_at is not None and (deadline is None or resume_at < deadline) else deadline
