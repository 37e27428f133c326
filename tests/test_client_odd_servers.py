"""Servers that behave oddly: the client gives each attempt up with a sentence, stays small, and comes back later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from odd_server import OPEN, OddConnection, Request, frame, odd_server, open_packet
from siocore import Server
from siocore.application.client import Client
from siocore.errors import ConnectError
from siocore.testing import ScriptedServer, TestServer

Script = Callable[[OddConnection, Request], None]


# On both transports ---------------------------------------------------------------------------------------------


def silence(connection: OddConnection, request: Request) -> None:
    """Never answers."""


def closing(connection: OddConnection, request: Request) -> None:
    connection.stream.close()


def resetting(connection: OddConnection, request: Request) -> None:
    connection.stream.reset()


def saying(data: bytes) -> Script:
    return lambda connection, request: connection.raw(data)


def saying_and_closing(data: bytes) -> Script:
    def script(connection: OddConnection, request: Request) -> None:
        connection.raw(data)
        connection.stream.close()

    return script


def answering(body: str | bytes, status: str = "200 OK", *headers: str) -> Script:
    return lambda connection, request: connection.answer(body, status, *headers)


def flooding(head: bytes, piece: bytes) -> Script:
    """Says ``piece`` for as long as it is listened to."""

    def script(connection: OddConnection, request: Request) -> None:
        connection.raw(head)
        for _ in range(60):
            connection.raw(piece)

    return script


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HTTP: dict[str, Script] = {
    "silence": silence,
    "closes": closing,
    "resets": resetting,
    "garbage": saying(b"\x00\xff garbage \r\n\r\n"),
    "another protocol": saying(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "TLS": saying(b"\x15\x03\x01\x00\x02\x02\x46"),
    "HTTP/0.9": saying_and_closing(b"<html>hello</html>"),
    "half a head": saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a head, then end": saying_and_closing(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n0{"),
    "half a body, then end": saying_and_closing(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n0{"),
    "no status": saying(b"HTTP/1.1 OK\r\n\r\n"),
    "a giant length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n0"),
    "a negative length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n0"),
    "two lengths": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n01"),
    "bytes in headers": saying(b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\nContent-Length: 1\r\n\r\n0"),
    "headers for ever": flooding(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1_000 + b"\r\n"),
    "many headers": saying(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 3_000 + b"Content-Length: 0\r\n\r\n"),
    "a line for ever": flooding(b"HTTP/1.1 200 ", b"O" * 1_000),
    "100 for ever": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunks for ever": flooding(CHUNKED, b"10000\r\n" + b"4" * 65_536 + b"\r\n"),
    "bad chunks": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "unasked answers": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 50),
    "redirect": answering("", "302 Found", "Location: http://other.example/"),
    "empty": answering(""),
    "no content": saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a page": answering("<!doctype html><title>It works!</title>", "404 Not Found"),
    "an error": answering('{"code":3,"message":"Bad request"}', "400 Bad Request"),
    "an odd error": answering('{"code":[1],"message":{"a":NaN}}', "400 Bad Request"),
    "unauthorized": answering("", "401 Unauthorized", "WWW-Authenticate: Basic"),
    "overload": answering("later", "503 Service Unavailable", "Retry-After: 1"),
    "deep JSON": answering("[" * 100_000, "400 Bad Request"),
}  # fmt: skip

OPENS = {
    "no JSON": "0",
    "half an OPEN": OPEN[:30],
    "an empty object": "0{}",
    "a list": "0[]",
    "no sid": open_packet(sid=None),
    "a number for sid": open_packet(sid=5),
    "an empty sid": open_packet(sid=""),
    "a giant sid": open_packet(sid="s" * 100_000),
    "line breaks in the sid": open_packet(sid="a\r\nX-Injected: b"),
    "no interval": open_packet(pingInterval=None),
    "interval 0": open_packet(pingInterval=0, pingTimeout=0),
    "negative": open_packet(pingInterval=-1),
    "text for numbers": open_packet(pingInterval="25000"),
    "infinity": '0{"sid":"a","upgrades":[],"pingInterval":1e999,"pingTimeout":20000,"maxPayload":1}',
    "NaN": '0{"sid":"a","upgrades":[],"pingInterval":NaN,"pingTimeout":20000,"maxPayload":1}',
    "a giant number": open_packet(pingInterval=10**400),
    "upgrades are no list": open_packet(upgrades={"websocket": 1}),
    "maxPayload 0": open_packet(maxPayload=0),
    "a message first": "4hello",
    "a close first": "1",
    "an unknown type": "9",
    "nothing": "\x1e",
    "separators": "\x1e" * 10_000,
    "deep": "0" + "[" * 50_000,
}


def polled(body: str) -> Script:
    return lambda connection, request: connection.answer(body)


def framed(*messages: str | bytes, then: bytes = b"") -> Script:
    def script(connection: OddConnection, request: Request) -> None:
        connection.upgrade(request)
        connection.send(*messages)
        connection.raw(then)

    return script


def accepting(*headers: str, accept: str | None = None) -> Script:
    def script(connection: OddConnection, request: Request) -> None:
        connection.upgrade(request, *headers, accept=accept)
        connection.send(OPEN)

    return script


WEBSOCKET: dict[str, Script] = {
    "wrong accept": accepting(accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "two accepts": accepting("Sec-WebSocket-Accept: x"),
    "an extension": accepting("Sec-WebSocket-Extensions: permessage-deflate"),
    "an odd extension": accepting("Sec-WebSocket-Extensions: =; server_max_window_bits=1000"),
    "a protocol": accepting("Sec-WebSocket-Protocol: chat"),
    "no Upgrade": saying(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n" + frame(OPEN)),
    "200": answering(OPEN),
    "nothing behind 101": framed(),
    "a masked frame": framed(then=b"\x81\x81\0\0\0\x000"),
    "a reserved bit": framed(OPEN, then=frame("40", rsv=4)),
    "a reserved opcode": framed(OPEN, then=frame(b"", opcode=3)),
    "a giant frame": framed(OPEN, then=b"\x82\x7f\x7f" + b"\xff" * 7),
    "a length with the sign bit": framed(OPEN, then=b"\x82\x7f\xff" + b"\xff" * 7),
    "no UTF-8": framed(OPEN, then=frame(b"4\xff", opcode=1)),
    "a continuation of nothing": framed(OPEN, then=frame("x", opcode=0)),
    "a fragmented ping": framed(OPEN, then=frame(b"", opcode=9, fin=False)),
    "empty fragments for ever": framed(OPEN, then=frame(b"", 1, fin=False) + frame(b"", 0, fin=False) * 1_500),
    "close": framed(OPEN, then=frame(b"\x03\xe8", opcode=8)),
    "close with a reserved code": framed(OPEN, then=frame(b"\x03\xed", opcode=8)),
    "close with one byte": framed(OPEN, then=frame(b"\x03", opcode=8)),
    "binary before OPEN": framed(b"\x00\x01"),
    "empty text": framed(""),
}  # fmt: skip


def connecting(*messages: str | bytes) -> Script:
    """Lets it in as Engine.IO and goes on with Socket.IO packets."""
    return framed(OPEN, *messages)


SOCKETIO: dict[str, Script] = {
    "no answer to CONNECT": connecting(),
    "CONNECT without an id": connecting("40"),
    "CONNECT with a number": connecting('40{"sid":5}'),
    "CONNECT that is no JSON": connecting("40{"),
    "CONNECT for another namespace": connecting('40/other,{"sid":"x"}'),
    "no packet": connecting("4"),
    "an unknown type": connecting("48"),
    "an event that is none": connecting("42{}"),
    "a reserved event": connecting('42["connect"]'),
    "an ack for nobody": connecting("431[]"),
    "too many attachments": connecting("4599999999-[]"),
    "an attachment unasked": connecting(b"x"),
    "text for an attachment": connecting('451-["a",{"_placeholder":true,"num":0}]', "42[]"),
    "attachments for ever": connecting('459-["a",{"_placeholder":true,"num":0}]', *[b"x" * 60_000] * 8),
    "deep": connecting("42" + "[" * 100_000),
    "digits": connecting("42" + "9" * 100_000 + '["a"]'),
    "events before CONNECT": connecting(*['42["a","' + "x" * 1_000 + '"]'] * 4_000),
    "pings": connecting(*["2"] * 2_000),
    "an Engine.IO packet that is none": connecting("x"),
    "a pong": connecting("3probe"),
}


def attempt(script: Script, transport: str) -> None:
    """Nothing is raised, each attempt has one error, and where the server is well again the client comes back."""
    server: ScriptedServer = odd_server(script)
    server.network.script = lambda link: setattr(link.to_client, "window", 4_000_000)
    client = Client(transports=(transport,), timeout=5, random=lambda: 0.5)
    driver = server.attach(client)
    errors: list[ConnectError] = []
    calls: list[str] = []
    socket = client.socket("http://test.example/")
    socket.on("connect_error")(errors.append)
    socket.on("connect")(lambda: calls.append("connect"))
    socket.on("disconnect")(lambda reason, detail: calls.append("disconnect"))
    socket.manager.on("error")(lambda error: errors.append(error))
    socket.manager.on("close")(lambda reason, detail: calls.append(reason))
    driver.advance(100)
    assert not socket.connected
    assert "connect" not in calls
    if socket.active:
        # It keeps trying: slower and slower, or about once a second where the session opens and then breaks.
        assert 3 <= driver.dialled <= 105
    else:
        # A CONNECT without an id is that of Socket.IO 2: there is no use in asking again.
        assert "Socket.IO" in errors[-1].message
        socket.connect()
    for error in errors:
        assert isinstance(error, ConnectError)
        assert len(error.message) > 3
        assert len(error.message) < 2_000
    assert len(client.protocol.timers) < 10
    with TestServer(Server(), simulation=server.simulation) as good:
        driver.server = good
        driver.run_until(lambda: socket.connected, 100)
        driver.close()
        assert len(client.protocol.timers) == 0


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", HTTP)
def test_a_server_that_answers_oddly(name: str, transport: str) -> None:
    attempt(HTTP[name], transport)


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", OPENS)
def test_a_session_that_opens_oddly(name: str, transport: str) -> None:
    attempt((polled if transport == "polling" else framed)(OPENS[name]), transport)


@pytest.mark.parametrize("name", WEBSOCKET)
def test_a_websocket_that_is_none(name: str) -> None:
    attempt(WEBSOCKET[name], "websocket")


@pytest.mark.parametrize("name", SOCKETIO)
def test_a_server_of_socketio_that_is_none(name: str) -> None:
    attempt(SOCKETIO[name], "websocket")
