"""The headers by which a browser lets a page of another origin use our answers (the Fetch standard, "CORS protocol").

Whether the page is let in at all is decided before, for both transports.
"""

from __future__ import annotations

import re

from siocore.browsers import Cors
from siocore.request import Request

__all__ = ["answer_headers", "preflight_headers"]

Headers = tuple[tuple[bytes, bytes], ...]

_VARY: Headers = ((b"vary", b"Origin"),)
_STAR: Headers = ((b"access-control-allow-origin", b"*"),)
_CREDENTIALS: Headers = ((b"access-control-allow-credentials", b"true"),)
# A list of tokens (RFC 9110, section 5.6.1). A page asks for a handful; what is longer is not sent back.
_TOKENS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")
_MAX_ASKED = 1_024


def answer_headers(cors: Cors, origin: bytes | None) -> Headers:
    """For any answer. ``origin`` is the request's if it is let in; ``None`` if it has none or is not let in."""
    vary = () if cors.every else _VARY
    return vary if origin is None else _allowed(cors, origin) + _exposed(cors) + vary


def preflight_headers(cors: Cors, request: Request) -> Headers:
    """For the answer to OPTIONS, in addition to :func:`answer_headers`. Only for an origin that is let in."""
    headers: Headers = ((b"access-control-allow-methods", ",".join(cors.methods).encode("ascii")),)
    if cors.allowed_headers is None:
        headers += ((b"vary", b"Access-Control-Request-Headers"),)
        asked = b",".join(request.header_values(b"access-control-request-headers"))
        if len(asked) <= _MAX_ASKED and _TOKENS.fullmatch(asked) is not None:
            headers += ((b"access-control-allow-headers", asked),)
    elif cors.allowed_headers:
        headers += ((b"access-control-allow-headers", ",".join(cors.allowed_headers).encode("ascii")),)
    if cors.max_age is not None:
        headers += ((b"access-control-max-age", b"%d" % cors.max_age),)
    return headers


def _allowed(cors: Cors, origin: bytes) -> Headers:
    if cors.every:
        return _STAR
    allowed: Headers = ((b"access-control-allow-origin", origin),)
    return allowed + _CREDENTIALS if cors.credentials else allowed


def _exposed(cors: Cors) -> Headers:
    if not cors.exposed_headers:
        return ()
    return ((b"access-control-expose-headers", ",".join(cors.exposed_headers).encode("ascii")),)
