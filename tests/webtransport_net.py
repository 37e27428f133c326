"""A WebTransport client and the server's UDP port, joined in memory, on virtual time."""

from __future__ import annotations

import datetime as dt
import ssl
from collections import deque
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from siocore import Server
from siocore._driver.quic import QuicPort
from siocore.codec.webtransport import PacketReader
from siocore.options import WebTransport

ADDRESS = ("192.0.2.1", 50_000)


def make_certificate(folder: Path) -> tuple[WebTransport, str]:
    """A certificate of the kind that browsers take by its hash (ECDSA, at most 14 days), and that SHA-256 in hex."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private_key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return WebTransport(certificate=certificate, private_key=private_key), made.fingerprint(hashes.SHA256()).hex()


@cache
def certificate() -> WebTransport:
    return make_certificate(Path(mkdtemp(prefix="siocore-")))[0]


class MemorySocket:
    """A UDP socket on a network that loses what it is told to."""

    def __init__(self) -> None:
        self.incoming: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.outgoing: list[bytes] = []
        self.closed = False

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.incoming:
            raise BlockingIOError
        return self.incoming.popleft()

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        self.outgoing.append(data)

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, level: int, name: int, value: int) -> None: ...

    def close(self) -> None:
        self.closed = True


class Net:
    """One server, and one client that may have several WebTransport sessions."""

    def __init__(self, app: Server, *, now: float = 100.0) -> None:
        self.app = app
        self.protocol = app.protocol
        self.now = now
        self.protocol.clock = lambda: self.now
        self.protocol.latest = now
        self.socket = MemorySocket()
        self.port = QuicPort(self.protocol, cast("Any", self.socket), certificate())
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, max_datagram_frame_size=65_536, verify_mode=ssl.CERT_NONE
        )
        self.quic = QuicConnection(configuration=configuration)
        self.quic.connect(("198.51.100.1", 443), now=now)
        self.h3 = H3Connection(self.quic, enable_webtransport=True)
        #: Whether datagrams get through, from the client and from the server.
        self.uplink = self.downlink = True
        self.events: list[H3Event | StreamReset | ConnectionTerminated] = []
        self.packets: dict[int, list[str | bytes]] = {}
        self._readers: dict[int, PacketReader] = {}
        self.settle()

    # The client ---------------------------------------------------------------------------------------------------

    def request(self, path: str = "/socket.io/", *headers: tuple[bytes, bytes], method: bytes = b"CONNECT") -> int:
        """Ask for a WebTransport session; returns the id of its stream."""
        stream = self.quic.get_next_available_stream_id()
        pseudo = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", b"test.example"),
            (b":path", path.encode()),
        ]
        if method == b"CONNECT":
            pseudo.append((b":protocol", b"webtransport"))
        self.h3.send_headers(stream, [*pseudo, *headers], end_stream=method != b"CONNECT")
        self.settle()
        return stream

    def knock(self) -> None:
        """The first datagram of another QUIC connection, which is never heard of again."""
        quic = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN))
        quic.connect(("198.51.100.1", 443), now=self.now)
        for data, _ in quic.datagrams_to_send(now=self.now):
            self.socket.incoming.append((data, ADDRESS))
        self.port.read(self.now)

    def status(self, stream: int) -> int:
        """What the server answered to the request on this stream."""
        for event in self.events:
            if isinstance(event, HeadersReceived) and event.stream_id == stream:
                return int(dict(event.headers)[b":status"])
        raise AssertionError("not answered")

    def open(self, session: int, first: bytes | None = b"\x010") -> int:
        """Open a stream in a session and send its first bytes: by default, the packet OPEN."""
        stream = self.h3.create_webtransport_stream(session)
        self.packets[stream] = []
        self._readers[stream] = PacketReader(10_000_000)
        if first is not None:
            self.send(stream, first)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.quic.send_stream_data(stream, data, end_stream=end)
        self.settle()

    def ended(self, session: int) -> bool:
        """Whether the server has ended a session."""
        return any(
            isinstance(each, DataReceived) and each.stream_id == session and each.stream_ended for each in self.events
        )

    # Time and network ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Pass datagrams and run handlers until nothing has happened for a while: QUIC spreads what it sends."""
        quiet = 0
        while quiet < 10:
            worked = False
            for data, _ in self.quic.datagrams_to_send(now=self.now):
                worked = True
                if self.uplink:
                    self.socket.incoming.append((data, ADDRESS))
            self.port.read(self.now)
            worked |= self._serve()
            sent, self.socket.outgoing = self.socket.outgoing, []
            for data in sent:
                worked = True
                if self.downlink:
                    self.quic.receive_datagram(data, ("198.51.100.1", 443), now=self.now)
            self._look()
            quiet = 0 if worked else quiet + 1
            self.now += 0.005
            self._tick()

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that falls due happens at its own time."""
        end = self.now + seconds
        self.settle()
        while self.now < end:
            deadlines = [each for each in (self.protocol.next_deadline(), self.quic.get_timer()) if each is not None]
            moment = min(deadlines, default=end)
            if moment > end:
                break
            self.now = max(moment, self.now)
            self._tick()
            self.settle()
        self.now = max(end, self.now)

    def _tick(self) -> None:
        deadline, timer = self.protocol.next_deadline(), self.quic.get_timer()
        if deadline is not None and deadline <= self.now:
            self.protocol.handle_timeout(self.now)
        if timer is not None and timer <= self.now:
            self.quic.handle_timer(self.now)

    def _serve(self) -> bool:
        worked = False
        while (event := self.protocol.next_event()) is not None:
            worked = True
            rest = self.app.dispatch(event)
            if rest is not None:
                try:
                    rest.send(None)
                except StopIteration:
                    continue
                raise AssertionError("handlers of these tests do not suspend")
        for connection in self.protocol.take_ready():
            worked = True
            if connection.transport is not None:
                connection.transport.mark()
        return self.port.write(self.now) or worked

    def _look(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, (StreamReset, ConnectionTerminated)):
                self.events.append(event)
            if isinstance(event, StreamDataReceived) and event.stream_id in self._readers:
                # What comes back on a stream of ours has no header of HTTP/3, which aioquic would look for.
                packets, fault = self._readers[event.stream_id].feed(event.data)
                assert fault is None
                self.packets[event.stream_id] += packets
            else:
                self.events += self.h3.handle_event(event)
