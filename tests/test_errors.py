"""A handler that raises: logged once, told to the hook, and nobody else notices."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from raw_client import EngineApp, RawWebSocket, SocketApp
from siocore import Server, Socket
from siocore.testing import TestClient, TestServer


class Failing(Server):
    """A server whose "fail" handlers raise, and that writes down what its hook is told."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.told: list[tuple[Exception, Any, str]] = []
        self.server = TestServer(self)
        if kind == "def":
            self.on("fail")(self.fail)
        elif kind == "async def":
            self.on("fail")(self.fail_later)
        else:
            self.on("fail")(self.fail_after_a_while)
        self.on("ping")(lambda socket: "pong")
        self.on_error(lambda error, socket, name: self.told.append((error, socket, name)))

    def fail(self, socket: Socket, *args: object) -> None:
        raise ValueError("oh no")

    async def fail_later(self, socket: Socket, *args: object) -> None:
        raise ValueError("oh no")

    async def fail_after_a_while(self, socket: Socket, *args: object) -> None:
        await self.server.clock.sleep(1)
        raise ValueError("oh no")


@pytest.mark.parametrize("kind", ["def", "async def", "async def that waits"])
def test_an_error_is_logged_once_and_the_socket_lives_on(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    io = Failing(kind)
    client = TestClient(io.server)
    client.connect()
    client.emit("fail", 1)
    io.server.advance(2)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("siocore", logging.ERROR)
    assert record.getMessage() == "the handler of 'fail' failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "oh no"
    assert client.emit_with_ack("ping") == "pong"
    ((error, socket, name),) = io.told
    assert (str(error), name) == ("oh no", "fail")
    assert socket.id == client.id


def test_an_event_whose_handler_failed_is_not_acknowledged() -> None:
    io = Failing("async def")
    client = TestClient(io.server)
    client.connect()
    answers: list[object] = []
    client.emit("fail", ack=answers.append)
    io.server.advance(10)
    assert answers == []


def test_wrong_arguments_are_an_error_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    io = Failing("def")
    io.on("one")(lambda socket, value: value)
    client = TestClient(io.server)
    client.connect()
    client.emit("one")
    client.emit("one", 1, 2)
    io.server.settle()
    assert [type(error) for error, _, _ in io.told] == [TypeError, TypeError]
    assert client.emit_with_ack("one", 1) == 1


def test_one_failing_handler_does_not_keep_the_others_from_running() -> None:
    io = Failing("def")
    calls: list[str] = []
    io.on("fail")(lambda socket: calls.append("second"))
    io.on_any(lambda socket, name: calls.append("any"))
    client = TestClient(io.server)
    client.connect()
    client.emit("fail")
    io.server.settle()
    assert calls == ["any", "second"]
    assert len(io.told) == 1


@pytest.mark.parametrize("event", ["connection", "disconnecting", "disconnect"])
def test_lifecycle_handlers_may_fail_too(event: str, caplog: pytest.LogCaptureFixture) -> None:
    app = SocketApp()
    told: list[str] = []
    app.app.on_error(lambda error, socket, name: told.append(name))

    @app.app.on(event)
    def fail(socket: Socket, *args: object) -> None:
        raise ValueError("oh no")

    client = TestClient(app.server)
    client.connect()
    client.emit("e")
    client.disconnect()
    app.server.settle()
    assert told == [event]
    assert len(caplog.records) == 1
    assert app.events == [("connection",), ("e",), ("disconnect", "transport close")]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_hook_that_fails_is_logged_and_harms_nobody(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    io = Failing("def")
    if kind == "def":

        @io.on_error
        def broken(error: Exception, socket: Socket, name: str) -> None:
            raise RuntimeError("the hook, too")
    else:

        @io.on_error
        async def broken_later(error: Exception, socket: Socket, name: str) -> None:
            raise RuntimeError("the hook, too")

    client = TestClient(io.server)
    client.connect()
    client.emit("fail")
    io.server.settle()
    assert [record.getMessage() for record in caplog.records] == [
        "the handler of 'fail' failed",
        "the on_error hook failed",
    ]
    assert client.emit_with_ack("ping") == "pong"


def test_hooks_may_await() -> None:
    io = Failing("async def")
    seen: list[str] = []

    @io.on_error
    async def hook(error: Exception, socket: Socket, name: str) -> None:
        await io.server.clock.sleep(1)
        seen.append(name)

    client = TestClient(io.server)
    client.connect()
    client.emit("fail")
    io.server.advance(2)
    assert seen == ["fail"]


def test_names_from_peers_can_not_forge_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    io = Failing("def")

    @io.on_any
    def fail(socket: Socket, name: str) -> None:
        raise ValueError

    client = TestClient(io.server)
    client.connect()
    client.emit("\x1b[2J\nERROR forged" + "x" * 200)
    io.server.settle()
    message = caplog.records[0].getMessage()
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 300


def test_ten_thousand_errors_leave_nothing_behind() -> None:
    io = Failing("async def")
    io.told.clear()
    logging.getLogger("siocore").disabled = True
    try:
        client = TestClient(io.server)
        client.connect()
        for _ in range(10_000):
            client.emit("fail")
        io.server.settle()
    finally:
        logging.getLogger("siocore").disabled = False
    assert len(io.told) == 10_000
    assert io.server.running == 0
    assert client.emit_with_ack("ping") == "pong"


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_what_is_not_an_exception_passes_through(exception: type[BaseException]) -> None:
    io = Failing("def")

    @io.on("stop")
    def stop(socket: Socket) -> None:
        raise exception

    client = TestClient(io.server)
    client.connect()
    client.emit("stop")
    with pytest.raises(exception):
        io.server.settle()


def test_engine_handlers_fail_in_the_same_way(caplog: pytest.LogCaptureFixture) -> None:
    engine = EngineApp()
    told: list[tuple[str, str]] = []
    engine.app.on_error(lambda error, session, name: told.append((str(error), name)))

    @engine.app.on("message")
    def fail(session: object, data: object) -> None:
        raise ValueError("oh no")

    websocket = RawWebSocket(engine.server)
    websocket.send("4a", "4b")
    assert engine.messages == ["a", "b"]
    assert told == [("oh no", "message")] * 2
    assert len(caplog.records) == 2
    assert engine.closed == []
