"""The plain HTTP request head, recognised without h11.

:func:`recognise_head` takes exactly what browsers and proxies send when nothing is unusual, and leaves every other head
to h11, which is the authority. What it takes, h11 takes too, with the same result; a property test holds it to that.

Source: RFC 9112, sections 3 and 5; RFC 9110, section 5.6.2 (token).
"""

from __future__ import annotations

import re

__all__ = ["CLOSE", "KEEP", "UNDECIDED", "recognise_head"]

#: What becomes of a connection behind the answer: it stays, it ends, or its headers have to be looked at.
KEEP, CLOSE, UNDECIDED = 0, 1, 2

_REQUEST_LINE = re.compile(rb"(GET|POST) (/[\x21-\x7e]*) HTTP/1\.1")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_DECISIVE = frozenset((b"content-encoding", b"expect", b"upgrade"))
_VALUE = re.compile(rb"[\t\x20-\x7e]*")


def recognise_head(head: bytes) -> tuple[str, str, list[tuple[bytes, bytes]], int, int] | None:
    """What is in a plain head, or ``None`` if it is not plain: method, target, headers (names in lower case), the
    length of the body, and what becomes of the connection, :data:`KEEP`, :data:`CLOSE` or :data:`UNDECIDED`.

    ``head`` is a whole head with the empty line that ends it. UNDECIDED: some header has to be looked at.
    """
    if type(head) is not bytes:
        raise TypeError(f"a head is bytes, not {type(head).__name__}")
    lines = head.split(b"\r\n")
    if len(lines) < 3 or lines[-1] or lines[-2]:
        return None
    request_line = _REQUEST_LINE.fullmatch(lines[0])
    if request_line is None:
        return None
    headers = []
    hosts = lengths = length = 0
    fate = KEEP
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            return None
        name, value = name.lower(), value.strip(b" \t")
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                return None
            lengths += 1
            length = int(value)
        elif name == b"transfer-encoding":
            return None
        elif name == b"connection":
            if value.lower() == b"close" and fate == KEEP:
                fate = CLOSE
            elif value.lower() != b"keep-alive":
                fate = UNDECIDED
        elif name in _DECISIVE:
            fate = UNDECIDED
        headers.append((name, value))
    if hosts != 1 or lengths > 1:
        return None
    return request_line[1].decode("ascii"), request_line[2].decode("ascii"), headers, length, fate
