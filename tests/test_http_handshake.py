"""The WebSocket opening handshake: what is accepted, and how everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection
from wsproto.events import Request as WsprotoRequest
from wsproto.handshake import H11Handshake

from siocore.errors import RemoteProtocolError
from siocore.http import check_websocket_request
from siocore.request import Request

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # with its answer in RFC 6455, section 1.3
ACCEPT = (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

GOOD = [
    (b"host", b"server.example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"http://example.com"),
]


def request(*extra: tuple[bytes, bytes], without: bytes = b"", method: str = "GET") -> Request:
    return Request(method, "/socket.io/", [pair for pair in GOOD if pair[0] != without] + list(extra))


def replaced(name: bytes, value: bytes) -> Request:
    return request((name, value), without=name)


def test_handshake_of_the_rfc_is_accepted() -> None:
    assert check_websocket_request(request()) == [ACCEPT]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"upgrade", b"WebSocket"),
        (b"upgrade", b"h2c, websocket"),
        (b"connection", b"keep-alive, Upgrade"),
        (b"connection", b"UPGRADE"),
        (b"connection", b"keep-alive\t,\tupgrade , x"),
        (b"origin", b"\xff\xfe"),
        (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAB=="),
    ],
)
def test_other_spellings_are_accepted(name: bytes, value: bytes) -> None:
    answer = check_websocket_request(replaced(name, value))
    assert [header for header, _ in answer] == [b"Sec-WebSocket-Accept"]


def test_list_headers_may_be_repeated() -> None:
    assert check_websocket_request(request((b"connection", b"keep-alive"), (b"upgrade", b"h2c"))) == [ACCEPT]


@pytest.mark.parametrize("name", [b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"])
def test_missing_header_is_refused(name: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        check_websocket_request(request(without=name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"upgrade", b"websockets"),
        (b"upgrade", b""),
        (b"upgrade", b"web socket"),
        (b"upgrade", b"websocket\xff"),
        (b"connection", b"close"),
        (b"connection", b"upgrade\xff"),
        (b"sec-websocket-version", b"8"),
        (b"sec-websocket-version", b"13, 8"),
        (b"sec-websocket-version", b"013"),
        (b"sec-websocket-version", b"\xc2\xb913"),
        (b"sec-websocket-key", b""),
        (b"sec-websocket-key", b"short"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ== "),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==\n"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25j-_=="),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQA="),
        (b"sec-websocket-key", b"A" * 24),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25j\xff\xff=="),
        (b"host", b"a\xff"),
        (b"sec-websocket-protocol", b"\xff"),
        (b"sec-websocket-protocol", b"a,,b"),
        (b"sec-websocket-protocol", b"a b"),
        (b"sec-websocket-protocol", b'"a"'),
        (b"sec-websocket-protocol", b""),
        (b"sec-websocket-extensions", b"permessage-deflate\xff"),
    ],
)
def test_bad_value_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        check_websocket_request(replaced(name, value))
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    "extra", [(b"sec-websocket-key", KEY), (b"sec-websocket-version", b"13"), (b"sec-websocket-version", b"8")]
)
def test_repeated_header_is_refused(extra: tuple[bytes, bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        check_websocket_request(request(extra))


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get"])
def test_only_get_is_a_handshake(method: str) -> None:
    with pytest.raises(RemoteProtocolError):
        check_websocket_request(request(method=method))


@pytest.mark.parametrize(
    "value",
    [
        b"permessage-deflate; client_max_window_bits",
        b"permessage-deflate; server_max_window_bits=abc",
        b"permessage-deflate; client_max_window_bits=",
        b"constructor",
        b"__class__; __init__=1",
        b";" * 4_096,
        b",,,",
        b'a; b="\\"',
    ],
)
def test_no_extension_is_accepted(value: bytes) -> None:
    assert check_websocket_request(request((b"sec-websocket-extensions", value))) == [ACCEPT]


def test_host_is_not_decoded() -> None:
    assert check_websocket_request(replaced(b"host", b"xn--~~~")) == [ACCEPT]


def test_first_subprotocol_is_chosen() -> None:
    protocol = b"sec-websocket-protocol"
    for extra in ([(protocol, b"chat, superchat")], [(protocol, b"chat"), (protocol, b"superchat")]):
        assert check_websocket_request(request(*extra)) == [ACCEPT, (b"Sec-WebSocket-Protocol", b"chat")]


@pytest.mark.parametrize("name", [b"sec-websocket-protocol", b"sec-websocket-extensions", b"connection", b"upgrade"])
def test_list_with_much_space_is_refused_or_accepted_at_once(name: bytes) -> None:
    # Quadratic here would take minutes.
    value = b"b" + b" " * 1_000_000 + b"x"
    try:
        check_websocket_request(request((name, value)))
    except RemoteProtocolError:
        assert name == b"sec-websocket-protocol"


header_values = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"websocket", b"Upgrade", b"13", KEY, b"", b"keep-alive, Upgrade", b"\xff"]),
)


@given(
    headers=st.lists(st.tuples(st.sampled_from([name for name, _ in GOOD[:5]]), header_values), max_size=8),
    method=st.sampled_from(["GET", "POST"]),
)
def test_anything_is_accepted_or_refused(headers: list[tuple[bytes, bytes]], method: str) -> None:
    try:
        answer = check_websocket_request(Request(method, "/", headers))
    except RemoteProtocolError:
        return
    assert answer[0][0] == b"Sec-WebSocket-Accept"
    assert dict(headers)[b"sec-websocket-version"] == b"13"


def test_answer_is_what_wsproto_client_expects() -> None:
    client = H11Handshake(ConnectionType.CLIENT)
    sent = client.send(WsprotoRequest(host="a", target="/socket.io/", subprotocols=["chat"]))
    lines = [line.split(b": ", 1) for line in sent.split(b"\r\n")[1:-2]]
    headers = [(name.lower(), value) for name, value in lines]
    answer = check_websocket_request(Request("GET", "/socket.io/", headers))
    head = [b"HTTP/1.1 101 ", b"Upgrade: websocket", b"Connection: Upgrade", *(b": ".join(pair) for pair in answer)]
    client.receive_data(b"\r\n".join(head) + b"\r\n\r\n")
    [event] = client.events()
    assert isinstance(event, AcceptConnection)
    assert event.subprotocol == "chat"
    assert event.extensions == []
