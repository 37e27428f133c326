"""The driver's record of one connection: its descriptor, and what of its output the kernel has not taken yet."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

from siocore._driver.interfaces import Connection
from siocore._driver.poller import READ
from siocore._driver.tls import TLSStream

__all__ = ["Wire"]

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Wire:
    """One connection. ``stream`` is the socket, or TLS above it: both have ``recv`` and ``send``."""

    __slots__ = ("conn", "eof", "fd", "hung_up", "mask", "rest", "shut", "sock", "stream", "tls")

    def __init__(self, sock: socket.socket, tls: TLSStream | None, conn: Connection) -> None:
        self.sock = sock
        self.tls = tls
        self.stream: socket.socket | TLSStream = sock if tls is None else tls
        self.fd = sock.fileno()
        self.conn = conn
        #: What the poller watches it for.
        self.mask = READ
        #: Output that was taken from the connection and is still to be sent.
        self.rest: memoryview | None = None
        #: The peer has shut down its side, we have shut down ours.
        self.eof = False
        self.shut = False
        #: The peer has shut down its side, and there are still bytes before that to be read.
        self.hung_up = False

    def unsent(self) -> int:
        """Bytes that were taken from the connection and not accepted by the kernel."""
        return (len(self.rest) if self.rest is not None else 0) + (self.tls.backlog if self.tls is not None else 0)

    def send(self, data: bytes | memoryview) -> bool:
        """Send; true when everything has left. What has not is in ``rest``, or encrypted in the TLS stream.

        Raises :exc:`OSError` when the connection is broken.
        """
        try:
            sent = self.stream.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            self.rest = None
            return self.tls is None or not self.tls.backlog
        self.rest = memoryview(data)[sent:]
        return False

    def send_rest(self) -> bool:
        """Send what is left; true when everything has left. Raises as :meth:`send`."""
        if self.rest is not None:
            return self.send(self.rest)
        return self.tls is None or self.tls.flush()

    def at_end(self) -> bool:
        """Whether the peer has shut down its side and no byte is left to be read before that."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False

    def shut_down(self) -> None:
        """Say that nothing more will be sent."""
        self.shut = True
        if self.tls is not None:
            self.tls.close_notify()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool) -> None:
        """Close the descriptor. ``reset`` drops what is in the kernel's buffers, too."""
        with contextlib.suppress(OSError):
            if reset:
                # Else the kernel would keep the bytes, and try to send them, for a peer that does not read.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            elif self.tls is not None and not self.shut:
                self.tls.close_notify()
        self.sock.close()
