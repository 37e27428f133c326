"""Servers of a cluster on virtual time, with a Redis that is slow, is cut off, stops and comes back.

What has to hold, whatever happens:

* Clients get what their own server sends at once, all of it.
* Nothing arrives twice; what one server has sent arrives in its order.
* What does not arrive was lost in an outage that its sender or its receiver was told of. With streams nothing is lost,
  unless a gap or dropped messages were told of.
* A client that comes back and is recovered has missed nothing and gets nothing twice.
* Questions end in time. Afterwards everything works again, and nothing is left of the questions.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from siocore import Server, Socket, SocketList
from siocore.cluster.classic import ClassicCluster
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.sharded import ShardedCluster
from siocore.cluster.streams import StreamsCluster
from siocore.events import Outage
from siocore.testing import ModelRedis, Simulation, TestClient, TestServer

__all__ = ["KINDS", "Run"]

KINDS: dict[str, Callable[[], BrokerCluster]] = {
    "classic": ClassicCluster,
    "sharded, dynamic": ShardedCluster,
    "sharded, static": lambda: ShardedCluster(mode="static"),
    "streams": StreamsCluster,
    "streams with recovery": StreamsCluster,
}
_ROOMS = ("red", "green", "blue")
_STEPS = 60
_PING = 1e6


class Node:
    """One server, what it has sent, and what it was told."""

    def __init__(self, run: Run, number: int) -> None:
        self.number = number
        self.cluster = KINDS[run.kind]()
        # The network between servers and clients is not what this is about: nobody is timed out.
        self.app = Server(adapter=self.cluster, recovery=run.recovers or None, ping_interval=_PING, ping_timeout=_PING)
        self.server = TestServer(self.app, simulation=run.simulation)
        #: The rooms of each event, by its number; None for everybody.
        self.sent: list[str | None] = []
        self.outages: list[Outage] = []
        self.downs = 0
        self.app.on("adapter_down")(self._down)
        self.app.on("adapter_up")(self._up)

        @self.app.on("connection")
        def connected(socket: Socket) -> None:
            if not socket.recovered:
                socket.join(*socket.handshake.auth["rooms"])

    def emit(self, room: str | None) -> None:
        target: Any = self.app if room is None else self.app.to(room)
        # What is text at the end would be taken for the offset of an event that has none.
        target.emit("e", self.number, len(self.sent), 0)
        self.sent.append(room)

    @property
    def troubled(self) -> bool:
        return bool(self.downs)

    @property
    def lossy(self) -> bool:
        """It was told that something may be missing."""
        return self.cluster.dropped > 0 or any(each.dropped or each.gap for each in self.outages)

    def _down(self, reason: str) -> None:
        self.downs += 1

    def _up(self, outage: Outage | None) -> None:
        if outage is not None:
            self.outages.append(outage)


class Member:
    """A client, over all its connections."""

    def __init__(self, run: Run, node: Node, rooms: tuple[str, ...]) -> None:
        self.run = run
        self.node = node
        self.rooms = rooms
        self.away = False
        #: Every server that it has been at in this membership.
        self.nodes = {node.number}
        self.received: dict[int, list[int]] = {}
        #: How many events each server had sent when it came.
        self.since = {each.number: len(each.sent) for each in run.nodes}
        self.until: dict[int, int] = {}
        self.client = TestClient(node.server)
        self.client.connect(auth={"rooms": rooms})

    def take(self) -> None:
        for event in self.client.events:
            sender, number = event.args[:2]
            self.received.setdefault(sender, []).append(number)
        self.client.events.clear()

    def leave(self) -> None:
        self.take()
        self.away = True
        self.until = {each.number: len(each.sent) for each in self.run.nodes}
        self.client.engine.cut()

    def come_back(self, node: Node) -> bool:
        """On another connection, perhaps to another server. Whether it was recovered."""
        old = self.client
        self.client = TestClient(node.server)
        offset = {"offset": old.offsets["/"]} if "/" in old.offsets else {}
        sid = self.client.connect(auth={"rooms": self.rooms, "pid": old.pids["/"], **offset})
        self.away = False
        self.node = node
        (socket,) = (each for each in node.app.local_sockets() if each.id == sid)
        if socket.recovered:
            self.nodes.add(node.number)
            # As a client keeps it that hears nothing in between.
            self.client.offsets = {**old.offsets, **self.client.offsets}
        return socket.recovered

    def check(self) -> None:
        """What it got, in this membership, is what it should have got."""
        self.take()
        for sender in self.run.nodes:
            got = self.received.get(sender.number, [])
            assert got == sorted(set(got)), f"from {sender.number}: out of order, or twice: {got}"
            end = self.until.get(sender.number, len(sender.sent))
            meant = {number for number, room in enumerate(sender.sent) if room is None or room in self.rooms}
            assert set(got) <= meant, f"from {sender.number}: not for it: {sorted(set(got) - meant)}"
            # What was sent before it came may have been under way then.
            missing = {number for number in meant if self.since[sender.number] <= number < end} - set(got)
            if missing and not self.run.may_miss(sender, self):
                raise AssertionError(f"from {sender.number}: missed {sorted(missing)}, and nobody was told")


class Run:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.kind = self.random.choice(list(KINDS))
        self.recovers = self.kind == "streams with recovery"
        self.faults = self.random.random() < 0.7
        self.description = f"{self.kind}, {'with' if self.faults else 'without'} faults"
        self.delivered = 0
        self.recovered = 0

    def run(self) -> None:
        random = self.random
        self.simulation = Simulation()
        slow = random.choice([0.0, 0.005, 0.05])
        self.redis = ModelRedis(
            self.simulation,
            latency=lambda: random.uniform(0, slow),
            survives=lambda commands: random.randint(0, commands),
        )
        self.nodes: list[Node] = []
        for number in range(random.randint(2, 4)):
            self.nodes.append(Node(self, number))
            self.redis.attach(self.nodes[-1].cluster.broker)
        self.simulation.advance(1)
        self.members: list[Member] = []
        self.former: list[Member] = []
        for node in self.nodes:
            for _ in range(random.randint(1, 3)):
                self._join(node)
        self.simulation.advance(1)
        for _ in range(_STEPS):
            self._step()
        self._end()

    def may_miss(self, sender: Node, member: Member) -> bool:
        """Whether somebody was told that the member may not have got all of the sender's."""
        receivers = [node for node in self.nodes if node.number in member.nodes]
        if member.nodes == {sender.number}:
            return False
        if self.kind.startswith("streams"):
            return sender.lossy or any(node.lossy for node in receivers)
        return sender.troubled or any(node.troubled for node in receivers)

    def _join(self, node: Node) -> None:
        rooms = tuple(self.random.sample(_ROOMS, self.random.randint(0, 2)))
        self.members.append(Member(self, node, rooms))
        # Rooms with channels of their own are there when Redis has taken note.
        self.simulation.advance(0.5)

    def _step(self) -> None:
        random = self.random
        what = random.random()
        if what < 0.6:
            random.choice(self.nodes).emit(random.choice([None, *_ROOMS]))
        elif what < 0.7:
            self._ask(random.choice(self.nodes))
        elif what < 0.8 and self.recovers:
            self._move(random.choice(self.members))
        elif self.faults and what < 0.9:
            self._fault()
        self.simulation.advance(random.choice([0, 0, 0.001, 0.02, 0.3]))
        for member in self.members:
            member.take()

    def _move(self, member: Member) -> None:
        if not member.away:
            member.leave()
            return
        if member.come_back(self.random.choice(self.nodes)):
            self.recovered += 1
            member.until = {}
            return
        # It begins anew: what it got until then is a matter of its own.
        fresh = object.__new__(Member)
        vars(fresh).update(vars(member))
        member.client = TestClient(member.node.server)
        self.former.append(member)
        fresh.received = {}
        fresh.nodes = {fresh.node.number}
        fresh.until = {}
        fresh.since = {each.number: len(each.sent) for each in self.nodes}
        self.members[self.members.index(member)] = fresh

    def _fault(self) -> None:
        random = self.random
        what = random.random()
        if what < 0.6:
            self.redis.cut(random.choice(self.nodes).cluster.broker, random.choice([0.05, 0.5, 3]))
        elif what < 0.8:
            self.redis.stop()
            self._go_on_meanwhile(random.choice([0.1, 2, 10]))
            self.redis.start(empty=random.random() < 0.2)
        else:
            self.redis.pause()
            self._go_on_meanwhile(random.choice([0.1, 3, 12]))
            self.redis.resume()

    def _go_on_meanwhile(self, seconds: float) -> None:
        for _ in range(4):
            self.simulation.advance(seconds / 4)
            self.random.choice(self.nodes).emit(self.random.choice([None, *_ROOMS]))

    def _ask(self, node: Node) -> None:
        task = node.server.start(_fetched(node.app))
        before = sum(each.downs for each in self.nodes) + sum(not each.cluster.up for each in self.nodes)
        self.simulation.advance(6)
        assert task.done, "a question has not ended"
        found: SocketList = task.result()
        ids = [each.id for each in found]
        assert len(ids) == len(set(ids))
        here = {member.client.id for member in self.members if not member.away and member.node is node}
        assert here <= set(ids)
        if sum(each.downs for each in self.nodes) == before and all(each.cluster.up for each in self.nodes):
            everybody = {member.client.id for member in self.members if not member.away}
            assert set(ids) == everybody or found.missing

    def _end(self) -> None:
        self.simulation.advance(30)
        assert all(node.cluster.up for node in self.nodes)
        for member in self.members:
            if member.away:
                self._move(member)
        self.simulation.advance(30)
        for node in self.nodes:
            node.emit(None)
        self.simulation.advance(5)
        for member in self.members:
            member.check()
            for node in self.nodes:
                assert member.received[node.number][-1] == len(node.sent) - 1, "it does not work again"
            self.delivered += sum(len(got) for got in member.received.values())
        for member in self.former:
            for got in member.received.values():
                assert got == sorted(set(got)), f"out of order, or twice: {got}"
        for node in self.nodes:
            assert not node.app.sockets.adapter._requests, "something is left of questions"  # type: ignore[attr-defined]


async def _fetched(app: Server) -> SocketList:
    return await app.fetch_sockets()
