"""The reason that ``disconnect`` and ``disconnecting`` handlers get, for every way to end, over every transport."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raw_client import SocketApp, assert_nothing_left
from siocore import Limits
from siocore.testing import TestClient

#: Those of Node.js' socket.io ("parse error" for Engine.IO, "forced close" for Socket.IO packets that are wrong, and
#: "forced server close" for right ones at the wrong time), and "slow consumer", which is ours.
DOCUMENTED = {
    "client namespace disconnect",
    "forced close",
    "forced server close",
    "parse error",
    "ping timeout",
    "server namespace disconnect",
    "server shutting down",
    "slow consumer",
    "transport close",
    "transport error",
}

End = Callable[[SocketApp, TestClient], object]


def fall_silent(app: SocketApp, client: TestClient) -> None:
    for link in client.engine.links:
        link.stall()
    app.server.advance(60)


def leave(app: SocketApp, client: TestClient) -> None:
    client.disconnect("/")


def close(app: SocketApp, client: TestClient) -> None:
    client.disconnect()


def cut(app: SocketApp, client: TestClient) -> None:
    client.engine.cut()


def send_ping(app: SocketApp, client: TestClient) -> None:
    client.engine.send_packet("2")


def send_nonsense(app: SocketApp, client: TestClient) -> None:
    client.engine.send_packet("9")


def send_a_bad_packet(app: SocketApp, client: TestClient) -> None:
    client.engine.send("abc")


def connect_twice(app: SocketApp, client: TestClient) -> None:
    client.join()


def kick(app: SocketApp, client: TestClient) -> None:
    app.app.disconnect_sockets()


def kick_out(app: SocketApp, client: TestClient) -> None:
    app.app.disconnect_sockets(close=True)


def shut_down(app: SocketApp, client: TestClient) -> None:
    app.server.shutdown()


def never_read(app: SocketApp, client: TestClient) -> None:
    for link in client.engine.links:
        link.to_client.window = 0
        link.to_client.stall()
    for _ in range(300):
        app.app.emit("news", "x" * 10_000)
        app.server.advance(0.01)


ENDS: list[tuple[End, dict[str, str]]] = [
    (fall_silent, {"websocket": "ping timeout", "polling": "ping timeout"}),
    (leave, {"websocket": "client namespace disconnect", "polling": "client namespace disconnect"}),
    (close, {"websocket": "transport close", "polling": "transport close"}),
    # A poll that breaks off is an error, as in engine.io; a WebSocket that does is a close without a frame.
    (cut, {"websocket": "transport close", "polling": "transport error"}),
    (send_ping, {"websocket": "transport error", "polling": "transport error"}),
    (send_nonsense, {"websocket": "parse error", "polling": "parse error"}),
    (send_a_bad_packet, {"websocket": "forced close", "polling": "forced close"}),
    (connect_twice, {"websocket": "forced server close", "polling": "forced server close"}),
    (kick, {"websocket": "server namespace disconnect", "polling": "server namespace disconnect"}),
    (kick_out, {"websocket": "server namespace disconnect", "polling": "server namespace disconnect"}),
    (shut_down, {"websocket": "server shutting down", "polling": "server shutting down"}),
    (never_read, {"websocket": "slow consumer", "polling": "slow consumer"}),
]


@pytest.mark.parametrize("transport", ["websocket", "polling", "upgrade"])
@pytest.mark.parametrize(("end", "reasons"), ENDS, ids=lambda value: getattr(value, "__name__", ""))
def test_both_handlers_get_the_documented_reason_once(end: End, reasons: dict[str, str], transport: str) -> None:
    app = SocketApp(limits=Limits(max_buffered=100_000))
    told: list[tuple[str, str]] = []
    app.app.on("disconnecting")(lambda socket, reason: told.append(("disconnecting", reason)))
    app.app.on("disconnect")(lambda socket, reason: told.append(("disconnect", reason)))
    client = TestClient(app.server, transport)
    client.connect()
    app.server.advance(1)
    end(app, client)
    app.server.advance(100)
    reason = reasons["polling" if transport == "polling" else "websocket"]
    assert reason in DOCUMENTED
    assert told == [("disconnecting", reason), ("disconnect", reason)]
    assert app.app.local_sockets() == []
    client.engine.cut()
    app.server.advance(100)
    assert_nothing_left(app.server)


def test_no_handler_runs_after_the_disconnect() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    client.emit("before")
    client.disconnect("/")
    client.engine.send('2["behind"]')
    client.disconnect()
    app.server.settle()
    assert app.events == [("connection",), ("before",), ("disconnect", "client namespace disconnect")]


def test_a_socket_that_never_connected_is_never_disconnected() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.engine.open()
    client.engine.cut()
    app.server.settle()
    assert app.events == []
