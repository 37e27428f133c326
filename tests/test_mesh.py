"""Workers of one machine: what they tell each other, and connections that are handed from one to another."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver_harness import open_descriptors
from siocore import AckTimeout, Limits, RemoteSocket, Server, Socket, Worker
from siocore._driver.mesh import mark_of, owner_of
from siocore._driver.mesh_link import MAX_FRAME, MAX_QUEUED, IncomingLink, OutgoingLink
from siocore._driver.poller import READ, WRITE, make_poller
from siocore._driver.relay import tie
from siocore.cluster.mesh import MeshAdapter, MeshCluster, decode_message, encode_message
from siocore.driven import DrivenEndpoint
from siocore.endpoint.connection import Connection
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.interfaces import ServerConnection
from siocore.errors import DecodeError
from siocore.events import Outage
from siocore.http.connection import HttpConnection
from siocore.http.events import BodyReceived, RequestReceived
from siocore.request import Request
from siocore.testing import TestClient, TestServer


class Workers:
    """Servers whose clusters are linked by hand: ``settle`` carries what they have for each other."""

    def __init__(self, count: int, **options: Any) -> None:
        self.clusters = [MeshCluster() for _ in range(count)]
        self.apps = [Server(adapter=cluster, **options) for cluster in self.clusters]
        self.servers = [TestServer(app) for app in self.apps]
        self.carried = 0
        for cluster in self.clusters:
            for other in self.clusters:
                if other is not cluster:
                    cluster.node_joined(other.uid)

    def settle(self) -> None:
        for _ in range(6):
            for server in self.servers:
                server.settle()
            for cluster in self.clusters:
                for uid, block in cluster.take_messages():
                    for other in self.clusters:
                        if other is not cluster and uid in (None, other.uid) and other.uid in cluster.nodes:
                            self.carried += 1
                            other.received(block)

    def leave(self, index: int) -> None:
        for cluster in self.clusters:
            cluster.node_left(self.clusters[index].uid)

    def client(self, index: int) -> TestClient:
        client = TestClient(self.servers[index])
        client.connect()
        self.settle()
        return client

    def ask(self, index: int, ask: Callable[[Server], Any]) -> list[object]:
        """What a handler on this worker gets when it asks."""
        results: list[object] = []

        @self.apps[index].on("go")
        async def go(socket: Socket) -> None:
            try:
                results.append(await ask(self.apps[index]))
            except AckTimeout as error:
                results.append(error)

        client = TestClient(self.servers[index])
        client.connect("/")
        client.emit("go")
        self.settle()
        return results


def names(client: TestClient) -> list[tuple[str | int, list[Any]]]:
    return [(event.name, event.args) for event in client.events]


# Messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", [{}, {"a": [1, "é", None, 1.5]}, {"b": b"\x00\x01", "c": {"d": [b"", b"x" * 70_000]}}]
)
def test_messages_are_what_they_were(message: dict[str, Any]) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x00",
        b"\x00\x00\x00\x05ab",
        struct.pack("!I", 1) + b"x",
        struct.pack("!I", 1) + b"\xff",
        struct.pack("!I", 3) + b"2[]",
        struct.pack("!I", 8) + b'2["e",1]' + struct.pack("!I", 1) + b"x",
        struct.pack("!I", 5) + b'2[""]',
        encode_message({"a": b"x"})[:-5],
        encode_message({"a": b"x"}) + struct.pack("!I", 1) + b"y",
    ],
)
def test_blocks_that_nobody_has_sent_are_dropped_and_counted(block: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_message(block)
    workers = Workers(2)
    workers.clusters[0].received(block)
    assert workers.clusters[0].garbage == 1


@pytest.mark.parametrize("message", [[], 1, {"nsp": "/"}, {"nsp": "/", "type": 3, "uid": "x", "data": {"packet": 1}}])
def test_messages_of_the_wrong_shape_are_dropped(message: Any) -> None:
    workers = Workers(2)
    workers.clusters[0].received(encode_message(message))
    workers.settle()


def test_every_worker_delivers_to_its_clients() -> None:
    workers = Workers(3)
    clients = [workers.client(index) for index in range(3)]
    workers.apps[0].emit("all", 1, b"\x01", {"deep": [b"\x02"]})
    workers.apps[1].of("/").to("room").emit("nobody")
    workers.settle()
    (socket,) = workers.apps[2].local_sockets()
    socket.join("room")
    workers.apps[1].to("room").emit("room")
    socket.broadcast.emit("others")
    workers.apps[0].local.emit("here")
    workers.settle()
    everybody = ("all", [1, b"\x01", {"deep": [b"\x02"]}])
    assert names(clients[0]) == [everybody, ("here", []), ("others", [])]
    assert names(clients[1]) == [everybody, ("others", [])]
    assert names(clients[2]) == [everybody, ("room", [])]


def test_a_worker_alone_encodes_nothing_for_others() -> None:
    workers = Workers(1)
    workers.apps[0].emit("e")
    assert workers.clusters[0].take_messages() == []


def test_queries_reach_every_worker() -> None:
    workers = Workers(3)
    for app in workers.apps[1:]:
        app.on_server_side("count")(lambda number: number + 1)
    clients = [workers.client(index) for index in (1, 2)]
    found = workers.ask(0, lambda app: app.fetch_sockets())
    assert isinstance(found[0], list)
    assert len(found[0]) == 3
    assert sum(isinstance(each, RemoteSocket) for each in found[0]) == 2
    assert workers.ask(1, lambda app: workers.apps[1].server_side_emit_with_ack("count", 1)) != []
    workers.apps[0].in_(*(each.id for each in found[0])).sockets_join("party")
    workers.settle()
    assert [len(app.to("party").local_sockets()) for app in workers.apps] == [1, 1, 1]
    del clients


def test_a_worker_that_dies_is_not_waited_for() -> None:
    workers = Workers(3)
    for app in workers.apps[1:]:

        @app.on_server_side("hang")
        async def hang() -> None:
            await workers.servers[1].clock.sleep(1_000)

    results = workers.ask(0, lambda app: app.server_side_emit_with_ack("hang", timeout=100))
    assert results == []
    workers.leave(1)
    workers.settle()
    assert results == []
    workers.leave(2)
    workers.settle()
    assert results == [[]]


def test_a_worker_that_does_not_keep_up_is_told_of() -> None:
    cluster = MeshCluster()
    app = Server(adapter=cluster)
    server = TestServer(app)
    told: list[object] = []
    app.on("adapter_down")(told.append)
    app.on("adapter_up")(told.append)
    cluster.message_dropped()
    cluster.message_dropped()
    server.settle()
    assert not app.adapter_up
    server.advance(2)
    cluster.caught_up()
    cluster.caught_up()
    server.settle()
    assert told == ["another worker does not take what it is sent", Outage(2.0, 2, "")]
    assert app.adapter_up


def test_recovery_is_each_workers_own() -> None:
    workers = Workers(2, recovery=True)
    assert isinstance(workers.apps[0].sockets.adapter, MeshAdapter)
    client = workers.client(0)
    (socket,) = workers.apps[0].local_sockets()
    assert socket.recovery is not None
    before = socket.recovery.last
    workers.apps[1].emit("e")
    workers.settle()
    assert [event.name for event in client.events] == ["e"]
    assert socket.recovery.last != before


# Ids ---------------------------------------------------------------------------------------------------------------


def test_the_id_of_a_session_names_its_worker() -> None:
    for index in (0, 1, 63, 64, 4_095):
        assert owner_of(mark_of(index) + "x" * 18) == index
    for nothing in ("", "A", "A!", "é"):
        assert owner_of(nothing) == -1
    protocol = EngineServerProtocol()
    protocol.sid_mark = mark_of(77)
    server = TestServer(Server())
    server.protocol.sid_mark = mark_of(77)
    client = TestClient(server, "polling")
    client.connect()
    (sid,) = server.protocol.sessions
    assert len(sid) == 20
    assert owner_of(sid) == 77


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0), (0, 5_000)])
def test_a_worker_has_a_place(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="worker"):
        Worker(index=index, count=count, folder="/nowhere")


# Requests that go elsewhere --------------------------------------------------------------------------------------

POST = (
    b"POST /socket.io/?EIO=4&transport=polling&sid=ABcdefghijklmnopqrst HTTP/1.1\r\nHost: a\r\nX-Odd: \xe9\r\n"
    b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n4hell"
)
CHUNKED = (
    b"POST /socket.io/?sid=AB HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\n4he\r\n2\r\nll\r\n0\r\n\r\n"
)
GET = b"GET /socket.io/?EIO=4&transport=polling&sid=AB HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET /socket.io/?sid=AB HTTP/1.0\r\nHost: a\r\n\r\n"


def conversation(http: HttpConnection, data: bytes) -> list[object]:
    """What a connection makes of bytes: its requests, answered each."""
    seen: list[object] = []
    http.receive_data(data)
    while (event := http.next_event()) is not None:
        if isinstance(event, RequestReceived):
            request = event.request
            seen.append((request.method, request.target, request.raw_headers(), event.upgrade))
        else:
            assert isinstance(event, BodyReceived)
            seen.append(event.body)
            http.respond(200, ())
    return seen


@pytest.mark.parametrize("data", [POST, CHUNKED, GET, OLD, POST + GET, GET + GET], ids=range(6))
def test_a_request_that_is_handed_on_is_read_as_if_it_had_come_there(data: bytes) -> None:
    expected = conversation(HttpConnection(Limits()), data)
    head = data.index(b"\r\n\r\n") + 4
    for cut in range(head, len(data) + 1):
        http = HttpConnection(Limits())
        http.receive_data(data[:cut])
        event = http.next_event()
        assert isinstance(event, RequestReceived)
        handed = http.detach(event.request)
        other = HttpConnection(Limits())
        assert conversation(other, handed) + conversation(other, data[cut:]) == expected
        assert (b"HTTP/1.0" in handed) == (data is OLD)
        # Nothing more is read here.
        http.receive_data(GET)
        assert http.next_event() is None


class Elsewhere:
    """All sessions are those of somebody else."""

    def __init__(self) -> None:
        self.claimed: list[tuple[bytes, bytes, bool]] = []
        self.claims = True

    def claim(self, connection: ServerConnection, request: Request, upgrade: bool) -> bool:
        assert isinstance(connection, Connection)
        if self.claims:
            self.claimed.append((*connection.detach(), upgrade))
        return self.claims


def test_a_request_for_a_session_elsewhere_leaves_with_what_is_still_to_be_sent() -> None:
    protocol = EngineServerProtocol()
    elsewhere = Elsewhere()
    protocol.strays.append(elsewhere)
    connection = protocol.connection_made(("127.0.0.1", 1), 0.0)
    first = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
    stray = b"GET /engine.io/?EIO=4&transport=polling&sid=AB HTTP/1.1\r\nHost: a\r\n\r\n"
    connection.receive_data(first + stray + b"GET /more", 0.0)
    ((output, data, upgrade),) = elsewhere.claimed
    assert output.startswith(b"HTTP/1.1 404")
    assert data.endswith(b"\r\n\r\nGET /more")
    assert not upgrade
    assert protocol.connections == set()
    # What still comes of it is nobody's.
    connection.receive_data(GET, 1.0)
    connection.connection_lost(2.0)
    assert connection.data_to_send() == b""
    assert protocol.next_deadline() is None


def test_a_session_that_nobody_has_is_refused() -> None:
    protocol = EngineServerProtocol()
    elsewhere = Elsewhere()
    protocol.strays.append(elsewhere)
    elsewhere.claims = False
    connection = protocol.connection_made(None, 0.0)
    connection.receive_data(b"GET /engine.io/?EIO=4&transport=polling&sid=AB HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
    assert b"Session ID unknown" in connection.data_to_send()


def test_while_it_stops_a_server_still_hands_on_what_is_another_ones() -> None:
    protocol = EngineServerProtocol()
    elsewhere = Elsewhere()
    protocol.strays.append(elsewhere)
    one, two = protocol.connection_made(None, 0.0), protocol.connection_made(None, 0.0)
    # Half a head each, so that they are not idle.
    one.receive_data(b"GET /engine.io/?EIO=4&transport=polling&sid=AB HT", 0.0)
    two.receive_data(b"GET /engine.io/?EIO=4&transport=polling HT", 0.0)
    protocol.stopping = True
    one.receive_data(b"TP/1.1\r\nHost: a\r\n\r\n", 0.0)
    elsewhere.claims = False
    two.receive_data(b"TP/1.1\r\nHost: a\r\n\r\n", 0.0)
    assert len(elsewhere.claimed) == 1
    assert two.data_to_send().startswith(b"HTTP/1.1 503")


# Relayed connections ------------------------------------------------------------------------------------------------


def test_what_arrives_on_one_end_leaves_on_the_other_and_waits_when_it_can_not() -> None:
    endpoint = DrivenEndpoint()
    one, two = tie(endpoint)
    one.receive_data(b"ab", 0.0)
    one.receive_data(b"c", 0.0)
    assert endpoint.take_ready() == [two]
    assert two.data_to_send() == b"abc"
    assert two.data_to_send() == b""
    one.receive_data(b"x" * 70_000, 0.0)
    assert not one.wants_read
    assert two.data_to_send() == b"x" * 70_000
    two.unsent = 70_000
    two.unsent = 0
    two.flushed(0.0)
    assert one.wants_read
    one.receive_eof(0.0)
    assert two.closing
    assert not two.closed
    two.receive_data(b"answer", 0.0)
    assert one.data_to_send() == b"answer"
    two.connection_lost(0.0)
    assert one.closed


# Links ---------------------------------------------------------------------------------------------------------------


class Pair:
    """A link, both ends of it."""

    def __init__(self) -> None:
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        self.poller = make_poller()
        self.poller.register(near.fileno(), READ)
        self.frames: list[tuple[int, bytes, int | None]] = []
        self.lost: list[object] = []
        self.out = OutgoingLink(near, self.poller, self.lost.append)
        self.into = IncomingLink(far, self._received, self.lost.append)

    def _received(
        self, link: IncomingLink, kind: int, payload: bytes, descriptor: Callable[[], int | None], now: float
    ) -> None:
        self.frames.append((kind, payload, descriptor() if kind == 2 else None))

    def pump(self) -> None:
        for _ in range(1_000):
            self.out.write(0.0)
            self.into.read(0.0)
            for _, mask in self.poller.poll(0, 10):
                if mask & WRITE:
                    self.out.read(0.0)
            if not self.out.queued:
                self.into.read(0.0)
                return
        raise AssertionError("the link is stuck")

    def close(self) -> None:
        self.out.close()
        self.into.close()
        self.poller.close()


def test_frames_and_descriptors_arrive_in_order_whatever_their_size(tmp_path: Path) -> None:
    pair = Pair()
    expected = []
    for number in range(40):
        payload = bytes([number]) * (0, 1, 1_000, 300_000)[number % 4]
        fd = None
        if number % 5 == 0:
            (tmp_path / str(number)).write_text(str(number))
            fd = os.open(tmp_path / str(number), os.O_RDONLY)
        pair.out.put(2 if fd is not None else 1, payload, fd)
        expected.append((2 if fd is not None else 1, payload, number))
    pair.pump()
    assert [(kind, payload) for kind, payload, _ in pair.frames] == [(kind, payload) for kind, payload, _ in expected]
    # Those that were sent are closed here: what is open is what has arrived.
    arrived = {
        f"{fd} {tmp_path / str(number)}"
        for (_, _, fd), (_, _, number) in zip(pair.frames, expected, strict=True)
        if fd is not None
    }
    assert {each for each in open_descriptors() if str(tmp_path) in each} == arrived
    for (_, _, fd), (kind, _, number) in zip(pair.frames, expected, strict=True):
        assert (fd is not None) == (kind == 2)
        if fd is not None:
            assert os.read(fd, 10) == str(number).encode()
            os.close(fd)
    assert pair.lost == []
    pair.close()


def test_a_link_has_room_for_so_much_and_no_more() -> None:
    pair = Pair()
    assert pair.out.has_room(MAX_FRAME)
    assert not pair.out.has_room(MAX_FRAME + 1)
    pair.out.put(1, bytes(MAX_QUEUED // 2))
    assert pair.out.has_room(MAX_QUEUED // 4)
    assert not pair.out.has_room(MAX_QUEUED)
    pair.pump()
    assert pair.out.has_room(MAX_QUEUED)
    pair.close()


def test_a_descriptor_that_was_dropped_on_the_way_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    fd = os.open(os.devnull, os.O_RDONLY)
    pair.out.put(2, b"x", fd)
    assert pair.out.descriptors == 1
    pair.out.write(0.0)
    assert pair.out.descriptors == 0
    received = socket.recv_fds

    def truncated(sock: socket.socket, size: int, maxfds: int) -> Any:
        data, descriptors, _, address = received(sock, size, maxfds)
        for each in descriptors:
            os.close(each)
        return data, [], socket.MSG_CTRUNC, address

    monkeypatch.setattr(socket, "recv_fds", truncated)
    pair.into.read(0.0)
    assert pair.lost == [pair.into]
    assert pair.frames == []
    pair.close()


def test_the_end_of_a_link_is_noticed_on_either_side() -> None:
    pair = Pair()
    pair.into.close()
    pair.out.read(0.0)
    assert pair.lost == [pair.out]
    pair.close()
    pair = Pair()
    fd = os.open(os.devnull, os.O_RDONLY)
    pair.out.put(2, b"x", fd)
    pair.out.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    pair.into.read(0.0)
    assert pair.lost == [pair.into]
    pair.close()
