"""The application that ``bench.workers`` serves with one worker and with several."""

from __future__ import annotations

import os

import siocore

io = siocore.Server()
#: Something to compute for each event: so many numbers are added up.
WORK = range(int(os.environ.get("BENCH_WORK", "0")))


@io.on("echo")
async def echo(client: siocore.Socket, text: str) -> str:
    sum(WORK)
    return text


@io.on("cast")
async def cast(client: siocore.Socket, text: str) -> None:
    io.emit("cast", text)
