"""What Socket.IO needs from below (the Engine.IO session) and from above (the endpoint)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from siocore.codec.message import Outgoing
from siocore.events import Event
from siocore.inbox import Pausable
from siocore.request import Request
from siocore.timers import TimerQueue
from siocore.waiting import Drainable, WaiterMaker

if TYPE_CHECKING:
    from siocore.socketio.namespace import Namespace

__all__ = ["Hub", "Link"]


class Link(Drainable, Pausable, Protocol):
    """An Engine.IO session, as Socket.IO sees it."""

    request: Request

    @property
    def transport(self) -> str: ...

    @property
    def writable(self) -> bool: ...

    def send_text(self, text: bytes, attachments: list[bytes]) -> None: ...

    def send_outgoing(self, message: Outgoing) -> None: ...

    def close(self, reason: str = ..., detail: str = ..., *, code: int = ...) -> None: ...


class Hub(WaiterMaker, Protocol):
    """The endpoint, as Socket.IO sees it."""

    timers: TimerQueue
    namespaces: dict[str, Namespace]

    @property
    def now(self) -> float: ...

    def push_event(self, event: Event) -> None:
        """For events that the application's own calls can cause."""

    def push_received(self, event: Event) -> None:
        """For events that are caused by what the driver has passed in."""
