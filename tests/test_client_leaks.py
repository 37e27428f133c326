"""A client that comes back a thousand times is as small as before, and one that is closed is gone."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from client_conversation import TRANSPORTS, URL
from siocore import Recovery, Server
from siocore.application.client import Client
from siocore.testing import AppClient, Dial, TestServer


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def connected(transport: str, **options: Any) -> tuple[TestServer, AppClient, Any]:
    server = TestServer(Server(**options))
    client = Client(transports=TRANSPORTS[transport], reconnection_delay=0.1, random=lambda: 0.5)
    driver = server.attach(client)
    socket = client.socket(URL)
    driver.run(socket.connect())
    return server, driver, socket


def census() -> Counter[str]:
    """How many objects of each class of siocore's there are."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("siocore"))


def cycles(server: TestServer, driver: AppClient, socket: Any, count: int) -> None:
    for number in range(count):
        task = driver.start(socket.emit_with_ack("nobody answers", b"x", timeout=100))
        driver.advance(0.3)
        if number % 3 == 0:
            driver.cut()
        elif number % 3 == 1:
            for link in driver.links:
                link.end()
        else:
            for link in tuple(server.network.links):
                link.cut()
        driver.settle()
        assert task.done
        driver.run_until(lambda: socket.connected)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_thousand_cycles_leave_nothing_behind(transport: str) -> None:
    server, driver, socket = connected(transport, recovery=Recovery())
    cycles(server, driver, socket, 60)
    driver.advance(150)
    before = census()
    timers = len(driver.protocol.timers)
    links = len(driver.links)
    cycles(server, driver, socket, 940)
    driver.advance(150)
    assert census() == before
    assert len(driver.protocol.timers) == timers
    assert len(driver.links) == links
    assert driver.running == 0


def test_attempts_that_fail_leave_nothing_behind() -> None:
    _server, driver, _socket = connected("upgrade")
    refused = 0

    def script(dial: Dial) -> None:
        nonlocal refused
        refused += 1
        dial.refusal = "not now"

    driver.script = script
    driver.cut()
    driver.run_until(lambda: refused == 20, 200)
    before = census()
    driver.run_until(lambda: refused == 220, 2_000)
    assert census() == before


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["disconnect", "close", "cut", "refused"])
def test_a_client_that_is_closed_is_freed(transport: str, how: str) -> None:
    server, driver, socket = connected(transport)
    if how == "disconnect":
        socket.disconnect()
        driver.advance(60)
    elif how == "cut":
        driver.cut()
        driver.settle()
    elif how == "refused":
        server.close()
        driver.advance(10)
    gone = [weakref.ref(socket), weakref.ref(socket.manager), weakref.ref(driver.app)]
    driver.close()
    del driver, socket
    # Managers and sockets know each other, so this takes the collector.
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    server.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_that_is_over_is_freed_without_the_collector(transport: str) -> None:
    server, driver, socket = connected(transport)
    with no_collector():
        gone = weakref.ref(socket.link)
        driver.cut()
        driver.run_until(lambda: socket.connected)
        socket.emit("again")
        driver.advance(1)
        assert gone() is None
    driver.close()
    server.close()
