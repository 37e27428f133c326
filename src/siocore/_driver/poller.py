"""The selector that holds every descriptor of a driver: the one place that knows the platform.

A poller is itself a descriptor, which the host waits for. Masks are those of epoll, also where there is none.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import sys
import threading
from typing import Protocol

__all__ = ["BROKEN", "HANGUP", "READ", "WRITE", "Poller", "make_poller"]

READ = 0x1  # EPOLLIN
WRITE = 0x4  # EPOLLOUT
BROKEN = 0x18  # EPOLLERR | EPOLLHUP: always reported
HANGUP = 0x2000  # EPOLLRDHUP: the peer will send no more. Never reported without epoll.


class Poller(Protocol):
    """A set of descriptors and what to watch them for."""

    wake_fd: int

    def fileno(self) -> int:
        """Readable while :meth:`poll` has something to report."""

    def poll(self, timeout: float, limit: int) -> list[tuple[int, int]]:
        """Descriptors that are ready, at most ``limit``, each with its mask. Level-triggered and fair."""

    def register(self, fd: int, mask: int) -> None:
        """Watch a descriptor."""

    def modify(self, fd: int, mask: int) -> None:
        """Watch it for something else."""

    def unregister(self, fd: int) -> None:
        """Watch it no more. To be called before it is closed."""

    def wake(self) -> None:
        """Make ``wake_fd`` ready, from any thread, also after :meth:`close`."""

    def drain(self) -> None:
        """``wake_fd`` was reported."""

    def close(self) -> None:
        """Close everything."""


class EpollPoller:
    """Linux: epoll and an eventfd."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Edge-triggered: each write is reported once, and nobody needs to read the counter back to zero.
        self._epoll.register(self.wake_fd, select.EPOLLIN | select.EPOLLET)
        self._lock = threading.Lock()
        self.fileno = self._epoll.fileno
        self.poll = self._epoll.poll
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister

    def wake(self) -> None:
        with self._lock:
            if self.wake_fd != -1:
                # Blocks only at 2**64 - 1 wake-ups.
                os.eventfd_write(self.wake_fd, 1)

    def drain(self) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            os.close(self.wake_fd)
            self.wake_fd = -1
        self._epoll.close()


class SelectorPoller:
    """Elsewhere: kqueue through :mod:`selectors`, and a pair of sockets."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.wake_fd = self._receiver.fileno()
        self._selector.register(self.wake_fd, selectors.EVENT_READ)

    def fileno(self) -> int:
        return self._selector.fileno()

    def poll(self, timeout: float, limit: int) -> list[tuple[int, int]]:
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in self._selector.select(timeout)
        ]

    def register(self, fd: int, mask: int) -> None:
        events = _events(mask)
        if events:
            self._selector.register(fd, events)

    def modify(self, fd: int, mask: int) -> None:
        # A selector can't hold a descriptor that it watches for nothing.
        self.unregister(fd)
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def wake(self) -> None:
        # Full: it is readable already. Closed: nobody is there to be woken.
        with contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def close(self) -> None:
        self._selector.close()
        self._receiver.close()
        self._sender.close()


def _events(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def make_poller() -> Poller:
    """The best poller of this platform.

    Raises :exc:`NotImplementedError` where a selector can't itself be waited for (Windows).
    """
    if sys.platform == "win32":
        raise NotImplementedError("siocore serves on systems with epoll or kqueue; Windows has neither")
    if hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return EpollPoller()
    return SelectorPoller()
