"""Clients behind HTTP proxies: the CONNECT method (RFC 9110, section 9.3.6), then whatever there would be without."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from typing import Any

import pytest
import trustme

from client_harness import FreePort, Peer, no_descriptor_left, play, serving
from driver_harness import each_host
from line_client import DialFailed, LineClientApp, LineDial
from siocore._driver.proxies import Proxy, proxy_for
from siocore.target import Target

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


class ConnectProxy:
    """A proxy that connects everybody to one address; it keeps what it was asked for."""

    def __init__(self, address: tuple[str, int], *, credentials: str | None = None) -> None:
        self.address = address
        self.credentials = credentials
        self.requests: list[str] = []
        self.seen: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        head = []
        while line := peer.line().rstrip("\r"):
            head.append(line)
        self.requests.append(head[0])
        expected = "" if self.credentials is None else base64.b64encode(self.credentials.encode()).decode()
        if self.credentials is not None and f"Proxy-Authorization: Basic {expected}" not in head:
            peer.send("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(self.address) as onward:
            peer.send("HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pass, args=[onward, peer.sock])
            back.start()
            self._pass(peer.sock, onward, self.seen)
            back.join()

    @staticmethod
    def _pass(source: socket.socket, destination: socket.socket, seen: list[bytes] | None = None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if seen is not None:
                    seen.append(data)
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)


def echo(peer: Peer) -> None:
    while line := peer.line():
        peer.send(line + "\n")


def url(address: tuple[str, int], user: str = "") -> str:
    return f"http://{user}{address[0]}:{address[1]}"


async def failure(dial: LineDial) -> str:
    with pytest.raises(DialFailed) as caught:
        await dial.opened()
    return str(caught.value)


@each_host
def test_lines_go_through_a_proxy(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        # The proxy knows this name, and nobody else does.
        connection = app.protocol.connect(("far.example", 4000), proxy=url(proxy_address))
        connection.send("early")
        assert await connection.line() == "early"
        assert await connection.ask("hello") == "hello"
        connection.close()
        await connection.gone()

    with serving(echo) as address:
        proxy = ConnectProxy(address)
        with serving(proxy) as proxy_address:
            play(host, app, scenario)
    assert proxy.requests == ["CONNECT far.example:4000 HTTP/1.1"]


@each_host
def test_tls_goes_through_a_proxy_and_is_for_the_server(host: str) -> None:
    app = LineClientApp()
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("far.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    def behave(peer: Peer) -> None:
        with server.wrap_socket(peer.sock, server_side=True) as sock:
            echo(Peer(sock))

    async def scenario() -> None:
        connection = app.protocol.connect(
            ("far.example", 443), secure=True, ssl_context=client, proxy=url(proxy_address)
        )
        assert await connection.ask("a secret") == "a secret"

    with serving(behave) as address:
        proxy = ConnectProxy(address)
        with serving(proxy) as proxy_address:
            play(host, app, scenario)
    assert proxy.requests == ["CONNECT far.example:443 HTTP/1.1"]
    assert b"a secret" not in b"".join(proxy.seen)


@each_host
def test_a_proxy_can_ask_for_a_name_and_a_password(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        proxy = url(proxy_address, user="me:p%40ss%3Aword@")
        connection = app.protocol.connect(("far.example", 80), proxy=proxy)
        assert await connection.ask("hello") == "hello"
        sentence = await failure(app.protocol.connect(("far.example", 80), proxy=url(proxy_address, user="me:bad@")))
        assert sentence.startswith(
            f"could not connect to far.example:80 through the proxy 127.0.0.1:{proxy_address[1]}: the proxy asks for a"
            " user name and password"
        )
        assert "bad" not in sentence

    with serving(echo) as address, serving(ConnectProxy(address, credentials="me:p@ss:word")) as proxy_address:
        play(host, app, scenario)


@each_host
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused"),
        ("HTTP/1.1 200 OK\r", "the proxy failed"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "the proxy failed"),
        ("", "the proxy failed"),
    ],
    ids=["refusing", "cut", "foreign", "silent"],
)
def test_a_proxy_that_does_not_connect_is_told(host: str, answer: str, reason: str) -> None:
    app = LineClientApp()

    def behave(peer: Peer) -> None:
        while peer.line().rstrip("\r"):
            pass
        peer.send(answer)

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(("far.example", 80), proxy=url(proxy_address)))
        assert sentence.startswith(
            f"could not connect to far.example:80 through the proxy 127.0.0.1:{proxy_address[1]}"
        )
        assert reason in sentence

    with serving(behave) as proxy_address:
        play(host, app, scenario)


@each_host
def test_what_comes_with_the_answer_of_the_proxy_is_heard_in_clear_and_refused_before_tls(host: str) -> None:
    app = LineClientApp()

    def behave(peer: Peer) -> None:
        while peer.line().rstrip("\r"):
            pass
        peer.send("HTTP/1.1 200 OK\r\n\r\nwelcome\n")
        peer.line()

    async def scenario() -> None:
        assert await app.protocol.connect(("far.example", 80), proxy=url(proxy_address)).line() == "welcome"
        sentence = await failure(app.protocol.connect(("far.example", 443), secure=True, proxy=url(proxy_address)))
        assert sentence == "no TLS connection to far.example:443: something else has answered"

    with serving(behave) as proxy_address:
        play(host, app, scenario)


@each_host
def test_a_proxy_that_is_not_there_is_told(host: str) -> None:
    app = LineClientApp()
    nowhere = FreePort().address

    async def scenario() -> None:
        assert (
            await failure(app.protocol.connect(("far.example", 80), proxy=url(nowhere)))
            == f"could not connect to the proxy 127.0.0.1:{nowhere[1]}: connection refused; is it running?"
        )
        sentence = await failure(app.protocol.connect(("far.example", 80), proxy=f"http://{'x' * 70}.example"))
        assert sentence.startswith("the proxy 'xxx")

    play(host, app, scenario)


@each_host
@pytest.mark.parametrize(
    ("proxy", "address", "reason"),
    [
        (
            "https://127.0.0.1:1",
            ("far.example", 80),
            "a proxy has a URL like http://user:password@proxy:3128; https:// is not supported",
        ),
        (
            "socks5://secret:secret@127.0.0.1:1",
            ("far.example", 80),
            "a proxy has a URL like http://user:password@proxy:3128; socks5:// is not supported",
        ),
        ("http://127.0.0.1:99999", ("far.example", 80), "the port of a proxy's URL is a number up to 65535"),
        (
            "http://:3128",
            ("far.example", 80),
            "a proxy has a URL like http://user:password@proxy:3128; this one has no host",
        ),
        ("http://[::1", ("far.example", 80), "a proxy has a URL like http://user:password@proxy:3128; not this one"),
    ],
)
def test_a_proxy_that_can_not_be_one_is_an_error(host: str, proxy: str, address: tuple[str, int], reason: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        assert await failure(app.protocol.connect(address, proxy=proxy)) == reason

    play(host, app, scenario)


@each_host
def test_a_name_that_can_not_be_sent_to_a_proxy_is_an_error(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(("f\u00e4r.example", 80), proxy=url(address)))
        assert "ASCII" in sentence

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
def test_a_dial_that_hangs_at_the_proxy_can_be_called_off(host: str) -> None:
    app = LineClientApp()
    heard = threading.Event()
    ended: list[bytes] = []

    def behave(peer: Peer) -> None:
        while peer.line().rstrip("\r"):
            pass
        heard.set()
        ended.append(peer.sock.recv(1))

    async def scenario() -> None:
        connection = app.protocol.connect(("far.example", 80), proxy=url(proxy_address))
        other = await app.protocol.connect(address).opened()
        while not heard.is_set():
            await other.ask("anything?")
        connection.abort()
        assert await other.ask("hello") == "hello"
        assert connection.log == []

    with serving(echo) as address, serving(behave) as proxy_address:
        play(host, app, scenario)
    assert ended == [b""]


# Which one


def chosen(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], **target: Any) -> str | None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    options: dict[str, Any] = {"host": "far.example", "port": 80, "secure": False, "trust_env": True, **target}
    proxy = proxy_for(Target(**options))
    return None if proxy is None else str(proxy)


@pytest.mark.parametrize(
    ("environ", "target", "expected"),
    [
        ({}, {}, None),
        ({"http_proxy": "http://p:1"}, {}, "p:1"),
        ({"HTTP_PROXY": "http://p:1"}, {}, "p:1"),
        ({"http_proxy": "p:1"}, {}, "p:1"),
        ({"http_proxy": "http://p"}, {}, "p:80"),
        ({"http_proxy": "http://[::1]:1"}, {}, "[::1]:1"),
        ({"http_proxy": "http://p:1"}, {"secure": True}, None),
        ({"https_proxy": "http://p:1"}, {"secure": True}, "p:1"),
        ({"all_proxy": "http://p:1"}, {"secure": True}, "p:1"),
        ({"all_proxy": "http://p:1", "http_proxy": "http://q:2"}, {}, "q:2"),
        ({"http_proxy": ""}, {}, None),
        ({"http_proxy": "http://p:1"}, {"trust_env": False}, None),
        ({"http_proxy": "http://p:1"}, {"proxy": "http://q:2"}, "q:2"),
        ({}, {"proxy": "http://q:2", "trust_env": False}, "q:2"),
        ({"http_proxy": "http://p:1"}, {"unix_path": "/socket"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, {}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "far.example"}, {}, None),
        ({"http_proxy": "http://p:1", "no_proxy": ".example"}, {}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "far.example:80"}, {}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "far.example:81"}, {}, "p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "other.example, ::1"}, {"host": "::1"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "127.0.0.1"}, {"host": "127.0.0.1"}, None),
    ],
)
def test_the_environment_chooses_where_it_is_trusted(
    environ: dict[str, str], target: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(monkeypatch, environ, **target) == expected


def test_the_password_of_a_proxy_is_not_shown() -> None:
    proxy = proxy_for(Target(host="h", port=1, secure=False, proxy="http://me:secret@p:1"))
    assert proxy == Proxy("p", 1, "me", "secret")
    assert "secret" not in str(proxy)
