"""Several worker processes on one port: started, watched, started anew when they die, and stopped together.

The parent opens the listening sockets and hands one to each worker, so that connections which come while a worker is
down wait for the next one. It runs no event loop and knows nothing of the application. What a worker has to know is in
the environment variable :data:`VARIABLE`; everything else is on its command line, which is the parent's.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from siocore._driver.interfaces import Address
from siocore._driver.listeners import open_listeners
from siocore._speedups import IMPLEMENTATION
from siocore._version import __version__
from siocore.cli.run import SIGNALS, Settings, StartError, address_lines
from siocore.options import Worker

__all__ = ["WorkerPlace", "place_of_this_process", "supervise"]

VARIABLE: Final = "SIOCORE_WORKER"
_BACKLOG: Final = 4_096
#: Seconds before a worker that has died is started anew: the first time, and at most. For one that has lived for
#: longer than the latter it is the first time again.
_FIRST_PAUSE: Final = 0.1
_LAST_PAUSE: Final = 5.0
#: Seconds that workers have beyond their grace before they are killed.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What a worker is told by its parent."""

    worker: Worker
    #: The sockets that it listens on.
    sockets: list[socket.socket]
    _ready: int

    def announce(self, addresses: list[Any]) -> None:
        """Clients are let in."""
        os.write(self._ready, b"!")
        os.close(self._ready)


def place_of_this_process() -> WorkerPlace | None:
    """The place of this process if it is a worker."""
    told = os.environ.pop(VARIABLE, None)
    if told is None:
        return None
    place = json.loads(told)
    _end_with_the_parent(place["parent"])
    for fd in (*place["listen"], place["ready"]):
        # Not for the processes that an application starts.
        os.set_inheritable(fd, False)
    sockets = [socket.socket(fileno=fd) for fd in place["listen"]]
    return WorkerPlace(
        Worker(index=place["index"], count=place["count"], folder=place["folder"]), sockets, place["ready"]
    )


def supervise(arguments: Sequence[str], settings: Settings, count: int) -> int:
    """Run ``siocore`` with ``arguments`` in ``count`` processes until SIGINT or SIGTERM; returns the exit code.

    Raises StartError where it can't listen.
    """
    if settings.webtransport_cert is not None:
        raise StartError("WebTransport can't be served by several workers: its UDP port is one process's", exit_code=2)
    try:
        sockets = _open_sockets(settings, count)
    except OSError as exc:
        raise StartError(exc.strerror or str(exc)) from None
    with tempfile.TemporaryDirectory(prefix="siocore-") as folder:
        supervisor = _Supervisor(arguments, settings, count, folder, sockets)
        try:
            return supervisor.run()
        finally:
            supervisor.close()
            if settings.unix_path is not None:
                _unlink(settings.unix_path)


class _Process:
    """One worker."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_fd = -1
        self.ready = False
        self.started_at = 0.0
        self.pause = _FIRST_PAUSE
        self.start_at: float | None = None


class _Supervisor:
    def __init__(
        self,
        arguments: Sequence[str],
        settings: Settings,
        count: int,
        folder: str,
        sockets: list[list[socket.socket]],
    ) -> None:
        self._arguments = arguments
        self._settings = settings
        self._folder = folder
        self._sockets = sockets
        self._workers = [_Process(index) for index in range(count)]
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._stop_at: float | None = None
        self._exit_code = 0
        self._announced = False

    def run(self) -> int:
        for end in (self._signals, self._wakeup):
            end.setblocking(False)
        self._selector.register(self._signals, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wakeup.fileno())
        for number in (*SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        # The others follow when it is ready: what keeps one from starting would keep all, and is said once.
        self._start(self._workers[0])
        while any(worker.process is not None or worker.start_at is not None for worker in self._workers):
            self._turn()
        return self._exit_code

    def close(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._signals.close()
        self._wakeup.close()
        self._close_sockets()

    def _turn(self) -> None:
        now = time.monotonic()
        times = [each.start_at for each in self._workers if each.start_at is not None]
        if self._stop_at is not None:
            times.append(self._stop_at)
        timeout = max(0.0, min(times) - now) if times else None
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                self._is_ready(key.data)
                continue
            for number in self._signals.recv(256):
                if number in SIGNALS:
                    self._stop()
        self._reap()
        now = time.monotonic()
        for worker in self._workers:
            if worker.start_at is not None and worker.start_at <= now:
                worker.start_at = None
                self._start(worker)
        if self._stop_at is not None and self._stop_at <= now:
            self._stop_at = None
            self._say("the workers did not stop in time: killing them")
            self._exit_code = 1
            self._kill()

    # Starting

    def _start(self, worker: _Process) -> None:
        worker.ready_fd, theirs = os.pipe()
        # A child of the worker may have the other end, and say nothing, when the worker is gone.
        os.set_blocking(worker.ready_fd, False)
        listen = [sock.fileno() for sock in self._sockets[worker.index]]
        place = {
            "index": worker.index,
            "count": len(self._workers),
            "folder": self._folder,
            "listen": listen,
            "ready": theirs,
            "parent": os.getpid(),
        }
        try:
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "siocore", *self._arguments],
                env=os.environ | {VARIABLE: json.dumps(place)},
                pass_fds=(*listen, theirs),
                # Ctrl-C is for the parent, which tells them.
                process_group=0,
            )
        finally:
            os.close(theirs)
        worker.started_at = time.monotonic()
        self._selector.register(worker.ready_fd, selectors.EVENT_READ, worker)

    def _is_ready(self, worker: _Process) -> None:
        try:
            said = os.read(worker.ready_fd, 1)
        except BlockingIOError:
            said = b""
        self._forget_pipe(worker)
        if not said:
            # It has died, which is seen elsewhere.
            return
        first = not worker.ready
        worker.ready = True
        if worker.index == 0 and first and self._stop_at is None:
            for each in self._workers[1:]:
                self._start(each)
        if not self._announced and all(each.ready for each in self._workers):
            self._announced = True
            count = len(self._workers)
            version = f"siocore {__version__} ({IMPLEMENTATION})"
            print(f"{version} on {self._settings.loop}, {count} workers; Ctrl-C stops them", flush=True)
            for line in address_lines([_address(sock) for sock in self._sockets[0]], self._settings):
                print(line, flush=True)

    def _forget_pipe(self, worker: _Process) -> None:
        if worker.ready_fd != -1:
            self._selector.unregister(worker.ready_fd)
            os.close(worker.ready_fd)
            worker.ready_fd = -1

    # Ending

    def _reap(self) -> None:
        for worker in self._workers:
            process = worker.process
            if process is None or process.poll() is None:
                continue
            worker.process = None
            if worker.ready_fd != -1:
                self._is_ready(worker)
            if self._stop_at is not None:
                if process.returncode:
                    self._exit_code = 1
            elif not worker.ready:
                # Whatever it is, it has said so.
                self._exit_code = process.returncode if process.returncode > 0 else 1
                self._stop()
            else:
                self._died(worker, process)

    def _died(self, worker: _Process, process: subprocess.Popen[bytes]) -> None:
        code = process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        now = time.monotonic()
        if now - worker.started_at > _LAST_PAUSE:
            worker.pause = _FIRST_PAUSE
        self._say(f"worker {worker.index + 1} (process {process.pid}) {how}; starting another one")
        worker.start_at = now + worker.pause
        worker.pause = min(2 * worker.pause, _LAST_PAUSE)

    def _stop(self) -> None:
        """The first time: everybody stops gracefully. The second time: at once."""
        if self._stop_at is not None:
            self._exit_code = 1
            self._kill()
            return
        self._stop_at = time.monotonic() + self._settings.grace + _PATIENCE
        # Else the system would go on accepting for workers that don't.
        self._close_sockets()
        for worker in self._workers:
            worker.start_at = None
            if worker.process is not None:
                worker.process.terminate()

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()

    def _close_sockets(self) -> None:
        for sockets in self._sockets:
            for sock in sockets:
                sock.close()

    @staticmethod
    def _say(line: str) -> None:
        print(f"siocore: {line}", file=sys.stderr, flush=True)


def _open_sockets(settings: Settings, count: int) -> list[list[socket.socket]]:
    """Those of each worker. Raises OSError with a sentence."""
    listeners = open_listeners(settings.host, settings.port, unix_path=settings.unix_path, backlog=_BACKLOG)
    if settings.unix_path is not None or sys.platform != "linux":
        # They share them: whoever is quickest accepts.
        shared = [listener.sock for listener in listeners]
        return [[sock.dup() for sock in shared] for _ in range(count)]
    # On Linux each has its own, and the system spreads connections evenly. That the address is free is known now.
    addresses: list[tuple[int, Any]] = [(listener.sock.family, listener.sock.getsockname()) for listener in listeners]
    for listener in listeners:
        listener.close()
    return [[_bind(family, name) for family, name in addresses] for _ in range(count)]


def _bind(family: int, name: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(name)
    sock.listen(_BACKLOG)
    return sock


def _address(sock: socket.socket) -> Address:
    name = sock.getsockname()
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else os.fsdecode(name)


def _end_with_the_parent(parent: int) -> None:
    """Stop when the parent is gone, however it went. Only Linux can do that."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:
        # It went before that.
        os.kill(os.getpid(), signal.SIGTERM)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
