"""A server that was away for a minute is not run over by its clients."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from client_conversation import URL
from siocore import Server
from siocore.application.client import Client
from siocore.testing import Dial, TestServer

CLIENTS = 2_000
DOWN = 60.0
BIN = 0.1


@pytest.mark.slow
def test_clients_come_back_spread_over_time_after_an_outage() -> None:
    server = TestServer(Server())
    client = Client(transports=["websocket"], force_new=True, random=random.Random(5).random, random_bytes=bytes)
    driver = server.attach(client)
    sockets: list[Any] = [client.socket(URL) for _ in range(CLIENTS)]
    driver.run_until(lambda: all(socket.connected for socket in sockets))
    dials: Counter[int] = Counter()
    start = driver.clock.now

    def script(dial: Dial) -> None:
        now = driver.clock.now - start
        dials[int(now / BIN)] += 1
        if now < DOWN:
            dial.refusal = "down"

    driver.script = script
    driver.cut()
    driver.advance(DOWN)
    # While it is down, once all have reached the longest delay.
    bins = [dials[index] for index in range(int(15 / BIN), int(DOWN / BIN))]
    assert max(bins) <= 3 * sum(bins) / len(bins)
    # When it is there again: everybody within the longest delay, and never many at once.
    dials.clear()
    driver.advance(5 * 1.5 + 0.5)
    assert all(socket.connected for socket in sockets)
    back = [dials[index] for index in range(int(DOWN / BIN), int((DOWN + 7.5) / BIN))]
    assert sum(back) == CLIENTS
    assert max(back) <= 3 * CLIENTS / len(back)
    driver.close()
    server.close()
