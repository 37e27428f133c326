"""WebTransport over HTTP/3: one UDP socket, the QUIC connections on it, and the streams that carry sessions.

QUIC and HTTP/3 are aioquic's, which does no I/O: datagrams go in and come out, and deadlines are kept in the endpoint's
timers. A browser's WebTransport session is an extended CONNECT request (draft-ietf-webtrans-http3); the first
bidirectional stream that the client opens in it becomes a connection of the endpoint.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    ProtocolNegotiated,
    QuicEvent,
    StreamReset,
)
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_version_negotiation,
    pull_quic_header,
)

from siocore._driver.interfaces import Address
from siocore.driven import ServerEndpoint
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.webtransport import WebTransportStream
from siocore.engineio.gate import check_origin
from siocore.options import WebTransport
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["QuicPort", "load_configuration", "open_ports"]

#: Datagrams read in one go.
_BATCH: Final = 256
#: QUIC connections that have no stream for a session yet, or no more: each is some 100 KB of keys and buffers.
_MAX_IDLE: Final = 1_000
#: Seconds without a datagram after which a QUIC connection is over. Heartbeats keep those of sessions alive.
_IDLE_TIMEOUT: Final = 60.0
_RECEIVE_BUFFER: Final = 4 * 1_048_576
# draft-ietf-webtrans-http3, section 5: the capsule that ends a session, with code 0 and no reason.
_CLOSE_SESSION: Final = encode_uint_var(0x2843) + encode_uint_var(4) + bytes(4)
_DRAFT: Final = (b"sec-webtransport-http3-draft", b"draft02")


def open_ports(protocol: ServerEndpoint, addresses: Sequence[Address], settings: WebTransport) -> list[QuicPort]:
    """A UDP socket for each address on which TCP is accepted: clients look for WebTransport there.

    Raises OSError if one can't be had, or if the certificate can't be read, ValueError if it makes no sense.
    """
    if not isinstance(protocol, EngineServerProtocol):
        raise TypeError(f"a {type(protocol).__name__} can't be served over WebTransport")
    ports: list[QuicPort] = []
    try:
        for address in addresses:
            if isinstance(address, str):
                raise ValueError("WebTransport needs a host and port: it can't be served on a Unix socket")
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.bind(address)
                ports.append(QuicPort(protocol, sock, settings))
            except BaseException:
                sock.close()
                raise
    except BaseException:
        for port in ports:
            port.close()
        raise
    return ports


def load_configuration(settings: WebTransport) -> QuicConfiguration:
    """What QUIC needs to know. Raises OSError or ValueError for files that are no certificate with its key."""
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=H3_ALPN, max_datagram_frame_size=65_536, idle_timeout=_IDLE_TIMEOUT
    )
    try:
        configuration.load_cert_chain(settings.certificate, settings.private_key)
    except IndexError:
        raise ValueError("there is no certificate in it") from None
    if configuration.private_key is None:
        raise ValueError("there is no private key in it")
    return configuration


class QuicPort:
    """One UDP socket."""

    def __init__(self, protocol: EngineServerProtocol, sock: socket.socket, settings: WebTransport) -> None:
        configuration = load_configuration(settings)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.protocol = protocol
        self._sock = sock
        self._configuration = configuration
        self._by_id: dict[bytes, _Peer] = {}
        self._peers: set[_Peer] = set()
        self._dirty: dict[_Peer, None] = {}
        self._accepting = True
        #: Streams that carry sessions, or may.
        self.open = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def stop_accepting(self) -> None:
        self._accepting = False

    def close(self) -> None:
        """Tell every peer, as far as the kernel takes it at once, and close the socket."""
        for peer in tuple(self._peers):
            peer.quic.close(error_code=ErrorCode.H3_NO_ERROR)
            self._transmit(peer, self.protocol.latest)
        self._sock.close()

    def read(self, now: float) -> None:
        """Take what has arrived."""
        for _ in range(_BATCH):
            try:
                data, address = self._sock.recvfrom(65_536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An ICMP error of an earlier datagram. QUIC finds out by itself.
                continue
            self._datagram(data, address, now)

    def write(self, now: float) -> bool:
        """Send what has become of reading, timers and the endpoint's output. Returns whether there was anything."""
        worked = bool(self._dirty)
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for peer in dirty:
                self._transmit(peer, now)
        return worked

    def mark(self, peer: _Peer) -> None:
        """The peer may have something to send."""
        self._dirty[peer] = None

    def forget(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        self._dirty.pop(peer, None)
        for cid in peer.ids:
            self._by_id.pop(cid, None)

    def add_id(self, cid: bytes, peer: _Peer) -> None:
        peer.ids.add(cid)
        self._by_id[cid] = peer

    def remove_id(self, cid: bytes, peer: _Peer) -> None:
        peer.ids.discard(cid)
        self._by_id.pop(cid, None)

    def _datagram(self, data: bytes, address: tuple[str, int], now: float) -> None:
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=self._configuration.connection_id_length)
        except ValueError:
            return
        peer = self._by_id.get(header.destination_cid)
        if peer is None:
            if header.packet_type == QuicPacketType.VERSION_NEGOTIATION or header.version is None:
                return
            if header.version not in self._configuration.supported_versions:
                if len(data) >= SMALLEST_MAX_DATAGRAM_SIZE:
                    self._send(
                        encode_quic_version_negotiation(
                            source_cid=header.destination_cid,
                            destination_cid=header.source_cid,
                            supported_versions=self._configuration.supported_versions,
                        ),
                        address,
                    )
                return
            if (
                header.packet_type != QuicPacketType.INITIAL
                or len(data) < SMALLEST_MAX_DATAGRAM_SIZE
                or not self._accepting
                or self._has_many_idle()
            ):
                return
            quic = QuicConnection(
                configuration=self._configuration, original_destination_connection_id=header.destination_cid
            )
            peer = _Peer(self, quic, address)
            self._peers.add(peer)
            self.add_id(header.destination_cid, peer)
            self.add_id(quic.host_cid, peer)
        peer.receive(data, address, now)

    def _has_many_idle(self) -> bool:
        # One connection can have several sessions, so that their number says nothing of the connections without any.
        return len(self._peers) >= _MAX_IDLE and sum(peer.idle for peer in self._peers) >= _MAX_IDLE

    def _transmit(self, peer: _Peer, now: float) -> None:
        peer.fill()
        for data, address in peer.quic.datagrams_to_send(now=now):
            self._send(data, address)
        peer.sent(now)

    def _send(self, data: bytes, address: tuple[str, int]) -> None:
        # What the kernel does not take is lost, as on the network: QUIC sends it again.
        with contextlib.suppress(OSError):
            self._sock.sendto(data, address)


class _Peer:
    """One QUIC connection, and the WebTransport sessions on it."""

    def __init__(self, port: QuicPort, quic: QuicConnection, address: tuple[str, int]) -> None:
        self.quic = quic
        self.ids: set[bytes] = set()
        self._port = port
        self._address = address
        self._h3: H3Connection | None = None
        # By the stream of their CONNECT request.
        self._sessions: dict[int, _WebTransportSession] = {}
        self._timer: Timer | None = None
        self._timer_at: float | None = None

    def receive(self, data: bytes, address: tuple[str, int], now: float) -> None:
        if not all(session.stream.wants_read for session in self._sessions.values()):
            # Not acknowledged, so it will come again: this is the backpressure that QUIC leaves us.
            return
        self.quic.receive_datagram(data, address, now=now)
        self._pump(now)

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._timer_at = None
        self.quic.handle_timer(now=now)
        self._pump(now)

    def fill(self) -> None:
        """Hand the output of the endpoint to QUIC, where it does not wait there already."""
        for session in self._sessions.values():
            session.fill()

    def sent(self, now: float) -> None:
        """Datagrams were taken: see what could not leave, and set the timer."""
        for session in tuple(self._sessions.values()):
            session.sent(now)
        timers = self._port.protocol.timers
        deadline = self.quic.get_timer()
        if deadline != self._timer_at:
            timers.cancel(self._timer)
            self._timer_at = deadline
            self._timer = None if deadline is None else timers.arm(deadline, self, 0)

    @property
    def idle(self) -> bool:
        """Whether it has no WebTransport session."""
        return not self._sessions

    def end_session(self, connect_stream: int) -> None:
        self._sessions.pop(connect_stream, None)
        self._port.open -= 1

    def mark(self) -> None:
        self._port.mark(self)

    def _pump(self, now: float) -> None:
        while (event := self.quic.next_event()) is not None:
            self._quic_event(event, now)
        self._port.mark(self)

    def _quic_event(self, event: QuicEvent, now: float) -> None:
        if isinstance(event, ConnectionIdIssued):
            self._port.add_id(event.connection_id, self)
        elif isinstance(event, ConnectionIdRetired):
            self._port.remove_id(event.connection_id, self)
        elif isinstance(event, ProtocolNegotiated):
            self._h3 = H3Connection(self.quic, enable_webtransport=True)
        elif isinstance(event, ConnectionTerminated):
            self._lost(now)
            return
        elif isinstance(event, StreamReset):
            self._reset(event.stream_id, now)
        if self._h3 is not None:
            for each in self._h3.handle_event(event):
                self._h3_event(self._h3, each, now)

    def _h3_event(self, h3: H3Connection, event: H3Event, now: float) -> None:
        if isinstance(event, HeadersReceived):
            if event.stream_id not in self._sessions:
                self._request(h3, event)
        elif isinstance(event, WebTransportStreamDataReceived):
            session = self._sessions.get(event.session_id)
            # Unidirectional streams have bit 1 set, and those of the server bit 0.
            if session is not None and not event.stream_id & 3 and session.takes(event.stream_id):
                session.receive(event.data, event.stream_ended, now)
        elif isinstance(event, DataReceived):
            session = self._sessions.get(event.stream_id)
            # Capsules: a client's only one is the end of the session, and the end of the stream says the same.
            if session is not None and (event.stream_ended or event.data.startswith(_CLOSE_SESSION[:2])):
                session.ended(now)

    def _request(self, h3: H3Connection, event: HeadersReceived) -> None:
        fields = dict(event.headers)
        path = fields.get(b":path", b"").decode("latin-1")
        headers = [(name, value) for name, value in event.headers if not name.startswith(b":")]
        headers.append((b"host", fields.get(b":authority", b"")))
        request = Request("CONNECT", path or "/", headers, self._address, True)
        protocol = self._port.protocol
        options = protocol.options
        if fields.get(b":method") != b"CONNECT" or fields.get(b":protocol") != b"webtransport":
            status = b"405"
        elif request.path.rstrip("/") != options.path.rstrip("/"):
            status = b"404"
        elif not check_origin(request, options):
            status = b"403"
        elif protocol.stopping:
            status = b"503"
        else:
            h3.send_headers(event.stream_id, [(b":status", b"200"), _DRAFT])
            self._sessions[event.stream_id] = _WebTransportSession(self, h3, event.stream_id, request, protocol)
            self._port.open += 1
            return
        h3.send_headers(event.stream_id, [(b":status", status)], end_stream=True)

    def _reset(self, stream_id: int, now: float) -> None:
        for session in tuple(self._sessions.values()):
            if stream_id in (session.connect_stream, session.stream_id):
                session.ended(now)

    def _lost(self, now: float) -> None:
        for session in tuple(self._sessions.values()):
            session.lost(now)
        self._port.protocol.timers.cancel(self._timer)
        self._timer = None
        self._port.forget(self)


class _WebTransportSession:
    """One WebTransport session, and the stream of it that is a connection of the endpoint."""

    def __init__(
        self, peer: _Peer, h3: H3Connection, connect_stream: int, request: Request, protocol: EngineServerProtocol
    ) -> None:
        self.connect_stream = connect_stream
        #: The QUIC stream, once the client has opened it.
        self.stream_id: int | None = None
        self.stream = WebTransportStream(protocol, request)
        self.stream.transport = self
        protocol.connections.add(self.stream)
        self._peer = peer
        self._h3 = h3
        self._over = False

    def mark(self) -> None:
        """The endpoint has output for the stream, or has changed its flags."""
        self._peer.mark()

    def takes(self, stream_id: int) -> bool:
        """Whether this is the stream: the first that the client opens."""
        if self.stream_id is None:
            self.stream_id = stream_id
        return self.stream_id == stream_id

    def receive(self, data: bytes, ended: bool, now: float) -> None:
        if data:
            self.stream.receive_data(data, now)
        if ended:
            self.stream.receive_eof(now)

    def ended(self, now: float) -> None:
        """The client has ended the session."""
        self.stream.receive_eof(now)

    def fill(self) -> None:
        stream = self.stream
        if self._over:
            return
        if stream.aborted:
            self._end(reset=True)
            return
        # While earlier output waits for the peer, later output waits in the core, which counts it.
        if self.stream_id is not None and not self._unsent():
            data = stream.data_to_send()
            if data:
                self._peer.quic.send_stream_data(self.stream_id, data)
        if stream.closed and not stream.buffered:
            self._end(reset=False)

    def sent(self, now: float) -> None:
        stream = self.stream
        unsent = self._unsent()
        flushed = stream.unsent > 0 and unsent == 0
        stream.unsent = unsent
        if self._over:
            self.lost(now)
        elif flushed:
            stream.flushed(now)
            self._peer.mark()

    def lost(self, now: float) -> None:
        """The session is over on both sides, or its QUIC connection is gone."""
        if self.stream.transport is not None:
            self.stream.transport = None
            self._peer.end_session(self.connect_stream)
            self.stream.connection_lost(now)

    def _end(self, *, reset: bool) -> None:
        self._over = True
        quic = self._peer.quic
        # The client may have ended these streams itself: then there is nothing to say.
        with contextlib.suppress(AssertionError, RuntimeError, ValueError):
            if self.stream_id is not None:
                if reset:
                    quic.reset_stream(self.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                else:
                    quic.send_stream_data(self.stream_id, b"", end_stream=True)
            self._h3.send_data(self.connect_stream, _CLOSE_SESSION, end_stream=True)

    def _unsent(self) -> int:
        """Bytes that QUIC was given and has not sent once: aioquic has no public word for it."""
        if self.stream_id is None:
            return 0
        stream = self._peer.quic._streams.get(self.stream_id)
        return 0 if stream is None else stream.sender._buffer_stop - stream.sender.next_offset
