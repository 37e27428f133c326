"""Blocking code under the driver: the thread that calls runs the turns, as long as its call takes."""

from __future__ import annotations

import math
import select
import signal
import socket
import threading
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from types import FrameType
from typing import Any, Final, TypeVar

from siocore.errors import LocalProtocolError

__all__ = ["BlockingHost"]

# Theory of operation
# -------------------
# Tasks:       the leader, and the awaitable that the caller waits for. Each is a coroutine that yields what it waits
#              for: a Waiter, or Readiness (the leader's selector, until a deadline). Between calls the leader stays
#              where it is, and nothing happens.
# Interrupts:  a signal's handler may raise (KeyboardInterrupt) between any two instructions, and the core must not be
#              left in the middle of something. So while the core works, SIGINT is only noted, and its handler called
#              where that is safe: while waiting, in the application's own handlers, and when the call ends.
# Exceptions:  what a handler raises that is no Exception (Ctrl-C again, SystemExit) ends neither the leader nor the
#              connection: it is noted, no further handler runs, and the call raises it.

_T = TypeVar("_T")

_SHORT: Final = 0.1


class _Cancelled(BaseException):
    """Nobody cancels tasks here."""


class _Task:
    __slots__ = ("coroutine", "done", "error", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def outcome(self) -> Any:
        """What it has returned; raises what it has raised."""
        try:
            if self.error is not None:
                raise self.error
            return self.result
        finally:
            # A traceback that reaches its own exception again would keep everything alive.
            self.error = None


class Waiter:
    """A parking place for one task."""

    __slots__ = ("_host", "_task", "_woken")

    def __init__(self, host: BlockingHost) -> None:
        self._host = host
        self._woken = False
        self._task: _Task | None = None

    def wake(self) -> None:
        self._woken = True
        if self._task is not None:
            self._host.ready.append(self._task)
            self._task = None

    async def wait(self) -> None:
        if not self._woken:
            await _suspend(self)

    def park(self, task: _Task) -> None:
        if self._woken:
            self._host.ready.append(task)
        else:
            self._task = task


class _Readiness:
    """What the leader waits for."""

    __slots__ = ("deadline",)

    def __init__(self, deadline: float | None) -> None:
        self.deadline = math.inf if deadline is None else deadline


@types.coroutine
def _suspend(command: Any) -> Generator[Any, Any, None]:
    yield command


class BlockingHost:
    """The thread that made it."""

    cancelled: type[BaseException] = _Cancelled

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        #: Seconds, monotonic.
        self.clock = clock
        #: Waits until a descriptor is readable, for so many seconds at most. A signal may end it.
        self.wait_readable: Callable[[int, float | None], object] = _wait_readable
        self.ready: deque[_Task] = deque()
        #: Tells what ended the driver.
        self.failure: Callable[[], BaseException | None] = lambda: None
        #: Why nothing can be called any more.
        self.over: str | None = None
        self._fd = -1
        self._leader: _Task | None = None
        self._leader_deadline = math.inf
        self._thread = threading.get_ident()
        # Signals arrive nowhere else.
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._running = False
        self._latest_turn = -math.inf
        # Whether a signal's handler may raise now.
        self._safe = False
        self._signalled: tuple[int, FrameType | None] | None = None
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        # What a handler of the application has raised.
        self._raised: BaseException | None = None

    # For the driver -------------------------------------------------------------------------------------------

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        self._fd = fd

    async def wait(self, deadline: float | None) -> None:
        await _suspend(_Readiness(deadline))

    async def checkpoint(self) -> None:
        await _suspend(_Readiness(-math.inf))

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.ready.append(_Task(function()))

    def make_waiter(self) -> Waiter:
        return Waiter(self)

    async def getaddrinfo(self, name: str, port: int) -> Sequence[Sequence[Any]]:
        # Nobody else is kept waiting: there is only this thread.
        return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)

    def begin(self, flush: Callable[[], None]) -> None:
        # Whoever emits between two calls flushes then; within one the leader's next turn does.
        return

    def soon(self) -> None:
        self._wake_leader()

    def alarm(self, deadline: float) -> None:
        self._leader_deadline = min(self._leader_deadline, deadline)

    def cancel_requests(self) -> Callable[[], int] | None:
        # So a turn looks after each handler whether it has raised what the call is to raise.
        return self._has_raised

    def _has_raised(self) -> int:
        return self._raised is not None

    # For the application --------------------------------------------------------------------------------------

    def run(self, begin: Callable[[], Awaitable[_T]], timeout: float | None = None) -> _T:
        """Block until what ``begin`` returns has a result, and run turns and handlers meanwhile.

        Raises TimeoutError after ``timeout`` seconds, LocalProtocolError if this can't block here, and what a signal's
        handler raises; the awaitable is given up then.
        """
        self._enter()
        task = _Task(_awaiting(begin))
        try:
            deadline = math.inf if timeout is None else self.clock() + timeout
            self._step(task)
            # Who takes what is there already, again and again, must answer heartbeats all the same.
            turn = not task.done or self.clock() - self._latest_turn >= _SHORT
            if turn:
                self._wake_leader()
            while turn:
                self._advance(-math.inf if task.done else deadline)
                if task.done and (self._leader is not None or not self.ready):
                    break
                if self._leader is not None and not self.ready and self.clock() >= deadline:
                    raise TimeoutError(f"nothing came within {timeout} seconds")
            result: _T = task.outcome()
            return result
        finally:
            try:
                if not task.done:
                    task.done = True
                    task.coroutine.close()
            finally:
                self._leave()

    def run_until(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Run turns and handlers until the condition is true, or for so many seconds. Returns whether it is true."""
        self._enter()
        try:
            deadline = math.inf if seconds is None else self.clock() + seconds
            self._wake_leader()
            while True:
                self._advance(deadline)
                if self._leader is None or self.ready:
                    continue
                if condition():
                    return True
                if self.clock() >= deadline:
                    return False
        finally:
            self._leave()

    def call(self, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """Call what changes the core, but does not block: from any place of the application, handlers included."""
        self._check_usable()
        if self._running:
            safe, self._safe = self._safe, False
            try:
                return function(*args, **options)
            finally:
                self._safe = safe
                if safe:
                    self._deliver()
        self._hold_signals()
        try:
            return function(*args, **options)
        finally:
            self._release_signals()

    def call_handler(self, handler: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call what belongs to the application, where signals may interrupt it."""
        safe = self._safe
        try:
            self._safe = True
            self._deliver()
            return handler(*args)
        except Exception:
            raise
        except BaseException as error:
            self._safe = False
            if not self._running:
                raise
            if self._raised is None:
                self._raised = error
            return None
        finally:
            self._safe = safe

    @property
    def running(self) -> bool:
        """Whether a blocking call is under way, so that this is a handler."""
        return self._running

    # Turns ----------------------------------------------------------------------------------------------------

    def _advance(self, deadline: float) -> None:
        """Let the next task go on; if there is none, wait until the leader can, or until the deadline."""
        if self._signalled is not None:
            self._safe = True
            try:
                self._deliver()
            finally:
                self._safe = False
        if self.ready:
            self._step(self.ready.popleft())
        elif self._leader is not None:
            until = min(self._leader_deadline, deadline)
            now = self.clock()
            if until > now:
                self._wait(None if until == math.inf else until - now)
            self._wake_leader()
            self._step(self.ready.popleft())
        else:
            raise LocalProtocolError("nothing is left that could end this wait")
        failure = self.failure()
        if failure is not None:
            raise failure
        if self._raised is not None:
            error, self._raised = self._raised, None
            raise error

    def _step(self, task: _Task) -> None:
        if task.done:
            return
        try:
            command = task.coroutine.send(None)
        except StopIteration as stop:
            task.done = True
            task.result = stop.value
        except Exception as error:
            task.done = True
            task.error = error
        else:
            if type(command) is _Readiness:
                self._leader = task
                self._leader_deadline = command.deadline
                self._latest_turn = self.clock()
            else:
                command.park(task)

    def _wake_leader(self) -> None:
        if self._leader is not None:
            self.ready.append(self._leader)
            self._leader = None

    def _wait(self, seconds: float | None) -> None:
        self._safe = True
        try:
            self._deliver()
            self.wait_readable(self._fd, seconds)
        finally:
            self._safe = False

    # Who may call, and signals --------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self.over is not None:
            raise LocalProtocolError(self.over)
        if threading.get_ident() != self._thread:
            raise LocalProtocolError(
                "this client belongs to the thread that opened it: open one in each thread, or use siocore.trio or "
                "siocore.asyncio, which can be told to emit from any thread"
            )

    def check_can_block(self) -> None:
        """Raises LocalProtocolError if a call can't block now."""
        self._check_usable()
        if self._running:
            raise LocalProtocolError(
                "a handler can't block: what it waits for could not arrive meanwhile. Let it take note of what "
                "happened (emit works), and block where wait(), receive() or events() was called"
            )

    def _enter(self) -> None:
        self.check_can_block()
        self._hold_signals()
        self._running = True

    def _leave(self) -> None:
        self._running = False
        self._release_signals()

    def _hold_signals(self) -> None:
        if self._in_main_thread:
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._note_signal)

    def _release_signals(self) -> None:
        previous, self._previous = self._previous, None
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
            if self._signalled is not None:
                (number, frame), self._signalled = self._signalled, None
                previous(number, frame)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = (number, frame)
        if self._safe:
            self._deliver()

    def _deliver(self) -> None:
        if self._signalled is not None and self._previous is not None:
            (number, frame), self._signalled = self._signalled, None
            self._previous(number, frame)


async def _awaiting(begin: Callable[[], Awaitable[_T]]) -> _T:
    return await begin()


def _wait_readable(fd: int, seconds: float | None) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(None if seconds is None else math.ceil(seconds * 1000))
