"""What a server may send that it should not: nothing raises, nothing grows, nobody is told what is not so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_link import Client
from siocore.client_options import ClientOptions
from siocore.codec.parser import Decoder, Parser
from siocore.options import Limits

UNDECODABLE = [
    "",
    "9",
    "x",
    " ",
    "0[]",
    '0"x"',
    "0{",
    '1{"a":1}',
    "2",
    "2[]",
    "2{}",
    '2["connect"]',
    '2["disconnecting"]',
    "2[null]",
    '2["a"',
    '2["a",' + "[" * 200 + "]" * 200 + "]",
    f'2["{"x" * 300}"]',
    "3[]",
    "31",
    "31{}",
    "399999999999999999[]",
    "4",
    "4[]",
    '5["a"]',
    '50-["a"]',
    '511-["a"]',
    '5x-["a"]',
    "61-[]",
    '2/\x1e,["a"]',
    f'2/{"x" * 300},["a"]',
]


@pytest.mark.parametrize("text", UNDECODABLE)
def test_what_can_not_be_decoded_costs_the_connection_and_it_is_made_again(text: str) -> None:
    client = Client()
    socket = client.connected()
    client.link.text(text)
    assert client.link.closed_with is not None
    assert client.link.closed_with[0] == "parse error"
    assert client.told() == [("disconnect", "parse error")]
    assert socket.active
    client.advance(1)
    assert len(client.hub.links) == 2


@pytest.mark.parametrize(
    "texts",
    [
        ['2/elsewhere,["a"]'],
        ["1/elsewhere,"],
        ["0/elsewhere,"],
        ['4/elsewhere,"no"'],
        ["3/elsewhere,1[]"],
        ["312345[1]"],
        ["39007199254740991[]"],
        ['0{"sid":"another"}'] * 100,
        ["0"],
        ['4{"message":"no"}'] * 10,
    ],
)
def test_what_is_for_nobody_is_ignored(texts: list[str]) -> None:
    client = Client()
    socket = client.connected()
    identity = socket.id
    for text in texts:
        client.link.text(text)
    assert client.events() == []
    assert (socket.connected, socket.id) == (True, identity)
    assert list(client.manager.sockets) == ["/"]
    assert client.link.closed_with is None


@pytest.mark.parametrize("connect", ["0", "0{}", '0{"sid":""}', '0{"sid":5}', '0{"sid":null}', '0{"sid":["x"]}'])
def test_connect_without_an_id_connects_nobody(connect: str) -> None:
    client = Client()
    socket = client.manager.socket()
    client.link.opened()
    client.link.text(connect)
    assert not socket.connected
    assert not socket.active


def test_nothing_reaches_a_socket_before_it_was_let_in_or_after_it_left() -> None:
    client = Client(auth=dict)
    socket = client.manager.socket()
    client.link.opened()
    client.auth_requested()
    client.link.text('2["before connect was sent"]')
    client.link.text('0{"sid":"unasked"}')
    assert not socket.connected
    socket.authenticate(1, {})
    client.link.text('2["kept"]')
    client.link.text('4{"message":"no"}')
    assert client.told() == [("connect_error", "no")]
    client.link.user.link_text(client.link, '42["late"]', 1)
    assert client.events() == []


def test_an_acknowledgement_that_was_not_asked_for_yet_is_nobodys() -> None:
    client = Client()
    socket = client.manager.socket()
    pending = socket.emit_with_ack("a")
    client.link.opened()
    client.link.text("30[1]")
    assert not pending.done
    client.accept()
    client.link.text("30[2]")
    client.link.text("30[3]")
    assert pending.result() == 2


def test_events_that_come_too_early_are_bounded() -> None:
    client = Client(limits=Limits(max_payload=1_000))
    client.manager.socket()
    client.link.opened()
    for _ in range(20):
        if client.link.closed_with is None:
            client.link.text(f'2["early","{"x" * 100}"]')
    assert client.link.closed_with == ("parse error", "too many events before CONNECT")
    assert client.told() == []


def test_attachments_that_come_too_early_are_bounded_with_them() -> None:
    client = Client(limits=Limits(max_payload=1_000))
    client.manager.socket()
    client.link.opened()
    for _ in range(3):
        if client.link.closed_with is None:
            client.link.text(ANNOUNCED)
            client.link.binary(b"x" * 400)
    assert client.link.closed_with is not None


def test_early_events_of_one_link_are_not_those_of_the_next() -> None:
    client = Client()
    client.manager.socket()
    client.link.opened()
    client.link.text('2["old"]')
    client.link.lost()
    client.advance(1)
    client.link.opened()
    client.link.text('2["new"]')
    client.accept()
    assert client.told() == [("new",), "connect"]


def test_an_event_that_was_sent_before_the_server_knew_that_the_socket_had_left_is_not_heard_by_who_comes_back() -> (
    None
):
    client = Client()
    client.manager.socket("/other")
    socket = client.connected()
    socket.disconnect()
    socket.connect()
    client.link.text('2["to the one who left"]')
    client.told()
    client.accept()
    assert client.told() == ["connect"]


ANNOUNCED = '51-["a",{"_placeholder":true,"num":0}]'


@pytest.mark.parametrize(
    "messages",
    [
        [b"unannounced"],
        [ANNOUNCED, '2["in between"]'],
        ['51-["a",{"_placeholder":true,"num":1}]', b"x"],
        ['51-["a",{"_placeholder":true,"num":-1}]', b"x"],
        ['51-["a",{"_placeholder":true}]', b"x"],
        ['52-["a",{"_placeholder":true,"num":0}]', b"x" * 600, b"x" * 600],
        [ANNOUNCED, b"x", b"one too many"],
    ],
)
def test_attachments_out_of_place_cost_the_connection(messages: list[str | bytes]) -> None:
    client = Client(limits=Limits(max_payload=1_000))
    client.connected()
    for message in messages:
        if isinstance(message, str):
            client.link.text(message)
        else:
            client.link.binary(message)
    assert client.link.closed_with is not None
    assert client.link.closed_with[0] == "parse error"


def test_attachments_that_do_not_come_are_not_waited_for_for_ever() -> None:
    client = Client(limits=Limits(attachment_timeout=30))
    client.connected()
    client.link.text(ANNOUNCED)
    client.advance(29.9)
    assert client.link.closed_with is None
    client.advance(0.1)
    assert client.link.closed_with == ("parse error", "the attachments of a packet did not arrive in time")


def test_attachments_that_come_need_no_timer() -> None:
    client = Client()
    client.connected()
    client.link.text(ANNOUNCED)
    client.link.binary(b"x")
    assert client.told() == [("a", b"x")]
    assert client.hub.timers.next_deadline() is None
    client.link.text(ANNOUNCED)
    client.advance(0)
    assert len(client.hub.timers) == 1
    client.link.binary(b"x")
    assert len(client.hub.timers) == 0
    client.link.text(ANNOUNCED)
    client.advance(0)
    assert len(client.hub.timers) == 1
    client.link.lost()
    client.manager.disconnect()
    assert client.hub.timers.next_deadline() is None


class FailingParser(Parser):
    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        return [f"{type}"]

    def decoder(self, limits: Limits) -> Decoder:
        class FailingDecoder(Decoder):
            def receive(self, message: str | bytes) -> Any:
                raise RuntimeError("a fault of its own")

        return FailingDecoder()


def test_a_parser_that_fails_costs_the_connection() -> None:
    client = Client(parser=FailingParser())
    client.manager.socket()
    client.link.opened()
    client.link.text("whatever")
    assert client.link.closed_with == ("parse error", "the parser failed: RuntimeError: a fault of its own")


def test_packets_in_messagepack() -> None:
    pytest.importorskip("msgspec")
    parser: Any = Client(parser="msgpack").manager.parser
    client = Client(parser="msgpack", auth={"a": 1})
    socket = client.manager.socket("/admin")
    client.link.opened()
    assert client.link.take() == parser.encode(0, "/admin", {"a": 1}, None)
    client.link.binary(parser.encode(0, "/admin", {"sid": "x"}, None)[0])
    pending = socket.emit_with_ack("a", b"x", 1.5)
    assert client.link.take() == parser.encode(2, "/admin", ("a", b"x", 1.5), 0)
    client.link.binary(parser.encode(3, "/admin", ("y",), 0)[0])
    assert pending.result() == "y"
    client.link.binary(parser.encode(2, "/admin", ("news", b"z"), 5)[0])
    event = client.received()[0]
    assert (event.name, event.args) == ("news", [b"z"])
    event.acknowledge(1)
    assert client.link.take() == parser.encode(3, "/admin", (1,), 5)
    client.link.text("no messagepack")
    assert client.link.closed_with is not None


_PIECES = st.sampled_from(
    [*UNDECODABLE, ANNOUNCED, '0{"sid":"x"}', '0{"sid":"x","pid":"p"}', "1", "30[]", '2["a"]', '27["a"]', '4"no"', b"x"]
)


@given(st.lists(_PIECES | st.text(max_size=8) | st.binary(max_size=8), max_size=12), st.booleans())
def test_no_order_of_messages_raises(messages: list[str | bytes], legacy: bool) -> None:
    client = Client(protocol=3 if legacy else 4)
    socket = client.manager.socket()
    socket.emit_with_ack("a")
    connected = 0
    for message in messages:
        link = client.link
        if link.state == "opening":
            link.opened()
        if isinstance(message, str):
            link.user.link_text(link, message, 0)
        else:
            link.binary(message)
        for event in client.told():
            # Connections and disconnections take turns.
            if event == "connect":
                assert connected == 0
                connected = 1
            elif isinstance(event, tuple) and event[0] == "disconnect":
                assert connected == 1
                connected = 0
        if not socket.active:
            socket.connect()
        client.advance(10)
    assert isinstance(client.manager.options, ClientOptions)
