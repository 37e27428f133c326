"""Acknowledgements in both directions: values, timeouts, disconnects, broadcasts, bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raw_client import RawWebSocket, SocketApp
from siocore import AckTimeout, Disconnected, Limits, LocalProtocolError, Server, Socket
from siocore.testing import ReceivedEvent, TestClient, TestServer


class Asking(SocketApp):
    """A server that awaits something for each "go" and writes down how that ended."""

    def __init__(self, ask: Callable[[Socket], Awaitable[object]], **options: Any) -> None:
        super().__init__(**options)
        self.results: list[object] = []

        @self.app.on("go")
        async def go(socket: Socket) -> None:
            try:
                self.results.append(await ask(socket))
            except (AckTimeout, Disconnected) as error:
                self.results.append(error)

    def client(self, transport: str = "websocket") -> TestClient:
        client = TestClient(self.server, transport)
        client.connect()
        return client


# The client asks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), ("x", "x"), ([1, 2], [1, 2]), ((1, 2), (1, 2)), ({"a": b"b"}, {"a": b"b"}), ((), None), (False, False)],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_a_handler_returns_is_the_acknowledgement(kind: str, value: object, expected: object) -> None:
    io = Server()
    server = TestServer(io)
    if kind == "def":
        io.on("ask")(lambda socket: value)
    else:

        @io.on("ask")
        async def ask(socket: Socket) -> object:
            await server.clock.sleep(1)
            return value

    client = TestClient(server)
    client.connect()
    assert client.emit_with_ack("ask") == expected


def test_a_handler_that_returns_nothing_does_not_acknowledge() -> None:
    io = Server()
    io.on("ask")(lambda socket: None)
    client = TestClient(TestServer(io))
    client.connect()
    with pytest.raises(AckTimeout):
        client.emit_with_ack("ask", timeout=5)


def test_an_event_that_asks_for_nothing_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    io = Server()
    io.on("tell")(lambda socket: "unasked")
    websocket = RawWebSocket(TestServer(io))
    websocket.send("40")
    assert websocket.send('42["tell"]') == []
    assert websocket.send('427["tell"]') == ['437["unasked"]']
    assert caplog.records == []


def test_a_binary_acknowledgement_has_its_attachments_behind_it() -> None:
    io = Server()
    io.on("ask")(lambda socket: (b"x", 1))
    websocket = RawWebSocket(TestServer(io))
    websocket.send("40")
    assert websocket.send('420["ask"]') == ['461-0[{"_placeholder":true,"num":0},1]', b"x"]


def test_of_several_handlers_the_first_value_acknowledges_once() -> None:
    io = Server()
    for value in (None, "first", "second"):
        io.on("ask")(lambda socket, value=value: value)
    websocket = RawWebSocket(TestServer(io))
    websocket.send("40")
    assert websocket.send('420["ask"]') == ['430["first"]']


def test_an_acknowledgement_that_can_not_be_encoded_is_the_handlers_error() -> None:
    io = Server()
    errors: list[Exception] = []
    io.on_error(lambda error, socket, name: errors.append(error))
    io.on("ask")(lambda socket: object())
    client = TestClient(TestServer(io))
    client.connect()
    with pytest.raises(AckTimeout):
        client.emit_with_ack("ask", timeout=1)
    assert [type(error) for error in errors] == [LocalProtocolError]
    assert client.engine.state == "open"


# The server asks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "expected"), [([], None), ([5], 5), ([1, 2], (1, 2)), ([b"x"], b"x"), ([None], None), ([[1]], [1])]
)
def test_the_clients_answer_is_none_one_value_or_a_tuple(args: list[object], expected: object) -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question", 1, b"data", timeout=5))
    client = app.client()
    client.emit("go")
    question = client.receive()
    assert question.args == [1, b"data"]
    client.ack(question, *args)
    app.server.settle()
    assert app.results == [expected]


def test_without_an_answer_the_wait_ends_at_its_timeout() -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question", timeout=5))
    client = app.client()
    client.emit("go")
    app.server.advance(4.9)
    assert app.results == []
    app.server.advance(0.1)
    (error,) = app.results
    assert isinstance(error, AckTimeout)
    assert isinstance(error, TimeoutError)
    assert error.responses == []
    # A late answer is nobody's.
    client.ack(client.receive(), "late")
    app.server.advance(1)
    assert app.results == [error]
    assert client.engine.state == "open"


def test_without_a_timeout_the_wait_lasts_as_long_as_the_connection() -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question"))
    client = app.client()
    client.emit("go")
    app.server.advance(3_600)
    assert app.results == []
    client.ack(client.receive(), "at last")
    app.server.settle()
    assert app.results == ["at last"]


@pytest.mark.parametrize("transport", ["websocket", "polling", "upgrade"])
@pytest.mark.parametrize("end", ["cut", "leaves", "closes", "kicked", "closed", "shutdown", "violation"])
def test_a_disconnect_ends_the_wait_at_once(end: str, transport: str) -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question", timeout=100))
    client = app.client(transport)
    client.emit("go")
    app.server.advance(1)
    assert client.receive().name == "question"
    both = app.app.timeout(100).emit_with_ack("question for all")
    if end == "cut":
        client.engine.cut()
    elif end == "leaves":
        client.disconnect("/")
    elif end == "closes":
        client.disconnect()
    elif end == "kicked":
        app.app.disconnect_sockets()
    elif end == "closed":
        app.app.disconnect_sockets(close=True)
    elif end == "shutdown":
        app.server.shutdown()
    else:
        client.send_packet(0, "/", None, None)
    app.server.settle()
    (error,) = app.results
    assert isinstance(error, Disconnected)
    assert both.result() == []
    app.server.advance(200)
    assert len(app.results) == 1


def test_asking_somebody_who_is_gone_fails_at_once() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    client.engine.cut()
    app.server.settle()
    pending = socket.emit_with_ack("question", timeout=5)
    assert pending.done
    with pytest.raises(Disconnected):
        pending.result()
    assert len(app.server.protocol.timers) == 0


def test_the_answer_may_arrive_before_anybody_awaits_it() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    pending = socket.emit_with_ack("question", timeout=5)
    assert not pending.done
    client.ack(client.receive(), 7)
    app.server.settle()
    assert pending.done
    assert pending.result() == 7


def test_an_answer_counts_once_and_only_for_what_was_asked() -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question"))
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.take()
    assert websocket.send('42["go"]') == ['420["question"]']
    websocket.send('4399["nobody asked"]', '430["first"]', '430["second"]', '4318446744073709551616["x"]')
    assert app.results == ["first"]
    assert websocket.close_code == 1000


def test_one_client_can_not_answer_for_another() -> None:
    app = SocketApp()
    first, second = TestClient(app.server), TestClient(app.server)
    first.connect()
    second.connect()
    pending = app.app.sockets.sockets[first.id].emit_with_ack("question", timeout=5)
    question = first.receive()
    second.ack(question, "forged")
    app.server.settle()
    assert not pending.done
    first.ack(question, "true")
    app.server.settle()
    assert pending.result() == "true"


def test_ids_of_a_namespace_are_not_used_twice() -> None:
    app = SocketApp()
    clients = [TestClient(app.server) for _ in range(3)]
    for client in clients:
        client.connect()
    ids = [socket.emit_with_ack("q").id for socket in app.app.local_sockets() for _ in range(3)]
    ids.append(app.app.emit_with_ack("q").id)
    assert len(set(ids)) == len(ids)


def test_a_socket_may_owe_max_pending_acks_and_not_one_more() -> None:
    app = SocketApp(limits=Limits(max_pending_acks=3))
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    pending = [socket.emit_with_ack("q", timeout=10) for _ in range(3)]
    with pytest.raises(LocalProtocolError, match="3 acknowledgements"):
        socket.emit_with_ack("q", timeout=10)
    client.ack(client.receive())
    app.server.settle()
    assert [each.done for each in pending] == [True, False, False]
    socket.emit_with_ack("q", timeout=10)
    app.server.advance(10)
    assert socket.pending_acks == {}


def test_giving_up_the_wait_gives_up_the_acknowledgement() -> None:
    app = Asking(lambda socket: socket.emit_with_ack("question", timeout=100))
    client = app.client()
    client.emit("go")
    app.server.settle()
    (socket,) = app.app.local_sockets()
    assert len(socket.pending_acks) == 1
    (task,) = app.server._tasks
    task.coroutine.close()
    assert socket.pending_acks == {}


# Broadcasts ----------------------------------------------------------------------------------------------------


def answering(app: SocketApp, count: int, answers: int) -> list[TestClient]:
    """Clients of which the first ``answers`` answer each event with their number."""
    clients = []
    for number in range(count):
        client = TestClient(app.server)
        client.connect()
        if number < answers:

            def answer(event: ReceivedEvent, client: TestClient = client, number: int = number) -> None:
                client.ack(event, number)

            client.on_event = answer
        clients.append(client)
    return clients


def test_a_broadcast_collects_one_answer_of_each() -> None:
    app = SocketApp()
    answering(app, 3, 3)
    pending = app.app.emit_with_ack("q", "x")
    app.server.settle()
    assert pending.result() == [0, 1, 2]


def test_a_broadcast_to_nobody_is_complete_at_once() -> None:
    app = SocketApp()
    pending = app.app.to("nowhere").emit_with_ack("q")
    assert pending.done
    assert pending.result() == []
    assert len(app.server.protocol.timers) == 0


def test_a_broadcast_that_is_not_complete_in_time_has_the_answers_that_came() -> None:
    app = SocketApp()
    clients = answering(app, 3, 2)
    pending = app.app.timeout(2).emit_with_ack("q")
    app.server.advance(1.9)
    assert not pending.done
    app.server.advance(0.1)
    with pytest.raises(AckTimeout) as caught:
        pending.result()
    assert caught.value.responses == [0, 1]
    # Its late answer is nobody's, and nothing is kept for it.
    clients[2].ack(clients[2].receive(), "late")
    app.server.settle()
    assert all(socket.pending_acks == {} for socket in app.app.local_sockets())


def test_a_broadcast_waits_five_seconds_by_default() -> None:
    app = SocketApp()
    answering(app, 1, 0)
    pending = app.app.emit_with_ack("q")
    app.server.advance(4.9)
    assert not pending.done
    app.server.advance(0.1)
    assert pending.done


def test_nobody_waits_for_a_client_that_has_gone() -> None:
    app = SocketApp()
    clients = answering(app, 3, 2)
    pending = app.app.emit_with_ack("q")
    app.server.settle()
    assert not pending.done
    clients[2].engine.cut()
    app.server.settle()
    assert pending.result() == [0, 1]


def test_a_broadcast_with_ack_goes_to_those_selected() -> None:
    app = SocketApp()
    clients = answering(app, 4, 4)
    app.app.to(clients[0].id, clients[1].id).sockets_join("room")
    pending = app.app.to("room").except_(clients[0].id).emit_with_ack("q")
    app.server.settle()
    assert pending.result() == [1]
