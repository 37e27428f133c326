"""One HTTP request of an ASGI server, and its answer."""

from __future__ import annotations

from siocore.asgi._connection import AsgiConnection
from siocore.asgi._leader import AsgiLeader
from siocore.asgi._types import Message, Receive, Send
from siocore.endpoint.interfaces import BodyReader
from siocore.engineio.interfaces import Headers
from siocore.engineio.session import Session
from siocore.http.handshake import comma_tokens
from siocore.request import Request

__all__ = ["HttpExchange"]

# What the timer is for.
_BODY_TIMER = 0
_ANSWER_TIMER = 1

_BODYLESS = {"GET", "HEAD", "OPTIONS"}


# Theory of operation
# -------------------
# The task of the request does everything. It passes the head to the endpoint, then looks again and again whether
# the endpoint has an answer, and if not, waits in receive(): for the body, and behind that for http.disconnect.
# Whoever answers a request that waits there (a parked GET, a POST whose client is paused) interrupts it. So a parked
# GET costs no task but its own, and no cancellation where the answer is there at once.
#
# A body is read whether somebody wants it yet or not: until it has been read, a disconnect can't be seen.


class HttpExchange(AsgiConnection):
    """One request."""

    __slots__ = (
        "_answer",
        "_answered_poll",
        "_body",
        "_complete",
        "_poll_session",
        "_post_session",
        "_reader",
        "_sending",
        "_size",
        "_wanted",
    )

    def __init__(self, leader: AsgiLeader, request: Request) -> None:
        super().__init__(leader, request)
        self._answer: tuple[int, Headers, bytes] | None = None
        self._poll_session: Session | None = None
        self._post_session: Session | None = None
        # The session whose GET was answered: if that answer is lost, so are its packets, and so is the session.
        self._answered_poll: Session | None = None
        self._reader: BodyReader | None = None
        # Whether somebody waits for the body.
        self._wanted = False
        self._complete = request.method in _BODYLESS
        self._body: list[bytes] = []
        self._size = 0
        self._sending = False

    async def serve(self, receive: Receive, send: Send) -> None:
        """Run the request from beginning to end."""
        self.begin()
        try:
            if not self._refuse_by_head():
                self._owner.request_received(self, self._request, False)
            host = self._leader.host
            while True:
                if self._complete and self._wanted:
                    self._deliver()
                # Before the answer leaves: it may be long on its way.
                self._leader.wake()
                if self._answer is not None or self.gone:
                    break
                message = await host.until_interrupted(self, receive)
                if message is not None:
                    self._received(message)
            if self._answer is not None:
                await self._send(*self._answer, send)
        finally:
            self.end()

    # For the endpoint -----------------------------------------------------------------------------------------

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """Answer the request. Whether the connection is closed is up to the ASGI server."""
        if self._answer is not None or self.gone:
            return
        self._answered_poll = self._poll_session
        self._poll_session = self._post_session = None
        self._reader = None
        self._answer = (status, self._owner.response_headers(self._request, headers), body)
        if self.interrupt is not None:
            self._touch()

    @property
    def buffered(self) -> int:
        # Of a GET: once it has left, nobody is named there any more.
        return 0 if self._answer is None or self._answered_poll is None else len(self._answer[2])

    def expect_body(self, reader: BodyReader) -> None:
        self._reader = reader
        self._want()

    def expect_poll(self, session: Session) -> None:
        self._poll_session = session
        self._want()

    def expect_post(self, session: Session) -> None:
        self._post_session = session
        self._want()

    def abort(self) -> None:
        super().abort()
        if self._answer is None:
            # Dropping a request would look like a failure of the application.
            self._answer = (503, (), b"")

    def connection_lost(self, now: float) -> None:
        if self.gone:
            return
        self.gone = self.closed = True
        poll, self._poll_session = self._poll_session, None
        post, self._post_session = self._post_session, None
        answered, self._answered_poll = self._answered_poll, None
        self._reader = None
        if poll is not None:
            poll.poll_lost(self)
        if post is not None:
            post.post_lost(self)
        if answered is not None:
            answered.poll_lost(self)

    def flush(self) -> None:
        interrupt = self.interrupt
        if interrupt is None:
            # The task is about to look itself.
            return
        if self.aborted or (not self._sending and (self._answer is not None or (self._complete and self._wanted))):
            interrupt()

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        if kind == _ANSWER_TIMER:
            # Nobody reads it.
            self.abort()
            return
        session, self._post_session = self._post_session, None
        self.respond(408, ())
        if session is not None:
            session.fail("transport error", "the body of a POST did not arrive in time")

    # What arrives ---------------------------------------------------------------------------------------------

    def _refuse_by_head(self) -> bool:
        """Answer a request whose head says already that its body will not be taken."""
        if self._complete:
            return False
        limits = self._owner.options.limits
        length = self._request.header_values(b"content-length")
        # The ASGI server has seen to it that it is a number.
        if any(value.isdigit() and int(value) > limits.max_payload for value in length):
            self.respond(413, ())
        elif not {b"identity"}.issuperset(comma_tokens(self._request.raw_headers(), b"content-encoding")):
            self.respond(415, ())
        else:
            self._arm(_BODY_TIMER, limits.body_timeout)
            return False
        return True

    def _received(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.disconnect":
            self.connection_lost(self._owner.now)
        elif kind == "http.request" and not self._complete:
            piece = message.get("body", b"")
            self._size += len(piece)
            if self._size > self._owner.options.limits.max_payload:
                session, self._post_session = self._post_session, None
                if session is not None:
                    session.post_refused(self)
                self.respond(413, ())
                return
            if piece:
                self._body.append(bytes(piece))
            if not message.get("more_body", False):
                self._complete = True
                self._cancel_timer()

    def _want(self) -> None:
        self._wanted = True
        if self.interrupt is not None:
            self._touch()

    def _deliver(self) -> None:
        self._wanted = False
        body = b"".join(self._body)
        self._body.clear()
        if self._poll_session is not None:
            self._poll_session.poll(self)
        elif self._post_session is not None:
            self._post_session.post(self, body)
        elif self._reader is not None:
            reader, self._reader = self._reader, None
            reader(self, body)

    # What leaves ----------------------------------------------------------------------------------------------

    async def _send(self, status: int, headers: Headers, body: bytes, send: Send) -> None:
        # Names are in lower case and nothing is about the connection, as HTTP/2 wants it: the endpoint sees to that.
        lines = list(headers)
        if status != 204 and status != 304:
            lines.append((b"content-length", b"%d" % len(body)))
        if self._request.method == "HEAD":
            body = b""

        async def send_both() -> bool:
            await send({"type": "http.response.start", "status": status, "headers": lines})
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return True

        options = self._owner.options
        self._sending = True
        # As long as a client may be silent until its session is over.
        self._arm(_ANSWER_TIMER, options.ping_interval + options.ping_timeout)
        try:
            if await self._leader.host.until_interrupted(self, send_both):
                self._answered_poll = None
        except OSError:
            # The client has gone (ASGI specification, "Disconnected Client").
            pass
