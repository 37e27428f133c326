"""Files that the server answers from memory: the browser bundle, the demo's page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from siocore.engineio.interfaces import Headers
from siocore.http.compression import CODINGS, choose_coding, compress
from siocore.options import HttpCompression

if TYPE_CHECKING:
    from siocore.endpoint.interfaces import ServerConnection

__all__ = ["VARY", "Answerable", "Resource", "StaticResource"]

VARY = (b"vary", b"Accept-Encoding")
_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")


class Answerable(Protocol):
    """Something that answers requests for one path."""

    def answer(self, connection: ServerConnection) -> None: ...


class Resource:
    """A file with its type, answered with a strong ETag so that browsers ask again and get 304.

    Each coding that somebody asks for is made once and kept, and has an ETag of its own, since its bytes are others
    (RFC 9110, section 8.8.3). Without ``compression`` there is the plain form alone.
    """

    __slots__ = ("_codings", "_compression", "_content_type", "_forms")

    def __init__(
        self, content_type: str, compression: HttpCompression | bool, codings: Sequence[str] = CODINGS
    ) -> None:
        self._content_type = content_type.encode("ascii")
        self._compression = compression if isinstance(compression, HttpCompression) else None
        self._codings = codings
        self._forms: dict[str | None, _Form] = {}

    def read(self, coding: str | None) -> bytes | None:
        """The file, with ``coding`` None, or a form of it that was coded before; ``None`` if there is none.

        Called once for each.
        """
        raise NotImplementedError

    def answer(self, connection: ServerConnection) -> None:
        """Answer the request under way on ``connection``, which is not OPTIONS."""
        request = connection.request
        if request.method not in ("GET", "HEAD"):
            connection.respond(405, (_ALLOW, (b"content-type", b"text/plain")), b"Method Not Allowed")
            return
        form = self._form(None if self._compression is None else choose_coding(request, self._codings))
        if form.matches(request.headers.get("if-none-match", "")):
            connection.respond(304, form.unchanged)
        else:
            connection.respond(200, form.headers, form.body)

    def _form(self, coding: str | None) -> _Form:
        form = self._forms.get(coding)
        if form is None:
            form = self._forms[coding] = self._make(coding)
        return form

    def _make(self, coding: str | None) -> _Form:
        headers: Headers = ((b"content-type", self._content_type), (b"cache-control", b"public, max-age=0"))
        if self._compression is not None:
            headers += (VARY,)
        body = self.read(coding)
        if coding is None:
            assert body is not None
            return _Form(body, headers)
        if body is None:
            plain = self._form(None)
            assert self._compression is not None
            if len(plain.body) < self._compression.threshold:
                return plain
            body = compress(plain.body, coding, self._compression.level)
            if len(body) >= len(plain.body):
                # A picture, or something else that is compressed already.
                return plain
        return _Form(body, (*headers, (b"content-encoding", coding.encode("ascii"))))


class StaticResource(Resource):
    """A resource whose bytes are at hand."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes, content_type: str, compression: HttpCompression | bool) -> None:
        super().__init__(content_type, compression)
        self._body = body

    def read(self, coding: str | None) -> bytes | None:
        return self._body if coding is None else None


class _Form:
    """The bytes of one coding, and the headers that go with them."""

    __slots__ = ("body", "etag", "headers", "unchanged")

    def __init__(self, body: bytes, headers: Headers) -> None:
        self.body = body
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self.headers: Headers = (*headers, (b"etag", self.etag.encode("ascii")))
        #: Those of a 304, which describes no content (RFC 9110, section 15.4.5).
        self.unchanged: Headers = tuple(pair for pair in self.headers if not pair[0].startswith(b"content-"))

    def matches(self, condition: str) -> bool:
        # RFC 9110, section 13.1.2: If-None-Match compares weakly.
        tags = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
        return self.etag in tags or "*" in tags
