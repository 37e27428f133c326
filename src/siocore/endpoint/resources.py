"""Files that the server answers from memory: the browser bundle, the demo's page."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from siocore.endpoint.interfaces import ServerConnection

__all__ = ["Answerable", "Resource"]

_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")


class Answerable(Protocol):
    """Something that answers requests for one path."""

    def answer(self, connection: ServerConnection) -> None: ...


class Resource:
    """A body with its type, answered with a strong ETag so that browsers ask again and get 304."""

    __slots__ = ("body", "etag", "headers")

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self.headers = (
            (b"content-type", content_type.encode("ascii")),
            (b"cache-control", b"public, max-age=0"),
            (b"etag", self.etag.encode("ascii")),
        )

    def answer(self, connection: ServerConnection) -> None:
        """Answer the request under way on ``connection``."""
        request = connection.request
        if request.method == "OPTIONS":
            connection.respond(204, (_ALLOW,))
        elif request.method not in ("GET", "HEAD"):
            connection.respond(405, (_ALLOW, (b"content-type", b"text/plain")), b"Method Not Allowed")
        elif self._matches(request.headers.get("if-none-match", "")):
            connection.respond(304, self.headers)
        else:
            connection.respond(200, self.headers, self.body)

    def _matches(self, condition: str) -> bool:
        # RFC 9110, section 13.1.2: If-None-Match compares weakly.
        tags = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
        return self.etag in tags or "*" in tags
