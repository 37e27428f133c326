"""How answers are written (RFC 9112, sections 4, 5, 6 and 7): heads, and bodies that are known piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from siocore.errors import LocalProtocolError

__all__ = ["StreamedAnswer", "beginning", "header_lines", "status_line"]

Headers = Sequence[tuple[bytes, bytes]]

_HEADER_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 5.5: no control characters but the tab.
_HEADER_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_OUR_HEADERS = {b"content-length", b"transfer-encoding", b"connection"}
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}
#: Beginnings of answers, up to the headers that differ from answer to answer.
_beginnings: dict[tuple[int, Headers], bytes] = {}
_MAX_BEGINNINGS = 256
_BODYLESS = frozenset((204, 205, 304))


def beginning(status: int, headers: Headers) -> bytes:
    """The status line and the given headers."""
    # Tuples are constants of those who answer, with few exceptions: a bounded memory of them does.
    known = _beginnings.get((status, headers)) if type(headers) is tuple else None
    if known is not None:
        return known
    made = b"".join([status_line(status), *header_lines(headers)])
    if type(headers) is tuple:
        if len(_beginnings) >= _MAX_BEGINNINGS:
            _beginnings.clear()
        _beginnings[status, headers] = made
    return made


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def header_lines(headers: Headers) -> list[bytes]:
    """Headers as lines. Raises :exc:`LocalProtocolError` for what can't be sent, and for those that are made here."""
    lines = []
    for name, value in headers:
        if _HEADER_NAME.fullmatch(name) is None or name.lower() in _OUR_HEADERS:
            raise LocalProtocolError(f"header name {name!r} can't be sent")
        if _HEADER_VALUE.fullmatch(value) is None:
            raise LocalProtocolError(f"the value of header {name!r} has characters that can't be sent")
        lines.append(b"%s: %s\r\n" % (name, value))
    return lines


class StreamedAnswer:
    """The framing of one answer whose body comes in pieces.

    A body whose length is declared, or that is known with its first piece, is sent as it is; another is chunked, or
    ends with the connection where the request was HTTP/1.0. ``Transfer-Encoding`` among ``headers`` is ignored, and of
    ``Connection`` only ``close`` is heeded. Answers to ``HEAD`` and those with status 204, 205 or 304 have no body.

    Raises :exc:`LocalProtocolError` if this is not a correct answer.
    """

    __slots__ = ("_chunked", "_declared", "_left", "_lines", "_method", "_old", "_status", "begun", "closes")

    def __init__(
        self, method: str, old: bool, status: int, headers: Iterable[tuple[bytes, bytes]], date: bytes = b""
    ) -> None:
        if not 200 <= status <= 599:
            raise LocalProtocolError(f"status {status} can't be an answer")
        self._method = method
        self._old = old
        self._status = status
        #: The connection is to be closed behind this answer.
        self.closes = False
        #: The head has been made.
        self.begun = False
        self._chunked = False
        self._declared: int | None = None
        # Bytes that are missing of a body whose length was declared.
        self._left = 0
        plain = []
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-length":
                self._declare(value)
            elif lower == b"connection":
                self.closes = self.closes or b"close" in [token.strip(b" \t") for token in value.lower().split(b",")]
            elif lower != b"transfer-encoding":
                plain.append((name, value))
                if lower == b"date":
                    date = b""
        self._lines = header_lines(plain)
        if date:
            self._lines.append(b"date: %b\r\n" % date)

    def begin(self, data: bytes, more: bool, last: bool) -> bytes:
        """The head and the first piece. ``last``: the connection ends behind the answer."""
        self.begun = True
        bodyless = self._status in _BODYLESS
        if data and bodyless:
            raise LocalProtocolError(f"an answer with status {self._status} has no body")
        parts = [status_line(self._status), *self._lines]
        if bodyless or self._method == "HEAD":
            if self._status == 205:
                parts.append(b"Content-Length: 0\r\n")
            elif self._declared is not None and self._status != 204:
                parts.append(b"Content-Length: %d\r\n" % self._declared)
        else:
            if self._declared is None and not more:
                self._declared = len(data)
            if self._declared is not None:
                parts.append(b"Content-Length: %d\r\n" % self._declared)
                self._left = self._declared
            elif self._old:
                self.closes = True
            else:
                parts.append(b"Transfer-Encoding: chunked\r\n")
                self._chunked = True
        self.closes = self.closes or last
        parts.append(b"Connection: close\r\n\r\n" if self.closes else b"\r\n")
        parts.append(self.piece(data, more))
        return b"".join(parts)

    def piece(self, data: bytes, more: bool) -> bytes:
        """A piece of the body; ``more`` says that it is not the last one."""
        if self._method == "HEAD":
            return b""
        if self._chunked:
            if not more:
                return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self._declared is not None and self._status not in _BODYLESS:
            self._left -= len(data)
            if self._left < 0:
                raise LocalProtocolError("the body is longer than its Content-Length")
            if self._left and not more:
                raise LocalProtocolError("the body is shorter than its Content-Length")
        elif data and self._status in _BODYLESS:
            raise LocalProtocolError(f"an answer with status {self._status} has no body")
        return data

    def _declare(self, value: bytes) -> None:
        if _LENGTH.fullmatch(value) is None or (self._declared is not None and self._declared != int(value)):
            raise LocalProtocolError(f"Content-Length {value!r} is not a length")
        self._declared = int(value)
