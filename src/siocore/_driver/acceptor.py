"""Accepting connections, and not accepting them while the system has no descriptor left."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from siocore._driver.listeners import Listener
from siocore._driver.poller import READ, Poller

__all__ = ["Acceptor"]

logger = logging.getLogger("siocore")

#: Connections accepted in one turn, per listener.
_LIMIT: Final = 512
#: Seconds without accepting after the system had no descriptor left. asyncio: 1; trio's serve_tcp: 0.1.
_PAUSE: Final = 1.0


class Acceptor:
    """The listeners of a driver, in its poller."""

    def __init__(self, poller: Poller, listeners: Sequence[Listener]) -> None:
        self._poller = poller
        self._listeners = {listener.sock.fileno(): listener for listener in listeners}
        self._exhausted = False
        #: Listeners with connections to be accepted.
        self.ready: list[Listener] = []
        #: When to try again, while accepting is paused.
        self.resume_at: float | None = None
        for fd in self._listeners:
            poller.register(fd, READ)

    def __len__(self) -> int:
        return len(self._listeners)

    def note_ready(self, fd: int) -> None:
        """The poller has reported this descriptor."""
        listener = self._listeners.get(fd)
        if listener is not None:
            self.ready.append(listener)

    def accept(self, now: float) -> Iterator[tuple[socket.socket, object]]:
        """Connections, each with its peer's address, and in the poller already, from listeners that were noted."""
        while self.ready:
            listener = self.ready.pop()
            for _ in range(_LIMIT):
                try:
                    accepted = listener.accept()
                    if accepted is None:
                        self._exhausted = False
                        break
                    try:
                        self._poller.register(accepted[0].fileno(), READ)
                    except OSError:
                        accepted[0].close()
                        raise
                except OSError as exc:
                    self._pause(exc, now)
                    return
                yield accepted

    def resume(self) -> None:
        """Accept again, after a pause."""
        if self.resume_at is not None:
            self.resume_at = None
            for fd in self._listeners:
                self._poller.register(fd, READ)

    def close(self) -> None:
        """Close the listeners."""
        for fd, listener in self._listeners.items():
            if self.resume_at is None:
                self._poller.unregister(fd)
            listener.close()
        self._listeners.clear()
        self.ready.clear()
        self.resume_at = None

    def _pause(self, exc: OSError, now: float) -> None:
        # A listener stays readable while a connection waits: watching it without accepting would be a busy loop.
        self.ready.clear()
        for fd in self._listeners:
            self._poller.unregister(fd)
        self.resume_at = now + _PAUSE
        if not self._exhausted:
            # Once, until all that wait have been accepted.
            self._exhausted = True
            reason = "too many open files" if exc.errno in (errno.EMFILE, errno.ENFILE) else exc.strerror
            logger.warning("can't accept connections now: %s; those that are open go on", reason)
