"""A server whose clients may come back, as the tests of recovery need it."""

from __future__ import annotations

from typing import Any

from siocore import Recovery, Server, Socket
from siocore.testing import TestClient, TestServer


class App:
    """A server that writes down who came and went."""

    def __init__(self, recovery: Recovery | bool = True, **options: Any) -> None:
        self.io = Server(recovery=recovery, **options)
        self.server = TestServer(self.io)
        self.connected: list[Socket] = []
        #: ("connection" or the reason of a disconnection, the socket's id), in order.
        self.log: list[tuple[str, str]] = []
        self.io.on("connection")(self._connection)
        self.io.on("disconnect")(lambda socket, reason: self.log.append((reason, socket.id)))

    def _connection(self, socket: Socket) -> None:
        self.connected.append(socket)
        self.log.append(("connection", socket.id))

    def client(self, transport: str = "websocket") -> TestClient:
        client = TestClient(self.server, transport)
        client.connect()
        self.server.settle()
        return client

    def cut(self, client: TestClient) -> None:
        client.engine.cut()
        self.server.settle()

    def events(self, client: TestClient) -> list[list[Any]]:
        """What has arrived and was not taken yet."""
        self.server.settle()
        events = [[each.name, *each.args] for each in client.events]
        client.events.clear()
        return events
