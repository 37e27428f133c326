"""One Engine.IO session, server side.

A session outlives the connections that carry it: a parked GET, a POST, a WebSocket, sometimes none. Here is what
arrives by them, and the three machines that decide what carries the session and when it ends. How messages leave is in
outbound.py.

Spec: the Engine.IO protocol, revision 4. The states are in states.py.
"""

from __future__ import annotations

from siocore._speedups import decode_packet, decode_payload
from siocore.codec.message import ControlPacket
from siocore.engineio import states
from siocore.engineio.interfaces import Carrier, Headers, SessionOwner
from siocore.engineio.outbound import Outbound
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
from siocore.overflow import SlowConsumer
from siocore.packets import EnginePacketType
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["Session"]

_HTML: Headers = ((b"content-type", b"text/html"), (b"cache-control", b"no-store"))

#: Seconds between NOOP packets that release a parked GET during an upgrade. engine.io: 0.1.
_NOOP_INTERVAL = 0.1

_CLOSE = ControlPacket(b"1")
_PING = ControlPacket(b"2")
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


class Session(Outbound):
    """An Engine.IO session: ordered text and binary messages to and from one client.

    Made by the endpoint. ``data`` is a free slot for the application.
    """

    __slots__ = (
        "_candidate",
        "_heartbeat",
        "_heartbeat_timer",
        "_noop_timer",
        "_posting",
        "_upgrade_timer",
        "_waiting_for_answer",
        "data",
        "sid",
    )

    def __init__(self, sid: str, owner: SessionOwner, request: Request) -> None:
        super().__init__(owner, request)
        self.sid = sid
        self.data: object = None
        self._heartbeat = HeartbeatState.IDLE
        self._candidate: Carrier | None = None
        self._posting: Carrier | None = None
        self._waiting_for_answer = False
        self._heartbeat_timer: Timer | None = None
        self._arm_heartbeat(owner.options.ping_interval, _PING_TIMER)
        self._upgrade_timer: Timer | None = None
        self._noop_timer: Timer | None = None

    def __repr__(self) -> str:
        # Without the sid: whoever knows it can speak for the client, and representations end up in logs.
        return f"<Session {self._state.name} {self.transport}>"

    # For the application and for Socket.IO above us ------------------------------------------------------------

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

    def tell_slow(self, policy: str) -> None:
        """Tell the application that more is sent to the client than it takes."""
        self._owner.session_slow(self, SlowConsumer(policy, self.waiting, self.dropped))

    # Long-polling ---------------------------------------------------------------------------------------------

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
