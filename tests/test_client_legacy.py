"""Servers of Socket.IO 2 (Engine.IO 3): what they do without being asked, and how they say what they say."""

from __future__ import annotations

from typing import Any

import pytest

from fake_link import Client, Task
from siocore.errors import ConnectError


def legacy(**options: Any) -> Client:
    return Client(protocol=3, **options)


def test_the_root_namespace_is_entered_without_asking_and_ids_are_derived() -> None:
    client = legacy(auth={"token": "a b&c"})
    root, admin = client.manager.socket(), client.manager.socket("/admin")
    client.link.opened()
    assert client.link.take() == ["0/admin?token=a+b%26c,"]
    assert not root.connected
    client.link.text("0")
    client.link.text("0/admin,")
    assert (root.connected, root.id) == (True, "engine-id")
    assert (admin.connected, admin.id) == (True, "/admin#engine-id")
    admin.emit("a", 1)
    root.emit("b")
    client.link.text('2/admin,["news"]')
    assert client.link.take() == ['2/admin,["a",1]', '2["b"]']
    assert client.told() == ["connect", "connect", ("news",)]


def test_a_root_socket_that_comes_later_is_there_already() -> None:
    client = legacy()
    client.manager.socket("/admin")
    client.link.opened()
    client.link.text("0")
    client.link.text("0/admin,")
    client.link.take()
    root = client.manager.socket()
    assert root.connected
    root.disconnect()
    assert client.link.take() == ["1"]
    root.connect()
    # Once it has left, it has to ask.
    assert client.link.take() == ["0"]
    client.link.text("0")
    assert root.connected
    client.link.text("1")
    assert not root.connected
    root.connect()
    assert client.link.take() == ["0"]


def test_a_root_socket_that_the_server_has_put_out_has_to_ask() -> None:
    client = legacy()
    root = client.manager.socket()
    client.manager.socket("/admin")
    client.link.opened()
    client.link.text("0")
    client.link.text("1")
    client.link.take()
    root.connect()
    assert client.link.take() == ["0"]


def test_a_root_namespace_that_nobody_wants_is_nobodys() -> None:
    client = legacy()
    admin = client.manager.socket("/admin")
    client.link.opened()
    client.link.text("0")
    client.link.text('2["news"]')
    client.link.text("0/admin,")
    assert client.told() == ["connect"]
    assert admin.connected


@pytest.mark.parametrize(
    ("packet", "message", "data"),
    [
        ('4"not authorized"', "not authorized", "not authorized"),
        ('4{"code":1,"message":"no"}', "no", {"code": 1, "message": "no"}),
        ('4{"code":1}', "the server refused the connection", {"code": 1}),
    ],
)
def test_errors_have_no_fixed_form(packet: str, message: str, data: object) -> None:
    client = legacy()
    task = Task(client.manager.socket().connect())
    client.link.opened()
    client.link.text(packet)
    assert isinstance(task.error, ConnectError)
    assert (task.error.message, task.error.data) == (message, data)


def test_an_error_for_one_event_ends_nothing() -> None:
    client = legacy()
    socket = client.manager.socket()
    client.link.opened()
    client.link.text("0")
    client.link.text('4"your event was stopped"')
    assert socket.connected


def test_it_has_no_recovery() -> None:
    client = legacy()
    socket = client.manager.socket()
    client.link.opened()
    client.link.text('0{"sid":"x"}')
    assert socket.id == "engine-id"
    assert socket.offsets is None


def test_a_server_of_socketio_2_is_named() -> None:
    client = Client()
    task = Task(client.manager.socket().connect(retry=True))
    client.link.opened()
    client.link.text("0")
    with pytest.raises(ConnectError, match="speaks Socket"):
        _ = task.result
    client.advance(60)
    assert len(client.hub.links) == 1


def test_with_auto_such_a_server_gets_what_it_speaks() -> None:
    client = Client(protocol="auto")
    socket = client.manager.socket("/admin")
    root = client.manager.socket()
    task = Task(socket.connect())
    client.link.opened()
    client.link.text("0")
    assert len(client.hub.links) == 2
    assert client.hub.links[0].closed_with is not None
    client.link.opened()
    assert (client.link.revision, client.link.take()) == (3, ["0/admin,"])
    client.link.text("0")
    client.link.text("0/admin,")
    assert task.done
    assert root.connected
    assert client.told() == ["connect", "connect"]
    client.link.lost()
    client.advance(1)
    assert client.link.revision == 3
