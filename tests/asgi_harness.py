"""An ASGI server without sockets: it says what a test tells it to say, on trio and on asyncio, on virtual time."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import trio
import trio.testing

import siocore
from siocore.asgi import ASGIApp
from siocore.asyncio._host import Waiter as AsyncioWaiter
from siocore.trio._host import Waiter as TrioWaiter
from siocore.waiting import Waiter

__all__ = [
    "LOOPS",
    "Call",
    "Http",
    "Lifespan",
    "Server",
    "Socket",
    "on_each_loop",
    "run_abruptly",
    "run_on",
    "with_options",
]

LOOPS = ("trio", "asyncio")
Scenario = Callable[["Server"], Awaitable[None]]

#: The least time there is: when it has passed, everything that was due before has happened.
_TICK = 1e-6


class Call:
    """One call of the application: what it is told, and what it has said."""

    def __init__(self, server: Server, scope: dict[str, Any]) -> None:
        self.server = server
        self.scope = scope
        self.sent: list[dict[str, Any]] = []
        #: send() waits until this is False again and settle() was called.
        self.blocked = False
        #: What send() raises.
        self.fails: Exception | None = None
        self.received = 0
        #: Whether receive() is waiting.
        self.receiving = False
        #: Rounds of the event loop that a message takes to get from the network to receive().
        self.hops = 0
        #: Whether the application has returned or raised.
        self.done = False
        self.error: BaseException | None = None
        self.cancel: Callable[[], object]
        self._inbox: deque[dict[str, Any]] = deque()
        self._reader: Waiter | None = None
        self._writer: Waiter | None = None
        self._listener: Waiter | None = None

    def tell(self, **message: Any) -> None:
        """What receive() returns next; ``type`` stands for the type."""
        self._inbox.append(message)
        if self._reader is not None:
            self._reader.wake()

    def unblock(self) -> None:
        self.blocked = False
        if self._writer is not None:
            self._writer.wake()

    async def receive(self) -> dict[str, Any]:
        self.receiving = True
        try:
            while not self._inbox:
                self._reader = self.server.new_waiter()
                await self._reader.wait()
        finally:
            self.receiving = False
        for _ in range(self.hops):
            await self.server.checkpoint()
        self.received += 1
        return self._inbox.popleft()

    async def send(self, message: Any) -> None:
        if self.blocked:
            self._writer = self.server.new_waiter()
            await self._writer.wait()
        if self.fails is not None:
            raise self.fails
        assert message["type"] != "websocket.close" or not self.receiving, "some servers would never close"
        self.sent.append(dict(message))
        if self._listener is not None:
            self._listener.wake()

    async def next_sent(self) -> None:
        """Wait until something is sent."""
        self._listener = self.server.new_waiter()
        await self._listener.wait()

    async def run(self) -> None:
        try:
            await self.server.app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.done = True


class Http(Call):
    """A request."""

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def text(self) -> str:
        assert [message["type"] for message in self.sent] == ["http.response.start", "http.response.body"]
        assert not self.sent[1].get("more_body", False)
        body: bytes = self.sent[1]["body"]
        return body.decode()

    def disconnect(self) -> None:
        self.tell(type="http.disconnect")


class Socket(Call):
    """A WebSocket."""

    def say(self, data: str | bytes) -> None:
        self.tell(type="websocket.receive", **({"text": data} if isinstance(data, str) else {"bytes": data}))

    @property
    def heard(self) -> list[str | bytes]:
        """What was sent to the client."""
        return [
            message["text"] if "text" in message else message["bytes"]
            for message in self.sent
            if message["type"] == "websocket.send"
        ]

    @property
    def closed(self) -> int | None:
        """The close code that was sent."""
        return next((message["code"] for message in self.sent if message["type"] == "websocket.close"), None)

    def disconnect(self, code: int = 1006) -> None:
        self.tell(type="websocket.disconnect", code=code)


class Lifespan(Call):
    """The lifespan."""

    @property
    def said(self) -> list[str]:
        return [message["type"].removeprefix("lifespan.") for message in self.sent]


class Server:
    """The ASGI server, its event loop and its application."""

    def __init__(self, io: siocore.Server, spawn: Callable[[Call], None], new_waiter: Callable[[], Waiter]) -> None:
        self.io = io
        self.app: Any = ASGIApp(io)
        self.new_waiter = new_waiter
        self._spawn = spawn
        self.sleep: Callable[[float], Coroutine[Any, Any, None]]
        #: Lets every other task have its turn once.
        self.checkpoint: Callable[[], Awaitable[None]]
        #: Lets time pass in which no task has its turn.
        self.block: Callable[[float], None]

    async def settle(self) -> None:
        """Let everything happen that is due now."""
        await self.sleep(_TICK)

    def start(self, call: Call) -> None:
        self._spawn(call)

    def scope(self, kind: str, path: str, query: str, headers: dict[str, str], **more: Any) -> dict[str, Any]:
        pairs = [(name.lower().encode(), value.encode()) for name, value in {"host": "test", **headers}.items()]
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": ("192.0.2.1", 50_000),
            "server": ("192.0.2.2", 80),
            **more,
        }

    async def request(
        self,
        method: str,
        query: str = "",
        body: bytes | None = b"",
        path: str = "/socket.io/",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Http:
        """Begin a request; ``body`` None: it is still on its way."""
        call = Http(self, self.scope("http", path, query, headers or {}, method=method, **more))
        if body is not None:
            call.tell(type="http.request", body=body, more_body=False)
        self.start(call)
        await self.settle()
        return call

    async def websocket(
        self, query: str = "EIO=4&transport=websocket", headers: dict[str, str] | None = None, **more: Any
    ) -> Socket:
        """Begin a WebSocket."""
        call = self.new_websocket(query, headers, **more)
        self.start(call)
        await self.settle()
        return call

    def new_websocket(
        self, query: str = "EIO=4&transport=websocket", headers: dict[str, str] | None = None, **more: Any
    ) -> Socket:
        """A WebSocket, to be started."""
        more = {"path": "/socket.io/", "subprotocols": [], "extensions": {}, **more}
        call = Socket(self, self.scope("websocket", more.pop("path"), query, headers or {}, **more))
        call.tell(type="websocket.connect")
        return call

    async def lifespan(self) -> Lifespan:
        call = Lifespan(self, {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}})
        call.tell(type="lifespan.startup")
        self.start(call)
        await self.settle()
        return call

    # Engine.IO and Socket.IO ----------------------------------------------------------------------------------

    async def open_polling(self) -> str:
        """The handshake over long-polling, and what a GET needs to belong to the session."""
        opened = await self.request("GET", "EIO=4&transport=polling")
        assert opened.status == 200, opened.sent
        return "EIO=4&transport=polling&sid=" + opened.text.partition('"sid":"')[2].partition('"')[0]

    async def poll(self, session: str) -> Http:
        return await self.request("GET", session)

    async def post(self, session: str, text: str) -> Http:
        return await self.request("POST", session, text.encode())

    async def join_polling(self) -> str:
        """The handshake, and the namespace joined."""
        session = await self.open_polling()
        assert (await self.post(session, "40")).text == "ok"
        assert (await self.poll(session)).text.startswith("40{")
        return session

    async def join_websocket(self) -> Socket:
        socket = await self.websocket()
        socket.say("40")
        await self.settle()
        assert str(socket.heard[1]).startswith("40{"), socket.sent
        del socket.sent[:3]
        return socket

    @property
    def sessions(self) -> int:
        return len(self.io.protocol.sessions)

    @property
    def connections(self) -> int:
        return len(self.io.protocol.connections)


def on_each_loop(scenario: Scenario) -> Callable[[str], None]:
    """A test is a coroutine that gets a :class:`Server`."""
    return with_options()(scenario)


def with_options(**options: Any) -> Callable[[Scenario], Callable[[str], None]]:
    """As :func:`on_each_loop`, with options for the server."""

    def decorate(scenario: Scenario) -> Callable[[str], None]:
        @pytest.mark.parametrize("loop", LOOPS)
        def test(loop: str) -> None:
            run_on(loop, scenario, **options)

        functools.update_wrapper(test, scenario)
        # pytest looks through wrappers for the names of fixtures.
        del test.__wrapped__  # type: ignore[attr-defined]
        return test

    return decorate


def run_on(loop: str, scenario: Scenario, /, **options: Any) -> None:
    """Run a scenario on trio or asyncio. Nothing may be left of it."""
    io = siocore.Server(**options)

    async def to_its_end(server: Server) -> None:
        await scenario(server)
        await server.app.shutdown()

    run_abruptly(loop, to_its_end, io)
    assert not io.protocol.sessions
    assert not io.protocol.connections
    assert io.protocol.wake is None


def run_abruptly(loop: str, scenario: Scenario, io: siocore.Server, *, real_time: bool = False) -> None:
    """Run a scenario, and end the event loop behind it without telling the application."""
    if loop == "trio":
        trio.run(_on_trio, io, scenario, clock=None if real_time else trio.testing.MockClock(autojump_threshold=0))
    else:
        with asyncio.Runner(loop_factory=None if real_time else _VirtualLoop) as runner:
            runner.run(_on_asyncio(io, scenario))


async def _on_trio(io: siocore.Server, scenario: Scenario) -> None:
    def spawn(call: Call) -> None:
        scope = trio.CancelScope()
        call.cancel = scope.cancel

        async def run() -> None:
            with scope:
                await call.run()

        nursery.start_soon(run)

    async with trio.open_nursery() as nursery:
        server = Server(io, spawn, TrioWaiter)
        server.sleep = trio.sleep
        server.checkpoint = trio.lowlevel.checkpoint
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, trio.testing.MockClock):
            server.block = clock.jump
        await scenario(server)
        nursery.cancel_scope.cancel()


async def _on_asyncio(io: siocore.Server, scenario: Scenario) -> None:
    tasks = set()

    def spawn(call: Call) -> None:
        task = asyncio.create_task(call.run())
        call.cancel = task.cancel
        tasks.add(task)

    server = Server(io, spawn, AsyncioWaiter)
    server.sleep = asyncio.sleep
    server.checkpoint = functools.partial(asyncio.sleep, 0)
    loop = asyncio.get_running_loop()
    if isinstance(loop, _VirtualLoop):
        server.block = loop.block
    await scenario(server)
    # The runner cancels what is left.


class _VirtualSelector(selectors.SelectSelector):
    """Does not wait for timers, but lets their time come."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing would ever happen again")
        self.now += timeout
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def block(self, seconds: float) -> None:
        self._virtual.now += seconds
