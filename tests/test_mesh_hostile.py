"""What a worker bears of another one that is broken, or does nothing: on real sockets, without an event loop."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driver_harness import open_descriptors
from siocore import Server, Worker
from siocore._driver.mesh import Mesh, mark_of
from siocore._driver.mesh_link import MAX_DESCRIPTORS, MAX_FRAME, IncomingLink
from siocore._driver.sockets import Sockets
from siocore.cluster.mesh import MeshCluster

HELLO, MESSAGE, CONNECTION = range(3)


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("!IB", len(payload), kind) + payload


def hello(**changes: Any) -> bytes:
    return frame(HELLO, json.dumps({"index": 1, "uid": "another", "pid": 1, **changes}).encode())


class Place:
    """The first of two workers, and the door of the second, behind which nobody reads."""

    def __init__(self, folder: Path) -> None:
        self.cluster = MeshCluster()
        self.app = Server(adapter=self.cluster)
        self.protocol = self.app.protocol
        self.sockets = Sockets(self.protocol, [], None)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(folder / "1.sock"))
        self.door.listen()
        self.mesh = self.sockets.mesh = Mesh(Worker(index=0, count=2, folder=str(folder)), self.protocol, self.sockets)
        self.own_door = folder / "0.sock"
        self.others: list[socket.socket] = []

    def other(self) -> socket.socket:
        """A link to it."""
        other = socket.socket(socket.AF_UNIX)
        other.connect(str(self.own_door))
        other.setblocking(False)
        self.others.append(other)
        return other

    def turn(self) -> None:
        """Until nothing is left to do."""
        while self.sockets.read(0.0):
            self.sockets.write(0.0)
        self.sockets.write(0.0)

    def has_ended(self, other: socket.socket) -> bool:
        try:
            return not other.recv(1)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.mesh.close()
        self.sockets.close()
        for each in (self.door, *self.others):
            each.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def test_a_frame_that_says_it_is_huge_is_not_waited_for() -> None:
    near, far = socket.socketpair()
    lost: list[object] = []
    link = IncomingLink(far, lambda *_: None, lost.append)
    for length, broken in ((MAX_FRAME, False), (MAX_FRAME + 1, True), (2**32 - 1, True)):
        near.send(struct.pack("!IB", length, MESSAGE))
        link.read(0.0)
        assert lost == ([link] if broken else [])
        lost.clear()
        link._input.clear()
    near.close()
    link.close()


BROKEN = {
    "huge": struct.pack("!IB", 2**32 - 1, HELLO),
    "hello that is no JSON": frame(HELLO, b"{"),
    "hello that is no Unicode": frame(HELLO, b"\xff"),
    "hello that is a list": frame(HELLO, b"[]"),
    "hello without a name": frame(HELLO, b'{"index": 1, "pid": 1}'),
    "hello of nobody": hello(index=-1),
    "hello of too many": hello(index=2),
    "hello of a list": hello(index=[1]),
    "hello of true": hello(index=True),
    "hello with a number for a name": hello(uid=1),
    "nothing": frame(CONNECTION, b""),
    "no head": frame(CONNECTION, struct.pack("!II", 0, 0)),
    "a head that is longer": frame(CONNECTION, struct.pack("!II", 2**32 - 1, 2**32 - 1) + b"{}"),
    "a head without a peer": frame(CONNECTION, struct.pack("!II", 2, 0) + b"{}"),
    "a head that is a list": frame(CONNECTION, struct.pack("!II", 2, 0) + b"[]"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_link_with_what_no_worker_sends_on_it_ends(data: bytes, place: Place) -> None:
    other = place.other()
    place.turn()
    before = open_descriptors()
    spare = os.open(os.devnull, os.O_RDONLY)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [spare]))
    # What comes behind it counts no more.
    other.sendmsg([data + hello(uid="behind it")], [rights])
    os.close(spare)
    place.turn()
    assert place.has_ended(other)
    assert place.cluster.nodes == frozenset()
    # With its descriptor, and with its own end.
    assert len(open_descriptors() - before) == 0
    again = place.other()
    again.send(hello())
    place.turn()
    assert place.cluster.nodes == {"another"}
    assert not place.has_ended(again)


def test_connections_for_a_worker_that_takes_nothing_are_refused_before_descriptors_run_out(place: Place) -> None:
    """As when it is stopped by a signal: the kernel takes some, some more wait here, and then no more."""
    other = place.other()
    other.send(hello())
    place.turn()
    link = place.mesh._outgoing[1]
    link._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    request = (
        f"GET /socket.io/?EIO=4&transport=polling&sid={mark_of(1)}{'x' * 18} HTTP/1.1\r\n"
        "Host: a\r\nConnection: close\r\n\r\n"
    )
    clients = []
    before = len(open_descriptors())
    for _ in range(MAX_DESCRIPTORS + 60):
        near, far = socket.socketpair()
        far.setblocking(False)
        connection = place.protocol.connection_made(("127.0.0.1", 1), 0.0)
        place.sockets.take_in(connection, far, b"", request.encode(), 0.0)
        place.turn()
        near.setblocking(False)
        clients.append(near)
        place.others.append(near)
        assert link.descriptors <= MAX_DESCRIPTORS
    assert link.descriptors == MAX_DESCRIPTORS
    refused = []
    waiting = []
    for client in clients:
        try:
            refused.append(client.recv(65_536))
        except BlockingIOError:
            waiting.append(client)
        else:
            client.close()
    place.turn()
    assert refused
    assert all(b"Session ID unknown" in each for each in refused)
    # Those that wait, and the ends of their clients.
    assert len(open_descriptors()) <= before + len(waiting) + MAX_DESCRIPTORS
    # It goes on, and takes what waits.
    there, _ = place.door.accept()
    place.others.append(there)
    there.setblocking(False)
    taken = 0
    for _ in range(10_000):
        try:
            _, descriptors, _, _ = socket.recv_fds(there, 65_536, 64)
        except BlockingIOError:
            if not link.queued:
                break
        else:
            taken += len(descriptors)
            for fd in descriptors:
                os.close(fd)
        place.turn()
    assert taken == len(waiting)
    assert link.descriptors == 0
    assert len(open_descriptors()) == before + len(waiting) + 1
    for each in waiting:
        each.close()
