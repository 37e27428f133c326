"""EngineServer: Engine.IO alone, as an application sees it."""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket
from siocore import EngineServer, LocalProtocolError, Session
from siocore.testing import EngineClient, TestServer

TRANSPORTS = ["websocket", "polling", "upgrade"]
MESSAGES: list[str | bytes] = ["", "hello", "ü 𝄞 \u2028", b"", b"\x00\xff", "x" * 100_000, bytes(100_000), "2probe"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_text_and_binary_messages_cross_unchanged_and_in_order(transport: str) -> None:
    engine = EngineApp()
    engine.app.on("message")(lambda session, data: session.send(data))
    client = EngineClient(engine.server, transport)
    client.open()
    for message in MESSAGES:
        client.send(message)
    engine.server.advance(1)
    assert engine.messages == MESSAGES
    assert list(client.received) == MESSAGES


def test_the_life_of_a_session_as_its_handlers_see_it() -> None:
    io = EngineServer()
    seen: list[Any] = []

    @io.on("connection")
    async def connection(session: Session) -> None:
        seen.append(("connection", session.transport, session.open))
        session.data = "mine"
        await session.send("welcome")

    @io.on("message")
    async def message(session: Session, data: str | bytes) -> None:
        seen.append((session.data, data))

    @io.on("close")
    def close(session: Session, reason: str) -> None:
        seen.append(("close", reason, session.open))

    server = TestServer(io)
    client = EngineClient(server)
    client.open()
    assert client.receive() == "welcome"
    assert [session.sid for session in io.sessions] == [client.sid]
    client.send("hello")
    server.settle()
    client.close()
    server.settle()
    assert io.sessions == []
    assert seen == [("connection", "websocket", True), ("mine", "hello"), ("close", "transport close", False)]


def test_the_default_path_is_engine_io_and_can_be_changed() -> None:
    assert EngineServer().options.path == "/engine.io/"
    engine = EngineApp(path="/live")
    EngineClient(engine.server).open()
    assert engine.server.request("GET", "/engine.io/?EIO=4&transport=polling").status == 404
    assert len(engine.opened) == 1


def test_the_application_sees_what_was_refused() -> None:
    engine = EngineApp()
    engine.server.request("GET", "/engine.io/?EIO=3&transport=polling")
    RawWebSocket(engine.server, "&sid=unknown")
    assert [code for code, _ in engine.errors] == [5, 1]


@pytest.mark.parametrize("name", ["mesage", "connect", "disconnect", ""])
def test_an_event_that_engine_io_does_not_have_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="connection, message, close, slow_consumer, connection_error"):
        EngineServer().on(name)


@pytest.mark.parametrize("data", [None, 1, ["x"], {"a": 1}])
def test_a_message_is_text_or_bytes(data: Any) -> None:
    engine = EngineApp()
    RawPolling(engine.server)
    with pytest.raises(LocalProtocolError):
        engine.opened[0].send(data)


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x")])
def test_other_kinds_of_bytes_are_sent_as_they_are_now(data: bytearray | memoryview) -> None:
    engine = EngineApp()
    client = EngineClient(engine.server, "polling")
    client.open()
    engine.opened[0].send(data)  # type: ignore[arg-type]
    if isinstance(data, bytearray):
        data[0] = 0
    assert client.receive() == b"x"


def test_several_handlers_of_one_event_are_called_in_order() -> None:
    engine = EngineApp()
    order: list[int] = []
    engine.app.on("message")(lambda session, data: order.append(1))
    engine.app.on("message")(lambda session, data: order.append(2))
    client = EngineClient(engine.server)
    client.open()
    client.send("x")
    engine.server.settle()
    assert order == [1, 2]


def test_without_handlers_messages_are_dropped() -> None:
    server = TestServer(EngineServer())
    client = EngineClient(server)
    client.open()
    client.send("x")
    server.advance(1)
    assert client.state == "open"


@pytest.mark.parametrize("value", ["1", "true", ""])
def test_a_client_that_asks_for_base64_gets_text_frames_only(value: str) -> None:
    engine = EngineApp()
    websocket = RawWebSocket(engine.server, f"&b64={value}")
    websocket.take()
    engine.opened[0].send(b"\x01\x02\x03")
    engine.server.settle()
    assert websocket.take() == ["bAQID"]


def test_a_resource_can_be_added() -> None:
    engine = EngineApp()
    engine.app.add_resource("/page", b"<p>", "text/html")
    assert engine.server.request("GET", "/page").body == b"<p>"
    missing = engine.server.request("GET", "/other")
    assert (missing.status, missing.body) == (404, b"Not Found: this server speaks Engine.IO at /engine.io/\n")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_tells_what_waits_for_its_client(transport: str) -> None:
    engine = EngineApp()
    client = EngineClient(engine.server, transport)
    client.open()
    engine.server.advance(1)
    (session,) = engine.opened
    assert session.buffered == 0
    for link in client.links:
        link.to_client.window = 10
        link.to_client.stall()
    session.send("x" * 1_000)
    session.send("x" * 1_000)
    assert session.buffered >= 2_000
