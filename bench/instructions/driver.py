"""The calls that siocore's own driver makes in one turn of the loop, without sockets around them."""

from __future__ import annotations

from contextvars import copy_context

import siocore

__all__ = ["Driver"]


class Driver:
    """Drives a server bytes to bytes, on a clock that only :meth:`wait` moves.

    It keeps to what an embedder may use, so that it stays the same however siocore is built inside. Each method that
    takes a turn returns what the turn has sent: one item per write, in order.
    """

    def __init__(self, io: siocore.Server) -> None:
        self._protocol = io.protocol
        self._dispatch = io.dispatch
        self._now = 0.0
        self._woken = False
        io.protocol.clock = self._clock
        io.protocol.wake = self._wake

    def connect(self) -> siocore.Connection:
        """A TCP connection was accepted."""
        return self._protocol.connection_made(("192.0.2.1", 50_000), now=self._now)

    def receive(self, connection: siocore.Connection, data: bytes) -> list[bytes]:
        """All of ``data`` arrived in one read."""
        connection.receive_data(data, now=self._now)
        return self._turn()

    def wait(self, seconds: float) -> list[bytes]:
        """Time passed, and nothing arrived."""
        self._now += seconds
        self._protocol.handle_timeout(now=self._now)
        return self._turn()

    def _turn(self) -> list[bytes]:
        protocol = self._protocol
        sent = []
        while True:
            self._run_handlers()
            protocol.next_deadline()
            lost = False
            while ready := protocol.take_ready():
                for connection in ready:
                    if data := connection.data_to_send():
                        sent.append(data)
                    if connection.closed:
                        connection.connection_lost(now=self._now)
                        lost = True
            # The end of a connection can be news for the application.
            if not lost:
                return sent

    def _run_handlers(self) -> None:
        next_event = self._protocol.next_event
        dispatch = self._dispatch
        while (event := next_event()) is not None:
            context = copy_context()
            coroutine = context.run(dispatch, event)
            if coroutine is None:
                continue
            try:
                context.run(coroutine.send, None)
            except StopIteration:
                continue
            raise RuntimeError("a handler waits, and nobody is there to wake it")

    def _clock(self) -> float:
        return self._now

    def _wake(self) -> None:
        self._woken = True
