"""Servers that meet in Redis streams: the wire, outages, and clients that come back to another server."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from siocore import LocalProtocolError, Server, Socket
from siocore.cluster.broker import AddEntry, Broker
from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.cluster.streams import StreamsCluster
from siocore.cluster.streams_emitter import StreamsEmitter
from siocore.cluster.streams_wire import read_entry, stream_of
from siocore.errors import DecodeError
from siocore.events import Outage
from siocore.testing import ModelRedis, Simulation, TestClient, TestServer


class Nodes:
    """Servers that meet at one Redis, on one clock."""

    def __init__(
        self,
        count: int = 2,
        make: Callable[[], StreamsCluster] = StreamsCluster,
        latency: float = 0.0,
        survives: int = 0,
        **options: Any,
    ) -> None:
        self.simulation = Simulation()
        self.redis = ModelRedis(self.simulation, latency=lambda: latency, survives=lambda sent: min(sent, survives))
        self.clusters = [make() for _ in range(count)]
        self.apps = [Server(adapter=cluster, **options) for cluster in self.clusters]
        self.servers = [TestServer(app, simulation=self.simulation) for app in self.apps]
        self.outages: list[list[object]] = [[] for _ in range(count)]
        for cluster, app, told in zip(self.clusters, self.apps, self.outages, strict=True):
            app.on("adapter_up")(told.append)
            app.on("adapter_down")(told.append)
            self.redis.attach(cluster.broker)
        self.settle()

    def client(self, node: int, **auth: Any) -> TestClient:
        client = TestClient(self.servers[node])
        client.connect(auth=auth or None)
        self.settle()
        return client

    def settle(self) -> None:
        self.simulation.settle()

    def entries(self, stream: str = "socket.io") -> list[dict[bytes, bytes]]:
        self.settle()
        return [fields for _, fields in self.redis.streams.get(stream, [])]


VOLATILE = (
    '{"packet":{"type":2,"data":["v"]},"opts":{"rooms":[],"except":["x"],"flags":{"volatile":true,"compress":false}}}'
)


def received(client: TestClient) -> list[tuple[str | int, list[Any]]]:
    events: list[tuple[str | int, list[Any]]] = [(event.name, event.args) for event in client.events]
    client.events.clear()
    return events


def numbers(client: TestClient) -> list[Any]:
    return [args[0] for _, args in received(client)]


# The wire ------------------------------------------------------------------------------------------------------------


def test_entries_are_those_that_node_writes() -> None:
    nodes = Nodes(1)
    io = nodes.apps[0]
    io.emit("hello", 1, "é")
    io.to("room1").emit("hello", b"\x01\x02")
    io.volatile.compress(False).except_("x").emit("v")
    io.sockets_join("a")
    io.in_("b").sockets_leave("a", "c")
    io.disconnect_sockets(close=True)
    own = nodes.clusters[0].uid.encode()
    # What @socket.io/redis-streams-adapter 0.3.1 was seen to add for the same calls.
    recorded = [
        (b"3", '{"packet":{"type":2,"data":["hello",1,"é"]},"opts":{"rooms":[],"except":[],"flags":{}}}'),
        (
            b"3",
            "gqZwYWNrZXSCpHR5cGUCpGRhdGGSpWhlbGxvxAIBAqRvcHRzg6Vyb29tc5Glcm9vbTGmZXhjZXB0kKVmbGFnc4A=",
        ),
        (b"3", VOLATILE),
        (b"4", '{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["a"]}'),
        (b"5", '{"opts":{"rooms":["b"],"except":[],"flags":{}},"rooms":["a","c"]}'),
        (b"6", '{"opts":{"rooms":[],"except":[],"flags":{}},"close":true}'),
    ]
    expected = [{b"uid": own, b"nsp": b"/", b"type": kind, b"data": data.encode()} for kind, data in recorded]
    assert nodes.entries() == expected
    assert [list(fields) for fields in nodes.entries()] == [[b"uid", b"nsp", b"type", b"data"]] * 6


def test_events_reach_the_clients_of_all_servers_and_questions_are_answered() -> None:
    nodes = Nodes(3)
    clients = [nodes.client(node) for node in range(3)]
    nodes.apps[0].emit("e", {"a": b"\x01"}, None)
    nodes.settle()
    assert [received(client) for client in clients] == [[("e", [{"a": b"\x01"}, None])]] * 3
    nodes.apps[1].sockets_join("room")
    nodes.settle()
    found = nodes.servers[0].start(_fetched(nodes.apps[0]))
    nodes.settle()
    assert len(found.result()) == 3
    assert all("room" in each.rooms for each in found.result())
    seen: list[object] = []
    nodes.apps[2].on_server_side("count")(seen.append)
    nodes.apps[0].server_side_emit("count", 7)
    nodes.settle()
    assert seen == [7]
    nodes.apps[0].disconnect_sockets()
    nodes.settle()
    assert not any(client.connected for client in clients)


async def _fetched(app: Server) -> Any:
    return await app.fetch_sockets()


@pytest.mark.parametrize("namespace", ["/", "/dashboard", "/notifications", "/admin", "/é😀"])
def test_the_stream_of_a_namespace_is_that_which_javascript_computes(namespace: str) -> None:
    assert stream_of(namespace, "s", 1) == "s"
    assert stream_of(namespace, "s", 4) == f"s-{_javascript(namespace)}"


def test_some_namespaces_have_streams_with_negative_numbers() -> None:
    assert stream_of("/dashboard", "s", 4).startswith("s--")
    assert stream_of("/notifications", "s", 4).startswith("s--")


def _javascript(text: str) -> int:
    """What JavaScript's ``hash % 4`` is, written down as it is there."""
    number = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        number = ((number << 5) - number + unit) & 0xFFFFFFFF
    if number & 0x80000000:
        return -((0x100000000 - number) % 4)
    return number % 4


def test_several_streams_are_read_those_with_negative_numbers_too() -> None:
    nodes = Nodes(2, lambda: StreamsCluster(stream_count=4))
    for name in ("/", "/dashboard", "/notifications", "/admin"):
        seen: list[object] = []
        for app in nodes.apps:
            app.of(name)
        client = TestClient(nodes.servers[1])
        client.connect(name)
        nodes.apps[0].of(name).emit("e", name)
        nodes.settle()
        assert client.receive().args == [name]
        del seen


GARBAGE: list[dict[bytes, bytes]] = [
    {},
    {b"uid": b"x"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"x"},
    {b"uid": b"\xff", b"nsp": b"/", b"type": b"3"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"3"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"99"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"3", b"data": b"{"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"3", b"data": b"!"},
    {b"uid": b"x", b"nsp": b"/", b"type": b"3", b"data": b64encode(b"\xc1")},
    {b"uid": b"x", b"nsp": b"/", b"type": b"3", b"data": b'{"packet":{"data":[]}}'},
    {b"uid": b"x", b"nsp": b"/", b"type": b"4", b"data": b'{"rooms":[1,{}]}'},
    {b"nsp": b"\xff", b"uid": b"x", b"type": b"3"},
]


def test_garbage_is_dropped_and_what_follows_is_read() -> None:
    nodes = Nodes(2)
    client = nodes.client(1)
    for fields in GARBAGE:
        nodes.clusters[0].broker.send(AddEntry("socket.io", tuple(fields.items()), 100))
        nodes.clusters[0].broker.send(AddEntry("socket.io", (*fields.items(), (b"nsp", b"/")), 100))
    nodes.settle()
    nodes.apps[0].emit("e")
    nodes.settle()
    assert received(client) == [("e", [])]
    assert nodes.clusters[1].garbage >= 10
    for fields in GARBAGE[:4]:
        with pytest.raises(DecodeError):
            read_entry(fields)


# Outages -------------------------------------------------------------------------------------------------------------


def test_what_is_sent_while_redis_is_gone_arrives_when_it_is_back_once_and_in_order() -> None:
    nodes = Nodes(2)
    here, there = nodes.client(0), nodes.client(1)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.redis.stop()
    for number in (1, 2, 3):
        nodes.apps[0].emit("e", number)
    nodes.settle()
    assert numbers(here) == [0, 1, 2, 3]
    assert numbers(there) == [0]
    assert not nodes.apps[0].adapter_up
    nodes.simulation.advance(10)
    nodes.redis.start()
    nodes.settle()
    nodes.apps[0].emit("e", 4)
    nodes.settle()
    assert numbers(there) == [1, 2, 3, 4]
    assert numbers(here) == [4]
    assert nodes.outages[0] == [None, "Redis is gone", Outage(10.0, 0, "")]


@pytest.mark.parametrize("survives", [0, 1, 2, 3])
def test_entries_whose_answers_were_lost_are_added_once(survives: int) -> None:
    nodes = Nodes(2, latency=0.1, survives=survives)
    nodes.simulation.advance(1)
    there = nodes.client(1)
    nodes.apps[0].emit("e", -1)
    nodes.simulation.advance(1)
    for number in range(3):
        nodes.apps[0].emit("e", number)
    nodes.simulation.settle()
    nodes.redis.cut(nodes.clusters[0].broker, 0.5)
    nodes.apps[0].emit("e", 3)
    nodes.simulation.advance(5)
    nodes.apps[0].emit("e", 4)
    nodes.simulation.advance(5)
    assert numbers(there) == [-1, 0, 1, 2, 3, 4]


def test_entries_that_may_have_been_read_before_redis_lost_them_are_not_added_again() -> None:
    nodes = Nodes(2, latency=0.1, survives=3)
    nodes.simulation.advance(1)
    there = nodes.client(1)
    nodes.apps[0].emit("e", 0)
    nodes.simulation.advance(1)
    nodes.apps[0].emit("e", 1)
    nodes.settle()
    nodes.redis.cut(nodes.clusters[0].broker, 100)
    nodes.simulation.advance(1)
    assert numbers(there) == [0, 1]
    nodes.redis.stop()
    nodes.redis.start(empty=True)
    nodes.apps[0].emit("e", 2)
    nodes.simulation.advance(5)
    assert numbers(there) == [2]
    outage = nodes.outages[0][-1]
    assert isinstance(outage, Outage)
    assert nodes.clusters[0].dropped + outage.dropped == 1


def test_a_reader_that_was_away_goes_on_where_it_was_and_tells_of_a_gap() -> None:
    nodes = Nodes(2, lambda: StreamsCluster(max_length=5))
    there = nodes.client(1)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.redis.cut(nodes.clusters[1].broker, 1)
    for number in (1, 2, 3):
        nodes.apps[0].emit("e", number)
    nodes.simulation.advance(2)
    assert numbers(there) == [0, 1, 2, 3]
    assert nodes.outages[1][-1] == Outage(1.0, 0, "")
    nodes.redis.cut(nodes.clusters[1].broker, 1)
    for number in range(4, 14):
        nodes.apps[0].emit("e", number)
    nodes.simulation.advance(2)
    assert numbers(there) == [9, 10, 11, 12, 13]
    assert nodes.outages[1][-1] == Outage(1.0, 0, "entries of the stream socket.io are gone that were not read here")


def test_a_redis_that_comes_back_empty_is_a_gap() -> None:
    nodes = Nodes(2)
    there = nodes.client(1)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.redis.stop()
    nodes.simulation.advance(1)
    nodes.redis.start(empty=True)
    nodes.simulation.advance(1)
    nodes.apps[0].emit("e", 1)
    nodes.settle()
    assert numbers(there) == [0, 1]
    outage = nodes.outages[1][-1]
    assert isinstance(outage, Outage)
    assert "are gone" in outage.gap


def test_more_than_may_wait_is_dropped_and_counted() -> None:
    nodes = Nodes(2, lambda: StreamsCluster(max_queue=3))
    here, there = nodes.client(0), nodes.client(1)
    nodes.redis.stop()
    for number in range(5):
        nodes.apps[0].emit("e", number)
    nodes.redis.start()
    nodes.simulation.advance(1)
    assert numbers(here) == [0, 1, 2, 3, 4]
    assert numbers(there) == [0, 1, 2]
    outage = nodes.outages[0][-1]
    assert isinstance(outage, Outage)
    assert outage.dropped == 2


def test_a_question_while_redis_is_gone_is_answered_by_this_server() -> None:
    nodes = Nodes(2)
    nodes.client(0), nodes.client(1)
    nodes.redis.stop()
    found = nodes.servers[0].start(_fetched(nodes.apps[0]))
    nodes.settle()
    assert len(found.result()) == 1


# Recovery ------------------------------------------------------------------------------------------------------------


class Recovering(Nodes):
    """Nodes whose clients may come back."""

    def __init__(self, count: int = 2, **options: Any) -> None:
        super().__init__(count, recovery=True, **options)

    def away(self, client: TestClient) -> None:
        client.engine.cut()
        self.simulation.advance(0.5)

    def back(self, client: TestClient, node: int, **auth: Any) -> TestClient:
        """The same client, on another connection, to any server."""
        again = TestClient(self.servers[node])
        offset = {"offset": client.offsets["/"]} if "/" in client.offsets else {}
        again.connect(auth={"pid": client.pids["/"], **offset, **auth})
        self.simulation.advance(0.5)
        return again


@pytest.mark.parametrize("node", [0, 1])
def test_a_client_gets_what_it_missed_from_any_server(node: int) -> None:
    nodes = Recovering()
    client = nodes.client(0)
    (socket,) = nodes.apps[0].local_sockets()
    socket.join("room")
    socket.data.name = "ann"
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    assert numbers(client) == [0]
    nodes.away(client)
    nodes.apps[0].emit("e", 1)
    nodes.apps[1].to("room").emit("e", 2, b"\x01")
    nodes.apps[1].to("elsewhere").emit("e", 3)
    nodes.apps[1].except_("room").emit("e", 4)
    nodes.apps[0].volatile.emit("e", 5)
    nodes.apps[0].of("/other").emit("e", 6)
    nodes.settle()
    again = nodes.back(client, node)
    assert received(again) == [("e", [1]), ("e", [2, b"\x01"])]
    (back,) = nodes.apps[node].local_sockets()
    assert back.recovered
    assert back.id == socket.id
    assert back.rooms == {"room", socket.id}
    assert back.data.name == "ann"
    nodes.apps[0].emit("e", 7)
    nodes.settle()
    assert numbers(again) == [7]
    # Nobody else can have it.
    assert not nodes.redis.keys


def test_the_session_in_redis_is_what_node_reads_and_what_node_writes_is_read() -> None:
    nodes = Recovering()
    client = nodes.client(0)
    (socket,) = nodes.apps[0].local_sockets()
    socket.join("room")
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.away(client)
    (key,) = nodes.redis.keys
    assert key == f"sio:session:{client.pids['/']}"
    stored = decode_msgpack(b64decode(nodes.redis.keys[key][0]))
    assert list(stored)[:4] == ["sid", "pid", "rooms", "data"]
    assert stored["rooms"] == [socket.id, "room"]
    # As Node.js' adapter writes it.
    node = {name: stored[name] for name in ("sid", "pid", "rooms", "data")}
    nodes.redis.keys[key] = (b64encode(encode_msgpack(node)), nodes.redis.keys[key][1])
    nodes.apps[1].to("room").emit("e", 1)
    again = nodes.back(client, 1)
    assert numbers(again) == [1]
    (back,) = nodes.apps[1].local_sockets()
    assert back.id == socket.id


def test_a_client_that_heard_nothing_for_long_misses_nothing_though_its_offset_is_gone() -> None:
    nodes = Recovering(make=lambda: StreamsCluster(max_length=10))
    client = nodes.client(0)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    for number in range(30):
        nodes.apps[0].to("others").emit("e", number)
    nodes.settle()
    nodes.away(client)
    nodes.apps[1].emit("e", 31)
    nodes.settle()
    numbers(client)
    assert numbers(nodes.back(client, 1)) == [31]
    (back,) = nodes.apps[1].local_sockets()
    assert back.recovered


def test_who_may_have_missed_something_that_is_gone_begins_anew() -> None:
    nodes = Recovering(make=lambda: StreamsCluster(max_length=10))
    client = nodes.client(0)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.away(client)
    for number in range(30):
        nodes.apps[1].emit("e", number)
    nodes.settle()
    again = nodes.back(client, 1)
    assert received(again) == []
    (fresh,) = nodes.apps[1].local_sockets()
    assert not fresh.recovered


@pytest.mark.parametrize("offset", ["0-0", "x", "1-1", "99999999999999-0", "-", "(5-0", "5"])
def test_an_offset_that_was_never_given_out_recovers_nothing(offset: str) -> None:
    nodes = Recovering()
    nodes.apps[0].emit("e", -1)
    nodes.settle()
    client = nodes.client(0)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.away(client)
    client.offsets["/"] = offset
    again = nodes.back(client, 1)
    assert received(again) == []
    (fresh,) = nodes.apps[1].local_sockets()
    assert not fresh.recovered


def test_what_reached_a_client_without_an_offset_is_neither_repeated_nor_missing() -> None:
    nodes = Recovering()
    early, late = nodes.client(0), nodes.client(0)
    nodes.apps[0].emit("e", 0, "text")
    nodes.settle()
    nodes.redis.stop()
    # The clients of this test take what is last in an event for its offset, as JavaScript's do with any text.
    nodes.apps[0].emit("e", 1, 1.5)
    nodes.settle()
    for client in (early, late):
        assert [event.name for event in client.events] == ["e", "e"]
        client.events.clear()
    nodes.redis.start()
    nodes.simulation.advance(1)
    early.offsets["/"] = nodes.redis.streams["socket.io"][0][0]
    nodes.away(early)
    again = nodes.back(early, 0)
    assert received(again) == []
    nodes.apps[0].emit("e", 2)
    nodes.settle()
    assert numbers(late) == [2]
    nodes.away(late)
    nodes.apps[0].emit("e", 3)
    nodes.settle()
    assert numbers(nodes.back(late, 1)) == [3]


def test_events_wait_for_their_entries_and_keep_their_order() -> None:
    nodes = Recovering(latency=0.2)
    nodes.simulation.advance(1)
    client = TestClient(nodes.servers[0])
    client.connect()
    io = nodes.apps[0]
    io.emit("e", 1)
    io.volatile.emit("e", 2)
    io.local.emit("e", 3)
    task = nodes.servers[0].start(_asked(io))
    io.emit("e", 4)
    nodes.settle()
    assert received(client) == []
    nodes.simulation.advance(0.5)
    assert [event.name for event in client.events] == ["e", "e", "e", "question", "e"]
    client.ack(client.events[3], "answer")
    nodes.simulation.advance(2)
    assert task.result() == ["answer"]


def test_events_that_wait_for_their_entries_are_delivered_when_redis_goes() -> None:
    nodes = Recovering(latency=0.2)
    nodes.simulation.advance(1)
    client = TestClient(nodes.servers[0])
    client.connect()
    nodes.apps[0].emit("e", 1, 0)
    nodes.settle()
    assert received(client) == []
    nodes.redis.stop()
    nodes.settle()
    assert numbers(client) == [1]
    # Its entry, if it is read later, is not delivered again.
    nodes.redis.start()
    nodes.simulation.advance(5)
    nodes.apps[0].emit("e", 2)
    nodes.simulation.advance(5)
    assert numbers(client) == [2]


def test_the_offset_of_what_is_not_kept_is_that_of_what_came_before_it() -> None:
    nodes = Recovering()
    client = nodes.client(1)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.redis.cut(nodes.clusters[1].broker, 1)
    nodes.apps[0].volatile.emit("passing")
    nodes.apps[0].emit("e", 1)
    nodes.settle()
    offsets: list[str] = []
    client.on_event = lambda event: offsets.append(client.offsets["/"])
    nodes.simulation.advance(2)
    identifiers = [identifier for identifier, _ in nodes.redis.streams["socket.io"]]
    # Both came in one read.
    assert offsets == identifiers[1:]


async def _asked(io: Server) -> Any:
    return await io.emit_with_ack("question")


def test_a_client_that_is_let_in_late_gets_what_came_meanwhile() -> None:
    nodes = Recovering()

    @nodes.apps[1].use
    async def slow(socket: Socket) -> None:
        await nodes.servers[1].clock.sleep(5)

    client = nodes.client(0)
    nodes.apps[0].emit("e", 0)
    nodes.settle()
    nodes.away(client)
    nodes.apps[0].emit("e", 1)
    again = TestClient(nodes.servers[1])
    again.engine.open()
    again.join(auth={"pid": client.pids["/"], "offset": client.offsets["/"]})
    nodes.simulation.advance(1)
    nodes.apps[0].emit("e", 2)
    nodes.apps[1].emit("e", 3)
    nodes.simulation.advance(10)
    assert numbers(again) == [1, 2, 3]


def test_a_session_that_nobody_has_stored_is_none() -> None:
    nodes = Recovering()
    values = (b"!", b64encode(b"\xc1"), b64encode(encode_msgpack({"pid": "p"})), b64encode(encode_msgpack([])))
    for value in values:
        nodes.redis.keys["sio:session:p"] = (value, 1e9)
        client = TestClient(nodes.servers[0])
        client.connect(auth={"pid": "p", "offset": "1-1"})
        assert client.connected


# Processes that only send -------------------------------------------------------------------------------------------


def test_the_emitter_adds_what_npms_emitter_adds() -> None:
    nodes = Nodes(2)
    client = nodes.client(0)
    broker = Broker()
    nodes.redis.attach(broker)
    nodes.settle()
    emitter = StreamsEmitter(broker)
    emitter.to("a").except_("b").volatile.emit("e", 1)
    emitter.emit("b", b"\x01")
    emitter.sockets_join("r")
    emitter.in_("r").sockets_leave("r")
    emitter.of("/other").server_side_emit("se", 1)
    recorded = [
        (
            b"/",
            b"3",
            '{"packet":{"type":2,"data":["e",1]},"opts":{"rooms":["a"],"flags":{"volatile":true},"except":["b"]}}',
        ),
        (b"/", b"3", "gqZwYWNrZXSCpHR5cGUCpGRhdGGSoWLEAQGkb3B0c4Olcm9vbXOQpWZsYWdzgKZleGNlcHSQ"),
        (b"/", b"4", '{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["r"]}'),
        (b"/", b"5", '{"opts":{"rooms":["r"],"except":[],"flags":{}},"rooms":["r"]}'),
        (b"/other", b"9", '{"packet":["se",1]}'),
    ]
    assert nodes.entries() == [
        {b"uid": b"emitter", b"nsp": nsp, b"type": kind, b"data": data.encode()} for nsp, kind, data in recorded
    ]
    assert received(client) == [("b", [b"\x01"])]
    seen: list[object] = []
    nodes.apps[1].on_server_side("se")(seen.append)
    emitter.server_side_emit("se", 2)
    emitter.disconnect_sockets()
    nodes.settle()
    assert seen == [2]
    assert not client.connected
    with pytest.raises(LocalProtocolError):
        emitter.emit("connect")
