"""Applications on trio or asyncio, with clients, for scenarios that are run on both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import trio

import siocore.asyncio
import siocore.trio

__all__ = ["connect", "run", "served"]


def run(library: str, scenario: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run a scenario, for half a minute at most."""

    async def limited() -> None:
        with anyio.fail_after(30):
            await scenario(*args)

    if library == "trio":
        trio.run(limited)
    else:
        asyncio.run(limited())


def connect(port: int, **options: Any) -> Any:
    """A client, of the library that runs."""
    library = siocore.trio if _is_trio() else siocore.asyncio
    return library.connect(f"http://127.0.0.1:{port}", **options)


async def served(body: Callable[[Any], Awaitable[None]]) -> None:
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


def _is_trio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
