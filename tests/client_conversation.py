"""One client and one server of siocore on virtual links, and what they say to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from siocore import Server, Socket
from siocore.application.client import Client
from siocore.testing import Link, TestServer

__all__ = ["BINARY", "SHAPES", "TRANSPORTS", "URL", "Pair"]

URL = "http://test.example"
BINARY = {"a": b"\x00\xff" * 50, "b": [b"", "text", 1.5, None]}
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}


def _each(change: Callable[[Any], None]) -> Callable[[Link], None]:
    def script(link: Link) -> None:
        for pipe in link.pipes:
            change(pipe)

    return script


def _slow(pipe: Any) -> None:
    pipe.delay = 0.2


def _tiny(pipe: Any) -> None:
    pipe.segment = 1


def _coalescing(pipe: Any) -> None:
    pipe.delay = 0.05
    pipe.coalesce = True


def _narrow(pipe: Any) -> None:
    pipe.window = 37
    pipe.delay = 0.001


def _slow_answers(link: Link) -> None:
    link.to_client.delay = 0.7


#: What a network may be like, without a fault.
SHAPES: dict[str, Callable[[Link], None] | None] = {
    "plain": None,
    "slow": _each(_slow),
    "one byte at a time": _each(_tiny),
    "coalescing": _each(_coalescing),
    "narrow": _each(_narrow),
    "slow answers": _slow_answers,
}


class Pair:
    """A server with an echo in two namespaces, and a client for it. ``log`` has what their handlers saw, in order."""

    def __init__(
        self,
        transport: str = "websocket",
        revision: int = 4,
        *,
        client: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.io = Server(allow_eio3=True, **options)
        for name in ("/", "/admin"):
            self.serve(name)
        self.server = TestServer(self.io)
        self.client = Client(
            **{
                "transports": TRANSPORTS[transport],
                "protocol": revision,
                "random": lambda: 0.5,
                "random_bytes": bytes,
                **(client or {}),
            }
        )
        self.driver = self.server.attach(self.client)

    def serve(self, name: str) -> None:
        namespace = self.io.of(name)

        @namespace.on("connection")
        def connection(socket: Socket) -> None:
            self.log.append(("server", name, "connection"))
            socket.emit("welcome", name)

        @namespace.on("disconnect")
        def disconnect(socket: Socket, reason: str) -> None:
            self.log.append(("server", name, "disconnect", reason))

        @namespace.on("echo")
        def echo(socket: Socket, *args: Any) -> Any:
            self.log.append(("server", name, "echo", *args))
            return args

        @namespace.on("question")
        async def question(socket: Socket, *args: Any) -> Any:
            return await socket.emit_with_ack("question", *args, timeout=20)

    def socket(self, name: str = "/", **options: Any) -> Any:
        """A socket of the client that writes down what it is told."""
        socket = self.client.socket(URL + name, **options)
        socket.on("connect")(lambda: self.log.append(("client", name, "connect")))
        socket.on("disconnect")(lambda reason, detail: self.log.append(("client", name, "disconnect", reason)))
        socket.on("connect_error")(lambda error: self.log.append(("client", name, "connect_error", error.message)))
        socket.on("welcome")(lambda *args: self.log.append(("client", name, "welcome", *args)))
        socket.on("question")(lambda *args: args)
        return socket

    def calls(self, side: str, name: str = "/") -> list[Any]:
        """What one side's handlers of one namespace saw."""
        return [entry[2] if len(entry) == 3 else entry[2:] for entry in self.log if entry[:2] == (side, name)]

    def close(self) -> None:
        """End both; nothing is left."""
        self.driver.close()
        assert len(self.client.protocol.timers) == 0
        self.server.close()
        assert len(self.server.protocol.timers) == 0
