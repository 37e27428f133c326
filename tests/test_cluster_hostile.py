"""What a broken or hostile process may put into the channels and streams of a cluster: all that servers say, broken.

Nothing raises, nothing is left behind, nobody gets what is no event, and afterwards everything works as before.
``SIOCORE_HOSTILE_SEED`` chooses which bits are flipped.
"""

from __future__ import annotations

import json
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import pytest

from hostile_messages import broken_bytes, broken_values, mutants, reader_of
from siocore import LocalProtocolError, Server, Socket, SocketList
from siocore.cluster.broker import Broker, Kind
from siocore.cluster.classic import ClassicCluster
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.mesh import MeshCluster, decode_message, encode_message
from siocore.cluster.python_socketio import PythonSocketIOCluster
from siocore.cluster.sharded import ShardedCluster
from siocore.cluster.streams import StreamsCluster
from siocore.socketio.names import RESERVED_EVENTS
from siocore.testing import ModelRedis, Simulation, TestClient, TestServer

SEED = int(os.environ.get("SIOCORE_HOSTILE_SEED", "20261124"))
#: The names of clusters, and how to make them.
KINDS: dict[str, Callable[[], BrokerCluster]] = {
    "classic": ClassicCluster,
    "classic, specific responses": lambda: ClassicCluster(specific_responses=True),
    "sharded": ShardedCluster,
    "streams": StreamsCluster,
    "streams with recovery": StreamsCluster,
    "python-socketio": PythonSocketIOCluster,
}
_PING = 1e6
#: Between two looks at what has come of it.
_BATCH = 40
#: Seconds for which is waited for answers.
_PATIENCE = 5
#: An hour is the longest for which answers of clients are handed on.
_LONGEST = 3_700.0


class Redis(ModelRedis):
    """Keeps what is published."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self.published: list[tuple[str, bytes, bool]] = []

    def publish(self, channel: str, data: bytes, *, sharded: bool = False) -> int:
        self.published.append((channel, data, sharded))
        return super().publish(channel, data, sharded=sharded)


class Message:
    """What a server has said: ``data``, on a channel or in an entry of a stream, perhaps as an answer."""

    def __init__(self, data: bytes, send: Callable[[World, bytes], None], answer_to: str = "", asked: str = "") -> None:
        self.data = data
        self.send = send
        #: The id of the question, and which it was.
        self.answer_to = answer_to
        self.asked = asked


class World:
    """A server that is to survive, with a client, and another server that shows what is usually said."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.simulation = Simulation()
        self.redis = Redis(self.simulation)
        self.clusters = [KINDS[kind]() for _ in range(2)]
        recovery = True if kind.endswith("recovery") else None
        self.apps = [
            Server(adapter=each, recovery=recovery, ping_interval=_PING, ping_timeout=_PING) for each in self.clusters
        ]
        self.servers = [TestServer(app, simulation=self.simulation) for app in self.apps]
        self.server_side: list[object] = []
        for app in self.apps:
            app.on("connection")(self._connected)
            app.on_server_side("question")(self._answer)
        for cluster in self.clusters:
            self.redis.attach(cluster.broker)
        self.simulation.settle()
        self.delivered = 0
        self.fed = 0
        self.entries = 0
        self.silent: Broker | None = None
        # Which question each request of the first server is.
        self.under_way: dict[str, str] = {}
        self.clients = [TestClient(server) for server in self.servers]
        for client in self.clients:
            client.connect()
        self.simulation.settle()

    @property
    def broker(self) -> Broker:
        return self.clusters[0].broker

    @property
    def adapter(self) -> Any:
        return self.apps[0].sockets.adapter

    # What servers say -----------------------------------------------------------------------------------------------

    def messages(self) -> list[Message]:
        """One of each kind that the other server sends to the first one."""
        found = [message for tell in self._tellings() for message in self._heard(tell)]
        for name in self._questions():
            self.redis.published.clear()
            self._ask(self.apps[0], name)
            self._reply()
            asked, *answers = self.redis.published
            wanted = _request_id(asked[1])
            own = self.clusters[0].uid.encode()
            found += [
                Message(data, _on(channel, sharded), wanted, name)
                for channel, data, sharded in answers
                if wanted.encode() in data and own not in data
            ]
        return found

    def make_silent(self) -> None:
        """The other server goes, and somebody is there in its place who answers nothing: questions stay."""
        silent = Broker()
        for kind, name in self.clusters[1].broker.subscriptions:
            silent.subscribe(kind, name, _Deaf())
        self.redis.detach(self.clusters[1].broker)
        self.silent = silent
        self.redis.attach(silent)
        self.simulation.settle()

    def make_normal(self, silent: Broker) -> None:
        self.redis.detach(silent)
        self.redis.attach(self.clusters[1].broker)
        self.simulation.settle()

    def question_id(self, name: str) -> str:
        """That of a question that is under way."""
        for identifier, request in self.adapter._requests.items():
            if self.under_way.get(identifier) == name and request.tally.outstanding:
                return str(identifier)
        before = set(self.adapter._requests)
        self._ask(self.apps[0], name)
        (identifier,) = set(self.adapter._requests) - before
        self.under_way[identifier] = name
        return str(identifier)

    # What comes of it -----------------------------------------------------------------------------------------------

    def feed(self, messages: list[Message], random: Random) -> None:
        for message in messages:
            if message.asked:
                self.question_id(message.asked)
            for broken in mutants(message.data, random):
                if message.asked:
                    current = self.question_id(message.asked)
                    broken = broken.replace(message.answer_to.encode(), current.encode())
                self.fed += 1
                try:
                    message.send(self, broken)
                    if not self.fed % _BATCH:
                        self.look()
                except Exception as error:
                    said = f"{broken[:2_000]!r}, from {message.data!r}"
                    raise AssertionError(f"seed {SEED}, {self.kind}: {said}, or shortly before") from error
            self.look()

    def look(self) -> None:
        """What has come of the latest."""
        self.simulation.settle()
        client = self.clients[0]
        for event in client.events:
            assert isinstance(event.name, (str, int))
            assert event.name not in RESERVED_EVENTS
            if event.ack_id is not None and client.connected:
                client.ack(event, "answer")
        self.delivered += len(client.events)
        client.events.clear()
        # Some have disconnected it, which is theirs to do.
        if not client.connected:
            self.clients[0] = TestClient(self.servers[0])
            self.clients[0].connect()
        self.simulation.settle()
        if len(self._pending("_requests")) > 10:
            # Answered enough to go on, and not to end.
            self.simulation.advance(_PATIENCE + 1)
            assert not self._pending("_requests")

    def check(self) -> None:
        """Nothing is left, and everything works."""
        if self.silent is not None:
            self.make_normal(self.silent)
        self.simulation.advance(_LONGEST)
        self.look()
        assert not self._pending("_requests")
        assert not self._pending("_forwarded")
        for app in self.apps:
            for socket in app.local_sockets():
                assert isinstance(socket, Socket)
                assert not socket.pending_acks
        self.apps[1].emit("valid", 1)
        assert self.clients[0].receive().args[0] == 1
        if self.kind != "python-socketio":
            found = self.servers[0].start(_fetched(self.apps[0]))
            self.simulation.settle()
            assert found.done
            assert {each.id for each in found.result()} == {client.id for client in self.clients}
        for client in self.clients:
            client.disconnect()
        self.simulation.settle()
        # Rooms that others made are gone with who was in them.
        assert not self.adapter.rooms()
        assert len(self.broker.subscriptions) <= 4

    def _pending(self, name: str) -> Any:
        return getattr(self.adapter, name, ())

    def _tellings(self) -> list[Callable[[Server], object]]:
        nobody, room = ["nobody"], "room"
        if self.kind == "python-socketio":
            # Its servers can't leave out rooms, and tell sockets one by one.
            nobody, room = [], self.clients[0].id
        tell: list[Callable[[Server], object]] = [
            lambda io: io.emit("e", 1, {"a": [None, "é"]}),
            lambda io: io.emit("e", b"\x01\x02"),
            lambda io: io.to("room").except_(*nobody).volatile.emit("e"),
            lambda io: io.in_(room).sockets_join("another"),
            lambda io: io.in_(room).sockets_leave("another"),
            lambda io: io.in_("nobody".ljust(20)).disconnect_sockets(close=True),
        ]
        if self.kind != "python-socketio":
            tell += [lambda io: io.server_side_emit("told", 1)]
            tell += [partial(self._ask, name=name) for name in self._questions()]
        return tell

    def _questions(self) -> list[str]:
        if self.kind == "python-socketio":
            return []
        return ["clients", "sockets", "servers", *(["rooms"] if self.kind.startswith("classic") else [])]

    def _ask(self, io: Server, name: str) -> None:
        self.servers[self.apps.index(io)].start(_QUESTIONS[name](io))
        self.simulation.settle()

    def _reply(self) -> None:
        """The other server's client answers."""
        client = self.clients[1]
        for event in client.events:
            if event.ack_id is not None:
                client.ack(event, "answer")
        client.events.clear()
        self.simulation.settle()

    def _heard(self, tell: Callable[[Server], object]) -> Iterator[Message]:
        """What the other server publishes, and adds to streams, then."""
        self.redis.published.clear()
        before = {stream: len(entries) for stream, entries in self.redis.streams.items()}
        tell(self.apps[1])
        self.simulation.settle()
        own = self.clusters[0].uid.encode()
        for channel, data, sharded in self.redis.published:
            if own not in data:
                yield Message(data, _on(channel, sharded))
                yield from self._elsewhere(channel, data, sharded)
        for stream, entries in self.redis.streams.items():
            for _, fields in entries[before.get(stream, 0) :]:
                data = fields[b"data"]
                packed = data[:1] != b"{"
                yield Message(b64decode(data) if packed else data, _in(stream, fields, packed))

    def _elsewhere(self, channel: str, data: bytes, sharded: bool) -> Iterator[Message]:
        """The same as nobody sends it: in JSON, which has more text in it, and a question in a stream."""
        decode, _ = reader_of(data)
        message = decode(data)
        if decode is json.loads or not isinstance(message, dict) or b"\xc4" in data:
            return
        if self.kind.startswith("streams"):
            fields = {name: str(message[name.decode()]).encode() for name in (b"uid", b"nsp", b"type")}
            yield Message(json.dumps(message["data"]).encode(), _in("socket.io", fields, False))
        else:
            yield Message(json.dumps(message).encode(), _on(channel, sharded))

    def _connected(self, socket: Socket) -> None:
        socket.join("room")

    def _answer(self, *args: object) -> str:
        return "answer"


class _Deaf:
    def message_received(self, channel: str, data: bytes) -> None:
        return


def _on(channel: str, sharded: bool) -> Callable[[World, bytes], None]:
    """Publish on a channel, as the driver of the first server would hear it."""

    def send(world: World, data: bytes) -> None:
        for kind, name in tuple(world.broker.subscriptions):
            pattern = kind is Kind.PATTERN and channel.startswith(name.replace("\\", "").rstrip("*"))
            if (kind is Kind.SHARD) is sharded and (pattern or name == channel):
                world.broker.received(kind, name, channel, data)

    return send


def _in(stream: str, fields: dict[bytes, bytes], packed: bool) -> Callable[[World, bytes], None]:
    """Add to a stream."""

    def send(world: World, data: bytes) -> None:
        world.entries += 1
        entry = {**fields, b"data": b64encode(data) if packed else data}
        world.broker.entries(stream, [(f"{world.entries}-1", entry)])

    return send


def _request_id(data: bytes) -> str:
    decode, _ = reader_of(data)
    message = decode(data)
    found = message.get("data", message)["requestId"] if isinstance(message.get("data"), dict) else message["requestId"]
    assert isinstance(found, str)
    return found


async def _fetched(io: Server) -> SocketList:
    return await io.fetch_sockets()


async def _clients_asked(io: Server) -> None:
    await io.timeout(_PATIENCE).emit_with_ack("question")


async def _servers_asked(io: Server) -> None:
    await io.server_side_emit_with_ack("question", timeout=_PATIENCE)


async def _sockets_asked(io: Server) -> None:
    await io.timeout(_PATIENCE).fetch_sockets()


async def _rooms_asked(io: Server) -> None:
    adapter: Any = io.sockets.adapter
    await adapter.all_rooms(_PATIENCE)


_QUESTIONS = {
    "clients": _clients_asked,
    "sockets": _sockets_asked,
    "servers": _servers_asked,
    "rooms": _rooms_asked,
}


@pytest.mark.parametrize("kind", KINDS)
def test_broken_messages_harm_nobody(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World(kind)
    messages = world.messages()
    world.make_silent()
    with caplog.at_level(logging.WARNING, "siocore"):
        world.feed(messages, Random(SEED))
    # Some are sound in spite of all.
    assert world.delivered > 100
    assert world.clusters[0].garbage > world.fed / 4
    warned = [record.getMessage() for record in caplog.records]
    assert 0 < len(warned) < 60
    assert all("ynchron" not in each and "Traceback" not in each for each in warned)
    assert not [record for record in caplog.records if record.exc_info]
    world.check()


@pytest.mark.parametrize("kind", ["streams", "streams with recovery"])
def test_broken_entries_harm_nobody(kind: str) -> None:
    world = World(kind)
    random = Random(SEED)
    world.apps[1].emit("e", 1)
    world.simulation.settle()
    ((_, fields),) = world.redis.streams["socket.io"]
    odd = [b"", b"x" * 20_000, b"\xff", b"-1", b"9" * 5_000, "\u0665".encode(), b"3.0", b" 3"]
    entries: list[dict[bytes, bytes]] = [{}, {b"": b""}, {**fields, b"more": b"1"}]
    for name, value in fields.items():
        entries.append({other: each for other, each in fields.items() if other != name})
        entries += [{**fields, name: each} for each in (*odd, *broken_bytes(value, random))]
    for number, entry in enumerate(entries):
        try:
            world.broker.entries("socket.io", [(f"{number + 1}-1", entry)])
            world.look()
        except Exception as error:
            raise AssertionError(f"seed {SEED}: {entry!r}") from error
    assert world.delivered > 10
    assert world.clusters[0].garbage > len(entries) / 2
    world.check()


def test_broken_sessions_are_not_recovered_or_are_whole() -> None:
    """What a server has kept of a socket that is gone, changed by somebody."""
    world = World("streams with recovery")
    client = world.clients[0]
    world.apps[0].emit("e", 1)
    world.simulation.settle()
    pid, offset = client.pids["/"], client.offsets["/"]
    client.engine.cut()
    world.simulation.settle()
    ((key, (value, ends)),) = world.redis.keys.items()
    assert pid in key
    kept = b64decode(value)
    recovered = 0
    for broken in (
        kept,
        *(b64encode(each) for each in mutants(kept, Random(SEED))),
        *broken_bytes(value, Random(SEED)),
    ):
        world.redis.keys = {key: (b64encode(kept) if broken is kept else broken, ends)}
        client = TestClient(world.servers[0])
        try:
            client.connect(auth={"pid": pid, "offset": offset})
        except Exception as error:
            raise AssertionError(f"seed {SEED}: {broken[:2_000]!r}") from error
        (socket,) = world.apps[0].local_sockets()
        assert isinstance(socket, Socket)
        recovered += socket.recovered
        assert recovered or broken is not kept
        assert all(isinstance(room, str) for room in socket.rooms)
        client.disconnect()
        world.simulation.settle()
        assert not world.apps[0].local_sockets()
    # What names a room or a value, and no more, may be another one.
    assert 1 < recovered < 500
    world.clients[0] = TestClient(world.servers[0])
    world.clients[0].connect()
    world.check()


def test_broken_blocks_of_workers_harm_nobody() -> None:
    clusters = [MeshCluster() for _ in range(2)]
    apps = [Server(adapter=cluster) for cluster in clusters]
    servers = [TestServer(app) for app in apps]
    clusters[1].node_joined(clusters[0].uid)
    clusters[0].node_joined(clusters[1].uid)
    client = TestClient(servers[0])
    client.connect()
    io = apps[1]
    io.emit("e", 1, {"a": [None, b"x"]})
    io.in_("room").sockets_join("another")
    io.server_side_emit("told", 1)
    servers[1].start(_fetched(io))
    servers[1].settle()
    blocks = [block for _, block in clusters[1].take_messages()]
    assert len(blocks) == 4
    random = Random(SEED)
    fed = 0
    for block in blocks:
        values = (_written(value) for value in broken_values(decode_message(block)))
        for broken in (*broken_bytes(block, random), *(each for each in values if each is not None)):
            fed += 1
            try:
                clusters[0].received(broken)
                servers[0].settle()
            except Exception as error:
                raise AssertionError(f"seed {SEED}: {broken[:2_000]!r}") from error
        clusters[0].take_messages()
    assert client.connected
    assert clusters[0].garbage > fed / 4
    client.events.clear()
    clusters[0].received(blocks[0])
    assert client.receive().args == [1, {"a": [None, b"x"]}]


def _written(value: Any) -> bytes | None:
    try:
        return encode_message(value)
    except LocalProtocolError:
        return None
