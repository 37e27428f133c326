"""The server side of HTTP/1.1 on one TCP connection (RFC 9110, RFC 9112): h11 with limits around it.

h11 parses heads and chunks; heads that are quite plain are recognised without it. It is handed exactly one head, and of
a body never more than it can buffer, so what a peer can make it hold or scan is known here. Rules that h11 leaves open
are closed here, always to the strict side, since a request that two parsers read differently is how requests are
smuggled past a proxy.
"""

# Theory of operation
# -------------------
# Received bytes wait in one buffer until `next_event` is called. Each request gets an h11.Connection of its own, which
# costs a microsecond, less than resetting one, and keeps an idle connection small. It only ever reads: answers are
# encoded here, or in framing.py, and h11's client reads them back in the tests.
#
#   HEAD_WAIT → HEAD → BODY → ANSWERING → HEAD_WAIT        (BODY is skipped where the head announces no body)
#
# `respond` in ANSWERING starts the next cycle, or ends in CLOSED. `respond` in BODY always ends in CLOSED: the rest of
# the body would have to be read to find the next request. A fault of the peer is answered at once and ends in CLOSED.
#
# `stream` makes the body of one request a thing of the owner's: it takes pieces with `read_piece`, when it wants them,
# so that what it does not want waits in the peer's socket. Its answer goes through `write` and `finish` in pieces that
# are framed already. `finish` in BODY drops the rest of a body that is short, and else ends in CLOSED.

from __future__ import annotations

import re
from collections.abc import Sequence

import h11

from siocore._speedups import recognise_head
from siocore.codec.heads import KEEP, UNDECIDED
from siocore.errors import LocalProtocolError
from siocore.http.events import BodyReceived, HttpState, RequestReceived
from siocore.http.framing import beginning, header_lines, status_line
from siocore.http.handshake import comma_tokens
from siocore.options import Limits
from siocore.request import Request

__all__ = ["HttpConnection"]

Headers = Sequence[tuple[bytes, bytes]]

# Once for all: a lookup in an enumeration costs more than most of what is done with the result.
_HEAD_WAIT = HttpState.HEAD_WAIT
_HEAD = HttpState.HEAD
_BODY = HttpState.BODY
_ANSWERING = HttpState.ANSWERING
_SWITCHED = HttpState.SWITCHED
_CLOSED = HttpState.CLOSED

_PLAIN_END = b"\r\n\r\n"
_HEAD_END = re.compile(rb"\n\r?\n")
_FOLDED = re.compile(rb"\n[ \t]")
# What decides about framing, and about what becomes of the connection.
_DECISIVE = frozenset(
    (b"connection", b"content-encoding", b"content-length", b"expect", b"transfer-encoding", b"upgrade")
)
#: The Content-Length lines of short answers.
_LENGTHS = [b"Content-Length: %d\r\n" % size for size in range(1_024)]
#: What a body may lack that is read for nothing, to keep the connection.
_DRAIN = 65_536
#: Bytes that a chunk of a streamed body has on average, once there were ``max_chunks``.
_CHUNK = 8
#: No body is larger: lengths are C integers here.
_MOST = 1 << 62
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class HttpConnection:
    """Bytes in, :class:`RequestReceived` and :class:`BodyReceived` out; answers in, bytes out.

    A peer can't make any method raise. After ``receive_data``, ``receive_eof`` and ``respond``, call ``next_event``
    until it returns ``None``, then send ``output`` and look at ``closing`` and ``state``.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_body",
        "_body_left",
        "_chunks",
        "_continue",
        "_draining",
        "_eof",
        "_event",
        "_h11",
        "_hosting",
        "_input",
        "_keep_alive",
        "_limits",
        "_old",
        "_peer",
        "_request",
        "_searched",
        "_secure",
        "_streamed",
        "_streaming",
        "_upgrade",
        "closing",
        "output",
        "state",
    )

    def __init__(self, limits: Limits, *, peer: object = None, secure: bool = False, hosting: bool = False) -> None:
        self._limits = limits
        self._peer = peer
        self._secure = secure
        # Whether the owner may want to stream bodies that are none of ours: too large, or encoded.
        self._hosting = hosting
        #: What is to be sent, in order; the owner takes and clears it.
        self.output: list[bytes] = []
        #: No further request will be read: half-close once the output is sent.
        self.closing = False
        self.state = _HEAD_WAIT
        self._eof = False
        # What was received, and how much of it is done with.
        self._input: bytes | bytearray = b""
        self._at = 0
        # How much of the rest is known not to contain the end of a head.
        self._searched = 0
        self._event: BodyReceived | None = None
        # The parser of a chunked body that is being received.
        self._h11: h11.Connection | None = None
        self._request: Request | None = None
        self._upgrade = False
        self._keep_alive = True
        self._continue = False
        self._body = bytearray()
        # Bytes that are missing of a body with Content-Length.
        self._body_left = 0
        self._chunks = 0
        # The request came as HTTP/1.0.
        self._old = False
        # The body goes to the owner in pieces; how much of it has; the answer has begun; the rest is of no interest.
        self._streaming = False
        self._streamed = 0
        self._begun = False
        self._draining = False

    @property
    def paused(self) -> bool:
        """Whether as much input waits as is kept for a request that is still to be answered, or a streamed body."""
        return (self.state is _ANSWERING or self._streaming) and self._waiting() >= self._limits.max_head

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer. Behind an unanswered request they are kept: at most ``max_head`` and this read."""
        if not data or self._eof or self.state is _CLOSED or self.state is _SWITCHED:
            return
        if self._at == len(self._input):
            # No copy where nothing was left over: that is nearly always.
            self._input = data
            self._at = 0
        else:
            rest = bytearray(self._input[self._at :]) if self._at or type(self._input) is bytes else self._input
            rest += data
            self._input = rest
            self._at = 0
        if self.state is _HEAD_WAIT:
            self.state = _HEAD

    def detach(self, request: Request) -> bytes:
        """Hand on ``request``, of which only the head was looked at: it, and all that came behind it, as it is read."""
        lines = b"".join([b"%b: %b\r\n" % pair for pair in request.raw_headers()])
        version = b"1.0" if self._old else b"1.1"
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (request.method.encode(), request.target.encode(), version, lines)
        rest = bytes(self._input[self._at :])
        self._input = b""
        self._at = 0
        self._event = None
        self.state = _CLOSED
        return head + rest

    def receive_eof(self) -> None:
        """The peer sends nothing more. Complete requests are still reported and can be answered."""
        self._eof = True

    def next_event(self) -> RequestReceived | BodyReceived | None:
        """The next thing that happened, or ``None`` if more input, or our answer, has to come first."""
        event: RequestReceived | BodyReceived | None = self._event
        if event is not None:
            self._event = None
            return event
        try:
            if self.state is _HEAD:
                event = self._read_head()
            elif self.state is _BODY:
                event = self._drain() if self._streaming else self._read_body()
        except _Refused as refused:
            self._refuse(refused.status)
        except h11.RemoteProtocolError as exc:
            self._refuse(exc.error_status_hint)
        if event is not None:
            return event
        if self._eof and self.state in (_HEAD_WAIT, _HEAD, _BODY) and (not self._streaming or self._draining):
            self._close()
        return None

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """Answer the request that was reported. Call ``next_event`` again afterwards: another may be waiting.

        ``Content-Length`` and ``Connection`` are added. ``HEAD`` gets the head alone. With ``close``, or before the
        body of the request is complete, the connection is closed behind the answer.

        Raises :exc:`LocalProtocolError` if no request waits for an answer, or if this is not a correct answer.
        """
        if self._request is None:
            raise LocalProtocolError("no request waits for an answer")
        bodyless = status == 204 or status == 304
        if not 200 <= status <= 599 or status == 205:
            raise LocalProtocolError(f"status {status} can't be an answer")
        if bodyless and body:
            raise LocalProtocolError(f"an answer with status {status} has no body")
        last = close or not self._keep_alive or self.state is _BODY or (self._eof and not self._waiting())
        parts = [beginning(status, headers)]
        if not bodyless:
            size = len(body)
            parts.append(_LENGTHS[size] if size < len(_LENGTHS) else b"Content-Length: %d\r\n" % size)
        parts.append(b"Connection: close\r\n\r\n" if last else b"\r\n")
        if body and self._request.method != "HEAD":
            parts.append(body)
        self.output.append(b"".join(parts))
        if last:
            self._close()
        else:
            self._next_request()

    def switch_protocols(self, headers: Headers) -> bytes:
        """Accept the upgrade: queue the 101 and return the bytes that came behind the head of the request.

        Raises :exc:`LocalProtocolError` if no request waits for it, or if a header can't be sent.
        """
        if not self._upgrade or self.state is not _ANSWERING:
            raise LocalProtocolError("no request asks for an upgrade")
        self.output.append(b"".join([_SWITCHING, *header_lines(headers), b"\r\n"]))
        rest = self._take(self._waiting())
        self._end_request()
        self.state = _SWITCHED
        return rest

    def refuse(self, status: int) -> None:
        """Answer the request that was reported with a ``refusal``, without its body, and close."""
        self._refuse(status)

    # A request whose body is read, and whose answer is written, in pieces ---------------------------------------

    def stream(self) -> None:
        """From here on the owner reads the body of the request that was just reported, and answers in pieces."""
        self._streaming = True
        self._event = None

    @property
    def http_version(self) -> str:
        """Of the request under way: ``"1.0"`` or ``"1.1"``."""
        return "1.0" if self._old else "1.1"

    @property
    def declared(self) -> int | None:
        """How many bytes the streamed body has, if that was declared."""
        return None if self._h11 is not None else self._streamed + self._body_left

    @property
    def ended(self) -> bool:
        """Whether the peer sends nothing more."""
        return self._eof

    def read_piece(self) -> bytes:
        """What is here of the streamed body; ``b""`` if nothing is. The state leaves BODY with the last piece.

        If the peer broke the rules the state is CLOSED, and the answer to that is queued unless another has begun.
        """
        if self.state is not _BODY:
            return b""
        if self._continue:
            self._continue = False
            self.output.append(_CONTINUE)
        if self._h11 is None:
            piece = self._take(self._body_left)
            self._body_left -= len(piece)
            complete = self._body_left == 0
        else:
            try:
                complete = self._read_chunks(self._h11)
            except _Refused as refused:
                self._refuse(refused.status)
                return b""
            except h11.RemoteProtocolError as exc:
                self._refuse(exc.error_status_hint)
                return b""
            piece = bytes(self._body)
            self._body = bytearray()
        self._streamed += len(piece)
        if complete:
            self._h11 = None
            self.state = _ANSWERING
        return piece

    @property
    def is_last(self) -> bool:
        """Whether the connection can't be used again behind the answer to the streamed request."""
        return not self._keep_alive or (self._eof and not self._waiting()) or not self._drainable()

    def write(self, data: bytes) -> None:
        """Send a piece of the answer to the streamed request, framed by the caller."""
        self._begun = True
        self.output.append(data)

    def finish(self, close: bool) -> None:
        """The answer is complete. Call ``next_event`` again afterwards, as after ``respond``."""
        if close or self.is_last:
            self._close()
        elif self.state is _BODY:
            self._draining = True
        else:
            self._next_request()

    def _next_request(self) -> None:
        self._end_request()
        self.state = _HEAD if self._waiting() else _HEAD_WAIT

    def _drainable(self) -> bool:
        """Whether what is missing of the body is short enough to be read for nothing."""
        if self.state is not _BODY:
            return True
        # Who was not told to continue may send the body, or not.
        return not self._continue and self._h11 is None and self._body_left - self._waiting() <= _DRAIN

    def _drain(self) -> RequestReceived | None:
        if not self._draining:
            return None
        self._body_left -= len(self._take(self._body_left))
        if self._body_left:
            return None
        self._next_request()
        return self._read_head() if self.state is _HEAD else None

    def timed_out(self) -> None:
        """The owner's deadline for a head or body has passed. Late and spurious calls are harmless."""
        if self.state is _HEAD or self.state is _BODY:
            self._refuse(408)
        elif self.state is _HEAD_WAIT:
            self._close()

    def _read_head(self) -> RequestReceived | None:
        limits = self._limits
        received, at = self._input, self._at
        # A TLS client on a plain port is told at its first byte. No request line starts with a space or control.
        if received[at] <= 0x20:
            raise _Refused(400)
        end = received.find(_PLAIN_END, at + max(0, self._searched - 3))
        if end >= 0 and end + 4 - at <= limits.max_head:
            end += 4
            head = bytes(received[at:end])
            plain = recognise_head(head)
            if plain is not None:
                method, target, headers, length, fate = plain
                if len(headers) > limits.max_headers:
                    raise _Refused(431)
                self._at = end
                self._searched = 0
                if fate == UNDECIDED:
                    return self._accept_head(method, target, headers, False, None)
                refusal = 413 if length > limits.max_payload else 0
                if refusal and not self._hosting:
                    raise _Refused(refusal)
                self._body_left = length
                self._old = False
                return self._accepted(
                    Request(method, target, headers, self._peer, self._secure), length > 0, fate == KEEP, refusal
                )
        match = _HEAD_END.search(received, at + max(0, self._searched - 2))
        if match is None:
            self._searched = self._waiting()
            if self._searched >= limits.max_head:
                raise _Refused(431)
            return None
        end = match.end()
        if end - at > limits.max_head:
            raise _Refused(431)
        head = self._take(end - at)
        self._searched = 0
        if head.count(b"\n") - 2 > limits.max_headers:
            raise _Refused(431)
        # Bare line feeds and folded lines are read differently by different servers (RFC 9112, sections 2.2 and 5.2).
        if head.count(b"\r\n") != head.count(b"\n") or _FOLDED.search(head):
            raise _Refused(400)
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_head)
        parser.receive_data(head)
        event = parser.next_event()
        if not isinstance(event, h11.Request):
            raise _Refused(400)
        target = event.target.decode("ascii")
        if not target.startswith("/") or event.method == b"CONNECT":
            raise _Refused(400)
        old = event.http_version == b"1.0"
        if not old and event.http_version != b"1.1":
            raise _Refused(505)
        headers = [(name.lower(), value) for name, value in event.headers.raw_items()]
        return self._accept_head(event.method.decode("ascii"), target, headers, old, parser)

    def _accept_head(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        old: bool,
        parser: h11.Connection | None,
    ) -> RequestReceived:
        """Find out about the body, and what becomes of the connection. ``old`` says HTTP/1.0."""
        decisive = [header for header in headers if header[0] in _DECISIVE]
        length = [value for name, value in decisive if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in decisive)
        # "A server MAY reject a request that contains both Content-Length and Transfer-Encoding", and a client of
        # HTTP/1.0 that sends Transfer-Encoding has faulty framing (RFC 9112, section 6.1).
        if chunked and (length or old):
            raise _Refused(400)
        declared = int(length[0]) if length else 0
        refusal = 413 if declared > self._limits.max_payload else 0
        if refusal and (not self._hosting or declared > _MOST):
            raise _Refused(refusal)
        self._body_left = declared
        connection = comma_tokens(decisive, b"connection")
        has_body = chunked or declared > 0
        if has_body:
            if not {b"identity"}.issuperset(comma_tokens(decisive, b"content-encoding")):
                if not self._hosting:
                    raise _Refused(415)
                refusal = refusal or 415
            self._continue = not old and b"100-continue" in comma_tokens(decisive, b"expect")
        upgrade = b"upgrade" in connection and b"websocket" in comma_tokens(decisive, b"upgrade")
        if upgrade and (old or has_body):
            raise _Refused(400)
        self._upgrade = upgrade
        self._h11 = parser if chunked else None
        self._old = old
        request = Request(method, target, headers, self._peer, self._secure)
        return self._accepted(request, has_body, not old and b"close" not in connection, refusal)

    def _accepted(self, request: Request, has_body: bool, keep_alive: bool, refusal: int) -> RequestReceived:
        self._keep_alive = keep_alive
        self._request = request
        if has_body:
            self.state = _BODY
        else:
            self.state = _ANSWERING
            self._event = BodyReceived(b"")
        return RequestReceived(request, self._upgrade, refusal)

    def _read_body(self) -> BodyReceived | None:
        # Asked for whether the body is on its way already or not, so that the answer does not depend on the segments.
        if self._continue:
            self._continue = False
            self.output.append(_CONTINUE)
        if self._h11 is not None:
            complete = self._read_chunks(self._h11)
        elif not self._body and self._waiting() >= self._body_left:
            # All of it is here: no copy but the one that is handed on.
            body = self._take(self._body_left)
            self._body_left = 0
            self.state = _ANSWERING
            return BodyReceived(body)
        else:
            piece = self._take(self._body_left)
            self._body_left -= len(piece)
            self._body += piece
            complete = self._body_left == 0
        if not complete:
            return None
        body = bytes(self._body)
        self._body = bytearray()
        self._h11 = None
        self.state = _ANSWERING
        return BodyReceived(body)

    def _read_chunks(self, parser: h11.Connection) -> bool:
        limits = self._limits
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > limits.max_payload and not self._streaming:
                    raise _Refused(413)
                # Ends are counted: h11 drops the mark of a chunk's start if the read ends behind its size line. In a
                # body without end they must not be small for ever.
                self._chunks += event.chunk_end
                if self._chunks > limits.max_chunks + self._streamed // _CHUNK:
                    raise _Refused(400)
            elif isinstance(event, h11.EndOfMessage):
                # Trailers are dropped. What h11 has beyond them belongs to the next request.
                self._input = parser.trailing_data[0] + bytes(self._input[self._at :])
                self._at = 0
                return True
            else:
                # It waits for the rest of a chunk's size line or of the trailers, which have the bound of a head.
                room = limits.max_head - len(parser.trailing_data[0])
                if room <= 0:
                    raise _Refused(400)
                piece = self._take(room)
                if not piece:
                    return False
                parser.receive_data(piece)

    def _waiting(self) -> int:
        """How many received bytes are not done with."""
        return len(self._input) - self._at

    def _take(self, size: int) -> bytes:
        at = self._at
        piece = bytes(self._input[at : at + size])
        self._at = at + len(piece)
        if self._at == len(self._input):
            self._drop_input()
        return piece

    def _drop_input(self) -> None:
        self._input = b""
        self._at = 0

    def _refuse(self, status: int) -> None:
        """Answer a fault of the peer, and close."""
        if self._begun:
            # Another answer is under way.
            self._close()
            return
        self.output.append(status_line(status) + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        self._close()

    def _close(self) -> None:
        self._end_request()
        self._drop_input()
        self.closing = True
        self.state = _CLOSED

    def _end_request(self) -> None:
        self._event = None
        self._h11 = None
        self._request = None
        self._upgrade = False
        self._continue = False
        self._chunks = 0
        self._body = bytearray()
        if self._streaming:
            self._streaming = self._begun = self._draining = False
            self._streamed = 0


class _Refused(Exception):
    """The peer's fault, to be answered with this status."""

    def __init__(self, status: int) -> None:
        self.status = status
