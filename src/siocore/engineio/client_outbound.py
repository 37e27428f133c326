"""What leaves a client's session: messages, on their way to a POST or to the WebSocket.

What arrives, and the rules by which a session opens, changes its transport and ends, are in client_session.py.

Spec: the Engine.IO protocol, revisions 4 and 3.
"""

from __future__ import annotations

from siocore.client_options import CookieStore, EngineClientOptions
from siocore.codec.message import ControlPacket, Outgoing, TextMessage, encode_text, message_of
from siocore.engineio.client_handshake import OpenPacket, timestamp
from siocore.engineio.client_interfaces import ClientCarrier, ClientSessionOwner, HeaderList
from siocore.engineio.client_polling import Polling
from siocore.engineio.client_states import ClientSessionState, ClientTransportState
from siocore.engineio.client_wire import Wire4, one_by_one
from siocore.errors import BufferFull
from siocore.link import ClientLink, LinkUser
from siocore.request import Headers, Request
from siocore.target import Target
from siocore.waiting import Sent, Waiter

__all__ = ["ClientOutbound"]

_PONG = ControlPacket(b"3")

_OPENING = ClientSessionState.OPENING
_OPEN = ClientSessionState.OPEN
_CLOSING = ClientSessionState.CLOSING
_CLOSED = ClientSessionState.CLOSED
_POLLING = ClientTransportState.POLLING
_SWITCHING = ClientTransportState.SWITCHING


class ClientOutbound(ClientLink):
    """The sending side of a session, with the state that it shares with the receiving side."""

    # The timers of requests.
    GET_TIMER = 4
    POST_TIMER = 5

    __slots__ = (
        "_alive",
        "_channel",
        "_cookies",
        "_max_buffered",
        "_outbox",
        "_outbox_size",
        "_plain",
        "_polling",
        "_requests",
        "_sid",
        "_state",
        "_transport",
        "data",
        "flush_queued",
        "handshake",
        "max_payload",
        "options",
        "owner",
        "target",
        "user",
        "wire",
    )

    def __init__(self, owner: ClientSessionOwner, user: LinkUser, target: Target, options: EngineClientOptions) -> None:
        super().__init__(Request("GET", options.path, []))
        self.owner = owner
        self.user = user
        self.target = target
        self.options = options
        #: Free for the application.
        self.data: object = None
        #: What the server has told in its OPEN packet.
        self.handshake: OpenPacket | None = None
        #: The largest body of a POST, if the server tells it.
        self.max_payload: int | None = None
        #: How packets are written and read.
        self.wire = Wire4(False)
        #: Set while the owner has this session on its list of sessions to flush.
        self.flush_queued = False
        self._sid = ""
        self._max_buffered = options.limits.max_buffered
        self._state = _OPENING
        self._transport = _POLLING
        # The WebSocket that carries the session, or the requests that do.
        self._channel: ClientCarrier | None = None
        self._polling: Polling | None = None
        # Each of these is one packet.
        self._outbox: list[Outgoing] = []
        self._outbox_size = 0
        # When the server was last heard of, in the world's time.
        self._alive = 0.0
        # Whether text leaves by WebSocket in the form of nearly all sessions.
        self._plain = False
        self._requests = 0
        cookies: object = options.cookies
        self._cookies: CookieStore | None = cookies if hasattr(cookies, "store") else None  # type: ignore[assignment]

    # For the application and for Socket.IO above us ------------------------------------------------------------

    @property
    def sid(self) -> str:
        return self._sid

    @property
    def open(self) -> bool:
        return self._state is _OPEN

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._state is _CLOSED

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent, or whose arrival is not known yet."""
        waiting = self._outbox_size
        if self._channel is not None:
            waiting += self._channel.buffered
        if self._polling is not None:
            waiting += self._polling.posted
        return waiting

    @property
    def dropped(self) -> int:
        return 0

    @property
    def high_water(self) -> int:
        return self.options.limits.high_water

    @property
    def max_held(self) -> int:
        return self.options.limits.max_held

    def new_waiter(self) -> Waiter:
        return self.owner.new_waiter()

    @property
    def writable(self) -> bool:
        if self._state is not _OPEN or self.expired:
            return False
        if self._channel is not None:
            return self._channel.writable and not self._outbox
        return self._transport is not _SWITCHING and self._polling is not None and not self._polling.posting

    @property
    def expired(self) -> bool:
        handshake = self.handshake
        if handshake is None:
            return False
        # The time in which the server, too, has heard enough or nothing: it gives up after the same two durations.
        return self.owner.elapsed - self._alive > handshake.ping_interval + handshake.ping_timeout

    def implied_id(self, namespace: str) -> str | None:
        if self.revision == 4:
            return None
        return self.sid if namespace == "/" else f"{namespace}#{self.sid}"

    def send(self, data: str | bytes) -> Sent:
        """Send a text or binary message. ``await`` what it returns to wait while the server is slow.

        Raises LocalProtocolError for text that Engine.IO can't carry: lone surrogates, or U+001E, which separates the
        packets of a long-polling payload; and BufferFull when more waits already than ``Limits.max_buffered``.
        """
        if isinstance(data, str):
            self.send_text(encode_text(data), [])
        else:
            self.send_outgoing(message_of(data))
        return Sent(self)

    def send_text(self, text: bytes, attachments: list[bytes]) -> None:
        """Send a text message and the binary messages that belong to it. Raises BufferFull."""
        channel = self._channel
        if channel is None or not self._plain:
            self.send_outgoing(TextMessage(text, attachments))
            return
        waiting = channel.buffered
        if waiting and waiting + len(text) > self._max_buffered:
            raise _full(self._max_buffered)
        channel.send_message(text, attachments)

    def send_outgoing(self, message: Outgoing) -> None:
        """Send a message, or drop it if the session is closed. Raises BufferFull."""
        if self._state is not _OPEN and self._state is not _OPENING:
            return
        channel = self._channel
        if channel is not None and self._plain and type(message) is TextMessage:
            self.send_text(message.text, message.attachments)
            return
        waiting = self.buffered
        if waiting and waiting + message.size > self._max_buffered:
            raise _full(self._max_buffered)
        self._send(message)

    # What leaves -----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make a POST of what waits, if none is under way."""
        self.flush_queued = False
        polling = self._polling
        if (
            polling is None
            or polling.posting
            or not self._outbox
            or self._transport not in (_POLLING, ClientTransportState.PROBING)
        ):
            return
        if self._state is not _OPEN and self._state is not _CLOSING:
            return
        count = polling.post(self._outbox)
        for message in self._outbox[:count]:
            self._outbox_size -= message.size
        del self._outbox[:count]

    def wake_drain_waiters(self) -> None:
        """Less waits than before. Called whenever the network has taken something, if ``drain_waiters`` is not None."""
        if self.drain_waiters is not None:
            waiters, self.drain_waiters = self.drain_waiters, None
            for waiter in waiters:
                waiter.wake()

    def _send(self, message: Outgoing) -> None:
        if self._channel is not None:
            self.wire.send(self._channel, message)
            return
        for packet in one_by_one(message):
            self._outbox.append(packet)
            self._outbox_size += packet.size
        if self._state is not _OPENING and not self.flush_queued:
            self.flush_queued = True
            self.owner.session_has_packets(self)

    def _send_pong(self) -> None:
        # A server that pings and does not read gets no more of them than it can be sent.
        if self._channel is not None:
            if self._channel.buffered <= self._max_buffered:
                self.wire.send(self._channel, _PONG)
        elif not self._outbox or self._outbox[-1] is not _PONG:
            self._send(_PONG)

    # For requests ----------------------------------------------------------------------------------------------

    def next_timestamp(self) -> str:
        """A value that no request before had."""
        self._requests += 1
        return timestamp(self.options.random(), self._requests)

    def with_cookies(self, headers: HeaderList) -> HeaderList:
        """These headers, and those of the cookies."""
        value = None if self._cookies is None else self._cookies.header(self._url)
        if value is None:
            return headers
        cookie = value.encode("latin-1", "replace")
        # One line for all of them (RFC 6265, section 5.4), those of the application first.
        own = [content for name, content in headers if name.lower() == b"cookie"]
        rest = [pair for pair in headers if pair[0].lower() != b"cookie"]
        return [*rest, (b"Cookie", b"; ".join([*own, cookie]))]

    def _keep_cookies(self, headers: Headers) -> None:
        if self._cookies is not None:
            values = [value.decode("latin-1") for name, value in headers.raw if name == b"set-cookie"]
            if values:
                self._cookies.store(self._url, values)

    @property
    def _url(self) -> str:
        return self.target.origin + self.options.path


def _full(limit: int) -> BufferFull:
    return BufferFull(
        f"more than Limits.max_buffered ({limit} bytes) would wait to be sent: the server is slow or gone"
    )
