"""Ten thousand clients come and go in every way there is, and nothing of them stays: also without the collector."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from raw_client import RawHttp, RawPolling, RawWebSocket, assert_nothing_left
from siocore import Connection, ConnectionRefused, EngineServer, Limits, Request, Server, Session, Socket
from siocore.http.connection import HttpConnection
from siocore.http.websocket import WebSocketConnection
from siocore.socketio.acks import PendingAck
from siocore.socketio.client import Client
from siocore.testing import EngineClient, TestClient, TestServer
from siocore.testing.wire import masked_frame, request_bytes
from siocore.timers import Timer

PER_CLIENT = (
    Client,
    Connection,
    HttpConnection,
    PendingAck,
    Request,
    Session,
    Socket,
    Timer,
    WebSocketConnection,
)


def application() -> Server:
    """Handlers that use what there is to use, and keep nothing."""
    io = Server(limits=Limits(max_running_handlers=2, high_water=100), ping_interval=5, ping_timeout=5)
    io.of("/other")

    @io.use
    def guard(socket: Socket) -> None:
        if socket.handshake.auth.get("token") == "bad":
            raise ConnectionRefused("no", {"data": 1})

    @io.on("connection")
    def connection(socket: Socket) -> None:
        socket.data.user = "somebody"
        socket.join("room", f"user {socket.id}")
        io.to("room").emit("hello", b"binary")

    @io.on("wait")
    async def wait(socket: Socket, *args: object) -> None:
        await socket.emit("large", "x" * 1_000)
        await socket.emit_with_ack("question", timeout=3)

    @io.on("fail")
    def fail(socket: Socket) -> None:
        raise ConnectionRefused

    io.on("ask")(lambda socket, *args: args)
    return io


def client_of(server: TestServer, transport: str) -> TestClient:
    client = TestClient(server, transport)
    client.connect()
    return client


# Ways to come and go -------------------------------------------------------------------------------------------


def clean(server: TestServer, transport: str) -> None:
    client = client_of(server, transport)
    client.emit_with_ack("ask", b"x")
    client.disconnect()


def reset(server: TestServer, transport: str) -> None:
    client_of(server, transport).engine.cut()


def reset_with_handlers_running(server: TestServer, transport: str) -> None:
    client = client_of(server, transport)
    for _ in range(5):
        client.emit("wait")
    server.settle()
    client.engine.cut()


def kicked(server: TestServer, transport: str) -> None:
    client_of(server, transport)
    server.app.disconnect_sockets(close=True)  # type: ignore[union-attr]


def two_namespaces(server: TestServer, transport: str) -> None:
    client = client_of(server, transport)
    client.connect("/other")
    client.disconnect("/")
    client.disconnect()


def refused(server: TestServer, transport: str) -> None:
    client = TestClient(server, transport)
    with pytest.raises(ConnectionRefused):
        client.connect(auth={"token": "bad"})
    client.engine.cut()


def never_connects(server: TestServer, transport: str) -> None:
    EngineClient(server, transport).open()


def mid_attachment(server: TestServer, transport: str) -> None:
    client = client_of(server, transport)
    client.engine.send('52-["e",{"_placeholder":true,"num":0}]')
    client.engine.send(b"one of two")
    server.settle()
    client.engine.cut()


def ping_timeout(server: TestServer, transport: str) -> None:
    client_of(server, transport).engine.answers_pings = False


def silence(server: TestServer, transport: str) -> None:
    for link in client_of(server, transport).engine.links:
        link.stall()


def breaks_the_protocol(server: TestServer, transport: str) -> None:
    client_of(server, transport).engine.send("9")


def mid_head(server: TestServer, transport: str) -> None:
    RawHttp(server).send(b"GET /socket.io/?EIO=4&transp")


def mid_body(server: TestServer, transport: str) -> None:
    polling = RawPolling(server)
    polling.posts.send(request_bytes("POST", polling.target, [("Content-Length", "9")]) + b"4")


def mid_frame(server: TestServer, transport: str) -> None:
    websocket = RawWebSocket(server)
    websocket.raw(masked_frame(1, b"40")[:-1])
    websocket.stream.reset()


def mid_fragment(server: TestServer, transport: str) -> None:
    RawWebSocket(server).raw(masked_frame(1, b"4", fin=False) + b"\x80")


def mid_upgrade(server: TestServer, transport: str) -> None:
    polling = RawPolling(server)
    polling.post(b"40")
    polling.get()
    websocket = polling.websocket()
    websocket.send("2probe")
    websocket.stream.reset()
    polling.gets.stream.reset()


def candidate_that_stays(server: TestServer, transport: str) -> None:
    polling = RawPolling(server)
    polling.websocket().send("2probe")
    polling.get()


def faulty_upgrade(server: TestServer, transport: str) -> None:
    RawWebSocket(server, headers=(("Connection", "Upgrade"), ("Upgrade", "websocket"))).stream.reset()


WAYS: list[Callable[[TestServer, str], None]] = [
    clean,
    reset,
    reset_with_handlers_running,
    kicked,
    two_namespaces,
    refused,
    never_connects,
    mid_attachment,
    ping_timeout,
    silence,
    breaks_the_protocol,
    mid_head,
    mid_body,
    mid_frame,
    mid_fragment,
    mid_upgrade,
    candidate_that_stays,
    faulty_upgrade,
]
TRANSPORTS = ["websocket", "polling", "upgrade"]


def census() -> Counter[str]:
    """How many objects there are of each class of which every client has some."""
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, PER_CLIENT))


@pytest.fixture
def without_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured records keep what handlers raised, and so their frames."""
    monkeypatch.setattr(logging.getLogger("siocore"), "disabled", True)


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector", "without_log")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_client_that_is_gone_leaves_no_object_even_without_the_collector(
    way: Callable[[TestServer, str], None], transport: str
) -> None:
    server = TestServer(application())
    before = census()
    for _ in range(3):
        way(server, transport)
    server.advance(200)
    assert_nothing_left(server)
    assert server.app.protocol.namespaces["/"].adapter.rooms() == set()  # type: ignore[attr-defined]
    assert census() - before == Counter()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_same_of_engine_io_alone(transport: str) -> None:
    engine = EngineServer()
    engine.on("message")(lambda session, data: session.send(data))
    server = TestServer(engine)
    before = census()
    for number in range(9):
        client = EngineClient(server, transport)
        client.open()
        client.send("x")
        client.receive()
        if number % 3 == 0:
            client.close()
        elif number % 3 == 1:
            client.cut()
        else:
            client.answers_pings = False
    del client
    server.advance(200)
    assert_nothing_left(server)
    assert census() - before == Counter()


@pytest.mark.slow
@pytest.mark.usefixtures("without_log")
def test_ten_thousand_clients_leave_nothing() -> None:
    server = TestServer(application())
    clients = 0
    heap = 0
    while clients < 10_000:
        for way in WAYS:
            for transport in TRANSPORTS:
                way(server, transport)
                clients += 1
        server.advance(1)
        heap = max(heap, len(server.protocol.timers._heap))
    server.advance(200)
    assert_nothing_left(server)
    assert server.network.links == []
    # Cancelled timers are not collected for ever.
    assert len(server.protocol.timers._heap) < 200
    assert heap < 10_000
