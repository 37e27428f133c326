"""What applications have of an Engine.IO connection: handlers, receive(), async for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from siocore import EngineServer
from siocore.application.engine_client import EngineClient, EngineConnection
from siocore.engineio.session import Session
from siocore.errors import ConnectError, Disconnected
from siocore.testing import AppClient, TestServer

URL = "http://example.test/"


class Bench:
    """An echoing server and an application that connects to it."""

    def __init__(self) -> None:
        self.engine = EngineServer()
        self.sessions: list[Session] = []
        self.engine.on("connection")(self.sessions.append)
        self.engine.on("message")(_echo)
        self.server = TestServer(self.engine)
        self.app = EngineClient()
        self.client: AppClient = self.server.attach(self.app)

    def open(self, **options: Any) -> EngineConnection:
        return self.client.run(self.app.connect(URL, **options).opened())


def _echo(session: Session, data: str | bytes) -> None:
    session.send(data)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.client.close()
    bench.server.close()


def test_messages_are_received_in_order_and_the_loop_ends_with_the_connection(bench: Bench) -> None:
    connection = bench.open()
    connection.send("one")
    connection.send(b"two")
    assert bench.client.run(connection.receive()) == "one"
    seen: list[str | bytes] = []

    async def read() -> None:
        seen.extend([message async for message in connection])

    task = bench.client.start(read())
    connection.send("three")
    bench.server.settle()
    assert seen == []
    assert not task.done
    connection.close()
    bench.server.settle()
    assert task.done
    assert seen == [b"two", "three"]
    assert connection.close_reason == "forced close"
    with pytest.raises(Disconnected, match="forced close"):
        bench.client.run(connection.receive())
    with pytest.raises(Disconnected):
        connection.send("late")


def test_receive_gives_up_after_its_timeout_and_loses_nothing(bench: Bench) -> None:
    connection = bench.open()
    with pytest.raises(TimeoutError, match="within 5 s"):
        bench.client.run(connection.receive(timeout=5))
    connection.send("late")
    assert bench.client.run(connection.receive(timeout=5)) == "late"
    assert bench.app.protocol.timers.next_deadline() is not None  # the heartbeat's


def test_handlers_take_messages_and_errors_of_theirs_go_to_the_hook(bench: Bench) -> None:
    connection = bench.app.connect(URL)
    seen: list[object] = []
    errors: list[tuple[str, str]] = []
    bench.app.on_error(lambda error, subject, name: errors.append((str(error), name)))

    @connection.on("open")
    def opened() -> None:
        seen.append("open")

    @connection.on("message")
    async def message(data: str | bytes) -> None:
        seen.append(data)
        if data == "bad":
            raise RuntimeError("no")
        await bench.client.clock.sleep(1)
        seen.append("slept")

    @connection.on("upgrade")
    def upgraded() -> None:
        seen.append("upgrade")

    @connection.on("close")
    def closed(reason: str) -> None:
        seen.append(reason)

    bench.server.settle()
    connection.send("bad")
    connection.send("good")
    bench.server.advance(2)
    bench.sessions[0].close()
    bench.server.settle()
    assert seen == ["open", "upgrade", "bad", "good", "slept", "transport close"]
    assert errors == [("no", "message")]


def test_a_connection_that_can_not_be_made_raises(bench: Bench) -> None:
    bench.client.script = lambda dial: setattr(dial, "refusal", "nobody is there")
    with pytest.raises(ConnectError, match="nobody is there"):
        bench.open()


def test_the_path_of_the_url_is_that_of_the_server(bench: Bench) -> None:
    connection = bench.client.run(bench.app.connect("ws://example.test/engine.io?token=a%20b").opened())
    assert connection.open
    assert bench.sessions[0].request.query["token"] == ["a b"]
    with pytest.raises(ValueError, match="path"):
        bench.app.connect("http://example.test/a/", path="/b/")
    with pytest.raises(TypeError, match="upgrade"):
        bench.app.connect(URL, upgrades=False)


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_messages_that_nobody_takes_stop_the_reading(bench: Bench, transport: str) -> None:
    connection = bench.open(transports=(transport,))
    held = connection.session.max_held
    piece = "x" * 50_000

    async def flood() -> None:
        for _ in range(200):
            await bench.sessions[0].send(piece)

    bench.server.start(flood())
    bench.server.settle()
    assert connection.session.paused
    assert connection._inbox_size < 2 * held + 2_000_000
    for _ in range(200):
        assert bench.client.run(connection.receive()) == piece
    bench.server.advance(100)
    assert connection.open
