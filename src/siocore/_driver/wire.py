"""The driver's record of one connection: its descriptor, and what of its output the kernel has not taken yet."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

from siocore._driver.poller import READ
from siocore._driver.tls import TLSStream
from siocore._driver.transfer import receive, transmit
from siocore.driven import DrivenConnection

__all__ = ["Wire"]

_READ_SIZE: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Wire:
    """One connection: the socket, and TLS above it if there is any."""

    __slots__ = ("conn", "eof", "fd", "hung_up", "mask", "rest", "shut", "sock", "tls")

    def __init__(self, sock: socket.socket, tls: TLSStream | None, conn: DrivenConnection) -> None:
        self.sock = sock
        self.tls = tls
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

    def receive(self) -> bytes | None:
        """What has arrived; ``b""`` at the end, ``None`` if there is nothing. Raises :exc:`OSError`."""
        if self.tls is None:
            return receive(self.fd)
        try:
            return self.tls.recv(_READ_SIZE)
        except BlockingIOError:
            return None

    def send(self, data: bytes | memoryview) -> bool:
        """Send; true when everything has left. What has not is in ``rest``, or encrypted in the TLS stream.

        Raises :exc:`OSError` when the connection is broken.
        """
        tls = self.tls
        if tls is None:
            sent = transmit(self.fd, data)
        else:
            try:
                sent = tls.send(data)
            except BlockingIOError:
                sent = 0
        if sent == len(data):
            self.rest = None
            return tls is None or not tls.backlog
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
