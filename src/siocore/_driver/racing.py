"""Connecting to the first address that answers: Happy Eyeballs (RFC 8305, section 5)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from siocore._driver.poller import WRITE
from siocore._driver.resolving import SocketAddress
from siocore.timers import Timer, TimerQueue

__all__ = ["Race", "Racer", "Watcher", "reason_of"]

#: Seconds that an address has before the next one is tried, too. RFC 8305, section 8: 250 ms.
_HEAD_START: Final = 0.25
#: Seconds until a Unix socket whose queue is full is tried again: the kernel does not tell when there is room.
_PAUSE: Final = 0.02
_NEXT, _AGAIN = range(2)
_IP: Final = (socket.AF_INET, socket.AF_INET6)


class Watcher(Protocol):
    """Who watches descriptors."""

    def watch(self, fd: int, mask: int, step: Callable[[float], None]) -> None:
        """``step(now)`` is called while the descriptor is ready for this. It may be called for nothing."""

    def unwatch(self, fd: int) -> None:
        """Watch it no more. To be called before it is closed."""


class Racer(Protocol):
    """Whose race it is. One of these is called, once, unless the race is cancelled."""

    def won(self, sock: socket.socket, now: float) -> None:
        """A connection, which does not block, and which is watched still if it ever was."""

    def lost(self, errors: list[tuple[SocketAddress, str]], now: float) -> None:
        """No address has answered, for these reasons."""


class Race:
    """One connection to one of several addresses. Each has a head start before the one after it."""

    __slots__ = ("_addresses", "_errors", "_local", "_racer", "_sockets", "_timer", "_timers", "_watcher")

    def __init__(
        self,
        addresses: Sequence[SocketAddress],
        local: SocketAddress | None,
        racer: Racer,
        watcher: Watcher,
        timers: TimerQueue,
    ) -> None:
        self._addresses = list(addresses)
        self._local = local
        self._racer = racer
        self._watcher = watcher
        self._timers = timers
        # Those under way.
        self._sockets: dict[socket.socket, SocketAddress] = {}
        self._errors: list[tuple[SocketAddress, str]] = []
        self._timer: Timer | None = None

    def start(self, now: float) -> None:
        """Begin with the first address."""
        self._try_next(now)

    def cancel(self) -> None:
        """Nobody wants a connection any more."""
        self._timers.cancel(self._timer)
        self._addresses.clear()
        for sock in list(self._sockets):
            self._close(sock)

    def timer_expired(self, kind: int, now: float) -> None:
        """For the timers."""
        if kind == _NEXT:
            self._try_next(now)
            return
        for sock, address in list(self._sockets.items()):
            self._connect(sock, address, now)

    def _try_next(self, now: float) -> None:
        self._timers.cancel(self._timer)
        if self._addresses:
            self._try(self._addresses.pop(0), now)
        elif not self._sockets:
            self._racer.lost(self._errors, now)

    def _try(self, address: SocketAddress, now: float) -> None:
        if self._addresses:
            self._timer = self._timers.arm(now + _HEAD_START, self, _NEXT)
        try:
            sock = socket.socket(address[0], socket.SOCK_STREAM)
        except OSError as exc:
            self._failed(address, exc, now)
            return
        self._sockets[sock] = address
        try:
            sock.setblocking(False)
            if address[0] in _IP:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._local is not None:
                    sock.bind(self._local[1])
        except OSError as exc:
            self._close(sock)
            self._failed(address, exc, now)
            return
        self._connect(sock, address, now)

    def _connect(self, sock: socket.socket, address: SocketAddress, now: float) -> None:
        try:
            sock.connect(address[1])
        except BlockingIOError as exc:
            if exc.errno == errno.EAGAIN and address[0] not in _IP:
                self._timer = self._timers.arm(now + _PAUSE, self, _AGAIN)
                return
            try:
                self._watcher.watch(sock.fileno(), WRITE, partial(self._look, sock))
            except OSError as failure:
                self._close(sock)
                self._failed(address, failure, now)
        except OSError as exc:
            self._close(sock)
            self._failed(address, exc, now)
        else:
            self._win(sock, now)

    def _look(self, sock: socket.socket, now: float) -> None:
        """Something has become of an attempt."""
        address = self._sockets.get(sock)
        if address is None:
            return
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._close(sock)
            self._failed(address, OSError(code, os.strerror(code)), now)
            return
        try:
            peer = sock.getpeername()
        except OSError:
            # Called for nothing: it is still under way.
            return
        if peer == sock.getsockname():
            # TCP lets a port that nobody listens at connect to itself (RFC 9293, section 3.5: simultaneous open), when
            # the kernel happens to choose it for this side.
            self._close(sock)
            self._failed(address, ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)), now)
            return
        self._win(sock, now)

    def _win(self, sock: socket.socket, now: float) -> None:
        del self._sockets[sock]
        self.cancel()
        self._racer.won(sock, now)

    def _failed(self, address: SocketAddress, exc: OSError, now: float) -> None:
        self._errors.append((address, reason_of(exc)))
        # RFC 8305, section 5: the next one does not wait then.
        self._try_next(now)

    def _close(self, sock: socket.socket) -> None:
        del self._sockets[sock]
        self._watcher.unwatch(sock.fileno())
        sock.close()


def reason_of(exc: OSError) -> str:
    """What went wrong, as a part of a sentence."""
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files; raise the limit (ulimit -n)"
    text = exc.strerror or str(exc) or type(exc).__name__
    return text[0].lower() + text[1:]
