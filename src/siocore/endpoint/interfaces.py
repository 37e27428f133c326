"""What connections and their endpoint need of each other: base classes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from siocore.engineio.interfaces import Carrier, Headers, SessionOwner
from siocore.http.deflate import Negotiator
from siocore.options import PerMessageDeflate, ServerOptions
from siocore.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from siocore.endpoint.exchange import Exchange
    from siocore.engineio.session import Session

__all__ = ["BodyReader", "ConnectionOwner", "Pending", "ServerConnection", "StrayHandler"]


class BodyReader(Protocol):
    """Whoever wants the body of the request under way."""

    def __call__(self, connection: ServerConnection, body: bytes) -> None: ...


class Pending(Protocol):
    """A request that waits until it is decided what becomes of it."""

    def drop(self) -> ServerConnection | None:
        """Nothing is waited for any more. Returns the connection that waited."""


class StrayHandler(Protocol):
    """Whoever takes requests for sessions that are not here: they may be another server's."""

    def claim(self, connection: ServerConnection, request: Request, upgrade: bool) -> bool:
        """The head of a request arrived, which names a session that this endpoint does not have.

        True: the handler sees to it that it is answered. False: it is refused.
        """


class ServerConnection(Carrier):
    """A connection, as the endpoint sees it, whoever parses its HTTP.

    Once ``request_received`` was called for a request, the endpoint answers it, or says what is to become of its body,
    or accepts or rejects the upgrade that it asks for.
    """

    __slots__ = ()

    def expect_body(self, reader: BodyReader) -> None:
        """The body of the request under way is wanted."""
        raise NotImplementedError

    def expect_poll(self, session: Session) -> None:
        """The request under way is a GET of this session. It waits here from the end of its (empty) body on."""
        raise NotImplementedError

    def expect_post(self, session: Session) -> None:
        """The request under way is a POST of this session, which wants its body."""
        raise NotImplementedError

    def accept_websocket(self, session: Session, headers: Headers = ()) -> bool:
        """Answer 101 with ``headers`` to the request under way. False if its handshake is wrong (it was answered 400).

        It may be called long after the request arrived. What the client sends meanwhile is kept, within bounds.
        """
        raise NotImplementedError

    def receive_trailing(self) -> None:
        """Read what came behind the request for the upgrade, now that the session knows its WebSocket."""
        raise NotImplementedError

    def hand_to(self, session: Session) -> None:
        """The open WebSocket is this session's from now on."""
        raise NotImplementedError

    def reject_upgrade(self, message: str) -> None:
        """Answer a request for an upgrade with a plain 400, before any 101."""
        raise NotImplementedError

    def host(self) -> Exchange:
        """Let the hosted application answer the request under way, piece by piece."""
        raise NotImplementedError

    def close_if_idle(self) -> None:
        """The server stops: an idle connection ends now, a busy one after its answer."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop everything."""
        raise NotImplementedError


class ConnectionOwner(SessionOwner):
    """The endpoint, as its connections see it."""

    __slots__ = ("deflate", "hosting", "max_buffered", "stopping")

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        #: Limits.max_buffered, at hand for every write.
        self.max_buffered = options.limits.max_buffered
        #: Answers requests for paths that are not the endpoint's own, if anybody does.
        self.hosting: Callable[[Exchange], Coroutine[Any, Any, None]] | None = None
        deflate = options.per_message_deflate
        #: Negotiates compression with each WebSocket, if that is on.
        self.deflate = (
            Negotiator(deflate, options.limits.max_payload) if isinstance(deflate, PerMessageDeflate) else None
        )
        #: Answers are the last of their connections.
        self.stopping = False

    def connection_ended(self, connection: ServerConnection) -> None:
        """Called once, when the connection is gone."""
        raise NotImplementedError

    def request_received(self, connection: ServerConnection, request: Request, upgrade: bool) -> None:
        """The head of a request arrived on ``connection``."""
        raise NotImplementedError

    def hosts(self, request: Request) -> bool:
        """Whether this request is for ``hosting``."""
        raise NotImplementedError

    def response_headers(self, request: Request, headers: Headers) -> Headers:
        """The headers of an answer: those given, and those that the request makes necessary."""
        raise NotImplementedError
