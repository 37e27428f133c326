"""The client's endpoint against our own server, on virtual time: whole conversations over each transport."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest

from siocore import ConnectionRefused, LocalProtocolError, Server, Socket
from siocore.endpoint.client import ClientProtocol
from siocore.errors import ConnectError
from siocore.socketio.client_socket import ClientSocket
from siocore.testing import TestServer
from siocore.testing.app_client import AppClient

URL = "http://server.example:3000"


class Pair:
    """A server and a client, without handlers on the client's side."""

    def __init__(self, **options: Any) -> None:
        self.io = Server(**options)
        self.server = TestServer(self.io)
        self.protocol = ClientProtocol()
        self.client: AppClient = self.server.attach(self.protocol)

        @self.io.on("echo")
        def echo(socket: Socket, *args: object) -> tuple[object, ...]:
            socket.emit("echoed", *args)
            return args

    def socket(self, path: str = "", **options: Any) -> ClientSocket:
        return self.protocol.socket(URL + path, **options)

    def run_until_connected(self, *sockets: ClientSocket) -> None:
        self.server.run_until(lambda: all(socket.connected for socket in sockets))

    def told(self) -> list[object]:
        self.server.settle()
        told: list[object] = []
        while self.client.events:
            event = self.client.events.popleft()
            name = type(event).__name__
            if name == "ClientEvent":
                told.append((event.name, *event.args))
            elif name != "ManagerReported":
                told.append(name)
        return told


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_a_conversation(transports: list[str]) -> None:
    pair = Pair()
    ids: list[str] = []
    pair.io.on("connection")(lambda socket: ids.append(socket.id))
    socket = pair.socket(transports=transports)
    pair.client.run(socket.connect())
    assert ids == [socket.id]
    assert pair.client.run(socket.emit_with_ack("echo", 1, b"\x00\xff", {"a": ["ü"]})) == (1, b"\x00\xff", {"a": ["ü"]})
    assert pair.told() == ["SocketConnected", ("echoed", 1, b"\x00\xff", {"a": ["ü"]})]
    socket.disconnect()
    assert pair.told() == ["SocketClosed"]
    pair.server.advance(1)
    assert pair.client.links == []
    assert not pair.protocol.sessions


def test_sockets_for_the_same_server_share_a_connection() -> None:
    pair = Pair()
    pair.io.of("/admin")
    pair.io.of("/other")
    one, two = pair.socket("/admin", auth={"a": 1}), pair.socket("/other", auth={"a": 2})
    assert one.manager is two.manager
    again = pair.socket("/admin")
    fresh = pair.socket("/other", force_new=True)
    alone = pair.socket("/other", multiplex=False)
    elsewhere = pair.socket("/other", headers={"x": "y"})
    managers = {socket.manager for socket in (one, again, fresh, alone, elsewhere)}
    assert len(managers) == 5
    assert set(pair.protocol.managers) == managers
    pair.run_until_connected(one, two, again, fresh, alone, elsewhere)
    assert len(pair.protocol.sessions) == 5
    assert one.manager.socket("/admin") is one


def test_the_namespace_is_the_path_and_the_query_goes_with_the_requests() -> None:
    pair = Pair()
    queries: list[dict[str, str]] = []
    pair.io.of("/admin").on("connection")(lambda socket: queries.append(socket.handshake.query))
    pair.run_until_connected(pair.socket("/admin?token=t"), pair.socket("/admin?token=t", query={"token": "u"}))
    assert [query["token"] for query in queries] == ["t", "u"]


def test_a_refusal_and_a_namespace_that_is_not_there() -> None:
    pair = Pair()

    @pair.io.use
    def refuse(socket: Socket) -> None:
        if socket.handshake.auth != {"token": "right"}:
            raise ConnectionRefused("not authorized", data={"retry": False})

    socket = pair.socket(auth={"token": "wrong"})
    with pytest.raises(ConnectError) as caught:
        pair.client.run(socket.connect())
    assert (caught.value.message, caught.value.data) == ("not authorized", {"retry": False})
    with pytest.raises(ConnectError, match="Invalid namespace"):
        pair.client.run(pair.socket("/nowhere").connect())
    socket.auth = {"token": "right"}
    pair.client.run(socket.connect())
    assert socket.connected


def test_shutdown_says_goodbye_and_leaves_nothing() -> None:
    pair = Pair()
    reasons: list[str] = []
    received: list[object] = []
    pair.io.on("disconnect")(lambda socket, reason: reasons.append(reason))
    pair.io.on("last")(lambda socket, *args: received.append(args))
    connected = pair.socket(transports=["websocket"])
    pair.run_until_connected(connected)
    unfinished = pair.socket("/x", force_new=True)
    connected.emit("last", "words")
    pair.protocol.shutdown(pair.server.clock.now)
    pair.server.advance(1)
    assert received == [("words",)]
    assert reasons == ["client namespace disconnect"]
    assert not connected.active
    assert not unfinished.active
    assert pair.client.links == []
    assert pair.protocol.next_deadline() is None
    with pytest.raises(LocalProtocolError):
        pair.socket("/late")


def test_a_cut_connection_is_made_again() -> None:
    pair = Pair()
    socket = pair.socket(transports=["websocket"])
    pair.run_until_connected(socket)
    pair.client.cut()
    pair.server.settle()
    assert not socket.connected
    socket.emit("echo", "kept")
    pair.run_until_connected(socket)
    pair.server.settle()
    assert pair.told() == ["SocketConnected", "SocketClosed", "SocketConnected", ("echoed", "kept")]


def test_nothing_keeps_a_manager_that_nobody_uses() -> None:
    pair = Pair()
    socket = pair.socket()
    pair.run_until_connected(socket)
    manager = ref(socket.manager)
    socket.disconnect()
    pair.server.advance(60)
    pair.client.events.clear()
    del socket
    gc.collect()
    assert manager() is None
    assert pair.protocol.managers == []


def test_a_server_with_recovery_gives_back_what_was_missed_without_offsets_for_handlers() -> None:
    pair = Pair(recovery=True)
    socket = pair.socket(transports=["websocket"])
    pair.run_until_connected(socket)
    pair.io.emit("news", 1, "text")
    pair.io.local.volatile.emit("news", "volatile")
    pair.server.settle()
    first = socket.id
    pair.client.cut()
    pair.server.settle()
    pair.io.emit("news", 2, "text")
    pair.run_until_connected(socket)
    assert pair.told() == [
        "SocketConnected",
        ("news", 1, "text"),
        ("news", "volatile"),
        "SocketClosed",
        "SocketConnected",
        ("news", 2, "text"),
    ]
    assert (socket.recovered, socket.id) == (True, first)
