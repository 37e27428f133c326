"""Real servers of Redis, on free ports of this machine: tests start, stop, kill and pause them."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import pytest

__all__ = ["RedisServer", "free_port", "redis_cluster"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert isinstance(port, int)
        return port


class RedisServer:
    """One server, empty whenever it starts. Skips the test where there is no Redis."""

    def __init__(self, *options: str) -> None:
        program = shutil.which("redis-server")
        if program is None or shutil.which("redis-cli") is None:
            pytest.skip("redis-server is not installed")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="siocore-redis-")
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._arguments = [program, *fixed, "--dir", self._folder.name, *options]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Returns when it takes connections."""
        process = subprocess.Popen(self._arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            raise RuntimeError(f"redis-server did not start: {''.join(said)}")
        self._process = process

    def kill(self) -> None:
        """As a power failure: nothing is kept."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def pause(self) -> None:
        """It is there, and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *arguments: str) -> str:
        """What it answers, as redis-cli prints it."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()


@contextmanager
def redis_cluster() -> Iterator[list[RedisServer]]:
    """A Redis Cluster of three servers without replicas."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--loglevel", "notice")
            )
            for _ in range(3)
        ]
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        yield servers
