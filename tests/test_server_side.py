"""Events between the servers of a cluster, and the interface through which an adapter carries them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from raw_client import RawWebSocket
from siocore import AckTimeout, LocalProtocolError, MemoryAdapter, Server, Socket
from siocore.socketio.acks import ServerSideAck
from siocore.testing import TestClient, TestServer


class Cluster:
    """Servers in one process whose adapters hand each other what is for other servers.

    ``lose`` is how many servers go away without an answer; ``carry`` is how an answer travels.
    """

    def __init__(self, count: int, *, lose: int = 0) -> None:
        self.lose = lose
        self.servers = [Server(adapter=partial(Loopback, self, number)) for number in range(count)]
        self.running = [TestServer(io) for io in self.servers]
        self.results: list[Any] = []

    def settle(self) -> None:
        for _ in range(3):
            for server in self.running:
                server.settle()

    def ask(self, name: str, timeout: float = 5.0) -> None:
        """A handler of the first server asks the others and writes down what comes of it."""

        @self.servers[0].on("go")
        async def go(socket: Socket) -> None:
            try:
                self.results.append(await self.servers[0].server_side_emit_with_ack(name, 1, timeout=timeout))
            except AckTimeout as error:
                self.results.append(("timeout", error.responses))

        client = TestClient(self.running[0])
        client.connect()
        client.emit("go")
        self.settle()


class Loopback(MemoryAdapter):
    """The adapter of one namespace of one server; its peers are those of the namespace of the same name."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__()
        self.cluster = cluster
        self.number = number

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        others = [io for number, io in enumerate(self.cluster.servers) if number != self.number]
        if ack is not None:
            ack.expect(len(others))
        for index, io in enumerate(others):
            answer: Callable[[object], None] | None = None if ack is None else ack.answered
            if ack is not None and index < self.cluster.lose:
                ack.gone()
            else:
                io.sockets.server_side_received(list(data), answer)


def test_the_other_servers_receive_it_and_the_own_one_does_not() -> None:
    cluster = Cluster(3)
    seen: list[tuple[int, object]] = []
    for number, io in enumerate(cluster.servers):

        @io.on_server_side("reload")
        def reload(*args: object, number: int = number) -> None:
            seen.append((number, args))

    cluster.servers[1].server_side_emit("reload", "config", {"deep": [1]})
    cluster.settle()
    assert seen == [(0, ("config", {"deep": [1]})), (2, ("config", {"deep": [1]}))]


def test_clients_can_not_reach_server_side_handlers_nor_servers_the_clients() -> None:
    cluster = Cluster(2)
    seen: list[str] = []
    for io in cluster.servers:
        io.on_server_side("e")(lambda *args: seen.append("server side"))
        io.on("e")(lambda socket: seen.append("client"))
    websocket = RawWebSocket(cluster.running[0])
    websocket.send("40")
    websocket.send('42["e"]')
    assert seen == ["client"]
    cluster.servers[1].server_side_emit("e")
    cluster.settle()
    assert seen == ["client", "server side"]


def test_answers_are_collected_in_order_of_arrival() -> None:
    cluster = Cluster(4)
    for number, io in enumerate(cluster.servers[1:]):

        @io.on_server_side("count")
        async def count(value: int, number: int = number) -> int:
            if number == 0:
                await cluster.running[1].clock.sleep(1)
            return 10 * number + value

    cluster.ask("count")
    assert cluster.results == []
    cluster.running[1].advance(1)
    cluster.settle()
    assert cluster.results == [[11, 21, 1]]


def test_the_first_value_of_several_handlers_answers_and_a_server_without_one_answers_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster(3)
    errors: list[tuple[str, object]] = []
    cluster.servers[1].on_error(lambda error, subject, name: errors.append((name, subject)))

    def fails(value: int) -> None:
        raise ValueError

    for handler in (fails, lambda value: None, lambda value: "first", lambda value: "second"):
        cluster.servers[1].on_server_side("ask")(handler)
    with caplog.at_level(logging.ERROR):
        cluster.ask("ask")
    assert cluster.results == [["first", None]]
    assert errors == [("ask", cluster.servers[1].sockets)]
    assert len(caplog.records) == 1


def test_who_does_not_answer_in_time_is_missing_and_too_late_then() -> None:
    cluster = Cluster(3)
    gate = cluster.running[1].new_waiter()

    @cluster.servers[1].on_server_side("ask")
    async def slow(value: int) -> str:
        await gate
        return "late"

    cluster.servers[2].on_server_side("ask")(lambda value: "in time")
    cluster.ask("ask", timeout=2)
    cluster.running[0].advance(1.9)
    assert cluster.results == []
    cluster.running[0].advance(0.1)
    assert cluster.results == [("timeout", ["in time"])]
    gate.wake()
    cluster.settle()
    assert cluster.results == [("timeout", ["in time"])]


def test_a_server_that_goes_is_not_waited_for() -> None:
    cluster = Cluster(3, lose=1)
    cluster.servers[2].on_server_side("ask")(lambda value: "yes")
    cluster.ask("ask")
    assert cluster.results == [["yes"]]


def test_answers_of_servers_can_be_taken_one_by_one() -> None:
    cluster = Cluster(3)
    for io in cluster.servers:
        io.on_server_side("ask")(lambda: "yes")

    @cluster.servers[0].on("go")
    async def go(socket: Socket) -> None:
        async for answer in cluster.servers[0].server_side_emit_with_ack("ask"):
            cluster.results.append(answer)
        cluster.results.append("complete")

    client = TestClient(cluster.running[0])
    client.connect()
    client.emit("go")
    cluster.settle()
    assert cluster.results == ["yes", "yes", "complete"]


def test_alone_nobody_receives_it_and_nobody_is_waited_for() -> None:
    io = Server()
    server = TestServer(io)
    io.on_server_side("e")(lambda: 1 / 0)
    io.server_side_emit("e")
    pending = io.of("/a").server_side_emit_with_ack("e")
    assert pending.done
    assert pending.result() == []
    assert len(server.protocol.timers) == 0


def test_an_answer_that_the_adapter_can_not_carry_is_the_handlers_error(caplog: pytest.LogCaptureFixture) -> None:
    io = Server()
    server = TestServer(io)
    names: list[str] = []
    io.on_error(lambda error, subject, name: names.append(name))
    io.on_server_side("e")(lambda: object())

    def carry(answer: object) -> None:
        raise TypeError("can't be encoded")

    with caplog.at_level(logging.ERROR):
        io.sockets.server_side_received(["e"], carry)
        server.settle()
    assert names == ["e"]
    assert len(caplog.records) == 1


def test_an_event_that_could_not_be_sent_to_clients_can_not_be_sent_to_servers() -> None:
    io = Server()
    for emit in (io.server_side_emit, io.server_side_emit_with_ack):
        with pytest.raises(LocalProtocolError, match="reserved"):
            emit("disconnect")
    with pytest.raises(LocalProtocolError, match="an event's name is a str"):
        io.on_server_side(1.5)(print)  # type: ignore[arg-type]
