"""What a client's socket sends and keeps: buffers and their bounds, volatile events, options of a single event."""

from __future__ import annotations

from typing import Any

import pytest

from fake_link import Client, Task
from siocore.client_events import ClientListenerFailed
from siocore.codec.message import TextMessage
from siocore.errors import AckTimeout, BufferFull, Disconnected, LocalProtocolError
from siocore.options import Limits


def test_events_wait_for_the_connection_and_leave_in_order_before_connect_is_told() -> None:
    client = Client()
    socket = client.manager.socket()
    data = {"n": 1}
    socket.emit("a", data)
    data["n"] = 2
    pending = socket.emit_with_ack("b", b"x")
    socket.compress(False).emit("c")
    client.link.opened()
    assert client.link.take() == ["0"]
    client.link.text('2["early"]')
    client.accept()
    assert client.link.take() == ['2["a",{"n":1}]', '51-0["b",{"_placeholder":true,"num":0}]', b"x", '2["c"]']
    assert [message.compress for message in client.link.messages if isinstance(message, TextMessage)] == [
        True,
        True,
        True,
        False,
    ]
    assert client.told() == [("early",), "connect"]
    client.link.text("30[1]")
    assert Task(pending).result == 1


def test_what_waits_is_bounded() -> None:
    client = Client(limits=Limits(max_buffered=100, high_water=10))
    socket = client.manager.socket()
    # One that is larger than all is let through.
    sent = socket.emit("x" * 150)
    with pytest.raises(BufferFull):
        socket.emit("y")
    with pytest.raises(BufferFull):
        socket.emit_with_ack("y")
    waiting = Task(sent)
    assert not waiting.done
    client.link.opened()
    client.accept()
    client.link.take()
    assert waiting.done
    socket.emit("y")
    pending = socket.emit_with_ack("z")
    assert client.link.take() == ['2["y"]', f'2{pending.id}["z"]']
    client.link.text(f"3{pending.id}[]")
    assert pending.done


def test_awaiting_an_event_that_waits_ends_when_the_socket_gives_up() -> None:
    client = Client(limits=Limits(high_water=10))
    socket = client.manager.socket()
    waiting = Task(socket.emit("x" * 150))
    assert not waiting.done
    socket.disconnect()
    assert waiting.done


def test_a_link_without_room_gets_the_rest_when_it_has_some_and_later_events_queue_behind() -> None:
    client = Client(limits=Limits(max_buffered=40))
    socket = client.manager.socket()
    socket.emit("first")
    socket.emit("second")
    client.link.opened()
    client.link.stuck = 30
    client.accept()
    assert client.link.take() == ["0"]
    socket.emit("third")
    socket.volatile.emit("dropped")
    assert client.link.take() == []
    client.link.flow()
    client.events()
    assert client.link.take() == ['2["first"]', '2["second"]', '2["third"]']
    socket.emit("fourth")
    assert client.link.take() == ['2["fourth"]']


def test_volatile_events_leave_now_or_never() -> None:
    client = Client()
    socket = client.manager.socket()
    socket.volatile.emit("before")
    client.link.opened()
    client.accept()
    client.link.is_writable = False
    socket.volatile.emit("stuck")
    client.link.is_writable = True
    socket.volatile.send("now")
    assert client.link.take() == ["0", '2["message","now"]']
    with pytest.raises(LocalProtocolError):
        socket.volatile.emit("connect")


@pytest.mark.parametrize(
    "emit",
    [
        lambda socket: socket.emit("connect"),
        lambda socket: socket.emit("disconnect", 1),
        lambda socket: socket.emit(object()),
        lambda socket: socket.emit("a", object()),
        lambda socket: socket.emit("a", *[b""] * 11),
        lambda socket: socket.emit_with_ack("newListener"),
        lambda socket: socket.emit_with_ack("a", *[b""] * 11),
        lambda socket: socket.compress(False).emit("connect_error"),
    ],
)
def test_what_can_not_be_sent_is_the_callers_error_at_once(emit: Any) -> None:
    client = Client()
    for socket in (client.manager.socket("/unconnected"), client.connected()):
        client.link.take()
        with pytest.raises(LocalProtocolError):
            emit(socket)
        assert client.link.take() == []


@pytest.mark.parametrize("namespace", ["admin", "/a,b", "/\x1e"])
def test_a_namespace_that_can_not_be_sent_is_the_callers_error(namespace: str) -> None:
    client = Client(auto_connect=False)
    with pytest.raises(LocalProtocolError):
        client.manager.socket(namespace)
    assert client.manager.sockets == {}


def test_auth_that_can_not_be_sent_is_the_callers_error() -> None:
    client = Client(auto_connect=False)
    with pytest.raises(LocalProtocolError):
        client.manager.socket("/", auth={"a": object()})


def test_pending_acknowledgements_are_bounded() -> None:
    client = Client(limits=Limits(max_pending_acks=2))
    socket = client.connected()
    socket.emit_with_ack("a", timeout=1)
    socket.emit_with_ack("a")
    with pytest.raises(LocalProtocolError, match="pending"):
        socket.emit_with_ack("a")
    client.advance(1)
    socket.emit_with_ack("a")


def test_a_timeout_takes_an_event_that_was_not_sent_out_of_the_buffer() -> None:
    client = Client(ack_timeout=5)
    socket = client.manager.socket()
    task = Task(socket.emit_with_ack("a"))
    longer = Task(socket.emit_with_ack("b", timeout=60))
    client.advance(5)
    with pytest.raises(AckTimeout):
        _ = task.result
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '21["b"]']
    assert not longer.done


def test_a_timeout_makes_room_in_the_buffer() -> None:
    client = Client(limits=Limits(max_buffered=30))
    socket = client.manager.socket()
    socket.emit_with_ack("a" * 20, timeout=1)
    with pytest.raises(BufferFull):
        socket.emit("b" * 20)
    client.advance(1)
    socket.emit("c")
    socket.emit("d" * 10)


def test_an_event_that_was_not_taken_waits_for_no_answer() -> None:
    client = Client(limits=Limits(max_buffered=30, max_pending_acks=1))
    socket = client.manager.socket()
    socket.emit("a" * 20)
    for _ in range(2):
        with pytest.raises(BufferFull):
            socket.emit_with_ack("b" * 20, timeout=1)
    assert len(client.hub.timers) == 0


def test_an_event_that_the_link_had_no_room_for_outlives_it() -> None:
    client = Client(limits=Limits(max_buffered=40))
    socket = client.manager.socket()
    sent, unsent = socket.emit_with_ack("a"), socket.emit_with_ack("b")
    client.link.opened()
    client.link.stuck = 30
    client.accept()
    assert client.link.take() == ["0", '20["a"]']
    client.link.lost()
    assert (sent.done, unsent.done) == (True, False)
    client.advance(1)
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '21["b"]']


def test_an_event_that_was_not_sent_outlives_a_connection_that_is_lost() -> None:
    client = Client()
    socket = client.connected()
    client.link.lost()
    task = Task(socket.emit_with_ack("a"))
    client.advance(1)
    client.link.refused()
    client.advance(2)
    client.link.opened()
    assert not task.done
    client.accept()
    client.link.text('30["late"]')
    assert task.result == "late"


def test_whoever_awaits_an_answer_learns_that_the_socket_has_given_up() -> None:
    client = Client()
    socket = client.manager.socket()
    awaited = Task(socket.emit_with_ack("a"))
    unawaited = socket.emit_with_ack("b")
    socket.emit("c")
    client.link.opened()
    client.link.text('4{"message":"no"}')
    with pytest.raises(Disconnected):
        _ = awaited.result
    with pytest.raises(Disconnected):
        _ = Task(unawaited).result
    socket.connect()
    client.link.opened()
    client.accept()
    # What nobody was told about is still sent.
    assert client.link.take() == ["0", '2["c"]']


def test_giving_up_the_wait_gives_up_the_answer_and_the_event_is_sent_all_the_same() -> None:
    client = Client()
    socket = client.manager.socket()
    task = Task(socket.emit_with_ack("a"))
    task.cancel()
    assert isinstance(task.error, KeyboardInterrupt)
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '20["a"]']
    client.link.text("30[]")
    assert client.told() == ["connect"]


def test_handlers_of_what_is_sent_are_called_when_it_is_sent() -> None:
    client = Client()
    socket = client.manager.socket()
    seen: list[tuple[object, ...]] = []

    @socket.on_any_outgoing
    def see(*data: object) -> None:
        seen.append(data)
        if data[0] == "bad":
            raise ValueError("from a handler")

    socket.emit("a", 1)
    assert seen == []
    client.link.opened()
    client.accept()
    assert seen == [("a", 1)]
    socket.emit("b")
    socket.emit_with_ack("c", 2)
    socket.volatile.emit("d")
    assert seen[1:] == [("b",), ("c", 2), ("d",)]
    client.events()
    socket.emit("bad")
    (event,) = client.events()
    assert isinstance(event, ClientListenerFailed)
    assert (event.name, str(event.error)) == ("bad", "from a handler")
    assert client.link.take()[-1] == '2["bad"]'
    socket.off_any_outgoing()
    socket.emit("e")
    assert len(seen) == 5


# auth -----------------------------------------------------------------------------------------------------------


def test_auth_that_is_a_function_is_asked_for_each_connection() -> None:
    client = Client(auth=dict)
    socket = client.manager.socket()
    client.link.opened()
    request = client.auth_requested()
    assert (request.socket, request.generation) == (socket, 1)
    assert client.link.take() == []
    with pytest.raises(LocalProtocolError):
        socket.authenticate(1, {"a": object()})
    with pytest.raises((TypeError, ValueError)):
        socket.authenticate(1, 5)
    socket.authenticate(1, {"a": 1})
    assert client.link.take() == ['0{"a":1}']
    # A second answer says nothing.
    socket.authenticate(1, {"a": 2})
    client.link.lost()
    client.advance(1)
    client.link.opened()
    assert client.auth_requested().generation == 2
    # An answer for a connection that is gone.
    socket.authenticate(1, {"a": 3})
    socket.authentication_failed(1, ValueError())
    assert client.link.take() == []
    socket.authenticate(2, None)
    assert client.link.take() == ["0"]


def test_auth_that_fails_is_an_error_and_ends_the_attempts() -> None:
    client = Client(auth=dict)
    socket = client.manager.socket()
    task = Task(socket.connect(retry=True))
    client.link.opened()
    client.auth_requested()
    socket.authentication_failed(1, ValueError("no token"))
    assert task.error is not None
    assert "no token" in str(task.error)
    assert not socket.active


def test_auth_may_be_changed_between_connections() -> None:
    client = Client(auth={"a": 1})
    socket = client.manager.socket()
    client.link.opened()
    assert client.link.take() == ['0{"a":1}']
    client.link.lost()
    socket.auth = {"a": 2}
    client.advance(1)
    client.link.opened()
    assert client.link.take() == ['0{"a":2}']
    client.link.lost()
    socket.auth = {"a": object()}
    client.advance(1)
    client.events()
    client.link.opened()
    assert [type(event).__name__ for event in client.events() if type(event).__name__ != "ManagerReported"] == [
        "SocketRefused"
    ]


# Retries --------------------------------------------------------------------------------------------------------


def test_with_retries_one_event_is_under_way_and_the_next_follows_its_acknowledgement() -> None:
    client = Client(retries=2, ack_timeout=5)
    socket = client.connected()
    first, second = Task(socket.emit("a")), Task(socket.emit_with_ack("b"))
    assert client.link.take() == ['20["a"]']
    client.link.text("30[]")
    assert first.done
    assert client.link.take() == ['21["b"]']
    client.link.text('31["answer"]')
    assert second.result == "answer"


def test_an_event_is_sent_again_until_its_tries_are_used_up() -> None:
    client = Client(retries=2, ack_timeout=5)
    socket = client.connected()
    task = Task(socket.emit("a"))
    following = Task(socket.emit("b"))
    client.advance(14.9)
    assert client.link.take() == ['20["a"]'] * 3
    assert not task.done
    client.advance(0.1)
    with pytest.raises(AckTimeout):
        _ = task.result
    assert client.link.take() == ['21["b"]']
    client.advance(5)
    # Late for the first try, in time for the second.
    client.link.text("31[]")
    assert following.done
    assert client.hub.timers.next_deadline() is None


def test_retries_wait_for_the_connection_and_go_on_with_the_next_one() -> None:
    client = Client(retries=1, ack_timeout=5)
    socket = client.manager.socket()
    socket.emit("a")
    task = Task(socket.emit("b"))
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '20["a"]']
    client.link.lost()
    client.advance(1)
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '20["a"]']
    client.link.text("30[]")
    assert client.link.take() == ['21["b"]']
    client.link.text("31[7]")
    assert task.result == 7
    # Volatile events are not for sure, and need no acknowledgement.
    socket.volatile.emit("c")
    assert client.link.take() == ['2["c"]']


def test_a_lost_connection_counts_as_a_try() -> None:
    client = Client(retries=1, ack_timeout=5)
    socket = client.connected()
    task = Task(socket.emit("a"))
    for _ in range(2):
        client.link.lost()
        # The time of the try is over, too: what is left is that of the next attempt to connect.
        assert len(client.hub.timers) == 1
        client.advance(10)
        client.link.opened()
        client.accept()
    with pytest.raises(Disconnected):
        _ = task.result


def test_what_waits_to_be_acknowledged_is_bounded() -> None:
    client = Client(retries=1, ack_timeout=5, limits=Limits(max_buffered=30))
    socket = client.connected()
    socket.emit("a")
    socket.emit("b")
    with pytest.raises(BufferFull):
        socket.emit("c" * 20)
    client.link.text("30[]")
    client.link.text("31[]")
    socket.emit("d" * 5)
    socket.emit("e" * 5)


def test_retries_that_are_awaited_end_with_the_socket_and_others_wait_for_it() -> None:
    client = Client(retries=1, ack_timeout=5)
    socket = client.manager.socket()
    socket.emit("kept")
    task = Task(socket.emit("awaited"))
    socket.disconnect()
    with pytest.raises(Disconnected):
        _ = task.result
    socket.connect()
    client.link.opened()
    client.accept()
    assert client.link.take() == ["0", '20["kept"]']
    client.link.text("30[]")
    assert client.link.take() == []
