"""What a request and a WebSocket of an ASGI server have in common."""

from __future__ import annotations

from collections.abc import Callable

from siocore.asgi._leader import AsgiLeader
from siocore.endpoint.interfaces import ServerConnection
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["AsgiConnection"]


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
