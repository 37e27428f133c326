"""python-socketio's AsyncClient on aiohttp, over WebSocket: run as a module, with a plan (``measured.py``) in JSON."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import socketio  # type: ignore[import-untyped]

from bench.clients.programs.measured import Meter, Plan, WrongAnswer, plan, report


async def acknowledged(clients: list[Any], plan: Plan) -> dict[str, float]:
    text, messages, over = plan.text, 0, False

    async def ask(client: Any) -> None:
        nonlocal messages
        while not over:
            if await client.call("echo", text) != text:
                raise WrongAnswer
            messages += 1

    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            for _ in range(plan.in_flight):
                tasks.create_task(ask(client))
        await asyncio.sleep(plan.warm_up)
        before, meter = messages, Meter()
        await asyncio.sleep(plan.seconds)
        result = meter.result(messages - before)
        over = True
    return result


async def incoming(client: Any, plan: Plan) -> dict[str, float]:
    text, expected, ended = plan.text, 0, asyncio.Event()

    async def news(number: int, received: str) -> None:
        nonlocal expected
        if number != expected or received != text:
            raise WrongAnswer
        expected += 1

    async def end() -> None:
        ended.set()

    client.on("news", news)
    client.on("end", end)
    meter = Meter()
    for count in plan.floods:
        expected = 0
        ended.clear()
        meter = Meter()
        await client.emit("flood", (count, text))
        await ended.wait()
    return meter.result(expected)


async def main(plan: Plan) -> None:
    clients = [socketio.AsyncClient() for _ in range(plan.clients)]
    for client in clients:
        await client.connect(plan.url, transports=["websocket"])
    result = await (incoming(clients[0], plan) if plan.mode == "incoming" else acknowledged(clients, plan))
    for client in clients:
        await client.disconnect()
    report(result)


asyncio.run(main(plan(sys.argv[1])))
