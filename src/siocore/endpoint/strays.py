"""Requests for sessions that another server has: a GET, a POST, a WebSocket.

To the connection they are what the session itself would be. First the other server is asked for a lock; then each does
what there is to do here, and no more: answers, forwards, or relays.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from siocore._speedups import decode_payload
from siocore.codec.message import ControlPacket, Outgoing, TextMessage, message_of
from siocore.endpoint.interfaces import ServerConnection
from siocore.engineio.gate import Refusal
from siocore.engineio.interfaces import Carrier, Headers
from siocore.engineio.session import Session
from siocore.errors import DecodeError
from siocore.request import Request
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.endpoint.shared_sessions import SharedSessions

__all__ = ["Stray", "StrayPoll", "StrayPost", "StrayWebSocket"]

_HTML: Headers = ((b"content-type", b"text/html"), (b"cache-control", b"no-store"))
_PROBE_ANSWER = ControlPacket(b"3probe")
_CLOSE = ControlPacket(b"1")


class Stray(Session):
    """What they have in common. ``home`` is the id of the server that has the session, once that is known."""

    __slots__ = ("_question", "_timer", "connection", "home", "sharing")

    transport_name = "polling"
    writes = False

    def __init__(self, sharing: SharedSessions, connection: ServerConnection, sid: str, request: Request) -> None:
        super().__init__(sid, sharing.endpoint, request)
        self.sharing = sharing
        self.home = ""
        #: None once the client has gone, or has its answer.
        self.connection: ServerConnection | None = connection
        self._timer: Timer | None = None
        self._question = -1

    def lock_granted(self, home: str) -> None:
        """This server has the session, and lets us."""
        self.home = home
        if self.connection is None:
            # Packets may have been sent for a GET that is gone; and a session ends when its requests break.
            self.sharing.close(home, self.sid, "transport error")
        else:
            self.go_on(self.connection)

    def lock_refused(self) -> None:
        """Nobody has the session, or it can't be had now."""
        connection, self.connection = self.connection, None
        if connection is not None:
            refusal = Refusal(1, {"sid": self.sid}, "SESSION_UNKNOWN")
            self.sharing.endpoint.answer_refusal(connection, self.request, self.transport_name != "polling", refusal)

    def go_on(self, connection: ServerConnection) -> None:
        """Do what there is to do."""
        raise NotImplementedError

    def sharing_lost(self) -> None:
        """No other server can be reached any more."""
        raise NotImplementedError

    def stop(self) -> None:
        """This server is shutting down."""
        self.sharing_lost()

    def _arm_heartbeat(self, delay: float, kind: int) -> None:
        """The server that has the session sees to its heartbeat."""

    def _arm(self, delay: float) -> None:
        timers = self.sharing.endpoint.timers
        timers.cancel(self._timer)
        self._timer = timers.arm(self.sharing.endpoint.now + delay, self, 0)

    def _disarm(self) -> None:
        self.sharing.endpoint.timers.cancel(self._timer)
        self._timer = None


class StrayPoll(Stray):
    """A GET: it is answered with what the other server drains."""

    __slots__ = ()

    def poll(self, exchange: Carrier) -> None:
        self.sharing.ask_for_lock(self)

    def go_on(self, connection: ServerConnection) -> None:
        options = self.sharing.endpoint.options
        self.sharing.poll_waits(self)
        # Sooner than that there is a PING.
        self._arm(options.ping_interval + options.ping_timeout)

    def drained(self, messages: Sequence[str | bytes]) -> None:
        """These are for the client."""
        connection, self.connection = self.connection, None
        self._disarm()
        if connection is None:
            return
        endpoint = self.sharing.endpoint
        headers, body = self.poll_answer(connection, [_outgoing(each) for each in messages])
        if len(body) >= endpoint.compression_threshold:
            headers, body = endpoint.compressed(self.request, headers, body)
        connection.respond(200, headers, body)

    def poll_lost(self, exchange: Carrier) -> None:
        # Also when the answer has been given, and is lost with the connection.
        self.connection = None
        self._disarm()
        if self.home:
            self.sharing.poll_gone(self)
            self.sharing.close(self.home, self.sid, "transport error")

    def sharing_lost(self) -> None:
        connection, self.connection = self.connection, None
        self._disarm()
        if connection is not None:
            connection.respond(400, _HTML)

    def stop(self) -> None:
        self.sharing.close(self.home, self.sid, "transport close")
        self.drained(["1"])

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self.sharing.poll_gone(self)
        self.sharing_lost()


class StrayPost(Stray):
    """A POST: its packets are forwarded, and it is answered when they have arrived."""

    __slots__ = ("_error", "_failed", "_messages", "_unconfirmed")

    writes = True

    def __init__(self, sharing: SharedSessions, connection: ServerConnection, sid: str, request: Request) -> None:
        super().__init__(sharing, connection, sid, request)
        self._messages: list[str | bytes] = []
        self._error: DecodeError | None = None
        self._unconfirmed = 0
        self._failed = False

    def post(self, exchange: Carrier, body: bytes) -> None:
        if not self._takes_body(exchange):
            self.connection = None
            exchange.respond(400, _HTML)
            return
        self._messages, self._error = decode_payload(body)
        self.sharing.ask_for_lock(self)

    def go_on(self, connection: ServerConnection) -> None:
        messages, self._messages = self._messages, []
        self._unconfirmed = len(messages) + 1
        for message in messages:
            self.sharing.forward(self.home, self.sid, message, self._confirmed)
        if self._error is not None:
            self.sharing.close(self.home, self.sid, "parse error")
        self._confirmed(self._error is None)

    def _confirmed(self, arrived: bool) -> None:
        self._unconfirmed -= 1
        self._failed = self._failed or not arrived
        if self._unconfirmed == 0:
            connection, self.connection = self.connection, None
            if connection is None:
                return
            if self._failed:
                connection.respond(400, _HTML)
            else:
                # Not before: what the client sends then may be quicker at another server.
                connection.respond(200, _HTML, b"ok")

    def post_lost(self, exchange: Carrier) -> None:
        self.connection = None

    def post_refused(self, exchange: Carrier) -> None:
        self.connection = None

    def fail(self, reason: str, detail: str = "", *, code: int = 1000) -> None:
        """Its body did not arrive in time; that is answered."""
        self.connection = None

    def sharing_lost(self) -> None:
        """Each of its packets is known to have failed, or to have arrived."""


class _Step(Enum):
    ASKING = auto()
    PROBING = auto()
    #: The client has upgraded; whether the session moves here or stays is not known yet.
    UPGRADING = auto()
    RELAYING = auto()
    OVER = auto()


class StrayWebSocket(Stray):
    """A WebSocket that a client upgrades to: it is probed here, and then the session moves here, or is relayed."""

    __slots__ = ("_behind", "_step_now", "_unconfirmed")

    transport_name = "websocket"

    def __init__(self, sharing: SharedSessions, connection: ServerConnection, sid: str, request: Request) -> None:
        super().__init__(sharing, connection, sid, request)
        self._step_now = _Step.ASKING
        # What the client has sent behind UPGRADE.
        self._behind: list[str | bytes] = []
        self._unconfirmed = 0

    def drop(self) -> ServerConnection | None:
        """While it waits for its lock: it waits no more. Returns the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.sharing.endpoint.pending.pop(connection, None)
        return connection

    def lock_granted(self, home: str) -> None:
        if self.connection is None:
            # The client has gone meanwhile: the session stays as it is.
            self.sharing.upgrade_failed(home, self.sid)
        else:
            super().lock_granted(home)

    def lock_refused(self) -> None:
        if self.connection is not None:
            self.sharing.endpoint.pending.pop(self.connection, None)
        super().lock_refused()

    def go_on(self, connection: ServerConnection) -> None:
        endpoint = self.sharing.endpoint
        endpoint.pending.pop(connection, None)
        self._step_now = _Step.PROBING
        self._arm(endpoint.options.upgrade_timeout)
        if endpoint.accept_upgrade(connection, self.request, self):
            connection.receive_trailing()
        else:
            self._end(connection)
            self.sharing.upgrade_failed(self.home, self.sid)

    # From the client ------------------------------------------------------------------------------------------

    def websocket_message(self, channel: Carrier, data: str | bytes) -> None:
        if self._step_now is _Step.RELAYING:
            self._forward(channel, data)
        elif self._step_now is _Step.UPGRADING:
            self._behind.append(data)
        elif self._step_now is _Step.PROBING:
            if data == "2probe":
                channel.write(_PROBE_ANSWER.frames())
            elif data == "5":
                self._upgrade(channel)
            else:
                self._give_up(channel)

    def websocket_lost(self, channel: Carrier, reason: str, detail: str) -> None:
        step = self._step_now
        self._end(channel)
        if step is _Step.PROBING:
            self.sharing.upgrade_failed(self.home, self.sid)
        elif step is not _Step.OVER:
            self.sharing.close(self.home, self.sid, reason)

    def _upgrade(self, channel: Carrier) -> None:
        self._step_now = _Step.UPGRADING
        self._disarm()
        # What it sends next is for whoever has the session then.
        channel.pause()
        self.open_websocket(channel)
        self.sharing.websocket_waits(self)
        self.sharing.ask_for_session(self)

    def _forward(self, channel: Carrier, data: str | bytes) -> None:
        size = len(data)
        self._unconfirmed += size
        if self._unconfirmed > self.sharing.endpoint.share:
            channel.pause()

        def confirmed(arrived: bool) -> None:
            self._unconfirmed -= size
            if not arrived:
                self.sharing_lost()
            elif self._step_now is _Step.RELAYING and self._unconfirmed <= self.sharing.endpoint.share:
                channel.resume()

        self.sharing.forward(self.home, self.sid, data, confirmed)

    # From the other server ------------------------------------------------------------------------------------

    def session_moves(self, early: Sequence[str | bytes]) -> None:
        """The session is ours from now on, with what had arrived for it."""
        connection = self.connection
        if connection is not None and self._step_now is _Step.UPGRADING:
            behind = self._behind
            self._end(connection)
            self.sharing.endpoint.adopt_session(self.sid, connection, self.request, [*early, *behind])

    def session_stays(self) -> None:
        """The session stays where it is."""
        connection = self.connection
        if connection is not None and self._step_now is _Step.UPGRADING:
            self._step_now = _Step.RELAYING
            behind, self._behind = self._behind, []
            connection.resume()
            for message in behind:
                self._forward(connection, message)

    def drained(self, messages: Sequence[str | bytes]) -> None:
        """These are for the client."""
        for message in messages:
            if message == "1":
                self._close(1000)
                return
            self.send_outgoing(_outgoing(message))

    # The end --------------------------------------------------------------------------------------------------

    def sharing_lost(self) -> None:
        self._close(1001)

    def stop(self) -> None:
        if self._step_now is _Step.PROBING:
            self.sharing.upgrade_failed(self.home, self.sid)
        else:
            self.sharing.close(self.home, self.sid, "transport close")
        self._close(1001)

    def fail(self, reason: str, detail: str = "", *, code: int = 1000) -> None:
        """More is sent to the client than it takes."""
        self.sharing.close(self.home, self.sid, "transport error")
        self._close(code)

    def tell_slow(self, policy: str) -> None:
        """The application is elsewhere."""

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        if self.connection is not None:
            self._give_up(self.connection)

    def _give_up(self, channel: Carrier) -> None:
        self.sharing.upgrade_failed(self.home, self.sid)
        self._close(1000)

    def _close(self, code: int) -> None:
        connection = self.connection
        if connection is not None:
            self._end(connection)
            connection.close_websocket(code)

    def _end(self, channel: Carrier) -> None:
        self._step_now = _Step.OVER
        self.connection = None
        self._disarm()
        self.sharing.websocket_gone(self)


def _outgoing(message: str | bytes) -> Outgoing:
    """A packet, given in the form of a WebSocket message."""
    if isinstance(message, bytes):
        return message_of(message)
    if message.startswith("4"):
        return TextMessage(message[1:].encode("utf-8", "replace"), [])
    return ControlPacket(message.encode("utf-8", "replace"))
