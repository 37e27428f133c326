"""Clients on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from siocore._driver.client_driver import ClientDriver
from siocore._driver.interfaces import ClientApplication
from siocore.asyncio._host import AsyncioHost

__all__ = ["run_client"]

_App = TypeVar("_App", bound=ClientApplication)


@asynccontextmanager
async def run_client(app: _App, grace: float) -> AsyncIterator[_App]:
    """Drive ``app`` within the block, and close it gracefully behind it, for at most ``grace`` seconds.

    Whatever the block raises is raised as it is. It is cancelled when the driver fails, and that failure is raised.
    """
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
