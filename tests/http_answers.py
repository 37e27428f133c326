"""Answers that a client must read, and those that it must refuse, each with what it says about it."""

from __future__ import annotations

import gzip

from siocore.options import Limits

__all__ = ["BAD_ANSWERS", "CHUNKED", "GOOD_ANSWERS", "LIMITS", "OK", "SWITCH"]

LIMITS = Limits(max_payload=1_000, max_head=2_000, max_headers=20, max_chunks=10)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def squeezed(body: bytes, coding: bytes = b"gzip") -> bytes:
    packed = gzip.compress(body)
    return OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding, len(packed), packed)


#: name -> (answer, status, body, whether another request can follow).
GOOD_ANSWERS: dict[str, tuple[bytes, int, bytes, bool]] = {
    "Content-Length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "the same Content-Length twice": (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "chunked": (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", 200, b"hello", True),
    "chunked with trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", 200, b"hello", True),
    "chunked and empty": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "Connection: close": (OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", False),
    "Connection: list": (OK + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", False),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of another": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "error": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", 400, b"{}", True),
    "redirect": (b"HTTP/1.1 301 M\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n", 301, b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "status 599": (b"HTTP/1.1 599 X\r\nContent-Length: 2\r\n\r\nok", 599, b"ok", True),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "gzip": (squeezed(b"hello" * 50), 200, b"hello" * 50, True),
    "gzip, the whole of max_payload": (squeezed(b"x" * 1_000), 200, b"x" * 1_000, True),
    "gzip of nothing": (squeezed(b""), 200, b"", True),
    "gzip without a byte": (OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "x-gzip": (squeezed(b"hello", b"X-GZip"), 200, b"hello", True),
    "identity": (OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "the whole of max_payload": (OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 1_000, 200, b"x" * 1_000, True),
    "as many chunks as may be": (CHUNKED + b"1\r\na\r\n" * 10 + b"0\r\n\r\n", 200, b"a" * 10, True),
    "as many headers as may be": (
        OK + b"".join(b"a%d: b\r\n" % i for i in range(19)) + b"Content-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
}


HTTP_FAULT = "not correct HTTP"
TWO_WAYS = "two ways"


#: name -> (what is said about it, answer).
BAD_ANSWERS: dict[str, tuple[str, bytes]] = {
    "TLS alert": ("TLS: write https", b"\x15\x03\x01\x00\x02\x02\x46"),
    "TLS handshake": ("TLS: write https", b"\x16\x03\x01\x00\x02\x02\x46"),
    "SSH": ("does not answer with HTTP: S", b"SSH-2.0-OpenSSH\r\n"),
    "garbage": ("does not answer with HTTP", b"\xff\x1b[2J\x00" * 10),
    "lower-case version": ("does not answer with HTTP", b"http/1.1 200 OK\r\n\r\n"),
    "HTTP/0.9": ("does not answer with HTTP", b"<html>hello</html>"),
    "empty line first": ("does not answer with HTTP", b"\r\n" + OK + b"\r\n"),
    "HTTP/2.0": ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "HTTP/2": (HTTP_FAULT, b"HTTP/2 200 OK\r\n\r\n"),
    "101 that was not asked for": (HTTP_FAULT, SWITCH),
    "status 99": (HTTP_FAULT, b"HTTP/1.1 99 X\r\n\r\n"),
    "status 1000": (HTTP_FAULT, b"HTTP/1.1 1000 X\r\n\r\n"),
    "status 000": (HTTP_FAULT, b"HTTP/1.1 000 X\r\n\r\n"),
    "status of letters": (HTTP_FAULT, b"HTTP/1.1 abc X\r\n\r\n"),
    "status in Arabic digits": (HTTP_FAULT, "HTTP/1.1 \u0662\u0660\u0660 X\r\n\r\n".encode()),
    "Content-Length and Transfer-Encoding": (
        TWO_WAYS,
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "Transfer-Encoding and Content-Length": (
        TWO_WAYS,
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    "HTTP/1.0 with chunks": (TWO_WAYS, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two different Content-Lengths": (HTTP_FAULT, OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "list of Content-Lengths": (HTTP_FAULT, OK + b"Content-Length: 5, 6\r\n\r\nabcdef"),
    "negative Content-Length": (HTTP_FAULT, OK + b"Content-Length: -1\r\n\r\n"),
    "signed Content-Length": (HTTP_FAULT, OK + b"Content-Length: +5\r\n\r\nabcde"),
    "Content-Length with underscore": (HTTP_FAULT, OK + b"Content-Length: 1_0\r\n\r\nabcde"),
    "Content-Length in Arabic digits": (HTTP_FAULT, OK + "Content-Length: \u0665\r\n\r\nabcde".encode()),
    "Content-Length of 30 digits": (HTTP_FAULT, OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"),
    "Content-Length of 20 digits": ("max_payload=1000", OK + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n"),
    "empty Content-Length": (HTTP_FAULT, OK + b"Content-Length:\r\n\r\n"),
    "unknown transfer coding": (HTTP_FAULT, OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    "two transfer codings": (
        HTTP_FAULT,
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "folded header": ("folded line", OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    "folded first header": ("folded line", OK + b" X: a\r\n\r\n"),
    "bare line feeds": ("bare line feed", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    "one bare line feed": ("bare line feed", OK + b"X: a\nContent-Length: 0\r\n\r\n"),
    "carriage return in a value": (HTTP_FAULT, OK + b"X: a\rTransfer-Encoding: chunked\r\n\r\n"),
    "NUL in a value": (HTTP_FAULT, OK + b"X: a\x00b\r\n\r\n"),
    "space in front of the colon": (HTTP_FAULT, OK + b"Content-Length : 5\r\n\r\nabcde"),
    "header without a name": (HTTP_FAULT, OK + b": a\r\n\r\n"),
    "header without a colon": (HTTP_FAULT, OK + b"abc\r\n\r\n"),
    "non-ASCII header name": (HTTP_FAULT, OK + b"X\xff: a\r\n\r\n"),
    "one header too many": ("max_headers=20", OK + b"".join(b"a%d:\r\n" % i for i in range(21)) + b"\r\n"),
    "2,000 headers in little room": ("max_head=2000", OK + b"".join(b"a%d:\r\n" % i for i in range(2_000)) + b"\r\n"),
    "endless line": ("max_head=2000", b"HTTP/1.1 200 " + b"a" * 10_000),
    "endless header": ("max_head=2000", OK + b"X: " + b"a" * 10_000),
    "interim answers without end": ("interim", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "Content-Length of a byte too many": ("max_payload=1000", OK + b"Content-Length: 1001\r\n\r\n"),
    "body without end": ("max_payload=1000", OK + b"\r\n" + b"x" * 1_001),
    "chunks of a byte too many": ("max_payload=1000", CHUNKED + b"3e9\r\n" + b"x" * 1_001 + b"\r\n0\r\n\r\n"),
    "one chunk too many": ("max_chunks=10", CHUNKED + b"1\r\na\r\n" * 11),
    "chunk length without end": (HTTP_FAULT, CHUNKED + b"1" * 10_000),
    "chunk length of 30 digits": (HTTP_FAULT, CHUNKED + b"f" * 30 + b"\r\n"),
    "chunk extension without end": (HTTP_FAULT, CHUNKED + b"1;" + b"x" * 10_000),
    "trailers without end": (HTTP_FAULT, CHUNKED + b"0\r\n" + b"X: y\r\n" * 2_000),
    "negative chunk": (HTTP_FAULT, CHUNKED + b"-1\r\n"),
    "chunk length with underscore": (HTTP_FAULT, CHUNKED + b"1_0\r\n"),
    "chunk that is longer than it says": (HTTP_FAULT, CHUNKED + b"3\r\nxxx__1a\r\n"),
    "chunk with half an end": (HTTP_FAULT, CHUNKED + b"3\r\nxxx\r_1a\r\n"),
    "chunk with the other half": (HTTP_FAULT, CHUNKED + b"3\r\nxxx_\n1a\r\n"),
    "chunk that hides another": (HTTP_FAULT, CHUNKED + b"5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\n"),
    "line feed in a chunk extension": (HTTP_FAULT, CHUNKED + b"2;\nxx\r\nab\r\n0\r\n\r\n"),
    "unknown content coding": ("was not asked for", OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"),
    "two content codings": ("was not asked for", OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\nx"),
    "gzip that is none": ("corrupt", OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    "gzip that is cut": (
        "not complete",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 40\r\n\r\n" + gzip.compress(bytes(range(100)))[:40],
    ),
    "gzip with a wrong sum": (
        "corrupt",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 25\r\n\r\n" + gzip.compress(b"hello")[:-8] + bytes(8),
    ),
    "something behind gzip": (
        "behind its end",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 26\r\n\r\n" + gzip.compress(b"hello") + b"x",
    ),
    "gzip of a byte too many": ("max_payload=1000", squeezed(b"x" * 1_001)),
    "gzip bomb": ("max_payload=1000", squeezed(bytes(900_000))),
}
