"""An echoing server of ours and a client of ours, on virtual time and virtual links."""

from __future__ import annotations

from typing import Any

from siocore import EngineServer
from siocore.client_events import ClientMessageReceived
from siocore.client_options import EngineClientOptions
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.engineio.client_session import ClientSession
from siocore.engineio.session import Session
from siocore.target import Target
from siocore.testing import AppClient, TestServer

__all__ = ["MODES", "TARGET", "Pair"]

TARGET = Target(host="example.test", port=80, secure=False)
MODES: dict[str, dict[str, Any]] = {
    "websocket": {"transports": ("websocket",)},
    "polling": {"transports": ("polling",)},
    "upgrade": {},
}


class Pair:
    """An echoing server, and a client of it."""

    def __init__(self, **server_options: Any) -> None:
        self.app = EngineServer(**server_options)
        self.sessions: list[Session] = []
        self.received: list[str | bytes] = []
        self.closed: list[str] = []
        self.app.on("connection")(self.sessions.append)
        self.app.on("message")(self._message)
        self.app.on("close")(self._close)
        self.server = TestServer(self.app)
        self.protocol = EngineClientProtocol()
        self.client: AppClient = self.server.attach(self.protocol)

    def _message(self, session: Session, data: str | bytes) -> None:
        self.received.append(data)
        session.send(data)

    def _close(self, session: Session, reason: str) -> None:
        self.closed.append(reason)

    def open(self, settle: bool = True, **options: Any) -> ClientSession:
        session = self.protocol.open_session(TARGET, EngineClientOptions(**options))
        if settle:
            self.server.settle()
        return session

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.client.events if isinstance(event, kind)]

    @property
    def messages(self) -> list[str | bytes]:
        return [event.data for event in self.events(ClientMessageReceived)]

    def close(self) -> None:
        self.client.close()
        self.server.close()
