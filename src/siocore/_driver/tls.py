"""TLS between a socket and the core: an object with the methods of a socket that the driver uses.

Everything here is non-blocking. Reading may produce bytes to send (handshake, alerts, key updates) and those may not
fit into the kernel's buffer at once: what is left is ``backlog``, and the driver calls :meth:`TLSStream.flush` when
the socket is writable.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from siocore._driver.racing import reason_of

__all__ = ["ClientTLSStream", "TLSStream", "tls_advice"]

# Bytes that are encrypted ahead of the kernel: four TLS records.
_CHUNK = 65_536


class TLSStream:
    """The server's side of one TLS connection."""

    __slots__ = ("_cipher", "_incoming", "_outgoing", "_ssl", "ended", "established", "sock")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = self._wrap(context)
        #: Whether the handshake is done.
        self.established = False
        self._cipher = memoryview(b"")
        #: The peer has said that it will send no more (close_notify).
        self.ended = False

    def _wrap(self, context: ssl.SSLContext) -> ssl.SSLObject:
        return context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    @property
    def backlog(self) -> int:
        """Encrypted bytes that the kernel has not accepted yet."""
        return len(self._cipher) + self._outgoing.pending

    def recv(self, size: int) -> bytes:
        """Like ``socket.recv``: ``b""`` is the end, :exc:`BlockingIOError` means that there is nothing for the core.

        Raises :exc:`OSError` (:exc:`ssl.SSLError` is one) when the connection is broken. An end that came behind
        the bytes returned shows in ``ended``.
        """
        data = self.sock.recv(size)
        if not data:
            return b""
        self._incoming.write(data)
        plain: list[bytes] = []
        try:
            if not self.established:
                self._ssl.do_handshake()
                self.established = True
            while chunk := self._ssl.read(size):
                plain.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError:
            # The alert that says why; whether it leaves does not matter any more.
            with contextlib.suppress(OSError):
                self.flush()
            raise
        self.flush()
        if not plain and not self.ended:
            raise BlockingIOError
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt and send what the kernel takes; at most one chunk more is encrypted and waits as ``backlog``.

        Raises :exc:`ssl.SSLWantReadError` before the end of the handshake: nobody is there yet who could read it.
        """
        view = memoryview(data)
        taken = 0
        while taken < len(view) and self.flush():
            taken += self._ssl.write(view[taken : taken + _CHUNK])
        self.flush()
        return taken

    def flush(self) -> bool:
        """Send encrypted bytes; true when none is left."""
        while True:
            if not self._cipher:
                if not self._outgoing.pending:
                    return True
                self._cipher = memoryview(self._outgoing.read())
            try:
                sent = self.sock.send(self._cipher)
            except BlockingIOError:
                return False
            self._cipher = self._cipher[sent:]

    def close_notify(self) -> None:
        """Tell the peer that this was all (RFC 8446, section 6.1), as far as the kernel takes it now."""
        if self.established:
            # SSLWantReadError: the peer's own close_notify is not there yet, and need not come.
            with contextlib.suppress(OSError):
                self._ssl.unwrap()
            with contextlib.suppress(OSError):
                self.flush()


class ClientTLSStream(TLSStream):
    """The client's side. Raises :exc:`ValueError` or :exc:`TypeError` when the name can't be that of a server."""

    __slots__ = ("_server_hostname",)

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._server_hostname = server_hostname
        super().__init__(sock, context)

    def _wrap(self, context: ssl.SSLContext) -> ssl.SSLObject:
        return context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._server_hostname)

    def begin(self) -> None:
        """Say the first word of the handshake; :meth:`recv` goes on with it. Raises :exc:`OSError`."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._ssl.do_handshake()
        self.flush()


def tls_advice(exc: Exception) -> str:
    """What was wrong with a server's TLS, and what to do, as a part of a sentence."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        what = f"its certificate is not valid: {exc.verify_message}"
        if "mismatch" in exc.verify_message:
            return f"{what}; if it is the right server, give the name in the certificate with server_hostname="
        return f"{what}; to trust another authority, give a context that knows it with ssl_context="
    if isinstance(exc, ssl.SSLError) and exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return "it does not speak TLS at this port; is the URL's scheme http:// or ws://?"
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.lower().replace("_", " ")
    return reason_of(exc) if isinstance(exc, OSError) else str(exc)
