"""Clients of siocore's own on virtual links: dials, time that passes for one side only, faults, scripted servers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from siocore import EngineServer
from siocore.driven import ClientEndpoint, DialledConnection
from siocore.target import Target
from siocore.testing import AppClient, Dial, ScriptedServer, Stream, TestServer, VirtualWaiter

TARGET = Target(host="test.example", port=80, secure=False)
TICK = 1


class Connection(DialledConnection):
    """Writes down what happens to it, and when."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(TARGET)
        self.endpoint = endpoint
        self.log: list[tuple[float, str, object]] = []
        self.output = b""

    def note(self, what: str, detail: object, now: float) -> None:
        assert now == self.endpoint.now
        self.log.append((now, what, detail))

    def connected(self, now: float) -> None:
        self.note("connected", None, now)

    def dial_failed(self, reason: str, now: float) -> None:
        self.note("failed", reason, now)

    def receive_data(self, data: bytes, now: float) -> None:
        self.note("data", data, now)

    def receive_eof(self, now: float) -> None:
        self.note("eof", None, now)
        self.closed = True

    def connection_lost(self, now: float) -> None:
        self.note("lost", None, now)

    def flushed(self, now: float) -> None:
        self.note("flushed", None, now)

    def data_to_send(self) -> bytes:
        output, self.output = self.output, b""
        return output

    def write(self, data: bytes) -> None:
        self.output += data
        self.endpoint.connection_ready(self)


class Endpoint(ClientEndpoint):
    """Dials, and ticks once a second when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[float] = []

    def open(self, output: bytes = b"") -> Connection:
        connection = Connection(self)
        connection.output = output
        self.dial(connection)
        return connection

    def tick(self) -> None:
        self.timers.arm(self.now + 1, self, TICK)

    def timer_expired(self, kind: int, now: float) -> None:
        self.ticks.append(now)
        self.push_received(now)
        self.tick()

    def shutdown(self, now: float) -> None:
        """Nothing to do."""

    def abort(self, now: float) -> None:
        """Nothing to do."""


def echo(stream: Stream) -> None:
    stream.on_data = stream.write


def echoing() -> tuple[ScriptedServer, Endpoint, AppClient]:
    server = ScriptedServer(echo)
    endpoint = Endpoint()
    return server, endpoint, server.attach(endpoint)


def test_a_dial_becomes_a_connection_that_carries_bytes_both_ways() -> None:
    _, endpoint, client = echoing()
    connection = endpoint.open(b"first")
    client.settle()
    connection.write(b"second")
    client.settle()
    assert connection.log == [(0, "connected", None), (0, "data", b"first"), (0, "data", b"second")]


def test_a_dial_reaches_a_server_of_siocore() -> None:
    with TestServer(EngineServer()) as server:
        endpoint = Endpoint()
        client = server.attach(endpoint)
        connection = endpoint.open(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n")
        client.settle()
        (_, _, data) = connection.log[1]
        assert isinstance(data, bytes)
        assert data.startswith(b"HTTP/1.1 200")
        assert len(client.links) == len(server.network.links) == 1
        server.close()
        client.settle()
        assert [what for _, what, _ in connection.log[2:]] == ["lost"]
        again = endpoint.open()
        client.settle()
        assert again.log == [(0, "failed", "the server refused the connection")]


def test_a_script_delays_refuses_and_swallows_dials() -> None:
    _, endpoint, client = echoing()

    def script(dial: Dial) -> None:
        dial.delay = dial.number
        if dial.number == 1:
            dial.refusal = "no such host"
        dial.swallowed = dial.number == 2

    client.script = script
    connections = [endpoint.open(b"x") for _ in range(5)]
    connections[4].closed = True
    client.advance(10)
    assert [connection.log for connection in connections] == [
        [(0, "connected", None), (0, "data", b"x")],
        [(1, "failed", "no such host")],
        [],
        [(3, "connected", None), (3, "data", b"x")],
        [],
    ]


def test_what_arrives_while_a_client_is_blocked_is_read_before_its_timers() -> None:
    server, endpoint, client = echoing()
    connection = endpoint.open()
    endpoint.tick()
    client.settle()
    server.clock.call_at(0.5, lambda: server.streams[0].write(b"early"))
    server.clock.call_at(20, server.streams[0].close)
    ended: list[int] = []
    server.clock.call_at(30, lambda: ended.append(len(endpoint.ticks)))
    client.block(30.25)
    assert ended == [0]
    assert connection.log[1:] == [(30.25, "data", b"early"), (30.25, "eof", None), (30.25, "lost", None)]
    assert endpoint.ticks[0] == 30.25


def test_a_reset_is_noticed_when_a_blocked_client_goes_on() -> None:
    server, endpoint, client = echoing()
    connection = endpoint.open()
    client.settle()
    server.clock.call_at(5, server.streams[0].reset)
    client.block(30)
    assert connection.log[1:] == [(30, "lost", None)]
    assert client.links == []


def test_timers_stand_still_while_the_machine_sleeps() -> None:
    _, endpoint, client = echoing()
    endpoint.tick()
    client.advance(1.5)
    client.suspend(600)
    assert (endpoint.now, endpoint.elapsed, endpoint.ticks) == (1.5, 601.5, [1])
    client.advance(1)
    assert endpoint.ticks == [1, 2]


def test_a_link_can_be_cut_or_ended_at_any_byte() -> None:
    for orderly, end in [(False, ["lost"]), (True, ["eof", "lost"])]:
        server, endpoint, client = echoing()

        def script(link: Any, orderly: bool = orderly) -> None:
            link.orderly = orderly
            link.to_client.cut_after = 3

        server.network.script = script
        connection = endpoint.open(b"abcdef")
        client.settle()
        assert [entry[1:] for entry in connection.log[1:]] == [("data", b"abc"), *((what, None) for what in end)]
        assert server.streams[0].eof is orderly
        assert server.streams[0].closed is not orderly


def test_a_full_window_is_flushed_later() -> None:
    server, endpoint, client = echoing()

    def script(link: Any) -> None:
        link.to_server.window = 2
        link.to_server.delay = 1

    server.network.script = script
    connection = endpoint.open(b"abcde")
    client.advance(10)
    assert connection.log == [
        (0, "connected", None),
        (1, "data", b"ab"),
        (2, "flushed", None),
        (2, "data", b"cd"),
        (3, "data", b"e"),
    ]


def test_coroutines_run_on_virtual_time() -> None:
    _, _, client = echoing()

    async def wait(seconds: float) -> float:
        await client.clock.sleep(seconds)
        return client.clock.now

    async def fail() -> None:
        await client.clock.sleep(1)
        raise ValueError("on purpose")

    assert client.run(wait(5)) == 5
    with pytest.raises(ValueError, match="on purpose"):
        client.run(fail())
    with pytest.raises(TimeoutError):
        client.run(wait(100))
    assert client.running == 0
    gate = VirtualWaiter()
    task = client.start(gate)
    with pytest.raises(RuntimeError, match="has not ended"):
        task.result()
    gate.wake()
    client.settle()
    assert task.done


def test_events_go_to_the_application_that_was_attached() -> None:
    handled: list[float] = []

    class Application:
        protocol = Endpoint()

        def dispatch(self, event: float) -> Coroutine[Any, Any, None]:
            async def handle() -> None:
                await client.clock.sleep(0.25)
                handled.append(client.clock.now - event)

            return handle()

    app = Application()
    client = ScriptedServer().attach(app)
    app.protocol.tick()
    client.advance(2.5)
    assert handled == [0.25, 0.25]
    client.close()
    assert app.protocol.clock is None


def test_an_endpoint_alone_leaves_its_events_in_a_queue() -> None:
    _, endpoint, client = echoing()
    endpoint.tick()
    client.advance(2)
    assert list(client.events) == [1, 2]
