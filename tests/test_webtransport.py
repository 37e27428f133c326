"""WebTransport: sessions on QUIC streams, with aioquic as the client, on virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siocore import Limits, Server, Socket
from siocore._speedups import binary_frame, text_frame
from siocore.codec.webtransport import PacketReader, packets_from_frames
from siocore.errors import DecodeError
from siocore.testing import TestServer
from siocore.testing.wire import FrameReader

pytest.importorskip("aioquic", reason="WebTransport needs aioquic")

from webtransport_net import ADDRESS, Net, certificate

ALL = ("polling", "websocket", "webtransport")


def packet(data: str | bytes) -> bytes:
    """A packet as a client sends it."""
    payload = data.encode() if isinstance(data, str) else data
    mark = 0 if isinstance(data, str) else 0x80
    if len(payload) < 126:
        return bytes((mark | len(payload),)) + payload
    if len(payload) < 65_536:
        return bytes((mark | 126,)) + len(payload).to_bytes(2, "big") + payload
    return bytes((mark | 127,)) + len(payload).to_bytes(8, "big") + payload


class Hall:
    """A server that echoes, and what it has seen."""

    def __init__(self, **options: Any) -> None:
        self.app = Server(transports=ALL, **options)
        self.seen: list[tuple[object, ...]] = []
        self.net = Net(self.app)

        @self.app.on("connection")
        def connected(socket: Socket) -> None:
            self.seen.append(("connected", socket.transport))

        @self.app.on("echo")
        async def echo(socket: Socket, *args: object) -> tuple[object, ...]:
            return args

        @self.app.on("disconnect")
        def disconnected(socket: Socket, reason: str) -> None:
            self.seen.append(("disconnected", reason))

    def join(self) -> tuple[int, int]:
        """A client that has joined the namespace /: its session and stream."""
        session = self.net.request()
        assert self.net.status(session) == 200
        stream = self.net.open(session)
        self.net.send(stream, packet("40"))
        return session, stream


# The form of packets ------------------------------------------------------------------------------------------------

messages = st.lists(st.one_of(st.text(min_size=1, max_size=200), st.binary(min_size=1, max_size=70_000)), max_size=8)


@given(messages, st.data())
def test_packets_cut_anywhere_are_read_whole(sent: list[str | bytes], data: st.DataObject) -> None:
    stream = b"".join(map(packet, sent))
    reader = PacketReader(100_000)
    read: list[str | bytes] = []
    start = 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        packets, fault = reader.feed(stream[start:end])
        assert fault is None
        read += packets
        start = end
    assert read == sent
    assert not reader.partial


@given(messages)
def test_our_frames_become_packets(sent: list[str | bytes]) -> None:
    frames = b"".join(text_frame(each.encode()) if isinstance(each, str) else binary_frame(each) for each in sent)
    assert packets_from_frames(frames) == b"".join(map(packet, sent))
    # The oracle of the frames themselves.
    assert [payload for _, payload in FrameReader().feed(frames)] == [
        each.encode() if isinstance(each, str) else each for each in sent
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00", "empty packet"),
        (b"\x80", "empty packet"),
        (b"\x7e\x00\x00", "empty packet"),
        (b"\x7e\x03\xe9", "packet too big"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", "packet too big"),
        (b"\x02\xff\xfe", "packet is not UTF-8"),
    ],
)
def test_a_fault_is_seen_as_early_as_it_can_be_and_what_is_before_it_counts(data: bytes, message: str) -> None:
    packets, fault = PacketReader(1_000).feed(packet("4before") + data)
    assert packets == ["4before"]
    assert isinstance(fault, DecodeError)
    assert str(fault) == message


def test_the_largest_packet_is_taken() -> None:
    assert PacketReader(1_000).feed(packet(b"x" * 1_000)) == ([b"x" * 1_000], None)


# Sessions -----------------------------------------------------------------------------------------------------------


def test_a_client_connects_and_talks() -> None:
    hall = Hall()
    _, stream = hall.join()
    hall.net.send(
        stream,
        packet('421["echo","é",1]')
        + packet('452-2["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'),
    )
    hall.net.send(stream, packet(b"\x00\xff") + packet(b"x" * 70_000))
    opened, joined, *rest = hall.net.packets[stream]
    assert isinstance(opened, str)
    assert json.loads(opened[1:])["upgrades"] == []
    assert isinstance(joined, str)
    assert joined.startswith('40{"sid":')
    assert rest == [
        '431["é",1]',
        '462-2[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
        b"\x00\xff",
        b"x" * 70_000,
    ]
    assert hall.seen == [("connected", "webtransport")]


def test_the_heartbeat_goes_on() -> None:
    hall = Hall(ping_interval=10, ping_timeout=5)
    _, stream = hall.join()
    hall.net.advance(10)
    assert hall.net.packets[stream][-1] == "2"
    hall.net.send(stream, packet("3"))
    hall.net.advance(10)
    assert hall.net.packets[stream][-1] == "2"
    hall.net.advance(5)
    assert hall.seen[-1] == ("disconnected", "ping timeout")


def test_two_clients_share_a_connection_and_a_broadcast_reaches_both() -> None:
    hall = Hall()
    _, first = hall.join()
    _, second = hall.join()
    hall.app.emit("news", 1, b"raw")
    hall.net.settle()
    for stream in (first, second):
        assert hall.net.packets[stream][-2:] == ['451-["news",1,{"_placeholder":true,"num":0}]', b"raw"]
    assert hall.net.port.open == 2


def test_a_polling_session_upgrades() -> None:
    hall = Hall()
    net = hall.net
    with TestServer(Server(transports=ALL)) as server:
        opened = server.request("GET", "/socket.io/?EIO=4&transport=polling")
        assert json.loads(opened.body[1:])["upgrades"] == ["websocket", "webtransport"]
    connection = net.protocol.connection_made(("192.0.2.7", 1), net.now)
    connection.receive_data(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: test.example\r\n\r\n", net.now)
    _, _, body = connection.data_to_send().partition(b"\r\n\r\n")
    sid = json.loads(body[1:])["sid"]
    stream = net.open(net.request(), packet("0" + json.dumps({"sid": sid})) + packet("2probe"))
    assert net.packets[stream] == ["3probe"]
    net.send(stream, packet("5") + packet("40"))
    net.send(stream, packet('421["echo",1]'))
    assert net.packets[stream][2:] == ["431[1]"]
    assert hall.seen == [("connected", "webtransport")]


# Who is not let in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "method", "status"),
    [
        ("/socket.io/", (), b"GET", 405),
        ("/elsewhere/", (), b"CONNECT", 404),
        ("/socket.io/more", (), b"CONNECT", 404),
        ("/socket.io/", ((b"origin", b"https://evil.example"),), b"CONNECT", 403),
        ("/socket.io/", ((b"origin", b"null"),), b"CONNECT", 403),
        ("/socket.io/", ((b"origin", b"https://test.example"),), b"CONNECT", 200),
        ("/socket.io", (), b"CONNECT", 200),
        ("/socket.io/?a=b", (), b"CONNECT", 200),
    ],
)
def test_requests_are_checked(path: str, headers: tuple[tuple[bytes, bytes], ...], method: bytes, status: int) -> None:
    hall = Hall()
    assert hall.net.status(hall.net.request(path, *headers, method=method)) == status
    assert hall.net.port.open == (status == 200)


@pytest.mark.parametrize(
    "first",
    [
        packet("1"),
        packet("40"),
        packet("0x"),
        packet("0[]"),
        packet('0{"sid":1}'),
        packet('0{"sid":"unknown"}'),
        packet("0" + "[" * 990),
        packet("0" * 2_000),
        packet(b"0"),
        b"\x00",
        b"\x7f" + b"\xff" * 8,
    ],
)
def test_a_stream_that_does_not_begin_with_open_is_ended(first: bytes) -> None:
    hall = Hall()
    session = hall.net.request()
    hall.net.open(session, first)
    assert hall.net.ended(session)
    assert hall.net.port.open == 0
    assert not hall.net.protocol.sessions
    assert not hall.seen


def test_over_http_there_is_no_such_transport() -> None:
    with TestServer(Server(transports=ALL)) as server:
        answer = server.request("GET", "/socket.io/?EIO=4&transport=webtransport")
        assert (answer.status, json.loads(answer.body)["code"]) == (400, 0)


@pytest.mark.parametrize("opens_a_stream", [False, True])
def test_whoever_does_not_open_a_session_in_time_is_let_go(opens_a_stream: bool) -> None:
    hall = Hall(upgrade_timeout=7)
    session = hall.net.request()
    if opens_a_stream:
        hall.net.open(session, b"\x7e")
    hall.net.advance(6)
    assert hall.net.port.open == 1
    hall.net.advance(1)
    assert hall.net.port.open == 0
    assert hall.net.ended(session)


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00", "transport error"),
        (b"\x7f" + b"\xff" * 8, "transport error"),
        (b"\x01\xff", "transport error"),
        (packet("9"), "parse error"),
        (packet("1"), "transport close"),
        (packet("4abc"), "forced close"),
        (packet('42["connect"]'), "forced close"),
        (packet("2"), "transport error"),
    ],
)
def test_a_fault_ends_the_session_and_no_other(data: bytes, reason: str) -> None:
    hall = Hall()
    session, stream = hall.join()
    _, other = hall.join()
    hall.net.send(stream, data)
    assert hall.seen[2:] == [("disconnected", reason)]
    assert hall.net.ended(session)
    hall.net.send(other, packet('427["echo"]'))
    assert hall.net.packets[other][-1] == "437[]"
    assert hall.net.port.open == 1


def test_a_packet_that_is_never_completed_ends_the_session() -> None:
    hall = Hall(limits=Limits(frame_timeout=20), ping_interval=100)
    _, stream = hall.join()
    hall.net.send(stream, packet('42["echo"]')[:5])
    hall.net.advance(19)
    assert len(hall.seen) == 1
    hall.net.advance(2)
    assert hall.seen[1:] == [("disconnected", "transport error")]


def test_other_streams_of_a_session_do_nothing() -> None:
    hall = Hall()
    session, stream = hall.join()
    extra = hall.net.open(session, packet("0") + packet("40"))
    one_way = hall.net.h3.create_webtransport_stream(session, is_unidirectional=True)
    hall.net.send(one_way, packet("0"))
    assert not hall.net.packets[extra]
    hall.net.send(stream, packet('421["echo"]'))
    assert hall.net.packets[stream][-1] == "431[]"
    assert hall.net.port.open == 1
    assert len(hall.net.protocol.sessions) == 1


def test_the_end_of_the_stream_ends_the_session() -> None:
    hall = Hall()
    _, stream = hall.join()
    hall.net.send(stream, b"", end=True)
    assert hall.seen[1:] == [("disconnected", "transport close")]
    assert hall.net.port.open == 0


def test_the_end_of_the_webtransport_session_ends_the_session() -> None:
    hall = Hall()
    session, _ = hall.join()
    hall.net.h3.send_data(session, bytes.fromhex("684304") + bytes(4), end_stream=True)
    hall.net.settle()
    assert hall.seen[1:] == [("disconnected", "transport close")]


def test_a_reset_stream_ends_the_session() -> None:
    hall = Hall()
    _, stream = hall.join()
    hall.net.quic.reset_stream(stream, 0)
    hall.net.settle()
    assert hall.seen[1:] == [("disconnected", "transport close")]


def test_a_closed_quic_connection_ends_its_sessions() -> None:
    hall = Hall()
    hall.join()
    hall.join()
    hall.net.quic.close()
    hall.net.advance(5)
    assert hall.seen[2:] == [("disconnected", "transport close")] * 2
    assert hall.net.port.open == 0
    assert not hall.net.port._by_id


def test_silence_ends_sessions_by_the_heartbeat_and_then_the_connection() -> None:
    hall = Hall()
    hall.join()
    hall.net.uplink = False
    hall.net.advance(46)
    assert hall.seen[1:] == [("disconnected", "ping timeout")]
    hall.net.advance(120)
    assert not hall.net.port._by_id
    assert hall.net.port.open == 0


def test_datagrams_that_are_none_of_quic_are_dropped() -> None:
    hall = Hall()
    _, stream = hall.join()
    known = len(hall.net.port._peers)
    for junk in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1_500, b"\xc0" + b"\x00" * 1_400, b"\x40" * 30):
        hall.net.socket.incoming.append((junk, ADDRESS))
    hall.net.settle()
    assert len(hall.net.port._peers) == known
    hall.net.send(stream, packet('421["echo"]'))
    assert hall.net.packets[stream][-1] == "431[]"


def test_connections_without_a_session_are_bounded_however_many_sessions_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("siocore._driver.quic._MAX_IDLE", 2)
    hall = Hall()
    for _ in range(5):
        hall.join()
    for _ in range(4):
        hall.net.knock()
    assert sum(peer.idle for peer in hall.net.port._peers) == 2
    assert hall.net.port.open == 5


# Limits -------------------------------------------------------------------------------------------------------------


def test_a_client_that_takes_nothing_is_closed_at_the_bound() -> None:
    hall = Hall(limits=Limits(max_buffered=200_000))
    hall.join()
    hall.net.downlink = False
    sent = 0
    while len(hall.seen) == 1 and sent < 100:
        hall.app.emit("blob", "x" * 10_000)
        sent += 1
        hall.net.settle()
    assert hall.seen[1:] == [("disconnected", "slow consumer")]
    # What QUIC had sent once is bounded by its congestion window, not by us.
    assert 20 <= sent <= 24


def test_a_slow_client_gets_everything_in_the_end() -> None:
    hall = Hall()
    _, stream = hall.join()
    for number in range(40):
        hall.app.emit("blob", number, "x" * 20_000)
    hall.net.advance(10)
    blobs = [
        json.loads(each[2:]) for each in hall.net.packets[stream] if isinstance(each, str) and each.startswith("42")
    ]
    assert [blob[1] for blob in blobs] == list(range(40))


def test_while_too_much_waits_for_handlers_nothing_is_taken_and_nothing_is_lost() -> None:
    hall = Hall(limits=Limits(max_payload=10_000))
    _, stream = hall.join()
    (session,) = hall.net.protocol.sessions.values()
    session.pause()
    for number in range(10):
        hall.net.send(stream, packet(f'42{number}["echo","{"x" * 3_000}"]'))
    (connection,) = hall.net.protocol.connections
    assert not connection.wants_read
    assert connection._waiting_size <= 20_000  # type: ignore[attr-defined]
    session.resume()
    hall.net.advance(10)
    acks = [each[:3] for each in hall.net.packets[stream] if isinstance(each, str) and each.startswith("43")]
    assert acks == [f"43{number}" for number in range(10)]


def test_shutdown_tells_every_client() -> None:
    hall = Hall()
    session, _ = hall.join()
    idle = hall.net.request()
    hall.net.protocol.shutdown(hall.net.now)
    hall.net.settle()
    assert hall.seen[1:] == [("disconnected", "server shutting down")]
    assert hall.net.ended(session)
    assert hall.net.ended(idle)
    assert hall.net.port.open == 0
    assert hall.net.status(hall.net.request()) == 503
    hall.net.port.close()
    assert hall.net.socket.closed


def test_a_thousand_sessions_leave_nothing() -> None:
    hall = Hall()
    for _ in range(50):
        _, stream = hall.join()
        hall.net.send(stream, b"", end=True)
    assert hall.net.port.open == 0
    assert not hall.net.protocol.sessions
    assert not hall.net.protocol.connections
    (peer,) = hall.net.port._peers
    assert not peer._sessions


def test_serving_it_needs_the_option_and_the_certificate() -> None:
    from siocore._driver.driver import _open_ports

    with pytest.raises(ValueError, match="needs a certificate"):
        _open_ports(Server(transports=ALL).protocol, [], None)
    with pytest.raises(ValueError, match="not among the server's transports"):
        _open_ports(Server().protocol, [], certificate())
    with pytest.raises(ValueError, match="Unix socket"):
        _open_ports(Server(transports=ALL).protocol, ["/tmp/x"], certificate())
