"""The client's WebSocket handshake, and what it agrees on: RFC 6455, section 4.1, and RFC 7692, sections 5 and 7."""

from __future__ import annotations

import base64
import contextlib
import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_frames import BINARY, CONTINUATION, PING, TEXT, client_frame, turned_round
from deflate_peer import RSV1, OracleClient, deflate, deflated_frame, frames_of, inflate
from siocore import Limits, PerMessageDeflate, Request
from siocore._speedups import binary_frame, message_frames, text_frame
from siocore.errors import LocalProtocolError, RemoteProtocolError
from siocore.http import HttpConnection, RequestReceived, WebSocketConnection, check_websocket_request
from siocore.http.client import Answer, HttpClient
from siocore.http.client_handshake import check_answer, make_key, request_headers
from siocore.http.client_websocket import ClientWebSocket
from siocore.http.deflate import Extension, Negotiator, accept_answer, offer
from siocore.request import Headers

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the one of RFC 6455, section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", ACCEPT)]
DEFLATE = PerMessageDeflate(threshold=0)
TAKEOVER = PerMessageDeflate(threshold=0, server_no_context_takeover=False, client_no_context_takeover=False)
EXTENSIONS = b"sec-websocket-extensions"
SMALL = Limits(max_payload=1_000, max_fragments=4)


def answer(headers: list[tuple[bytes, bytes]], status: int = 101, body: bytes = b"") -> Answer:
    return Answer(status, Headers(headers), body)


# --- the request -----------------------------------------------------------------------------------------------------


def test_keys_are_16_random_bytes() -> None:
    assert make_key(lambda size: bytes(range(size))) == base64.b64encode(bytes(range(16)))
    assert make_key(os.urandom) != make_key(os.urandom)


@pytest.mark.parametrize("protocols", [[], ["a"], ["one", "two", "th!ree"]])
@pytest.mark.parametrize("deflate", [None, DEFLATE, TAKEOVER])
def test_our_server_accepts_and_both_understand_each_other(
    protocols: list[str], deflate: PerMessageDeflate | None
) -> None:
    limits = Limits()
    http, server = HttpClient(limits), HttpConnection(limits)
    key = make_key(os.urandom)
    http.request("GET", "/", [(b"Host", b"a"), *request_headers(key, protocols, deflate)])
    server.receive_data(b"".join(http.output))
    received = server.next_event()
    server.next_event()
    assert isinstance(received, RequestReceived)
    headers = check_websocket_request(received.request)
    theirs = Negotiator(deflate or DEFLATE, limits.max_payload).negotiate(received.request)
    assert (theirs is None) == (deflate is None)
    if theirs is not None:
        headers.append((EXTENSIONS, theirs.response))
    server.switch_protocols(headers)
    http.receive_data(b"".join(server.output))
    answered = http.next_answer()
    assert answered is not None
    ours = check_answer(answered, key, protocols, deflate, limits.max_payload)
    assert (ours is None) == (deflate is None)
    client, peer = ClientWebSocket(limits, os.urandom, ours), WebSocketConnection(limits, theirs)
    for _ in range(3):
        sent = client.frames(b"a" * 2_000, [b"b" * 2_000, b""]) + client.text_frame("é".encode() * 500)
        assert peer.receive_data(sent) == ["4" + "a" * 2_000, b"b" * 2_000, b"", "é" * 500]
        frames = message_frames(b"c" * 2_000, [b"d"])
        if theirs is not None:
            frames = theirs.deflater.deflate(frames)
            assert len(sent) < 200
        assert client.receive_data(frames) == ["4" + "c" * 2_000, b"d"]


@pytest.mark.parametrize("wrong", [["a b"], [""], ["a", "a"], ["é"], ["a,b"], ["a\r\nX: y"]])
def test_subprotocols_are_distinct_tokens(wrong: list[str]) -> None:
    with pytest.raises(LocalProtocolError):
        request_headers(KEY, wrong)


# --- the answer ------------------------------------------------------------------------------------------------------


def test_correct_answers_are_accepted() -> None:
    assert check_answer(answer(GOOD), KEY) is None
    odd = [(b"upgrade", b"WebSocket"), (b"connection", b"keep-alive, UPGRADE"), (b"sec-websocket-accept", ACCEPT)]
    assert check_answer(answer(odd), KEY) is None
    chosen = [*GOOD, (b"sec-websocket-protocol", b"two")]
    assert check_answer(answer(chosen), KEY, ["one", "two"]) is None
    assert check_answer(answer(GOOD), KEY, ["one", "two"], DEFLATE) is None


BAD = {
    "no Upgrade": ("Upgrade: websocket", GOOD[1:]),
    "another Upgrade": ("Upgrade: websocket", [(b"upgrade", b"h2c"), *GOOD[1:]]),
    "two Upgrades": ("Upgrade: websocket", [*GOOD, (b"upgrade", b"h2c")]),
    "no Connection": ("Connection: Upgrade", [GOOD[0], GOOD[2]]),
    "another Connection": ("Connection: Upgrade", [GOOD[0], (b"connection", b"close"), GOOD[2]]),
    "no accept token": ("accept token", GOOD[:2]),
    "a wrong accept token": ("accept token", [*GOOD[:2], (b"sec-websocket-accept", ACCEPT.lower())]),
    "an empty accept token": ("accept token", [*GOOD[:2], (b"sec-websocket-accept", b"")]),
    "a non-ASCII accept token": ("accept token", [*GOOD[:2], (b"sec-websocket-accept", b"\xff")]),
    "two accept tokens": ("accept token", [*GOOD, GOOD[2]]),
    "a subprotocol that was not offered": ("'x'", [*GOOD, (b"sec-websocket-protocol", b"x")]),
    "an empty subprotocol": ("subprotocol", [*GOOD, (b"sec-websocket-protocol", b"")]),
    "a list of subprotocols": ("'one, two'", [*GOOD, (b"sec-websocket-protocol", b"one, two")]),
    "two subprotocols": ("subprotocol", [*GOOD, *[(b"sec-websocket-protocol", b"one")] * 2]),
    "a subprotocol in capitals": ("'ONE'", [*GOOD, (b"sec-websocket-protocol", b"ONE")]),
    "a subprotocol to obey": ("' [2J", [*GOOD, (b"sec-websocket-protocol", b"a\xff \x1b[2J")]),
    "an extension that was not offered": ("extension", [*GOOD, (EXTENSIONS, b"permessage-deflate")]),
    "an empty extension": ("extension", [*GOOD, (EXTENSIONS, b"")]),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_answers_are_refused(name: str) -> None:
    said, headers = BAD[name]
    with pytest.raises(RemoteProtocolError) as caught:
        check_answer(answer(headers), KEY, ["one", "two"])
    assert said.lstrip("' ") in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 500, 503])
def test_other_statuses_are_told(status: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"status {status} .*: not here"):
        check_answer(answer(GOOD, status, b"not\r\nhere"), KEY)


# --- permessage-deflate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (TAKEOVER, b"client_max_window_bits"),
        (DEFLATE, b"server_no_context_takeover; client_no_context_takeover; client_max_window_bits"),
        (
            PerMessageDeflate(server_no_context_takeover=False, client_max_window_bits=10, server_max_window_bits=9),
            b"client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
        ),
    ],
)
def test_what_is_offered(options: PerMessageDeflate, expected: bytes) -> None:
    assert offer(options) == b"permessage-deflate; " + expected


def test_our_server_answers_every_offer_acceptably() -> None:
    switches, windows = (False, True), (9, 12, 15)
    made = [
        PerMessageDeflate(
            server_no_context_takeover=a,
            client_no_context_takeover=b,
            server_max_window_bits=c,
            client_max_window_bits=d,
        )
        for a, b, c, d in product(switches, switches, windows, windows)
    ]
    for ours, theirs in product(made, made):
        request = Request("GET", "/", [(EXTENSIONS, offer(ours))])
        extension = Negotiator(theirs, 1_000).negotiate(request)
        assert extension is not None
        accept_answer([extension.response], ours, 1_000)


ACCEPTABLE = [
    b"permessage-deflate",
    b"permessage-deflate; server_no_context_takeover",
    b"permessage-deflate; client_no_context_takeover",
    b"permessage-deflate; server_max_window_bits=10",
    b'permessage-deflate; server_max_window_bits="10"',
    b"permessage-deflate; server_max_window_bits=8",
    b"permessage-deflate; client_max_window_bits=8",
    b"permessage-deflate; client_max_window_bits=15;server_max_window_bits=15",
    b"\tpermessage-deflate \t; client_no_context_takeover ",
]

REFUSED = [
    b"",
    b",",
    b"permessage-deflate,",
    b",permessage-deflate",
    b"permessage-deflate, permessage-deflate",
    b"permessage-deflate, other",
    b"other",
    b"constructor",
    b"Permessage-Deflate",
    b"permessage-deflate; unknown",
    b"permessage-deflate; __init__=1",
    b"permessage-deflate; server_no_context_takeover=1",
    b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    b"permessage-deflate; client_no_context_takeover=true",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_max_window_bits",
    b"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
    *[
        b"permessage-deflate; %b_max_window_bits=%b" % pair
        for pair in product(
            (b"server", b"client"), (b"7", b"16", b"1000", b"0", b"-9", b"08", b"abc", b"", b'""', b"9" * 5_000)
        )
    ],
    b"permessage-deflate;",
    b"permessage-deflate" + b";" * 4_096,
    b"permessage-deflate; =1",
    b"permessage-deflate\xff",
    b"permessage-deflate" + b" " * 4_096 + b"x",
]


@pytest.mark.parametrize("header", ACCEPTABLE)
def test_acceptable_answers(header: bytes) -> None:
    agreed = check_answer(answer([*GOOD, (EXTENSIONS, header)]), KEY, (), TAKEOVER, 1_000)
    assert isinstance(agreed, Extension)
    assert agreed.deflater.takeover == (b"client_no_context_takeover" not in header)
    client = ClientWebSocket(SMALL, os.urandom, agreed)
    sent = turned_round(client.text_frame(b"a" * 500))
    compressed = b"client_max_window_bits=8" not in header
    [(first, payload)] = frames_of(sent)
    assert first == (0xC1 if compressed else 0x81)
    assert (inflate(payload) if compressed else payload) == b"a" * 500


@pytest.mark.parametrize("header", REFUSED, ids=[repr(header[:70]) for header in REFUSED])
def test_unacceptable_answers(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        check_answer(answer([*GOOD, (EXTENSIONS, header)]), KEY, (), TAKEOVER, 1_000)


def test_a_window_that_is_larger_than_offered_is_refused() -> None:
    options = PerMessageDeflate(server_max_window_bits=10)
    accept_answer([b"permessage-deflate; server_max_window_bits=10"], options, 1_000)
    for header in (b"permessage-deflate; server_max_window_bits=11", b"permessage-deflate"):
        with pytest.raises(RemoteProtocolError, match="larger window"):
            accept_answer([header], options, 1_000)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda rest: b"permessage-deflate; " + rest)))
def test_nothing_that_a_server_answers_raises_anything_else(header: bytes) -> None:
    agreed: Extension | None = None
    with contextlib.suppress(RemoteProtocolError):
        agreed = accept_answer([header], TAKEOVER, 1_000)
    assert agreed is None or header.strip(b" \t").startswith(b"permessage-deflate")


# --- compressed messages ---------------------------------------------------------------------------------------------


def compressed(limits: Limits = SMALL, header: bytes = b"permessage-deflate") -> ClientWebSocket:
    return ClientWebSocket(limits, os.urandom, accept_answer([header], TAKEOVER, limits.max_payload))


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_compressed_messages_of_servers_are_inflated(size: int) -> None:
    client = compressed(header=b"permessage-deflate; server_no_context_takeover")
    payload = deflate(b"x" * 1_000)
    stream = turned_round(
        deflated_frame("hello")
        + client_frame(BINARY, payload[:3], fin=False, rsv=RSV1)
        + client_frame(PING, b"between")
        + client_frame(CONTINUATION, payload[3:])
        + client_frame(TEXT, b"plain")
        + deflated_frame(b"")
    )
    messages: list[str | bytes] = []
    for start in range(0, len(stream), size):
        messages += client.receive_data(stream[start : start + size])
    assert messages == ["hello", b"x" * 1_000, "plain", b""]
    assert len(client.output) == 1


@pytest.mark.parametrize(
    ("code", "stream"),
    [
        (1009, deflated_frame("x" * 1_001)),
        (1009, deflated_frame(bytes(1_000_000))),
        (1007, client_frame(TEXT, b"\xff" * 20, rsv=RSV1)),
        (1007, client_frame(TEXT, deflate(b"\xc0\x80"), rsv=RSV1)),
        (1002, client_frame(PING, b"x", rsv=RSV1)),
        (1002, client_frame(TEXT, deflate(b"a"), rsv=RSV1, fin=False) + client_frame(CONTINUATION, b"", rsv=RSV1)),
        (1008, client_frame(TEXT, b"", rsv=RSV1, fin=False) + client_frame(CONTINUATION, b"", fin=False) * 4),
    ],
)
def test_bad_compressed_messages_fail(code: int, stream: bytes) -> None:
    client = compressed()
    assert client.receive_data(turned_round(stream)) == []
    assert client.failed
    assert client.close_code == code


def test_masked_compressed_frames_fail() -> None:
    client = compressed()
    assert client.receive_data(deflated_frame("hello")) == []
    assert client.close_code == 1002


def test_compressed_frames_without_an_agreement_fail() -> None:
    client = ClientWebSocket(SMALL, os.urandom)
    client.receive_data(turned_round(deflated_frame("hello")))
    assert client.close_code == 1002


def test_each_message_can_be_sent_as_it_is() -> None:
    client = compressed()
    for frame in (
        client.text_frame(b"a" * 500, False),
        client.binary_frame(b"a" * 500, False),
        client.frames(b"a" * 500, [], False),
    ):
        assert not frame[0] & 0x40
    for frame in (client.text_frame(b"a" * 500), client.binary_frame(b"a" * 500), client.frames(b"a" * 500, [])):
        assert frame[0] & 0x40


def test_short_messages_are_sent_as_they_are() -> None:
    agreed = accept_answer([b"permessage-deflate"], PerMessageDeflate(threshold=100), 1_000)
    client = ClientWebSocket(SMALL, os.urandom, agreed)
    assert not client.text_frame(b"a" * 99)[0] & 0x40
    assert client.text_frame(b"a" * 100)[0] & 0x40


@pytest.mark.parametrize("header", [b"permessage-deflate", b"permessage-deflate; client_no_context_takeover"])
def test_long_messages_survive_the_way_there(header: bytes) -> None:
    limits = Limits()
    client = compressed(limits, header)
    request = Request("GET", "/", [(EXTENSIONS, offer(TAKEOVER))])
    server = WebSocketConnection(limits, Negotiator(TAKEOVER, limits.max_payload).negotiate(request))
    noise = os.urandom(70_000)
    for _ in range(2):
        sent = client.binary_frame(noise) + client.frames(noise.hex().encode(), [noise, b"x" * 200])
        assert server.receive_data(sent) == [noise, "4" + noise.hex(), noise, b"x" * 200]


def test_wsproto_and_its_extension_as_the_oracle() -> None:
    # wsproto compresses as a client here; turned round that is what a server sends.
    oracle = OracleClient(b"permessage-deflate")
    client = compressed(Limits())
    texts = ["hello " * 50, "hello " * 60, "é" * 300]
    stream = b"".join(oracle.send(text, [10, 20]) for text in texts)
    assert client.receive_data(turned_round(stream)) == texts
    for text in texts:
        plain = turned_round(client.text_frame(text.encode()) + client.binary_frame(text.encode()))
        assert oracle.receive(plain) == [text, text.encode()]


def test_unmasked_frames_are_those_of_servers() -> None:
    for payload in (b"", b"a" * 200, b"b" * 70_000):
        assert turned_round(client_frame(TEXT, payload)) == text_frame(payload)
        assert turned_round(client_frame(BINARY, payload)) == binary_frame(payload)
