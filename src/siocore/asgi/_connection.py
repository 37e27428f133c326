"""What a request and a WebSocket of an ASGI server have in common."""

from __future__ import annotations

from collections.abc import Callable

from siocore.asgi._leader import AsgiLeader
from siocore.endpoint.interfaces import ServerConnection
from siocore.engineio.interfaces import Headers
from siocore.errors import LocalProtocolError
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["AsgiConnection", "prepared"]

#: What HTTP/2 has no place for (RFC 9113, section 8.2.2), and the ASGI server decides about.
_OF_THE_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_prepared: dict[Headers, list[tuple[bytes, bytes]]] = {}
_MAX_PREPARED = 256


class AsgiConnection(ServerConnection):
    """One scope: a request or a WebSocket. The task that the ASGI server gives it waits here for the endpoint."""

    __slots__ = ("_leader", "_owner", "_request", "_timer", "gone", "interrupt")

    def __init__(self, leader: AsgiLeader, request: Request) -> None:
        super().__init__()
        self._leader = leader
        self._owner = leader.protocol
        self._request = request
        self._timer: Timer | None = None
        #: Ends what the task waits for; ``None`` while it waits for nothing.
        self.interrupt: Callable[[], object] | None = None
        #: Nothing can be sent any more.
        self.gone = False

    @property
    def request(self) -> Request:
        return self._request

    def flush(self) -> None:
        """Called by the leader: there is something new for the task."""
        raise NotImplementedError

    def begin(self) -> None:
        """The scope is here."""
        self._owner.connections.add(self)

    def end(self) -> None:
        """The scope is over."""
        self.connection_lost(self._owner.now)
        self._cancel_timer()
        self._owner.connection_ended(self)
        self._leader.wake()

    def close_if_idle(self) -> None:
        """Scopes are never idle."""

    def abort(self) -> None:
        self.aborted = True
        self._touch()

    def timer_expired(self, kind: int, now: float) -> None:
        raise NotImplementedError

    def _arm(self, kind: int, delay: float) -> None:
        owner = self._owner
        owner.timers.cancel(self._timer)
        self._timer = owner.timers.arm(owner.now + delay, self, kind)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._owner.timers.cancel(self._timer)
            self._timer = None

    def _touch(self) -> None:
        if not self.queued:
            self._owner.connection_ready(self)


def prepared(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them: names in lower case, and none that belongs to the server's connection.

    Raises LocalProtocolError for one that can't be sent.
    """
    known = _prepared.get(headers)
    if known is None:
        for name, value in headers:
            if not name or not name.isascii() or any(byte <= 0x20 or byte == 0x7F for byte in name):
                raise LocalProtocolError(f"header name {name!r} can't be sent")
            if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in value):
                raise LocalProtocolError(f"the value of header {name!r} has characters that can't be sent")
        known = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_THE_CONNECTION]
        if len(_prepared) >= _MAX_PREPARED:
            _prepared.clear()
        _prepared[headers] = known
    return known
