"""Several namespaces over one connection."""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import RawWebSocket, SocketApp
from siocore import ConnectionRefused, Limits, Socket
from siocore.testing import TestClient


@pytest.fixture
def app() -> SocketApp:
    return SocketApp()


def test_a_namespace_has_handlers_of_its_own(app: SocketApp) -> None:
    calls: list[tuple[str, str]] = []
    for name in ("/", "/admin"):
        namespace = app.app.of(name)
        namespace.on("e")(lambda socket, name=name: calls.append((name, socket.namespace.name)))
    client = TestClient(app.server)
    client.connect()
    client.connect("/admin")
    client.emit("e")
    client.emit("e", namespace="/admin")
    app.server.settle()
    assert calls == [("/", "/"), ("/admin", "/admin")]


def test_each_namespace_gives_the_client_another_socket(app: SocketApp) -> None:
    app.app.of("/admin")
    client = TestClient(app.server)
    assert client.connect() != client.connect("/admin")
    assert len(app.server.protocol.sessions) == 1


def test_a_client_need_not_join_the_root(app: SocketApp) -> None:
    seen: list[str] = []
    app.app.of("/admin").on("connection")(lambda socket: seen.append(socket.namespace.name))
    client = TestClient(app.server)
    client.connect("/admin")
    assert seen == ["/admin"]
    assert app.events == []


def test_a_slash_is_added_to_a_name_without_one(app: SocketApp) -> None:
    assert app.app.of("admin") is app.app.of("/admin")
    assert app.app.of("/") is app.app.sockets


@pytest.mark.parametrize("name", ["a,b", "/x\x1ey", "/" + "x" * 256])
def test_a_name_that_no_client_could_send_is_refused(app: SocketApp, name: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        app.app.of(name)


@pytest.mark.parametrize("name", ["/ü", "/a/b/c", "/with space", "/x?y=1", "/12", "/a-b", "/" + "x" * 255])
def test_other_names_work_in_both_directions(app: SocketApp, name: str) -> None:
    app.app.of(name).on("ask")(lambda socket, value: [value, b"binary"])
    client = TestClient(app.server)
    client.connect(name)
    assert client.emit_with_ack("ask", 7, namespace=name) == [7, b"binary"]
    app.app.of(name).emit("news", b"x")
    event = client.receive()
    assert (event.namespace, event.args) == (name, [b"x"])


def test_a_longer_name_from_a_client_ends_its_connection(app: SocketApp) -> None:
    websocket = RawWebSocket(app.server)
    websocket.send("40/" + "x" * 256 + ",")
    assert websocket.close_code == 1000


@pytest.mark.parametrize("side", ["client", "server"])
def test_leaving_one_namespace_leaves_the_others_alone(app: SocketApp, side: str) -> None:
    reasons: list[str] = []
    app.app.of("/admin").on("disconnect")(lambda socket, reason: reasons.append(reason))
    client = TestClient(app.server)
    client.connect()
    client.connect("/admin")
    if side == "client":
        client.disconnect("/admin")
    else:
        (socket,) = app.app.of("/admin").local_sockets()
        socket.disconnect()
    app.server.settle()
    assert reasons == [f"{side} namespace disconnect"]
    assert set(client.ids) == {"/"}
    assert app.events == [("connection",)]
    client.emit("e")
    app.server.settle()
    assert app.events[-1] == ("e",)


@pytest.mark.parametrize("packet", ['42/admin,["e"]', "41/admin,", '43/admin,0["x"]', '451-/admin,["e",{}]'])
def test_a_packet_for_a_namespace_that_was_left_ends_the_connection(app: SocketApp, packet: str) -> None:
    app.app.of("/admin")
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send("40/admin,")
    websocket.send("41/admin,")
    assert websocket.close_code is None
    websocket.send(packet)
    assert websocket.close_code == 1000
    assert app.events == [("connection",), ("disconnect", "forced server close")]


def test_the_end_of_the_connection_ends_every_socket_once(app: SocketApp) -> None:
    ended: list[str] = []
    names = ["/", "/a", "/b"]
    for name in names:
        app.app.of(name).on("disconnect")(lambda socket, reason: ended.append(socket.namespace.name))
    client = TestClient(app.server)
    for name in names:
        client.connect(name)
    client.engine.cut()
    app.server.settle()
    assert ended == names
    assert all(app.app.of(name).local_sockets() == [] for name in names)


def test_closing_the_connection_through_one_socket_disconnects_all_first(app: SocketApp) -> None:
    app.app.of("/a")
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send("40/a,")
    websocket.take()
    (socket,) = app.app.local_sockets()
    socket.disconnect(close=True)
    app.server.settle()
    assert websocket.take() == ["41", "41/a,"]
    assert websocket.close_code == 1000


def test_a_refusal_in_one_namespace_leaves_the_others_alone(app: SocketApp) -> None:
    @app.app.of("/admin").use
    def refuse(socket: Socket) -> None:
        raise ConnectionRefused("no")

    client = TestClient(app.server)
    client.connect()
    for _ in range(3):
        with pytest.raises(ConnectionRefused):
            client.connect("/admin")
    assert set(client.ids) == {"/"}


def test_names_from_clients_make_no_namespaces(app: SocketApp) -> None:
    websocket = RawWebSocket(app.server)
    for number in range(1_000):
        websocket.send(f"40/{number},")
    assert set(app.app.protocol.namespaces) == {"/"}


def test_a_namespace_made_later_can_be_joined_from_then_on() -> None:
    app = SocketApp(limits=Limits(max_namespaces=2))
    client = TestClient(app.server)
    client.connect()
    with pytest.raises(ConnectionRefused, match="Invalid namespace"):
        client.connect("/late")
    app.app.of("/late")
    client.connect("/late")


def test_packets_of_two_namespaces_may_alternate_but_not_within_a_packet(app: SocketApp) -> None:
    received: list[Any] = []
    app.app.of("/a").on("e")(lambda socket, data: received.append(("/a", data)))
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send("40/a,")
    websocket.send('451-/a,["e",{"_placeholder":true,"num":0}]', b"1", '42["e"]')
    assert received == [("/a", b"1")]
    assert app.events[-1] == ("e",)
    websocket.send('451-/a,["e",{"_placeholder":true,"num":0}]', '42["e"]', b"1")
    assert websocket.close_code == 1000
