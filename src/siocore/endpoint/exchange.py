"""One HTTP request that a hosted application answers: its body and its answer come and go in pieces."""

# Theory of operation
# -------------------
# Nothing is pushed. Pieces of the body are taken with `read` when somebody wants them, and wait in the peer's socket
# until then. Pieces of the answer are taken with `write`; who writes is to wait (siocore.waiting.Sent) while more than
# the high-water mark is on its way, and calls `finish` behind the last piece. Only then is the next request read. So
# memory is bounded by one read and one write, whatever the sizes of bodies.
#
#   active:  from the head of the request until `finish`, or until the connection is lost
#   gone:    nobody reads any more what is written

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from siocore.errors import LocalProtocolError
from siocore.http.connection import HttpConnection
from siocore.http.events import HttpState
from siocore.http.framing import StreamedAnswer
from siocore.request import Request
from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.endpoint.connection import Connection
    from siocore.endpoint.interfaces import ConnectionOwner

__all__ = ["Exchange"]

_BODY = HttpState.BODY
_CLOSED = HttpState.CLOSED
_PLAIN = ((b"content-type", b"text/plain; charset=utf-8"),)


class Exchange:
    """A request, and the answer to it. See :class:`siocore.waiting.Drainable` for how to wait while it is slow."""

    __slots__ = (
        "_answer",
        "_asked",
        "_body_deadline",
        "_connection",
        "_http",
        "_owner",
        "_patience",
        "_progress",
        "_read_all",
        "_received",
        "_send_deadline",
        "_waiters",
        "_written",
        "active",
        "drain_waiters",
        "gone",
        "max_body",
        "request",
    )

    def __init__(self, connection: Connection, owner: ConnectionOwner, http: HttpConnection, request: Request) -> None:
        self.request = request
        self._connection: Connection | None = connection
        self._owner = owner
        self._http = http
        self._answer: StreamedAnswer | None = None
        #: True until the answer is complete, or nobody is there to read it.
        self.active = True
        #: The peer has left, or was sent away, before the answer was complete.
        self.gone = False
        #: Bytes that the body may have; set by whoever answers.
        self.max_body: float = math.inf
        self._received = 0
        self._read_all = False
        self._waiters: list[Waiter] = []
        self.drain_waiters: list[Waiter] | None = None
        # When somebody began to wait for the body, and for how many seconds in all that may be.
        self._asked: float | None = None
        self._patience = owner.options.limits.body_timeout
        self._body_deadline = self._send_deadline = math.inf
        # Bytes of the answer that were written, and that had left when that was last looked at.
        self._written = 0
        self._progress = -math.inf

    @property
    def http_version(self) -> str:
        """``"1.0"`` or ``"1.1"``."""
        return self._http.http_version

    @property
    def transport(self) -> object:
        """What the driver keeps with the connection; ``None`` when that is gone."""
        return self._connection.transport if self._connection is not None else None

    @property
    def begun(self) -> bool:
        """Whether the head of the answer has been sent: no other answer is possible any more."""
        return self._answer is not None and self._answer.begun

    # The body of the request ----------------------------------------------------------------------------------

    def read(self) -> tuple[bytes, bool] | None:
        """A piece of the body, and whether more is to come. ``None``: wait with ``wait_for_peer``, and try again.

        A body without bytes is one piece, ``b""``. After the last piece it is always ``None``.
        """
        if self._read_all or not self.active or self._connection is None:
            return None
        http = self._http
        if http.state is not _BODY:
            self._read_all = True
            return b"", False
        if (http.declared or 0) > self.max_body:
            self._refuse_body()
            return None
        piece = http.read_piece()
        self._received += len(piece)
        if http.state is _CLOSED:
            self._sent_away()
            return None
        more = http.state is _BODY
        if not piece and more:
            self._await_body()
            self._connection.stir()
            return None
        self._body_came(len(piece))
        if self._received > self.max_body:
            self._refuse_body()
            return None
        self._read_all = not more
        self._connection.stir()
        return piece, more

    @property
    def peer_ended(self) -> bool:
        """Nothing more can come from the peer. That it reads the answer is possible, but not likely."""
        return self.gone or self._http.ended

    def wait_for_peer(self) -> Waiter:
        """A waiter that is woken when ``read`` may have more, or when the exchange is over."""
        waiter = self._owner.new_waiter()
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Whoever had this waiter waits no more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    # The answer -----------------------------------------------------------------------------------------------

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], date: bytes = b"") -> None:
        """The head of the answer; it leaves with the first piece. ``date`` is for a Date header, unless there is one.

        Raises :exc:`LocalProtocolError` if it can't be sent, or if there is one already.
        """
        if self._answer is not None:
            raise LocalProtocolError("the answer has been started already")
        old = self._http.http_version == "1.0"
        self._answer = StreamedAnswer(self.request.method, old, status, headers, date)

    def write(self, data: bytes, more: bool) -> None:
        """A piece of the answer; call ``finish`` behind the last one.

        Raises :exc:`LocalProtocolError` if the answer was not started, or does not keep to its Content-Length.
        """
        answer = self._answer
        if answer is None:
            raise LocalProtocolError("the answer must be started before its body")
        if not self.active or self._connection is None:
            return
        if answer.begun:
            framed = answer.piece(data, more)
        else:
            framed = answer.begin(data, more, self._http.is_last or self._owner.stopping)
        if framed:
            self._http.write(framed)
            self._written += len(framed)
            self._connection.stir()
            if self.buffered > self.high_water and self._send_deadline == math.inf:
                self._progress = self._accepted()
                self._send_deadline = self._owner.now + self._owner.options.limits.send_timeout
                self._arm()

    def finish(self, *, close: bool = False) -> None:
        """The answer is complete: the next request may come."""
        if not self.active or self._connection is None:
            return
        assert self._answer is not None
        self._over()
        self._progress = -math.inf
        self._http.finish(close or self._answer.closes or self._owner.stopping)
        self._connection.stir()

    def fail(self) -> None:
        """There will be no (complete) answer: it is a 500, or the end of the connection where it had begun."""
        if not self.active or self._connection is None:
            return
        if self.begun:
            self._sent_away()
        else:
            self._over()
            self._connection.respond(500, _PLAIN, b"Internal Server Error")

    # For whoever waits until it has left (siocore.waiting.Drainable)

    @property
    def open(self) -> bool:
        return self.active

    @property
    def buffered(self) -> int:
        return self._connection.buffered if self._connection is not None else 0

    @property
    def high_water(self) -> int:
        return self._owner.options.limits.high_water

    def new_waiter(self) -> Waiter:
        return self._owner.new_waiter()

    # For the connection ---------------------------------------------------------------------------------------

    def stirred(self) -> None:
        """Something may have come from the peer."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.wake()

    def drained(self) -> None:
        """The network has taken something."""
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            waiter.wake()

    def lost(self) -> None:
        """The connection is gone."""
        if self.active:
            self.gone = True
        self._over()
        self._connection = None

    def deadline_passed(self) -> None:
        """The peer was to send, or to accept, something by now."""
        now = self._owner.now
        if not self.active:
            return
        if self._asked is not None and now >= self._body_deadline:
            self._http.timed_out()
            self._sent_away()
            return
        if now >= self._send_deadline:
            if self.buffered <= self.high_water:
                self._send_deadline = math.inf
            elif self._accepted() > self._progress:
                self._progress = self._accepted()
                self._send_deadline = now + self._owner.options.limits.send_timeout
            else:
                self._sent_away(abort=True)
                return
        self._arm()

    def still_leaving(self) -> bool:
        """Whether more of the answer has been accepted since this was last asked, and there is a rest."""
        accepted, before = self._accepted(), self._progress
        self._progress = accepted
        return self.buffered > 0 and accepted > before

    # ----------------------------------------------------------------------------------------------------------

    def _accepted(self) -> int:
        return self._written - self.buffered

    def _await_body(self) -> None:
        if self._asked is None:
            self._asked = self._owner.now
            self._body_deadline = self._asked + self._patience
            self._arm()

    def _body_came(self, size: int) -> None:
        limits = self._owner.options.limits
        waited = self._owner.now - self._asked if self._asked is not None else 0.0
        self._patience = min(limits.body_timeout, self._patience - waited + size / limits.min_body_rate)
        self._asked = None
        self._body_deadline = math.inf

    def _arm(self) -> None:
        deadline = min(self._body_deadline, self._send_deadline)
        if deadline < math.inf and self._connection is not None:
            self._connection.arm_exchange(max(0.0, deadline - self._owner.now))

    def _refuse_body(self) -> None:
        connection = self._connection
        if not self.begun and connection is not None:
            self.gone = True
            self._over()
            connection.respond(413, _PLAIN, b"The body is larger than this server takes", True)
        else:
            self._sent_away()

    def _sent_away(self, *, abort: bool = False) -> None:
        """The exchange can't go on. What HTTP has to say to that leaves; an answer that had begun breaks off."""
        connection = self._connection
        self.gone = True
        self._over()
        if connection is None:
            return
        if abort or self.begun or self._http.state is not _CLOSED:
            connection.abort()
        else:
            connection.stir()

    def _over(self) -> None:
        self.active = False
        self.stirred()
        self.drained()
