"""siocore.trio.connect and siocore.asyncio.connect with servers of our own, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import siocore
from client_harness import FreePort, binding, no_descriptor_left, run_loop, siocore_server, stepping
from driver_harness import each_asyncio, each_host
from siocore.errors import ConnectError, Disconnected

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

FAST = {"reconnection_delay": 0.01, "reconnection_delay_max": 0.01}
each_way = pytest.mark.parametrize("transports", [["polling", "websocket"], ["websocket"], ["polling"]], ids="-".join)


class Ended(Exception):
    """What a block raises."""


def echo_server() -> siocore.Server:
    io = siocore.Server()

    @io.use
    def refuse(socket: siocore.Socket) -> None:
        if socket.handshake.auth.get("token") == "bad":
            raise siocore.ConnectionRefused("not authorized", data={"retry": False})

    @io.on("echo")
    def echo(socket: siocore.Socket, *args: object) -> object:
        return list(args)

    @io.on("count")
    def count(socket: siocore.Socket, number: int) -> None:
        for each in range(number):
            socket.emit("number", each)

    @io.on("never")
    async def never(socket: siocore.Socket) -> None:
        await trio.sleep_forever()

    return io


@pytest.fixture
def url() -> Iterator[str]:
    with siocore_server(echo_server()) as address:
        yield address


# Connecting


@each_host
@each_way
def test_a_socket_is_connected_and_answered(host: str, transports: list[str], url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url, transports=transports) as socket:
            assert socket.connected
            assert await socket.emit_with_ack("echo", 1, b"\x00", timeout=10) == [1, b"\x00"]
        assert not socket.connected

    run_loop(host, main)


@each_host
def test_a_server_that_is_not_there_is_an_error_with_what_to_do(host: str) -> None:
    async def main() -> None:
        async with binding(host).connect(f"http://127.0.0.1:{port}"):
            raise AssertionError

    port = FreePort().address[1]
    with pytest.raises(ConnectError, match=f"127.0.0.1:{port}: connection refused; is the server running") as caught:
        run_loop(host, main)
    assert caught.value.transport


@each_host
def test_a_refusal_is_raised_with_its_data(host: str, url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url, auth={"token": "bad"}):
            raise AssertionError

    with pytest.raises(ConnectError, match="not authorized") as caught:
        run_loop(host, main)
    assert caught.value.data == {"retry": False}
    assert not caught.value.transport


@each_host
def test_with_retry_it_waits_for_the_server(host: str) -> None:
    async def main() -> None:
        async with binding(host).connect(f"http://127.0.0.1:{port}", retry=True, **FAST) as socket:
            assert socket.connected

    def fail_then_serve() -> None:
        with listener:
            listener.accept()[0].close()
        with siocore_server(echo_server(), port=port):
            assert over.wait(20)

    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=fail_then_serve)
    thread.start()
    try:
        run_loop(host, main)
    finally:
        over.set()
        thread.join()


@each_host
def test_with_retry_it_raises_when_all_attempts_have_failed(host: str) -> None:
    async def main() -> None:
        address = f"http://127.0.0.1:{FreePort().address[1]}"
        async with binding(host).connect(address, retry=True, reconnection_attempts=2, **FAST):
            raise AssertionError

    with pytest.raises(ConnectError, match="refused"):
        run_loop(host, main)


@each_host
def test_handlers_can_be_registered_before_it_connects(host: str, url: str) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with binding(host).connect(url, auto_connect=False) as socket:
            assert not socket.active

            @socket.on("connect")
            def connected() -> None:
                seen.append("connected")

            await socket.connect()
            assert await socket.emit_with_ack("echo", timeout=10) == []

    run_loop(host, main)
    assert seen == ["connected"]


@each_host
def test_a_server_that_answers_nothing_is_given_up_after_the_timeout(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())

        async def main() -> None:
            async with binding(host).connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.05):
                raise AssertionError

        with pytest.raises(ConnectError):
            run_loop(host, main)
        for filler in fillers:
            filler.close()


@each_host
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reconect": True}, TypeError),
        ({"transports": ["carrier pigeon"]}, ValueError),
        ({"ssl_context": True}, ValueError),
        ({"grace": -1.0}, ValueError),
        ({"grace": float("nan")}, ValueError),
    ],
)
def test_wrong_options_are_refused_before_anything_is_opened(
    host: str, options: dict[str, Any], error: type[Exception]
) -> None:
    async def main() -> None:
        async with binding(host).connect("http://127.0.0.1:1", **options):
            raise AssertionError

    with pytest.raises(error):
        run_loop(host, main)


# Ways


@each_host
def test_a_certificate_is_verified_and_a_unix_socket_will_do(host: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "far.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def main() -> None:
        connect = binding(host).connect
        async with connect(url, ssl_context=client) as socket:
            assert await socket.emit_with_ack("echo", 1, timeout=10) == [1]
        with pytest.raises(ConnectError, match="certificate is not valid"):
            await enter(connect(url))
        async with connect("http://far.example", unix_path=path) as socket:
            assert await socket.emit_with_ack("echo", 2, timeout=10) == [2]

    path = str(tmp_path / "socket")
    with (
        siocore_server(echo_server(), ssl_context=server) as url,
        siocore_server(echo_server(), unix_path=path),
    ):
        assert url.startswith("https://")
        run_loop(host, main)


async def enter(block: contextlib.AbstractAsyncContextManager[Any]) -> None:
    async with block:
        pass


@each_host
@each_way
def test_engine_io_alone(host: str, transports: list[str]) -> None:
    engine = siocore.EngineServer()

    @engine.on("message")
    def echo(session: Any, data: str | bytes) -> None:
        if data == "close":
            session.close()
        else:
            session.send(data)

    async def main() -> None:
        async with binding(host).connect_engine(address, transports=transports) as connection:
            connection.send("text")
            connection.send(b"bytes")
            assert await connection.receive(timeout=10) == "text"
            assert await connection.receive(timeout=10) == b"bytes"
            connection.send("last")
            connection.send("close")
            assert [message async for message in connection] == ["last"]
        with pytest.raises(ConnectError, match="refused"):
            await enter(binding(host).connect_engine(f"http://127.0.0.1:{FreePort().address[1]}"))

    with siocore_server(engine) as address:
        run_loop(host, main)


# Leaving


@each_host
@each_way
def test_what_was_sent_before_the_end_of_the_block_arrives(host: str, transports: list[str]) -> None:
    io = siocore.Server()
    got: list[int] = []
    gone: list[str] = []
    ended = threading.Event()

    @io.on("number")
    def number(socket: siocore.Socket, value: int) -> None:
        got.append(value)

    @io.on("disconnect")
    def disconnected(socket: siocore.Socket, reason: str) -> None:
        gone.append(reason)
        ended.set()

    async def main() -> None:
        async with binding(host).connect(address, transports=transports) as socket:
            for value in range(100):
                socket.emit("number", value)

    with siocore_server(io) as address:
        run_loop(host, main)
        assert ended.wait(20)
    assert got == list(range(100))
    assert gone == ["client namespace disconnect"]


@each_host
def test_what_the_block_raises_is_raised_as_it_is(host: str, url: str) -> None:
    error = Ended("in the block")

    async def main() -> None:
        async with binding(host).connect(url):
            raise error

    with pytest.raises(Ended) as caught:
        run_loop(host, main)
    assert caught.value is error


@each_host
def test_an_exception_of_a_handler_is_told_and_ends_nothing(host: str, url: str) -> None:
    errors: list[Exception] = []

    async def main() -> None:
        async with binding(host).open_client() as client:

            @client.on_error
            def failed(error: Exception, *_: object) -> None:
                errors.append(error)

            socket = client.socket(url)

            @socket.on("number")
            async def number(value: int) -> None:
                raise Ended(value)

            await socket.connect()
            socket.emit("count", 2)
            assert await socket.emit_with_ack("echo", "still there", timeout=10) == ["still there"]

    run_loop(host, main)
    assert [str(error) for error in errors] == ["0", "1"]


@each_host
def test_control_c_leaves_nothing_behind(host: str, url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url) as socket:
            signal.raise_signal(signal.SIGINT)
            await socket.receive()

    with pytest.raises(KeyboardInterrupt):
        run_loop(host, main)


# Beside others


@each_host
def test_sockets_of_many_clients_in_one_loop(host: str, url: str) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            sockets = [
                await stack.enter_async_context(binding(host).connect(url, transports=["websocket"])) for _ in range(10)
            ]
            for number, socket in enumerate(sockets):
                assert await socket.emit_with_ack("echo", number, timeout=10) == [number]
            assert len({socket.id for socket in sockets}) == 10

    run_loop(host, main)


@each_host
def test_several_tasks_use_one_socket(host: str, url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url) as socket:

            async def ask(number: int) -> None:
                assert await socket.emit_with_ack("echo", number, timeout=10) == [number]

            if host == "trio":
                async with trio.open_nursery() as nursery:
                    for number in range(10):
                        nursery.start_soon(ask, number)
            else:
                async with asyncio.TaskGroup() as group:
                    for number in range(10):
                        group.create_task(ask(number))

    run_loop(host, main)


@each_host
def test_an_emit_from_another_thread_leaves_at_once(host: str, url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url, transports=["websocket"]) as socket:
            thread = threading.Thread(target=socket.emit, args=["count", 1])
            thread.start()
            event = await socket.receive("number", timeout=10)
            assert event.args == [0]
            thread.join()

    run_loop(host, main)


@each_host
@each_way
def test_the_socket_comes_back_when_the_server_does(host: str, transports: list[str]) -> None:
    port = FreePort().address[1]
    reasons: list[str] = []
    stop, go = threading.Event(), threading.Event()

    def serve_twice() -> None:
        with siocore_server(echo_server(), port=port):
            go.set()
            assert stop.wait(20)
        with siocore_server(echo_server(), port=port):
            assert over.wait(20)

    async def main() -> None:
        async with binding(host).connect(f"http://127.0.0.1:{port}", transports=transports, **FAST) as socket:

            @socket.on("disconnect")
            def disconnected(reason: str, detail: str) -> None:
                reasons.append(reason)
                # Kept, and sent to the server that comes next.
                socket.emit("count", 1)

            assert await socket.emit_with_ack("echo", 1, timeout=10) == [1]
            first = socket.id
            stop.set()
            assert (await socket.receive("number", timeout=15)).args == [0]
            assert socket.id != first

    over = threading.Event()
    thread = threading.Thread(target=serve_twice)
    thread.start()
    try:
        assert go.wait(20)
        run_loop(host, main)
    finally:
        stop.set()
        over.set()
        thread.join()
    # One loss, and the end of the block.
    assert len(reasons) == 2
    assert reasons[1] == "io client disconnect"


# Cancellation at any point


async def _attempt(host: str, step: int, function: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Run a coroutine, cancelled when it suspends for the given time. Returns whether it got there."""
    if host == "trio":
        with trio.CancelScope() as scope:
            return await stepping(function(), step, scope.cancel)
        return True
    task = asyncio.current_task()
    assert task is not None
    try:
        return await stepping(function(), step, task.cancel)
    except asyncio.CancelledError:
        task.uncancel()
        return True


@each_host
def test_cancelled_anywhere_between_entering_and_leaving(host: str, url: str) -> None:
    async def whole() -> None:
        async with binding(host).connect(url) as socket:
            assert await socket.emit_with_ack("echo", 1, timeout=10) == [1]
            socket.emit("count", 1)
            async for event in socket.events():
                assert event.args == [0]
                break

    async def main() -> None:
        step = 1
        while await _attempt(host, step, whole):
            step += 1
        assert step > 5

    run_loop(host, main)


@each_host
def test_cancelled_calls_lose_no_event_and_no_connection(host: str, url: str) -> None:
    got: list[int] = []

    async def main() -> None:
        async with binding(host).connect(url, transports=["websocket"]) as socket:
            socket.emit("count", 50)

            async def receive() -> None:
                got.append((await socket.receive("number", timeout=10)).args[0])

            async def iterate() -> None:
                async for event in socket.events():
                    got.append(event.args[0])
                    return

            async def ask() -> None:
                assert await socket.emit_with_ack("echo", "x", timeout=10) == ["x"]

            while len(got) < 50:
                for function in (receive, iterate):
                    if len(got) < 50:
                        await _attempt(host, 1, function)
            for step in range(1, 5):
                await _attempt(host, step, ask)
            assert await socket.emit_with_ack("echo", "last", timeout=10) == ["last"]

    run_loop(host, main)
    assert got == list(range(50))


@each_host
def test_leaving_does_not_wait_for_answers(host: str, url: str) -> None:
    outcome: list[BaseException] = []

    async def main() -> None:
        async with binding(host).connect(url, grace=1000.0) as socket:
            answer = socket.emit_with_ack("never", timeout=1000)
        try:
            await answer
        except Disconnected as exc:
            outcome.append(exc)

    run_loop(host, main)
    assert len(outcome) == 1


@each_asyncio
def test_a_timeout_of_asyncio_ends_a_wait_alone(host: str, url: str) -> None:
    async def main() -> None:
        async with binding(host).connect(url) as socket:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.receive(), 0.01)
            assert await socket.emit_with_ack("echo", 1, timeout=10) == [1]

    run_loop(host, main)
