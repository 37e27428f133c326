"""siocore's client over WebSocket: run as a module, with "trio" or "asyncio" and a plan (``measured.py``) in JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import trio

import siocore.asyncio
import siocore.trio
from bench.clients.programs.measured import Meter, Plan, WrongAnswer, plan, report


class Tasks(Protocol):
    """What differs between the two loops."""

    def start(self, run: Callable[[], Awaitable[None]]) -> None: ...
    async def sleep(self, seconds: float) -> None: ...


async def acknowledged(tasks: Tasks, sockets: list[Any], plan: Plan) -> dict[str, float]:
    text, messages, over = plan.text, 0, False

    def asking(socket: Any) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            nonlocal messages
            while not over:
                if await socket.emit_with_ack("echo", text) != text:
                    raise WrongAnswer
                messages += 1

        return ask

    for socket in sockets:
        for _ in range(plan.in_flight):
            tasks.start(asking(socket))
    await tasks.sleep(plan.warm_up)
    before, meter = messages, Meter()
    await tasks.sleep(plan.seconds)
    result = meter.result(messages - before)
    over = True
    return result


async def incoming(make_event: Callable[[], Any], socket: Any, plan: Plan) -> dict[str, float]:
    text, expected, ended = plan.text, 0, make_event()

    async def news(number: int, received: str) -> None:
        nonlocal expected
        if number != expected or received != text:
            raise WrongAnswer
        expected += 1

    async def end() -> None:
        ended.set()

    socket.on("news")(news)
    socket.on("end")(end)
    meter = Meter()
    for count in plan.floods:
        expected, ended = 0, make_event()
        meter = Meter()
        socket.emit("flood", count, text)
        await ended.wait()
    return meter.result(expected)


async def connected(open_client: Callable[[], Any], stack: AsyncExitStack, plan: Plan) -> list[Any]:
    client = await stack.enter_async_context(open_client())
    made = [client.socket(plan.url, transports=["websocket"], force_new=True) for _ in range(plan.clients)]
    for socket in made:
        await socket.connect()
    return made


class TrioTasks:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, run: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(run)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def on_trio(plan: Plan) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        sockets = await connected(siocore.trio.open_client, stack, plan)
        if plan.mode == "incoming":
            return await incoming(trio.Event, sockets[0], plan)
        async with trio.open_nursery() as nursery:
            return await acknowledged(TrioTasks(nursery), sockets, plan)


class AsyncioTasks:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, run: Callable[[], Awaitable[None]]) -> None:
        self._group.create_task(run())  # type: ignore[arg-type]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def on_asyncio(plan: Plan) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        sockets = await connected(siocore.asyncio.open_client, stack, plan)
        if plan.mode == "incoming":
            return await incoming(asyncio.Event, sockets[0], plan)
        async with asyncio.TaskGroup() as group:
            return await acknowledged(AsyncioTasks(group), sockets, plan)


def main(loop: str, plan: Plan) -> None:
    report(trio.run(on_trio, plan) if loop == "trio" else asyncio.run(on_asyncio(plan)))


main(sys.argv[1], plan(sys.argv[2]))
