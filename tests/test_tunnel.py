"""Tunnels through HTTP proxies: what is asked, and what is made of the answers."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siocore.errors import LocalProtocolError
from siocore.http.tunnel import Tunnel
from siocore.options import Limits

LIMITS = Limits(max_payload=1_000, max_head=2_000, max_headers=20)


def tunnel() -> Tunnel:
    made = Tunnel("example.org", 443, limits=LIMITS)
    assert made.data_to_send()
    return made


@pytest.mark.parametrize(
    ("host", "port", "authority"),
    [("example.org", 443, b"example.org:443"), ("::1", 3000, b"[::1]:3000"), ("10.0.0.1", 80, b"10.0.0.1:80")],
)
def test_what_is_asked(host: str, port: int, authority: bytes) -> None:
    made = Tunnel(host, port, limits=LIMITS)
    assert made.data_to_send() == b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (authority, authority)
    assert made.data_to_send() == b""
    assert not made.established
    assert made.failed is None


@pytest.mark.parametrize(
    ("user", "password", "credentials"),
    [("me", "se:cret", b"me:se:cret"), ("é", "€", "é:€".encode()), ("me", None, b"me:"), ("", "", b":")],
)
def test_credentials(user: str, password: str | None, credentials: bytes) -> None:
    head = Tunnel("a", 1, user, password, limits=LIMITS).data_to_send()
    assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(credentials) + b"\r\n" in head


@pytest.mark.parametrize("host", ["é.org", "a b", "a\r\nX: y", "a\x00"])
def test_hosts_that_can_not_be_sent_are_refused(host: str) -> None:
    with pytest.raises(LocalProtocolError):
        Tunnel(host, 443, limits=LIMITS)


def test_a_user_with_a_colon_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="colon"):
        Tunnel("a", 1, "a:b", "c", limits=LIMITS)


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        # RFC 9110, section 9.3.6: to be ignored where the method is CONNECT.
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_2xx_establishes_it(head: bytes, size: int) -> None:
    made = tunnel()
    for start in range(0, len(head), size):
        assert not made.established
        made.receive_data(head[start : start + size])
    assert made.established
    assert made.failed is None
    assert made.trailing == b""


def test_what_the_host_said_at_once_is_kept() -> None:
    made = tunnel()
    made.receive_data(b"HTTP/1.1 200 OK\r\n\r\nearly")
    assert made.trailing == b"early"
    made.receive_eof()
    assert made.failed is None


@pytest.mark.parametrize(
    ("said", "data"),
    [
        (
            "http://user:password@proxy",
            b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
        ),
        ("status 403 (Forbidden): by policy", b"HTTP/1.1 403 F\r\nContent-Length: 9\r\n\r\nby policy"),
        ("status 502", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        ("status 301", b"HTTP/1.1 301 M\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n"),
        ("speaks TLS", b"\x15\x03\x01\x00\x02\x02\x46"),
        ("does not answer with HTTP", b"SSH-2.0-x\r\n"),
        ("not correct HTTP", b"HTTP/1.1 abc\r\n\r\n"),
        ("not correct HTTP", b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        ("max_head=2000", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3_000),
        ("max_headers=20", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 21 + b"\r\n"),
        ("max_payload=1000", b"HTTP/1.1 403 F\r\nContent-Length: 1001\r\n\r\n"),
        ("interim", b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
    ],
)
def test_anything_else_is_told(said: str, data: bytes) -> None:
    for size in (1, 10_000):
        made = tunnel()
        for start in range(0, len(data), size):
            made.receive_data(data[start : start + size])
        assert not made.established
        assert made.failed is not None
        assert made.failed.startswith("the proxy ")
        assert said in made.failed
        assert made.trailing == b""


def test_the_end_of_the_connection_is_told() -> None:
    for data in (b"", b"HTTP/1.1 200"):
        made = tunnel()
        made.receive_data(data)
        made.receive_eof()
        assert not made.established
        assert made.failed is not None
        assert "closed the connection" in made.failed


@given(data=st.one_of(st.binary(max_size=100), st.binary(max_size=60).map(lambda rest: b"HTTP/1.1 200" + rest)))
def test_nothing_that_a_proxy_sends_raises(data: bytes) -> None:
    made = tunnel()
    made.receive_data(data)
    made.receive_eof()
    assert made.established != (made.failed is not None)
