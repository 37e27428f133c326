"""Joining a namespace: CONNECT, its answer, and what the application sees."""

from __future__ import annotations

import pytest

from raw_client import RawPolling, RawWebSocket, SocketApp
from siocore import ConnectionRefused, Limits, Server, Socket
from siocore.testing import TestClient, TestServer

TRANSPORTS = ["websocket", "polling", "upgrade"]


def connected(app: SocketApp) -> RawWebSocket:
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    return websocket


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_connect_is_answered_with_the_sockets_id(transport: str) -> None:
    app = SocketApp()
    client = TestClient(app.server, transport)
    socket_id = client.connect()
    (socket,) = app.app.local_sockets()
    assert socket_id == socket.id
    assert socket.connected
    assert app.events == [("connection",)]


def test_the_wire_form_of_connect_and_its_answer() -> None:
    app = SocketApp(generate_id=iter(["session", "socket"]).__next__)
    websocket = RawWebSocket(app.server)
    websocket.take()
    assert websocket.send("40") == ['40{"sid":"socket"}']


def test_a_client_gets_no_answer_in_a_namespace_that_does_not_exist_but_an_error() -> None:
    app = SocketApp()
    websocket = connected(app)
    assert websocket.send("40/nothing,") == ['44/nothing,{"message":"Invalid namespace"}']
    assert websocket.send('40/nothing?a=1,{"x":1}') == ['44/nothing?a=1,{"message":"Invalid namespace"}']
    assert app.events == [("connection",)]
    assert websocket.close_code is None


@pytest.mark.parametrize("auth", ["", "{}", '{"token":"secret"}', '{"a":{"b":[1,null]}}'])
def test_auth_is_the_object_that_the_client_sent_or_empty(auth: str) -> None:
    app = SocketApp()
    seen: list[object] = []
    app.app.on("connection")(lambda socket: seen.append(socket.handshake.auth))
    RawWebSocket(app.server).send("40" + auth)
    assert seen == [{"": {}, "{}": {}, '{"token":"secret"}': {"token": "secret"}}.get(auth, {"a": {"b": [1, None]}})]


@pytest.mark.parametrize("payload", ["[]", '"x"', "null", "{", "{}x"])
def test_a_connect_with_anything_else_ends_the_connection(payload: str) -> None:
    app = SocketApp()
    websocket = RawWebSocket(app.server)
    websocket.send("40" + payload)
    assert websocket.close_code == 1000
    assert app.events == []


def test_the_handshake_tells_how_the_client_arrived() -> None:
    app = SocketApp()
    client = TestClient(
        app.server, query=[("token", "a%20b"), ("token", "last")], headers=[("X-Trace", "7")], peer=("203.0.113.9", 1)
    )
    client.connect()
    (socket,) = app.app.local_sockets()
    assert socket.handshake.query["token"] == "last"
    assert socket.handshake.headers["X-Trace"] == "7"
    assert socket.handshake.address == "203.0.113.9"
    assert socket.handshake.url.startswith("/socket.io/?EIO=4&transport=websocket&token=a%20b")
    assert socket.handshake.secure is False
    assert socket.transport == "websocket"


def test_connect_comes_before_what_the_connection_handler_sends() -> None:
    app = SocketApp(generate_id=iter(["session", "socket"]).__next__)
    app.app.on("connection")(lambda socket: socket.emit("hello"))
    websocket = RawWebSocket(app.server)
    websocket.take()
    assert websocket.send("40") == ['40{"sid":"socket"}', '42["hello"]']


def test_a_second_connect_to_the_same_namespace_ends_the_connection() -> None:
    app = SocketApp()
    websocket = connected(app)
    websocket.send("40")
    assert websocket.close_code == 1000
    assert app.events == [("connection",), ("disconnect", "forced server close")]


def test_two_connects_in_one_segment_never_make_two_sockets() -> None:
    app = SocketApp()
    websocket = RawWebSocket(app.server)
    websocket.send("40", "40")
    assert websocket.close_code == 1000
    assert app.events == []
    assert app.app.local_sockets() == []


@pytest.mark.parametrize("packet", ['42["e"]', '430["x"]', "41", '44{"message":"x"}', "450-[]", '451-["e",{}]'])
def test_any_other_packet_before_connect_ends_the_connection(packet: str) -> None:
    app = SocketApp()
    websocket = RawWebSocket(app.server)
    websocket.send(packet)
    assert websocket.close_code == 1000
    assert app.events == []


def test_a_violation_over_polling_ends_with_noop_and_close() -> None:
    app = SocketApp()
    polling = RawPolling(app.server)
    polling.get()
    polling.post(b'42["early"]')
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"1"


def test_a_client_may_connect_again_after_it_left() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    first = client.connect()
    client.disconnect("/")
    second = client.connect()
    assert first != second
    assert app.events == [("connection",), ("disconnect", "client namespace disconnect"), ("connection",)]


def test_a_client_may_join_max_namespaces_and_not_one_more() -> None:
    app = SocketApp(limits=Limits(max_namespaces=3))
    client = TestClient(app.server)
    client.connect()
    for name in ("/a", "/b", "/c"):
        app.app.of(name)
    client.connect("/a")
    client.connect("/b")
    with pytest.raises(ConnectionRefused, match="Too many namespaces"):
        client.connect("/c")
    client.disconnect("/a")
    client.connect("/c")


def test_socket_data_belongs_to_the_application_and_to_one_socket() -> None:
    app = SocketApp()
    app.app.of("/other")
    client = TestClient(app.server)
    client.connect()
    client.connect("/other")
    (root,) = app.app.local_sockets()
    (other,) = app.app.of("/other").local_sockets()
    root.data.user = "ann"
    assert root.data.user == "ann"
    assert not hasattr(other.data, "user")


def test_what_a_plain_connection_handler_does_is_done_before_the_next_event() -> None:
    io = Server()
    order: list[str] = []

    @io.on("connection")
    def connection(socket: Socket) -> None:
        order.append("connection")
        socket.join("lobby")

    @io.on("e")
    def event(socket: Socket) -> None:
        order.append(f"event in {sorted(socket.rooms - {socket.id})}")

    client = TestClient(TestServer(io))
    client.connect()
    client.emit("e")
    client.server.settle()
    assert order == ["connection", "event in ['lobby']"]
