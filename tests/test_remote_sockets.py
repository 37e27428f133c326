"""What servers of a cluster tell each other of their sockets, and what their adapters build on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Generator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from siocore import AckTimeout, MemoryAdapter, Selection, Server, Socket
from siocore.cluster.broker import Broker, CountSubscribers, Kind, Publish
from siocore.cluster.cluster import BrokerCluster
from siocore.codec.message import Outgoing
from siocore.errors import DecodeError, LocalProtocolError
from siocore.events import Outage
from siocore.socketio.acks import BroadcastAck, ServerSideAck
from siocore.socketio.adapter import Found, SocketList
from siocore.socketio.remote import RemoteSocket, describe_socket, read_socket
from siocore.testing import TestClient, TestServer


class Recorder(MemoryAdapter):
    """An adapter that writes down what it is asked for, and can be told what others answer."""

    __slots__ = ("acks", "calls")

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self.acks: list[Any] = []

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        self.calls.append(("broadcast", data, set(selection.rooms)))
        if ack is not None:
            ack.hold()
            self.acks.append(ack)
        super().broadcast(data, message, selection, ack)

    def sockets_join(self, selection: Selection, rooms: Any) -> None:
        self.calls.append(("join", set(selection.rooms), set(rooms)))

    def sockets_leave(self, selection: Selection, rooms: Any) -> None:
        self.calls.append(("leave", set(selection.rooms), set(rooms)))

    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None:
        self.calls.append(("disconnect", set(selection.rooms), close))

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        if ack is not None:
            ack.hold()
            self.acks.append(ack)


class Cluster(BrokerCluster):
    """A cluster that only tells whether its broker is there."""

    lost = ""

    @property
    def uid(self) -> str:
        return "me"

    def __call__(self) -> MemoryAdapter:
        return MemoryAdapter()

    def gap(self) -> str:
        return self.lost


class Asked:
    """A request that two servers have not answered."""

    def __init__(self) -> None:
        self.forgotten = 0

    def missing(self) -> tuple[str, ...]:
        return ("node-a", "node-b")

    def forget(self) -> None:
        self.forgotten += 1


def recorder(io: Server) -> Recorder:
    adapter = io.sockets.adapter
    assert isinstance(adapter, Recorder)
    return adapter


def asking(ask: Any) -> tuple[Server, TestServer, list[object]]:
    io = Server(adapter=Recorder)
    server = TestServer(io)
    results: list[object] = []

    @io.on("go")
    async def go(socket: Socket) -> None:
        try:
            results.append(await ask(io))
        except AckTimeout as error:
            results.append(error)

    client = TestClient(server)
    client.connect()
    client.emit("go")
    server.settle()
    return io, server, results


# Sockets -------------------------------------------------------------------------------------------------------


def test_a_socket_is_described_as_javascript_describes_it_and_read_again() -> None:
    io = Server()
    server = TestServer(io)
    client = TestClient(server)
    client.connect(auth={"token": 1})
    (socket,) = io.local_sockets()
    socket.join("b", "a")
    socket.data.user = {"name": "ann"}
    described = describe_socket(socket)
    assert list(described) == ["id", "handshake", "rooms", "data"]
    assert set(described["handshake"]) >= {"headers", "address", "xdomain", "secure", "url", "query", "auth"}
    remote = read_socket(io.sockets, described)
    assert remote.id == socket.id
    assert remote.rooms == {"a", "b", socket.id}
    assert remote.data == SimpleNamespace(user={"name": "ann"})
    assert remote.handshake.auth == {"token": 1}
    assert remote.handshake.headers["HOST"] == socket.handshake.headers["host"]
    assert remote.handshake.query == socket.handshake.query
    assert remote.handshake.url == socket.handshake.url
    assert remote.handshake.address == socket.handshake.address
    assert remote.handshake.secure is False
    assert remote.namespace is io.sockets
    assert repr(remote) == f"<RemoteSocket {socket.id}>"


@pytest.mark.parametrize(
    "described", [None, [], "x", {}, {"id": 1, "rooms": []}, {"id": "a"}, {"id": "a", "rooms": "abc"}]
)
def test_what_can_not_be_a_socket_is_refused(described: object) -> None:
    with pytest.raises(DecodeError):
        read_socket(Server().sockets, described)


@pytest.mark.parametrize("part", [None, 1, [], "x", {"headers": 1, "query": [], "url": 1, "auth": "x", "address": 2}])
def test_what_is_wrong_with_the_rest_is_left_out(part: object) -> None:
    remote = read_socket(Server().sockets, {"id": "a", "rooms": ["b", 1], "handshake": part, "data": part})
    assert remote.rooms == {"b"}
    assert remote.handshake.headers == {}
    assert remote.handshake.query == {}
    assert remote.handshake.url == ""
    assert remote.handshake.auth == {}
    assert remote.handshake.address is None


def test_header_values_may_be_lists_and_any_characters() -> None:
    headers = {"cookie": ["a=1", "b=2"], "x": "\u20ac", "y": 1}
    remote = read_socket(Server().sockets, {"id": "a", "rooms": [], "handshake": {"headers": headers}})
    assert dict(remote.handshake.headers) == {"cookie": "a=1, b=2", "x": "?"}


def test_what_is_done_with_a_remote_socket_goes_to_its_own_room() -> None:
    io = Server(adapter=Recorder)
    remote = read_socket(io.sockets, {"id": "far", "rooms": []})
    remote.emit("e", 1)
    remote.send("m")
    remote.join("r", "s")
    remote.leave("r")
    remote.disconnect(close=True)
    assert recorder(io).calls == [
        ("broadcast", ("e", 1), {"far"}),
        ("broadcast", ("message", "m"), {"far"}),
        ("join", {"far"}, {"r", "s"}),
        ("leave", {"far"}, {"r"}),
        ("disconnect", {"far"}, True),
    ]


def test_the_lists_of_several_namespaces_are_put_together() -> None:
    class Part(Awaitable[SocketList]):
        def __init__(self, found: SocketList) -> None:
            self.found = found

        def __await__(self) -> Generator[Any, None, SocketList]:
            return self.found
            yield

    one, two = (RemoteSocket(Server().sockets, {"id": each, "rooms": []}) for each in "ab")
    joined = Found([Part(SocketList([one], ("x",))), Part(SocketList([two], ("y", "x")))])
    with pytest.raises(StopIteration) as stop:
        next(joined.__await__())
    assert stop.value.value == [one, two]
    assert stop.value.value.missing == ("x", "y")


# Acknowledgements ------------------------------------------------------------------------------------------------


def test_a_broadcast_waits_for_clients_elsewhere_as_their_servers_tell_of_them() -> None:
    io, server, results = asking(lambda io: io.to("nobody here").emit_with_ack("q"))
    (ack,) = recorder(io).acks
    ack.hold()
    ack.expect_remote(2)
    ack.release()
    ack.remote_acknowledged("one")
    server.settle()
    assert results == []
    ack.expect_remote(0)
    ack.release()
    ack.remote_acknowledged("two")
    server.settle()
    assert results == [["one", "two"]]
    ack.remote_acknowledged("late")
    assert ack.responses == ["one", "two"]


def test_clients_elsewhere_that_are_gone_are_not_waited_for() -> None:
    io, server, results = asking(lambda io: io.to("nobody here").emit_with_ack("q"))
    (ack,) = recorder(io).acks
    ack.expect_remote(3)
    ack.release()
    ack.remote_acknowledged(1)
    ack.expect_remote(-2)
    server.settle()
    assert results == [[1]]


def test_a_timeout_names_the_servers_that_have_not_answered_and_frees_the_request() -> None:
    io, server, results = asking(lambda io: io.to("nobody here").timeout(2).emit_with_ack("q"))
    (ack,) = recorder(io).acks
    ack.request = asked = Asked()
    ack.expect_remote(2)
    ack.remote_acknowledged("one")
    server.advance(2)
    (error,) = results
    assert isinstance(error, AckTimeout)
    assert error.responses == ["one"]
    assert error.missing == ("node-a", "node-b")
    assert str(error) == "operation has timed out: 1 did not answer; nothing came from the servers node-a, node-b"
    assert asked.forgotten == 1
    assert ack.request is None


def test_how_many_servers_answer_may_be_known_late() -> None:
    io, server, results = asking(lambda io: io.server_side_emit_with_ack("q"))
    (ack,) = recorder(io).acks
    ack.request = asked = Asked()
    server.settle()
    assert results == []
    ack.expect(2)
    ack.release()
    ack.answered(1)
    ack.gone()
    server.settle()
    assert results == [[1]]
    assert asked.forgotten == 1


# The broker ------------------------------------------------------------------------------------------------------


def test_the_application_hears_when_the_others_can_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    io = Server(adapter=cluster)
    server = TestServer(io)
    told: list[tuple[str, object]] = []
    io.on("adapter_up")(lambda outage: told.append(("up", outage)))

    @io.on("adapter_down")
    async def down(reason: str) -> None:
        told.append(("down", reason))

    cluster.broker.lost("it was never there")
    server.settle()
    assert told == []
    cluster.broker.connected()
    server.settle()
    assert told == [("up", None)]
    with caplog.at_level(logging.WARNING, "siocore"):
        cluster.broker.lost("it fell over")
        server.settle()
        cluster.dropped = 3
        cluster.lost = "some were missed"
        server.advance(4)
        cluster.broker.connected()
        server.settle()
    assert told[1:] == [("down", "it fell over"), ("up", Outage(4.0, 3, "some were missed"))]
    assert "it fell over" in caplog.text
    assert "after 4.0 s; 3 messages to them were dropped; some were missed" in caplog.text
    assert cluster.dropped == 0


def test_the_application_hears_once_of_each_kind_of_garbage(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    server = TestServer(Server(adapter=cluster))
    with caplog.at_level(logging.WARNING, "siocore"):
        for number in range(1_000):
            cluster.garbage_received("a channel", "no list")
            cluster.garbage_received("another channel", f"fault {number}")
        server.settle()
    assert cluster.garbage == 2_000
    assert caplog.text.count("dropped what arrived on 'a channel': no list") == 1
    assert "dropped what arrived on 'another channel': fault 1\n" in caplog.text
    assert len(caplog.records) == 100


def test_a_cluster_belongs_to_one_server() -> None:
    cluster = Cluster()
    with pytest.raises(LocalProtocolError, match="no server yet"):
        _ = cluster.hub
    io = Server(adapter=cluster)
    assert cluster.hub is io.protocol
    with pytest.raises(LocalProtocolError, match="make another one"):
        Server(adapter=cluster)


def test_commands_leave_together_and_fail_while_the_broker_is_gone() -> None:
    broker = Broker()
    woken: list[None] = []
    broker.wake = partial(woken.append, None)
    heard: list[tuple[object, str | None]] = []
    broker.send(CountSubscribers("c", False, lambda reply, fault: heard.append((reply, fault))))
    assert heard == [(None, "not connected yet")]
    broker.connected()
    one, two = Publish("c", b"1"), CountSubscribers("c", False, lambda reply, fault: heard.append((reply, fault)))
    broker.send(one)
    broker.send(two)
    assert len(woken) == 1
    assert broker.take_commands() == [one, two]
    one.answered(1)
    two.answered(5)
    two.failed("twice")
    assert heard[1:] == [(5, None)]
    broker.send(CountSubscribers("c", False, lambda reply, fault: heard.append((reply, fault))))
    broker.lost("gone")
    assert heard[2:] == [(None, "gone")]
    assert broker.take_commands() == []


def test_subscriptions_are_shared_and_told_once() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[tuple[str, bytes]] = []

        def message_received(self, channel: str, data: bytes) -> None:
            self.heard.append((channel, data))

    broker = Broker()
    one, two = Ear(), Ear()
    broker.subscribe(Kind.PATTERN, "a*", one)
    assert broker.take_changes() == []
    broker.connected()
    broker.subscribe(Kind.PATTERN, "a*", two)
    broker.subscribe(Kind.CHANNEL, "b", two)
    broker.subscribe(Kind.SHARD, "b", one)
    broker.unsubscribe(Kind.SHARD, "b", one)
    broker.unsubscribe(Kind.SHARD, "b", one)
    assert broker.take_changes() == [(Kind.CHANNEL, "b", True), (Kind.SHARD, "b", False)]
    broker.received(Kind.PATTERN, "a*", "abc", b"1")
    broker.received(Kind.CHANNEL, "b", "b", b"2")
    broker.received(Kind.CHANNEL, "nobody", "nobody", b"3")
    assert (one.heard, two.heard) == ([("abc", b"1")], [("abc", b"1"), ("b", b"2")])
    broker.unsubscribe(Kind.PATTERN, "a*", one)
    broker.unsubscribe(Kind.PATTERN, "a*", two)
    assert broker.take_changes() == [(Kind.PATTERN, "a*", False)]
    assert set(broker.subscriptions) == {(Kind.CHANNEL, "b")}
