"""FastAPI and Starlette beside Socket.IO, on real sockets, on trio and on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

import siocore.asyncio
import siocore.trio
from driver_harness import Flag, Server, each_host, new_waiter, run
from hosted import answer, piece, start
from siocore import LifespanError, Limits
from siocore import Server as SocketIO
from siocore._driver.hosting import Receive, Scope, Send
from siocore.waiting import Waiter

fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
responses = pytest.importorskip("starlette.responses", reason="Starlette is not installed")

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

SIZE = 50_000_000
GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def http_client(server: Server) -> Iterator[http.client.HTTPConnection]:
    address = server.addresses[0]
    assert isinstance(address, tuple)
    connection = http.client.HTTPConnection(*address, timeout=20)
    with contextlib.closing(connection):
        yield connection


def fetch(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read()


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fastapi_app(log: list[str]) -> Any:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        log.append("started")
        async with anyio.create_task_group():
            yield {"pool": "p"}
        log.append("stopped")

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.middleware("http")  # type: ignore[untyped-decorator, unused-ignore]
    async def mark(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response

    def plain(request: fastapi.Request) -> Any:  # type: ignore[name-defined, unused-ignore]
        # Runs in a thread.
        return {"pool": request.state.pool, "path": request.url.path, "client": request.client.host}

    async def nursery() -> Any:
        done = []

        async def child(number: int) -> None:
            await anyio.lowlevel.checkpoint()
            done.append(number)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(child, number)
        return sorted(done)

    async def stream() -> Any:
        async def pieces() -> AsyncIterator[str]:
            for number in range(5):
                await anyio.lowlevel.checkpoint()
                yield f"{number};"

        return responses.StreamingResponse(pieces())

    async def background(tasks: fastapi.BackgroundTasks) -> Any:  # type: ignore[name-defined, unused-ignore]
        tasks.add_task(log.append, "in the background")
        return "accepted"

    async def upload(request: fastapi.Request) -> Any:  # type: ignore[name-defined, unused-ignore]
        before = resident()
        size = most = 0
        async for chunk in request.stream():
            size += len(chunk)
            most = max(most, resident() - before)
        return {"size": size, "most": most}

    async def item(item: dict[str, int]) -> Any:
        return {"sum": sum(item.values())}

    for method, path, endpoint in (
        ("GET", "/plain", plain),
        ("GET", "/nursery", nursery),
        ("GET", "/stream", stream),
        ("POST", "/background", background),
        ("POST", "/upload", upload),
        ("POST", "/item", item),
    ):
        # Annotations are strings here, which name what only this function knows.
        endpoint.__annotations__ = {
            key: {"Request": fastapi.Request, "BackgroundTasks": fastapi.BackgroundTasks}.get(
                str(value).removeprefix("fastapi."), value
            )
            for key, value in endpoint.__annotations__.items()
            if key != "return"
        }
        app.add_api_route(path, endpoint, methods=[method])
    return app


@each_host
def test_fastapi_and_socket_io_share_a_port(host: str) -> None:
    log: list[str] = []
    io = SocketIO()

    def scenario(server: Server) -> None:
        assert log == ["started"]
        with http_client(server) as client:
            plain = {"pool": "p", "path": "/plain", "client": "127.0.0.1"}
            assert fetch(client, "GET", "/plain") == (200, json.dumps(plain, separators=(",", ":")).encode())
            assert fetch(client, "GET", "/nursery") == (200, b"[0,1,2]")
            assert fetch(client, "GET", "/stream") == (200, b"0;1;2;3;4;")
            assert fetch(client, "POST", "/background") == (200, b'"accepted"')
            status, packet = fetch(client, "GET", "/socket.io/?EIO=4&transport=polling")
            assert (status, packet[:1]) == (200, b"0")
            sid = json.loads(packet[1:])["sid"]
            target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
            assert fetch(client, "POST", target, b"40") == (200, b"ok")
            assert fetch(client, "GET", target)[1].startswith(b'40{"sid"')
            client.request("POST", "/item", b'{"a":1,"b":2}', {"content-type": "application/json"})
            response = client.getresponse()
            assert (response.read(), response.headers["x-marked"]) == (b'{"sum":3}', "yes")
            assert fetch(client, "GET", "/nothing")[0] == 404

    run(host, io, scenario, app=fastapi_app(log), grace=5.0)
    assert log == ["started", "in the background", "stopped"]


@needs_proc
@each_host
@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_takes_little_memory(host: str, chunked: bool) -> None:
    block = bytes(65_536)
    count = SIZE // len(block)

    def scenario(server: Server) -> None:
        with http_client(server) as client:
            client.putrequest("POST", "/upload")
            if chunked:
                client.putheader("Transfer-Encoding", "chunked")
            else:
                client.putheader("Content-Length", str(count * len(block)))
            client.endheaders()
            for _ in range(count):
                client.send(b"10000\r\n" + block + b"\r\n" if chunked else block)
            if chunked:
                client.send(b"0\r\n\r\n")
            result = json.loads(client.getresponse().read())
        assert result["size"] == count * len(block)
        assert result["most"] < 8_000_000

    run(host, SocketIO(), scenario, app=fastapi_app([]))


@needs_proc
@each_host
@pytest.mark.slow
def test_a_large_download_waits_for_its_reader(host: str) -> None:
    io = SocketIO()
    sent = []
    block = bytes(65_536)
    count = SIZE // len(block)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(start())
            for number in range(count):
                await send(piece(block, more=number < count - 1))
                sent.append(number)

    def scenario(server: Server) -> None:
        before = resident()
        client = server.connect(receive_buffer=4_096)
        client.send(GET)
        assert client.sock.recv(1) == b"H"
        # A second connection is answered while the first one waits: so the application has gone as far as it can.
        while True:
            so_far = len(sent)
            with http_client(server) as other:
                fetch(other, "GET", "/socket.io/nothing")
            if len(sent) == so_far:
                break
        assert len(sent) * len(block) < 10_000_000
        buffered = server.call(lambda: max(connection.buffered for connection in io.protocol.connections))
        assert buffered <= io.options.limits.high_water + 70_000
        size = most = 0
        while size < count * len(block):
            size += len(client.sock.recv(1 << 20))
            most = max(most, resident() - before)
        assert most < 16_000_000

    run(host, io, scenario, app=app)
    assert len(sent) == count


@each_host
def test_a_client_that_resets_while_it_is_sent_to_is_noticed(host: str) -> None:
    noticed = Flag()
    block = bytes(65_536)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send(start())
        try:
            while True:
                await send(piece(block, more=True))
        except OSError:
            noticed.set()
            raise

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send(GET)
        assert client.sock.recv(1) == b"H"
        client.reset()
        noticed.wait()

    run(host, SocketIO(), scenario, app=app)


@each_host
def test_a_client_that_leaves_is_a_disconnect(host: str) -> None:
    noticed = Flag()
    called = Flag()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await receive()
            called.set()
            assert (await receive())["type"] == "http.disconnect"
            noticed.set()

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send(GET)
        called.wait()
        client.close()
        noticed.wait()

    run(host, SocketIO(), scenario, app=app)


@each_host
def test_scope_tells_the_addresses(host: str, tmp_path: Path) -> None:
    scopes: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scopes.append((scope["server"], scope["client"]))
            await answer()(scope, receive, send)

    def scenario(server: Server) -> None:
        client = server.connect(("127.0.0.1", server.addresses[0][1]) if port(server) else None)  # type: ignore[arg-type]
        client.send(GET)
        assert b"200" in client.sock.recv(100)
        if port(server):
            assert scopes[-1] == (("127.0.0.1", port(server)), client.sock.getsockname())
        else:
            assert scopes[-1] == ((server.addresses[0], None), None)

    def port(server: Server) -> int:
        address = server.addresses[0]
        return address[1] if isinstance(address, tuple) else 0

    run(host, SocketIO(), scenario, app=app)
    run(host, SocketIO(), scenario, app=app, host="0.0.0.0")
    path = tmp_path / "s"
    run(host, SocketIO(), scenario, app=app, unix_path=path)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    run(host, SocketIO(), scenario, app=app, sockets=sockets)
    assert len(scopes) == 4


# --- lifespan --------------------------------------------------------------------------------------------------------


class Lived:
    """An application with a lifespan that does as it is told."""

    def __init__(self, *script: str, leave: str | None = None) -> None:
        self.script = script
        self.leave = leave
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(str(scope["state"]).encode())(scope, receive, send)
            return
        for said in self.script:
            self.heard.append((await receive())["type"])
            scope["state"][said] = len(scope["state"])
            if said == "raise":
                raise RuntimeError("broken")
            await send({"type": said, "message": " the database is away\n"})


UP, DOWN = "lifespan.startup.complete", "lifespan.shutdown.complete"


def hello(server: Server) -> None:
    with http_client(server) as client:
        assert fetch(client, "GET", "/")[0] == 200


@each_host
def test_state_of_the_lifespan_reaches_requests(host: str) -> None:
    app = Lived(UP, DOWN)

    def scenario(server: Server) -> None:
        with http_client(server) as client:
            assert fetch(client, "GET", "/") == (200, str({UP: 0}).encode())

    run(host, SocketIO(), scenario, app=app, grace=5.0)
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]


@each_host
def test_a_failed_start_ends_serve_with_what_the_application_said(host: str) -> None:
    served: list[Any] = []
    app = Lived("lifespan.startup.failed")
    with pytest.raises(LifespanError, match=r"^the hosted application failed to start: the database is away$"):
        serve_to_the_end(host, app, served.append)
    assert served == []


def serve_to_the_end(host: str, app: Any, started: Callable[[Any], object]) -> None:
    """Serve where it will not come to a scenario."""
    io = SocketIO()
    if host == "trio":
        trio.run(lambda: siocore.trio.serve(io, port=0, app=app))
    else:
        asyncio.run(siocore.asyncio.serve(io, port=0, app=app, started=started))


@each_host
@pytest.mark.parametrize("script", [("raise",), (), (UP,), (UP, "raise"), (UP, "lifespan.shutdown.failed")])
def test_a_lifespan_that_is_none_or_fails_later_does_not_stop_requests(
    host: str, script: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    run(host, SocketIO(), hello, app=Lived(*script), grace=5.0)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    expected: dict[tuple[str, ...], list[str]] = {
        (UP, "raise"): ["the lifespan of the hosted application failed"],
        (UP, "lifespan.shutdown.failed"): ["the hosted application failed to shut down: the database is away"],
    }
    assert errors == expected.get(script, [])


@each_host
def test_shutdown_comes_behind_the_last_request(host: str) -> None:
    io = SocketIO()
    log: list[str] = []
    running = Flag()
    waiters: list[Waiter] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": UP})
            await receive()
            log.append("shutdown")
            await send({"type": DOWN})
            return
        waiters.append(new_waiter(io))
        running.set()
        await waiters[0].wait()
        await answer()(scope, receive, send)
        log.append("answered")

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send(GET)
        running.wait()
        server.stop()
        assert not server.ended.is_set()
        server.call(waiters[0].wake)
        assert client.rest().endswith(b"hello")
        server.ended.wait()

    run(host, io, scenario, app=app, grace=20.0)
    assert log == ["answered", "shutdown"]


@each_host
def test_requests_and_a_lifespan_that_never_end_are_cancelled(host: str) -> None:
    log: list[str] = []
    running = Flag()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": UP})
        else:
            running.set()
        try:
            await anyio.sleep_forever()
        finally:
            log.append(scope["type"])

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send(GET)
        running.wait()

    run(host, SocketIO(), scenario, app=app, grace=0.0)
    assert log == ["http", "lifespan"]


@each_host
def test_a_start_that_is_cancelled_leaves_nothing_behind(host: str) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            log.append("cancelled")

    io = SocketIO(limits=Limits())

    async def on_trio() -> None:
        with trio.move_on_after(0.01):
            await siocore.trio.serve(io, port=0, app=app)

    async def on_asyncio() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await siocore.asyncio.serve(io, port=0, app=app)

    if host == "trio":
        trio.run(on_trio)
    else:
        asyncio.run(on_asyncio())
    assert log == ["cancelled"]
    assert io.protocol.hosting is None
