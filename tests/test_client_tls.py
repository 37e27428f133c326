"""TLS of clients: verified unless somebody says otherwise, with errors that say what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from client_harness import FreePort, Peer, no_descriptor_left, play, serving
from driver_harness import each_host
from line_client import DialFailed, LineClientApp, LineDial

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


class Authority:
    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.server = self.new_server("127.0.0.1", "localhost")
        self.client = self.trusting(ssl.create_default_context())

    def new_server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def trusting(self, context: ssl.SSLContext) -> ssl.SSLContext:
        self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def over_tls(context: ssl.SSLContext, behave: Callable[[Peer], object]) -> Callable[[Peer], None]:
    def attend(peer: Peer) -> None:
        with context.wrap_socket(peer.sock, server_side=True, suppress_ragged_eofs=False) as sock:
            behave(Peer(sock))
            # The answer to the client's close_notify, so that it is not lost.
            sock.unwrap()

    return attend


def echo(peer: Peer) -> None:
    while line := peer.line():
        peer.send(line + "\n")


async def failure(dial: LineDial) -> str:
    with pytest.raises(DialFailed) as caught:
        await dial.opened()
    return str(caught.value)


each_version = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@each_host
@each_version
def test_lines_are_answered_over_tls(host: str, version: ssl.TLSVersion, authority: Authority) -> None:
    app = LineClientApp()
    context = authority.trusting(ssl.create_default_context())
    context.minimum_version = context.maximum_version = version
    big = "x" * 300_000

    async def scenario() -> None:
        connection = app.protocol.connect(address, secure=True, ssl_context=context)
        assert await connection.ask("hello") == "hello"
        assert await connection.ask(big) == big
        connection.close()
        await connection.gone()
        assert connection.log == ["connected", "eof", "lost"]

    with serving(over_tls(authority.server, echo)) as address:
        play(host, app, scenario)


@each_host
@each_version
def test_what_comes_right_behind_the_handshake_is_heard(
    host: str, version: ssl.TLSVersion, authority: Authority
) -> None:
    app = LineClientApp()
    context = authority.trusting(ssl.create_default_context())
    context.minimum_version = context.maximum_version = version

    async def scenario() -> None:
        connection = app.protocol.connect(address, secure=True, ssl_context=context)
        assert await connection.line() == "welcome"
        await connection.gone()

    with serving(over_tls(authority.server, lambda peer: peer.send("welcome\n"))) as address:
        play(host, app, scenario)


@each_host
def test_the_name_is_sent_and_http_is_said_to_be_spoken(
    host: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = LineClientApp()
    names: list[str | None] = []
    protocols: list[str | None] = []
    server = authority.new_server("localhost")
    server.set_alpn_protocols(["h2", "http/1.1"])
    server.sni_callback = lambda _, name, __: names.append(name)
    # The system does not know the test's authority.
    real = ssl.create_default_context
    made: list[ssl.SSLContext] = []

    def create_default_context(*args: Any, **options: Any) -> ssl.SSLContext:
        context = authority.trusting(real(*args, **options))
        made.append(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_default_context)

    def behave(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        protocols.append(peer.sock.selected_alpn_protocol())
        echo(peer)

    async def scenario() -> None:
        for _ in range(2):
            connection = app.protocol.connect(("localhost", address[1]), secure=True)
            assert await connection.ask("hello") == "hello"
            connection.close()
            await connection.gone()

    with serving(over_tls(server, behave)) as address:
        play(host, app, scenario)
    assert names == ["localhost"] * 2
    assert protocols == ["http/1.1"] * 2
    assert len(made) == 1, "the context is made once"


@each_host
def test_an_unknown_authority_is_refused_with_what_to_do(host: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(address, secure=True))
        assert sentence == (
            f"no TLS connection to 127.0.0.1:{address[1]}: its certificate is not valid: unable to get local issuer"
            " certificate; to trust another authority, give a context that knows it with ssl_context="
        )

    with serving(over_tls(authority.server, echo)) as address:
        play(host, app, scenario)


@each_host
def test_another_name_is_refused_unless_it_is_given(host: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        options: dict[str, Any] = {"secure": True, "ssl_context": authority.client}
        sentence = await failure(app.protocol.connect(address, **options))
        assert "certificate is not valid for '127.0.0.1'" in sentence
        assert sentence.endswith("; if it is the right server, give the name in the certificate with server_hostname=")
        connection = app.protocol.connect(address, server_hostname="other.example", **options)
        assert await connection.ask("hello") == "hello"

    with serving(over_tls(authority.new_server("other.example"), echo)) as address:
        play(host, app, scenario)


@each_host
def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate(host: str, authority: Authority) -> None:
    app = LineClientApp()

    def behave(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n")

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(address, secure=True, ssl_context=authority.client))
        assert sentence.endswith("it does not speak TLS at this port; is the URL's scheme http:// or ws://?")

    with serving(behave) as address:
        play(host, app, scenario)


@each_host
def test_an_end_within_the_handshake_is_told(host: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(address, secure=True, ssl_context=authority.client))
        assert sentence == f"127.0.0.1:{address[1]} has closed the connection within the TLS handshake"

    with serving(lambda peer: peer.sock.recv(100_000)) as address:
        play(host, app, scenario)


@each_host
def test_a_reset_within_the_handshake_is_told(host: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(address, secure=True, ssl_context=authority.client))
        assert sentence.endswith(": connection reset by peer")

    def behave(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.reset()

    with serving(behave) as address:
        play(host, app, scenario)


@each_host
def test_a_server_that_refuses_the_versions_is_told(host: str, authority: Authority) -> None:
    app = LineClientApp()
    server = authority.new_server("127.0.0.1")
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client = authority.trusting(ssl.create_default_context())
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(address, secure=True, ssl_context=client))
        assert sentence.endswith(": tlsv1 alert protocol version")

    with serving(over_tls(server, echo)) as address:
        play(host, app, scenario)


@each_host
@pytest.mark.parametrize("name", [".example", "x" * 70, "\0"])
def test_a_name_that_tls_can_not_send_is_an_error(host: str, name: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        dial = app.protocol.connect(address, secure=True, ssl_context=authority.client, server_hostname=name)
        assert (await failure(dial)).startswith(f"no TLS connection to 127.0.0.1:{address[1]}: ")

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
def test_calling_off_a_handshake_closes_the_connection(host: str, authority: Authority) -> None:
    app = LineClientApp()
    ended: list[bytes] = []

    def behave(peer: Peer) -> None:
        peer.sock.recv(100_000)
        began.append(None)
        other.send("began")
        ended.append(peer.sock.recv(1))

    began: list[None] = []
    other: LineDial

    async def scenario() -> None:
        nonlocal other
        other = await app.protocol.connect(plain).opened()
        connection = app.protocol.connect(address, secure=True, ssl_context=authority.client)
        assert await other.line() == "began"
        connection.abort()
        assert await other.ask("still there?") == "still there?"
        assert connection.transport is None
        assert connection.log == []

    with serving(echo) as plain, serving(behave) as address:
        play(host, app, scenario)
    assert ended == [b""]


@each_host
def test_tls_through_a_unix_socket_uses_the_name_of_the_url(host: str, authority: Authority, tmp_path: Any) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(address, secure=True, ssl_context=authority.client)
        assert await connection.ask("hello") == "hello"

    with serving(over_tls(authority.server, echo), unix_path=str(tmp_path / "socket")) as address:
        play(host, app, scenario)


@each_host
def test_every_byte_of_the_handshake_can_come_alone(host: str, authority: Authority) -> None:
    app = LineClientApp()

    def behave(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.server.wrap_bio(incoming, outgoing, server_side=True)
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drive(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    result = None
                for byte in outgoing.read():
                    peer.sock.sendall(bytes([byte]))
                if result is not None:
                    return result
                incoming.write(peer.sock.recv(65_536))

        def shake_hands() -> bool:
            tls.do_handshake()
            return True

        drive(shake_hands)
        assert drive(lambda: tls.read(100)) == b"hello\n"
        drive(lambda: tls.write(b"hello\n"))

    async def scenario() -> None:
        connection = app.protocol.connect(address, secure=True, ssl_context=authority.client)
        assert await connection.ask("hello") == "hello"

    with serving(behave) as address:
        play(host, app, scenario)


@each_host
def test_a_refused_port_is_refused_before_tls(host: str, authority: Authority) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(FreePort().address, secure=True, ssl_context=authority.client))
        assert "connection refused" in sentence

    play(host, app, scenario)
