"""Runs a scenario against a server on trio and on asyncio, over real sockets.

The server runs in the main thread. The scenario is a plain function in a second thread, with blocking sockets: it
reads like what a client does, and is the same for both libraries. Nothing sleeps; every wait has a watchdog.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
import trio

import siocore.asyncio
import siocore.trio
from siocore._driver.interfaces import Address, ServedApplication
from siocore.waiting import Waiter

uvloop = importlib.import_module("uvloop") if importlib.util.find_spec("uvloop") is not None else None

T = TypeVar("T")

WATCHDOG = 20.0
_UVLOOP = pytest.param("uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is not installed"))
each_host = pytest.mark.parametrize("host", ["trio", "asyncio", _UVLOOP])
each_asyncio = pytest.mark.parametrize("host", ["asyncio", _UVLOOP])


class Client:
    """A blocking connection to the server."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WATCHDOG)
        self.sock = sock
        self._received = b""

    def send(self, text: str) -> None:
        self.sock.sendall(text.encode())

    def line(self) -> str:
        """The next line; ``""`` at the end."""
        while b"\n" not in self._received:
            data = self.sock.recv(65536)
            if not data:
                assert not self._received, f"the connection ended within a line: {self._received[-100:]!r}"
                return ""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()

    def ask(self, text: str) -> str:
        self.send(text + "\n")
        return self.line()

    def rest(self) -> bytes:
        """All bytes until the end."""
        received = [self._received]
        while data := self.sock.recv(1 << 20):
            received.append(data)
        self._received = b""
        return b"".join(received)

    def shut_down(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class Flag:
    """Set by the server's thread, awaited by the scenario's."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self, *_: object) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self) -> None:
        assert self._event.wait(WATCHDOG), "the server did not get there"


class Server:
    """The server as its scenario sees it, from the other thread."""

    def __init__(
        self,
        app: ServedApplication,
        addresses: list[Address],
        call: Callable[[Callable[[], Any]], Any],
        cancel: Callable[[], object],
        ended: Flag,
    ) -> None:
        self.app = app
        self.addresses = addresses
        self.clients: list[Client] = []
        #: Set when ``serve`` has returned or raised.
        self.ended = ended
        self.stopped = False
        self._call = call
        self._cancel = cancel

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the server's thread, between turns."""
        result: T = self._call(function)
        return result

    def stop(self) -> None:
        """Cancel the task that serves."""
        self.call(self.cancel)

    def cancel(self) -> None:
        """The same, from the server's own thread."""
        self.stopped = True
        self._cancel()

    def connect(self, address: Address | None = None, *, receive_buffer: int | None = None) -> Client:
        address = self.addresses[0] if address is None else address
        family = (
            socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        )
        sock = socket.socket(family, socket.SOCK_STREAM)
        client = Client(sock)
        self.clients.append(client)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address)
        return client

    def connect_tls(self, context: ssl.SSLContext) -> Client:
        plain = self.connect()
        # An end without close_notify is to be seen as what it is.
        client = Client(
            context.wrap_socket(plain.sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False),
        )
        self.clients.append(client)
        return client


Scenario = Callable[[Server], None]


async def pause(host: str, seconds: float = 0.0) -> None:
    """Suspend, in the way of the host."""
    if host == "trio":
        await trio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


def new_waiter(app: ServedApplication) -> Waiter:
    """Something that a handler can wait for on either host."""
    assert app.protocol.make_waiter is not None
    return app.protocol.make_waiter()


def open_descriptors() -> set[str]:
    """What this process has open, by its kind and number."""
    if sys.platform != "linux":
        return set()
    return {f"{name} {os.readlink(f'/proc/self/fd/{name}')}" for name in os.listdir("/proc/self/fd") if _is_open(name)}


def _is_open(name: str) -> bool:
    # The descriptor of the listing itself is gone by now.
    return os.path.lexists(f"/proc/self/fd/{name}")


def run(host: str, app: ServedApplication, scenario: Scenario, /, **options: Any) -> None:
    """Serve ``app`` while the scenario runs, then cancel.

    Raises what ``serve`` raises, and fails if a task or a descriptor is left behind.
    """
    options = {"port": 0, "grace": 0.0, **options}
    failures: list[BaseException] = []
    if uvloop is not None and host == "uvloop":
        # libuv opens a pipe with the first loop and keeps it for the life of the process.
        uvloop.new_event_loop().close()
    before = open_descriptors()
    if host == "trio":
        trio.run(_on_trio, app, scenario, options, failures)
    else:
        loop_factory = uvloop.new_event_loop if uvloop is not None and host == "uvloop" else None
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_on_asyncio(app, scenario, options, failures))
    left = open_descriptors() - before
    assert not left, f"left open: {left}"
    assert app.protocol.wake is None
    if failures:
        raise failures[0]


def _play(scenario: Scenario, server: Server) -> None:
    try:
        scenario(server)
    finally:
        for client in server.clients:
            client.close()


async def _on_trio(
    app: ServedApplication, scenario: Scenario, options: dict[str, Any], failures: list[BaseException]
) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    scope = trio.CancelScope()
    ended = Flag()

    async def serve(task_status: trio.TaskStatus[list[Address]]) -> None:
        with scope:
            try:
                await siocore.trio.serve(app, **options, task_status=task_status)
            except trio.Cancelled:
                raise
            except BaseException as exc:
                failures.append(exc)
            finally:
                ended.set()

    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(serve)
        call = partial(trio.from_thread.run_sync, trio_token=trio.lowlevel.current_trio_token())
        await trio.to_thread.run_sync(_play, scenario, Server(app, addresses, call, scope.cancel, ended))
        scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def _on_asyncio(
    app: ServedApplication, scenario: Scenario, options: dict[str, Any], failures: list[BaseException]
) -> None:
    loop = asyncio.get_running_loop()
    started: asyncio.Future[list[Address]] = loop.create_future()
    ended = Flag()

    async def serve() -> None:
        try:
            await siocore.asyncio.serve(app, **options, started=started.set_result)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            failures.append(exc)
        finally:
            ended.set()

    def call(function: Callable[[], T]) -> T:
        async def in_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(in_loop(), loop).result(WATCHDOG)

    serving = asyncio.create_task(serve())
    server = Server(app, await started, call, serving.cancel, ended)
    await asyncio.to_thread(_play, scenario, server)
    if not server.stopped:
        # A second cancellation would end a graceful stop.
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    assert asyncio.all_tasks() == {asyncio.current_task()}
