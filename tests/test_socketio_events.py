"""Events in both directions: names, arguments, binary data, handlers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raw_client import RawWebSocket, SocketApp
from siocore import AckTimeout, Limits, LocalProtocolError, Server, Socket
from siocore.testing import ReceivedEvent, TestClient, TestServer

TRANSPORTS = ["websocket", "polling", "upgrade"]
VALUES = [
    [],
    [None],
    [1, 2.5, True, False, "ü\u2028 𝄞", -0.0, 10**15],
    [{"a": {"b": [1, {"c": None}]}}, [], {}, ""],
    [b""],
    [b"\x00\xff" * 500],
    [{"files": [b"one", {"two": b"two"}], "name": "x"}, b"three"],
]


def connected(app: SocketApp) -> RawWebSocket:
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    return websocket


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("args", VALUES, ids=str)
def test_arguments_arrive_as_they_were_sent_in_both_directions(transport: str, args: list[Any]) -> None:
    io = Server()
    seen: list[list[object]] = []

    @io.on("there")
    def there(socket: Socket, *received: object) -> None:
        seen.append(list(received))
        socket.emit("back", *received)

    client = TestClient(TestServer(io), transport)
    client.connect()
    client.emit("there", *args)
    assert client.receive().args == args
    assert seen == [args]


def test_the_wire_form_of_events() -> None:
    app = SocketApp()
    websocket = connected(app)
    websocket.take()
    (socket,) = app.app.local_sockets()
    socket.emit("text", 1, {"a": [True]})
    socket.emit("binary", b"\x01", {"f": b"\x02"})
    socket.send("default")
    app.server.settle()
    assert websocket.take() == [
        '42["text",1,{"a":[true]}]',
        '452-["binary",{"_placeholder":true,"num":0},{"f":{"_placeholder":true,"num":1}}]',
        b"\x01",
        b"\x02",
        '42["message","default"]',
    ]


def test_nothing_comes_between_a_packet_and_its_attachments() -> None:
    app = SocketApp()
    client = TestClient(app.server, "upgrade")
    client.connect()
    (socket,) = app.app.local_sockets()
    for number in range(50):
        socket.emit("file", number, b"a", b"b", b"c")
        app.app.emit("news", number)
        app.server.advance(0.001)
    app.server.advance(1)
    # The client raises if anything comes in between.
    assert [event.args[0] for event in client.events] == [number for number in range(50) for _ in range(2)]


def test_events_reach_their_handler_in_the_order_in_which_they_were_sent() -> None:
    app = SocketApp()
    client = TestClient(app.server, "polling")
    client.connect()
    for number in range(200):
        client.emit("e", number)
    app.server.settle()
    assert app.events[1:] == [("e", number) for number in range(200)]


@pytest.mark.parametrize("name", ["", "a b", "ü", "message", "error", "constructor", "__class__", "x" * 256])
def test_any_name_that_is_not_reserved_is_an_events_name(name: str) -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    client.emit(name, 1)
    app.server.settle()
    assert app.events == [("connection",), (name, 1)]


@pytest.mark.parametrize(
    "name", ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
)
def test_reserved_names_can_be_sent_by_nobody(name: str) -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    for send in (socket.emit, socket.volatile.emit, app.app.emit, socket.emit_with_ack, app.app.emit_with_ack):
        with pytest.raises(LocalProtocolError, match="reserved"):
            send(name)
    client.emit(name, 1)
    app.server.settle()
    assert app.events == [("connection",), ("disconnect", "forced close")]


def test_a_client_can_not_run_lifecycle_handlers_by_an_event_of_their_name() -> None:
    app = SocketApp()
    calls: list[str] = []
    app.app.on("connection_error")(lambda *args: calls.append("connection_error"))
    client = TestClient(app.server)
    client.connect()
    client.emit("connection", {"REMOTE_ADDR": "6.6.6.6"})
    client.emit("connection_error")
    app.server.settle()
    assert calls == []
    assert app.events == [("connection",), ("connection", {"REMOTE_ADDR": "6.6.6.6"}), ("connection_error",)]


def test_an_event_without_a_handler_is_dropped() -> None:
    server = TestServer(Server())
    client = TestClient(server)
    client.connect()
    for name in ("error", "nobody", "message"):
        client.emit(name, {"a": 1}, b"binary")
    server.settle()
    assert client.engine.state == "open"


def test_integer_names_have_their_own_handlers() -> None:
    app = SocketApp()
    websocket = connected(app)
    websocket.send('42[7,"a"]', '42["7","b"]')
    assert app.events[1:] == [(7, "a"), ("7", "b")]


def test_every_handler_of_an_event_is_called_and_catch_all_handlers_first() -> None:
    io = Server()
    calls: list[object] = []
    io.on_any(lambda socket, name, *args: calls.append(("any", name, *args)))
    io.on("e")(lambda socket, value: calls.append(("first", value)))
    io.on("e")(lambda socket, value: calls.append(("second", value)))
    client = TestClient(TestServer(io))
    client.connect()
    client.emit("e", 1)
    client.server.settle()
    assert calls == [("any", "e", 1), ("first", 1), ("second", 1)]


def test_coroutine_handlers_of_one_client_run_side_by_side() -> None:
    io = Server()
    server = TestServer(io)
    order: list[str] = []

    @io.on("e")
    async def handler(socket: Socket, name: str, seconds: float) -> None:
        await server.clock.sleep(seconds)
        order.append(name)

    client = TestClient(server)
    client.connect()
    client.emit("e", "slow", 2)
    client.emit("e", "fast", 1)
    server.advance(3)
    assert order == ["fast", "slow"]


@pytest.mark.parametrize("value", [object(), {1, 2}, {"a": object()}, object])
def test_what_can_not_be_encoded_is_refused_where_it_is_sent_and_nothing_leaves(value: object) -> None:
    app = SocketApp()
    websocket = connected(app)
    websocket.take()
    (socket,) = app.app.local_sockets()
    for send in (socket.emit, app.app.emit, app.app.to("room").emit, socket.emit_with_ack, app.app.emit_with_ack):
        with pytest.raises(LocalProtocolError):
            send("e", value)
    app.server.settle()
    assert websocket.take() == []
    assert socket.connected
    # Nor does a timer or an acknowledgement stay behind.
    assert socket.pending_acks == {}
    timers = len(app.server.protocol.timers)
    with pytest.raises(LocalProtocolError):
        app.app.emit_with_ack("e", value)
    assert len(app.server.protocol.timers) == timers


def test_cyclic_data_is_refused() -> None:
    app = SocketApp()
    connected(app)
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(LocalProtocolError):
        app.app.emit("e", cycle)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_sent_as_null(number: float) -> None:
    app = SocketApp()
    websocket = connected(app)
    websocket.take()
    app.app.emit("e", number, [number])
    app.server.settle()
    assert websocket.take() == ['42["e",null,[null]]']


@pytest.mark.parametrize("name", [None, True, b"x", ("a",), ["a"]])
def test_a_name_of_another_type_is_refused(name: Any) -> None:
    app = SocketApp()
    connected(app)
    (socket,) = app.app.local_sockets()
    for send in (socket.emit, app.app.emit):
        with pytest.raises(LocalProtocolError):
            send(name)


def test_at_most_max_attachments_leave_and_arrive() -> None:
    app = SocketApp(limits=Limits(max_attachments=3))
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    socket.emit("e", b"1", b"2", b"3")
    assert client.receive().args == [b"1", b"2", b"3"]
    for send in (socket.emit, app.app.emit, socket.emit_with_ack, app.app.to("x").emit):
        with pytest.raises(LocalProtocolError, match="4 binary attachments"):
            send("e", b"1", b"2", b"3", b"4")
    client.emit("e", b"1", b"2", b"3")
    app.server.settle()
    client.emit("e", b"1", b"2", b"3", b"4")
    app.server.settle()
    assert app.events[1:] == [("e", b"1", b"2", b"3"), ("disconnect", "forced close")]


def test_the_attachments_of_one_packet_have_max_payload_bytes_together() -> None:
    app = SocketApp(limits=Limits(max_payload=10_000))
    for size, ends in ((5_000, False), (5_001, True)):
        client = TestClient(app.server)
        client.connect()
        client.emit("e", bytes(5_000), bytes(size))
        app.server.settle()
        assert (client.engine.state == "closed") == ends


def test_the_emitted_objects_are_not_changed() -> None:
    app = SocketApp()
    connected(app)
    data = {"file": b"x", "list": [b"y"]}
    app.app.emit("e", data)
    assert data == {"file": b"x", "list": [b"y"]}


def test_emit_after_the_disconnect_does_nothing() -> None:
    app = SocketApp()
    websocket = connected(app)
    (socket,) = app.app.local_sockets()
    websocket.stream.reset()
    app.server.settle()
    socket.emit("e", 1)
    socket.volatile.emit("e", 1)
    socket.join("room")
    socket.leave("room")
    socket.disconnect()
    app.server.settle()
    assert app.app.sockets.adapter.rooms() == set()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_ways_to_send_to_one_socket_can_be_put_together(transport: str) -> None:
    app = SocketApp()
    client = TestClient(app.server, transport)
    client.connect()
    (socket,) = app.app.sockets.sockets.values()
    plain = socket.compress(False)
    plain.emit("one", b"x")
    app.server.settle()
    assert client.receive() == ReceivedEvent("one", [b"x"])
    app.server.advance(1)
    socket.volatile.compress(False).send("two")
    assert client.receive() == ReceivedEvent("message", ["two"])
    pending = socket.timeout(2).compress(False).emit_with_ack("three", 3)
    client.ack(client.receive(), "answer")
    app.server.settle()
    assert pending.result() == "answer"
    pending = socket.timeout(2).emit_with_ack("four")
    app.server.advance(1.9)
    assert not pending.done
    app.server.advance(0.1)
    with pytest.raises(AckTimeout):
        pending.result()
    client.engine.cut()
    app.server.settle()
    plain.emit("nobody reads this")
    with pytest.raises(LocalProtocolError):
        plain.emit("connect")
