"""Requests and frames that a server must refuse, each with the status or close code it gets.

Run as a program it prints what becomes of them, and of what a client must refuse, for a test that does so with
``python -O``.
"""

from __future__ import annotations

import json
import os

from client_frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, client_frame, close_payload, turned_round
from http_answers import BAD_ANSWERS
from http_answers import LIMITS as ANSWER_LIMITS
from siocore.http import BodyReceived, HttpConnection, HttpState, WebSocketConnection
from siocore.http.client import HttpClient
from siocore.http.client_websocket import ClientWebSocket
from siocore.options import Limits

__all__ = ["BAD_BODIES", "BAD_FRAMES", "BAD_REQUESTS", "LIMITS", "NO_FRAMES", "converse", "outcomes"]

LIMITS = Limits(max_payload=1_000, max_head=2_000, max_headers=20, max_chunks=10, max_fragments=4)

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"

#: name -> (status, request). The endpoint never hears of any of these.
BAD_REQUESTS: dict[str, tuple[int, bytes]] = {
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Host headers": (400, _GET + b"Host: b\r\n\r\n"),
    "Content-Length and Transfer-Encoding": (
        400,
        _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "Transfer-Encoding and Content-Length": (
        400,
        _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "two different Content-Lengths": (400, _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "list of different Content-Lengths": (400, _POST + b"Content-Length: 5, 6\r\n\r\nabcdef"),
    "negative Content-Length": (400, _POST + b"Content-Length: -1\r\n\r\n"),
    "signed Content-Length": (400, _POST + b"Content-Length: +5\r\n\r\nabcde"),
    "Content-Length with underscore": (400, _POST + b"Content-Length: 1_0\r\n\r\nabcde"),
    "Content-Length in Arabic digits": (400, _POST + "Content-Length: \u0665\r\n\r\nabcde".encode()),
    "Content-Length of 30 digits": (400, _POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"),
    "empty Content-Length": (400, _POST + b"Content-Length:\r\n\r\n"),
    "unknown transfer coding": (501, _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    "two Transfer-Encodings": (501, _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "Transfer-Encoding with a control character": (400, _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    "HTTP/1.0 with Transfer-Encoding": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "folded header": (400, _GET + b"X: a\r\n b\r\n\r\n"),
    "folded header with a tab": (400, _GET + b"X: a\r\n\tb\r\n\r\n"),
    "folded first header": (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "one bare line feed": (400, _GET + b"X: a\nY: b\r\n\r\n"),
    "bare line feed at the end": (400, _GET + b"\n"),
    "carriage return in a value": (400, _GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n"),
    "NUL in a value": (400, _GET + b"X: a\x00b\r\n\r\n"),
    "space in front of the colon": (400, _GET + b"X : a\r\n\r\n"),
    "header without a name": (400, _GET + b": a\r\n\r\n"),
    "header without a colon": (400, _GET + b"abc\r\n\r\n"),
    "non-ASCII header name": (400, _GET + b"X\xff: a\r\n\r\n"),
    "absolute-form target": (400, b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "authority-form target": (400, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "CONNECT with a path": (400, b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "asterisk-form target": (400, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target without a slash": (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "non-ASCII target": (400, b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    "space in the target": (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "lower-case version": (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    "illegal method": (400, b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "empty line first": (400, b"\r\n" + _GET + b"\r\n"),
    "space first": (400, b" " + _GET + b"\r\n"),
    "TLS handshake": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"),
    "one header too many": (431, _GET + b"".join(b"a%d:\r\n" % i for i in range(20)) + b"\r\n"),
    "2,000 headers": (431, _GET + b"".join(b"a%d:\r\n" % i for i in range(2_000)) + b"\r\n"),
    "head of a byte too many": (431, _GET + b"X: " + b"x" * (2_001 - len(_GET) - 7) + b"\r\n\r\n"),
    "endless line": (431, b"GET /" + b"a" * 10_000),
    "Content-Length of a byte too many": (413, _POST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1_001),
    "Content-Length of 20 digits": (413, _POST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "compressed body": (415, _POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde"),
    "compressed chunked body": (415, _POST + b"Content-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "second coding of the body": (
        415,
        _POST + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    "HTTP/1.0 with an upgrade": (400, b"GET / HTTP/1.0\r\nHost: a\r\n" + _UPGRADE + b"\r\n"),
    "upgrade with a body": (400, _GET + _UPGRADE + b"Content-Length: 5\r\n\r\nabcde"),
    "upgrade with a chunked body": (400, _GET + _UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
}

#: name -> (status, chunked body). The endpoint hears of the head, never of a body.
BAD_BODIES: dict[str, tuple[int, bytes]] = {
    "wrong bytes behind a chunk": (400, b"3\r\nxxx__1a\r\n"),
    "half a line end behind a chunk": (400, b"3\r\nxxx\r_1a\r\n"),
    "other half behind a chunk": (400, b"3\r\nxxx_\n1a\r\n"),
    "chunk longer than it says": (400, b"5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\n"),
    "no size": (400, b"\r\nabc"),
    "size that is no number": (400, b"xyz\r\n"),
    "negative size": (400, b"-1\r\n"),
    "size with prefix": (400, b"0x5\r\nabcde\r\n"),
    "size with underscore": (400, b"1_0\r\n"),
    "line feed in an extension": (400, b"5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    "endless size": (400, b"0" * 5_000),
    "endless extension": (400, b"5;" + b"a" * 5_000),
    "endless trailers": (400, b"0\r\n" + b"a: b\r\n" * 1_000),
    "illegal trailer": (400, b"0\r\na b: c\r\n\r\n"),
    "chunk of a byte too many": (413, b"3e9\r\n" + b"x" * 1_001),
    "chunks of a byte too many": (413, b"3e8\r\n" + b"x" * 1_000 + b"\r\n1\r\nx"),
    "endless chunk": (413, b"ffffffffffffffff\r\n" + b"x" * 5_000),
    "one chunk too many": (400, b"1\r\nx\r\n" * 11),
}

#: name -> (close code, frames).
BAD_FRAMES: dict[str, tuple[int, bytes]] = {
    "reserved bit 1": (1002, client_frame(TEXT, b"a", rsv=4)),
    "reserved bit 2": (1002, client_frame(BINARY, b"a", rsv=2)),
    "reserved bit 3 in a ping": (1002, client_frame(PING, b"a", rsv=1)),
    "opcode 3": (1002, client_frame(0x3, b"a")),
    "opcode 7": (1002, client_frame(0x7)),
    "opcode 0xB": (1002, client_frame(0xB, b"a")),
    "opcode 0xF": (1002, client_frame(0xF)),
    "unmasked text": (1002, client_frame(TEXT, b"a", key=None)),
    "unmasked long text": (1002, client_frame(TEXT, b"a" * 200, key=None)),
    "unmasked ping": (1002, client_frame(PING, key=None)),
    "fragmented ping": (1002, client_frame(PING, b"a", fin=False)),
    "fragmented close": (1002, client_frame(CLOSE, fin=False)),
    "ping of 126 bytes": (1002, client_frame(PING, b"a" * 126)),
    "close of 126 bytes": (1002, client_frame(CLOSE, close_payload(1000, b"a" * 124))),
    "close of one byte": (1002, client_frame(CLOSE, b"\x03")),
    "close with code 1005": (1002, client_frame(CLOSE, close_payload(1005))),
    "close with code 2999": (1002, client_frame(CLOSE, close_payload(2999))),
    "close with bad reason": (1007, client_frame(CLOSE, close_payload(1000, b"\xff"))),
    "two bytes of length for 125": (1002, client_frame(TEXT, b"a" * 125, width=2)),
    "eight bytes of length for 1": (1002, client_frame(BINARY, b"a", width=8)),
    "eight bytes of length for 65535": (1002, client_frame(BINARY, b"a", width=8, declared=0xFFFF)),
    "length of 2**63": (1002, client_frame(BINARY, b"a", declared=1 << 63)),
    "length of 2**64 - 1": (1002, client_frame(BINARY, b"a", declared=(1 << 64) - 1)),
    "continuation of nothing": (1002, client_frame(CONTINUATION, b"a")),
    "empty continuation of nothing": (1002, client_frame(CONTINUATION)),
    "text inside a fragmented message": (1002, client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"abc")),
    "binary inside a fragmented message": (
        1002,
        client_frame(TEXT, b"a", fin=False) + client_frame(BINARY, b"a", fin=False),
    ),
    "TLS handshake": (1002, b"\x16\x03\x01\x02\x00\x01\x00"),
    "text": (1002, b"test"),
    "ping that is fragmented and reserved": (1002, b"\xb1\x80\0\0\0\0"),
    "bad UTF-8": (1007, client_frame(TEXT, b"\xc0\x80")),
    "bad UTF-8 in fragments": (1007, client_frame(TEXT, b"\xed", fin=False) + client_frame(CONTINUATION, b"\xa0\x80")),
    "message too big": (1009, client_frame(BINARY, b"x" * 1_001)),
    "length of 2**62": (1009, client_frame(BINARY, declared=1 << 62)),
    "fragments too big": (
        1009,
        client_frame(BINARY, b"x" * 600, fin=False) + client_frame(CONTINUATION, b"x" * 401),
    ),
    "too many fragments": (1008, client_frame(TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 4),
}


#: Those of BAD_FRAMES that are bytes of something else.
NO_FRAMES = ("TLS handshake", "text")


def converse(connection: HttpConnection, pieces: list[bytes]) -> tuple[list[tuple[object, ...]], bytes]:
    """Feed the pieces and answer each complete request with its body; returns what was reported, and the output."""
    reported: list[tuple[object, ...]] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            if isinstance(event, BodyReceived):
                reported.append((event.body,))
                connection.respond(200, [(b"X-Index", b"%d" % len(reported))], event.body)
            else:
                request = event.request
                reported.append((request.method, request.target, request.headers.raw, event.upgrade))
    output = b"".join(connection.output)
    connection.output.clear()
    return reported, output


def outcomes() -> dict[str, list[object]]:
    """What becomes of each input, fed whole and byte by byte."""
    results: dict[str, list[object]] = {}
    requests = {name: request for name, (_, request) in BAD_REQUESTS.items()}
    head = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
    requests |= {f"body: {name}": head + body for name, (_, body) in BAD_BODIES.items()}
    for name, stream in requests.items():
        for how, pieces in _cuts(stream):
            http = HttpConnection(LIMITS)
            reported, output = converse(http, pieces)
            status = int(output[9:12]) if output.startswith(b"HTTP/1.1 ") else 0
            results[f"{name}, {how}"] = [status, len(reported), http.state is HttpState.CLOSED and http.closing]
    for name, (_, stream) in BAD_FRAMES.items():
        for how, pieces in _cuts(stream):
            websocket = WebSocketConnection(LIMITS)
            messages = [message for piece in pieces for message in websocket.receive_data(piece)]
            results[f"frame: {name}, {how}"] = [websocket.close_code, len(messages), websocket.failed]
        stream = stream if name in NO_FRAMES else turned_round(stream)
        for how, pieces in _cuts(stream):
            client_side = ClientWebSocket(LIMITS, os.urandom)
            messages = [message for piece in pieces for message in client_side.receive_data(piece)]
            results[f"server's frame: {name}, {how}"] = [client_side.close_code, len(messages), client_side.failed]
    for name, (said, stream) in BAD_ANSWERS.items():
        for how, pieces in _cuts(stream):
            client = HttpClient(ANSWER_LIMITS)
            client.request("GET", "/", [(b"Host", b"a")])
            for piece in pieces:
                client.receive_data(piece)
            told = client.failed is not None and said in client.failed
            results[f"answer: {name}, {how}"] = [0, int(client.next_answer() is not None), told]
    return results


def _cuts(stream: bytes) -> list[tuple[str, list[bytes]]]:
    return [("whole", [stream]), ("bytes", [stream[i : i + 1] for i in range(len(stream))])]


if __name__ == "__main__":
    print(json.dumps(outcomes()))
