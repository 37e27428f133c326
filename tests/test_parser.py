"""A parser of the application's own: what it may do, and what becomes of its faults."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import siocore
from raw_client import RawPolling, RawWebSocket, SocketApp, assert_nothing_left
from siocore import DecodeError, Decoder, Limits, LocalProtocolError, Packet, Parser, Server, ServerOptions, Socket
from siocore.codec.parser import PacketReader
from siocore.testing import TestServer


class Halves(Parser):
    """A packet is a JSON object in text, and its data in JSON in a binary message behind it, if there is any."""

    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        head = json.dumps({"t": type, "n": namespace, "i": id, "more": data is not None})
        return [head] if data is None else [head, json.dumps(data).encode()]

    def decoder(self, limits: Limits) -> Decoder:
        return HalvesDecoder()


class HalvesDecoder(Decoder):
    def __init__(self) -> None:
        self._head: dict[str, Any] | None = None

    def receive(self, message: str | bytes) -> Packet | None:
        if self._head is None:
            try:
                head = json.loads(message)
            except ValueError:
                raise DecodeError("no JSON") from None
            if head["more"]:
                self._head = head
                return None
            return Packet(head["t"], head["n"], None, head["i"])
        head, self._head = self._head, None
        return Packet(head["t"], head["n"], json.loads(message), head["i"])


def packet(type: int, data: object = None, id: int | None = None, namespace: str = "/") -> list[str | bytes]:
    """What a client with that parser sends."""
    first, *rest = Halves().encode(type, namespace, data, id)
    assert isinstance(first, str)
    return ["4" + first, *rest]


def app_with(parser: Any = None, **options: Any) -> SocketApp:
    return SocketApp(parser=Halves() if parser is None else parser, **options)


def test_everything_goes_through_the_parser() -> None:
    app = app_with()
    sockets: list[Socket] = []
    app.app.on("connection")(sockets.append)
    app.app.on("echo")(lambda socket, *args: args)
    websocket = RawWebSocket(app.server)
    websocket.take()
    assert websocket.send(*packet(0)) == packet(0, {"sid": sockets[0].id})
    assert websocket.send(*packet(2, ["echo", 1, "ü"], 7)) == packet(3, [1, "ü"], 7)
    sockets[0].emit("news", {"a": None})
    app.app.emit("to all")
    app.server.settle()
    assert websocket.take() == [*packet(2, ["news", {"a": None}]), *packet(2, ["to all"])]
    answer = sockets[0].emit_with_ack("question")
    everybody = app.app.emit_with_ack("vote")
    app.server.settle()
    assert websocket.take() == [*packet(2, ["question"], 0), *packet(2, ["vote"], 1)]
    websocket.send(*packet(3, [42], 0), *packet(3, ["yes"], 1))
    assert answer.result() == 42
    assert everybody.result() == ["yes"]
    sockets[0].disconnect()
    app.server.settle()
    assert websocket.take() == packet(1)
    refusal = packet(4, {"message": "Invalid namespace"}, None, "/unknown")
    assert websocket.send(*packet(0, None, None, "/unknown")) == refusal


def test_over_polling_as_well() -> None:
    app = app_with()
    polling = RawPolling(app.server)
    polling.post(b'4{"t": 0, "n": "/", "i": null, "more": false}')
    polling.get()
    app.app.emit("news")
    answer = polling.get()
    assert answer is not None
    assert answer.body == b'4{"t": 2, "n": "/", "i": null, "more": true}\x1ebWyJuZXdzIl0='


def test_middleware_refuses_through_the_parser() -> None:
    app = app_with()
    app.app.use(lambda socket: socket.refuse("no", [1]))
    websocket = RawWebSocket(app.server)
    websocket.take()
    assert websocket.send(*packet(0)) == packet(4, {"message": "no", "data": [1]})


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (packet(5, ["e"]), "unknown packet type"),
        (packet(True, ["e"]), "unknown packet type"),
        (packet(-1), "unknown packet type"),
        (packet(2, ["e"], None, "no slash"), "illegal namespace"),
        (packet(2, ["e"], None, "/a,b"), "illegal namespace"),
        (packet(2, ["e"], None, "/" * 257), "illegal namespace"),
        (packet(2, ["e"], -1), "illegal id"),
        (packet(2, ["e"], True), "illegal id"),
        (packet(2, ["e"], 2**53), "illegal id"),
        (packet(2, ["e"], 1.5), "illegal id"),  # type: ignore[arg-type]
        (packet(3, []), "acknowledgement without an id"),
        (packet(2, []), "event without a name"),
        (packet(2, {"0": "e"}), "event without a name"),
        (packet(2, ["disconnect"]), "event name is reserved"),
        (packet(2, ["x" * 257]), "event name is too long"),
        (packet(2, [None]), "event name is not text or a number"),
        (packet(3, {}, 1), "data of this type does not go with this type of packet"),
        (packet(0, []), "data of this type does not go with this type of packet"),
        (packet(1, {}), "data of this type does not go with this type of packet"),
        (packet(4, [1]), "data of this type does not go with this type of packet"),
        (["4nothing"], "no JSON"),
        # Faults of the parser itself: a KeyError, a TypeError.
        (["4{}"], "the parser failed: KeyError: 'more'"),
        (["47"], "the parser failed: TypeError"),
    ],
)
def test_packets_are_checked_whatever_the_parser_lets_pass(message: list[str | bytes], detail: str) -> None:
    reader = PacketReader(Halves(), Limits())
    first, *rest = message
    assert isinstance(first, str)
    *before, last = [first[1:], *rest]
    for each in before:
        assert reader.receive(each) is None
    with pytest.raises(DecodeError, match=f"^{re.escape(detail)}"):
        reader.receive(last)
    app = app_with()
    websocket = RawWebSocket(app.server)
    websocket.send(*packet(0))
    websocket.send(*message)
    assert websocket.close_code is not None
    assert app.events == [("connection",), ("disconnect", "forced close")]


@pytest.mark.parametrize("returned", ["a packet", Packet(2, "/", ["e"], None, 1)])
def test_a_decoder_that_returns_something_else_fails_its_client_alone(returned: Any) -> None:
    class Wrong(Halves):
        def decoder(self, limits: Limits) -> Decoder:
            return WrongDecoder()

    class WrongDecoder(Decoder):
        def receive(self, message: str | bytes) -> Packet | None:
            return returned  # type: ignore[no-any-return]

    with pytest.raises(DecodeError):
        PacketReader(Wrong(), Limits()).receive("0")
    websocket = RawWebSocket(app_with(Wrong()).server)
    websocket.send("40")
    assert websocket.close_code is not None


def test_a_packet_whose_other_half_does_not_come_ends_the_client() -> None:
    app = app_with(limits=Limits(attachment_timeout=5))
    websocket = RawWebSocket(app.server)
    websocket.send(*packet(0))
    head, body = packet(2, ["e"])
    websocket.send(head)
    app.server.advance(4.9)
    websocket.send(body, head)
    app.server.advance(4.9)
    assert app.events == [("connection",), ("e",)]
    app.server.advance(0.2)
    assert app.events == [("connection",), ("e",), ("disconnect", "forced close")]


def test_nothing_is_kept_for_a_client_that_is_in_no_namespace() -> None:
    app = app_with()
    websocket = RawWebSocket(app.server)
    websocket.send(packet(2, ["e"])[0])
    assert websocket.close_code is not None
    app.server.advance(60)
    assert_nothing_left(app.server)


def test_a_client_that_ends_between_the_halves_leaves_no_timer() -> None:
    app = app_with()
    websocket = RawWebSocket(app.server)
    websocket.send(*packet(0))
    # In one read: the end is there before the deadline of the other half is armed.
    websocket.send(packet(2, ["e"])[0], "1")
    app.server.advance(10)
    assert_nothing_left(app.server)


class Says(Halves):
    """Encodes everything as the same messages."""

    def __init__(self, *messages: Any) -> None:
        self.messages = list(messages)

    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        return self.messages


@pytest.mark.parametrize("messages", [(), (b"a", b"b"), ("a", "b"), ("a", b"b", "c"), (1,), ("a\x1eb",), ("\ud800",)])
def test_messages_that_no_session_could_send_are_the_parsers_fault(messages: tuple[Any, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        Server(parser=Says(*messages)).emit("news")


def test_attachments_have_the_same_limit_as_always() -> None:
    Server(parser=Says("a", *[b""] * 10)).emit("news")
    with pytest.raises(LocalProtocolError, match="11 binary attachments"):
        Server(parser=Says("a", *[b""] * 11)).emit("news")


@pytest.mark.parametrize("parser", ["json", 5, object()])
def test_a_parser_is_a_parser(parser: Any) -> None:
    with pytest.raises(ValueError, match="parser must be None"):
        ServerOptions(parser=parser)


def test_the_parser_of_the_documentation_works() -> None:
    page = (Path(__file__).parent.parent / "docs" / "parsers.rst").read_text()
    block = page.partition("Neither does I/O::\n")[2].partition("\n* ``encode``")[0]
    names: dict[str, Any] = {"siocore": siocore, "json": json}
    exec(textwrap.dedent(block), names)
    server = TestServer(names["io"])
    names["io"].on("echo")(lambda socket, *args: args)
    websocket = RawWebSocket(server)
    websocket.take()
    websocket.send('4[0,"/",null,null]')
    websocket.take()
    assert websocket.send('4[2,"/",["echo",1],5]') == ['4[3, "/", [1], 5]']
    websocket.send("4[]")
    assert websocket.close_code is not None
