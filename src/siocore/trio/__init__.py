"""siocore on trio: ``trio.run(siocore.trio.serve, io, "127.0.0.1", 3000)``."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable, Sequence

import trio

from siocore._driver.driver import Driver
from siocore._driver.interfaces import Address, Application
from siocore._driver.listeners import open_listeners
from siocore.trio._host import TrioHost

__all__ = ["serve"]


async def serve(
    app: Application,
    host: str | Sequence[str] | None = "127.0.0.1",
    port: int = 3000,
    *,
    unix_path: str | os.PathLike[str] | None = None,
    sockets: Iterable[socket.socket] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    backlog: int = 4096,
    grace: float = 5.0,
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application (:class:`siocore.Server` or :class:`siocore.EngineServer`) until cancelled.

    It listens on ``port`` (0: a free one) of ``host``: an address, a name, several of them, or ``None`` for all
    interfaces; or, if given, on the Unix socket ``unix_path``; or on ``sockets``, which it then owns.
    ``await nursery.start(siocore.trio.serve, io)`` returns the list of addresses once it listens: ``(host, port)``, or
    the path of a Unix socket.

    When it is cancelled it stops gracefully: no connection is accepted any more, clients are told, output is sent and
    handlers finish, for at most ``grace`` seconds. Handlers that are still there then are cancelled. Nothing is left
    behind. (A scope that is to end at once needs ``grace=0``: trio can't tell a second cancellation from the first.)

    Raises :exc:`OSError` if it can't listen, with a sentence that says where and why.
    """
    listeners = open_listeners(host, port, unix_path=unix_path, sockets=sockets, backlog=backlog)
    trio_host = TrioHost()
    try:
        driver = Driver(app, trio_host, listeners, ssl_context)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    try:
        async with trio.open_nursery() as caller:
            caller.start_soon(_watch, driver, name="siocore cancellation")
            async with trio.open_nursery() as nursery:
                # Cancellation reaches the handlers through the driver, when their time is over.
                nursery.cancel_scope.shield = True
                trio_host.nursery = nursery
                await _run(driver, grace, task_status)
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
        driver.stop.wake()


async def _run(driver: Driver, grace: float, task_status: trio.TaskStatus[list[Address]]) -> None:
    try:
        driver.start()
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
