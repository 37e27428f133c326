"""What a session needs from its endpoint and from the connections that carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from siocore.request import Request
from siocore.timers import TimerQueue
from siocore.waiting import WaiterMaker

if TYPE_CHECKING:
    from siocore.engineio.session import Session

__all__ = ["Channel", "Exchange", "Headers", "SessionOwner"]

Headers = list[tuple[bytes, bytes]]


class Exchange(Protocol):
    """An HTTP request that waits for its answer."""

    @property
    def request(self) -> Request: ...

    def respond(self, status: int, headers: Headers, body: bytes = b"") -> None: ...


class Channel(Protocol):
    """An open WebSocket."""

    #: Bytes that wait to be sent, here and in whoever writes to the network.
    @property
    def buffered(self) -> int: ...

    #: Whether the network took all that was written before this turn.
    @property
    def writable(self) -> bool: ...

    def write(self, frames: bytes) -> bool:
        """Send frames. False, and nothing is sent, if too much waits already."""

    def pause(self) -> None:
        """Don't read for now."""

    def resume(self) -> None: ...

    def close_websocket(self, code: int, reason: str = "") -> None: ...


class SessionOwner(WaiterMaker, Protocol):
    """The endpoint, as sessions see it."""

    timers: TimerQueue

    @property
    def now(self) -> float: ...

    def session_message(self, session: Session, data: str | bytes, start: int) -> None:
        """A message arrived: binary, or text from index ``start`` on (what is before it is the packet type)."""

    def session_has_packets(self, session: Session) -> None:
        """A polling session has packets for a GET that is parked: flush() it at the end of the turn."""

    def session_closed(self, session: Session, reason: str, detail: str) -> None:
        """The session is over for the application. Called once."""

    def session_forgotten(self, session: Session) -> None:
        """Nothing more can arrive for the session. Called once, after session_closed."""
