"""What a session needs from its endpoint and from the connections that carry it: base classes of both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from siocore.codec.message import Outgoing
from siocore.driven import DrivenConnection, ServerEndpoint
from siocore.options import HttpCompression, ServerOptions
from siocore.overflow import SlowConsumer, policy_number
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.engineio.outbound import Outbound
    from siocore.engineio.session import Session
    from siocore.engineio.shared import SharedSession

__all__ = ["Carrier", "Headers", "SessionOwner"]

Headers = tuple[tuple[bytes, bytes], ...]


class Carrier(DrivenConnection):
    """A connection that carries a session: an HTTP request that waits for its answer, or an open WebSocket."""

    __slots__ = ()

    # An HTTP request that waits for its answer

    @property
    def request(self) -> Request:
        raise NotImplementedError

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """Answer it. ``close``: close the connection behind the answer."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """The name of the transport: a WebTransport stream does what a WebSocket does."""
        return "websocket"

    @property
    def buffered(self) -> int:
        """Bytes of answers, or of frames, that wait to be sent, here and in whoever writes to the network."""
        raise NotImplementedError

    # An open WebSocket

    @property
    def writable(self) -> bool:
        """Whether the network took all that was written before this turn."""
        raise NotImplementedError

    def write(self, frames: bytes) -> bool:
        """Send frames. False, and nothing is sent, if too much waits already."""
        raise NotImplementedError

    @property
    def deflates(self) -> bool:
        """Whether the compression of messages was agreed on."""
        return False

    def deflated(self, message: Outgoing, frames: bytes) -> bytes:
        """What to write for ``frames``, a form of ``message``. It must be written then, and nothing else before it."""
        return frames

    def pause(self) -> None:
        """Don't read for now."""
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def close_websocket(self, code: int, reason: str = "") -> None:
        """Start the close handshake."""
        raise NotImplementedError


class SessionOwner(ServerEndpoint):
    """The endpoint, as sessions see it."""

    __slots__ = ("compression_threshold", "share", "when_full")

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        limits = options.limits
        #: Bytes that a WebSocket gets at a time of messages that can still be dropped.
        self.share = min(limits.high_water, limits.max_buffered)
        #: The policy for messages that find no room.
        self.when_full = policy_number(options.slow_consumer)
        compression = options.http_compression
        #: Bytes from which on long-polling answers are compressed; infinite if they never are.
        self.compression_threshold = compression.threshold if isinstance(compression, HttpCompression) else math.inf

    def compressed(self, request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        """The answer to ``request`` in the coding that it asks for."""
        raise NotImplementedError

    def session_opened(self, session: Session) -> None:
        """The application is to hear of the session. Called once, and before anything else is told of it."""
        raise NotImplementedError

    def session_upgrades(self, session: SharedSession) -> None:
        """Call ``session.far_posts_arrived()`` once all has arrived that other servers have brought for it so far."""
        raise NotImplementedError

    def session_message(self, session: Session, data: str | bytes, start: int) -> None:
        """A message arrived: binary, or text from index ``start`` on (what is before it is the packet type)."""
        raise NotImplementedError

    def session_has_packets(self, session: Outbound) -> None:
        """A polling session has packets for a GET that is parked: flush() it at the end of the turn."""
        raise NotImplementedError

    def session_slow(self, session: Session, info: SlowConsumer) -> None:
        """More is sent to the client than it takes."""
        raise NotImplementedError

    def session_closed(self, session: Session, reason: str, detail: str) -> None:
        """The session is over for the application. Called once."""
        raise NotImplementedError

    def session_forgotten(self, session: Session) -> None:
        """Nothing more can arrive for the session. Called once, after session_closed."""
        raise NotImplementedError
