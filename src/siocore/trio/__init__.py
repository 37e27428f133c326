"""siocore on trio: ``trio.run(siocore.trio.serve, io, "127.0.0.1", 3000)``."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable, Sequence

import trio

from siocore._driver.driver import Driver
from siocore._driver.hosting import ASGIApplication
from siocore._driver.interfaces import Address, ServedApplication, Service, services_of
from siocore._driver.lifespan import Lifespan, host_application
from siocore._driver.listeners import open_listeners
from siocore.options import WebTransport, Worker
from siocore.trio._client import connect, connect_engine, open_client
from siocore.trio._host import TrioHost

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
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``io`` (a :class:`siocore.Server` or :class:`siocore.EngineServer`) until cancelled.

    It listens on ``port`` (0: a free one) of ``host``: an address, a name, several of them, or ``None`` for all
    interfaces; or, if given, on the Unix socket ``unix_path``; or on ``sockets``, which it then owns.
    ``await nursery.start(siocore.trio.serve, io)`` returns the list of addresses once it listens: ``(host, port)``, or
    the path of a Unix socket.

    When it is cancelled it stops gracefully: no connection is accepted any more, clients are told, output is sent and
    handlers finish, for at most ``grace`` seconds. Handlers that are still there then are cancelled. Nothing is left
    behind. (A scope that is to end at once needs ``grace=0``: trio can't tell a second cancellation from the first.)

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
    trio_host = TrioHost()
    lifespan = None
    try:
        driver = Driver(io, trio_host, listeners, ssl_context, webtransport, worker)
        if app is not None:
            lifespan = host_application(
                io,
                app,
                addresses=driver.addresses,
                make_waiter=trio_host.make_waiter,
                root_path=root_path,
                max_body=max_body,
            )
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    if lifespan is None:
        await _drive(driver, trio_host, services_of(io), grace, task_status)
    else:
        await _drive_within(lifespan, driver, trio_host, services_of(io), grace, task_status)


async def _drive_within(
    lifespan: Lifespan,
    driver: Driver,
    trio_host: TrioHost,
    services: Sequence[Service],
    grace: float,
    task_status: trio.TaskStatus[list[Address]],
) -> None:
    """The application is started before, and shut down afterwards, whatever happens between."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(shield=True)
        nursery.start_soon(_live, lifespan, scope, name="siocore lifespan")
        try:
            try:
                await lifespan.start_up()
            except BaseException:
                driver.close()
                raise
            try:
                await _drive(driver, trio_host, services, grace, task_status)
            finally:
                with trio.move_on_after(grace, shield=True):
                    await lifespan.shut_down()
        except BaseException as exc:
            # Raised below, because a nursery would wrap it in an exception group.
            failure = exc
        scope.cancel()
    if failure is not None:
        raise failure


async def _live(lifespan: Lifespan, scope: trio.CancelScope) -> None:
    with scope:
        await lifespan.run()


async def _drive(
    driver: Driver,
    trio_host: TrioHost,
    services: Sequence[Service],
    grace: float,
    task_status: trio.TaskStatus[list[Address]],
) -> None:
    try:
        async with trio.open_nursery() as caller:
            caller.start_soon(_watch, driver, name="siocore cancellation")
            async with trio.open_nursery() as nursery:
                # Cancellation reaches the handlers through the driver, when their time is over.
                nursery.cancel_scope.shield = True
                trio_host.nursery = nursery
                await _run(driver, services, grace, task_status)
                nursery.cancel_scope.cancel()
            caller.cancel_scope.cancel()
    finally:
        driver.close()
    if driver.failure is not None:
        raise driver.failure
    await trio.lowlevel.checkpoint_if_cancelled()


async def _watch(driver: Driver) -> None:
    """Outside of the shield: notice that the caller is cancelled. Who is interested looks again at the very end."""
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        driver.ask_to_stop()


async def _run(
    driver: Driver, services: Sequence[Service], grace: float, task_status: trio.TaskStatus[list[Address]]
) -> None:
    try:
        driver.start(services)
        await driver.started.wait()
        task_status.started(driver.addresses)
        await driver.stop.wait()
        if driver.failure is None:
            driver.shut_down()
            with trio.move_on_after(grace):
                await driver.drained.wait()
    except BaseException as exc:
        # A bug, or KeyboardInterrupt, which trio raises in the main task.
        driver.fail(exc)
    driver.abort()
    await driver.ended.wait()
