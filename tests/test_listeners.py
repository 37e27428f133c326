"""Handlers on three levels: of a server or namespace, of one socket, and for everything; how they come and go."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from raw_client import RawPolling, RawWebSocket
from siocore import ConnectionRefused, LocalProtocolError, Server, Socket
from siocore.testing import TestClient, TestServer


class App:
    """A server with one client; ``seen`` is what handlers write down."""

    def __init__(self, transport: str = "websocket") -> None:
        self.io = Server()
        self.server = TestServer(self.io)
        self.seen: list[Any] = []
        self.client = TestClient(self.server, transport)
        self.client.connect()
        (self.socket,) = self.io.local_sockets()

    def note(self, what: str, answer: object = None) -> Callable[..., object]:
        def handler(*args: object) -> object:
            self.seen.append((what, *[arg for arg in args if not isinstance(arg, Socket)]))
            return answer

        return handler

    def emit(self, name: Any, *args: object) -> list[Any]:
        """Emit as the client, and take what was seen."""
        self.client.emit(name, *args)
        self.server.settle()
        seen, self.seen[:] = list(self.seen), []
        return seen


# Of a namespace ------------------------------------------------------------------------------------------------------


def test_once_is_called_for_one_event_of_any_socket() -> None:
    app = App()
    app.io.once("e")(app.note("once"))
    other = TestClient(app.server)
    other.connect()
    other.emit("e", 1)
    assert app.emit("e", 2) == [("once", 1)]
    assert app.io.listeners("e") == []


def test_once_is_called_once_although_two_events_wait_for_a_handler_in_front_of_it() -> None:
    app = App()
    gate = app.server.new_waiter()

    @app.io.on("e")
    async def wait(socket: Socket) -> None:
        await gate

    app.io.once("e")(app.note("once"))
    app.client.emit("e")
    assert app.emit("e") == []
    gate.wake()
    app.server.settle()
    assert app.seen == [("once",)]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_a_once_handler_returns_acknowledges(kind: str) -> None:
    app = App()

    async def later(socket: Socket) -> str:
        await app.server.clock.sleep(1)
        return "answer"

    app.io.once("ask")(later if kind == "async def" else app.note("once", "answer"))
    assert app.client.emit_with_ack("ask") == "answer"


def test_prepended_handlers_come_first() -> None:
    app = App()
    app.io.on("e")(app.note("second"))
    app.io.prepend("e")(app.note("first", "answer"))
    app.io.on("e")(app.note("third"))
    assert app.emit("e") == [("first",), ("second",), ("third",)]


def test_off_takes_away_one_handler_or_those_of_a_name_or_all() -> None:
    app = App()
    one, two, three = app.note("one"), app.note("two"), app.note("three")
    for handler in (one, two, one):
        app.io.on("e")(handler)
    app.io.once("e")(three)
    app.io.on("other")(three)
    assert app.io.listeners("e") == [one, two, one, three]
    app.io.off("e", one)
    app.io.off("e", three)
    app.io.off("e", lambda: None)
    assert app.io.listeners("e") == [two]
    assert app.emit("e") == [("two",)]
    app.io.off("e")
    assert app.emit("e") == []
    assert app.emit("other") == [("three",)]
    app.io.on_any(app.note("any"))
    app.io.off()
    assert app.emit("other") == [("any", "other")]
    with pytest.raises(LocalProtocolError, match="event's name"):
        app.io.off(handler=one)


def test_off_reaches_handlers_of_what_happens_to_sockets() -> None:
    app = App()
    leaves = app.note("disconnect")
    app.io.on("disconnect")(leaves)
    app.io.on("connect")(app.note("connect"))
    assert len(app.io.listeners("connection")) == 1
    app.io.off("disconnect", leaves)
    app.io.off("connection")
    TestClient(app.server).connect()
    app.client.engine.cut()
    app.server.settle()
    assert app.seen == []


def test_a_handler_that_takes_itself_away_does_not_disturb_the_others() -> None:
    app = App()

    def leave(socket: Socket) -> None:
        app.seen.append("leaving")
        app.io.off("e", leave)

    app.io.on("e")(leave)
    app.io.on("e")(app.note("stays"))
    assert app.emit("e") == ["leaving", ("stays",)]
    assert app.emit("e") == [("stays",)]


def test_catch_all_handlers_can_be_put_in_front_and_taken_away() -> None:
    app = App()
    first, second = app.note("first"), app.note("second", "no answer")
    app.io.on_any(second)
    app.io.prepend_any(first)
    app.io.on("e")(app.note("handler"))
    assert app.io.listeners_any() == [first, second]
    assert app.emit("e", 1) == [("first", "e", 1), ("second", "e", 1), ("handler", 1)]
    app.io.off_any(first)
    assert app.emit("f") == [("second", "f")]
    app.io.off_any()
    assert app.emit("f") == []


@pytest.mark.parametrize("number", [0, 1, -7, 2**40])
def test_names_may_be_integers(number: int) -> None:
    app = App()
    app.io.on(number)(app.note("number"))
    app.socket.on(number)(app.note("own"))
    app.io.on(str(number))(app.note("text"))
    assert app.emit(number, "x") == [("number", "x"), ("own", "x")]
    assert app.emit(str(number)) == [("text",)]
    app.socket.emit(number, 1)
    app.io.emit(number, 2)
    app.io.off(number)
    app.server.settle()
    assert [(event.name, *event.args) for event in app.client.events] == [(number, 1), (number, 2)]


@pytest.mark.parametrize("name", [None, True, 1.5, b"e", ("e",)])
def test_other_names_can_not_be_registered(name: Any) -> None:
    app = App()
    for place in (app.io, app.socket):
        for register in (place.on, place.once, place.prepend):
            with pytest.raises(LocalProtocolError, match="an event's name is a str"):
                register(name)(print)


# Of one socket -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_sockets_own_handlers_are_called_with_the_arguments_for_its_events_alone(transport: str) -> None:
    app = App(transport)
    app.socket.on("e")(app.note("own"))
    other = TestClient(app.server)
    other.connect()
    other.emit("e", "other")
    assert app.emit("e") == [("own",)]
    assert app.emit("e", 1) == [("own", 1)]
    assert app.emit("e", 1, [2], b"3") == [("own", 1, [2], b"3")]
    assert app.emit("f") == []


@pytest.mark.parametrize("kind", ["def", "async def", "suspends"])
def test_what_a_sockets_own_handler_returns_acknowledges(kind: str) -> None:
    app = App()

    async def answer(value: int) -> int:
        if kind == "suspends":
            await app.server.clock.sleep(1)
        return value + 1

    app.socket.on("ask")(answer if kind != "def" else lambda value: value + 1)
    assert app.client.emit_with_ack("ask", 1) == 2


def test_the_namespaces_handlers_come_first_and_the_first_value_acknowledges() -> None:
    app = App()
    app.socket.on_any(app.note("own any"))
    app.socket.on("e")(app.note("own", "second"))
    app.socket.prepend("e")(app.note("own first"))
    app.io.on("e")(app.note("shared"))
    app.io.on_any(app.note("shared any", "no answer"))
    assert app.client.emit_with_ack("e", 1) == "second"
    assert app.seen == [("shared any", "e", 1), ("own any", "e", 1), ("shared", 1), ("own first", 1), ("own", 1)]
    app.io.on("e")(app.note("shared", "first"))
    assert app.client.emit_with_ack("e") == "first"


def test_an_event_with_one_handler_is_answered_wherever_that_is() -> None:
    app = App()
    app.socket.on("own")(lambda: "own")
    app.io.on("shared")(lambda socket: "shared")
    assert app.client.emit_with_ack("own") == "own"
    assert app.client.emit_with_ack("shared") == "shared"


def test_a_sockets_own_handlers_come_and_go_like_the_others() -> None:
    app = App()
    one, two = app.note("one"), app.note("two")
    assert app.socket.listeners("e") == app.socket.listeners_any() == app.socket.listeners_any_outgoing() == []
    app.socket.off("e")
    app.socket.off_any()
    app.socket.off_any_outgoing()
    app.socket.once("e")(one)
    app.socket.on("e")(two)
    app.socket.on_any(two)
    app.socket.prepend_any(one)
    assert (app.socket.listeners("e"), app.socket.listeners_any()) == ([one, two], [one, two])
    assert app.emit("e") == [("one", "e"), ("two", "e"), ("one",), ("two",)]
    app.socket.off_any(one)
    assert app.emit("e") == [("two", "e"), ("two",)]
    app.socket.off("e", two)
    app.socket.off_any()
    assert app.emit("e") == []


def test_handlers_are_registered_in_a_connection_handler_as_in_javascript() -> None:
    io = Server()
    server = TestServer(io)
    seen: list[object] = []

    @io.on("connection")
    def connected(socket: Socket) -> None:
        @socket.on("hello")
        def hello(name: str) -> str:
            return f"hello {name} in {socket.id}"

        @socket.on("disconnect")
        def gone(reason: str) -> None:
            seen.append((socket.id, reason, set(socket.rooms)))

        @socket.on("disconnecting")
        async def going(reason: str) -> None:
            seen.append((socket.id, reason, set(socket.rooms)))

    clients = [TestClient(server) for _ in range(2)]
    for client in clients:
        client.connect()
        assert client.emit_with_ack("hello", "ann") == f"hello ann in {client.id}"
    number = clients[0].id
    clients[0].disconnect("/")
    server.settle()
    reason = "client namespace disconnect"
    assert seen == [(number, reason, {number}), (number, reason, set())]


def test_a_socket_has_no_connection_of_its_own_to_wait_for() -> None:
    app = App()
    for name in ("connection", "connect"):
        with pytest.raises(LocalProtocolError, match="it is connected when handlers get it"):
            app.socket.on(name)(print)


def test_an_error_in_a_sockets_own_handler_is_logged_and_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    errors: list[tuple[str, object, str]] = []
    app.io.on_error(lambda error, socket, name: errors.append((str(error), socket, name)))

    def fails(*args: object) -> None:
        raise ValueError("own")

    app.socket.on("e")(fails)
    with caplog.at_level(logging.ERROR):
        app.emit("e")
        app.socket.on_any(fails)
        app.socket.on("e")(app.note("other"))
        assert app.emit("e") == [("other",)]
    assert errors == [("own", app.socket, "e")] * 3
    assert len(caplog.records) == 3


@pytest.mark.parametrize("end", ["cut", "kicked", "refused", "cut early"])
def test_a_socket_with_handlers_of_its_own_is_not_left_to_the_garbage_collector(end: str) -> None:
    io = Server()
    server = TestServer(io)
    sockets: list[weakref.ref[Socket]] = []

    class Marked:
        pass

    @io.use
    def register(socket: Socket) -> None:
        socket.data.mark = mark = Marked()
        sockets.append(weakref.ref(mark))  # type: ignore[arg-type]
        # Each refers to the socket.
        socket.on("e")(lambda: socket)
        socket.once("disconnect")(lambda reason: socket)
        socket.on_any_outgoing(lambda name, *args: socket)
        socket.use(lambda name, args: socket)
        if end == "refused":
            raise ConnectionRefused("no")
        if end == "cut early":
            client.engine.cut()

    gc.collect()
    gc.disable()
    try:
        client = TestClient(server)
        if end == "refused":
            with pytest.raises(ConnectionRefused):
                client.connect()
        elif end == "cut early":
            client.engine.open()
            client.join()
            server.settle()
        else:
            client.connect()
            client.emit("e")
            server.settle()
            if end == "cut":
                client.engine.cut()
            else:
                io.disconnect_sockets()
        server.settle()
        assert len(sockets) == 1
        assert sockets[0]() is None
        assert not io.sockets.tapped
    finally:
        gc.enable()


# What is sent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_outgoing_handlers_see_what_is_sent_to_their_socket(transport: str) -> None:
    app = App(transport)
    app.io.on("ask")(lambda socket: "an acknowledgement is no event")
    app.socket.on_any_outgoing(app.note("second"))
    app.socket.prepend_any_outgoing(app.note("first"))
    other = TestClient(app.server)
    other.connect()
    app.socket.emit("one", 1, b"x")
    app.socket.compress(False).emit("two")
    app.socket.send("three")
    app.io.emit("all", 4)
    app.io.to(other.id).emit("not for it")
    app.io.to(app.socket.id).emit("room")
    pending = app.socket.emit_with_ack("question")
    both = app.io.emit_with_ack("question to all")
    expected = [("one", 1, b"x"), ("two",), ("message", "three"), ("all", 4), ("room",)]
    expected += [("question",), ("question to all",)]
    assert app.seen == [(which, *event) for event in expected for which in ("first", "second")]
    app.seen.clear()
    assert app.client.emit_with_ack("ask") == "an acknowledgement is no event"
    app.client.engine.cut()
    app.server.settle()
    app.socket.emit("gone")
    assert app.seen == []
    assert pending.done
    both.cancel()


def test_what_a_socket_that_is_not_in_yet_sends_is_not_seen() -> None:
    app = App()

    @app.io.use
    def early(socket: Socket) -> None:
        socket.on_any_outgoing(app.note("sent"))
        socket.emit("early")

    client = TestClient(app.server)
    client.connect()
    app.io.emit("later")
    assert app.seen == [("sent", "later")]


def test_a_volatile_event_that_is_dropped_is_not_seen() -> None:
    app = App()
    polling = RawPolling(app.server)
    polling.post(b"40")
    socket = next(each for each in app.io.local_sockets() if each is not app.socket)
    socket.on_any_outgoing(app.note("sent"))
    # There is no GET to take it.
    socket.volatile.emit("one")
    app.io.volatile.emit("two")
    assert app.seen == []
    polling.get()
    polling.get()
    socket.volatile.emit("three")
    assert app.seen == [("sent", "three")]


def test_outgoing_handlers_come_and_go() -> None:
    app = App()
    one, two = app.note("one"), app.note("two")
    app.socket.on_any_outgoing(one)
    app.socket.on_any_outgoing(two)
    assert app.socket.listeners_any_outgoing() == [one, two]
    app.socket.off_any_outgoing(one)
    app.io.emit("e")
    app.socket.off_any_outgoing()
    app.io.emit("e")
    app.socket.emit("e")
    assert app.seen == [("two", "e")]
    assert not app.io.sockets.tapped

    async def coroutine(name: str) -> None: ...

    for register in (app.socket.on_any_outgoing, app.socket.prepend_any_outgoing):
        with pytest.raises(LocalProtocolError, match="plain function"):
            register(coroutine)


def test_an_outgoing_handler_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    errors: list[tuple[str, object, str]] = []
    app.io.on_error(lambda error, socket, name: errors.append((str(error), socket, name)))

    def fails(name: str) -> None:
        raise ValueError("outgoing")

    app.socket.on_any_outgoing(fails)
    app.socket.on_any_outgoing(app.note("other"))
    with caplog.at_level(logging.ERROR):
        app.socket.emit("one")
        app.io.emit("two")
        app.server.settle()
    assert [app.client.receive().name for _ in range(2)] == ["one", "two"]
    assert app.seen == [("other", "one"), ("other", "two")]
    assert errors == [("outgoing", app.socket, "one"), ("outgoing", app.socket, "two")]
    assert len(caplog.records) == 2


@pytest.mark.parametrize("how", ["emit", "broadcast", "ask"])
def test_an_outgoing_handler_may_disconnect_the_socket_and_nothing_more_is_sent(how: str) -> None:
    app = App()
    websocket = RawWebSocket(app.server)
    websocket.send("40")
    socket = next(each for each in app.io.local_sockets() if each is not app.socket)
    socket.on_any_outgoing(lambda name: socket.disconnect())
    if how == "emit":
        socket.emit("e")
    elif how == "ask":
        assert socket.emit_with_ack("e").done
    else:
        app.io.emit("e")
        assert app.client.receive().name == "e"
    app.server.settle()
    assert websocket.take() == ["41"]


# Middleware of a socket ----------------------------------------------------------------------------------------------


def test_a_sockets_middleware_sees_every_event_before_any_handler() -> None:
    app = App()
    app.socket.use(lambda name, args: app.seen.append(("first", name, list(args))))

    @app.socket.use
    async def second(name: str, args: list[object]) -> None:
        app.seen.append(("second", name))
        args.append("added")

    app.io.on_any(app.note("any"))
    app.io.on("e")(app.note("shared"))
    app.socket.on("e")(app.note("own"))
    assert app.emit("e", 1) == [
        ("first", "e", [1]),
        ("second", "e"),
        ("any", "e", 1, "added"),
        ("shared", 1, "added"),
        ("own", 1, "added"),
    ]
    app.io.off_any()
    # Also one that nobody handles.
    assert app.emit("unknown") == [("first", "unknown", []), ("second", "unknown")]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_exception_stops_the_event_and_goes_to_the_sockets_error_handlers(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    app.io.on_error(lambda error, socket, name: app.seen.append("hook"))

    def refuse(name: str, args: list[object]) -> None:
        if name == "forbidden":
            raise PermissionError("not you")

    async def refuse_later(name: str, args: list[object]) -> None:
        await app.server.clock.sleep(1)
        refuse(name, args)

    app.socket.use(refuse if kind == "def" else refuse_later)
    app.socket.use(lambda name, args: app.seen.append("second"))
    app.socket.on("error")(lambda error: app.seen.append(("error", str(error))))
    app.io.on_any(app.note("any"))
    app.socket.on("forbidden")(app.note("handler", "answer"))
    app.client.emit("forbidden", ack=lambda *args: app.seen.append("acknowledged"))
    app.server.advance(2)
    assert app.seen == [("error", "not you")]
    assert caplog.records == []
    app.client.emit("allowed")
    app.server.advance(2)
    assert app.seen[1:] == ["second", ("any", "allowed")]
    assert app.client.connected


def test_an_exception_that_no_error_handler_takes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.io.on_error(lambda error, socket, name: app.seen.append((str(error), socket, name)))

    @app.socket.use
    def refuse(name: str, args: list[object]) -> None:
        raise PermissionError("not you")

    app.socket.on("e")(app.note("handler"))
    with caplog.at_level(logging.ERROR):
        assert app.emit("e") == [("not you", app.socket, "e")]
    assert len(caplog.records) == 1


def test_a_client_can_not_reach_the_error_handlers_of_a_socket() -> None:
    app = App()
    app.socket.on("error")(app.note("error"))
    app.socket.on("disconnecting")(app.note("disconnecting"))
    app.io.on("error")(app.note("an ordinary event"))
    assert app.emit("error", "forged") == [("an ordinary event", "forged")]


def test_an_event_whose_client_went_while_its_middleware_waited_is_not_handled() -> None:
    app = App()
    gate = app.server.new_waiter()

    @app.socket.use
    async def wait(name: str, args: list[object]) -> None:
        await gate

    app.socket.on("e")(app.note("handler"))
    app.emit("e")
    app.client.engine.cut()
    app.server.settle()
    gate.wake()
    app.server.settle()
    assert app.seen == []
    assert app.server.running == 0


def test_an_event_in_front_of_the_disconnection_passes_a_middleware_that_does_not_wait() -> None:
    io = Server()
    server = TestServer(io, batch=True)
    seen: list[str] = []

    @io.on("connection")
    def connected(socket: Socket) -> None:
        socket.use(lambda name, args: None)
        socket.on("e")(lambda: seen.append("handled"))

    websocket = RawWebSocket(server)
    websocket.send("40")
    websocket.send('42["e"]', "41")
    assert seen == ["handled"]


def test_a_sockets_middleware_counts_as_a_handler_that_runs() -> None:
    app = App()
    gate = app.server.new_waiter()

    @app.socket.use
    async def wait(name: str, args: list[object]) -> None:
        await gate

    limit = app.io.options.limits.max_running_handlers
    for _ in range(limit + 5):
        app.client.emit("e")
    app.server.settle()
    assert app.socket.link.running == limit
    gate.wake()
    app.server.settle()
    assert app.socket.link.running == 0
