"""One measurement: a client of one server has it send to a room, whose member is a client of the other server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

import siocore.asyncio
from bench.cluster.redis import running_redis
from bench.hosting import cpu_seconds
from bench.measure import Cores
from bench.servers import BenchError, Peer, Process, running

__all__ = ["Settings", "figures", "measure"]

TEXT = "x" * 64
#: Messages that one event asks for, and how many such events are under way.
BATCH, IN_FLIGHT = 50, 4
#: The number of a message that only asks whether the way is open.
PROBE = -1
#: Seconds without a message after which one was lost.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How long is measured, in seconds."""

    seconds: float
    warm_up: float
    repetitions: int


def measure(peer: Peer, kind: str, settings: Settings, cores: Cores) -> dict[str, float]:
    """Two servers of ``peer`` on a Redis of their own, each on a core. Raises BenchError when something fails."""
    with running_redis() as url:
        peer = replace(peer, command=(*peer.command, kind, url))
        with running(peer, cores.server) as publisher, running(peer, cores.generator) as receiver:
            return asyncio.run(_Run(publisher, receiver, settings).measure())


def figures(messages: int, seconds: float, publisher: float, receiver: float) -> dict[str, float]:
    """From the seconds that passed and the CPU seconds of either server. Raises BenchError if no message came."""
    if not messages:
        raise BenchError("no message came through")
    return {
        "publisher_us": publisher * 1e6 / messages,
        "receiver_us": receiver * 1e6 / messages,
        "rate": messages / seconds,
        "publisher_busy": publisher / seconds,
        "receiver_busy": receiver / seconds,
        "messages": messages,
    }


class _Run:
    def __init__(self, publisher: Process, receiver: Process, settings: Settings) -> None:
        self._servers = publisher, receiver
        self._settings = settings
        self._open = asyncio.Event()
        self._fault: str | None = None
        self._received = 0
        self._asked = 0
        #: The next message of each batch under way, by the batch's first: servers may send several batches at once.
        self._next: dict[int, int] = {}

    async def measure(self) -> dict[str, float]:
        async with siocore.asyncio.open_client() as client:
            asking, listening = [
                client.socket(f"http://127.0.0.1:{server.port}", transports=["websocket"], force_new=True)
                for server in self._servers
            ]
            listening.on("news")(self._news(asking))
            await asking.connect()
            await listening.connect()
            await listening.emit_with_ack("enter")
            await self._find_way(asking)
            for _ in range(IN_FLIGHT):
                self._ask(asking)
            await self._watch(self._settings.warm_up)
            before = self._state()
            await self._watch(self._settings.seconds)
            after = self._state()
        messages, *times = (late - early for early, late in zip(before, after, strict=True))
        return figures(int(messages), *times)

    def _news(self, asking: Any) -> Any:
        async def news(number: int, text: str) -> None:
            if number == PROBE:
                self._open.set()
                return
            first = number - number % BATCH
            if self._next.get(first) != number or text != TEXT:
                self._fault = self._fault or f"a message was lost, changed or out of order before message {number}"
                return
            self._received += 1
            self._next[first] += 1
            if self._next[first] == first + BATCH:
                del self._next[first]
                self._ask(asking)

        return news

    def _ask(self, asking: Any) -> None:
        self._next[self._asked] = self._asked
        asking.emit("publish", self._asked, BATCH, TEXT)
        self._asked += BATCH

    async def _find_way(self, asking: Any) -> None:
        """Subscriptions take a moment: what is sent before goes nowhere."""
        end = time.monotonic() + PATIENCE
        while not self._open.is_set():
            if time.monotonic() > end:
                raise BenchError("the servers never met")
            asking.emit("publish", PROBE, 1, TEXT)
            await asyncio.sleep(0.05)

    async def _watch(self, seconds: float) -> None:
        """Let it run for so long. Raises BenchError for a message that is not its batch's next, or that never comes."""
        end = time.monotonic() + seconds
        received, since = self._received, time.monotonic()
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))
            if self._fault is not None:
                raise BenchError(self._fault)
            if self._received != received:
                received, since = self._received, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                raise BenchError(f"nothing came any more after {self._received} messages")

    def _state(self) -> tuple[float, ...]:
        return self._received, time.monotonic(), *(cpu_seconds(server.pid) for server in self._servers)
