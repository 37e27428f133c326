"""Where connections come in: listening, with errors that say what to do.

What is in the way of an address is the first thing that a new user meets.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence

from siocore._driver.interfaces import Address

__all__ = ["Listener", "open_listeners"]

#: accept() reports faults of a connection that is gone already; accept(2) says to treat them like EAGAIN.
_NOT_OURS = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EPROTO",
        "EPERM",
        "EINTR",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
_IP = (socket.AF_INET, socket.AF_INET6)


class Listener:
    """One listening socket."""

    __slots__ = ("_made", "_path", "sock")

    def __init__(self, sock: socket.socket, path: str | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._path = path
        self._made = _identity(path) if path is not None else None

    @property
    def address(self) -> Address:
        """Where it listens."""
        return _address(self.sock)

    def accept(self) -> tuple[socket.socket, object] | None:
        """The next connection, non-blocking, and its peer's address; ``None`` when none is waiting.

        Raises :exc:`OSError` when this process or machine can't have one more.
        """
        while True:
            try:
                sock, peer = self.sock.accept()
            except BlockingIOError:
                return None
            except OSError as exc:
                if exc.errno in _NOT_OURS:
                    continue
                raise
            sock.setblocking(False)
            if sock.family in _IP:
                # Whoever is gone already is noticed by the first read.
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock, peer
            return sock, self.address

    def close(self) -> None:
        """Stop listening, and remove the file of a Unix socket unless somebody else has put his own there."""
        self.sock.close()
        if self._path is not None and self._made is not None and _identity(self._path) == self._made:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._path = None


def open_listeners(
    host: str | Sequence[str] | None,
    port: int,
    *,
    unix_path: str | os.PathLike[str] | None = None,
    sockets: Iterable[socket.socket] | None = None,
    backlog: int,
) -> list[Listener]:
    """Listen where the caller wants: on given sockets, or on a Unix socket, or on each host (name or address).

    ``None`` or ``""`` as host stands for all interfaces; IPv4 and IPv6 are then two listeners. With port 0 each
    listener gets its own free port. Given sockets belong to the listeners from here on.

    Raises :exc:`OSError` that says which address can't be had, and why; then nothing is left open.
    """
    listeners: list[Listener] = []
    try:
        if sockets is not None:
            for sock in sockets:
                listeners.append(Listener(sock))
                sock.listen(backlog)
        elif unix_path is not None:
            listeners.append(_listen_unix(os.fspath(unix_path), backlog))
        else:
            for name in [host] if host is None or isinstance(host, str) else host:
                listeners += _listen_ip(name, port, backlog)
        if not listeners:
            raise ValueError("nothing to listen on: no host and no socket given")
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listen_ip(host: str | None, port: int, backlog: int) -> list[Listener]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise OSError(exc.errno, f"can't listen on {host!r}: this name has no address ({exc.strerror})") from exc
    listeners: list[Listener] = []
    refused: OSError | None = None
    try:
        # Some resolvers report an address several times.
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            try:
                listeners.append(_bind_ip(family, address, backlog))
            except OSError as exc:
                # A name can stand for addresses that this machine does not have, such as ::1 without IPv6.
                if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                refused = exc
        if not listeners and refused is not None:
            raise refused
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bind_ip(family: int, address: tuple[object, ...], backlog: int) -> Listener:
    shown = f"[{address[0]}]:{address[1]}" if family == socket.AF_INET6 else f"{address[0]}:{address[1]}"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise OSError(exc.errno, f"can't listen on {shown}: {exc.strerror}") from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" is IPv6 only, so that it and "0.0.0.0" can be had together, and each alone, on every system.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"can't listen on {shown}: {_advice(exc)}") from exc
    return Listener(sock)


def _advice(exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return "the port is in use; stop the other program or choose another port (0 for a free one)"
    if exc.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; 127.0.0.1 is always there, 0.0.0.0 stands for all"
    if exc.errno == errno.EACCES:
        return "ports below 1024 are reserved for the system; choose a higher one"
    return str(exc.strerror)


def _listen_unix(path: str, backlog: int) -> Listener:
    abstract = path.startswith("\0")
    if not abstract:
        _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"can't listen on {path!r}: {exc.strerror or exc}") from exc
    return Listener(sock, None if abstract else path)


def _remove_stale(path: str) -> None:
    """Remove the socket that a process which did not end cleanly has left behind."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, f"can't listen on {path!r}: a file that is not a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            # Its queue is full: somebody does listen.
            pass
    raise OSError(errno.EADDRINUSE, f"can't listen on {path!r}: another program listens there; stop it first")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _address(sock: socket.socket) -> Address:
    name = sock.getsockname()
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return os.fsdecode(name)
