"""The client side of HTTP/1.1 on one connection (RFC 9110, RFC 9112): h11 with limits around it.

h11 parses heads and chunks. It is handed exactly one head, and of a body never more than it can buffer, so what a
server can make it hold is known here. Rules that h11 leaves open are closed here, to the strict side: an answer that
two parsers read differently is how one user is given what was meant for another.
"""

# Theory of operation
# -------------------
# One request is under way at a time. Received bytes wait in one buffer until `next_answer` is called.
#
#   IDLE → HEAD → BODY → IDLE | ENDED        (or SWITCHED, behind a 101, or a 2xx for CONNECT)
#
# How long the body is, is known from the head (RFC 9112, section 6.3): `_left` bytes, or chunks that `_chunked`
# parses, or all up to the end of the connection (`_until_eof`). A fault of the server sets `failed` and ends it all.

from __future__ import annotations

import re
import zlib
from enum import Enum, auto
from http import HTTPStatus

import h11

from siocore.errors import LocalProtocolError
from siocore.http.handshake import comma_tokens
from siocore.options import Limits
from siocore.request import Headers

__all__ = ["Answer", "HttpClient", "excerpt"]

_HEAD_END = re.compile(rb"\n\r?\n")
_FOLDED = re.compile(rb"\n[ \t]")
#: 1xx answers in front of the one that counts. Node.js: no bound.
_MAX_INTERIM = 16
#: Characters of a server's words that go into a message.
_MAX_EXCERPT = 200
#: Inflated at a time.
_PIECE = 65_536
_GZIP = zlib.MAX_WBITS | 16
_OURS = frozenset((b"content-length", b"transfer-encoding", b"expect"))


class Answer:
    """One answer, complete."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        #: ``headers.raw`` has each line by itself, which is needed for Set-Cookie.
        self.headers = headers
        #: Without its Content-Encoding.
        self.body = body

    def values(self, name: bytes) -> list[bytes]:
        """The values of ``name`` (lower case), one for each line."""
        return [value for key, value in self.headers.raw if key == name]

    def describe(self) -> str:
        """``status 403 (Forbidden): what the body says``, for messages."""
        try:
            phrase = f" ({HTTPStatus(self.status).phrase})"
        except ValueError:
            phrase = ""
        said = excerpt(self.body)
        return f"status {self.status}{phrase}{': ' if said else ''}{said}"

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


def excerpt(data: bytes | str) -> str:
    """The beginning of what a server said, on one line and without anything that a terminal would obey."""
    start = data[: 8 * _MAX_EXCERPT]
    said = start if isinstance(start, str) else start.decode(errors="replace")
    text = " ".join("".join([each if each.isprintable() else " " for each in said]).split())
    return text if len(text) <= _MAX_EXCERPT else text[:_MAX_EXCERPT] + "…"


class _State(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    SWITCHED = auto()
    ENDED = auto()


class HttpClient:
    """Requests in, bytes out; bytes in, :class:`Answer` out.

    A server can't make any method raise. After ``receive_data`` and ``receive_eof``, call ``next_answer`` and look at
    ``failed``. ``limits.max_payload`` bounds a body, ``max_head`` and ``max_headers`` a head, ``max_chunks`` the chunks
    of a body.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_chunks",
        "_eof",
        "_headers",
        "_inflater",
        "_input",
        "_interim",
        "_keep_alive",
        "_left",
        "_limits",
        "_parser",
        "_searched",
        "_state",
        "_status",
        "_until_eof",
        "begun",
        "failed",
        "output",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _State.IDLE
        #: What is to be sent, in order; the owner takes and clears it.
        self.output: list[bytes] = []
        #: A sentence that says what the server did wrong, or that it closed in the middle of an answer.
        self.failed: str | None = None
        #: Whether something of the answer to the request under way has come. If not, a connection that was kept and
        #: is closed may have been closed before the server saw the request.
        self.begun = False
        self._eof = False
        self._input = bytearray()
        # How much of the input is known not to contain the end of a head.
        self._searched = 0
        self._parser: h11.Connection | None = None
        self._interim = 0
        self._answer: Answer | None = None
        # Of the answer whose body is read.
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._left = 0
        self._until_eof = False
        self._chunks = 0
        self._inflater: zlib._Decompress | None = None
        self._keep_alive = True

    @property
    def reusable(self) -> bool:
        """Whether another request can be made on this connection now."""
        return self._state is _State.IDLE and not self._eof and self._answer is None

    @property
    def switched(self) -> bool:
        """Whether the connection has become one of another protocol: a 101, or the tunnel of a CONNECT."""
        return self._state is _State.SWITCHED

    def request(self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        """Queue a request. ``headers`` have the Host; Content-Length is added, and ``Accept-Encoding: gzip``.

        HEAD is not supported. Raises :exc:`LocalProtocolError` if another request is under way, if the connection has
        ended, or if this is not a correct request.
        """
        if not self.reusable:
            raise LocalProtocolError("this connection can't take another request now")
        fields = [(name, value) for name, value in headers if name.lower() not in _OURS]
        if len(fields) != len(headers) or method == "HEAD":
            raise LocalProtocolError("how a body is sent is decided here, and HEAD is not supported")
        if method != "CONNECT" and not any(name.lower() == b"accept-encoding" for name, _ in fields):
            # Compressed answers cost only those who ask for them, and JSON becomes a fraction of itself.
            fields.append((b"Accept-Encoding", b"gzip"))
        if body or method == "POST":
            fields.append((b"Content-Length", b"%d" % len(body)))
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=self._limits.max_head)
        try:
            head = parser.send(h11.Request(method=method, target=target, headers=fields))
            if body:
                parser.send(h11.Data(data=body))
            parser.send(h11.EndOfMessage())
        except (h11.LocalProtocolError, ValueError) as exc:
            raise LocalProtocolError(f"this request can't be sent: {exc}") from exc
        assert head is not None
        self._parser = parser
        self._state = _State.HEAD
        self._interim = 0
        self.begun = False
        self.output.append(head)
        if body:
            self.output.append(body)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server."""
        if not data or self._eof or self._state is _State.ENDED:
            return
        if self._state is _State.IDLE:
            # Nobody asked for it, so it is the answer to nothing: no further request is made here.
            self._state = _State.ENDED
            return
        self.begun = True
        self._input += data
        if self._answer is None:
            self._advance()

    def receive_eof(self) -> None:
        """The server sends nothing more."""
        if self._eof:
            return
        self._eof = True
        if self._state is _State.BODY and self._until_eof:
            self._complete()
        elif self._state is _State.HEAD:
            self._fail(
                "the server closed the connection in the middle of its answer"
                if self.begun
                else "the server closed the connection without an answer"
            )
        elif self._state is _State.BODY:
            self._fail("the server closed the connection in the middle of its answer")
        elif self._state is _State.IDLE:
            self._state = _State.ENDED

    def next_answer(self) -> Answer | None:
        """The answer to the request, once it is complete."""
        answer, self._answer = self._answer, None
        return answer

    def trailing_data(self) -> bytes:
        """What came behind the answer that switched protocols; later bytes are the other protocol's alone."""
        rest = bytes(self._input)
        self._input = bytearray()
        return rest

    # Reading -------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        try:
            while self._state is _State.HEAD and self._read_head():
                pass
            if self._state is _State.BODY and self._read_body():
                self._complete()
        except _Fault as fault:
            self._fail(fault.sentence)
        except h11.RemoteProtocolError as exc:
            self._fail(f"the server's answer is not correct HTTP: {exc}")

    def _read_head(self) -> bool:
        """Take one head, if it is complete."""
        limits = self._limits
        received = self._input
        if not received:
            return False
        if not b"HTTP/".startswith(received[:5]):
            hint = (
                "it speaks TLS: write https:// or wss://"
                if received[0] in (0x15, 0x16)
                else excerpt(bytes(received[:40]))
            )
            raise _Fault(f"the server does not answer with HTTP: {hint}")
        match = _HEAD_END.search(received, max(0, self._searched - 2))
        end = match.end() if match is not None else len(received)
        if end > limits.max_head or (match is None and end == limits.max_head):
            raise _Fault(f"the head of the server's answer has more than max_head={limits.max_head} bytes")
        if match is None:
            self._searched = end
            return False
        head = bytes(received[:end])
        del received[:end]
        self._searched = 0
        if head.count(b"\n") - 2 > limits.max_headers:
            raise _Fault(f"the server's answer has more than max_headers={limits.max_headers} headers")
        # Bare line feeds and folded lines are read differently by different clients (RFC 9112, sections 2.2 and 5.2).
        if head.count(b"\r\n") != head.count(b"\n") or _FOLDED.search(head):
            raise _Fault("the head of the server's answer has a bare line feed or a folded line")
        assert self._parser is not None
        self._parser.receive_data(head)
        event = self._parser.next_event()
        if isinstance(event, h11.InformationalResponse):
            self._take_interim(event)
        elif isinstance(event, h11.Response):
            self._take_head(event, self._parser)
        else:
            raise _Fault("the server's answer is not correct HTTP")
        return True

    def _take_interim(self, event: h11.InformationalResponse) -> None:
        if event.status_code == 101:
            self._answer = Answer(101, Headers(_lowered(event)), b"")
            self._state = _State.SWITCHED
            self._parser = None
            return
        self._interim += 1
        if self._interim > _MAX_INTERIM:
            raise _Fault(f"the server sent more than {_MAX_INTERIM} interim answers")

    def _take_head(self, event: h11.Response, parser: h11.Connection) -> None:
        """Find out how the body ends, and what becomes of the connection."""
        headers = _lowered(event)
        old = event.http_version == b"1.0"
        if not old and event.http_version != b"1.1":
            raise _Fault(f"the server answers with HTTP/{event.http_version.decode('latin-1')}")
        lengths = [value for name, value in headers if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in headers)
        # RFC 9112, section 6.1: such framing is faulty, and the two sides of a proxy may read it differently.
        if chunked and (lengths or old):
            raise _Fault("the server's answer says in two ways, or in none that is valid, how long it is")
        self._status = event.status_code
        self._headers = headers
        if parser.their_state is h11.SWITCHED_PROTOCOL:
            self._answer = Answer(self._status, Headers(headers), b"")
            self._state = _State.SWITCHED
            self._parser = None
            return
        bodyless = self._status in (204, 304)
        self._left = int(lengths[0]) if lengths and not bodyless else 0
        self._until_eof = not (bodyless or chunked or lengths)
        self._keep_alive = not old and not self._until_eof and b"close" not in comma_tokens(headers, b"connection")
        if self._left > self._limits.max_payload:
            raise self._too_large()
        if not chunked or bodyless:
            self._parser = None
        self._inflater = None if bodyless else _inflater(headers)
        self._body = bytearray()
        self._chunks = 0
        self._state = _State.BODY

    def _read_body(self) -> bool:
        """Take what is here of the body; returns whether that is all of it."""
        if self._parser is not None:
            return self._read_chunks(self._parser)
        piece = bytes(self._input) if self._until_eof else bytes(self._input[: self._left])
        del self._input[: len(piece)]
        if not self._until_eof:
            self._left -= len(piece)
        self._keep(piece)
        return not self._until_eof and self._left == 0

    def _read_chunks(self, parser: h11.Connection) -> bool:
        limits = self._limits
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Data):
                self._keep(bytes(event.data))
                self._chunks += event.chunk_end
                if self._chunks > limits.max_chunks:
                    raise _Fault(f"the body of the server's answer has more than max_chunks={limits.max_chunks} chunks")
            elif isinstance(event, h11.EndOfMessage):
                # Trailers are dropped. What h11 has beyond them would belong to another answer.
                self._input[:0] = parser.trailing_data[0]
                return True
            else:
                # It waits for the rest of a chunk's size line or of the trailers, which have the bound of a head.
                room = limits.max_head - len(parser.trailing_data[0])
                if room <= 0:
                    raise _Fault("the chunks of the server's answer are not correct HTTP")
                piece = bytes(self._input[:room])
                if not piece:
                    return False
                del self._input[: len(piece)]
                parser.receive_data(piece)

    def _keep(self, piece: bytes) -> None:
        """Keep some of the body, inflated."""
        inflater = self._inflater
        if inflater is None:
            self._body += piece
            if len(self._body) > self._limits.max_payload:
                raise self._too_large()
            return
        while piece:
            if inflater.eof:
                raise _Fault("the server's compressed answer goes on behind its end")
            try:
                self._body += inflater.decompress(piece, min(_PIECE, self._limits.max_payload - len(self._body) + 1))
            except zlib.error:
                raise _Fault("the server's compressed answer is corrupt") from None
            if len(self._body) > self._limits.max_payload:
                raise self._too_large()
            piece = inflater.unconsumed_tail or inflater.unused_data

    def _complete(self) -> None:
        if self._inflater is not None:
            # What fills a piece exactly may have more behind it that needs no further input.
            try:
                self._flush(self._inflater)
            except _Fault as fault:
                self._fail(fault.sentence)
                return
            self._inflater = None
        self._answer = Answer(self._status, Headers(self._headers), bytes(self._body))
        self._body = bytearray()
        self._headers = []
        self._parser = None
        # What comes behind the answer was not asked for, and would be read as the next one.
        reusable = self._keep_alive and not self._eof and not self._input
        self._state = _State.IDLE if reusable else _State.ENDED
        self._input = bytearray()

    def _flush(self, inflater: zlib._Decompress) -> None:
        while not inflater.eof:
            before = len(self._body)
            try:
                self._body += inflater.decompress(b"", min(_PIECE, self._limits.max_payload - before + 1))
            except zlib.error:
                raise _Fault("the server's compressed answer is corrupt") from None
            if len(self._body) > self._limits.max_payload:
                raise self._too_large()
            if len(self._body) == before:
                # An empty body is allowed: nothing was compressed.
                if before:
                    raise _Fault("the server's compressed answer is not complete")
                return

    def _too_large(self) -> _Fault:
        return _Fault(f"the body of the server's answer has more than max_payload={self._limits.max_payload} bytes")

    def _fail(self, sentence: str) -> None:
        self.failed = sentence
        self._state = _State.ENDED
        self._input = bytearray()
        self._body = bytearray()
        self._parser = None
        self._inflater = None


def _lowered(event: h11.Response | h11.InformationalResponse) -> list[tuple[bytes, bytes]]:
    return [(bytes(name).lower(), bytes(value)) for name, value in event.headers.raw_items()]


def _inflater(headers: list[tuple[bytes, bytes]]) -> zlib._Decompress | None:
    codings = [coding for coding in comma_tokens(headers, b"content-encoding") if coding not in (b"", b"identity")]
    if not codings:
        return None
    if codings not in ([b"gzip"], [b"x-gzip"]):
        raise _Fault("the server's answer is compressed in a way that was not asked for")
    return zlib.decompressobj(_GZIP)


class _Fault(Exception):
    """The server's fault, as a sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
