"""What every client of blocking code is: an application, its driver, and the thread that runs both."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from siocore._driver.client_driver import ClientDriver, check_grace
from siocore._driver.interfaces import ClientApplication
from siocore.sync._handlers import Handler
from siocore.sync._host import BlockingHost

__all__ = ["Runner"]

_T = TypeVar("_T")


class Runner:
    """Opened when it is made; to be closed by the thread that made it."""

    def __init__(self, app: ClientApplication, grace: float, host: BlockingHost) -> None:
        self._closed = True
        check_grace(grace)
        self._grace = grace
        self._host = host
        self._driver = ClientDriver(app, host)
        self._closed = False
        host.failure = lambda: self._driver.failure
        self._driver.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            warnings.warn("a siocore.sync client was not closed", ResourceWarning, source=self, stacklevel=2)
            self._driver.close()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Disconnect, send what is left, and close everything; for at most ``grace`` seconds. Then it can't be used."""
        if self._closed:
            return
        host = self._host
        driver = self._driver
        host.check_can_block()
        self._closed = True
        try:
            if driver.failure is None:
                try:
                    host.call(driver.shut_down)
                    host.run(driver.drained.wait, self._grace)
                except TimeoutError:
                    pass
                finally:
                    host.call(driver.abort)
                    host.run(driver.ended.wait)
        finally:
            driver.close()
            host.over = "this client is closed"

    # For what belongs to it -----------------------------------------------------------------------------------

    @property
    def in_handler(self) -> bool:
        """Whether one of the application's handlers runs now."""
        return self._host.running

    def call(self, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """Call what does not block, and send what the network takes."""
        if self._host.running:
            # The turn that is under way sends it.
            return self._host.call(function, *args, **options)

        def call_and_flush() -> _T:
            result = function(*args, **options)
            self._driver.flush()
            return result

        return self._host.call(call_and_flush)

    def run(self, begin: Callable[[], Awaitable[_T]], timeout: float | None = None) -> _T:
        """Block until there is a result."""
        return self._host.run(begin, timeout)

    def run_until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Block until the condition is true, or for so many seconds."""
        self._host.run_until(condition, seconds)

    def wrapped(self, handler: Callable[..., Any]) -> Handler:
        """A function of the application, as the core gets it."""
        return Handler(self._host, handler)
