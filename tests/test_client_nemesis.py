"""Retries over real sockets, through a proxy that keeps cutting: each event is delivered, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

import siocore.asyncio
import siocore.trio
from nemesis import Nemesis
from siocore import Server, Socket

EVENTS = 10_000
#: Bytes until a connection is cut: one acknowledged event takes about 80, a connection with all its beginnings 1,500.
BUDGET = (500, 30_000)
OPTIONS: dict[str, Any] = {
    "retries": 1_000,
    "ack_timeout": 5,
    "reconnection_delay": 0.005,
    "reconnection_delay_max": 0.01,
}


@dataclass
class Outcome:
    delivered: list[int] = field(default_factory=list)
    acknowledged: int = 0
    connections: int = 0
    cuts: int = 0

    def check(self) -> None:
        assert self.acknowledged == EVENTS
        assert list(dict.fromkeys(self.delivered)) == list(range(EVENTS))
        # Cut often, and few were sent twice.
        assert self.cuts > 20
        assert self.connections > 20
        assert len(self.delivered) <= EVENTS + self.cuts


def application(outcome: Outcome) -> Server:
    io = Server()

    @io.on("connection")
    def connection(socket: Socket) -> None:
        outcome.connections += 1

    @io.on("count")
    def counted(socket: Socket, number: int) -> bool:
        outcome.delivered.append(number)
        return True

    return io


async def emit_all(
    connect: Callable[..., AbstractAsyncContextManager[Any]],
    port: int,
    outcome: Outcome,
    transports: tuple[str, ...],
) -> None:
    """The same on both libraries."""
    with Nemesis(("127.0.0.1", port), seed=7, budget=BUDGET) as nemesis:
        async with connect(f"http://127.0.0.1:{nemesis.port}", retry=True, transports=transports, **OPTIONS) as socket:
            pending: list[Awaitable[Any]] = []
            for number in range(EVENTS):
                pending.append(socket.emit("count", number))
                if len(pending) == 100:
                    for each in pending:
                        await each
                        outcome.acknowledged += 1
                    pending.clear()
            nemesis.calm()
        outcome.cuts = nemesis.cuts


@pytest.mark.slow
def test_ten_thousand_events_are_delivered_in_order_on_trio() -> None:
    outcome = Outcome()

    async def main() -> None:
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                addresses: Any = await nursery.start(siocore.trio.serve, application(outcome), "127.0.0.1", 0)
                await emit_all(siocore.trio.connect, addresses[0][1], outcome, ("websocket",))
                nursery.cancel_scope.cancel()

    trio.run(main)
    outcome.check()


@pytest.mark.slow
def test_ten_thousand_events_are_delivered_in_order_on_asyncio() -> None:
    outcome = Outcome()

    async def main() -> None:
        listening: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(
            siocore.asyncio.serve(application(outcome), "127.0.0.1", 0, started=listening.set_result)
        )
        addresses = await listening
        try:
            await asyncio.wait_for(
                emit_all(siocore.asyncio.connect, addresses[0][1], outcome, ("polling", "websocket")), 90
            )
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    asyncio.run(main())
    outcome.check()
