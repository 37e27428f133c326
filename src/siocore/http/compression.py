"""Compression of HTTP answers: which coding a client takes, and the coded bytes (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from siocore.http.handshake import comma_tokens
from siocore.request import Request

__all__ = ["CODINGS", "choose_coding", "compress"]

#: What can be made here, best first.
CODINGS = ("gzip", "deflate")

# Window bits as zlib takes them: plus 16 asks for the header and the trailer of gzip. "deflate" is the zlib format.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
# Less than zlib's own default of 8: for one message, allocating more takes longer than compressing, and saves no byte.
_MEMORY_LEVEL = 5
_ELEMENT = re.compile(rb"([!#$%&'*+\-.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_ALIASES = {b"x-gzip": b"gzip"}


def choose_coding(request: Request, available: Sequence[str] = CODINGS) -> str | None:
    """The coding for the answer, one of ``available`` (best first); ``None`` if it is to go out as it is.

    The client's weights decide, and where they are equal the order of ``available``. Elements of Accept-Encoding that
    are not well-formed are ignored. Who forbids ``identity`` and accepts nothing that there is gets ``identity``: an
    answer is worth more than a 406.
    """
    weights: dict[bytes, float] = {}
    for element in comma_tokens(request.raw_headers(), b"accept-encoding"):
        match = _ELEMENT.fullmatch(element)
        if match is not None:
            name = match[1]
            weights[_ALIASES.get(name, name)] = 1.0 if match[2] is None else float(match[2])
    others = weights.get(b"*", 0.0)
    # Without a word about it, the plain form is acceptable, but less so than any coding that is.
    least = weights.get(b"identity", others)
    chosen = None
    for coding in available:
        weight = weights.get(coding.encode("ascii"), others)
        if weight > 0 and (weight > least or (weight == least and chosen is None)):
            chosen = coding
            least = weight
    return chosen


def compress(body: bytes, coding: str, level: int) -> bytes:
    """``body`` in one of :data:`CODINGS`; the same bytes for the same body, without a date."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, _WINDOW_BITS[coding], _MEMORY_LEVEL)
    return compressor.compress(body) + compressor.flush()
