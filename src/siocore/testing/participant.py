"""What drives an endpoint on virtual time and virtual links: a server's or a client's, the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, TypeVar

from siocore.driven import DrivenConnection, DrivenEndpoint
from siocore.testing.clock import ManualClock
from siocore.testing.network import Link, Pipe
from siocore.testing.simulation import Simulation
from siocore.testing.waiter import VirtualWaiter

__all__ = ["DrivenEnd", "Participant", "Task"]

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="Participant")

#: Handles an event; a coroutine is what is left to be awaited.
Dispatch = Callable[[Any], Coroutine[Any, Any, Any] | None]


class Task(Generic[_T]):
    """A coroutine that runs as far as virtual time lets it; made by :meth:`Participant.start`."""

    __slots__ = ("_error", "_result", "context", "coroutine", "done", "keeps_errors")

    def __init__(self, coroutine: Coroutine[Any, Any, _T], *, keeps_errors: bool) -> None:
        self.context: Context = copy_context()
        self.coroutine = coroutine
        #: Whether it has ended, in whatever way.
        self.done = False
        # What a handler raises is for the test to see at once: dispatch() has dealt with what applications may raise.
        self.keeps_errors = keeps_errors
        self._result: _T | None = None
        self._error: BaseException | None = None

    def result(self) -> _T:
        """What it returned, or raised. Raises RuntimeError if it has not ended."""
        if not self.done:
            raise RuntimeError("the coroutine has not ended")
        if self._error is not None:
            raise self._error
        result: Any = self._result
        return result  # type: ignore[no-any-return]

    def finish(self, result: Any, error: BaseException | None) -> None:
        """For whoever drives it: it has ended."""
        self.done = True
        self._result = result
        self._error = error


class Participant:
    """Runs the handlers of an application, as far as time has come, and moves its bytes over virtual links."""

    def __init__(self, protocol: DrivenEndpoint, dispatch: Dispatch, simulation: Simulation) -> None:
        self.simulation = simulation
        self.clock: ManualClock = simulation.clock
        self._endpoint = protocol
        self._dispatch_event = dispatch
        # Kept in order: which task runs first must not depend on addresses.
        self._tasks: dict[Task[Any], None] = {}
        self._runnable: deque[Task[Any]] = deque()
        self._again: list[DrivenConnection] = []
        self._ends: dict[DrivenEnd, None] = {}
        self._frozen = False
        self._deferred: list[Callable[[], None]] = []
        #: How long its clock has stood still.
        self._slept = 0.0
        protocol.clock = self._time
        protocol.make_waiter = VirtualWaiter
        simulation.add(self)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _time(self) -> float:
        return self.clock.now - self._slept

    # Time -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do all that is due now, until nothing is left to do."""
        self.simulation.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that falls due happens at its own time."""
        self.simulation.advance(seconds)

    def run_until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        """Let as much time pass as it takes until ``condition()`` is true.

        Raises TimeoutError after ``timeout`` virtual seconds, or when nothing more would ever happen.
        """
        self.simulation.run_until(condition, timeout)

    def block(self, seconds: float) -> None:
        """Let time pass while this one does nothing, as when a handler keeps the loop: what arrives waits."""
        self._freeze(seconds)

    def suspend(self, seconds: float) -> None:
        """Let time pass while the machine of this one sleeps: the clock of its timers stands still, as on Linux."""
        self._freeze(seconds, stops=True)

    def _freeze(self, seconds: float, *, stops: bool = False) -> None:
        self.simulation.settle()
        self._frozen = True
        self.simulation.advance(seconds)
        self._frozen = False
        if stops:
            self._slept += seconds
        deferred, self._deferred = self._deferred, []
        for call in deferred:
            call()
        for end in tuple(self._ends):
            end.read_on()
        self.simulation.settle()

    # Coroutines -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many coroutines have started and wait for something: handlers, and those of :meth:`start`."""
        return len(self._tasks)

    def new_waiter(self) -> VirtualWaiter:
        """A gate: a handler awaits it, the test wakes it."""
        return VirtualWaiter()

    def start(self, awaitable: Awaitable[_T]) -> Task[_T]:
        """Run a coroutine beside the handlers, until it waits for something."""
        task = Task(_awaited(awaitable), keeps_errors=True)
        self._begin(task)
        return task

    def run(self, awaitable: Awaitable[_T], timeout: float = 60.0) -> _T:
        """Run a coroutine to its end, letting as much time pass as it takes, and return what it returns.

        Raises what it raises, or TimeoutError after ``timeout`` virtual seconds.
        """
        task = self.start(awaitable)
        try:
            self.simulation.run_until(lambda: task.done, timeout)
        finally:
            if not task.done:
                self._tasks.pop(task, None)
                task.coroutine.close()
        return task.result()

    # Life -----------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Begin the graceful stop: the other side is told."""
        self._endpoint.shutdown(now=self._time())
        self.settle()

    def close(self) -> None:
        """Drop every connection, end coroutines that still wait, and let go of the application."""
        self._endpoint.abort(now=self._time())
        self.settle()
        for task in tuple(self._tasks):
            task.coroutine.close()
        self._tasks.clear()
        self.simulation.remove(self)
        self._endpoint.clock = None
        self._endpoint.make_waiter = None

    # What the simulation calls --------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Handlers and output, until there are no more. Whether there were any."""
        worked = False
        while not self._frozen:
            busy = False
            while (event := self._endpoint.next_event()) is not None:
                busy = True
                self._dispatch(event)
            while self._runnable:
                busy = True
                self._step(self._runnable.popleft())
            busy = self.open_connections() or busy
            ready = self._endpoint.take_ready()
            if self._again:
                ready = [*ready, *self._again]
                self._again.clear()
            for connection in ready:
                busy = True
                end = connection.transport
                if isinstance(end, DrivenEnd):
                    end.send(connection)
            if not busy:
                return worked
            worked = True
        return worked

    def open_connections(self) -> bool:
        """Make the connections that are asked for. Returns whether there were any."""
        return False

    def next_moment(self) -> float | None:
        """When ``handle_timeout`` is due."""
        deadline = None if self._frozen else self._endpoint.next_deadline()
        return None if deadline is None else deadline + self._slept

    def expire(self) -> bool:
        """Call ``handle_timeout`` if it is due."""
        moment = self.next_moment()
        if moment is None or moment > self.clock.now:
            return False
        # The sum above may have lost the last bit of the deadline.
        deadline = self._endpoint.next_deadline()
        assert deadline is not None
        self._endpoint.handle_timeout(now=max(deadline, self._time()))
        return True

    def _dispatch(self, event: Any) -> None:
        context = copy_context()
        coroutine = context.run(self._dispatch_event, event)
        if coroutine is not None:
            task: Task[Any] = Task(coroutine, keeps_errors=False)
            task.context = context
            self._begin(task)

    def _begin(self, task: Task[Any]) -> None:
        self._tasks[task] = None
        self._step(task)

    def _step(self, task: Task[Any]) -> None:
        if task not in self._tasks:
            return
        try:
            waiter = task.context.run(task.coroutine.send, None)
        except StopIteration as stop:
            del self._tasks[task]
            task.finish(stop.value, None)
            return
        except BaseException as error:
            del self._tasks[task]
            task.finish(None, error)
            if task.keeps_errors and isinstance(error, Exception):
                return
            raise
        if isinstance(waiter, VirtualWaiter):
            waiter.resumes.append(lambda: self._runnable.append(task))
            return
        del self._tasks[task]
        task.coroutine.close()
        raise RuntimeError(
            f"a handler awaits {waiter!r}: without an event loop it can only await siocore's own awaitables"
        )

    # What the ends of links call ------------------------------------------------------------------------------

    @property
    def frozen(self) -> bool:
        """Whether it does nothing at present."""
        return self._frozen

    def defer(self, call: Callable[[], None]) -> None:
        """It does nothing at present: call this when it goes on."""
        self._deferred.append(call)

    def attend(self, connection: DrivenConnection) -> None:
        """Look at this connection again at the end of the turn."""
        self._again.append(connection)

    def end_opened(self, end: DrivenEnd) -> None:
        """A connection is there."""
        self._ends[end] = None

    def end_closed(self, end: DrivenEnd) -> None:
        """A connection is gone."""
        del self._ends[end]


class DrivenEnd:
    """An end of a link that belongs to a connection of an endpoint: what the driver does with a socket."""

    def __init__(
        self, participant: Participant, link: Link, connection: DrivenConnection, *, outgoing: Pipe, incoming: Pipe
    ) -> None:
        self.link = link
        self._participant = participant
        # Let go of when the connection is lost: nothing of the endpoint's may live on through the network.
        self._connection: DrivenConnection | None = connection
        self._outgoing = outgoing
        self._incoming = incoming
        self._eof = False
        connection.transport = self
        participant.end_opened(self)

    @property
    def wants_read(self) -> bool:
        if self._participant.frozen:
            return False
        return self._connection is None or self._connection.wants_read

    def read_on(self) -> None:
        """What has arrived meanwhile can be read."""
        self._incoming.reader_ready()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.receive_data(data, now=self._participant._time())

    def eof_received(self) -> None:
        if self._connection is not None:
            self._eof = True
            self._connection.receive_eof(now=self._participant._time())
            self._participant.attend(self._connection)

    def accepted(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._participant.frozen:
            self._participant.defer(self.accepted)
            return
        connection.unsent = self._outgoing.unsent
        if not connection.unsent:
            connection.flushed(now=self._participant._time())
            self._participant.attend(connection)

    def lost(self) -> None:
        if self._participant.frozen:
            self._participant.defer(self.lost)
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            self._participant.end_closed(self)
            connection.transport = None
            connection.connection_lost(now=self._participant._time())

    def send(self, connection: DrivenConnection) -> None:
        """Send the output of a connection that is ready, and do what its flags say."""
        pipe = self._outgoing
        if connection.aborted:
            self.link.reset(self)
            return
        if not pipe.unsent:
            data = connection.data_to_send()
            if data:
                pipe.write(data)
                connection.unsent = pipe.unsent
        if not pipe.unsent:
            if connection.closing or connection.closed:
                pipe.write_eof()
            if connection.closed or (connection.closing and self._eof):
                self._incoming.close()
                self.lost()
                return
        self._incoming.reader_ready()


async def _awaited(awaitable: Awaitable[_T]) -> _T:
    return await awaitable
