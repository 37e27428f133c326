"""One Engine.IO session, server side.

A session outlives the connections that carry it: a parked GET, a POST, a WebSocket, sometimes none. What is to be sent
goes straight to the WebSocket when there is one; otherwise it waits in the outbox for a GET.

Spec: the Engine.IO protocol, revision 4. The states are in states.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from siocore._speedups import decode_packet, decode_payload, encode_payload, message_frames
from siocore.codec.message import ControlPacket, Outgoing, TextMessage, encode_text, message_of
from siocore.engineio import states
from siocore.engineio.backlog import Backlog
from siocore.engineio.interfaces import Carrier, Headers, SessionOwner
from siocore.engineio.states import (
    HeartbeatAction,
    HeartbeatInput,
    HeartbeatState,
    SessionAction,
    SessionInput,
    SessionState,
    TransportAction,
    TransportInput,
    TransportState,
)
from siocore.errors import DecodeError
from siocore.link import Link
from siocore.overflow import CLOSE, DROP_NEW, Delayed, SlowConsumer, taken
from siocore.packets import EnginePacketType
from siocore.request import Request
from siocore.timers import Timer
from siocore.waiting import Sent, Waiter

__all__ = ["Session"]

_TEXT: Headers = ((b"content-type", b"text/plain; charset=UTF-8"), (b"cache-control", b"no-store"))
_HTML: Headers = ((b"content-type", b"text/html"), (b"cache-control", b"no-store"))

#: Seconds between NOOP packets that release a parked GET during an upgrade. engine.io: 0.1.
_NOOP_INTERVAL = 0.1

_CLOSE = ControlPacket(b"1")
_PING = ControlPacket(b"2")
_NOOP = ControlPacket(b"6")
_PROBE_ANSWER = ControlPacket(b"3probe")

_MESSAGE = EnginePacketType.MESSAGE.value
_OPEN = SessionState.OPEN
_WEBSOCKET = TransportState.WEBSOCKET
_WAITING = HeartbeatState.WAITING
_PING_DUE = HeartbeatInput.PING_DUE
_PONG = HeartbeatInput.PONG
_OTHER_PACKET = HeartbeatInput.OTHER_PACKET

#: The part of the interval that a PING may leave early, so as to leave with others: most of what the heartbeat of an
#: idle client costs is waking up for it.
_PING_SLACK = 0.02


# The timers of a session.
_PING_TIMER = 0
_PONG_TIMER = 1
_UPGRADE_TIMER = 2
_NOOP_TIMER = 3
_LINGER_TIMER = 4


class Session(Link):
    """An Engine.IO session: ordered text and binary messages to and from one client.

    Made by the endpoint. ``data`` is a free slot for the application.
    """

    __slots__ = (
        "_backlog",
        "_base64",
        "_candidate",
        "_channel",
        "_heartbeat",
        "_heartbeat_timer",
        "_leaving",
        "_noop_timer",
        "_outbox",
        "_outbox_size",
        "_owner",
        "_parked",
        "_posting",
        "_state",
        "_transport",
        "_uncommon",
        "_upgrade_timer",
        "_waiting_for_answer",
        "data",
        "flush_queued",
        "sid",
    )

    def __init__(self, sid: str, owner: SessionOwner, request: Request) -> None:
        super().__init__(request)
        self.sid = sid
        self.data: object = None
        #: Set while the owner has this session on its list of sessions to flush.
        self.flush_queued = False
        self._owner = owner
        self._state = SessionState.OPEN
        self._transport = TransportState.POLLING
        self._heartbeat = HeartbeatState.IDLE
        self._channel: Carrier | None = None
        self._candidate: Carrier | None = None
        self._outbox: list[Outgoing] = []
        self._outbox_size = 0
        self._backlog: Backlog | None = None
        self._parked: Carrier | None = None
        # The GET that was answered last: what of that the network has not taken waits for the client as well.
        self._leaving: Carrier | None = None
        self._posting: Carrier | None = None
        self._waiting_for_answer = False
        self._base64 = bool(request.parameters("b64"))
        # Whether what leaves by WebSocket has another form than that of most sessions: see _frames_of.
        self._uncommon = self._base64
        self._heartbeat_timer: Timer | None = None
        self._arm_heartbeat(owner.options.ping_interval, _PING_TIMER)
        self._upgrade_timer: Timer | None = None
        self._noop_timer: Timer | None = None

    def __repr__(self) -> str:
        # Without the sid: whoever knows it can speak for the client, and representations end up in logs.
        return f"<Session {self._state.name} {self.transport}>"

    # For the application and for Socket.IO above us ------------------------------------------------------------

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

    def close(self, reason: str = "forced close", detail: str = "", *, code: int = 1000) -> None:
        """Close the session from our side: what was sent before still leaves, then the client is told.

        ``code`` is the WebSocket close code.
        """
        over_websocket = self._transport is _WEBSOCKET
        step = SessionInput.CLOSE_WEBSOCKET if over_websocket else SessionInput.CLOSE_POLLING
        self._step(step, reason, detail, code)

    def discard(self) -> None:
        """Forget a session whose handshake was not completed; the application never heard of it."""
        self._owner.timers.cancel(self._heartbeat_timer)
        self._state = SessionState.CLOSED
        self._owner.session_forgotten(self)

    def fail(self, reason: str, detail: str = "", *, code: int = 1000) -> None:
        """Close the session at once: the client broke a rule or is gone."""
        self._step(SessionInput.FAIL, reason, detail, code)

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

    def post_started(self, exchange: Carrier) -> bool:
        """The head of a POST arrived. True: its body is wanted; False: it was answered."""
        if self._transport is _WEBSOCKET or self._state is not SessionState.OPEN:
            exchange.respond(400, _HTML)
            return False
        if self._posting is not None:
            exchange.respond(400, _HTML)
            self.fail("transport error", "data request overlap from client")
            return False
        if not self._takes_body(exchange):
            exchange.respond(400, _HTML)
            self.fail("transport error", "binary payloads belong to protocol revision 3")
            return False
        self._posting = exchange
        return True

    def post(self, exchange: Carrier, body: bytes) -> None:
        """The body of a POST arrived."""
        if self._posting is not exchange or self._transport is _WEBSOCKET or self._state is not SessionState.OPEN:
            # Closed or upgraded while the body was under way. Delivering it now could reorder.
            self._posting = None
            exchange.respond(400, _HTML)
            return
        messages, error = self._read_body(exchange, body)
        for message in messages:
            if isinstance(message, bytes):
                self._packet(_MESSAGE, message)
            else:
                # The type of a text packet is one of those that there are: decoding has seen to it.
                text = message
                if text[0] == "4":
                    if self._heartbeat is _WAITING:
                        self._heartbeat_step(_OTHER_PACKET)
                    self._owner.session_message(self, text, 1)
                else:
                    self._packet(ord(text[0]) - 48, text[1:])
            if self._state is not _OPEN:
                break
        else:
            if error is not None:
                self._posting = None
                exchange.respond(400, _HTML)
                self.fail("parse error", str(error))
                return
        if self.paused and self.open:
            # The client sends nothing more until this is answered: that is the backpressure of long-polling.
            self._waiting_for_answer = True
            return
        self._posting = None
        exchange.respond(200, _HTML, b"ok")

    def post_lost(self, exchange: Carrier) -> None:
        """The connection of a POST broke before it was answered."""
        if self._posting is exchange:
            self._posting = None
            self.fail("transport error", "data request connection closed prematurely")

    def post_refused(self, exchange: Carrier) -> None:
        """The body of a POST was larger than allowed (and answered 413). The session lives on."""
        if self._posting is exchange:
            self._posting = None

    def pause(self) -> None:
        """Too much is kept for handlers: take nothing more from the client."""
        self.paused = True
        if self._channel is not None:
            self._channel.pause()

    def resume(self) -> None:
        """Handlers have caught up."""
        self.paused = False
        if self._channel is not None:
            self._channel.resume()
        if self._waiting_for_answer and self._posting is not None:
            self._waiting_for_answer = False
            exchange, self._posting = self._posting, None
            exchange.respond(200, _HTML, b"ok")

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

    def _takes_body(self, exchange: Carrier) -> bool:
        """Whether the body of a POST has a form that this session reads."""
        for content_type in exchange.request.header_values(b"content-type"):
            if content_type[:24].lower() == b"application/octet-stream":
                return False
        return True

    def _read_body(self, exchange: Carrier, body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        """The packets in the body of a POST, as WebSocket messages, and what is wrong with the one behind them."""
        return decode_payload(body)

    # WebSocket ------------------------------------------------------------------------------------------------

    def open_websocket(self, channel: Carrier) -> None:
        """The handshake itself came by WebSocket."""
        self._adopt(channel)
        self._transport = _WEBSOCKET

    @property
    def can_upgrade(self) -> bool:
        """Whether a WebSocket for this session would be taken now."""
        action, _ = states.TRANSPORT[self._transport, TransportInput.WEBSOCKET_OPENED]
        return (
            self._state is SessionState.OPEN
            and self._owner.options.allow_upgrades
            and action is TransportAction.ADOPT_CANDIDATE
        )

    def websocket_opened(self, channel: Carrier, request: Request) -> None:
        """A WebSocket for this session was accepted, because ``can_upgrade``. ``request`` is its handshake."""
        self._transport_step(TransportInput.WEBSOCKET_OPENED, channel)

    def websocket_message(self, channel: Carrier, data: str | bytes) -> None:
        """A whole message arrived on one of this session's WebSockets."""
        if channel is self._channel:
            # The common case, ahead of all else.
            if type(data) is str:
                text = data
                if text.startswith("4"):
                    if self._heartbeat is _WAITING:
                        self._heartbeat_step(_OTHER_PACKET)
                    if self._state is _OPEN:
                        self._owner.session_message(self, text, 1)
                    return
                if text == "3":
                    self._heartbeat_step(_PONG)
                    return
                try:
                    kind, content = decode_packet(text)
                except DecodeError as error:
                    self.fail("parse error", str(error), code=1002)
                    return
                self._packet(kind, content)
            else:
                self._packet(_MESSAGE, data)
        elif channel is self._candidate:
            if data == "2probe":
                step = TransportInput.PROBE
            elif data == "5":
                step = TransportInput.UPGRADE
            else:
                step = TransportInput.OTHER_PACKET
            self._transport_step(step, channel)

    def websocket_lost(self, channel: Carrier, reason: str, detail: str) -> None:
        """One of this session's WebSockets ended. ``reason`` is "transport close" or "transport error"."""
        if channel is self._candidate:
            self._transport_step(TransportInput.WEBSOCKET_LOST, channel)
        elif channel is self._channel:
            self.fail(reason, detail)

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

    # Packets --------------------------------------------------------------------------------------------------

    def _packet(self, kind: int, data: str | bytes) -> None:
        if kind == _MESSAGE:
            if self._heartbeat is _WAITING:
                self._heartbeat_step(_OTHER_PACKET)
            self._owner.session_message(self, data, 0)
        elif kind == EnginePacketType.PONG:
            self._heartbeat_step(_PONG)
        elif kind == EnginePacketType.PING:
            self.fail("transport error", "invalid heartbeat direction", code=1002)
        elif kind == EnginePacketType.CLOSE:
            self._close_from_peer()
        # OPEN, UPGRADE and NOOP mean nothing here, and engine.io ignores them too.

    def _close_from_peer(self) -> None:
        if self.open:
            # Not by CLOSE: the client knows already that it is closing.
            self._answer_noop()
        self.fail("transport close", "the client closed the session")

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

    def tell_slow(self, policy: str) -> None:
        """Tell the application that more is sent to the client than it takes."""
        self._owner.session_slow(self, SlowConsumer(policy, self.waiting, self.dropped))

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

    # The three machines ---------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == _PING_TIMER:
            self._heartbeat_step(_PING_DUE)
        elif kind == _PONG_TIMER:
            if self.paused:
                # We don't read, so the PONG may well be waiting in the kernel. One more read tells: the next event
                # that is too many pauses us again, and nothing at all means that nobody is there.
                self.resume()
                self._arm_heartbeat(self._owner.options.ping_timeout, _PONG_TIMER)
            else:
                self._heartbeat_step(HeartbeatInput.PONG_OVERDUE)
        elif kind == _UPGRADE_TIMER:
            if self._candidate is not None:
                self._transport_step(TransportInput.WEBSOCKET_LOST, self._candidate)
        elif kind == _NOOP_TIMER:
            self._release_poll()
            self._noop_timer = self._owner.timers.arm(now + _NOOP_INTERVAL, self, _NOOP_TIMER)
        elif kind == _LINGER_TIMER:
            self._step(SessionInput.LINGER_OVER, "", "", 1000)

    def _step(self, step: SessionInput, reason: str, detail: str, code: int) -> None:
        action, self._state = states.SESSION[self._state, step]
        if action is SessionAction.NOTHING:
            return
        timers = self._owner.timers
        timers.cancel(self._heartbeat_timer)
        self._heartbeat_timer = None
        self._drop_candidate()
        if action is SessionAction.LINGER:
            self._queue(_CLOSE)
            self._heartbeat_timer = timers.arm(
                self._owner.now + self._owner.options.limits.linger_timeout, self, _LINGER_TIMER
            )
            self._owner.session_closed(self, reason, detail)
            self.wake_drain_waiters()
            return
        if self._channel is not None and reason != "slow consumer":
            for message in self._outbox:
                self._channel.write(self._frames_of(message))
        self._outbox.clear()
        self._outbox_size = 0
        if self._parked is not None:
            exchange, self._parked = self._parked, None
            self._answer_poll(exchange, [_CLOSE])
        if self._posting is not None and self._waiting_for_answer:
            exchange, self._posting = self._posting, None
            exchange.respond(200, _HTML, b"ok")
        if self._channel is not None:
            self._channel.close_websocket(code)
            self._channel = None
        self.wake_drain_waiters()
        if action is SessionAction.END:
            self._owner.session_closed(self, reason, detail)
        self._owner.session_forgotten(self)

    def _transport_step(self, step: TransportInput, channel: Carrier) -> None:
        action, self._transport = states.TRANSPORT[self._transport, step]
        owner = self._owner
        if action is TransportAction.ADOPT_CANDIDATE:
            self._candidate = channel
            self._upgrade_timer = owner.timers.arm(owner.now + owner.options.upgrade_timeout, self, _UPGRADE_TIMER)
        elif action is TransportAction.ANSWER_PROBE:
            channel.write(_PROBE_ANSWER.frames())
            self._release_poll()
            if self._noop_timer is None:
                self._noop_timer = owner.timers.arm(owner.now + _NOOP_INTERVAL, self, _NOOP_TIMER)
        elif action is TransportAction.DROP_CANDIDATE:
            self._drop_candidate()
        elif action is TransportAction.SWITCH:
            self._switch(channel)

    def _switch(self, channel: Carrier) -> None:
        self._candidate = None
        self._cancel_upgrade_timers()
        self._answer_noop()
        self._adopt(channel)
        if self.paused:
            channel.pause()
        self._leaving = None
        if self._outbox and self._backlog is None:
            # In one piece: the bound held when each was queued.
            channel.write(b"".join([self._frames_of(each) for each in self._outbox]))
            self._outbox.clear()
            self._outbox_size = 0
        self.wake_drain_waiters()

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

    def _drop_candidate(self) -> None:
        self._cancel_upgrade_timers()
        if self._transport in (TransportState.CANDIDATE, TransportState.PROBED):
            self._transport = TransportState.POLLING
        if self._candidate is not None:
            candidate, self._candidate = self._candidate, None
            candidate.close_websocket(1000)

    def _cancel_upgrade_timers(self) -> None:
        self._owner.timers.cancel(self._upgrade_timer)
        self._owner.timers.cancel(self._noop_timer)
        self._upgrade_timer = self._noop_timer = None

    def _heartbeat_step(self, step: HeartbeatInput) -> None:
        action, self._heartbeat = states.HEARTBEAT[self._heartbeat, step]
        options = self._owner.options
        if action is HeartbeatAction.SEND_PING:
            self._arm_heartbeat(options.ping_timeout, _PONG_TIMER)
            self.send_outgoing(_PING)
        elif action is HeartbeatAction.SCHEDULE_PING:
            self._arm_heartbeat(options.ping_interval, _PING_TIMER)
        elif action is HeartbeatAction.EXTEND:
            self._arm_heartbeat(options.ping_timeout, _PONG_TIMER)
        elif action is HeartbeatAction.TIME_OUT:
            self.fail("ping timeout", f"no PONG within {options.ping_timeout:g} s")

    def _arm_heartbeat(self, delay: float, kind: int) -> None:
        owner = self._owner
        owner.timers.cancel(self._heartbeat_timer)
        slack = delay * _PING_SLACK if kind == _PING_TIMER else 0.0
        self._heartbeat_timer = owner.timers.arm(owner.now + delay, self, kind, slack)


def _may_compress(messages: list[Outgoing]) -> bool:
    return any(message.compress for message in messages)
