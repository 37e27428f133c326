"""What no honest peer sends: each is answered as documented, however it is cut into segments, and harms nobody else.

A table of bytes. For each, the offender's connection is shown the bytes in one piece, in pieces cut at random, and one
by one; the outcome must be the same, a healthy client beside it must not notice, and nothing may stay behind.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest

from raw_client import RawHttp, RawPolling, RawWebSocket, SocketApp, message_frame
from siocore.testing import TestClient
from siocore.testing.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WEBSOCKET_HEADERS,
    masked_frame,
    request_bytes,
)

WS = "/socket.io/?EIO=4&transport=websocket"
POLL = "/socket.io/?EIO=4&transport=polling"
PLACEHOLDER = '{"_placeholder":true,"num":%s}'


@dataclass(frozen=True)
class Case:
    """``status``: of the answer over HTTP. ``code``: of the close frame. Neither: it is taken and nothing happens."""

    name: str
    data: bytes
    status: int | None = None
    code: int | None = None

    def __str__(self) -> str:
        return self.name


def http(name: str, data: bytes, status: int) -> Case:
    return Case(name, data, status=status)


def ws(name: str, data: bytes, code: int | None) -> Case:
    return Case(name, data, code=code)


def text(packet: str, code: int | None = 1000) -> Case:
    return Case(f"{packet[:60]!r} ({len(packet)})", message_frame(packet), code=code)


def packet_with(packet: str, *attachments: bytes, code: int | None = 1000) -> Case:
    data = message_frame(packet) + b"".join(map(message_frame, attachments))
    return Case(f"{packet[:60]!r} + {len(attachments)}", data, code=code)


def head(*lines: str) -> bytes:
    return "\r\n".join([f"GET {POLL} HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")


#: The first bytes of a connection.
HTTP = [
    http("nonsense", b"\x00\x01\x02\x03", 400),
    http("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 60, 400),
    http("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    http("no version", b"GET /\r\n\r\n", 400),
    http("bad version", b"GET / HTTP/1.7x\r\nHost: x\r\n\r\n", 400),
    http("absolute target", f"GET http://evil{POLL} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    http("asterisk target", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    http("CONNECT", b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    http("no host", f"GET {POLL} HTTP/1.1\r\n\r\n".encode(), 400),
    http("two hosts", head("Host: y"), 400),
    http("bare line feeds", head().replace(b"\r\n", b"\n"), 400),
    http("folded header", head("X: a", " b"), 400),
    http("space before colon", head("X : a"), 400),
    http("carriage return in a value", head("X: a\rTransfer-Encoding: chunked"), 400),
    http("NUL in a value", head("X: a\0b"), 400),
    http("body length and chunks", head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    http("two body lengths", head("Content-Length: 5", "Content-Length: 6"), 400),
    http("negative body length", head("Content-Length: -1"), 400),
    http("body length with a sign", head("Content-Length: +1"), 400),
    http("body length of Arabic digits", head("Content-Length: \xd9\xa1"), 400),
    http("endless body length", head("Content-Length: " + "9" * 4_400), 400),
    http("unknown transfer encoding", head("Transfer-Encoding: gzip"), 501),
    http("compressed body", head("Content-Encoding: gzip", "Content-Length: 3") + b"xyz", 415),
    http("too many headers", head(*(f"a{number}:" for number in range(2_000))), 431),
    http("too large a head", head("X: " + "a" * 16_384), 431),
    http("endless request line", b"GET /" + b"a" * 20_000, 431),
    http("upgrade with HTTP/1.0", request_bytes("GET", WS, WEBSOCKET_HEADERS).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    http("upgrade with a body", request_bytes("GET", WS, WEBSOCKET_HEADERS, b"4x"), 400),
    http("0xFF in Host", request_bytes("GET", WS, [*WEBSOCKET_HEADERS, ("Host", "\xff")]), 400),
    http("0xFF in Connection", request_bytes("GET", WS, [("Connection", "Upgrade\xff"), *WEBSOCKET_HEADERS[1:]]), 400),
    http("transport=__proto__", request_bytes("GET", "/socket.io/?EIO=4&transport=__proto__"), 400),
    http(
        "transport=constructor, upgrade",
        request_bytes("GET", WS.replace("websocket", "constructor"), WEBSOCKET_HEADERS),
        400,
    ),
    http("EIO=9 upgrade", request_bytes("GET", WS.replace("EIO=4", "EIO=9"), WEBSOCKET_HEADERS), 400),
    http("upgrade elsewhere", request_bytes("GET", "/not-ours", WEBSOCKET_HEADERS), 404),
    http("escape codes in the path", request_bytes("GET", "/%1b[2J"), 404),
    http("very long sid", request_bytes("GET", POLL + "&sid=" + "x" * 10_000), 400),
    http("sid of bytes that are no text", request_bytes("GET", POLL + "&sid=%ff%fe"), 400),
    http("post without a session", request_bytes("POST", POLL, body=b"4x"), 400),
]

#: The body of a POST on a session that has joined the namespace.
POSTS = [
    http("empty", b"", 400),
    http("separators only", b"\x1e" * 100_000, 400),
    http("empty packet in the middle", b'42["e"]\x1e\x1e4', 400),
    http("unknown packet type", b"9", 400),
    http("letters", b"hello", 400),
    http("not UTF-8", b"4\xff", 400),
    http("overlong UTF-8", b"4\xc0\x80", 400),
    http("surrogate in UTF-8", b"4\xed\xa0\x80", 400),
    http("beyond Unicode", b"4\xf4\x90\x80\x80", 400),
    http("half a character", b"4\xe2\x82", 400),
    http("bad base64", b"b***", 400),
    http("base64 without padding", b"bAQI", 400),
    http("ping", b"2", 200),
    http("binary that nobody announced", b"bAQID", 200),
    http("bad packet", b"4abc", 200),
    http("event elsewhere", b'42/other,["e"]', 200),
    http("too large", b"4" + b"x" * 1_000_000, 413),
]

#: What a WebSocket client sends after it has joined the namespace.
FRAMES = [
    ws("unmasked", b"\x81\x02hi", 1002),
    ws("reserved bit 1, compressed though never agreed", masked_frame(TEXT, b"x", rsv=4), 1002),
    ws("reserved bit 2", masked_frame(TEXT, b"x", rsv=2), 1002),
    ws("reserved bit 3", masked_frame(TEXT, b"x", rsv=1), 1002),
    ws("bytes that are no frame", b"test", 1002),
    *(ws(f"opcode {opcode}", masked_frame(opcode, b""), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ws("continuation of nothing", masked_frame(CONTINUATION, b"x"), 1002),
    ws("message within a message", masked_frame(TEXT, b"4", fin=False) + masked_frame(TEXT, b"4x"), 1002),
    ws("fragmented ping", masked_frame(PING, b"", fin=False), 1002),
    ws("large ping", b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002),
    ws("length of two bytes that needs none", b"\x81\xfe\x00\x05\0\0\0\x00hello", 1002),
    ws("length of eight bytes that needs two", b"\x82\xff" + (200).to_bytes(8, "big") + b"\0\0\0\0", 1002),
    ws("length with the highest bit", b"\x82\xff\x80" + bytes(7) + b"\0\0\0\0", 1002),
    ws("2**63 - 1 bytes announced", b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0", 1009),
    ws("one byte too many announced", b"\x82\xff" + (1_000_001).to_bytes(8, "big"), 1009),
    ws(
        "fragments that are too large together",
        masked_frame(BINARY, bytes(600_000), fin=False) + masked_frame(CONTINUATION, bytes(400_001)),
        1009,
    ),
    ws("fragments whose sum overflows", masked_frame(BINARY, b"x", fin=False) + b"\x80\xff\x7f" + b"\xff" * 7, 1009),
    ws(
        "too many fragments",
        masked_frame(TEXT, b"4", fin=False) + masked_frame(CONTINUATION, b"x", fin=False) * 1_024,
        1008,
    ),
    ws(
        "too many empty fragments",
        masked_frame(TEXT, b"", fin=False) + masked_frame(CONTINUATION, b"", fin=False) * 1_024,
        1008,
    ),
    ws("not UTF-8", masked_frame(TEXT, b"4\xff"), 1007),
    ws(
        "not UTF-8 across fragments",
        masked_frame(TEXT, b"4\xe2", fin=False) + masked_frame(CONTINUATION, b"\x28"),
        1007,
    ),
    ws("half a character", masked_frame(TEXT, b"4\xe2\x82"), 1007),
    ws("surrogate", masked_frame(TEXT, b"4\xed\xa0\x80"), 1007),
    ws("close with half a code", masked_frame(CLOSE, b"\x03"), 1002),
    *(
        ws(f"close code {code}", masked_frame(CLOSE, code.to_bytes(2, "big")), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
    ),
    ws("close reason that is not UTF-8", masked_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    ws("a flood of pings", masked_frame(PING, b"x" * 125) * 1_000, None),
    ws("a flood of pongs", masked_frame(PONG, b"x" * 125) * 1_000, None),
    ws("a flood of Engine.IO pongs", message_frame("3") * 10_000, None),
    # Engine.IO
    text("", 1002),
    text("9", 1002),
    text("x", 1002),
    text("b***", 1002),
    text("2", 1002),
    text("2probe", 1002),
    text("0", None),
    text("5", None),
    text("6", None),
    packet_with("3" * 100, code=None),
]

#: Socket.IO packets, in text frames, from a client that has joined the namespace.
PACKETS = [
    text("4"),
    text("4abc"),
    text("47"),
    text("4 "),
    text("4\u0660"),
    text("42"),
    text("42[]"),
    text("42{}"),
    text('42"x"'),
    text("42[[]]"),
    text("42[true]"),
    text("42[null]"),
    text('42[{"toString":"foo"}]'),
    text('42["e",'),
    text('42["e"]x'),
    text('42["e",NaN]'),
    text('42["e",Infinity]'),
    text('42["e",1e999]'),
    text('42["e",-1e999]'),
    text('42["e",' + "9" * 5_000 + "]"),
    text('42["e",' + "[" * 200 + "]" * 200 + "]"),
    text('42["e",' + "[" * 100_000 + "]" * 100_000 + "]"),
    text('42["e",' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "]"),
    text('42["' + "x" * 257 + '"]'),
    *(
        text(f'42["{name}"]')
        for name in ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
    ),
    text('42["connect",{"REMOTE_ADDR":"6.6.6.6"},{"token":"x"}]'),
    text("40"),
    text("40[]"),
    text('40"x"'),
    text('41{"a":1}'),
    text('44"x"'),
    text('44{"message":"x"}'),
    text("43"),
    text("43[]"),
    text("43x[]"),
    text("431"),
    text('431{"a":1}'),
    text('43-1["x"]'),
    text('42-1["x"]'),
    text("43" + "9" * 17 + '["x"]'),
    text("43" + "1" * 400 + '["x"]'),
    text('42\u00b2["e"]'),
    text('45\u0661-["e"]'),
    text("45"),
    text("451"),
    text("451-"),
    text('45-["e"]'),
    text('450-["e"]'),
    text('45-1-["e"]'),
    text('451.5-["e"]'),
    text('451e1-["e"]'),
    text('4511-["e"]'),
    text('45999999999-["e"]'),
    text("45" + "1" * 999_990),
    text("42" + "1" * 999_990),
    text("42/" + "a" * 999_990),
    text("451-" + "/" * 999_990),
    text('42/other,["e"]'),
    text("41/other,"),
    text('43/other,1["e"]'),
    text('451-/other,["e",' + PLACEHOLDER % 0 + "]"),
    packet_with('451-/other,["e",' + PLACEHOLDER % 0 + "]", b"x"),
    packet_with('451-["e",' + PLACEHOLDER % 0 + "]", code=None),
    Case("text where an attachment was due", message_frame('451-["e"]') + message_frame('42["x"]'), code=1000),
    Case("an attachment that nobody announced", message_frame(b"x"), code=1000),
    *(
        packet_with(f'451-["e",{PLACEHOLDER % number}]', b"ab")
        for number in ('"splice"', "-1", "1", "10", "0.5", "1e0", "true", "null", "[0]", "9007199254740992")
    ),
    packet_with('451-["e",{"_placeholder":true}]', b"ab"),
    packet_with('451-["e",{"_placeholder":1,"num":0}]', b"ab", code=None),
    packet_with('451-["e",{"_placeholder":"true","num":7}]', b"ab", code=None),
    packet_with('452-["e",' + PLACEHOLDER % 0 + "," + PLACEHOLDER % 0 + "]", b"ab", b"unused", code=None),
    packet_with('452-["e",' + PLACEHOLDER % 0 + "]", bytes(600_000), bytes(400_001)),
    packet_with("461-99[" + PLACEHOLDER % 0 + "]", b"unasked", code=None),
    text('42["error"]', None),
    text('42["error",{"a":1}]', None),
    text('4399["unasked"]', None),
    text('42["e","\\ud800"]', None),
    text('42["__proto__",{"__proto__":1,"constructor":2}]', None),
]


class Scene:
    """A server, a healthy client, and what the server had before the offender came."""

    def __init__(self) -> None:
        self.app = SocketApp()
        self.app.app.on("ask")(lambda socket, value: value)
        self.server = self.app.server
        self.healthy = TestClient(self.server)
        self.healthy.connect()
        self.app.events.clear()

    def check_nobody_else_noticed(self) -> None:
        assert self.healthy.emit_with_ack("ask", [1, b"x"]) == [1, b"x"]

    def check_nothing_is_left(self) -> None:
        protocol = self.server.protocol
        self.server.advance(100)
        assert set(protocol.sessions) == {self.healthy.engine.sid}
        assert len(protocol.connections) == 1
        # The heartbeat of the healthy client.
        assert len(protocol.timers) == 1
        self.check_nobody_else_noticed()


def cuts(data: bytes, seed: str) -> list[list[bytes]]:
    """The same bytes in one piece, in a few, and (if they are few) one by one."""
    rng = random.Random(seed)
    ways = [[data]]
    for _ in range(2):
        points = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(3))})
        ways.append([data[start:end] for start, end in pairwise(points)])
    if len(data) <= 300:
        ways.append([data[index : index + 1] for index in range(len(data))])
    return ways


@pytest.mark.parametrize("case", HTTP, ids=str)
def test_a_malformed_request_is_answered_and_its_connection_closed(case: Case) -> None:
    for pieces in cuts(case.data, case.name):
        scene = Scene()
        offender = RawHttp(scene.server)
        answers = [offender.send(piece) for piece in pieces]
        statuses = [answer.status for answer in answers if answer is not None]
        assert statuses[:1] == [case.status]
        # A request that was only refused leaves the connection to the next one.
        assert offender.ended or case.status in (400, 404)
        scene.check_nobody_else_noticed()
        offender.stream.reset()
        scene.check_nothing_is_left()


@pytest.mark.parametrize("case", POSTS, ids=str)
def test_a_malformed_post_ends_its_session(case: Case) -> None:
    scene = Scene()
    polling = RawPolling(scene.server)
    polling.post(b"40")
    polling.get()
    answer = polling.post(case.data)
    assert answer is not None
    assert answer.status == case.status
    # Too large is the one fault that the session outlives.
    session = scene.server.protocol.sessions.get(polling.sid)
    assert (session is not None and session.open) == (case.status == 413)
    polling.gets.stream.reset()
    polling.posts.stream.reset()
    scene.check_nothing_is_left()
    disconnects = [event for event in scene.app.events if event[0] == "disconnect"]
    assert len(disconnects) == 1


@pytest.mark.parametrize("case", [*FRAMES, *PACKETS], ids=str)
def test_a_malformed_message_ends_its_connection(case: Case) -> None:
    for pieces in cuts(case.data, case.name):
        scene = Scene()
        offender = RawWebSocket(scene.server)
        offender.send("40")
        for piece in pieces:
            offender.raw(piece)
        assert offender.close_code == case.code
        scene.check_nobody_else_noticed()
        disconnects = [event for event in scene.app.events if event[0] == "disconnect"]
        assert len(disconnects) == (case.code is not None)
        offender.stream.reset()
        scene.check_nothing_is_left()
        assert sum(event[0] == "disconnect" for event in scene.app.events) == 1


@pytest.mark.parametrize("case", [*FRAMES, *PACKETS], ids=str)
def test_the_same_on_a_candidate_leaves_the_polling_session_usable(case: Case) -> None:
    scene = Scene()
    polling = RawPolling(scene.server)
    polling.post(b"40")
    candidate = polling.websocket()
    candidate.raw(case.data)
    assert polling.sid in scene.server.protocol.sessions
    polling.post(b'42["after"]')
    assert scene.app.events[-1] == ("after",)
    second = polling.websocket()
    if candidate.close_code is not None:
        assert second.send("2probe") == ["3probe"]
    polling.post(b"41\x1e1")
    scene.server.advance(20)
    for connection in (candidate, second, polling.gets, polling.posts):
        connection.stream.reset()
    scene.check_nothing_is_left()


@pytest.mark.parametrize("reset", ["before the end", "after the answer"])
@pytest.mark.parametrize("case", [case for case in HTTP if "upgrade" in case.name], ids=str)
def test_a_reset_while_a_refusal_is_under_way_is_nobodys_problem(case: Case, reset: str) -> None:
    scene = Scene()
    for position in range(0, len(case.data), 7):
        offender = RawHttp(scene.server)
        offender.stream.link.to_client.stall()
        offender.stream.write(case.data[:position] if reset == "before the end" else case.data)
        scene.server.settle()
        offender.stream.reset()
    scene.check_nothing_is_left()


def test_random_bytes_raise_nothing_and_leave_nothing() -> None:
    rng = random.Random(7)
    corpus = [case.data for case in (*HTTP, *FRAMES, *PACKETS) if len(case.data) < 2_000]
    scene = Scene()
    for _ in range(2_000):
        data = bytearray(rng.choice(corpus) + rng.choice(corpus))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            offender = RawHttp(scene.server).stream
            offender.on_data = None
        else:
            socket = RawWebSocket(scene.server)
            socket.send("40")
            offender = socket.stream
        offender.write(bytes(data))
        scene.server.settle()
        if rng.random() < 0.5:
            offender.reset()
        else:
            offender.close()
    scene.check_nothing_is_left()
