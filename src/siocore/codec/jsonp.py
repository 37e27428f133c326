"""JSONP: long-polling for browsers without cross-origin requests, in Engine.IO 3 only.

A GET is made by a ``<script>`` and answered with a call of the client's function, ``___eio[0]("6:4hello");``; a POST is
a form with the payload in its field ``d``. Source: the engine.io-client 3 and engine.io 3 packages.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote_to_bytes

from siocore.errors import DecodeError

__all__ = ["decode_form", "encode_script"]

_NOT_A_DIGIT = re.compile(r"[^0-9]+")
#: More functions than any page has.
_MAX_INDEX_DIGITS = 9
_NEW_LINE = re.compile(rb"(\\)?\\n")


def encode_script(index: str, payload: bytes) -> bytes:
    """The script that hands a payload of text (UTF-8) to the function with this index.

    ``index`` comes from the peer: nothing but its digits goes into the script. All else is ASCII in a JSON string, and
    so legal JavaScript of every edition.
    """
    digits = _NOT_A_DIGIT.sub("", index)[:_MAX_INDEX_DIGITS] or "0"
    return f"___eio[{digits}]({json.dumps(payload.decode())});".encode("ascii")


def decode_form(body: bytes) -> bytes:
    """The payload of text in a submitted form. Raises DecodeError if it has any field but ``d``, or none.

    Browsers change the ends of lines in forms. So the client sends a new line as ``\\n``, and what was ``\\n`` before,
    as JSON writes a new line, as ``\\\\n``.
    """
    if not body.startswith(b"d=") or b"&" in body:
        raise DecodeError("the form has not the field d alone")
    payload = unquote_to_bytes(body[2:].replace(b"+", b" "))
    return _NEW_LINE.sub(_unescape, payload).replace(b"\\\\n", b"\\n")


def _unescape(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] else b"\n"
