"""The lifespan of a hosted ASGI application (ASGI lifespan protocol 2.0): before the first request and after the last.

Hosts give :meth:`Lifespan.run` a task of its own, in which the application stays from its start-up to its shutdown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from siocore._driver.hosting import ASGIApplication, Hosting, Message
from siocore._driver.interfaces import Address, ServedApplication
from siocore.endpoint.interfaces import ConnectionOwner
from siocore.errors import LifespanError, LocalProtocolError
from siocore.waiting import Waiter

__all__ = ["Lifespan", "host_application"]

logger = logging.getLogger("siocore")


class Lifespan:
    """Starts an application up and shuts it down; one that knows no lifespan is left alone."""

    def __init__(self, app: ASGIApplication, make_waiter: Callable[[], Waiter]) -> None:
        self._app = app
        #: What the application wants its requests to find in ``scope["state"]``.
        self.state: dict[str, Any] = {}
        self._started = make_waiter()
        self._stopping = make_waiter()
        self._stopped = make_waiter()
        # What the application has heard and said so far.
        self._asked_to_start = False
        self._asked_to_stop = False
        self._said: str | None = None
        self._failure: str | None = None
        self._error: Exception | None = None
        self._ended = False

    async def run(self) -> None:
        """The body of the task. An application that fails does not make it raise."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._error = error
            if self._said is None:
                logger.info("the hosted application does not take part in the lifespan protocol (%r)", error)
            elif self._said != "lifespan.startup.failed":
                logger.error("the lifespan of the hosted application failed", exc_info=error)
        finally:
            self._ended = True
            self._started.wake()
            self._stopped.wake()

    async def start_up(self) -> None:
        """Wait until the application is ready. Raises :exc:`LifespanError` with what it said if it will not be."""
        await self._started.wait()
        if self._said == "lifespan.startup.failed":
            said = self._failure or "it did not say why"
            raise LifespanError(f"the hosted application failed to start: {said}") from self._error

    async def shut_down(self) -> None:
        """Tell the application that no more requests come, and wait until it is done."""
        self._stopping.wake()
        await self._stopped.wait()

    async def _receive(self) -> Message:
        if not self._asked_to_start:
            self._asked_to_start = True
            return {"type": "lifespan.startup"}
        if not self._asked_to_stop:
            await self._stopping.wait()
            self._asked_to_stop = True
            return {"type": "lifespan.shutdown"}
        raise LocalProtocolError("the lifespan has no third message")

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        starting = self._said is None
        expected = "lifespan.startup." if starting else "lifespan.shutdown."
        if kind not in (f"{expected}complete", f"{expected}failed") or not (starting or self._asked_to_stop):
            raise LocalProtocolError(f"{kind!r} is not a message to be sent now")
        self._said = kind
        if starting:
            self._failure = str(message.get("message", "")).strip()
            self._started.wake()
            return
        if kind == "lifespan.shutdown.failed":
            logger.error("the hosted application failed to shut down: %s", str(message.get("message", "")).strip())
        self._stopped.wake()


def host_application(
    io: ServedApplication,
    app: ASGIApplication,
    *,
    addresses: Sequence[Address],
    make_waiter: Callable[[], Waiter],
    root_path: str,
    max_body: int | None,
) -> Lifespan:
    """Let ``app`` answer what the endpoint of ``io`` does not, until its driver is closed. Raises ValueError."""
    if not isinstance(io.protocol, ConnectionOwner):
        raise TypeError(f"{type(io).__name__} can't host another application")
    lifespan = Lifespan(app, make_waiter)
    io.protocol.hosting = Hosting(
        app, state=lifespan.state, root_path=root_path, max_body=max_body, addresses=addresses
    )
    return lifespan
