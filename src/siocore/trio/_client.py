"""Clients on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from siocore._driver.client_driver import ClientDriver, check_grace
from siocore._driver.interfaces import ClientApplication
from siocore.application.client import Client
from siocore.application.engine_client import EngineClient, EngineConnection
from siocore.socketio.client_socket import ClientSocket
from siocore.trio._host import TrioHost

__all__ = ["connect", "connect_engine", "open_client", "run_client"]

_App = TypeVar("_App", bound=ClientApplication)


@asynccontextmanager
async def connect(url: str, *, retry: bool = False, grace: float = 5.0, **options: Any) -> AsyncIterator[ClientSocket]:
    """A socket of a server, connected: ``async with siocore.trio.connect("http://127.0.0.1:3000/admin") as socket``.

    The path of the URL is the namespace; ``options`` are those of :class:`siocore.ClientOptions`. Entering waits until
    the server has let the socket in. With ``retry`` it goes on trying as the options for reconnection say. With
    ``auto_connect=False`` it does not connect: register handlers, then ``await socket.connect()``.

    Leaving the block disconnects the socket: what was sent still leaves, and handlers finish, for at most ``grace``
    seconds. Then whatever is left is cancelled. What the block raises is raised as it is.

    Raises :exc:`siocore.ConnectError` if it can't connect, TypeError and ValueError for options that are wrong.
    """
    async with open_client(grace=grace) as client:
        socket = client.socket(url, **options)
        if socket.options.auto_connect:
            await socket.connect(retry=retry)
        yield socket


@asynccontextmanager
async def connect_engine(url: str, *, grace: float = 5.0, **options: Any) -> AsyncIterator[EngineConnection]:
    """An Engine.IO connection without Socket.IO: ``async with siocore.trio.connect_engine(url) as connection``.

    The path of the URL is that of the server (default: /engine.io/); ``options`` are those of
    :class:`siocore.EngineClientOptions`. Entering waits until it is open. Leaving the block closes it as
    :func:`connect` does.

    Raises :exc:`siocore.ConnectError` if it can't connect, TypeError and ValueError for options that are wrong.
    """
    async with run_client(EngineClient(), grace) as client:
        yield await client.connect(url, **options).opened()


@asynccontextmanager
async def open_client(*, grace: float = 5.0, **defaults: Any) -> AsyncIterator[Client]:
    """A client for several sockets, which share connections: ``async with siocore.trio.open_client() as client``.

    ``client.socket(url, **options)`` makes a socket; ``defaults`` are options for all of them. The block is left as
    that of :func:`connect`.
    """
    async with run_client(Client(**defaults), grace) as client:
        yield client


@asynccontextmanager
async def run_client(app: _App, grace: float) -> AsyncIterator[_App]:
    """Drive ``app`` within the block, and close it gracefully behind it, for at most ``grace`` seconds.

    Whatever the block raises is raised as it is. It is cancelled when the driver fails, and that failure is raised.
    """
    check_grace(grace)
    trio_host = TrioHost()
    driver = ClientDriver(app, trio_host)
    body = trio.CancelScope()
    outcome: BaseException | None = None
    async with trio.open_nursery() as caller:
        ready = trio.Event()
        caller.start_soon(_shelter, trio_host, ready, name="siocore client")
        with trio.CancelScope(shield=True):
            await ready.wait()
        try:
            driver.on_failure = body.cancel
            driver.start()
            with body:
                yield app
        except BaseException as exc:
            # Raised below, because a nursery would wrap it in an exception group.
            outcome = exc
        driver.on_failure = None
        with trio.CancelScope(shield=True):
            await _stop(driver, grace)
        trio_host.nursery.cancel_scope.cancel()
    driver.close()
    try:
        if driver.failure is not None:
            raise driver.failure from outcome
        if outcome is not None:
            raise outcome
    finally:
        del outcome


async def _shelter(trio_host: TrioHost, ready: trio.Event) -> None:
    """The tasks of the driver live here, where a cancellation of the block does not reach them."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        trio_host.nursery = nursery
        ready.set()
        await trio.sleep_forever()


async def _stop(driver: ClientDriver, grace: float) -> None:
    try:
        if driver.failure is None:
            driver.shut_down()
            with trio.move_on_after(grace):
                await driver.drained.wait()
    except BaseException as exc:
        # A bug, or KeyboardInterrupt, which trio raises in the main task.
        driver.fail(exc)
    driver.abort()
    await driver.ended.wait()
