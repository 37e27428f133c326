"""Clients on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from siocore._driver.client_driver import ClientDriver, check_grace
from siocore._driver.interfaces import ClientApplication
from siocore.application.client import Client
from siocore.application.engine_client import EngineClient, EngineConnection
from siocore.asyncio._host import AsyncioHost
from siocore.socketio.client_socket import ClientSocket

__all__ = ["connect", "connect_engine", "open_client", "run_client"]

_App = TypeVar("_App", bound=ClientApplication)


@asynccontextmanager
async def connect(url: str, *, retry: bool = False, grace: float = 5.0, **options: Any) -> AsyncIterator[ClientSocket]:
    """A socket of a server, connected: ``async with siocore.asyncio.connect("http://127.0.0.1:3000/admin") as socket``.

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
    """An Engine.IO connection without Socket.IO: ``async with siocore.asyncio.connect_engine(url) as connection``.

    The path of the URL is that of the server (default: /engine.io/); ``options`` are those of
    :class:`siocore.EngineClientOptions`. Entering waits until it is open. Leaving the block closes it as
    :func:`connect` does.

    Raises :exc:`siocore.ConnectError` if it can't connect, TypeError and ValueError for options that are wrong.
    """
    async with run_client(EngineClient(), grace) as client:
        yield await client.connect(url, **options).opened()


@asynccontextmanager
async def open_client(*, grace: float = 5.0, **defaults: Any) -> AsyncIterator[Client]:
    """A client for several sockets, which share connections: ``async with siocore.asyncio.open_client() as client``.

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
    asyncio_host = AsyncioHost()
    driver = ClientDriver(app, asyncio_host)
    body = _Body()
    driver.on_failure = body.stop
    try:
        driver.start()
        yield app
    finally:
        driver.on_failure = None
        body.end()
        await _stop(driver, asyncio_host, grace)


class _Body:
    """The task that runs the block."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._stopped = False

    def stop(self) -> None:
        if self._task is not None and not self._stopped:
            self._stopped = True
            self._task.cancel()

    def end(self) -> None:
        if self._task is not None and self._stopped:
            self._task.uncancel()


async def _stop(driver: ClientDriver, asyncio_host: AsyncioHost, grace: float) -> None:
    task = asyncio.current_task()
    cancelling = 0 if task is None else task.cancelling()
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        if driver.failure is None:
            driver.shut_down()
            async with asyncio.timeout(None if grace == math.inf else grace):
                await driver.drained.wait()
    driver.abort()
    while not driver.over:
        with contextlib.suppress(asyncio.CancelledError):
            await driver.ended.wait()
    await asyncio_host.cancel_tasks()
    asyncio_host.close()
    driver.close()
    if driver.failure is not None:
        raise driver.failure
    if task is not None and task.cancelling() > cancelling:
        # It was suppressed above, so that nothing is left behind.
        raise asyncio.CancelledError
