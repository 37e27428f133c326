"""Middleware: nobody is in, and nothing is handled, before every middleware has let the client in."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from raw_client import RawPolling, RawWebSocket, SocketApp, assert_nothing_left
from siocore import ConnectionRefused, Socket
from siocore.testing import TestClient


class Guarded(SocketApp):
    """A server whose middleware waits at a gate, then refuses whoever says so in auth."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate = self.server.new_waiter()

        @self.app.use
        async def guard(socket: Socket) -> None:
            await self.gate
            if socket.handshake.auth.get("token") == "bad":
                raise ConnectionRefused("not you", {"retry": False})

    def open_gate(self) -> None:
        self.gate.wake()
        self.server.settle()


def test_a_refused_client_gets_the_message_and_the_data() -> None:
    app = SocketApp()

    @app.app.use
    def refuse(socket: Socket) -> None:
        raise ConnectionRefused("not you", {"content": [1]})

    client = TestClient(app.server)
    with pytest.raises(ConnectionRefused) as caught:
        client.connect()
    assert (caught.value.message, caught.value.data) == ("not you", {"content": [1]})
    assert app.events == []
    # The connection stays; the client may try again, with better auth.
    assert client.engine.state == "open"


def test_the_wire_form_of_a_refusal() -> None:
    app = SocketApp()
    app.app.of("/admin")

    @app.app.of("/admin").use
    def refuse(socket: Socket) -> None:
        raise ConnectionRefused

    websocket = RawWebSocket(app.server)
    assert websocket.send("40/admin,")[1:] == ['44/admin,{"message":"connection refused"}']


def test_middleware_run_in_order_and_the_first_refusal_ends_it() -> None:
    app = SocketApp()
    order: list[str] = []

    @app.app.use
    def first(socket: Socket) -> None:
        order.append("first")

    @app.app.use
    async def second(socket: Socket) -> None:
        order.append("second")
        raise ConnectionRefused("no")

    @app.app.use
    def third(socket: Socket) -> None:
        order.append("third")

    with pytest.raises(ConnectionRefused):
        TestClient(app.server).connect()
    assert order == ["first", "second"]


def test_middleware_can_not_be_passed_by_joining_another_namespace() -> None:
    app = SocketApp()
    app.app.of("/open")

    @app.app.use
    def refuse(socket: Socket) -> None:
        raise ConnectionRefused("no")

    client = TestClient(app.server)
    client.connect("/open")
    with pytest.raises(ConnectionRefused):
        client.connect("/")
    client.emit("e", namespace="/")
    app.server.settle()
    assert client.engine.state == "closed"
    assert app.events == []


@pytest.mark.parametrize("auth", ['{"token":"bad"}', '{"token":"good"}'])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_no_event_is_handled_before_the_middleware_has_decided(transport: str, auth: str) -> None:
    app = Guarded()
    if transport == "websocket":
        websocket = RawWebSocket(app.server)
        websocket.send("40" + auth, '42["admin"]')
        assert websocket.close_code == 1000
    else:
        polling = RawPolling(app.server)
        polling.post(f'40{auth}\x1e42["admin"]'.encode())
    app.open_gate()
    app.server.advance(60)
    assert app.events == []
    assert_nothing_left(app.server)


@pytest.mark.parametrize("packet", ['42["connection"]', '42["connect",{},{"token":"x"}]', '42["disconnect","x"]', "41"])
def test_forged_lifecycle_events_reach_nobody(packet: str) -> None:
    app = Guarded()
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send(packet)
    app.open_gate()
    assert app.events == []
    assert websocket.close_code == 1000


def test_a_second_connect_while_the_middleware_runs_makes_no_second_socket() -> None:
    app = Guarded()
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    websocket.send("40")
    app.open_gate()
    assert websocket.close_code == 1000
    assert app.events == []
    assert app.app.local_sockets() == []


def test_several_namespaces_can_be_joined_at_the_same_time() -> None:
    app = Guarded()
    app.app.of("/other")
    client = TestClient(app.server)
    client.engine.open()
    client.join("/")
    client.join("/other")
    app.server.settle()
    assert set(client.ids) == {"/other"}
    app.open_gate()
    assert set(client.ids) == {"/", "/other"}


@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_client_that_goes_while_its_middleware_runs_was_never_there(end: str) -> None:
    app = Guarded()
    client = TestClient(app.server)
    client.engine.open()
    client.join()
    app.server.settle()
    assert app.server.running == 1
    if end == "reset":
        client.engine.cut()
    else:
        client.disconnect()
    app.server.settle()
    app.open_gate()
    assert app.events == []
    assert_nothing_left(app.server)


def test_the_connect_timeout_passes_while_the_middleware_runs() -> None:
    app = Guarded(connect_timeout=5)
    client = TestClient(app.server)
    client.engine.open()
    client.join()
    app.server.advance(5)
    assert client.engine.state == "closed"
    app.open_gate()
    assert app.events == []


def test_a_middleware_that_fails_keeps_the_client_out_and_tells_it_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = SocketApp()
    errors: list[tuple[str, str]] = []
    app.app.on_error(lambda error, socket, name: errors.append((str(error), name)))

    @app.app.use
    def broken(socket: Socket) -> None:
        raise RuntimeError("password of the database")

    with caplog.at_level(logging.ERROR), pytest.raises(ConnectionRefused) as caught:
        TestClient(app.server).connect()
    assert (caught.value.message, caught.value.data) == ("internal error", None)
    assert errors == [("password of the database", "middleware")]
    assert len(caplog.records) == 1
    assert app.events == []


def test_data_that_can_not_be_sent_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    app = SocketApp()

    @app.app.use
    def refuse(socket: Socket) -> None:
        raise ConnectionRefused("no", object())

    with pytest.raises(ConnectionRefused) as caught:
        TestClient(app.server).connect()
    assert (caught.value.message, caught.value.data) == ("no", None)
    assert len(caplog.records) == 1


def test_what_a_socket_that_is_not_in_yet_sends_is_dropped() -> None:
    app = SocketApp()

    @app.app.use
    def early(socket: Socket) -> None:
        socket.emit("early")
        socket.data.user = "ann"

    client = TestClient(app.server)
    client.connect()
    app.server.settle()
    assert not client.events
    (socket,) = app.app.local_sockets()
    assert socket.data.user == "ann"


def test_a_cancelled_middleware_refuses_its_client() -> None:
    app = Guarded()
    client = TestClient(app.server)
    client.engine.open()
    client.join()
    app.server.settle()
    (task,) = app.server._tasks
    task.coroutine.close()
    app.server.settle()
    assert client.refusals == {"/": {"message": "internal error"}}
