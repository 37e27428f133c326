"""An Engine.IO session, from the client's side: what it sends and receives, and the machines that decide what becomes
of it.

The requests of long-polling are in client_polling.py, the forms of packets in client_wire.py, what is asked for and
answered at the beginning in client_handshake.py. The states are in client_states.py.

Spec: the Engine.IO protocol, revisions 4 and 3; where it leaves something open, engine.io-client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siocore.client_options import ClientOptions, EngineClientOptions
from siocore.codec.message import ControlPacket
from siocore.engineio import client_states as states
from siocore.engineio.client_handshake import Refusal, TransportSettings, parse_open
from siocore.engineio.client_heartbeat import ClientHeartbeat
from siocore.engineio.client_interfaces import NOBODY, ClientCarrier, ClientSessionOwner
from siocore.engineio.client_opening import Opening
from siocore.engineio.client_polling import Polling
from siocore.engineio.client_states import (
    ClientHeartbeatInput,
    ClientSessionAction,
    ClientSessionInput,
    ClientSessionState,
    ClientTransportAction,
    ClientTransportInput,
    ClientTransportState,
)
from siocore.engineio.client_wire import Wire3, Wire4
from siocore.errors import ConnectError, DecodeError
from siocore.link import LinkUser
from siocore.request import Headers
from siocore.target import Target
from siocore.timers import Timer

__all__ = ["ClientSession"]

_CLOSE = ControlPacket(b"1")
_PROBE = ControlPacket(b"2probe")
_UPGRADE = ControlPacket(b"5")

_OPENING = ClientSessionState.OPENING
_OPEN = ClientSessionState.OPEN
_CLOSING = ClientSessionState.CLOSING
_CLOSED = ClientSessionState.CLOSED
_WEBSOCKET = ClientTransportState.WEBSOCKET
_SWITCHING = ClientTransportState.SWITCHING

# The timers of a session, besides those of its base classes. The first two and that of the heartbeat are one: they are
# never armed at the same time.
_OPENING_TIMER = 0
_CLOSING_TIMER = 1
_UPGRADE_TIMER = 2

#: The close code for a server that broke the protocol (RFC 6455, section 7.4.1).
_PROTOCOL_ERROR = 1002


class ClientSession(ClientHeartbeat):
    """An Engine.IO session with a server: ordered text and binary messages, opened once and closed once.

    Made by the endpoint. ``data`` is a free slot for the application.
    """

    __slots__ = (
        "__weakref__",
        "_candidate",
        "_farewell",
        "_opening",
        "_upgrade_timer",
    )

    def __init__(
        self,
        owner: ClientSessionOwner,
        user: LinkUser,
        target: Target,
        options: EngineClientOptions,
        query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(owner, user, target, options)
        # The WebSocket that may come to carry the session.
        self._candidate: ClientCarrier | None = None
        self._upgrade_timer: Timer | None = None
        # Why the application closes the session, while it is being closed: reason, detail, close code.
        self._farewell: tuple[str, str, int] | None = None
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

    @property
    def transport(self) -> str:
        """What carries the messages, or is tried: ``"polling"`` or ``"websocket"``."""
        if self._opening is not None:
            return self._opening.transport
        return "websocket" if self._transport is _WEBSOCKET else "polling"

    # For the application and for Socket.IO above us ------------------------------------------------------------

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
            self.user = NOBODY
            self._step(ClientSessionInput.FAIL, "", "")

    def fail(self, reason: str, detail: str) -> None:
        """Close the session at once: the server broke a rule or is gone."""
        if self._opening is not None:
            self._opening.failed(reason, detail, None)
        elif self._farewell is not None:
            self._step(ClientSessionInput.FAIL, *self._farewell[:2])
        else:
            self._step(ClientSessionInput.FAIL, reason, detail)

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

    def carrier_lost(self, carrier: ClientCarrier, reason: str, detail: str) -> None:
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
            self._polling.lost(carrier, detail)

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
            self.fail("transport close", "the server closed the session")
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
        self._start_heartbeat(handshake)
        if self._polling is None:
            self._adopt_candidate()
        opening.succeeded(handshake)
        self._step(ClientSessionInput.OPENED)
        settings = opening.upgrade(handshake)
        if settings is not None and self._state is _OPEN:
            self._transport_step(ClientTransportInput.OFFERED, settings)
        if self._outbox:
            self.flush()

    # The machines ----------------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == self.HEARTBEAT_TIMER:
            self._heartbeat_due(now)
        elif kind == _OPENING_TIMER:
            if self._opening is not None:
                detail = f"the session was not open within {self.options.timeout:g} s"
                self.opening_failed("transport error", detail, None)
        elif kind == _CLOSING_TIMER and self._farewell is not None:
            self._step(ClientSessionInput.SETTLED, *self._farewell[:2])
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
        user, self.user = self.user, NOBODY
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

    # For the attempts to open it -------------------------------------------------------------------------------

    def attempt(self, transport: str, settings: TransportSettings, revision: int) -> None:
        """Try to open the session in this way."""
        options = self.options
        if revision == 4:
            self.wire = Wire4(settings.base64)
        else:
            json = isinstance(options, ClientOptions) and options.parser is None
            self.wire = Wire3(settings.base64, json)
        self.request = settings.describe(revision)
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
