"""An Engine.IO session, from the client's side: what it sends and receives, and the machines that decide what becomes
of it.

The requests of long-polling are in client_polling.py, the forms of packets in client_wire.py, what is asked for and
answered at the beginning in client_handshake.py. The states are in client_states.py.

Spec: the Engine.IO protocol, revisions 4 and 3; where it leaves something open, engine.io-client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siocore.client_options import ClientOptions, CookieStore, EngineClientOptions
from siocore.codec.message import ControlPacket, Outgoing, TextMessage, encode_text, message_of
from siocore.engineio import client_states as states
from siocore.engineio.client_handshake import OpenPacket, Refusal, TransportSettings, parse_open, timestamp
from siocore.engineio.client_interfaces import ClientCarrier, ClientSessionOwner, HeaderList
from siocore.engineio.client_opening import Opening
from siocore.engineio.client_polling import Polling
from siocore.engineio.client_states import (
    ClientHeartbeatAction,
    ClientHeartbeatInput,
    ClientHeartbeatState,
    ClientSessionAction,
    ClientSessionInput,
    ClientSessionState,
    ClientTransportAction,
    ClientTransportInput,
    ClientTransportState,
)
from siocore.engineio.client_wire import Wire3, Wire4, one_by_one
from siocore.errors import BufferFull, ConnectError, DecodeError
from siocore.link import ClientLink, LinkUser
from siocore.request import Headers, Request
from siocore.target import Target
from siocore.timers import Timer
from siocore.waiting import Sent, Waiter

__all__ = ["ClientSession"]

_CLOSE = ControlPacket(b"1")
_PING = ControlPacket(b"2")
_PONG = ControlPacket(b"3")
_PROBE = ControlPacket(b"2probe")
_UPGRADE = ControlPacket(b"5")

_OPENING = ClientSessionState.OPENING
_OPEN = ClientSessionState.OPEN
_CLOSING = ClientSessionState.CLOSING
_CLOSED = ClientSessionState.CLOSED
_WEBSOCKET = ClientTransportState.WEBSOCKET
_SWITCHING = ClientTransportState.SWITCHING

# The timers of a session. The first three are never armed at the same time.
_OPENING_TIMER = 0
_HEARTBEAT_TIMER = 1
_CLOSING_TIMER = 2
_UPGRADE_TIMER = 3

#: The close code for a server that broke the protocol (RFC 6455, section 7.4.1).
_PROTOCOL_ERROR = 1002


class ClientSession(ClientLink):
    """An Engine.IO session with a server: ordered text and binary messages, opened once and closed once.

    Made by the endpoint. ``data`` is a free slot for the application.
    """

    GET_TIMER = 4
    POST_TIMER = 5

    __slots__ = (
        "__weakref__",
        "_alive",
        "_candidate",
        "_channel",
        "_cookies",
        "_due",
        "_farewell",
        "_heartbeat",
        "_max_buffered",
        "_opening",
        "_outbox",
        "_outbox_size",
        "_plain",
        "_polling",
        "_requests",
        "_sid",
        "_state",
        "_timer",
        "_transport",
        "_upgrade_timer",
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

    def __init__(
        self,
        owner: ClientSessionOwner,
        user: LinkUser,
        target: Target,
        options: EngineClientOptions,
        query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(Request("GET", options.path, []))
        self.owner = owner
        self.user = user
        self.target = target
        self.options = options
        self.data: object = None
        self._sid = ""
        #: What the server has told in its OPEN packet.
        self.handshake: OpenPacket | None = None
        #: The largest body of a POST, if the server tells it.
        self.max_payload: int | None = None
        #: Set while the owner has this session on its list of sessions to flush.
        self.flush_queued = False
        self._max_buffered = options.limits.max_buffered
        self._state = _OPENING
        self._transport = ClientTransportState.POLLING
        self._heartbeat = ClientHeartbeatState.LISTENING
        # The WebSocket that carries the session, and the one that may come to.
        self._channel: ClientCarrier | None = None
        self._candidate: ClientCarrier | None = None
        self._polling: Polling | None = None
        self._outbox: list[Outgoing] = []
        self._outbox_size = 0
        self._requests = 0
        # When the session counts as lost, or PING is due, on the owner's clock; and when the server was last heard of,
        # in the world's time.
        self._due = 0.0
        self._alive = 0.0
        self._timer: Timer | None = None
        self._upgrade_timer: Timer | None = None
        # Why the application closes the session, while it is being closed: reason, detail, close code.
        self._farewell: tuple[str, str, int] | None = None
        self.wire = Wire4(False)
        # Whether text leaves by WebSocket in the form of nearly all sessions.
        self._plain = False
        cookies: object = options.cookies
        self._cookies: CookieStore | None = cookies if hasattr(cookies, "store") else None  # type: ignore[assignment]
        self._opening: Opening | None = Opening(self, target, options, query)

    def __repr__(self) -> str:
        # Without the sid: whoever knows it can speak for us, and representations end up in logs.
        return f"<ClientSession {self._state.name} {self.transport} {self.target.origin}>"

    def start(self) -> None:
        """Begin to open it. For the endpoint."""
        timeout = self.options.timeout
        if timeout is not None:
            self._timer = self.owner.timers.arm(self.owner.now + timeout, self, _OPENING_TIMER)
        assert self._opening is not None
        self._opening.start()

    # For the application and for Socket.IO above us ------------------------------------------------------------

    @property
    def sid(self) -> str:
        return self._sid

    @property
    def transport(self) -> str:
        if self._transport is _WEBSOCKET or (self._opening is not None and self._opening.transport == "websocket"):
            return "websocket"
        return "polling"

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
        waiting = self.buffered
        if waiting and waiting + message.size > self._max_buffered:
            raise _full(self._max_buffered)
        self._send(message)

    def pause(self) -> None:
        self.paused = True
        if self._channel is not None:
            self._channel.pause()

    def resume(self) -> None:
        self.paused = False
        if self._channel is not None:
            self._channel.resume()
        self._poll_on()

    def close(self, reason: str = "forced close", detail: str = "", *, code: int = 1000) -> None:
        """Close the session from our side: what was sent before still leaves, then the server is told.

        ``code`` is the WebSocket close code. A session that has expired is dropped at once.
        """
        if self._state is _OPEN and self.expired:
            self._step(ClientSessionInput.FAIL, reason, detail)
            return
        if self._farewell is None:
            self._farewell = (reason, detail, code)
        over_websocket = self._channel is not None
        step = ClientSessionInput.CLOSE_NOW if over_websocket else ClientSessionInput.CLOSE_SLOWLY
        self._step(step, *self._farewell[:2])

    def abandon(self) -> None:
        """Drop it at once: no goodbye, no callback."""
        if self._state is not _CLOSED:
            self.user = _NOBODY
            self._step(ClientSessionInput.FAIL, "", "")

    def fail(self, reason: str, detail: str) -> None:
        """Close the session at once: the server broke a rule or is gone."""
        if self._opening is not None:
            self._opening.failed(reason, detail, None)
        elif self._farewell is not None:
            self._step(ClientSessionInput.FAIL, *self._farewell[:2])
        else:
            self._step(ClientSessionInput.FAIL, reason, detail)

    # What leaves -----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make a POST of what waits, if none is under way."""
        self.flush_queued = False
        polling = self._polling
        if (
            polling is None
            or polling.posting
            or not self._outbox
            or self._transport is not ClientTransportState.POLLING
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

    # What arrives by long-polling ------------------------------------------------------------------------------

    def answered(self, carrier: ClientCarrier, status: int, headers: Headers, body: bytes) -> None:
        """A request was answered."""
        self._keep_cookies(headers)
        if self._polling is not None:
            self._polling.answered(carrier, status, headers, body)

    def polled(self, messages: list[str | bytes], fault: DecodeError | None) -> None:
        """A GET has brought packets, and ``fault`` is what is wrong with the one behind them."""
        for message in messages:
            self._packet(message)
            if self._state is _CLOSED:
                return
        if fault is not None:
            self.fail("parse error", f"the server's payload is wrong: {fault}")
        elif self._state is _OPENING:
            self.fail("parse error", "the server has answered the handshake with no packet")
        elif self._transport is _SWITCHING:
            self._see_whether_polling_rests()
        else:
            self._poll_on()

    def posted(self) -> None:
        """A POST was taken."""
        self.wake_drain_waiters()
        if self._transport is _SWITCHING:
            self._see_whether_polling_rests()
            return
        self.flush()
        self._see_whether_settled()

    def refused(self, refusal: Refusal) -> None:
        """A request was answered with an error."""
        if self._opening is not None:
            self._opening.failed("transport error", refusal.sentence, refusal)
        else:
            self.fail("transport error", refusal.sentence)

    def refused_revision(self) -> None:
        """The handshake was answered by a server that speaks revision 3 only, and knows of no other."""
        sentence = "the server speaks revision 3 of Engine.IO (Socket.IO 1 or 2): use the option protocol=3 or 'auto'"
        self.refused(Refusal(sentence, 200, None, True))

    def polling_lost(self, detail: str) -> None:
        """A request has failed."""
        self.fail("transport error", detail)

    def _poll_on(self) -> None:
        """Make the next GET, if it is time."""
        polling = self._polling
        if (
            polling is not None
            and self._state is _OPEN
            and self._transport is not _SWITCHING
            and not self.paused
            and not polling.polling
        ):
            polling.poll()

    # What arrives by WebSocket ---------------------------------------------------------------------------------

    def websocket_opened(self, carrier: ClientCarrier, headers: Headers) -> None:
        """The opening handshake is done."""
        self._keep_cookies(headers)
        if carrier is self._candidate and self._state is not _OPENING:
            self._transport_step(ClientTransportInput.WEBSOCKET_OPENED)

    def websocket_refused(self, carrier: ClientCarrier, refusal: Refusal | None, detail: str, headers: Headers) -> None:
        """The opening handshake was answered with something else."""
        self._keep_cookies(headers)
        if carrier is not self._candidate:
            return
        self._candidate = None
        if self._state is not _OPENING:
            self._transport_step(ClientTransportInput.WEBSOCKET_LOST)
        elif self._opening is not None:
            self._opening.failed("transport error", detail if refusal is None else refusal.sentence, refusal)

    def websocket_message(self, carrier: ClientCarrier, data: str | bytes) -> None:
        """A whole message has arrived."""
        if carrier is self._channel:
            # The common case, ahead of all else.
            if type(data) is str and data.startswith("4") and self._state is _OPEN:
                self.user.link_text(self, data, 1)
                return
            try:
                message = self.wire.read_text(data) if isinstance(data, str) else self.wire.read_binary(data)
            except DecodeError as error:
                self.fail("parse error", f"the server's packet is wrong: {error}")
                return
            self._packet(message)
        elif carrier is self._candidate:
            if self._state is _OPENING:
                if isinstance(data, str) and data.startswith("0"):
                    self._packet(data)
                else:
                    self.fail("parse error", "the server's first packet is not OPEN")
            elif data == "3probe":
                self._transport_step(ClientTransportInput.PROBE_ANSWERED)
            else:
                self._transport_step(ClientTransportInput.OTHER_PACKET)

    def carrier_lost(self, carrier: ClientCarrier, reason: str, detail: str, unanswered: bool) -> None:
        """A connection has ended, or could not be made. ``reason`` is "transport close" or "transport error"."""
        if carrier is self._channel:
            self._channel = None
            self.fail(reason, detail)
        elif carrier is self._candidate:
            self._candidate = None
            if self._state is _OPENING:
                self.fail(reason, detail)
            else:
                self._transport_step(ClientTransportInput.WEBSOCKET_LOST)
        elif self._polling is not None:
            self._polling.lost(carrier, detail, unanswered)

    # Packets ---------------------------------------------------------------------------------------------------

    def _packet(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if self._state is _OPEN:
                self.user.link_binary(self, message)
            elif self._state is _OPENING:
                self.fail("parse error", "the server's first packet is not OPEN")
            return
        kind = message[0]
        if kind == "0":
            self._open_packet(message)
        elif self._state is _OPENING:
            self.fail("parse error", "the server's first packet is not OPEN")
        elif kind == "4":
            if self._state is _OPEN:
                self.user.link_text(self, message, 1)
        elif kind == "2":
            self._heartbeat_step(ClientHeartbeatInput.PING)
        elif kind == "3":
            self._heartbeat_step(ClientHeartbeatInput.PONG)
        elif kind == "1":
            self._step(ClientSessionInput.FAIL, "transport close", "the server closed the session")
        # UPGRADE and NOOP mean nothing here, and engine.io-client ignores them too.

    def _open_packet(self, packet: str) -> None:
        if self._state is not _OPENING or self._opening is None:
            self._step(ClientSessionInput.OPENED, "parse error", "the server has sent a second OPEN packet")
            return
        try:
            handshake = parse_open(packet[1:])
        except DecodeError as error:
            self.fail("parse error", str(error))
            return
        opening, self._opening = self._opening, None
        self.handshake = handshake
        self._sid = handshake.sid
        self.max_payload = handshake.max_payload
        self.revision = self.wire.revision
        self.request.compact()
        self.owner.timers.cancel(self._timer)
        self._timer = None
        self._alive = self.owner.elapsed
        if self.revision == 3:
            self._heartbeat = ClientHeartbeatState.RESTING
            self._await(handshake.ping_interval)
        else:
            self._await(handshake.ping_interval + handshake.ping_timeout)
        if self._polling is None:
            self._adopt_candidate()
        opening.succeeded()
        self._step(ClientSessionInput.OPENED)
        settings = opening.upgrade(handshake)
        if settings is not None and self._state is _OPEN:
            self._transport_step(ClientTransportInput.OFFERED, settings)
        if self._outbox:
            self.flush()

    # The machines ----------------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == _HEARTBEAT_TIMER:
            self._timer = None
            if now < self._due:
                # The deadline has moved since the timer was armed: once for many packets.
                self._timer = self.owner.timers.arm(self._due, self, _HEARTBEAT_TIMER)
            else:
                self._heartbeat_step(ClientHeartbeatInput.DUE)
        elif kind == _OPENING_TIMER:
            if self._opening is not None:
                detail = f"the session was not open within {self.options.timeout:g} s"
                self.opening_failed("transport error", detail, None)
        elif kind == _CLOSING_TIMER:
            self._step(ClientSessionInput.SETTLED)
        elif kind == _UPGRADE_TIMER:
            self._transport_step(ClientTransportInput.WEBSOCKET_LOST)
        elif self._polling is not None:
            self._polling.late(kind)

    def _step(self, step: ClientSessionInput, reason: str = "", detail: str = "", status: int | None = None) -> None:
        action, self._state = states.CLIENT_SESSION[self._state, step]
        if action is ClientSessionAction.TELL_OPEN:
            self.user.link_opened(self)
        elif action is ClientSessionAction.REFUSE:
            self.fail(reason, detail)
        elif action is ClientSessionAction.SETTLE:
            self._settle()
        elif action is ClientSessionAction.END:
            self._end(step is not ClientSessionInput.FAIL, reason, detail, status)

    def _settle(self) -> None:
        owner = self.owner
        owner.timers.cancel(self._timer)
        self._timer = owner.timers.arm(owner.now + self.options.limits.close_timeout, self, _CLOSING_TIMER)
        if self._transport is not _SWITCHING:
            # A candidate is of no use any more; one that is just taking over is waited for.
            self._transport_step(ClientTransportInput.WEBSOCKET_LOST)
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._outbox.append(_CLOSE)
        self.flush()

    def _see_whether_settled(self) -> None:
        if self._state is _CLOSING and not self._outbox and (self._polling is None or not self._polling.posting):
            assert self._farewell is not None
            self._step(ClientSessionInput.SETTLED, *self._farewell[:2])

    def _end(self, orderly: bool, reason: str, detail: str, status: int | None) -> None:
        owner = self.owner
        owner.timers.cancel(self._timer)
        self._timer = None
        self._opening = None
        self._drop_candidate()
        channel, self._channel = self._channel, None
        if channel is not None:
            if orderly and self._farewell is not None:
                channel.close(self._farewell[2])
            elif reason == "parse error":
                channel.close(_PROTOCOL_ERROR, "parse error")
            else:
                channel.abort()
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.close()
        self._outbox.clear()
        self._outbox_size = 0
        self.wake_drain_waiters()
        owner.session_over(self)
        error = None if self.handshake is not None else ConnectError(detail or reason, transport=True, status=status)
        user, self.user = self.user, _NOBODY
        user.link_closed(self, reason, detail, error)

    def _transport_step(self, step: ClientTransportInput, settings: TransportSettings | None = None) -> None:
        action, self._transport = states.CLIENT_TRANSPORT[self._transport, step]
        if action is ClientTransportAction.DIAL_CANDIDATE:
            assert settings is not None
            handshake = self.handshake
            assert handshake is not None
            timeout = self.options.timeout or handshake.ping_interval + handshake.ping_timeout
            self._upgrade_timer = self.owner.timers.arm(self.owner.now + timeout, self, _UPGRADE_TIMER)
            self._dial_websocket(settings)
        elif action is ClientTransportAction.SEND_PROBE:
            assert self._candidate is not None
            self.wire.send(self._candidate, _PROBE)
        elif action is ClientTransportAction.REST:
            self._see_whether_polling_rests()
        elif action is ClientTransportAction.DROP_CANDIDATE:
            self._drop_candidate()
        elif action is ClientTransportAction.POLL_ON:
            self._drop_candidate()
            if self._state is _CLOSING:
                self._say_goodbye()
            else:
                self._poll_on()
                self.flush()
        elif action is ClientTransportAction.SWITCH:
            self._switch()

    def _see_whether_polling_rests(self) -> None:
        if self._polling is not None and not self._polling.polling and not self._polling.posting:
            self._transport_step(ClientTransportInput.POLLING_RESTS)

    def _switch(self) -> None:
        assert self._candidate is not None
        assert self._polling is not None
        self.wire.send(self._candidate, _UPGRADE)
        self._polling.close()
        self._polling = None
        self._adopt_candidate()
        if self.options.remember_upgrade:
            self.owner.learn_websocket(self.target, True)
        assert self._channel is not None
        outbox, self._outbox = self._outbox, []
        self._outbox_size = 0
        for message in outbox:
            self.wire.send(self._channel, message)
        self.wake_drain_waiters()
        if self._state is _CLOSING:
            self._see_whether_settled()
        else:
            self.user.link_upgraded(self)

    def _adopt_candidate(self) -> None:
        """The WebSocket that was opened carries the session from now on."""
        owner = self.owner
        owner.timers.cancel(self._upgrade_timer)
        self._upgrade_timer = None
        channel, self._candidate = self._candidate, None
        assert channel is not None
        self._channel = channel
        self._transport = _WEBSOCKET
        self._plain = self.revision == 4 and not self.wire.base64 and not channel.deflates
        if self.paused:
            channel.pause()

    def _drop_candidate(self) -> None:
        self.owner.timers.cancel(self._upgrade_timer)
        self._upgrade_timer = None
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.abort()

    def _heartbeat_step(self, step: ClientHeartbeatInput) -> None:
        handshake = self.handshake
        if handshake is None or self._state is not _OPEN:
            return
        if step is ClientHeartbeatInput.DUE and self.paused and self._heartbeat is not ClientHeartbeatState.RESTING:
            # We don't read, so what is missed may well be waiting in the kernel. One more read tells: the next event
            # that is too many pauses us again, and nothing at all means that nobody is there.
            self.resume()
            self._await(handshake.ping_timeout)
            return
        action, self._heartbeat = states.CLIENT_HEARTBEAT[self._heartbeat, step]
        if action is ClientHeartbeatAction.ANSWER:
            self._alive = self.owner.elapsed
            self._await(handshake.ping_interval + handshake.ping_timeout)
            self._send_pong()
            self.user.link_pinged(self)
        elif action is ClientHeartbeatAction.SEND_PING:
            self._await(handshake.ping_timeout)
            self._send(_PING)
        elif action is ClientHeartbeatAction.SCHEDULE_PING:
            self._alive = self.owner.elapsed
            self._await(handshake.ping_interval)
            self.user.link_pinged(self)
        elif action is ClientHeartbeatAction.TIME_OUT:
            awaited = "PING" if self.revision == 4 else "PONG"
            self.fail("ping timeout", f"no {awaited} came in time: the server or the network is gone")

    def _await(self, delay: float) -> None:
        """The next input of the heartbeat is DUE in so many seconds."""
        owner = self.owner
        self._due = owner.now + delay
        if self._timer is None or self._timer.deadline > self._due:
            owner.timers.cancel(self._timer)
            self._timer = owner.timers.arm(self._due, self, _HEARTBEAT_TIMER)

    # For the attempts to open it -------------------------------------------------------------------------------

    def attempt(self, transport: str, settings: TransportSettings, revision: int) -> None:
        """Try to open the session in this way."""
        options = self.options
        if revision == 4:
            self.wire = Wire4(settings.base64)
        else:
            json = isinstance(options, ClientOptions) and options.parser is None
            self.wire = Wire3(settings.base64, json)
        if transport == "websocket":
            self._dial_websocket(settings)
        else:
            self._polling = Polling(self, settings)
            self._polling.poll()

    def drop_attempt(self) -> None:
        """The attempt has failed."""
        self._drop_candidate()
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.close()

    def opening_failed(self, reason: str, detail: str, status: int | None) -> None:
        """There is no other way to try."""
        self._step(ClientSessionInput.FAIL, reason, detail, status)

    def _dial_websocket(self, settings: TransportSettings) -> None:
        target = settings.request_target(self.wire.revision, self.sid, self.next_timestamp())
        headers = self.with_cookies(settings.headers)
        self._candidate = self.owner.new_carrier(self, self.target)
        self._candidate.open_websocket(target, headers)

    # For requests ----------------------------------------------------------------------------------------------

    def next_timestamp(self) -> str:
        """A value that no request before had."""
        self._requests += 1
        return timestamp(self.options.random(), self._requests)

    def with_cookies(self, headers: HeaderList) -> HeaderList:
        """These headers, and those of the cookies."""
        value = None if self._cookies is None else self._cookies.header(self._url)
        return headers if value is None else [*headers, (b"Cookie", value.encode("latin-1", "replace"))]

    def _keep_cookies(self, headers: Headers) -> None:
        if self._cookies is not None:
            values = [value.decode("latin-1") for name, value in headers.raw if name == b"set-cookie"]
            if values:
                self._cookies.store(self._url, values)

    @property
    def _url(self) -> str:
        return self.target.origin + self.options.path


class _Nobody(LinkUser):
    """The user of a session that is over: told nothing."""

    __slots__ = ()

    def link_opened(self, link: ClientLink) -> None:
        pass

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        pass

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        pass

    def link_pinged(self, link: ClientLink) -> None:
        pass

    def link_upgraded(self, link: ClientLink) -> None:
        pass

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        pass


_NOBODY = _Nobody()


def _full(limit: int) -> BufferFull:
    return BufferFull(
        f"more than Limits.max_buffered ({limit} bytes) would wait to be sent: the server is slow or gone"
    )
