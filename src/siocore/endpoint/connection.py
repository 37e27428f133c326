"""One TCP connection of a server: HTTP until it becomes a WebSocket, and what it carries for which session.

The driver passes in what it read and sends what comes out; see EngineServerProtocol for the order of calls.
"""

from __future__ import annotations

from siocore.codec.message import Outgoing
from siocore.endpoint.exchange import Exchange
from siocore.endpoint.interfaces import BodyReader, ConnectionOwner, ServerConnection
from siocore.engineio.interfaces import Headers
from siocore.engineio.session import Session
from siocore.errors import RemoteProtocolError
from siocore.http.connection import HttpConnection
from siocore.http.events import BodyReceived, HttpState
from siocore.http.handshake import check_websocket_request
from siocore.http.websocket import WebSocketConnection
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["Connection"]

_PLAIN: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)


# What a connection's timer is for.
_HEAD_TIMER = 0
_BODY_TIMER = 1
_KEEP_ALIVE_TIMER = 2
_FRAME_TIMER = 3
_CLOSE_TIMER = 4
_EXCHANGE_TIMER = 5

# Once for all: a lookup in an enumeration costs more than most of what is done with the result.
_HEAD_WAIT = HttpState.HEAD_WAIT
_HEAD = HttpState.HEAD
_BODY = HttpState.BODY
_ANSWERING = HttpState.ANSWERING


class Connection(ServerConnection):
    """A connection's state. Made by ``connection_made``; the driver calls the public methods below.

    ``closing``: when all output is sent, shut down the sending side, and keep reading until EOF or ``closed``.
    ``closed``: when all output is sent, close. ``aborted``: close at once. ``wants_read``: whether to read now.
    ``unsent`` is set by the driver: bytes taken by ``data_to_send`` that the network has not accepted yet.
    """

    __slots__ = (
        "_answered_poll",
        "_body_reader",
        "_exchange",
        "_get_session",
        "_http",
        "_output",
        "_output_size",
        "_owner",
        "_poll_session",
        "_post_session",
        "_progressing",
        "_request",
        "_timer",
        "_timer_kind",
        "_trailing",
        "_websocket",
        "lost",
        "session",
    )

    def __init__(self, owner: ConnectionOwner, peer: object, *, secure: bool) -> None:
        super().__init__()
        self._owner = owner
        self._http: HttpConnection | None = HttpConnection(
            owner.options.limits, peer=peer, secure=secure, hosting=owner.hosting is not None
        )
        self._websocket: WebSocketConnection | None = None
        #: The session whose WebSocket (or candidate) this is.
        self.session: Session | None = None
        self._request: Request | None = None
        self._get_session: Session | None = None
        self._poll_session: Session | None = None
        self._post_session: Session | None = None
        #: The session whose GET was answered last: if that answer is lost, so are its packets, and so is the session.
        self._answered_poll: Session | None = None
        self._trailing = b""
        # Set while the HTTP events of a read are worked off: answers given meanwhile don't start that again.
        self._progressing = False
        self._body_reader: BodyReader | None = None
        #: The request that a hosted application answers, or has answered last.
        self._exchange: Exchange | None = None
        self._output: list[bytes] = []
        self._output_size = 0
        self._timer: Timer | None = None
        self._timer_kind = -1
        self.lost = False
        self._arm(_HEAD_TIMER, owner.options.limits.head_timeout)

    # For the driver -------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes arrived. Never raises for anything that a peer can send."""
        self._owner.latest = now
        websocket = self._websocket
        if websocket is None:
            if self._http is not None and not self.closing and not self.lost:
                self._http.receive_data(data)
                self._http_progress()
        elif not self.closed:
            self._read_websocket(websocket, data)

    def receive_eof(self, now: float) -> None:
        """The peer will send nothing more."""
        self._owner.latest = now
        if self._websocket is not None:
            self._websocket.receive_eof()
            self._websocket_gone("transport close", "the connection ended without a close frame")
            self._close()
        elif (http := self._http) is not None:
            http.receive_eof()
            self._http_progress()
            if self._exchange is not None and self._exchange.active and not self.closing:
                # It may still read its answer. Whoever waits for more of it is told that nothing comes.
                self._exchange.stirred()
                return
            if http.state is _ANSWERING and not self.closing:
                # A half-closed client may still read its answer; but one that waits in a parked GET has gone.
                self._request_lost()
            self._close()

    def connection_lost(self, now: float) -> None:
        """The connection is gone, whoever ended it. Idempotent."""
        if self.lost:
            return
        self._owner.latest = now
        self.lost = self.closed = True
        self._cancel_timer()
        self._request_lost()
        if self._answered_poll is not None and (self._output or self.unsent):
            self._answered_poll.poll_lost(self)
        self._answered_poll = None
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.lost()
        if self._websocket is not None:
            self._websocket_gone("transport close", "the connection was lost")
        self._output.clear()
        self._output_size = self.unsent = 0
        self._http = None
        self._owner.connection_ended(self)

    def data_to_send(self) -> bytes:
        """All that is to be sent now, ``b""`` if nothing. The caller must send it, in order."""
        output = self._output
        if self._websocket is not None and self._websocket.output:
            self._take_websocket_output(self._websocket)
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        self._output_size = 0
        session = self.session
        if session is not None:
            if session.drain_waiters is not None:
                session.wake_drain_waiters()
        elif self._exchange is not None:
            self._exchange.drained()
        return data

    def flushed(self, now: float) -> None:
        """The network has accepted what it had refused: ``unsent`` is 0 again."""
        self._owner.latest = now
        if self._websocket is not None and self._websocket.output:
            self._touch()
        if self.session is not None:
            self.session.wake_drain_waiters()
        elif self._exchange is not None:
            self._exchange.drained()

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    # Exchange: an HTTP request that waits for its answer -----------------------------------------------------

    @property
    def request(self) -> Request:
        assert self._request is not None
        return self._request

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """Answer the request under way."""
        http = self._http
        if http is None or self.lost:
            return
        self._answered_poll = self._poll_session
        self._get_session = self._poll_session = self._post_session = None
        self._body_reader = None
        # A server that stops closes behind its answers, but for clients who have not been told everything yet.
        lingering = self._answered_poll is not None and self._answered_poll.lingering
        close = close or (self._owner.stopping and not lingering)
        http.respond(status, self._owner.response_headers(self.request, headers), body, close)
        if self._progressing:
            self._take_http_output()
        else:
            # A late answer: the next request may be waiting behind it.
            self._http_progress()

    def detach(self) -> tuple[bytes, bytes]:
        """The request under way is another process's, and the connection with it: forget both.

        Returns what is still to be sent on it, and what is to be read: the request, and all that came behind it.
        """
        http = self._http
        assert http is not None
        data = http.detach(self.request)
        output = b"".join((*self._output, *http.output))
        self._output.clear()
        self._output_size = 0
        self._http = self._request = self._answered_poll = None
        self._cancel_timer()
        self._owner.connection_ended(self)
        return output, data

    def host(self) -> Exchange:
        """Let the hosted application answer the request under way, piece by piece."""
        http = self._http
        assert http is not None
        http.stream()
        self._exchange = Exchange(self, self._owner, http, self.request)
        return self._exchange

    def stir(self) -> None:
        """For the exchange: it has changed the state of HTTP."""
        if self._progressing:
            self._take_http_output()
        else:
            self._http_progress()

    def arm_exchange(self, delay: float) -> None:
        """For the exchange: call ``deadline_passed`` then. There is one such deadline."""
        self._arm(_EXCHANGE_TIMER, delay)

    def expect_body(self, reader: BodyReader) -> None:
        """The body of the request under way is wanted."""
        self._body_reader = reader

    def expect_poll(self, session: Session) -> None:
        """The request under way is a GET of this session. It waits here from the end of its (empty) body on."""
        self._get_session = session

    def expect_post(self, session: Session) -> None:
        """The request under way is a POST of this session, which wants its body."""
        self._post_session = session

    # Channel: an open WebSocket ------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        return self._output_size + self.unsent

    @property
    def writable(self) -> bool:
        return not self.unsent

    def write(self, frames: bytes) -> bool:
        """Send frames. False, and nothing is sent, if more waits already than Limits.max_buffered."""
        if self.closing or self.closed:
            return True
        owner = self._owner
        if self._output_size + self.unsent > owner.max_buffered:
            return False
        self._output.append(frames)
        self._output_size += len(frames)
        if not self.queued:
            owner.connection_ready(self)
        return True

    @property
    def deflates(self) -> bool:
        return self._websocket is not None and self._websocket.extension is not None

    def deflated(self, message: Outgoing, frames: bytes) -> bytes:
        """Compress frames that will be written. Those that :meth:`write` will not take come back as they are."""
        extension = None if self._websocket is None else self._websocket.extension
        if extension is None or self.closing or self.closed or self.buffered > self._owner.max_buffered:
            return frames
        deflater = extension.deflater
        if len(frames) < deflater.threshold:
            return frames
        return deflater.deflate(frames) if deflater.takeover else message.deflated(frames, deflater.deflate)

    def close_websocket(self, code: int, reason: str = "") -> None:
        """Start the close handshake."""
        self.session = None
        websocket = self._websocket
        if websocket is None or self.closed:
            return
        websocket.close(code, reason)
        self._take_websocket_output(websocket)
        self.wants_read = True
        self._settle_websocket(websocket)

    def accept_websocket(self, session: Session, headers: Headers = ()) -> bool:
        """Answer 101 to the request under way. False if its handshake is wrong (and was answered 400)."""
        http = self._http
        assert http is not None
        try:
            required = check_websocket_request(self.request)
        except RemoteProtocolError as error:
            self.reject_upgrade(str(error))
            return False
        negotiator = self._owner.deflate
        extension = None if negotiator is None else negotiator.negotiate(self.request)
        if extension is not None:
            headers = (*headers, (b"Sec-WebSocket-Extensions", extension.response))
        # RFC 6455 forbids frames before the 101, but they may share a segment with the request.
        self._trailing = http.switch_protocols((*required, *headers))
        self._take_http_output()
        self._http = self._request = None
        self._cancel_timer()
        self.session = session
        self._websocket = WebSocketConnection(self._owner.options.limits, extension)
        return True

    def receive_trailing(self) -> None:
        """Read what came behind the request for the upgrade, now that the session knows its WebSocket."""
        trailing, self._trailing = self._trailing, b""
        if trailing and self._websocket is not None and not self.closed:
            self._read_websocket(self._websocket, trailing)

    def hand_to(self, session: Session) -> None:
        """The open WebSocket is this session's from now on."""
        self.session = session

    def reject_upgrade(self, message: str) -> None:
        """Answer a request for an upgrade with a plain 400, before any 101."""
        self.respond(400, _PLAIN, message.encode(), True)

    def pause(self) -> None:
        """Don't read for now."""
        if self._websocket is not None and not self.closed:
            self.wants_read = False
            self._touch()

    def resume(self) -> None:
        if not self.wants_read:
            self.wants_read = True
            self._touch()

    def close_if_idle(self) -> None:
        """The server stops: an idle connection ends now, a busy one after its answer."""
        if self._websocket is None and self._http is not None and self._http.state in (_HEAD_WAIT, _HEAD):
            self._close()

    def abort(self) -> None:
        """Drop everything."""
        self.aborted = True
        self._close()

    # HTTP -----------------------------------------------------------------------------------------------------

    def _http_progress(self) -> None:
        self._progressing = True
        while (http := self._http) is not None and not self.lost:
            event = http.next_event()
            if event is None:
                break
            if isinstance(event, BodyReceived):
                self._body_received(event.body)
            else:
                # Of the wait for this request. It may be over and the next one begin within this read.
                self._cancel_timer()
                self._request = event.request
                self._answered_poll = None
                if event.refusal and not self._owner.hosts(event.request):
                    http.refuse(event.refusal)
                else:
                    self._owner.request_received(self, event.request, event.upgrade)
        self._progressing = False
        self._take_http_output()

    def _body_received(self, body: bytes) -> None:
        if self._get_session is not None:
            session, self._get_session = self._get_session, None
            self._poll_session = session
            session.poll(self)
        elif self._post_session is not None:
            self._post_session.post(self, body)
        else:
            reader, self._body_reader = self._body_reader, None
            if reader is not None:
                reader(self, body)

    def _take_http_output(self) -> None:
        """Send what HTTP has to say, and arm the deadline that its state asks for."""
        http = self._http
        if http is None:
            return
        if http.output:
            for data in http.output:
                self._output.append(data)
                self._output_size += len(data)
            http.output.clear()
            self._touch()
        if http.closing and not self.closing:
            self.closing = True
            # What comes now is dropped, but its end must be seen, also behind input that was kept waiting.
            self.wants_read = True
            if self._post_session is not None:
                session, self._post_session = self._post_session, None
                session.post_refused(self)
            self._get_session = None
            self._body_reader = None
            self._touch()
            self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)
            return
        if self.closing:
            return
        if self.wants_read == http.paused:
            self.wants_read = not http.paused
            self._touch()
        if self._exchange is not None and self._exchange.active:
            # Its deadlines are its own.
            self._exchange.stirred()
            return
        limits = self._owner.options.limits
        if http.state is _HEAD_WAIT:
            if self._request is not None and self._timer_kind != _KEEP_ALIVE_TIMER:
                self._arm(_KEEP_ALIVE_TIMER, limits.keep_alive_timeout)
        elif http.state is _HEAD:
            if self._timer_kind != _HEAD_TIMER:
                self._arm(_HEAD_TIMER, limits.head_timeout)
        elif http.state is _BODY:
            if self._timer_kind != _BODY_TIMER:
                self._arm(_BODY_TIMER, limits.body_timeout)
        else:
            self._cancel_timer()

    def _request_lost(self) -> None:
        poll, self._poll_session = self._poll_session, None
        post, self._post_session = self._post_session, None
        self._get_session = None
        self._body_reader = None
        if poll is not None:
            poll.poll_lost(self)
        if post is not None:
            post.post_lost(self)

    # WebSocket ------------------------------------------------------------------------------------------------

    def _read_websocket(self, websocket: WebSocketConnection, data: bytes) -> None:
        messages = websocket.receive_data(data)
        session = self.session
        if session is not None:
            # One that lets go of this WebSocket on the way takes no notice of what comes after that.
            for message in messages:
                session.websocket_message(self, message)
        if websocket.stirred or self._timer is not None:
            self._websocket_stirred(websocket, bool(messages))

    def _websocket_stirred(self, websocket: WebSocketConnection, completed: bool) -> None:
        if websocket.output:
            if websocket.close_sent:
                self._take_websocket_output(websocket)
            else:
                # Pongs. They are taken when they can leave: until then only the latest of them is kept.
                self._touch()
        if websocket.close_received or websocket.failed:
            if websocket.failed:
                self._websocket_gone("transport error", f"WebSocket failed with close code {websocket.close_code}")
            else:
                self._websocket_gone("transport close", f"WebSocket closed with code {websocket.close_code}")
            self._settle_websocket(websocket)
        elif websocket.close_sent:
            return
        elif websocket.partial:
            # Each message that is completed earns the next one its full time.
            if completed or self._timer_kind != _FRAME_TIMER:
                self._arm(_FRAME_TIMER, self._owner.options.limits.frame_timeout)
        elif self._timer_kind == _FRAME_TIMER:
            self._cancel_timer()

    def _take_websocket_output(self, websocket: WebSocketConnection) -> None:
        for data in websocket.output:
            self._output.append(data)
            self._output_size += len(data)
        websocket.output.clear()
        self._touch()

    def _settle_websocket(self, websocket: WebSocketConnection) -> None:
        if websocket.close_sent and (websocket.close_received or websocket.failed):
            # "The server MUST close the underlying TCP connection immediately" (RFC 6455, section 5.5.1); after a
            # failure the peer may still be sending, and closing at once would destroy our close frame on the way.
            if websocket.failed and not websocket.close_received:
                self.closing = True
                self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)
                self._touch()
            else:
                self._close()
        elif websocket.close_sent and self._timer_kind != _CLOSE_TIMER:
            self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)

    def _websocket_gone(self, reason: str, detail: str) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.websocket_lost(self, reason, detail)

    # Deadlines and the end ------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._timer_kind = -1
        if kind == _CLOSE_TIMER:
            if self._exchange is None:
                self.abort()
            else:
                self._exchange_leaves(self._exchange)
        elif kind == _EXCHANGE_TIMER:
            if self._exchange is not None:
                self._exchange.deadline_passed()
        elif kind == _KEEP_ALIVE_TIMER:
            self._close()
        elif kind == _FRAME_TIMER:
            # The session would close with 1000.
            session = self.session
            self.close_websocket(1008, "message not completed in time")
            if session is not None:
                session.websocket_lost(self, "transport error", "a WebSocket message was not completed in time")
        elif self._http is not None:
            session, self._post_session = self._post_session, None
            self._http.timed_out()
            self._take_http_output()
            if session is not None:
                session.fail("transport error", "the body of a POST did not arrive in time")

    def _exchange_leaves(self, exchange: Exchange) -> None:
        """The answer of a hosted application may be large: it has time as long as something of it is accepted."""
        if not self.buffered:
            # The network has all of it. Aborting would take it back.
            self._close()
        elif exchange.still_leaving():
            self._arm(_CLOSE_TIMER, self._owner.options.limits.send_timeout)
        else:
            self.abort()

    def _arm(self, kind: int, delay: float) -> None:
        owner = self._owner
        owner.timers.cancel(self._timer)
        self._timer = owner.timers.arm(owner.now + delay, self, kind)
        self._timer_kind = kind

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._owner.timers.cancel(self._timer)
            self._timer = None
            self._timer_kind = -1

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._cancel_timer()
            if not self.aborted:
                # Output that the peer doesn't take must not keep the connection.
                self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)
        self._touch()

    def _touch(self) -> None:
        if not self.queued:
            self._owner.connection_ready(self)
