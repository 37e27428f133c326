"""Long-polling, from the client's side: one GET and one POST at a time, each on a connection that is used again.

Source: the Engine.IO protocol, "HTTP long-polling".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.codec.message import Outgoing
from siocore.engineio.client_handshake import TransportSettings, read_refusal, speaks_revision3
from siocore.engineio.client_interfaces import ClientCarrier, HeaderList
from siocore.request import Headers
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.engineio.client_session import ClientSession

__all__ = ["Polling"]

#: A connection that has rested for so many seconds is not used again: the server may be about to close it, and what
#: was lost with its connection can't be repeated. A POST may have been read; a GET may have been answered with
#: packets, which are on no other connection then. Node.js closes after 5.
_STALE = 3.0


class Polling:
    """The requests of one session. It tells the session what they bring."""

    __slots__ = ("_get", "_post", "_session", "_settings", "posted")

    def __init__(self, session: ClientSession, settings: TransportSettings) -> None:
        self._session = session
        self._settings = settings
        self._get = _Lane(session, "GET")
        self._post = _Lane(session, "POST")
        #: Bytes of the POST under way.
        self.posted = 0

    @property
    def polling(self) -> bool:
        """Whether a GET is under way."""
        return self._get.busy

    @property
    def posting(self) -> bool:
        """Whether a POST is under way."""
        return self._post.busy

    def poll(self) -> None:
        """Make a GET."""
        self._get.start(self._target(), self._headers(), b"")

    def post(self, outbox: list[Outgoing]) -> int:
        """Make a POST of the first packets in ``outbox``; returns how many."""
        session = self._session
        body, kind, count = session.wire.take_body(outbox, session.max_payload)
        self.posted = len(body)
        self._post.start(self._target(), [*self._headers(), (b"Content-Type", kind)], body)
        return count

    def answered(self, carrier: ClientCarrier, status: int, headers: Headers, body: bytes) -> None:
        """An answer has arrived."""
        session = self._session
        lane = self._get if carrier is self._get.carrier else self._post
        if carrier is not lane.carrier or not lane.busy:
            return
        lane.finish()
        opening = session.sid == ""
        if status != 200:
            request = "the handshake" if opening else lane.method
            session.refused(read_refusal(status, headers, body, request))
        elif lane is self._post:
            self.posted = 0
            session.posted()
        elif opening and session.wire.revision == 4 and speaks_revision3(body):
            session.refused_revision()
        else:
            session.polled(*session.wire.read_payload(headers, body))

    def lost(self, carrier: ClientCarrier, detail: str) -> None:
        """A connection is gone."""
        lane = self._get if carrier is self._get.carrier else self._post
        if carrier is not lane.carrier:
            return
        busy = lane.busy
        lane.drop()
        if busy:
            self._session.polling_lost(detail)

    def late(self, kind: int) -> None:
        """The timer of a request has passed."""
        lane = self._get if kind == self._get.kind else self._post
        timeout = self._session.options.request_timeout
        self._session.polling_lost(f"the server has not answered {lane.method} within {timeout:g} s")

    def close(self) -> None:
        """End what is under way."""
        self._get.close()
        self._post.close()

    def _target(self) -> str:
        session = self._session
        return self._settings.request_target(session.wire.revision, session.sid, session.next_timestamp())

    def _headers(self) -> HeaderList:
        return self._session.with_cookies(self._settings.headers)


class _Lane:
    """Requests of one method, one after the other."""

    __slots__ = ("_session", "_timer", "busy", "carrier", "kind", "method", "rests_since")

    def __init__(self, session: ClientSession, method: str) -> None:
        self.method = method
        #: Of its timer, for the session.
        self.kind = session.GET_TIMER if method == "GET" else session.POST_TIMER
        self.carrier: ClientCarrier | None = None
        self.busy = False
        self.rests_since = 0.0
        self._session = session
        self._timer: Timer | None = None

    def start(self, target: str, headers: HeaderList, body: bytes) -> None:
        session = self._session
        now = session.owner.now
        carrier = self.carrier
        if carrier is not None and (not carrier.reusable or now - self.rests_since > _STALE):
            carrier.close()
            carrier = None
        if carrier is None:
            carrier = self.carrier = session.owner.new_carrier(session, session.target)
        self.busy = True
        carrier.request(self.method, target, headers, body)
        timeout = session.options.request_timeout
        if timeout is not None:
            self._timer = session.owner.timers.arm(now + timeout, session, self.kind)

    def finish(self) -> None:
        self.busy = False
        self.rests_since = self._session.owner.now
        self._cancel()

    def drop(self) -> None:
        self.carrier = None
        self.busy = False
        self._cancel()

    def close(self) -> None:
        carrier, busy = self.carrier, self.busy
        self.drop()
        if carrier is not None:
            if busy:
                carrier.abort()
            else:
                carrier.close()

    def _cancel(self) -> None:
        self._session.owner.timers.cancel(self._timer)
        self._timer = None
