"""Connection state recovery under seeded random histories: whoever is told that it was recovered has missed nothing.

The rule (I7): recovered means the same id, rooms and data, and each event that the socket was sent, or would have been
sent while it was away, exactly once and in order; otherwise nothing is replayed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from recovering import App
from siocore import ConnectionRefused, Limits, Recovery, Socket
from siocore.testing import TestClient

ROOMS = ("a", "b", "c")
MAX_DISCONNECTION = 40.0


@dataclass
class Life:
    """What one socket id was sent, and what its client received of it."""

    expected: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    rooms: set[str] = field(default_factory=set)
    data: dict[str, Any] = field(default_factory=dict)


class Peer:
    """A client, and the lives that it had."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.lives: list[Life] = []
        self.away_since: float | None = None


class History:
    def __init__(self, seed: int, limits: Limits) -> None:
        self.random = Random(seed)
        self.app = App(Recovery(max_disconnection=MAX_DISCONNECTION), limits=limits, ping_interval=10, ping_timeout=5)
        self.app.io.use(self._middleware)
        self.lives: dict[str, Life] = {}
        self.peers: list[Peer] = []
        self.sockets: list[Socket] = []
        self.volatile: set[int] = set()
        self.refuse = False
        self.number = 0
        self.outcomes: Counter[str] = Counter()

    def _middleware(self, socket: Socket) -> None:
        if self.refuse:
            raise ConnectionRefused("not now")

    def run(self, steps: int) -> None:
        for _ in range(4):
            client = TestClient(self.app.server, self.random.choice(("websocket", "polling", "upgrade")))
            peer = Peer(client)
            client.on_event = lambda event, peer=peer: self._received(peer, event.args[0])
            self.peers.append(peer)
            self._come(peer)
        actions = [self.emit] * 12 + [self.emit_to_one] * 4 + [self.move] * 5 + [self.cut] * 2
        actions += [self.stall] * 2 + [self.come] * 5 + [self.wait] * 4 + [self.settle] * 4
        for _ in range(steps):
            self.random.choice(actions)()
        for peer in self.peers:
            if peer.client.engine.state != "open" or self._stuck(peer):
                self._come(peer)
        self.app.server.settle()
        self.check(at_rest=True)

    # What happens -----------------------------------------------------------------------------------------------

    def emit(self) -> None:
        random, io = self.random, self.app.io
        rooms = frozenset(random.sample(ROOMS, random.choice((0, 1, 1, 2))))
        except_ = frozenset(random.sample(ROOMS, random.choice((0, 0, 0, 1))))
        if random.random() < 0.2:
            except_ |= {random.choice(list(self.lives))}
        self._sent(rooms, except_)
        io.to(*rooms).except_(*except_).emit("event", self.number, random.choice(("text", b"binary", 1)))
        if random.random() < 0.2:
            self._next()
            self.volatile.add(self.number)
            io.volatile.emit("volatile", self.number, "text")

    def emit_to_one(self) -> None:
        socket = self.random.choice(self.sockets)
        if self.random.random() < 0.3 and socket.connected:
            self._next()
            self.volatile.add(self.number)
            socket.volatile.emit("volatile", self.number)
        else:
            self._sent(frozenset({socket.id}), frozenset())
            socket.emit("event", self.number)

    def move(self) -> None:
        socket = self.random.choice(self.sockets)
        if socket.connected:
            life = self.lives[socket.id]
            room = self.random.choice(ROOMS)
            if self.random.random() < 0.6:
                socket.join(room)
                life.rooms.add(room)
            else:
                socket.leave(room)
                life.rooms.discard(room)
            life.data["number"] = socket.data.number = self.number

    def cut(self) -> None:
        """The client notices, and so does the server."""
        self.random.choice(self.peers).client.engine.cut()

    def stall(self) -> None:
        """Nothing arrives any more; nobody has noticed."""
        for link in self.random.choice(self.peers).client.engine.links:
            link.stall()

    def come(self) -> None:
        peer = self.random.choice(self.peers)
        if peer.client.engine.state != "open" or self._stuck(peer):
            self._come(peer)

    def wait(self) -> None:
        self.app.server.advance(self.random.choice((0.1, 1, 5, 20)))

    def settle(self) -> None:
        self.app.server.settle()

    # What must be true --------------------------------------------------------------------------------------------

    def check(self, *, at_rest: bool = False) -> None:
        for life in self.lives.values():
            received = [number for number in life.received if number not in self.volatile]
            assert received == life.expected[: len(received)], "a gap, or something twice"
            assert len(set(life.received)) == len(life.received), "something twice"
        if at_rest:
            for peer in self.peers:
                life = peer.lives[-1]
                assert [number for number in life.received if number not in self.volatile] == life.expected
        ids = Counter(socket.id for socket in self.sockets if socket.connected)
        assert set(ids.values()) <= {1}, "two sockets with one id"
        assert set(self.app.io.sockets.sockets) == set(ids)

    def _stuck(self, peer: Peer) -> bool:
        return any(link.to_server._stalled for link in peer.client.engine.links)

    def _come(self, peer: Peer) -> None:
        client = peer.client
        for link in client.engine.links:
            link.stall()
        if client.engine.state == "open":
            client.engine.close()
        before = len(self.app.connected)
        self.refuse = self.random.random() < 0.1
        known = client.pids.get("/")
        try:
            recovered = client.reconnect(timeout=20)
        except ConnectionRefused:
            self.outcomes["refused"] += 1
            self.refuse = False
            recovered = client.reconnect(timeout=20)
            assert not recovered
        self.refuse = False
        (socket,) = self.app.connected[before:]
        assert socket.recovered is recovered
        self.sockets.append(socket)
        if not recovered:
            self.outcomes["anew" if known else "first"] += 1
            peer.lives.append(Life())
            assert socket.id not in self.lives, "the id of another life"
            self.lives[socket.id] = peer.lives[-1]
            # Sent while it was being let in, if anything.
            assert peer.lives[-1].received == []
        else:
            self.outcomes["recovered"] += 1
            assert self.lives[socket.id] is peer.lives[-1]
        life = peer.lives[-1]
        assert client.id == socket.id
        assert socket.rooms == {socket.id, *life.rooms}
        assert vars(socket.data) == life.data
        self.check()

    def _received(self, peer: Peer, number: int) -> None:
        # What is replayed comes behind CONNECT, so it is known whose it is: the id is new, or that of the last life.
        self.lives.setdefault(peer.client.id, Life()).received.append(number)

    def _next(self) -> None:
        self.number += 1

    def _sent(self, rooms: frozenset[str], except_: frozenset[str]) -> None:
        """An event is emitted: who is to get it?"""
        self._next()
        for sid, life in self.lives.items():
            own = {sid, *life.rooms}
            if not own & except_ and (not rooms or own & rooms):
                life.expected.append(self.number)


@pytest.mark.parametrize("seed", range(30))
def test_whoever_is_recovered_has_missed_nothing(seed: int) -> None:
    history = History(seed, Limits())
    history.run(150)
    assert history.outcomes["recovered"] > 0


@pytest.mark.parametrize("seed", range(30))
def test_where_little_is_kept_nobody_is_told_more_than_is_true(seed: int) -> None:
    limits = Limits(max_recovery_events=4, max_recovery_sessions=2, max_recovery_log=2_000)
    history = History(seed, limits)
    history.run(150)
    assert history.outcomes["anew"] > 0
