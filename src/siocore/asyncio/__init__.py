"""siocore on asyncio: ``asyncio.run(siocore.asyncio.serve(io, "127.0.0.1", 3000))``. uvloop works as well."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence

from siocore._driver.driver import Driver
from siocore._driver.hosting import ASGIApplication
from siocore._driver.interfaces import Address, ServedApplication, Service, services_of
from siocore._driver.lifespan import Lifespan, host_application
from siocore._driver.listeners import open_listeners
from siocore.asyncio._client import connect, connect_engine, open_client
from siocore.asyncio._host import AsyncioHost
from siocore.options import WebTransport, Worker

__all__ = ["connect", "connect_engine", "open_client", "serve"]


async def serve(
    io: ServedApplication,
    host: str | Sequence[str] | None = "127.0.0.1",
    port: int = 3000,
    *,
    unix_path: str | os.PathLike[str] | None = None,
    sockets: Iterable[socket.socket] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    webtransport: WebTransport | None = None,
    worker: Worker | None = None,
    backlog: int = 4096,
    grace: float = 5.0,
    app: ASGIApplication | None = None,
    root_path: str = "",
    max_body: int | None = None,
    started: Callable[[list[Address]], object] | None = None,
) -> None:
    """Serve ``io`` (a :class:`siocore.Server` or :class:`siocore.EngineServer`) until cancelled.

    It listens on ``port`` (0: a free one) of ``host``: an address, a name, several of them, or ``None`` for all
    interfaces; or, if given, on the Unix socket ``unix_path``; or on ``sockets``, which it then owns.
    ``started`` is called with the list of addresses once it listens: ``(host, port)``, or the path of a Unix socket.
    The ``set_result`` of a future will do.

    When its task is cancelled it stops gracefully: no connection is accepted any more, clients are told, output is
    sent and handlers finish, for at most ``grace`` seconds. A second cancellation ends that at once. Handlers that
    are still there are cancelled, and the cancellation goes on. Nothing is left behind.

    ``app`` is an ASGI application (FastAPI, Starlette, ...) that answers every path that is not this server's own. It
    is started before the addresses are announced, and shut down when its last request has ended, for at most ``grace``
    seconds. ``root_path`` is put before the paths that it sees; ``max_body`` is how many bytes the body of one of its
    requests may have (default: any number, since it takes them piece by piece).

    ``worker`` makes it one of several processes that serve together on this machine.

    A server of a cluster is connected to it before the addresses are announced, if that takes at most five seconds.

    Raises :exc:`OSError` if it can't listen, with a sentence that says where and why, and
    :exc:`siocore.LifespanError` if ``app`` fails to start.
    """
    listeners = open_listeners(host, port, unix_path=unix_path, sockets=sockets, backlog=backlog)
    asyncio_host = AsyncioHost()
    lifespan = None
    try:
        driver = Driver(io, asyncio_host, listeners, ssl_context, webtransport, worker)
        if app is not None:
            lifespan = host_application(
                io,
                app,
                addresses=driver.addresses,
                make_waiter=asyncio_host.make_waiter,
                root_path=root_path,
                max_body=max_body,
            )
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    if lifespan is None:
        await _drive(driver, asyncio_host, services_of(io), grace, started)
    else:
        await _drive_within(lifespan, driver, asyncio_host, services_of(io), grace, started)


async def _drive_within(
    lifespan: Lifespan,
    driver: Driver,
    asyncio_host: AsyncioHost,
    services: Sequence[Service],
    grace: float,
    started: Callable[[list[Address]], object] | None,
) -> None:
    """The application is started before, and shut down afterwards, whatever happens between."""
    # Not create_task(): an eager task factory would run the application within this task.
    task = asyncio.Task(lifespan.run(), loop=asyncio.get_running_loop(), name="siocore lifespan")
    try:
        try:
            await lifespan.start_up()
        except BaseException:
            driver.close()
            raise
        try:
            await _drive(driver, asyncio_host, services, grace, started)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if grace == math.inf else grace):
                    await lifespan.shut_down()
    finally:
        task.cancel()
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])


async def _drive(
    driver: Driver,
    asyncio_host: AsyncioHost,
    services: Sequence[Service],
    grace: float,
    started: Callable[[list[Address]], object] | None,
) -> None:
    try:
        driver.start(services)
        try:
            await driver.started.wait()
            if started is not None:
                started(driver.addresses)
            await driver.stop.wait()
        except asyncio.CancelledError:
            driver.shut_down()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if grace == math.inf else grace):
                    await driver.drained.wait()
            raise
    finally:
        driver.abort()
        while not driver.over:
            with contextlib.suppress(asyncio.CancelledError):
                await driver.ended.wait()
        await asyncio_host.cancel_tasks()
        asyncio_host.close()
        driver.close()
        if driver.failure is not None:
            raise driver.failure
