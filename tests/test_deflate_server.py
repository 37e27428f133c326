"""Compression of WebSocket messages as a server does it: agreed on at the handshake, shared by broadcasts, bounded."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from client_frames import BINARY, CLOSE, TEXT, client_frame
from deflate_peer import OracleClient, cut_frames, deflate, deflated_frame, fragments, inflate
from raw_client import EngineApp, RawPolling, SocketApp, assert_nothing_left
from siocore import EngineServer, Limits, PerMessageDeflate, Server
from siocore.codec.message import BinaryMessage
from siocore.testing import TestServer
from siocore.testing.wire import WEBSOCKET_HEADERS, ResponseReader, request_bytes

OFFER = "permessage-deflate; client_max_window_bits"
LONG = "news " * 1_000
TAKEOVER = PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)


class DeflateClient:
    """A WebSocket client that offers compression. ``frames`` has the first byte and the payload of what came."""

    def __init__(self, server: TestServer, query: str = "", offer: str | None = OFFER, revision: int = 4) -> None:
        self.server = server
        self.stream = server.connect()
        self.stream.on_data = self._receive
        self.frames: list[tuple[int, bytes]] = []
        #: Everything, in order, as wsproto reads it.
        self.messages: list[str | bytes] = []
        self.oracle: OracleClient | None = None
        self._responses = ResponseReader()
        self._buffer = b""
        headers = [*WEBSOCKET_HEADERS, *([] if offer is None else [("Sec-WebSocket-Extensions", offer)])]
        self.extensions: str | None = None
        self.stream.write(
            request_bytes("GET", f"{server.protocol.options.path}?EIO={revision}&transport=websocket{query}", headers)
        )
        server.settle()

    def _receive(self, data: bytes) -> None:
        if self.oracle is None:
            [response] = self._responses.feed(data)
            assert response.status == 101
            self.extensions = response.headers.get("sec-websocket-extensions")
            self.oracle = OracleClient(self.extensions or "permessage-deflate")
            data = self._responses.rest()
        frames, self._buffer = cut_frames(self._buffer + data)
        self.frames += frames
        self.messages += self.oracle.receive(data)

    def send(self, *messages: str | bytes, compressed: bool = True) -> None:
        assert self.oracle is not None
        for message in messages:
            if compressed:
                self.raw(self.oracle.send(message))
            elif isinstance(message, str):
                self.raw(client_frame(TEXT, message.encode()))
            else:
                self.raw(client_frame(BINARY, message))

    def raw(self, data: bytes) -> None:
        self.stream.write(data)
        self.server.settle()

    def take(self) -> tuple[list[int], list[str | bytes]]:
        """The first bytes of the frames that have come, and the messages in them."""
        taken = [first for first, _ in self.frames], self.messages
        self.frames, self.messages = [], []
        return taken


def socketio(**options: Any) -> SocketApp:
    return SocketApp(**{"serve_client": False, "per_message_deflate": True, **options})


def joined(app: SocketApp, query: str = "", offer: str | None = OFFER) -> DeflateClient:
    """A client that has joined the namespace ``/``."""
    client = DeflateClient(app.server, query, offer)
    client.send("40", compressed=False)
    client.take()
    return client


def test_by_default_nothing_is_agreed_on() -> None:
    engine = EngineApp()
    client = DeflateClient(engine.server)
    assert client.extensions is None
    engine.opened[0].send(LONG)
    engine.server.settle()
    assert client.take()[0] == [0x81, 0x81]
    client.raw(deflated_frame("4text"))
    assert client.frames == [(0x88, client.frames[0][1])]
    assert client.frames[0][1][:2] == (1002).to_bytes(2, "big")
    assert engine.messages == []
    assert engine.closed == ["transport error"]


@pytest.mark.parametrize(
    "offer",
    [None, "permessage-deflate; unknown", "x-webkit-deflate-frame", "permessage-deflate; server_max_window_bits=abc"],
)
def test_a_client_without_an_acceptable_offer_is_served_all_the_same(offer: str | None) -> None:
    engine = EngineApp(per_message_deflate=True)
    client = DeflateClient(engine.server, offer=offer)
    assert client.extensions is None
    engine.opened[0].send(LONG)
    client.send("4hello", compressed=False)
    assert engine.messages == ["hello"]
    firsts, messages = client.take()
    assert firsts == [0x81, 0x81]
    assert messages[1] == "4" + LONG


def test_the_default_agreement_keeps_nothing_for_a_client() -> None:
    engine = EngineApp(per_message_deflate=True)
    client = DeflateClient(engine.server)
    assert client.extensions == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize("options", [True, TAKEOVER], ids=["shared", "takeover"])
def test_long_messages_are_compressed_both_ways(options: PerMessageDeflate | bool) -> None:
    engine = EngineApp(per_message_deflate=options)
    client = DeflateClient(engine.server)
    client.take()
    [session] = engine.opened
    for _ in range(3):
        session.send(LONG)
        session.send("short")
        session.send(b"\x00" * 5_000)
        engine.server.settle()
        assert client.take() == ([0xC1, 0x81, 0xC2], ["4" + LONG, "4short", b"\x00" * 5_000])
        client.send("4" + LONG, b"\x01" * 3_000, "4short")
        client.send("4plain", b"plain", compressed=False)
        assert engine.messages == [LONG, b"\x01" * 3_000, "short", "plain", b"plain"]
        engine.messages.clear()
    client.send("1")
    assert engine.closed == ["transport close"]


def test_heartbeats_and_the_threshold() -> None:
    engine = EngineApp(per_message_deflate=PerMessageDeflate(threshold=100))
    client = DeflateClient(engine.server)
    client.take()
    engine.opened[0].send("a" * 98)
    engine.opened[0].send("a" * 99)
    engine.server.advance(25)
    assert client.take() == ([0x81, 0xC1, 0x81], ["4" + "a" * 98, "4" + "a" * 99, "2"])
    client.send("3")
    engine.server.advance(25)
    assert client.take() == ([0x81], ["2"])


def test_each_attachment_is_compressed_or_not() -> None:
    app = socketio()
    client = joined(app)
    app.app.emit("files", bytes(5_000), b"short", random.Random(1).randbytes(5_000))
    app.server.settle()
    firsts, messages = client.take()
    assert firsts == [0x81, 0xC2, 0x82, 0x82]
    assert messages[1:] == [bytes(5_000), b"short", random.Random(1).randbytes(5_000)]


def test_who_sends_can_ask_for_the_plain_form() -> None:
    app = socketio()
    client = joined(app)
    [socket] = app.app.sockets.sockets.values()
    for emit in (app.app.emit, app.app.compress(False).emit, socket.emit, socket.compress(False).emit):
        emit("news", LONG)
    app.server.settle()
    assert client.take() == ([0xC1, 0x81, 0xC1, 0x81], [f'42["news","{LONG}"]'] * 4)


def test_what_waited_for_the_upgrade_is_compressed() -> None:
    engine = EngineApp(per_message_deflate=TAKEOVER)
    polling = RawPolling(engine.server)
    client = DeflateClient(engine.server, f"&sid={polling.sid}")
    client.send("2probe")
    session = polling.session()
    session.send(LONG)
    session.send(LONG)
    client.send("5")
    session.send(LONG)
    engine.server.settle()
    assert client.take() == ([0x81, 0xC1, 0xC1, 0xC1], ["3probe", *["4" + LONG] * 3])


def test_a_client_that_asked_for_base64_gets_it_compressed() -> None:
    engine = EngineApp(per_message_deflate=True)
    client = DeflateClient(engine.server, "&b64=1")
    client.take()
    engine.opened[0].send(bytes(6_000))
    engine.server.settle()
    assert client.take() == ([0xC1], ["b" + "A" * 8_000])


@pytest.mark.parametrize(("query", "binary"), [("", b"\x04" + bytes(6_000)), ("&b64=1", "b4" + "A" * 8_000)])
def test_a_client_of_revision_3_gets_its_own_form_compressed(query: str, binary: str | bytes) -> None:
    engine = EngineApp(per_message_deflate=True, allow_eio3=True)
    client = DeflateClient(engine.server, query, revision=3)
    client.take()
    engine.opened[0].send(LONG)
    engine.opened[0].send(bytes(6_000))
    client.send(b"\x04" + bytes(3_000), "4" + LONG)
    assert client.take() == ([0xC1, 0xC1 if query else 0xC2], ["4" + LONG, binary])
    assert engine.messages == [bytes(3_000), LONG]


# --- broadcasts ------------------------------------------------------------------------------------------------------


class Counting:
    """A compressor that counts what it compresses."""

    calls = 0
    made = 0

    def __init__(self, compressor: Any) -> None:
        Counting.made += 1
        self._compressor = compressor

    def compress(self, data: bytes) -> bytes:
        Counting.calls += 1
        result: bytes = self._compressor.compress(data)
        return result

    def flush(self, mode: int) -> bytes:
        result: bytes = self._compressor.flush(mode)
        return result


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    make: Callable[..., Any] = zlib.compressobj
    monkeypatch.setattr(zlib, "compressobj", lambda *arguments: Counting(make(*arguments)))
    Counting.calls = Counting.made = 0
    return Counting


def test_a_broadcast_to_a_hundred_clients_is_compressed_once(counting: type[Counting]) -> None:
    app = socketio()
    clients = [joined(app) for _ in range(100)]
    app.app.emit("news", LONG)
    app.server.settle()
    assert {str(client.take()) for client in clients} == {str(([0xC1], [f'42["news","{LONG}"]']))}
    assert (counting.made, counting.calls) == (1, 1)
    app.app.emit("news", LONG, bytes(2_000))
    app.server.settle()
    assert (counting.made, counting.calls) == (1, 3)


def test_a_broadcast_is_compressed_once_for_each_form(counting: type[Counting]) -> None:
    app = socketio()
    offers = [OFFER, f"{OFFER}; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10", None]
    clients = [joined(app, query, offer) for offer in offers for query in ("", "&b64=1") for _ in range(3)]
    app.app.emit("news", LONG, bytes(3_000))
    app.server.settle()
    for client in clients:
        firsts, messages = client.take()
        assert messages[0] == f'451-["news","{LONG}",{{"_placeholder":true,"num":0}}]'
        assert messages[1] in (bytes(3_000), "b" + "A" * 4_000)
        assert (firsts[0] == 0xC1) == (client.extensions is not None)
    # Two windows, with and without base64, a text and an attachment.
    assert (counting.made, counting.calls) == (2, 8)


def test_with_takeover_each_client_has_its_own_compressor(counting: type[Counting]) -> None:
    app = socketio(per_message_deflate=TAKEOVER)
    clients = [joined(app) for _ in range(5)]
    sizes = []
    for _ in range(2):
        app.app.emit("news", LONG + str(random.Random(1).randbytes(500)))
        app.server.settle()
        assert len({str(client.messages) for client in clients}) == 1
        sizes.append(len(clients[0].frames[0][1]))
        for client in clients:
            client.take()
    assert (counting.made, counting.calls) == (5, 10)
    assert sizes[1] < sizes[0] / 10


def test_a_message_that_is_sent_again_is_compressed_again_with_takeover() -> None:
    engine = EngineApp(per_message_deflate=TAKEOVER)
    client = DeflateClient(engine.server)
    client.take()
    [session] = engine.opened
    message, other = BinaryMessage(random.Random(1).randbytes(2_000)), BinaryMessage(random.Random(2).randbytes(2_000))
    sent = [message, other, message, BinaryMessage(other.data), BinaryMessage(message.data)]
    for each in sent:
        session.send_outgoing(each)
        engine.server.settle()
    assert client.messages == [each.data for each in sent]


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_what_waits_is_counted_compressed() -> None:
    engine = EngineApp(per_message_deflate=True, limits=Limits(max_buffered=10_000))
    client = DeflateClient(engine.server)
    client.stream.link.to_client.window = 0
    client.stream.link.to_client.stall()
    [session] = engine.opened
    for _ in range(50):
        session.send(LONG)
        engine.server.settle()
    assert 50 <= session.buffered < 5_000
    client.take()
    client.stream.link.to_client.resume()
    engine.server.settle()
    assert session.open


@pytest.mark.parametrize("options", [True, TAKEOVER], ids=["shared", "takeover"])
def test_a_client_that_reads_slowly_gets_a_whole_stream_and_too_slow_is_too_slow(
    options: PerMessageDeflate | bool, counting: type[Counting]
) -> None:
    engine = EngineApp(per_message_deflate=options, limits=Limits(max_buffered=20_000))
    client = DeflateClient(engine.server)
    client.take()
    client.stream.link.to_client.window = 1_000
    client.stream.link.to_client.stall()
    [session] = engine.opened
    chance = random.Random(5)
    sent = []
    while session.open:
        text = chance.randbytes(700).hex()
        session.send(text)
        sent.append("4" + text)
        engine.server.settle()
    assert engine.closed == ["slow consumer"]
    # The message that was one too many is not compressed first, which with takeover would spoil what follows.
    assert counting.calls == len(sent) - 1
    client.stream.link.to_client.window = 100_000
    client.stream.link.to_client.resume()
    engine.server.settle()
    assert client.messages == sent[: len(client.messages)]
    assert len(client.messages) >= 15
    engine.server.advance(60)
    assert_nothing_left(engine.server)


def test_a_bomb_ends_the_session_and_no_handler_hears_of_it() -> None:
    app = socketio()
    client = joined(app)
    client.raw(deflated_frame('42["bomb","' + "x" * 2_000_000 + '"]'))
    assert app.events == [("connection",), ("disconnect", "transport error")]
    [(first, payload)] = client.frames
    assert (first, payload[:2]) == (0x80 | CLOSE, (1009).to_bytes(2, "big"))
    app.server.advance(60)
    assert_nothing_left(app.server)


def test_a_compressed_message_that_is_not_completed_in_time_ends_the_session() -> None:
    engine = EngineApp(per_message_deflate=True, limits=Limits(frame_timeout=5))
    client = DeflateClient(engine.server)
    client.take()
    begun, ended = fragments(TEXT, deflate(b"4whole"), [3])
    client.raw(begun + ended + begun)
    assert engine.messages == ["whole"]
    engine.server.advance(4.9)
    assert engine.closed == []
    engine.server.advance(0.2)
    assert engine.closed == ["transport error"]
    assert client.frames[-1][1][:2] == (1008).to_bytes(2, "big")


def test_nothing_is_compressed_for_a_client_that_is_gone() -> None:
    servers = (Server(serve_client=False, per_message_deflate=TAKEOVER), EngineServer(per_message_deflate=TAKEOVER))
    for server in servers:
        test = TestServer(server)
        client = DeflateClient(test)
        client.stream.reset()
        test.advance(60)
        assert_nothing_left(test)


def test_the_first_bytes_after_the_handshake_may_be_compressed() -> None:
    engine = EngineApp(per_message_deflate=True)
    stream = engine.server.connect()
    headers = [*WEBSOCKET_HEADERS, ("Sec-WebSocket-Extensions", OFFER)]
    request = request_bytes("GET", "/engine.io/?EIO=4&transport=websocket", headers)
    stream.write(request + deflated_frame("4" + LONG))
    engine.server.settle()
    assert engine.messages == [LONG]


def test_the_compressed_form_is_what_the_bytes_say() -> None:
    engine = EngineApp(per_message_deflate=True)
    client = DeflateClient(engine.server)
    client.take()
    engine.opened[0].send(LONG)
    engine.server.settle()
    [(first, payload)] = client.frames
    assert first == 0xC1
    assert len(payload) < 100
    assert inflate(payload) == b"4" + LONG.encode()
