"""What leaves an Engine.IO session: messages, and the GETs and the WebSocket that take them to the client.

A message goes straight to the WebSocket when there is one; otherwise it waits in the outbox for a GET. Where the client
is slow, messages that need not close the session wait there as well: see backlog.py. What arrives, and the rules by
which a session changes its transport and ends, are in session.py.

Spec: the Engine.IO protocol, revision 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from siocore._speedups import encode_payload, message_frames
from siocore.codec.message import ControlPacket, Outgoing, TextMessage, encode_text, message_of
from siocore.engineio.backlog import Backlog
from siocore.engineio.interfaces import Carrier, Headers, SessionOwner
from siocore.engineio.states import SessionInput, SessionState, TransportState
from siocore.link import Link
from siocore.overflow import CLOSE, DROP_NEW, Delayed, taken
from siocore.request import Request
from siocore.waiting import Sent, Waiter

__all__ = ["Outbound"]

_TEXT: Headers = ((b"content-type", b"text/plain; charset=UTF-8"), (b"cache-control", b"no-store"))
_HTML: Headers = ((b"content-type", b"text/html"), (b"cache-control", b"no-store"))

_NOOP = ControlPacket(b"6")

_OPEN = SessionState.OPEN
_WEBSOCKET = TransportState.WEBSOCKET


class Outbound(Link):
    """The sending side of a session, with the state that it shares with the receiving side."""

    __slots__ = (
        "_backlog",
        "_base64",
        "_channel",
        "_leaving",
        "_outbox",
        "_outbox_size",
        "_owner",
        "_parked",
        "_state",
        "_transport",
        "_uncommon",
        "flush_queued",
    )

    def __init__(self, owner: SessionOwner, request: Request) -> None:
        super().__init__(request)
        #: Set while the owner has this session on its list of sessions to flush.
        self.flush_queued = False
        self._owner = owner
        self._state = SessionState.OPEN
        self._transport = TransportState.POLLING
        self._channel: Carrier | None = None
        self._outbox: list[Outgoing] = []
        self._outbox_size = 0
        self._backlog: Backlog | None = None
        self._parked: Carrier | None = None
        # The GET that was answered last: what of that the network has not taken waits for the client as well.
        self._leaving: Carrier | None = None
        self._base64 = bool(request.parameters("b64"))
        # Whether what leaves by WebSocket has another form than that of most sessions: see _frames_of.
        self._uncommon = self._base64

    # What a session adds, which decides when it ends ----------------------------------------------------------

    def fail(self, reason: str, detail: str = "", *, code: int = 1000) -> None:
        """Close the session at once: the client broke a rule or is gone."""
        raise NotImplementedError

    def tell_slow(self, policy: str) -> None:
        """Tell the application that more is sent to the client than it takes."""
        raise NotImplementedError

    def _step(self, step: SessionInput, reason: str, detail: str, code: int) -> None:
        raise NotImplementedError

    # For the application and for Socket.IO above us -----------------------------------------------------------

    @property
    def transport(self) -> str:
        """What carries the session: ``"polling"``, ``"websocket"`` or ``"webtransport"``."""
        if self._transport is not _WEBSOCKET:
            return "polling"
        return "websocket" if self._channel is None else self._channel.kind

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._state is SessionState.OPEN

    @property
    def lingering(self) -> bool:
        """Whether the session is closed and its last packets wait for a GET."""
        return self._state is SessionState.CLOSING and bool(self._outbox)

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent to this client."""
        return self._outbox_size if self._channel is None else self._outbox_size + self._channel.buffered

    @property
    def dropped(self) -> int:
        """Events that were dropped because the client was too slow for them."""
        return 0 if self._backlog is None else self._backlog.dropped

    @property
    def high_water(self) -> int:
        return self._owner.options.limits.high_water

    @property
    def max_held(self) -> int:
        return self._owner.options.limits.max_held

    def new_waiter(self) -> Waiter:
        return self._owner.new_waiter()

    @property
    def writable(self) -> bool:
        """Whether a message would leave now; if not, a volatile one is dropped."""
        if self._channel is not None:
            return self._channel.writable and not self._outbox
        return self._parked is not None

    def send(self, data: str | bytes) -> Sent | Delayed:
        """Send a text or binary message. ``await`` what it returns to wait while the client is slow.

        Raises LocalProtocolError for text that Engine.IO can't carry: lone surrogates, or U+001E, which separates the
        packets of a long-polling payload.
        """
        if self._owner.when_full:
            return self._send_by_policy(message_of(data))
        if isinstance(data, str):
            self.send_text(encode_text(data), [])
        else:
            self.send_outgoing(message_of(data))
        return Sent(self)

    def send_outgoing(self, message: Outgoing) -> None:
        """Send a message, or drop it if the session is closed. Where there is no room, ``message.when_full`` counts."""
        if self._state is not _OPEN:
            return
        outgoing = message
        if outgoing.when_full or self._backlog is not None:
            self._send_or_wait(outgoing)
            return
        channel = self._channel
        if channel is not None:
            if not channel.write(self._frames_of(outgoing) if self._uncommon else outgoing.frames()):
                self.close_slow()
            return
        if self.waiting > self._owner.options.limits.max_buffered:
            self.close_slow()
            return
        self._queue(outgoing)

    def send_text(self, text: bytes, attachments: list[bytes]) -> None:
        """Send a text message (UTF-8) and the binary messages that belong to it, to this client alone."""
        channel = self._channel
        if channel is None or self._uncommon:
            self.send_outgoing(TextMessage(text, attachments))
        elif not channel.write(message_frames(text, attachments)):
            self.close_slow()

    # Long-polling ---------------------------------------------------------------------------------------------

    def poll(self, exchange: Carrier) -> None:
        """A GET arrived."""
        if self._transport is _WEBSOCKET or self._state is SessionState.CLOSED:
            exchange.respond(400, _HTML)
        elif self._parked is not None:
            # The protocol allows one GET at a time: a client that sends two is broken, or somebody else is at it.
            exchange.respond(400, _HTML)
            self.fail("transport error", "overlap from client")
        else:
            self._parked = exchange
            # One GET at a time: the client has read the answer to the one before.
            self._leaving = None
            if self._outbox:
                self.flush()
            else:
                self.wake_drain_waiters()

    def poll_lost(self, exchange: Carrier) -> None:
        """The connection of a GET broke before its answer was sent.

        Packets were lost with it, unless the session has upgraded: then the answer was the NOOP that releases the GET.
        """
        if self._parked is exchange:
            self._parked = None
        if self._transport is not _WEBSOCKET:
            self.fail("transport error", "poll connection closed prematurely")

    def flush(self) -> None:
        """Answer the parked GET with all that waits."""
        self.flush_queued = False
        exchange = self._parked
        if exchange is None or not self._outbox or self._state is SessionState.CLOSED:
            return
        self._parked = None
        leaving = self._outbox
        if self._state is SessionState.CLOSING and len(leaving) > 1:
            # CLOSE is for the next GET: JavaScript's client acts on it ahead of the messages in the same payload.
            self._outbox = [leaving.pop()]
        else:
            self._outbox = []
        self._outbox_size = 0
        self._answer_poll(exchange, leaving)
        self._leaving = exchange
        self.wake_drain_waiters()
        if self._state is SessionState.CLOSING and not self._outbox:
            self._step(SessionInput.LINGER_OVER, "", "", 1000)

    def poll_answer(self, exchange: Carrier, messages: list[Outgoing]) -> tuple[Headers, bytes]:
        """The answer to a GET with these."""
        return _TEXT, encode_payload([message.payload() for message in messages])

    def _answer_poll(self, exchange: Carrier, messages: list[Outgoing]) -> None:
        headers, body = self.poll_answer(exchange, messages)
        if len(body) >= self._owner.compression_threshold and _may_compress(messages):
            headers, body = self._owner.compressed(exchange.request, headers, body)
        exchange.respond(200, headers, body)

    def _release_poll(self) -> None:
        """Answer a parked GET with what waits, if only a NOOP, so that the client can stop polling."""
        if self._outbox:
            self.flush()
        else:
            self._answer_noop()

    def _answer_noop(self) -> None:
        """Answer a parked GET, and leave what waits for later."""
        if self._parked is not None:
            exchange, self._parked = self._parked, None
            self._answer_poll(exchange, [_NOOP])

    # WebSocket ------------------------------------------------------------------------------------------------

    def _frames_of(self, message: Outgoing) -> bytes:
        """The WebSocket frames of a message, as this session wants them."""
        frames = self._form_of(message)
        if message.compress and self._channel is not None:
            return self._channel.deflated(message, frames)
        return frames

    def _form_of(self, message: Outgoing) -> bytes:
        """The same, not compressed yet."""
        return message.base64_frames() if self._base64 else message.frames()

    def _adopt(self, channel: Carrier) -> None:
        """This WebSocket carries the session from now on."""
        self._channel = channel
        if channel.deflates:
            self._uncommon = True

    # What waits -----------------------------------------------------------------------------------------------

    def wake_drain_waiters(self) -> None:
        """Less waits than before. Called whenever the network has taken something, if ``drain_waiters`` is not None."""
        if self.drain_waiters is not None:
            waiters, self.drain_waiters = self.drain_waiters, None
            for waiter in waiters:
                waiter.wake()
        if self._backlog is not None:
            if self._state is _OPEN:
                self._backlog.drained()
            else:
                self._backlog.closed()

    def _queue(self, message: Outgoing) -> None:
        self._outbox.append(message)
        self._outbox_size += message.size
        if self._parked is not None and not self.flush_queued:
            self.flush_queued = True
            self._owner.session_has_packets(self)

    # For a slow client, and its backlog -----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client, also those that are on their way to it already."""
        if self._channel is not None:
            return self._outbox_size + self._channel.buffered
        return self._outbox_size if self._leaving is None else self._outbox_size + self._leaving.buffered

    @property
    def outbox(self) -> Sequence[Outgoing]:
        """What waits for a GET, or for a WebSocket that is slow."""
        return self._outbox

    def take_back(self, index: int) -> None:
        """Don't send that message of the outbox."""
        self._outbox_size -= self._outbox.pop(index).size

    def enqueue(self, message: Outgoing) -> None:
        """Send a message for which there is room."""
        channel = self._channel
        if channel is None:
            self._queue(message)
        elif self._outbox or channel.buffered > self._owner.share:
            self._outbox.append(message)
            self._outbox_size += message.size
            self.tell_when_drained()
        elif not channel.write(self._frames_of(message)):
            self.close_slow()

    def feed(self) -> None:
        """Give the WebSocket of what waits in the outbox as much as it should have at a time."""
        channel = self._channel
        if channel is None:
            return
        given = 0
        outbox = self._outbox
        while given < len(outbox) and channel.buffered <= self._owner.share:
            message = outbox[given]
            given += 1
            self._outbox_size -= message.size
            channel.write(self._frames_of(message))
        del outbox[:given]
        if outbox:
            self.tell_when_drained()

    def tell_when_drained(self) -> None:
        """Make the connection call ``wake_drain_waiters`` when it has sent something, though nobody waits."""
        if self.drain_waiters is None:
            self.drain_waiters = []

    def close_slow(self) -> None:
        """The client is too slow for what is sent to it."""
        if self._backlog is None:
            self.tell_slow("close")
        self.fail("slow consumer", "more is waiting to be sent than Limits.max_buffered allows", code=1008)

    def _send_by_policy(self, message: Outgoing) -> Sent | Delayed:
        message.droppable = True
        message.when_full = CLOSE if self._owner.when_full == DROP_NEW else self._owner.when_full
        self.send_outgoing(message)
        return taken(message.delayed) or Sent(self)

    def _send_or_wait(self, message: Outgoing) -> None:
        has_room = self._backlog is None and self.waiting <= self._owner.share
        if has_room or self._made_backlog().admit(message):
            self.enqueue(message)

    def _made_backlog(self) -> Backlog:
        if self._backlog is None:
            self._backlog = Backlog(self, self._owner.options.limits.max_buffered)
            # From now on nothing may pass by the outbox.
            self._uncommon = True
        return self._backlog


def _may_compress(messages: list[Outgoing]) -> bool:
    return any(message.compress for message in messages)
