"""A client's socket on links without a network: connecting, events, acknowledgements, disconnecting."""

from __future__ import annotations

import pytest

from fake_link import Client, Task
from siocore.errors import AckTimeout, ConnectError, Disconnected, LocalProtocolError


def test_connect_is_sent_when_the_link_is_open_and_the_answer_connects() -> None:
    client = Client(auth={"token": "t"})
    socket = client.manager.socket()
    assert (socket.active, socket.connected, socket.id) == (True, False, None)
    client.link.opened()
    assert client.link.take() == ['0{"token":"t"}']
    assert not socket.connected
    client.link.text('0{"sid":"abc"}')
    assert (socket.connected, socket.id) == (True, "abc")
    assert client.told() == ["connect"]


def test_events_go_both_ways() -> None:
    client = Client()
    socket = client.connected("/admin")
    socket.emit("hello", 1, {"a": b"x"})
    assert client.link.take() == ['51-/admin,["hello",1,{"a":{"_placeholder":true,"num":0}}]', b"x"]
    client.link.text('52-/admin,["news",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]')
    client.link.binary(b"0")
    assert client.told() == []
    client.link.binary(b"1")
    assert client.told() == [("news", b"1", b"0")]
    socket.send("text")
    assert client.link.take() == ['2/admin,["message","text"]']


def test_acknowledgements_go_both_ways() -> None:
    client = Client()
    socket = client.connected()
    first, second = socket.emit_with_ack("a"), socket.emit_with_ack("b", 1)
    assert client.link.take() == ['20["a"]', '21["b",1]']
    task = Task(second)
    client.link.text('31["x",2]')
    client.link.text("30[]")
    assert task.result == ("x", 2)
    assert Task(first).result is None
    client.link.text('27["question"]')
    (event,) = client.received()
    event.acknowledge("answer", 1)
    assert client.link.take() == ['37["answer",1]']
    with pytest.raises(LocalProtocolError):
        event.acknowledge("again")


def test_an_acknowledgement_that_does_not_come_times_out() -> None:
    client = Client()
    socket = client.connected()
    task = Task(socket.emit_with_ack("a", timeout=5))
    other = Task(socket.timeout(6).emit_with_ack("a"))
    client.advance(5)
    with pytest.raises(AckTimeout):
        _ = task.result
    assert not other.done
    # Too late.
    client.link.text("30[1]")
    client.link.text("31[2]")
    assert other.result == 2


def test_disconnect_says_so_to_the_server_and_closes_what_nobody_else_uses() -> None:
    client = Client()
    socket = client.connected()
    other = client.connected("/other")
    socket.disconnect()
    assert client.link.take() == ["1"]
    assert (socket.connected, socket.active, socket.id) == (False, False, None)
    assert client.told() == [("disconnect", "io client disconnect")]
    assert client.link.open
    other.disconnect()
    assert client.link.take() == ["1/other,"]
    assert client.link.closed_with is not None
    client.advance(60)
    assert len(client.hub.links) == 1


def test_a_disconnection_ends_what_is_waited_for_at_once() -> None:
    client = Client()
    socket = client.connected()
    task = Task(socket.emit_with_ack("a"))
    client.link.lost()
    with pytest.raises(Disconnected):
        _ = task.result
    assert client.told() == [("disconnect", "transport close")]
    assert socket.active


def test_the_server_can_disconnect_a_socket_for_good() -> None:
    client = Client()
    socket = client.connected()
    client.link.text("1")
    assert client.told() == [("disconnect", "io server disconnect")]
    assert not socket.active
    client.advance(60)
    assert len(client.hub.links) == 1
    task = Task(socket.connect())
    client.link.opened()
    client.accept()
    assert task.done
    assert socket.connected


def test_a_refusal_is_an_error_with_the_servers_message_and_data() -> None:
    client = Client()
    socket = client.manager.socket("/admin")
    task = Task(socket.connect())
    client.link.opened()
    client.link.text('4/admin,{"message":"no","data":{"why":1}}')
    with pytest.raises(ConnectError) as caught:
        _ = task.result
    assert (caught.value.message, caught.value.data, caught.value.transport) == ("no", {"why": 1}, False)
    assert client.told() == [("connect_error", "no")]
    assert not socket.active
    assert client.link.closed_with is not None


def test_a_first_attempt_that_fails_is_repeated_and_told() -> None:
    client = Client()
    socket = client.manager.socket()
    impatient, patient = Task(socket.connect()), Task(socket.connect(retry=True))
    client.link.refused("no server")
    with pytest.raises(ConnectError, match="no server"):
        _ = impatient.result
    assert client.told() == [("connect_error", "no server")]
    assert socket.active
    client.advance(1)
    client.link.opened()
    client.accept()
    assert patient.result is None


def test_names_of_what_happens_here_are_not_those_of_events_and_error_is_one_of_the_servers() -> None:
    client = Client()
    socket = client.connected()
    for name in ("connect", "connect_error", "disconnect", "error", "news"):
        socket.on(name)(print)
    registered = socket.registered
    assert registered is not None
    assert set(registered.lifecycle) == {"connect", "connect_error", "disconnect"}
    assert set(registered.events) == {"error", "news"}
