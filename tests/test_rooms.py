"""Rooms: joining, leaving, who is in, and what a disconnect leaves."""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import SocketApp
from siocore import LocalProtocolError, Socket
from siocore.testing import TestClient


def crowd(app: SocketApp, count: int) -> list[Socket]:
    """Sockets of as many clients."""
    sockets = []
    for _ in range(count):
        client = TestClient(app.server)
        client.connect()
        sockets.append(app.app.sockets.sockets[client.id])
    return sockets


def rooms(app: SocketApp) -> set[str]:
    return set(app.app.sockets.adapter.rooms())


def test_a_socket_is_in_the_room_of_its_id_and_in_those_that_it_joined() -> None:
    app = SocketApp()
    (socket,) = crowd(app, 1)
    assert socket.rooms == {socket.id}
    socket.join("a", "b")
    socket.join("a")
    assert socket.rooms == {socket.id, "a", "b"}
    assert rooms(app) == {"a", "b"}
    socket.leave("a", "never joined")
    assert socket.rooms == {socket.id, "b"}
    assert rooms(app) == {"b"}


def test_a_room_ends_with_its_last_member() -> None:
    app = SocketApp()
    first, second = crowd(app, 2)
    first.join("room")
    second.join("room")
    first.leave("room")
    assert rooms(app) == {"room"}
    second.leave("room")
    assert rooms(app) == set()


def test_a_socket_can_not_leave_its_own_room_nor_join_that_of_another() -> None:
    app = SocketApp()
    first, second = crowd(app, 2)
    first.leave(first.id)
    assert first.rooms == {first.id}
    with pytest.raises(LocalProtocolError):
        first.join("harmless", second.id)
    assert first.rooms == {first.id}
    first.join(first.id)
    assert rooms(app) == set()


@pytest.mark.parametrize("room", [1, None, b"x", ("a",)])
def test_a_rooms_name_is_text(room: Any) -> None:
    app = SocketApp()
    (socket,) = crowd(app, 1)
    with pytest.raises(LocalProtocolError):
        socket.join(room)
    with pytest.raises(LocalProtocolError):
        app.app.to(room)
    with pytest.raises(LocalProtocolError):
        app.app.except_(room)


def test_disconnecting_handlers_still_see_the_rooms_and_disconnect_handlers_do_not() -> None:
    app = SocketApp()
    seen: list[set[str]] = []
    app.app.on("disconnecting")(lambda socket, reason: seen.append(set(socket.rooms)))
    app.app.on("disconnect")(lambda socket, reason: seen.append(set(socket.rooms)))
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    socket.join("room")
    client.engine.cut()
    app.server.settle()
    assert seen == [{socket.id, "room"}, set()]
    assert rooms(app) == set()


def test_after_the_disconnect_nobody_is_in_and_joining_does_nothing() -> None:
    app = SocketApp()
    client = TestClient(app.server)
    client.connect()
    (socket,) = app.app.local_sockets()
    socket.join("room")
    client.disconnect("/")
    app.server.settle()
    assert app.app.to("room").local_sockets() == []
    socket.join("room", "other")
    assert socket.rooms == frozenset()
    assert rooms(app) == set()


def test_a_middleware_may_join_rooms_and_they_count_once_it_has_let_the_socket_in() -> None:
    app = SocketApp()
    before: list[int] = []

    @app.app.use
    def join(socket: Socket) -> None:
        socket.join("vip")
        before.append(len(app.app.to("vip").local_sockets()))

    (socket,) = crowd(app, 1)
    assert before == [0]
    assert app.app.to("vip").local_sockets() == [socket]


def test_rooms_of_the_same_name_in_two_namespaces_are_two_rooms() -> None:
    app = SocketApp()
    app.app.of("/other")
    client = TestClient(app.server)
    client.connect()
    client.connect("/other")
    (root,) = app.app.local_sockets()
    (other,) = app.app.of("/other").local_sockets()
    root.join("room")
    assert app.app.of("/other").to("room").local_sockets() == []
    other.join("room")
    assert app.app.to("room").local_sockets() == [root]


def test_sockets_join_and_leave_in_bulk() -> None:
    app = SocketApp()
    sockets = crowd(app, 4)
    app.app.to(sockets[0].id, sockets[1].id).sockets_join("a", "b")
    assert set(app.app.to("a").local_sockets()) == set(sockets[:2])
    app.app.sockets_join("everybody")
    assert len(app.app.to("everybody").local_sockets()) == 4
    app.app.to("a").except_(sockets[0].id).sockets_leave("a")
    assert app.app.to("a").local_sockets() == [sockets[0]]
    app.app.sockets_leave("everybody", "a", "b")
    assert rooms(app) == set()


def test_sockets_disconnect_in_bulk() -> None:
    app = SocketApp()
    sockets = crowd(app, 3)
    sockets[0].join("out")
    sockets[1].join("out")
    app.app.to("out").disconnect_sockets()
    app.server.settle()
    assert app.app.local_sockets() == [sockets[2]]
    # Those who only left the namespace are still connected.
    assert len(app.server.protocol.sessions) == 3
    app.app.disconnect_sockets(close=True)
    app.server.settle()
    assert len(app.server.protocol.sessions) == 2


def test_many_rooms_come_and_go_without_a_trace() -> None:
    app = SocketApp()
    (socket,) = crowd(app, 1)
    for number in range(10_000):
        socket.join(f"room {number}")
        socket.leave(f"room {number}")
    assert rooms(app) == set()
    assert socket.rooms == {socket.id}
