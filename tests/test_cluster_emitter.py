"""Processes that only send: what they write, byte for byte, and that servers do it, as they do what Node.js sends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fake_redis import Nodes, Wiretap
from siocore import LocalProtocolError, Server
from siocore.cluster.classic import ClassicCluster
from siocore.cluster.emitter import ClassicEmitter
from siocore.testing import TestClient

REQUESTS = "socket.io-request#/#"

# Recorded from @socket.io/redis-emitter 5.1.0. The names of sets come in no order that could be compared.
RECORDED: list[tuple[Any, str, bytes]] = [
    (
        lambda e: e.emit("hello", 1, "\u00e9", None, 1.5, b"\x01\x02", datetime.fromtimestamp(1, UTC), None),
        "socket.io#/#",
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x98\xa5hello\x01\xa2\xc3\xa9\xc0\xcb?\xf8\x00\x00\x00\x00\x00\x00\xc4\x02\x01\x02\xd6\xff\x00\x00\x00\x01\xc0\xa3nsp\xa1/\x83\xa5rooms\x90\xa5flags\x80\xa6except\x90",
    ),
    (
        lambda e: e.to("room1").emit("hello", b"\x01\x02"),
        "socket.io#/#room1#",
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x92\xa5hello\xc4\x02\x01\x02\xa3nsp\xa1/\x83\xa5rooms\x91\xa5room1\xa5flags\x80\xa6except\x90",
    ),
    (
        lambda e: e.except_("c").volatile.compress(False).emit("v", {"a": [1]}),
        "socket.io#/#",
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x92\xa1v\x81\xa1a\x91\x01\xa3nsp\xa1/\x83\xa5rooms\x90\xa5flags\x82\xa8volatile\xc3\xa8compress\xc2\xa6except\x91\xa1c",
    ),
    (lambda e: e.sockets_join("a"), REQUESTS, b'{"type":2,"opts":{"rooms":[],"except":[]},"rooms":["a"]}'),
    (
        lambda e: e.in_("b").sockets_leave("a", "c"),
        REQUESTS,
        b'{"type":3,"opts":{"rooms":["b"],"except":[]},"rooms":["a","c"]}',
    ),
    (
        lambda e: e.in_("b").except_("z").disconnect_sockets(close=True),
        REQUESTS,
        b'{"type":4,"opts":{"rooms":["b"],"except":["z"]},"close":true}',
    ),
    (lambda e: e.disconnect_sockets(), REQUESTS, b'{"type":4,"opts":{"rooms":[],"except":[]},"close":false}'),
    (lambda e: e.server_side_emit("se", 1, "x"), REQUESTS, b'{"uid":"emitter","type":6,"data":["se",1,"x"]}'),
    (
        lambda e: e.of("admin").emit("x"),
        "socket.io#/admin#",
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x91\xa1x\xa3nsp\xa6/admin\x83\xa5rooms\x90\xa5flags\x80\xa6except\x90",
    ),
    (
        lambda e: e.to("lost").of("/admin").to("r").emit("x"),
        "socket.io#/admin#r#",
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x91\xa1x\xa3nsp\xa6/admin\x83\xa5rooms\x91\xa1r\xa5flags\x80\xa6except\x90",
    ),
]


class Scene:
    """A server with two clients, one of them in rooms b and room1, and one in /admin that is in r; and an emitter."""

    def __init__(self) -> None:
        self.nodes = Nodes(1, ClassicCluster)
        self.io: Server = self.nodes.apps[0]
        self.io.of("/admin")
        self.member, self.other = self.nodes.client(0), self.nodes.client(0)
        self.admin = self.nodes.client(0, "/admin")
        self.sockets = self.io.sockets.sockets
        self.sockets[self.member.id].join("b", "room1")
        self.io.of("/admin").sockets[self.admin.ids["/admin"]].join("r")
        self.ids = (self.member.id, self.other.id)
        self.heard: list[tuple[object, ...]] = []
        self.io.on_server_side("se")(lambda *args: self.heard.append(args))
        self.wire = Wiretap(self.nodes.redis)
        self.replies: list[tuple[object, str | None]] = []
        self.emitter = ClassicEmitter(self.wire.broker, done=lambda *reply: self.replies.append(reply))

    def outcome(self) -> Any:
        """What clients, rooms and servers have come to."""
        self.nodes.settle()
        return (
            [[(each.name, *each.args) for each in client.events] for client in (self.member, self.other, self.admin)],
            [self.sockets[each].rooms - {each} if each in self.sockets else "gone" for each in self.ids],
            self.heard,
        )


NOTHING: list[Any] = [[], [], []]
ROOMS = [{"b", "room1"}, set()]
OUTCOMES: list[Any] = [
    ([[("hello", 1, "\u00e9", None, 1.5, b"\x01\x02", "1970-01-01T00:00:01.000Z", None)]] * 2 + [[]], ROOMS, []),
    ([[("hello", b"\x01\x02")], [], []], ROOMS, []),
    ([[("v", {"a": [1]})]] * 2 + [[]], ROOMS, []),
    (NOTHING, [{"a", "b", "room1"}, {"a"}], []),
    (NOTHING, ROOMS, []),
    (NOTHING, ["gone", set()], []),
    (NOTHING, ["gone", "gone"], []),
    (NOTHING, ROOMS, [(1, "x")]),
    ([[], [], [("x",)]], ROOMS, []),
    ([[], [], [("x",)]], ROOMS, []),
]


@pytest.mark.parametrize(("recorded", "outcome"), list(zip(RECORDED, OUTCOMES, strict=True)))
def test_what_emitters_send_is_what_node_js_sends_and_is_done(recorded: tuple[Any, str, bytes], outcome: Any) -> None:
    do, channel, data = recorded
    ours = Scene()
    do(ours.emitter)
    assert ours.nodes.published() == [(channel, data)]
    assert ours.replies == [(1, None)]
    assert ours.outcome() == outcome
    theirs = Scene()
    theirs.nodes.redis.publish(channel, data)
    assert theirs.outcome() == outcome


def test_emitters_never_change() -> None:
    scene = Scene()
    one = scene.emitter.to("b")
    one.volatile.except_("room1").to("other").compress(False)
    one.send("x")
    scene.nodes.settle()
    assert [(each.name, *each.args) for each in scene.member.events] == [("message", "x")]
    assert not scene.other.events
    assert repr(scene.emitter.of("admin")) == "<ClassicEmitter for '/admin'>"


def test_several_rooms_share_the_channel_of_their_namespace() -> None:
    scene = Scene()
    scene.emitter.to("b", scene.other.id).except_("nobody").emit("x")
    assert [channel for channel, _ in scene.nodes.published()] == ["socket.io#/#"]
    clients: list[TestClient] = [scene.member, scene.other]
    assert [len(client.events) for client in clients] == [1, 1]


def test_servers_with_another_key_hear_nothing() -> None:
    scene = Scene()
    ClassicEmitter(scene.wire.broker, key="mine").emit("x")
    assert [channel for channel, _ in scene.nodes.published()] == ["mine#/#"]
    assert not scene.member.events


def test_what_can_not_be_sent_is_refused() -> None:
    emitter = Scene().emitter
    wrong: list[Any] = [
        lambda: emitter.emit("disconnect"),
        lambda: emitter.emit("e", object()),
        lambda: emitter.to(1),  # type: ignore[arg-type]
        lambda: emitter.sockets_join(None),  # type: ignore[arg-type]
        lambda: emitter.server_side_emit("e", b"\x00"),
        lambda: emitter.server_side_emit("connect"),
    ]
    for each in wrong:
        with pytest.raises(LocalProtocolError):
            each()


def test_whoever_sends_is_told_what_did_not_leave() -> None:
    scene = Scene()
    scene.nodes.redis.disconnect(scene.wire.broker, "it is gone")
    scene.emitter.emit("x")
    scene.emitter.of("admin").sockets_join("a")
    assert scene.replies == [(None, "it is gone")] * 2
