"""TLS in the driver: the same turn, with an ssl.MemoryBIO between the socket and the core."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from driver_harness import Client, Flag, Server, each_host, run
from line_endpoint import LineApp, LineConnection, LineEndpoint, echo
from siocore._driver.wire import Wire

BIG = 8_000_000


class Certificates:
    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(self.server)
        self.client = self.new_client()

    def new_client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


each_version = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@each_host
@each_version
def test_lines_are_answered_over_tls(host: str, version: ssl.TLSVersion, certificates: Certificates) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        assert connection.secure
        echo(connection, text)

    def scenario(server: Server) -> None:
        clients = [server.connect_tls(context) for _ in range(5)]
        for client in clients:
            assert client.ask("hello") == "hello"
        clients[0].send("".join(f"{number}\n" for number in range(20_000)))
        assert [clients[0].line() for _ in range(20_000)] == [str(number) for number in range(20_000)]

    context = certificates.new_client()
    context.minimum_version = context.maximum_version = version
    run(host, LineApp(handler), scenario, ssl_context=certificates.server)


@each_host
def test_every_byte_of_the_handshake_can_come_alone(host: str, certificates: Certificates) -> None:
    def scenario(server: Server) -> None:
        with Peer(server, certificates) as peer:
            peer.chunk = 1
            peer.drive(peer.tls.do_handshake)
            peer.tls.write(b"hello\n")
            assert peer.drive(lambda: peer.tls.read(100)) == b"hello\n"

    run(host, LineApp(echo), scenario, ssl_context=certificates.server)


@each_host
def test_a_slow_reader_over_tls_gets_everything_in_order(host: str, certificates: Certificates) -> None:
    payload = b"0123456789" * (BIG // 10) + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        if text == "big":
            connection.send(payload)
        else:
            (other,) = (each for each in connection.endpoint.connections if each is not connection)
            other.send(b"more\n")
            assert isinstance(other.transport, Wire)
            assert other.transport.tls is not None
            connection.send(b"%d %d\n" % (other.unsent, other.transport.tls.backlog))

    def scenario(server: Server) -> None:
        slow, other = server.connect_tls(certificates.client), server.connect_tls(certificates.client)
        slow.send("big\n")
        first = slow.sock.recv(1)
        unsent, encrypted = other.ask("more").split()
        assert 1_000_000 < int(unsent) <= len(payload)
        # Only so much is encrypted ahead of the kernel, not all of it.
        assert int(encrypted) < 100_000
        received = [first]
        size = 1
        while size < len(payload) + len("more\n"):
            received.append(slow.sock.recv(1 << 20))
            size += len(received[-1])
        assert b"".join(received) == payload + b"more\n"

    run(host, LineApp(handler), scenario, ssl_context=certificates.server)


@each_host
def test_closing_sends_everything_and_close_notify(host: str, certificates: Certificates) -> None:
    gone = Flag()
    payload = b"x" * BIG + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        if text == "close":
            connection.send(payload)
            connection.close()
        else:
            heard.set()

    def scenario(server: Server) -> None:
        client = server.connect_tls(certificates.client)
        client.send("close\n")
        assert client.rest() == payload
        client.send("after\n")
        heard.wait()
        client.close()
        gone.wait()

    heard = Flag()
    run(host, LineApp(handler, gone=gone.set), scenario, ssl_context=certificates.server)


@each_host
def test_closed_sends_everything_and_close_notify(host: str, certificates: Certificates) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        connection.send(b"bye\n")
        connection.close_now()

    def scenario(server: Server) -> None:
        client = server.connect_tls(certificates.client)
        client.send("x\n")
        assert client.rest() == b"bye\n"

    run(host, LineApp(handler), scenario, ssl_context=certificates.server)


@each_host
def test_close_notify_is_the_end_though_the_connection_stays_open(host: str, certificates: Certificates) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        with Peer(server, certificates) as peer:
            peer.drive(peer.tls.do_handshake)
            peer.tls.write(b"last\n")
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
            peer.flush()
            assert peer.drive(lambda: peer.tls.read(100)) == b"last\n"
            # Its own close_notify, then the end.
            peer.drive(peer.tls.unwrap)
            assert peer.sock.recv(1) == b""
        gone.wait()

    run(host, LineApp(echo, gone=gone.set), scenario, ssl_context=certificates.server)


@each_host
@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"x" * 65_535, b"\x00"]
)
def test_a_peer_that_does_not_speak_tls_is_closed_and_makes_no_noise(
    host: str, sent: bytes, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        client = server.connect()
        # An alert, or a reset because of what we have not read.
        with contextlib.suppress(OSError):
            client.sock.sendall(sent)
            client.shut_down()
            client.rest()
        gone.wait()
        assert server.connect_tls(certificates.client).ask("alive") == "alive"

    run(host, LineApp(echo, gone=gone.set), scenario, ssl_context=certificates.server)
    assert not caplog.records


@each_host
def test_a_client_that_does_not_trust_us_is_closed_quietly(host: str, certificates: Certificates) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            server.connect_tls(ssl.create_default_context())
        gone.wait()
        assert server.connect_tls(certificates.client).ask("alive") == "alive"

    run(host, LineApp(echo, gone=gone.set), scenario, ssl_context=certificates.server)


@each_host
def test_a_broken_record_ends_the_connection(host: str, certificates: Certificates) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        with Peer(server, certificates) as peer:
            peer.drive(peer.tls.do_handshake)
            peer.sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            gone.wait()

    run(host, LineApp(echo, gone=gone.set), scenario, ssl_context=certificates.server)


@each_host
@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_leaves_within_the_handshake_is_forgotten(
    host: str, reset: bool, certificates: Certificates
) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        with Peer(server, certificates) as peer:
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            peer.flush()
            if reset:
                Client(peer.sock).reset()
            else:
                peer.sock.close()
        gone.wait()

    run(host, LineApp(echo, gone=gone.set), scenario, ssl_context=certificates.server)


@each_host
def test_the_deadline_of_the_endpoint_holds_for_the_handshake(host: str, certificates: Certificates) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        client = server.connect()
        # Its word "timeout" would be noise to somebody who expects TLS.
        assert client.rest() == b""
        gone.wait()

    endpoint = LineEndpoint(idle_timeout=0.02)
    run(host, LineApp(echo, gone=gone.set, endpoint=endpoint), scenario, ssl_context=certificates.server)


class Peer:
    """A TLS client in slow motion: its bytes are moved by hand."""

    def __init__(self, server: Server, certificates: Certificates) -> None:
        self.sock = server.connect().sock
        self.chunk = 65_536
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certificates.client.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def __enter__(self) -> Peer:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        while data := self._outgoing.read(self.chunk):
            self.sock.sendall(data)

    def drive(self, function: Callable[[], object]) -> object:
        while True:
            try:
                return function()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(self.chunk)
                assert data, "the server has closed the connection"
                self._incoming.write(data)
            finally:
                self.flush()
