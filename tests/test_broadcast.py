"""Broadcasts: who gets them, that operators never change, and that an event is encoded and framed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from raw_client import SocketApp
from siocore import BroadcastOperator, Connection, MemoryAdapter, Selection, Server, Socket
from siocore.codec.message import Outgoing
from siocore.socketio.acks import BroadcastAck
from siocore.socketio.adapter import SocketList
from siocore.testing import TestClient


class Hall(SocketApp):
    """Five clients, 0 to 4. Rooms: "even" has 0, 2, 4; "low" has 0, 1, 2."""

    def __init__(self, transport: str = "websocket") -> None:
        super().__init__()
        self.clients = []
        self.sockets: list[Socket] = []
        for number in range(5):
            client = TestClient(self.server, transport)
            client.connect()
            self.clients.append(client)
            socket = self.app.sockets.sockets[client.id]
            self.sockets.append(socket)
            if number % 2 == 0:
                socket.join("even")
            if number < 3:
                socket.join("low")

    def receivers(self) -> list[int]:
        """Whose clients have got an event; each at most once."""
        self.server.advance(0.01)
        for client in self.clients:
            assert len(client.events) <= 1
        found = [number for number, client in enumerate(self.clients) if client.events]
        for client in self.clients:
            client.events.clear()
        return found


Choice = Callable[[Server, list[Socket]], Any]

CHOICES: list[tuple[Choice, list[int]]] = [
    (lambda io, sockets: io, [0, 1, 2, 3, 4]),
    (lambda io, sockets: io.sockets, [0, 1, 2, 3, 4]),
    (lambda io, sockets: io.local, [0, 1, 2, 3, 4]),
    (lambda io, sockets: io.to("even"), [0, 2, 4]),
    (lambda io, sockets: io.in_("even"), [0, 2, 4]),
    (lambda io, sockets: io.to("even", "low"), [0, 1, 2, 4]),
    (lambda io, sockets: io.to("even").to("low"), [0, 1, 2, 4]),
    (lambda io, sockets: io.to("nowhere"), []),
    (lambda io, sockets: io.to("nowhere", "low"), [0, 1, 2]),
    (lambda io, sockets: io.except_("even"), [1, 3]),
    (lambda io, sockets: io.except_("even", "low"), [3]),
    (lambda io, sockets: io.except_("even").except_("low"), [3]),
    (lambda io, sockets: io.to("even").except_("low"), [4]),
    (lambda io, sockets: io.except_("low").to("even"), [4]),
    (lambda io, sockets: io.to(sockets[3].id), [3]),
    (lambda io, sockets: io.to(sockets[3].id, "low"), [0, 1, 2, 3]),
    (lambda io, sockets: io.to("low").except_(sockets[1].id), [0, 2]),
    (lambda io, sockets: sockets[0], [0]),
    (lambda io, sockets: sockets[0].broadcast, [1, 2, 3, 4]),
    (lambda io, sockets: sockets[0].to("even"), [2, 4]),
    (lambda io, sockets: sockets[0].in_("even"), [2, 4]),
    (lambda io, sockets: sockets[3].to("even"), [0, 2, 4]),
    (lambda io, sockets: sockets[0].except_("low"), [3, 4]),
    (lambda io, sockets: sockets[0].to("even", "low").except_(sockets[1].id), [2, 4]),
    (lambda io, sockets: sockets[0].to(sockets[0].id), []),
    (lambda io, sockets: io.volatile.to("even"), [0, 2, 4]),
    (lambda io, sockets: io.to("even").volatile.local, [0, 2, 4]),
]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("index", range(len(CHOICES)))
def test_exactly_those_who_are_selected_get_the_event_once(index: int, transport: str) -> None:
    hall = Hall(transport)
    choose, expected = CHOICES[index]
    choose(hall.app, hall.sockets).emit("news", 1)
    assert hall.receivers() == expected
    # Choosing changes nothing about the rooms.
    for room in ("even", "low"):
        assert len(hall.app.to(room).local_sockets()) == 3


def test_everybody_selected_is_what_fetch_sockets_tells() -> None:
    hall = Hall()
    assert {socket.id for socket in hall.app.to("even").local_sockets()} == {hall.sockets[n].id for n in (0, 2, 4)}


def test_fetch_sockets_is_awaited_and_in_memory_has_its_answer_at_once() -> None:
    hall = Hall()
    found: list[SocketList] = []

    @hall.app.on("who")
    async def who(socket: Socket) -> None:
        found.append(await hall.app.fetch_sockets())
        found.append(await hall.app.to("even").except_("low").fetch_sockets())
        found.append(await socket.to("low").local.fetch_sockets())

    hall.clients[0].emit("who")
    hall.server.settle()
    assert hall.server.running == 0
    everybody: list[object] = [*hall.sockets]
    assert [{everybody.index(socket) for socket in sockets} for sockets in found] == [{0, 1, 2, 3, 4}, {4}, {1, 2}]
    assert not any(sockets.missing for sockets in found)


def test_operators_never_change() -> None:
    hall = Hall()
    everybody = hall.app.sockets
    low = everybody.to("low")
    steps: list[BroadcastOperator] = [low.to("even"), low.except_("even"), low.volatile, low.local, low.timeout(1)]
    assert len({id(step) for step in (low, *steps)}) == 6
    low.emit("news")
    assert hall.receivers() == [0, 1, 2]
    everybody.emit("news")
    assert hall.receivers() == [0, 1, 2, 3, 4]
    with pytest.raises(AttributeError):
        low.rooms = ("x",)  # type: ignore[attr-defined]


@dataclass
class Counted:
    """Notes each time that it is encoded."""

    value: int
    encoded: ClassVar[list[int]] = []

    def __getattribute__(self, name: str) -> Any:
        if name == "value":
            Counted.encoded.append(1)
        return super().__getattribute__(name)


def test_an_event_is_encoded_and_framed_once_whoever_many_receive_it() -> None:
    hall = Hall()
    written: list[bytes] = []
    connections = [each for each in hall.server.protocol.connections if isinstance(each, Connection)]
    assert len(connections) == 5
    assert not any(connection.has_output for connection in connections)
    Counted.encoded.clear()
    hall.app.emit("news", Counted(1), b"binary")
    for connection in connections:
        written += connection._output
    assert len(Counted.encoded) == 1
    assert len(written) == 5
    # The very same object, not five equal ones.
    assert len({id(frames) for frames in written}) == 1
    assert hall.receivers() == [0, 1, 2, 3, 4]


def test_a_payload_for_polling_is_made_once_too() -> None:
    hall = Hall("polling")
    hall.app.emit("news", "x" * 100)
    waiting = [message for session in hall.server.protocol.sessions.values() for message in session._outbox]
    assert len(waiting) == 5
    assert len({id(message) for message in waiting}) == 1
    assert waiting[0].payload() is waiting[0].payload()
    assert hall.receivers() == [0, 1, 2, 3, 4]


def test_broadcasts_and_single_events_keep_the_order_in_which_they_were_sent() -> None:
    hall = Hall()
    for number in range(100):
        if number % 2:
            hall.sockets[0].emit("e", number)
        else:
            hall.app.to("even").emit("e", number)
    hall.server.settle()
    assert [event.args[0] for event in hall.clients[0].events] == list(range(100))


def test_a_client_that_has_just_gone_is_passed_over() -> None:
    hall = Hall()
    hall.clients[0].engine.cut()
    hall.app.emit("news")
    assert hall.receivers() == [1, 2, 3, 4]


def test_a_broadcast_in_another_namespace_reaches_only_that() -> None:
    hall = Hall()
    hall.app.of("/other")
    hall.clients[1].connect("/other")
    hall.app.of("/other").emit("news")
    assert hall.receivers() == [1]


def test_a_broadcast_can_be_awaited_and_never_waits() -> None:
    hall = Hall()

    @hall.app.on("go")
    async def go(socket: Socket) -> str:
        await hall.app.emit("news")
        await hall.app.to("even").send("x")
        return "done"

    assert hall.clients[1].emit_with_ack("go") == "done"


def test_what_is_sent_may_be_compressed_unless_it_says_no() -> None:
    """The choice reaches the adapter's message, and so whatever compresses; operators before it are unchanged."""
    asked: list[tuple[bool, bool]] = []

    class Noting(MemoryAdapter):
        def broadcast(
            self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
        ) -> None:
            asked.append((message.compress, selection.compress))
            super().broadcast(data, message, selection, ack)

    app = SocketApp(adapter=Noting)
    client = TestClient(app.server)
    client.connect()
    plain = app.app.to(client.id)
    plain.compress(False).emit("news", 1)
    plain.emit("news", 2)
    app.app.compress(False).compress(True).emit("news", 3)
    assert asked == [(False, False), (True, True), (True, True)]
    assert [client.receive().args for _ in range(3)] == [[1], [2], [3]]
