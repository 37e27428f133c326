"""A TCP proxy that cuts its connections at random places, in a thread of its own. What it carries it never changes."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Self

__all__ = ["Nemesis"]

_RESET = struct.pack("ii", 1, 0)


class Nemesis:
    """Listens on ``port`` and carries each connection to the target, until a number of bytes has passed that is drawn
    from ``budget`` (lowest, highest). Then it closes both sides: half of the times so that they see a reset.
    """

    def __init__(self, target: tuple[str, int], seed: int, budget: tuple[int, int]) -> None:
        self._target = target
        self._rng = random.Random(seed)
        self._budget = budget
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: How many connections were cut. From ``calm()`` on, none is.
        self.cuts = 0
        self._calm = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._stop, stopped = socket.socketpair()
        self._selector.register(stopped, selectors.EVENT_READ)
        self._stopped = stopped
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()

    def calm(self) -> None:
        """Cut no more."""
        self._calm.set()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._stopped:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd >= 0 and isinstance(key.data, _Pair):
                    assert isinstance(key.fileobj, socket.socket)
                    self._carry(key.data, key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        pair = _Pair(client, server, self._rng.randint(*self._budget))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, pair)

    def _carry(self, pair: _Pair, source: socket.socket) -> None:
        if pair.closed:
            return
        try:
            data = source.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._close(pair)
            return
        room = len(data) if self._calm.is_set() else min(len(data), pair.budget)
        try:
            # What is in flight here is little: blocking is no matter.
            pair.other(source).sendall(data[:room])
        except OSError:
            self._close(pair)
            return
        pair.budget -= room
        if room < len(data) or (pair.budget <= 0 and not self._calm.is_set()):
            self.cuts += 1
            self._close(pair, reset=self._rng.random() < 0.5)

    def _close(self, pair: _Pair, *, reset: bool = False) -> None:
        pair.closed = True
        for end in (pair.client, pair.server):
            self._selector.unregister(end)
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()

    def _end(self) -> None:
        for key in tuple(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket, budget: int) -> None:
        self.client = client
        self.server = server
        self.budget = budget
        self.closed = False

    def other(self, end: socket.socket) -> socket.socket:
        return self.server if end is self.client else self.client
