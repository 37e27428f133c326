"""Clients on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from siocore._driver.client_driver import ClientDriver
from siocore._driver.interfaces import ClientApplication
from siocore.trio._host import TrioHost

__all__ = ["run_client"]

_App = TypeVar("_App", bound=ClientApplication)


@asynccontextmanager
async def run_client(app: _App, grace: float) -> AsyncIterator[_App]:
    """Drive ``app`` within the block, and close it gracefully behind it, for at most ``grace`` seconds.

    Whatever the block raises is raised as it is. It is cancelled when the driver fails, and that failure is raised.
    """
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
