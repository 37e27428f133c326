"""Runs a scenario with a client on trio and on asyncio, over real sockets.

The scenario is a coroutine that waits with the endpoint's own waiters, so that it is the same on both. Servers are
plain functions with blocking sockets, in threads. Nothing sleeps; every wait has a watchdog.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol, cast

import pytest
import trio

import siocore.asyncio
import siocore.trio
from driver_harness import WATCHDOG, Client, open_descriptors, uvloop
from line_client import LineClientApp
from siocore._driver.interfaces import ServedApplication
from siocore.application.client import Client as ApplicationClient
from siocore.application.engine_client import EngineConnection
from siocore.asyncio._client import run_client as run_on_asyncio
from siocore.socketio.client_socket import ClientSocket
from siocore.trio._client import run_client as run_on_trio

__all__ = [
    "FreePort",
    "Peer",
    "binding",
    "no_descriptor_left",
    "play",
    "run_client",
    "run_loop",
    "serving",
    "siocore_server",
    "stepping",
]

#: A server's side of one connection, with the methods of a blocking client.
Peer = Client


def run_loop(host: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``main`` on a host; fails if a task is left behind."""
    if host == "trio":
        return trio.run(_on_trio, main)
    loop_factory = uvloop.new_event_loop if uvloop is not None and host == "uvloop" else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_on_asyncio(main))


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """Fails a test that leaves one open."""
    if uvloop is not None:
        # libuv opens a pipe with the first loop and keeps it for the life of the process.
        uvloop.new_event_loop().close()
    before = open_descriptors()
    yield
    left = open_descriptors() - before
    assert not left, f"left open: {left}"


async def _on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    tasks = trio.lowlevel.current_statistics().tasks_living
    try:
        with trio.fail_after(WATCHDOG):
            return await main()
    finally:
        assert trio.lowlevel.current_statistics().tasks_living == tasks


async def _on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    try:
        async with asyncio.timeout(WATCHDOG):
            return await main()
    finally:
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not failures


def run_client(host: str, app: LineClientApp, grace: float = 5.0) -> AbstractAsyncContextManager[LineClientApp]:
    """The binding's block."""
    return (run_on_trio if host == "trio" else run_on_asyncio)(app, grace)


def play(host: str, app: LineClientApp, scenario: Callable[[], Awaitable[Any]], *, grace: float = 5.0) -> Any:
    """Drive the client while the scenario runs, as :func:`run_loop`."""

    async def main() -> Any:
        async with run_client(host, app, grace):
            return await scenario()

    return run_loop(host, main)


class FreePort:
    """A port at which nobody listens, for as long as this is open."""

    def __init__(self) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._sock.getsockname()[:2]
        self._sock.close()


@contextlib.contextmanager
def serving(
    behave: Callable[[Peer], object], *, host: str = "127.0.0.1", unix_path: str | None = None, port: int = 0
) -> Iterator[Any]:
    """A server; ``behave`` is run for each connection, in a thread of its own. Yields the address."""
    if unix_path is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(unix_path)
        listener.listen()
    else:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []
    sockets: list[socket.socket] = []

    def attend(peer: Peer) -> None:
        try:
            behave(peer)
        except (OSError, EOFError):
            pass
        except BaseException as exc:
            failures.append(exc)
        finally:
            peer.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sockets.append(sock)
                thread = threading.Thread(target=attend, args=[Peer(sock)])
                thread.start()
                threads.append(thread)

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname() if unix_path is not None else listener.getsockname()[:2]
    finally:
        # Wakes the thread that accepts.
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(WATCHDOG)
        listener.close()
        for thread in threads:
            thread.join(WATCHDOG)
            assert not thread.is_alive()
    if failures:
        raise failures[0]


class Binding(Protocol):
    """siocore.trio and siocore.asyncio have the same functions."""

    def connect(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientSocket]: ...

    def connect_engine(self, url: str, **options: Any) -> AbstractAsyncContextManager[EngineConnection]: ...

    def open_client(self, **defaults: Any) -> AbstractAsyncContextManager[ApplicationClient]: ...


def binding(host: str) -> Binding:
    """siocore.trio or siocore.asyncio."""
    return cast(Binding, siocore.trio if host == "trio" else siocore.asyncio)


@contextlib.contextmanager
def siocore_server(io: ServedApplication, *, port: int = 0, **options: Any) -> Iterator[str]:
    """A server of our own, in a thread. Yields its URL."""
    started: queue.SimpleQueue[tuple[trio.lowlevel.TrioToken, trio.CancelScope, int]] = queue.SimpleQueue()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                serve = partial(siocore.trio.serve, io, port=port, grace=0.0, **options)
                addresses = await nursery.start(serve)
                address = addresses[0]
                bound = 0 if isinstance(address, str) else address[1]
                started.put((trio.lowlevel.current_trio_token(), scope, bound))

    thread = threading.Thread(target=trio.run, args=[main])
    thread.start()
    token, scope, bound = started.get(timeout=WATCHDOG)
    scheme = "https" if options.get("ssl_context") is not None else "http"
    try:
        yield f"{scheme}://127.0.0.1:{bound}"
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(WATCHDOG)
        assert not thread.is_alive()


@types.coroutine
def stepping(coroutine: Coroutine[Any, Any, Any], step: int, act: Callable[[], object]) -> Generator[Any, Any, bool]:
    """Run a coroutine; ``act()`` before it suspends for the given time. Returns whether it got there."""
    send: Callable[[Any], Any] = coroutine.send
    value: Any = None
    count = 0
    while True:
        try:
            yielded = send(value)
        except StopIteration:
            return count >= step
        count += 1
        if count == step:
            act()
        try:
            value = yield yielded
            send = coroutine.send
        except BaseException as exc:
            value = exc
            send = coroutine.throw
