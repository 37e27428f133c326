"""What an application has to say about handshakes, and the log of those that were refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from siocore.application.calls import Calls, is_awaitable, logger
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.handshakes import PendingHandshake
from siocore.errors import RequestRefused
from siocore.events import CallbackFailed, ConnectionErrored, SessionClosed

__all__ = ["Gatekeeper"]

#: Refused requests, and clients that were closed for what they sent, are logged with one line each, at most so many
#: lines within one period of so many seconds. The others are counted.
_LINES = 20
_PERIOD = 60.0

#: What the log calls the application's code that failed.
_CALLED = {
    "ALLOW_REQUEST_FAILED": "allow_request",
    "ID_GENERATION_ERROR": "generate_session_id",
    "ORIGIN_CHECK_FAILED": "cors",
}


class Gatekeeper:
    """Calls ``allow_request`` and ``generate_session_id``, and logs refusals."""

    __slots__ = ("_calls", "_lines", "_period_end", "_protocol", "_unlogged")

    def __init__(self, calls: Calls, protocol: EngineServerProtocol) -> None:
        self._calls = calls
        self._protocol = protocol
        self._period_end = 0.0
        self._lines = 0
        self._unlogged = 0

    async def decide(self, handshake: PendingHandshake) -> None:
        """Let the application decide about a handshake, and answer it."""
        options = self._protocol.options
        request = handshake.request
        try:
            if options.allow_request is not None:
                allowed: Any = options.allow_request(request)
                if is_awaitable(allowed):
                    allowed = await allowed
                if allowed is not None and not allowed:
                    handshake.refuse()
        except RequestRefused as refused:
            handshake.refuse(refused.message, status=refused.status)
        except Exception as error:
            handshake.allow_request_failed(error)
        except BaseException:
            handshake.refuse(status=503)
            raise
        if not handshake.waiting:
            return
        try:
            if options.generate_session_id is None:
                handshake.accept()
            else:
                sid: Any = options.generate_session_id(request)
                if is_awaitable(sid):
                    sid = await sid
                # None would ask for one from generate_id.
                handshake.accept("" if sid is None else sid)
        except Exception as error:
            handshake.id_generation_failed(error)
        except BaseException:
            handshake.refuse(status=503)
            raise

    async def refused(self, event: ConnectionErrored, handlers: Sequence[Callable[..., Any]]) -> None:
        """A request was refused: report what failed in the application, or log a line, and call the handlers."""
        error = event.context.get("error")
        if isinstance(error, Exception):
            await self._calls.failed(error, event.request, _CALLED[str(event.context["name"])])
        else:
            self._log(event)
        await self._calls.run_all(handlers, (event,), "connection_error")

    def closed(self, event: SessionClosed) -> None:
        """A client was closed for what it sent: log a line."""
        if self._has_line():
            # The detail quotes nothing but what was cut to a bounded length.
            logger.info("a client was closed (%s): %.500s", event.reason, event.detail)
            self._last_line()

    async def callback_failed(self, event: CallbackFailed) -> None:
        """A plain function among the options failed."""
        await self._calls.failed(event.error, event.request, event.name)

    def _log(self, event: ConnectionErrored) -> None:
        if not self._has_line():
            return
        request = event.request
        # Its path only: a session's id is in the query, and also in this event's context.
        logger.info(
            "refused %.200r from %.100r: %.200s (code %d): %s",
            f"{request.method} {request.path}",
            request.address,
            event.message,
            event.code,
            event.hint,
        )
        self._last_line()

    def _has_line(self) -> bool:
        """Whether one more line may be logged now; else it is counted."""
        now = self._protocol.now
        if now >= self._period_end:
            if self._unlogged:
                logger.info("%d more requests or clients were refused", self._unlogged)
            self._period_end = now + _PERIOD
            self._lines = self._unlogged = 0
        if self._lines == _LINES:
            self._unlogged += 1
            return False
        self._lines += 1
        return True

    def _last_line(self) -> None:
        if self._lines == _LINES:
            logger.info("further refusals are counted, not logged, for up to %d seconds", _PERIOD)
