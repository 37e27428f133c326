"""What a connection needs from its endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.engineio.interfaces import Headers, SessionOwner
from siocore.options import ServerOptions
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.endpoint.connection import Connection

__all__ = ["ConnectionOwner"]


class ConnectionOwner(SessionOwner):
    """The endpoint, as its connections see it."""

    __slots__ = ("max_buffered", "stopping")

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        #: Limits.max_buffered, at hand for every write.
        self.max_buffered = options.limits.max_buffered
        #: Answers are the last of their connections.
        self.stopping = False

    def connection_ended(self, connection: Connection) -> None:
        """Called once, when the connection is gone."""
        raise NotImplementedError

    def request_received(self, connection: Connection, request: Request, upgrade: bool) -> None:
        """The head of a request arrived on ``connection``."""
        raise NotImplementedError

    def response_headers(self, request: Request, headers: Headers) -> Headers:
        """The headers of an answer: those given, and those that the request makes necessary."""
        raise NotImplementedError
