"""A way to one client: the base class of an Engine.IO session, as those above it see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from siocore.request import Request
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing

__all__ = ["Link"]


class Link:
    """Carries messages, whole and in order, and counts the handlers that run for the client's own.

    Above the limit of handlers that run at the same time, events are kept, and nothing more is read. What is kept is
    bounded by what one read, or one POST, can carry.
    """

    __slots__ = ("_held", "client", "drain_waiters", "paused", "request", "revision", "running")

    def __init__(self, request: Request) -> None:
        #: The request of the handshake.
        self.request = request
        #: Whoever stands above in the endpoint (Socket.IO's client), if anybody.
        self.client: object = None
        #: True while too many handlers run: what carries data to us is not read.
        self.paused = False
        #: The revision of Engine.IO that the client speaks: 4, or 3 with Socket.IO 1 and 2.
        self.revision = 4
        #: Handlers that have started and not ended. The application counts.
        self.running = 0
        self._held: deque[Any] | None = None
        #: Waiters to wake once what is buffered falls below the high-water mark.
        self.drain_waiters: list[Waiter] | None = None

    @property
    def transport(self) -> str:
        """What carries the messages: ``"polling"`` or ``"websocket"``."""
        raise NotImplementedError

    def implied_id(self, namespace: str) -> str | None:
        """The id that the client gives itself in a namespace, without being told; ``None`` if it waits to be told."""
        return None

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        raise NotImplementedError

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent to this client."""
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Events that were dropped because the client was too slow for them."""
        raise NotImplementedError

    @property
    def high_water(self) -> int:
        """How many bytes may wait before ``await socket.emit(...)`` does."""
        raise NotImplementedError

    def new_waiter(self) -> Waiter:
        """Something to wait on. Raises LocalProtocolError when nobody drives the endpoint."""
        raise NotImplementedError

    @property
    def writable(self) -> bool:
        """Whether a message would leave now; if not, a volatile one is dropped."""
        raise NotImplementedError

    def send_text(self, text: bytes, attachments: list[bytes]) -> None:
        """Send a text message (UTF-8) and the binary messages that belong to it, to this client alone."""
        raise NotImplementedError

    def send_outgoing(self, message: Outgoing) -> None:
        """Send a message that others may get, too."""
        raise NotImplementedError

    def pause(self) -> None:
        """Too many handlers run: take nothing more from the client."""
        raise NotImplementedError

    def resume(self) -> None:
        """Handlers are below their bound again."""
        raise NotImplementedError

    def close(self, reason: str = "forced close", detail: str = "", *, code: int = 1000) -> None:
        """Close from our side: what was sent before still leaves, then the client is told."""
        raise NotImplementedError

    # Handlers that run -----------------------------------------------------------------------------------------

    def hold(self, event: object) -> None:
        """As many handlers run as may: keep the event for later."""
        if self._held is None:
            self._held = deque()
        self._held.append(event)
        if not self.paused:
            self.pause()

    def next_held(self) -> Any:
        """A handler has ended: the event whose turn it is. Reading goes on when there is none."""
        if self._held:
            return self._held.popleft()
        if self.paused:
            self.resume()
        return None

    def drop_held(self, is_over: Callable[[Any], bool]) -> None:
        """The client, or a part of it, is gone: the events of which this is true are not handled any more."""
        if self._held:
            self._held = deque([event for event in self._held if not is_over(event)])
