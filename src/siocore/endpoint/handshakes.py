"""Handshakes that wait for the application's decision: ``allow_request`` and ``generate_session_id``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.endpoint.interfaces import ServerConnection
from siocore.engineio.gate import Refusal
from siocore.request import Request
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.endpoint.engine import EngineServerProtocol

__all__ = ["PendingHandshake"]


class PendingHandshake:
    """A request for a session. Answer it once, with :meth:`accept` or :meth:`refuse`, at any time.

    A client that has gone, or has waited for longer than ``Limits.handshake_timeout``, gets no session: then both
    methods do nothing.
    """

    __slots__ = ("_connection", "_owner", "_timer", "_upgrade", "request")

    def __init__(
        self, owner: EngineServerProtocol, connection: ServerConnection, request: Request, upgrade: bool
    ) -> None:
        self.request = request
        self._owner = owner
        # None once it is answered, or not to be answered any more.
        self._connection: ServerConnection | None = connection
        self._upgrade = upgrade
        self._timer: Timer | None = owner.timers.arm(owner.now + owner.options.limits.handshake_timeout, self, 0)

    @property
    def waiting(self) -> bool:
        """Whether the client is still there and has no answer yet."""
        connection = self._connection
        return connection is not None and not (connection.closing or connection.closed or connection.aborted)

    def accept(self, sid: str | None = None) -> bool:
        """Open a session, with this id or one from ``generate_id``. False if the client is gone.

        Raises LocalProtocolError, and changes nothing, if a session has this id already, or if it is not 1 to 100
        characters of base64url.
        """
        if not self.waiting:
            return False
        if sid is not None:
            self._owner.check_new_sid(sid)
        connection = self.drop()
        assert connection is not None
        return self._owner.open_session(connection, self.request, self._upgrade, sid)

    def refuse(self, message: str = "Forbidden", *, status: int = 403) -> None:
        """Answer with error code 4: ``status`` over long-polling, a plain 400 to a WebSocket handshake."""
        self._refuse(Refusal(4, {"message": message}, "REFUSED", message=message, status=status))

    def allow_request_failed(self, error: Exception) -> None:
        """Refuse because the application's own code failed. The client learns no more than that."""
        self._refuse(Refusal(4, {"name": "ALLOW_REQUEST_FAILED", "error": error}, "ALLOW_REQUEST_FAILED", status=500))

    def id_generation_failed(self, error: Exception) -> None:
        """Refuse because there is no id for the session: error code 3."""
        self._refuse(Refusal(3, {"name": "ID_GENERATION_ERROR", "error": error}, "ID_GENERATION_ERROR"))

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._refuse(Refusal(4, {"name": "HANDSHAKE_TIMEOUT"}, "HANDSHAKE_TIMEOUT", status=503))

    def drop(self) -> ServerConnection | None:
        """No decision is waited for any more. Returns the connection that waited."""
        connection, self._connection = self._connection, None
        self._owner.timers.cancel(self._timer)
        self._timer = None
        if connection is not None:
            self._owner.pending.pop(connection, None)
        return connection

    def _refuse(self, refusal: Refusal) -> None:
        waiting = self.waiting
        connection = self.drop()
        if waiting and connection is not None:
            self._owner.answer_refusal(connection, self.request, self._upgrade, refusal)
