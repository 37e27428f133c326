"""A way to one client: the base class of an Engine.IO session, as those above it see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from siocore.request import Request
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing
    from siocore.errors import ConnectError

__all__ = ["ClientLink", "Link", "LinkUser"]

#: Reading goes on when this part of what may be kept is left.
_RESUME_SHARE = 0.5
#: About what the smallest object takes, and its place in whatever it is in.
_OBJECT_SIZE = 50


class Link:
    """Carries messages, whole and in order, and counts the handlers that run for the client's own.

    Above the limit of handlers that run at the same time, events are kept. Reading goes on, since what those handlers
    wait for may be an acknowledgement that this client sends, until ``max_held`` bytes are kept; and then not until
    half of them are handled. So what is kept is never more than that and what one read, or one POST, can carry.
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
        self._held: _Held | None = None
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

    @property
    def max_held(self) -> int:
        """How many bytes of events may be kept for handlers, before nothing more is read."""
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
        """Too much is kept for handlers: take nothing more from the client."""
        raise NotImplementedError

    def resume(self) -> None:
        """Handlers have caught up."""
        raise NotImplementedError

    def close(self, reason: str = "forced close", detail: str = "", *, code: int = 1000) -> None:
        """Close from our side: what was sent before still leaves, then the client is told."""
        raise NotImplementedError

    # Handlers that run -----------------------------------------------------------------------------------------

    def hold(self, event: object) -> None:
        """As many handlers run as may: keep the event for later."""
        held = self._held
        if held is None:
            held = self._held = _Held()
        held.add(event)
        if not self.paused and held.size > self.max_held:
            self.pause()

    def next_held(self) -> Any:
        """A handler has ended: the event whose turn it is, or None. Reading goes on when little is left."""
        held = self._held
        if held is None:
            return None
        event = held.take()
        self._read_on(held)
        if event is None:
            self._held = None
        return event

    def drop_held(self, is_over: Callable[[Any], bool]) -> None:
        """The client, or a part of it, is gone: the events of which this is true are not handled any more."""
        held = self._held
        if held is not None:
            held.drop(is_over)
            self._read_on(held)

    def _read_on(self, held: _Held) -> None:
        if self.paused and held.size <= self.max_held * _RESUME_SHARE:
            self.resume()


class ClientLink(Link):
    """A way to a server, of one connection generation: it opens once, closes once, and is never used again."""

    __slots__ = ()

    @property
    def sid(self) -> str:
        """The session's id, which is a secret; "" before it is open."""
        raise NotImplementedError

    @property
    def expired(self) -> bool:
        """Whether pings that were due have not come, so that the server has given this session up though nobody was
        there to notice: the machine slept, or the program did something else. ``writable`` is False then.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Drop it at once: no goodbye, no callback."""
        raise NotImplementedError


class LinkUser:
    """Whoever opened a link: told of it, in this order. Each call names the link, since an old one may still speak."""

    __slots__ = ()

    def link_opened(self, link: ClientLink) -> None:
        """Messages can be sent."""
        raise NotImplementedError

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        """A text message; it begins at index ``start``."""
        raise NotImplementedError

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        """A binary message."""
        raise NotImplementedError

    def link_pinged(self, link: ClientLink) -> None:
        """The server has sent a PING (revision 3: has answered ours)."""
        raise NotImplementedError

    def link_upgraded(self, link: ClientLink) -> None:
        """It has gone over to another transport."""
        raise NotImplementedError

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        """The link is over, once; also after our own ``close()``, but not after ``abandon()``.

        ``reason`` is JavaScript's: "transport close", "transport error", "ping timeout" or "forced close". ``error`` is
        set if the link never opened, and says why.
        """
        raise NotImplementedError


class _Held:
    """Events that are kept, and about how much memory they take."""

    __slots__ = ("_events", "size")

    def __init__(self) -> None:
        self._events: deque[tuple[Any, int]] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Any) -> None:
        size = size_of(event.data if hasattr(event, "data") else event.args)
        self._events.append((event, size))
        self.size += size

    def take(self) -> Any:
        if not self._events:
            return None
        event, size = self._events.popleft()
        self.size -= size
        return event

    def drop(self, is_over: Callable[[Any], bool]) -> None:
        self._events = deque(entry for entry in self._events if not is_over(entry[0]))
        self.size = sum(size for _, size in self._events)


def size_of(value: object) -> int:
    """About how many bytes of memory a value takes that came from a client."""
    size = 0
    pending = [value]
    while pending:
        item = pending.pop()
        size += _OBJECT_SIZE
        if isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
    return size
