"""Processes that only send, on a real Redis: on trio and on asyncio."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
import trio

import siocore
import siocore.asyncio
import siocore.redis
import siocore.trio

Scenario = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}"
        process.terminate()
        process.stdout.read()


def run(library: str, scenario: Scenario, url: str) -> None:
    async def limited() -> None:
        with anyio.fail_after(30):
            await scenario(url)

    if library == "trio":
        trio.run(limited)
    else:
        asyncio.run(limited())


class Audience:
    """A client of each of two servers, of which four events in all are to reach both."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.all_heard = anyio.Event()

    async def hear(self, *args: object) -> None:
        self.heard.append(args)
        if len(self.heard) == 4:
            self.all_heard.set()

    async def gather(self, make: Callable[[], Any], send: Callable[[siocore.Server], Awaitable[None]]) -> None:
        servers = [siocore.Server(adapter=make()) for _ in range(2)]
        up = [anyio.Event() for _ in servers]
        for io, event in zip(servers, up, strict=True):
            io.on("adapter_up")(partial(_set, event))

        async def body(serve: Any) -> None:
            ports = [await serve(io) for io in servers]
            async with _connect(ports[0]) as first, _connect(ports[1]) as second:
                first.on("e")(self.hear)
                second.on("e")(self.hear)
                for event in up:
                    await event.wait()
                await send(servers[0])
                servers[1].emit("e", "near")
                await self.all_heard.wait()

        await _served(body)
        assert sorted(self.heard) == [("far", b"\x00")] * 2 + [("near",)] * 2


async def events_arrive(url: str) -> None:
    async def send(io: siocore.Server) -> None:
        async with siocore.redis.Emitter(url, key="mine") as emitter:
            emitter.emit("e", "far", b"\x00")
            await emitter.flush()
            assert emitter.dropped == 0

    await Audience().gather(partial(siocore.redis.PubSub, url, key="mine"), send)


async def the_channel_of_python_socketio_carries_events(url: str) -> None:
    async def send(io: siocore.Server) -> None:
        io.emit("e", "far", b"\x00")

    await Audience().gather(partial(siocore.redis.PythonSocketIO, url), send)


async def nobody_is_there(url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        emitter = siocore.redis.Emitter(f"redis://127.0.0.1:{free.getsockname()[1]}", timeout=0.2)
        with pytest.raises(ConnectionError):
            async with emitter:
                raise AssertionError("there is no Redis")
    emitter.emit("e")
    assert emitter.dropped == 1
    with pytest.raises(ConnectionError, match="1 messages did not reach Redis"):
        await emitter.flush()
    await emitter.flush()


async def leaving_waits_and_errors_pass(url: str) -> None:
    emitter = siocore.redis.Emitter(url)
    for _ in range(2):
        async with emitter:
            for number in range(1_000):
                emitter.to("nobody").volatile.emit("e", number)
            with pytest.raises(siocore.LocalProtocolError, match="in use"):
                await emitter.__aenter__()
        assert emitter.dropped == 0
        assert not emitter.broker.up
    with pytest.raises(KeyError):
        async with emitter:
            raise KeyError("it is the block's own")


@pytest.mark.parametrize("library", ["trio", "asyncio"])
@pytest.mark.parametrize(
    "scenario",
    [
        events_arrive,
        the_channel_of_python_socketio_carries_events,
        nobody_is_there,
        leaving_waits_and_errors_pass,
    ],
)
def test_processes_that_only_send(library: str, scenario: Scenario, redis_url: str) -> None:
    run(library, scenario, redis_url)


def _set(event: anyio.Event, outage: object) -> None:
    event.set()


def _is_trio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def _connect(port: int) -> Any:
    library = siocore.trio if _is_trio() else siocore.asyncio
    return library.connect(f"http://127.0.0.1:{port}")


async def _served(body: Callable[[Any], Awaitable[None]]) -> None:
    """Call ``body`` with what serves an application and returns its port."""
    if _is_trio():
        async with trio.open_nursery() as nursery:

            async def serve(io: Any) -> int:
                addresses = await nursery.start(siocore.trio.serve, io, "127.0.0.1", 0)
                return int(addresses[0][1])

            await body(serve)
            nursery.cancel_scope.cancel()
        return
    tasks: list[asyncio.Task[None]] = []

    async def serve_on_asyncio(io: Any) -> int:
        started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        tasks.append(asyncio.create_task(siocore.asyncio.serve(io, "127.0.0.1", 0, started=started.set_result)))
        return int((await started)[0][1])

    try:
        await body(serve_on_asyncio)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
