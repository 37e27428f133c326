"""A session that any of several servers may be asked for: requests for it arrive here or elsewhere.

It differs from others in three things:

1. The application hears of it a moment later. A client that upgrades in this time may do so at another server, and then
   the whole session moves there; later the other server can only relay.
2. Packets are brought by other servers too.
3. What the client has sent to another server can still be on its way here when the client sends more to this one. Then
   the latter waits, so that the order stays.

How the servers tell each other is in ``siocore.endpoint.shared_sessions``.
"""

from __future__ import annotations

from siocore._speedups import decode_packet
from siocore.engineio.interfaces import Carrier, SessionOwner
from siocore.engineio.session import Session
from siocore.engineio.states import SessionInput, SessionState, TransportState
from siocore.errors import DecodeError
from siocore.packets import EnginePacketType
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["SharedSession"]

_MESSAGE = EnginePacketType.MESSAGE.value
_OPEN = SessionState.OPEN
_WEBSOCKET = TransportState.WEBSOCKET

#: A timer beside those of every session.
_OPENING_TIMER = 5


class SharedSession(Session):
    """A session that began with long-polling, where there are other servers."""

    __slots__ = ("_behind", "_early", "_early_size", "_opening_timer", "far_posts")

    def __init__(self, sid: str, owner: SessionOwner, request: Request) -> None:
        super().__init__(sid, owner, request)
        #: Whether packets of POSTs to other servers may be on their way here.
        self.far_posts = False
        # What has arrived before the application has heard of the session; None once it has.
        self._early: list[str | bytes] | None = None
        self._early_size = 0
        self._opening_timer: Timer | None = None
        # What the candidate has sent behind UPGRADE, while that waits for what is on its way.
        self._behind: list[str | bytes] | None = None

    # Where it is opened ---------------------------------------------------------------------------------------

    def open_later(self, delay: float) -> None:
        """Tell the application of the session in ``delay`` seconds, or as soon as it is known to stay here."""
        self._early = []
        self._opening_timer = self._owner.timers.arm(self._owner.now + delay, self, _OPENING_TIMER)

    def open_now(self) -> None:
        """Tell the application of the session, and of what has arrived for it, if it has not heard of it yet."""
        early, self._early = self._early, None
        if early is None:
            return
        self._owner.timers.cancel(self._opening_timer)
        self._opening_timer = None
        self._owner.session_opened(self)
        for message in early:
            if self._state is _OPEN:
                self._owner.session_message(self, message, 0 if isinstance(message, bytes) else 1)

    def hand_over(self) -> list[str | bytes] | None:
        """Forget the session because another server takes it over. Returns what has arrived for it.

        None, and nothing happens, if the application has heard of it already, or something waits for the client.
        """
        early = self._early
        if early is None or self._outbox or self._state is not _OPEN:
            return None
        self._early = None
        timers = self._owner.timers
        timers.cancel(self._opening_timer)
        timers.cancel(self._heartbeat_timer)
        self._opening_timer = self._heartbeat_timer = None
        self._answer_noop()
        self._drop_candidate()
        self._state = SessionState.CLOSED
        self._owner.session_forgotten(self)
        return early

    # Requests at other servers --------------------------------------------------------------------------------

    @property
    def can_poll(self) -> bool:
        """Whether a GET would be taken now."""
        return self._transport is not _WEBSOCKET and self._state is not SessionState.CLOSED and self._parked is None

    @property
    def can_post(self) -> bool:
        """Whether a POST would be taken now."""
        return self._transport is not _WEBSOCKET and self._state is _OPEN and self._posting is None

    def receive(self, message: str | bytes) -> None:
        """Another server has brought a packet. It has the form of a WebSocket message."""
        if self._state is not _OPEN or (self._early is not None and not self._keep_early([message], None)):
            return
        if isinstance(message, bytes):
            self._packet(_MESSAGE, message)
            return
        try:
            kind, content = decode_packet(message)
        except DecodeError as error:
            self.fail("parse error", str(error))
        else:
            self._packet(kind, content)

    def post_when_resumed(self, exchange: Carrier) -> None:
        """Handlers are behind: answer ``exchange`` when packets are taken again. Until then it counts as a POST."""
        self._posting = exchange
        self._waiting_for_answer = True

    def far_posts_arrived(self) -> None:
        """Whatever other servers have brought is here: an UPGRADE that waited for it can go on."""
        self.far_posts = False
        behind, self._behind = self._behind, None
        channel = self._candidate
        if behind is None or channel is None:
            return
        if not self.paused:
            channel.resume()
        for message in ("5", *behind):
            Session.websocket_message(self, channel, message)

    # What it does otherwise than others -----------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == _OPENING_TIMER:
            self._opening_timer = None
            self.open_now()
        else:
            Session.timer_expired(self, kind, now)

    def websocket_message(self, channel: Carrier, data: str | bytes) -> None:
        if channel is self._candidate:
            if self._behind is not None:
                self._behind.append(data)
                return
            if data == "5" and self.far_posts and self._transport is TransportState.PROBED:
                self._behind = []
                channel.pause()
                self._owner.session_upgrades(self)
                return
        Session.websocket_message(self, channel, data)

    def _read_body(self, exchange: Carrier, body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        messages, error = Session._read_body(self, exchange, body)
        return messages if self._early is None else self._keep_early(messages, error), error

    def _keep_early(self, messages: list[str | bytes], error: DecodeError | None) -> list[str | bytes]:
        """Keep what the application can't be told yet. Returns what is to be looked at now: all of it, or nothing."""
        early = self._early
        assert early is not None
        plain = error is None
        for message in messages:
            self._early_size += len(message)
            if isinstance(message, str) and not message.startswith("4"):
                plain = False
        if plain and self._early_size <= self._owner.options.limits.max_payload:
            early.extend(messages)
            return []
        # Something has to be acted on at once, or it is too much to be kept.
        self.open_now()
        return messages

    def _step(self, step: SessionInput, reason: str, detail: str, code: int) -> None:
        self.open_now()
        Session._step(self, step, reason, detail, code)

    def _switch(self, channel: Carrier) -> None:
        self.open_now()
        Session._switch(self, channel)

    def _drop_candidate(self) -> None:
        self._behind = None
        Session._drop_candidate(self)
