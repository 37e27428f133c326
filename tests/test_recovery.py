"""Connection state recovery: a client comes back with its id, its rooms, its data and what it missed."""

from __future__ import annotations

import json

import pytest

from raw_client import RawPolling, RawWebSocket
from recovering import App
from siocore import Limits, LocalProtocolError
from siocore.testing import TestClient

TRANSPORTS = ("websocket", "polling", "upgrade")


def offset_of(message: str | bytes) -> str:
    """The last argument of an event."""
    assert isinstance(message, str)
    offset = json.loads(message[message.index("[") :])[-1]
    assert isinstance(offset, str)
    return offset


# On the wire ----------------------------------------------------------------------------------------------------


def test_connect_tells_a_private_id_behind_the_public_one() -> None:
    app = App()
    websocket = RawWebSocket(app.server)
    _, connect = websocket.send("40")
    assert isinstance(connect, str)
    answer = json.loads(connect[2:])
    assert list(answer) == ["sid", "pid"]
    assert answer["sid"] == app.connected[0].id
    assert answer["pid"] != answer["sid"]
    assert len(answer["pid"]) == 20


def test_without_the_option_there_is_no_pid_and_no_offset() -> None:
    app = App(recovery=False)
    websocket = RawWebSocket(app.server)
    _, connect = websocket.send("40")
    assert connect == f'40{{"sid":"{app.connected[0].id}"}}'
    app.io.emit("all", 1)
    app.connected[0].emit("one", 2)
    app.server.settle()
    assert websocket.take() == ['42["all",1]', '42["one",2]']
    assert app.connected[0].recovery is None
    assert app.connected[0].recovered is False


def test_every_event_without_an_acknowledgement_ends_with_an_offset() -> None:
    app = App()
    app.io.of("/other")
    websocket = RawWebSocket(app.server)
    websocket.send("40", "40/other,")
    (socket,) = app.connected
    socket.emit("own", 1)
    app.io.emit("all")
    app.io.of("/other").emit("other", {"a": "x"})
    socket.emit("binary", b"\x01", "text")
    socket.volatile.emit("volatile", "string")
    app.io.volatile.emit("volatile", [])
    socket.compress(False).emit("plain")
    socket.send("message")
    app.server.settle()
    own, everybody, other, binary, attachment, *rest = websocket.take()
    offsets = [offset_of(each) for each in (own, everybody, other, binary, *rest)]
    assert own == f'42["own",1,"{offsets[0]}"]'
    assert everybody == f'42["all","{offsets[1]}"]'
    assert other == f'42/other,["other",{{"a":"x"}},"{offsets[2]}"]'
    assert binary == f'451-["binary",{{"_placeholder":true,"num":0}},"text","{offsets[3]}"]'
    assert attachment == b"\x01"
    assert rest[0] == f'42["volatile","string","{offsets[4]}"]'
    # Volatile events are not kept: their offset is where the client is already.
    assert offsets[3] == offsets[4] == offsets[5]
    # All others have one of their own; that of another namespace is not of the same kind.
    assert len(set(offsets)) == len(offsets) - 2


def test_an_event_that_wants_an_acknowledgement_has_no_offset() -> None:
    app = App()
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    app.connected[0].emit_with_ack("own", "x")
    app.io.emit_with_ack("all", "x")
    app.server.settle()
    assert websocket.take() == ['420["own","x"]', '421["all","x"]']


def test_clients_of_socketio_2_get_neither_pid_nor_offset() -> None:
    app = App(allow_eio3=True)
    old = TestClient(app.server, revision=3)
    old.connect()
    new = app.client()
    app.io.emit("event", b"x", "text")
    app.io.volatile.emit("volatile")
    for socket in app.connected:
        socket.emit("own")
    expected = [["event", b"x", "text"], ["volatile"], ["own"]]
    assert app.events(old) == app.events(new) == expected
    assert old.pids == {}
    assert new.offsets != {}
    app.cut(old)
    assert app.io.sockets.adapter.holds_sessions() is False


def test_connect_comes_first_then_what_was_missed_then_what_is_new() -> None:
    app = App()
    app.io.on("connection")(lambda socket: socket.emit("new"))
    client = app.client()
    app.cut(client)
    app.io.emit("missed", b"\x02")
    pid, offset = client.pids["/"], client.offsets["/"]
    polling = RawPolling(app.server)
    polling.post(f'40{{"pid":"{pid}","offset":"{offset}"}}'.encode())
    response = polling.get()
    assert response is not None
    connect, missed, attachment, new = response.body.decode().split("\x1e")
    assert json.loads(connect[2:]) == {"sid": app.connected[0].id, "pid": pid}
    assert missed.startswith('451-["missed",')
    assert attachment == "bAg=="
    assert new.startswith('42["new",')


# Coming back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_comes_back_is_who_it_was(transport: str) -> None:
    app = App()
    client = app.client(transport)
    (first,) = app.connected
    first.join("room", "left")
    first.leave("left")
    first.data.user = {"name": "ann"}
    first.emit("before", 1)
    assert app.events(client) == [["before", 1]]
    app.cut(client)
    app.io.to("room").emit("missed", "to the room")
    app.io.emit("missed", "to all", b"binary")
    first.emit("missed", "to it")
    app.io.to("left").emit("never", "another room")
    app.io.except_("room").emit("never", "all but its room")
    app.io.to("room").except_(first.id).emit("never", "all but it")
    assert client.reconnect() is True
    second = app.connected[1]
    assert second is not first
    assert second.recovered
    assert not first.recovered
    assert second.id == first.id == client.id
    assert second.rooms == {first.id, "room"}
    assert second.data.user == {"name": "ann"}
    assert app.io.sockets.sockets == {first.id: second}
    app.io.to("room").emit("after")
    expected = [["missed", "to the room"], ["missed", "to all", b"binary"], ["missed", "to it"], ["after"]]
    assert app.events(client) == expected
    lost = "transport error" if transport == "polling" else "transport close"
    assert [name for name, _ in app.log] == ["connection", lost, "connection"]


def test_events_that_were_under_way_when_the_connection_broke_arrive_once() -> None:
    app = App()
    client = app.client()
    (link,) = client.engine.links
    app.io.emit("first")
    assert app.events(client) == [["first"]]
    link.stall()
    for number in range(5):
        app.io.emit("stuck", number)
    app.server.settle()
    app.cut(client)
    app.io.emit("after")
    assert client.reconnect() is True
    assert app.events(client) == [["stuck", number] for number in range(5)] + [["after"]]


def test_a_client_can_come_back_again_and_again() -> None:
    app = App()
    client = app.client()
    for number in range(5):
        app.cut(client)
        app.io.emit("missed", number)
        assert client.reconnect() is True
        assert app.events(client) == [["missed", number]]
    assert len({socket.id for socket in app.connected}) == 1
    assert len(set(client.pids.values())) == 1


def test_the_answer_was_lost_with_the_connection_too() -> None:
    """The server let it in and replayed; nothing arrived."""
    app = App()
    client = app.client()
    app.cut(client)
    app.io.emit("missed", 1)
    again = client.engine = TestClient(app.server).engine
    again.on_message = lambda message: None
    again.open()
    again.send("0" + json.dumps({"pid": client.pids["/"]}))
    app.server.settle()
    assert app.connected[-1].recovered
    app.io.emit("missed", 2)
    again.cut()
    app.server.settle()
    app.io.emit("missed", 3)
    assert client.reconnect() is True
    assert app.events(client) == [["missed", 1], ["missed", 2], ["missed", 3]]


def test_a_client_that_never_received_an_event_comes_back() -> None:
    app = App()
    for number in range(3):
        app.client()
        app.io.emit("earlier", number)
    client = app.client()
    app.cut(client)
    app.io.emit("missed")
    assert "/" not in client.offsets
    assert client.reconnect() is True
    assert app.events(client) == [["missed"]]


def test_a_client_that_was_quiet_for_hours_comes_back() -> None:
    """Its offset is older than everything that is kept."""
    app = App()
    client = app.client()
    other = app.client()
    app.connected[1].join("busy")
    app.connected[0].emit("long ago")
    for number in range(100):
        app.server.advance(60)
        app.io.to("busy").emit("tick", number)
    assert len(app.events(other)) == 100
    app.cut(client)
    app.io.to("busy").emit("tick")
    app.io.emit("missed")
    assert client.reconnect() is True
    assert app.events(client) == [["long ago"], ["missed"]]


def test_a_volatile_event_that_ends_with_a_string_does_no_harm() -> None:
    app = App()
    client = app.client()
    app.io.emit("before")
    app.connected[0].volatile.emit("volatile", "a string")
    assert app.events(client) == [["before"], ["volatile", "a string"]]
    app.cut(client)
    app.io.volatile.emit("volatile", "is not kept")
    app.io.emit("missed")
    assert client.reconnect() is True
    assert app.events(client) == [["missed"]]


def test_a_volatile_event_that_got_lost_is_not_missed() -> None:
    """The client has an offset that is not kept any more, and has got all that it must have."""
    app = App(limits=Limits(max_recovery_events=3))
    client = app.client()
    app.io.emit("known")
    assert app.events(client) == [["known"]]
    for _ in range(4):
        app.io.to("somebody else").emit("event")
    for link in client.engine.links:
        link.stall()
    app.io.volatile.emit("volatile")
    app.cut(client)
    assert client.reconnect() is True
    assert app.events(client) == []


def test_events_that_want_an_acknowledgement_are_not_replayed() -> None:
    app = App()
    client = app.client()
    (link,) = client.engine.links
    link.stall()
    ask = app.connected[0].emit_with_ack("question")
    app.io.emit("event")
    app.cut(client)
    assert ask.done
    assert client.reconnect() is True
    assert app.events(client) == [["event"]]


def test_an_emit_to_a_socket_that_is_away_waits_for_it() -> None:
    app = App()
    client = app.client()
    (socket,) = app.connected
    app.cut(client)
    socket.emit("away", 1)
    app.io.to(socket.id).emit("away", 2)
    socket.volatile.emit("away", "volatile")
    assert client.reconnect() is True
    # Whoever still has the old object reaches the client.
    socket.emit("back")
    assert app.events(client) == [["away", 1], ["away", 2], ["back"]]
    client.disconnect("/")
    app.server.settle()
    socket.emit("over")
    with pytest.raises(LocalProtocolError):
        socket.emit("connect")
    assert app.events(client) == []


def test_each_namespace_comes_back_on_its_own() -> None:
    app = App()
    other = app.io.of("/other")
    client = app.client()
    client.connect("/other")
    app.io.emit("main", 1)
    other.emit("other", 1)
    app.events(client)
    ids = dict(client.ids)
    app.cut(client)
    app.io.emit("main", 2)
    other.emit("other", 2)
    assert client.reconnect("/other") is True
    assert app.events(client) == [["other", 2]]
    assert client.reconnect("/") is True
    assert app.events(client) == [["main", 2]]
    assert client.ids == ids


# Rooms, as they were when an event was sent ----------------------------------------------------------------------


def test_events_from_before_it_joined_a_room_are_not_replayed() -> None:
    app = App()
    client = app.client()
    (socket,) = app.connected
    (link,) = client.engine.links
    link.stall()
    app.io.emit("stuck")
    app.io.to("room").emit("secret")
    socket.join("room")
    app.io.to("room").emit("for members")
    socket.leave("room")
    app.io.to("room").emit("secret")
    app.cut(client)
    app.io.to("room").emit("secret")
    assert client.reconnect() is True
    assert app.events(client) == [["stuck"], ["for members"]]


def test_more_room_changes_than_are_remembered_are_no_reason_to_guess() -> None:
    app = App()
    client = app.client()
    (socket,) = app.connected
    (link,) = client.engine.links
    link.stall()
    app.io.emit("stuck")
    for number in range(64):
        socket.join(f"room {number}")
    app.cut(client)
    assert client.reconnect() is False

    client = app.client()
    socket = app.connected[-1]
    for number in range(100):
        socket.join(f"room {number}")
    (link,) = client.engine.links
    link.stall()
    app.io.to("room 1").emit("stuck")
    app.cut(client)
    assert client.reconnect() is True
    assert app.events(client) == [["stuck"]]


# Why a connection has ended --------------------------------------------------------------------------------------


def test_only_disconnections_that_nobody_wanted_are_recovered() -> None:
    app = App(ping_interval=5, ping_timeout=5)
    outcomes: dict[str, bool] = {}

    def come_back(client: TestClient) -> None:
        app.server.settle()
        reason = app.log[-1][0]
        client.engine.cut()
        outcomes[reason] = client.reconnect()
        app.cut(client)

    client = app.client()
    client.engine.cut()
    come_back(client)
    client = app.client()
    client.engine.answers_pings = False
    app.server.advance(15)
    come_back(client)
    client = app.client()
    client.send_packet(4, "/", None, {})
    come_back(client)
    client = app.client()
    client.engine.send("9")
    come_back(client)
    client = app.client()
    client.engine.send_packet("2")
    come_back(client)
    client = app.client()
    client.disconnect("/")
    come_back(client)
    client = app.client()
    app.connected[-1].disconnect()
    come_back(client)
    client = app.client()
    app.io.disconnect_sockets(close=True)
    come_back(client)
    assert outcomes == {
        "transport close": True,
        "ping timeout": True,
        "forced server close": True,
        "forced close": True,
        "transport error": True,
        "client namespace disconnect": False,
        "server namespace disconnect": False,
    }
