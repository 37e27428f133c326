"""Runs a server on virtual time and virtual links: no socket, no event loop, no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any

from siocore.application import EngineServer, Server
from siocore.driven import DrivenConnection
from siocore.endpoint.connection import Connection
from siocore.events import Event
from siocore.testing.clock import ManualClock
from siocore.testing.network import Link, Network, Stream
from siocore.testing.waiter import VirtualWaiter
from siocore.testing.wire import Response, ResponseReader, request_bytes

__all__ = ["TestServer"]


class TestServer:
    """A :class:`siocore.Server` or :class:`siocore.EngineServer` that runs as far as a test lets it.

    Nothing happens on its own: :meth:`settle` does all that is due now, :meth:`advance` lets time pass. Handlers may
    be coroutines, but can only await what siocore gives them (``emit``, ``emit_with_ack``), ``server.clock.sleep()``
    and gates from :meth:`new_waiter`, since no event loop runs.

    ``batch`` makes it read all that has arrived before it calls handlers, as under load, instead of after each piece.
    """

    __test__ = False  # not a test case, whatever its name

    def __init__(self, app: Server | EngineServer, *, clock: ManualClock | None = None, batch: bool = False) -> None:
        self.app = app
        self.protocol = app.protocol
        self.clock = ManualClock() if clock is None else clock
        self.network = Network(self.clock)
        self._batch = batch
        self._tasks: set[_Task] = set()
        self._runnable: deque[_Task] = deque()
        self._again: list[DrivenConnection] = []
        self.protocol.clock = self.clock
        self.protocol.make_waiter = VirtualWaiter

    def __enter__(self) -> TestServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Time -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do all that is due now, until nothing is left to do."""
        clock = self.clock
        protocol = self.protocol
        while True:
            worked = clock.run_one()
            if worked and self._batch:
                while clock.run_one():
                    pass
            if self._pump() or worked:
                continue
            deadline = protocol.next_deadline()
            if deadline is None or deadline > clock.now:
                return
            protocol.handle_timeout(now=clock.now)

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that falls due happens at its own time."""
        end = self.clock.now + seconds
        self.settle()
        while (moment := self._next_moment()) is not None and moment <= end:
            self.clock.now = moment
            self.settle()
        self.clock.now = end

    def run_until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        """Let as much time pass as it takes until ``condition()`` is true.

        Raises TimeoutError after ``timeout`` virtual seconds, or when nothing more would ever happen.
        """
        end = self.clock.now + timeout
        while True:
            self.settle()
            if condition():
                return
            moment = self._next_moment()
            if moment is None or moment > end:
                raise TimeoutError(f"nothing of the kind happened within {timeout:g} virtual seconds")
            self.clock.now = moment

    def _next_moment(self) -> float | None:
        deadline = self.protocol.next_deadline()
        call = self.clock.next_deadline()
        if deadline is None or call is None:
            return call if deadline is None else deadline
        return min(deadline, call)

    # Connections ----------------------------------------------------------------------------------------------

    def connect(self, peer: object = ("192.0.2.1", 50_000), *, secure: bool = False) -> Stream:
        """Open a connection and return the client's end: raw bytes, before any HTTP."""
        link = self.network.connect()
        connection = self.protocol.connection_made(peer, now=self.clock.now, secure=secure)
        end = _ServerEnd(self, link, connection)
        connection.transport = end
        link.attach(end)
        return link.stream

    def request(self, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Response:
        """Make one HTTP request on a connection of its own and return the answer."""
        stream = self.connect()
        responses: list[Response] = []
        reader = ResponseReader()

        def receive(data: bytes) -> None:
            responses.extend(reader.feed(data, method))

        stream.on_data = receive
        stream.write(request_bytes(method, target, headers, body))
        self.run_until(lambda: responses or stream.eof or stream.closed)
        stream.close()
        self.settle()
        if not responses:
            raise ConnectionError(f"{method} {target}: the server closed the connection without an answer")
        return responses[0]

    # Life -----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many handlers have started and wait for something."""
        return len(self._tasks)

    def new_waiter(self) -> VirtualWaiter:
        """A gate: a handler awaits it, the test wakes it."""
        return VirtualWaiter()

    def shutdown(self) -> None:
        """Begin the graceful stop: clients are told, new requests are refused."""
        self.protocol.shutdown(now=self.clock.now)
        self.settle()

    def close(self) -> None:
        """Drop every connection, end handlers that still wait, and let go of the application."""
        self.protocol.abort(now=self.clock.now)
        self.settle()
        for task in tuple(self._tasks):
            task.coroutine.close()
        self._tasks.clear()
        self.protocol.clock = None
        self.protocol.make_waiter = None

    # A turn ---------------------------------------------------------------------------------------------------

    def _pump(self) -> bool:
        """Handlers and output, until there are no more. Whether there were any."""
        worked = False
        while True:
            busy = False
            while (event := self.protocol.next_event()) is not None:
                busy = True
                self._dispatch(event)
            while self._runnable:
                busy = True
                self._step(self._runnable.popleft())
            ready = self.protocol.take_ready()
            if self._again:
                ready = [*ready, *self._again]
                self._again.clear()
            for connection in ready:
                busy = True
                end = connection.transport
                if isinstance(end, _ServerEnd):
                    end.send(connection)
            if not busy:
                return worked
            worked = True

    def _dispatch(self, event: Event) -> None:
        context = copy_context()
        coroutine = context.run(self.app.dispatch, event)
        if coroutine is not None:
            task = _Task(context, coroutine)
            self._tasks.add(task)
            self._step(task)

    def _step(self, task: _Task) -> None:
        if task not in self._tasks:
            return
        try:
            waiter = task.context.run(task.coroutine.send, None)
        except StopIteration:
            self._tasks.discard(task)
            return
        except BaseException:
            self._tasks.discard(task)
            raise
        if isinstance(waiter, VirtualWaiter):
            waiter.resumes.append(lambda: self._runnable.append(task))
            return
        self._tasks.discard(task)
        task.coroutine.close()
        raise RuntimeError(
            f"a handler awaits {waiter!r}: without an event loop it can only await siocore's own awaitables"
        )

    def attend(self, connection: Connection) -> None:
        """Look at this connection again at the end of the turn."""
        self._again.append(connection)


class _Task:
    """A handler's coroutine."""

    __slots__ = ("context", "coroutine")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.context = context
        self.coroutine = coroutine


class _ServerEnd:
    """The server's end of a link: what the driver does with a socket."""

    def __init__(self, server: TestServer, link: Link, connection: Connection) -> None:
        self._server = server
        self._link = link
        # Let go of when the connection is lost: nothing of the server's may live on through the network.
        self._connection: Connection | None = connection
        self._eof = False

    @property
    def wants_read(self) -> bool:
        return self._connection is None or self._connection.wants_read

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.receive_data(data, now=self._server.clock.now)

    def eof_received(self) -> None:
        if self._connection is not None:
            self._eof = True
            self._connection.receive_eof(now=self._server.clock.now)
            self._server.attend(self._connection)

    def accepted(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.unsent = self._link.to_client.unsent
            if not connection.unsent:
                connection.flushed(now=self._server.clock.now)
                self._server.attend(connection)

    def lost(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._server.network.forget(self._link)
            connection.transport = None
            connection.connection_lost(now=self._server.clock.now)

    def send(self, connection: DrivenConnection) -> None:
        """Send the output of a connection that is ready, and do what its flags say."""
        pipe = self._link.to_client
        if connection.aborted:
            self._link.cut()
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
                self._link.to_server.close()
                self.lost()
                return
        self._link.to_server.reader_ready()
