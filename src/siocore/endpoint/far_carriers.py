"""What carries a session of this server at another one: a GET, a POST, or a WebSocket that arrived there.

To the session they are what a connection of this server is. What they send is published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from siocore._speedups import decode_payload, parse_unmasked_frames
from siocore.engineio.interfaces import Carrier, Headers
from siocore.engineio.shared import SharedSession
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.endpoint.shared_sessions import SharedSessions

__all__ = ["FarPoll", "FarPost", "FarWebSocket"]

#: The server there compresses what it sends.
_PLAIN = Request("GET", "/", [])
_CLOSE = "1"
_FRAME_SIZE = 1 << 62


class _Far(Carrier):
    __slots__ = ("_sharing", "_unconfirmed", "node", "session")

    def __init__(self, sharing: SharedSessions, session: SharedSession, node: str) -> None:
        super().__init__()
        self._sharing = sharing
        self.session = session
        #: The id of the server that has the request.
        self.node = node
        self._unconfirmed = 0

    @property
    def request(self) -> Request:
        return _PLAIN

    @property
    def buffered(self) -> int:
        """Bytes that are on their way to the other server."""
        return self._unconfirmed

    def _drain(self, messages: Sequence[str | bytes], size: int) -> None:
        self._unconfirmed += size

        def done(arrived: bool) -> None:
            self._unconfirmed -= size
            if arrived:
                self._confirmed()
            else:
                self.lost()

        self._sharing.drain(self.node, self.session.sid, messages, done)

    def _confirmed(self) -> None:
        return

    def lost(self) -> None:
        """The other server does not hear us, or nobody knows whether it does."""
        raise NotImplementedError


class FarPoll(_Far):
    """A GET. It is answered with what is drained."""

    __slots__ = ()

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        self._sharing.poll_answered(self)
        messages, _ = decode_payload(body)
        self._drain(messages, len(body))

    def lost(self) -> None:
        self._sharing.poll_answered(self)
        self.session.poll_lost(self)


class FarPost(_Far):
    """A POST that waits to be let in, because the handlers of this client are behind."""

    __slots__ = ("_answer",)

    def __init__(
        self, sharing: SharedSessions, session: SharedSession, node: str, answer: Callable[[bool], None]
    ) -> None:
        super().__init__(sharing, session, node)
        self._answer = answer

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        self._answer(self.session.open)


class FarWebSocket(_Far):
    """A WebSocket: a candidate until the client has upgraded there, from then on what carries the session."""

    __slots__ = ("_held", "_held_size", "adopted", "paused")

    def __init__(self, sharing: SharedSessions, session: SharedSession, node: str) -> None:
        super().__init__(sharing, session, node)
        #: Whether the client has upgraded: before that, nothing is sent here, and the other server answers probes.
        self.adopted = False
        self.paused = False
        # What arrived while the session took nothing.
        self._held: list[str | bytes] = []
        self._held_size = 0

    def received(self, message: str | bytes) -> None:
        """The client has sent this."""
        if not self.paused:
            self.session.websocket_message(self, message)
            return
        self._held.append(message)
        self._held_size += len(message)
        if self._held_size > self._sharing.endpoint.max_buffered:
            # Nothing tells the other server to read less.
            self.session.fail("transport error", "more has arrived than handlers can take", code=1008)

    @property
    def writable(self) -> bool:
        return self._unconfirmed <= self._sharing.endpoint.share

    def write(self, frames: bytes) -> bool:
        if not self.adopted:
            return True
        if self._unconfirmed > self._sharing.endpoint.max_buffered:
            return False
        messages: list[str | bytes] = []
        parse_unmasked_frames(frames, 0, _FRAME_SIZE, messages)
        self._drain(messages, len(frames))
        return True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        held, self._held = self._held, []
        self._held_size = 0
        for message in held:
            self.session.websocket_message(self, message)

    def close_websocket(self, code: int, reason: str = "") -> None:
        self._held.clear()
        self._sharing.websocket_closed(self)
        if self.adopted:
            self.adopted = False
            self._sharing.drain(self.node, self.session.sid, [_CLOSE], lambda arrived: None)

    def _confirmed(self) -> None:
        if self.session.drain_waiters is not None:
            self.session.wake_drain_waiters()

    def lost(
        self, reason: str = "transport error", detail: str = "the server that has the WebSocket is not there"
    ) -> None:
        # There is nobody who could be told to close it.
        adopted, self.adopted = self.adopted, False
        if adopted:
            self.session.fail(reason, detail)
        else:
            self.session.websocket_lost(self, reason, detail)
