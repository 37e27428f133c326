"""Start a siocore server as users do, and run JavaScript peers against it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

__all__ = [
    "ASGI_SERVERS",
    "HERE",
    "LOOPS",
    "ServerProcess",
    "chromium",
    "node_packages",
    "run_node",
    "serve",
    "serve_asgi",
    "serve_node",
]

HERE = Path(__file__).resolve().parent
#: Every test with a peer runs on both bindings.
LOOPS = ("trio", "asyncio")
#: The ASGI servers, each with the worker that it is asked for.
ASGI_SERVERS = ("uvicorn", "hypercorn-asyncio", "hypercorn-trio", "granian")
START_TIMEOUT = 20.0
STOP_TIMEOUT = 10.0
NODE_TIMEOUT = 90.0


def node_packages() -> str | None:
    """Why the JavaScript peers can't run here; ``None`` if they can."""
    if shutil.which("node") is None:
        return "node was not found"
    if not (HERE / "node_modules" / "socket.io-client").is_dir():
        return "the npm packages are not installed: `make peers` does it (npm ci in tests/peers)"
    return None


def chromium() -> str | None:
    """The path of Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class ServerProcess:
    """A server in a process of its own, which ends with the ``with`` block. ``lines`` is what it has printed so far."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        *,
        module: str = "siocore",
        ready: str = "listening on",
        program: tuple[str, ...] = (),
    ) -> None:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"}
        self.process = subprocess.Popen(
            [*(program or (sys.executable, "-m", module)), *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._printed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        announced = re.search(f"{ready} (.*?://\\S+|.+)", self.wait_for_line(ready, START_TIMEOUT))
        assert announced is not None
        self.url = announced[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_for_line(self, text: str, timeout: float = 10.0) -> str:
        """The first line with ``text`` in it; fails if the server ends or ``timeout`` seconds pass without one."""
        with self._printed:
            if self._printed.wait_for(lambda: self._find(text) is not None or not self._reader.is_alive(), timeout):
                line = self._find(text)
                if line is not None:
                    return line
        self.process.kill()
        raise AssertionError(f"the server never printed {text!r}; it printed:\n" + "\n".join(self.lines))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        assert not self._reader.is_alive(), "what it has started is still there"
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def _find(self, text: str) -> str | None:
        return next((line for line in self.lines if text in line), None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._printed:
                    self.lines.append(line.rstrip("\n"))
                    self._printed.notify_all()
        with self._printed:
            self._printed.notify_all()


@contextmanager
def serve(*arguments: str, folder: Path = HERE, tracebacks: int = 0) -> Iterator[ServerProcess]:
    """``siocore <arguments>`` on a free port while the block runs; it must stop cleanly afterwards.

    ``tracebacks`` is how many it must have logged: handlers that fail are logged once.
    """
    with ServerProcess([*arguments, "--port", "0"], folder) as server:
        yield server
        code = server.stop()
    output = "\n".join(server.lines)
    assert code == 0, f"the server ended with exit code {code}:\n{output}"
    assert output.count("Traceback") == tracebacks, output


@contextmanager
def serve_node(script: str, *arguments: str) -> Iterator[dict[str, int]]:
    """Run tests/peers/js/<script> while the block runs; it prints ``listening on {"name": port, ...}``."""
    reason = node_packages()
    if reason is not None:
        pytest.skip(reason)
    with ServerProcess([str(HERE / "js" / script), *arguments], HERE, program=("node",)) as process:
        yield json.loads(process.url)
        assert process.process.poll() is None, "\n".join(process.lines)
    assert len(process.lines) == 1, "\n".join(process.lines)


@contextmanager
def serve_asgi(server: str, app: str, folder: Path = HERE, tracebacks: int = 0) -> Iterator[ServerProcess]:
    """The ASGI application ``app`` on one of ASGI_SERVERS while the block runs."""
    name, _, worker = server.partition("-")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "uvicorn":
        arguments, ready = [app, "--port", "0"], "Uvicorn running on"
    elif name == "hypercorn":
        arguments, ready = [app, "--bind", "127.0.0.1:0", "-k", worker], "Running on"
    else:
        # It takes no port of the system's choice.
        arguments, ready = ["--interface", "asgi", "--port", str(_free_port()), app], "Listening at:"
    with ServerProcess(arguments, folder, module=name, ready=ready) as process:
        _wait_for_worker(process)
        yield process
        process.stop()
    output = "\n".join(process.lines)
    assert output.count("Traceback") == tracebacks, output


def _wait_for_worker(process: ServerProcess) -> None:
    """Some announce themselves before they listen, and before a worker is there to answer."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with socket.create_connection(("127.0.0.1", process.port), START_TIMEOUT) as probe:
                probe.sendall(b"GET /are-you-there HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                assert probe.recv(1), "the ASGI server has no worker"
                return
        except ConnectionRefusedError:
            assert process.process.poll() is None, "\n".join(process.lines)
            assert time.monotonic() < deadline, "the ASGI server never listened"
            time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run_node(script: str, *arguments: str) -> dict[str, Any]:
    """Run tests/peers/js/<script>, which prints ``{"scenario": name, "result": ...}`` for each of its scenarios."""
    reason = node_packages()
    if reason is not None:
        pytest.skip(reason)
    done = subprocess.run(
        ["node", str(HERE / "js" / script), *arguments],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=NODE_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{script} failed:\n{done.stdout}\n{done.stderr}"
    records = [json.loads(line) for line in done.stdout.split("\n") if line]
    return {record["scenario"]: record["result"] for record in records}
