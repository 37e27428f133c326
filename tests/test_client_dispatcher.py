"""Which handlers a client's events call, what becomes of what they return, and that nothing they raise gets out."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from siocore.application.calls import Calls
from siocore.application.client_dispatcher import ClientDispatcher
from siocore.client_events import (
    AuthRequested,
    ClientEvent,
    ClientListenerFailed,
    ManagerReported,
    SocketClosed,
    SocketConnected,
    SocketRefused,
)
from siocore.errors import ConnectError
from siocore.link import ClientLink
from siocore.options import Limits
from siocore.request import Request
from siocore.socketio.listeners import Listeners
from siocore.socketio.listening import Listening

LIFECYCLE: dict[object, str | None] = {name: name for name in ("connect", "connect_error", "disconnect", "error")}
REPORTS: dict[object, str | None] = {name: name for name in ("open", "reconnect_attempt")}


class StillLink(ClientLink):
    """A link on which nothing happens."""

    max_held = 1000

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Place(Listening):
    """What the dispatcher knows of a socket."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.link = StillLink(Request("GET", "/socket.io/", []))
        self.manager = types.SimpleNamespace(options=types.SimpleNamespace(limits=limits), registered=None)
        self.connected = True
        self.auth: object = None
        self.kept: list[object] = []
        self.acks: list[tuple[int | None, tuple[object, ...]]] = []
        self.answers: list[tuple[str, int, object]] = []

    def keep(self, event: ClientEvent) -> None:
        self.kept.append(event.name)

    def acknowledge_event(self, event: ClientEvent, args: tuple[object, ...]) -> None:
        self.acks.append((event.ack_id, args))

    def authenticate(self, generation: int, value: object) -> None:
        if value == "bad":
            raise TypeError("auth must be a dict")
        self.answers.append(("auth", generation, value))

    def authentication_failed(self, generation: int, error: BaseException) -> None:
        self.answers.append(("failed", generation, error))

    def _listeners(self) -> Listeners:
        if self.registered is None:
            self.registered = Listeners(LIFECYCLE)
        return self.registered


@types.coroutine
def suspend() -> Generator[str, Any, Any]:
    return (yield "suspended")


class App:
    """A dispatcher whose coroutines are driven by hand, in order."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.calls = Calls()
        self.dispatcher = ClientDispatcher(self.calls)
        self.socket = Place(limits or Limits())
        #: The same, for events.
        self.subject: Any = self.socket
        self.tasks: deque[Any] = deque()
        self.errors: list[tuple[str, str]] = []
        self.calls.on_error(lambda error, subject, name: self.errors.append((str(error), name)))

    def push(self, event: object) -> bool:
        """Returns whether there was something to await."""
        call = self.dispatcher.dispatch(event)
        if call is None:
            return False
        try:
            call.send(None)
        except StopIteration:
            return True
        self.tasks.append(call)
        return True

    def receive(self, name: str, *args: object, ack_id: int | None = None) -> bool:
        return self.push(ClientEvent(self.subject, name, list(args), ack_id))

    def wake(self) -> None:
        """Let the oldest task go on."""
        task = self.tasks.popleft()
        try:
            task.send(None)
        except StopIteration:
            return
        self.tasks.append(task)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def seen() -> list[object]:
    return []


# Events ---------------------------------------------------------------------------------------------------------


def test_a_plain_handler_is_called_at_once_with_the_arguments(app: App, seen: list[object]) -> None:
    app.socket.on("news")(lambda *args: seen.append(args))

    assert app.receive("news", 1, b"\0") is False
    assert seen == [(1, b"\0")]
    assert app.socket.kept == []


def test_what_a_handler_returns_is_the_acknowledgement_if_the_server_waits_for_one(app: App) -> None:
    app.socket.on("one")(lambda: "x")
    app.socket.on("two")(lambda: (1, 2))
    app.socket.on("none")(lambda: None)

    app.receive("one", ack_id=5)
    app.receive("one")
    app.receive("two", ack_id=6)
    app.receive("none", ack_id=7)

    assert app.socket.acks == [(5, ("x",)), (6, (1, 2))]


def test_a_coroutine_that_never_suspends_leaves_nothing_to_await(app: App) -> None:
    @app.socket.on("sum")
    async def add(a: int, b: int) -> int:
        return a + b

    assert app.receive("sum", 1, 2, ack_id=0) is False
    assert app.socket.acks == [(0, (3,))]


def test_a_coroutine_that_suspends_acknowledges_when_it_returns(app: App) -> None:
    @app.socket.on("slow")
    async def slow() -> str:
        await suspend()
        return "done"

    assert app.receive("slow", ack_id=1) is True
    assert app.socket.acks == []
    assert app.socket.link.running == 1
    app.wake()
    assert app.socket.acks == [(1, ("done",))]
    assert app.socket.link.running == 0


def test_any_awaitable_that_a_handler_returns_is_awaited(app: App) -> None:
    class Answer:
        def __await__(self) -> Generator[Any, Any, str]:
            yield "suspended"
            return "late"

    app.socket.on("ask")(lambda: Answer())

    app.receive("ask", ack_id=2)
    app.wake()
    assert app.socket.acks == [(2, ("late",))]


def test_the_first_value_of_several_handlers_is_the_acknowledgement(app: App, seen: list[object]) -> None:
    app.socket.on("x")(lambda: seen.append("first"))
    app.socket.on("x")(lambda: "second")
    app.socket.on("x")(lambda: "third")

    app.receive("x", ack_id=3)

    assert seen == ["first"]
    assert app.socket.acks == [(3, ("second",))]


def test_a_handler_registered_with_once_sees_one_event(app: App, seen: list[object]) -> None:
    app.socket.once("x")(seen.append)

    app.receive("x", 1)
    app.receive("x", 2)

    assert seen == [1]
    assert app.socket.kept == ["x"]


def test_an_event_without_a_handler_of_its_name_is_kept(app: App) -> None:
    app.receive("before")
    app.socket.on("other")(lambda: None)
    app.receive("after")

    assert app.socket.kept == ["before", "after"]


def test_catch_all_handlers_come_first_and_take_nothing_from_the_inbox(app: App, seen: list[object]) -> None:
    app.socket.on_any(lambda *args: seen.append(("any", *args)))
    app.socket.on("known")(lambda *args: seen.append(args))

    app.receive("known", 1)
    app.receive("unknown", 2)

    assert seen == [("any", "known", 1), (1,), ("any", "unknown", 2)]
    assert app.socket.kept == ["unknown"]


def test_middleware_can_change_the_arguments_and_stop_an_event(app: App, seen: list[object]) -> None:
    @app.socket.use
    def check(name: str, args: list[object]) -> None:
        if name == "secret":
            raise PermissionError("not for you")
        args.append("checked")

    app.socket.on("news")(lambda *args: seen.append(args))

    app.receive("news", 1)
    app.receive("secret")

    assert seen == [(1, "checked")]
    assert app.socket.kept == []
    assert app.errors == [("not for you", "secret")]


def test_a_middleware_error_goes_to_the_error_handlers_if_there_are_any(app: App, seen: list[object]) -> None:
    @app.socket.use
    async def check(name: str, args: list[object]) -> None:
        raise PermissionError("no")

    app.socket.on("error")(lambda error: seen.append(str(error)))
    app.receive("x")

    assert seen == ["no"]
    assert app.errors == []
    assert app.socket.kept == []


# Limits ---------------------------------------------------------------------------------------------------------


def test_above_the_limit_of_running_handlers_events_wait_in_order(seen: list[object]) -> None:
    app = App(Limits(max_running_handlers=2))

    @app.socket.on("job")
    async def job(number: int) -> None:
        seen.append(number)
        await suspend()

    for number in range(5):
        app.receive("job", number)
    assert seen == [0, 1]
    assert app.socket.link.running == 2

    while app.tasks:
        app.wake()
    assert seen == [0, 1, 2, 3, 4]
    assert app.socket.link.running == 0


def test_what_waits_is_kept_for_receive_if_its_handler_has_gone_meanwhile(seen: list[object]) -> None:
    app = App(Limits(max_running_handlers=1))

    @app.socket.on("job")
    async def job() -> None:
        await suspend()

    app.receive("job")
    app.receive("job")
    app.socket.off()
    app.wake()

    assert app.socket.kept == ["job"]
    assert app.socket.link.running == 0


@pytest.mark.parametrize(("reason", "handled"), [("io client disconnect", [1]), ("transport close", [1, 2])])
def test_what_waits_when_the_socket_closes_is_handled_unless_we_closed_it(
    seen: list[object], reason: str, handled: list[int]
) -> None:
    app = App(Limits(max_running_handlers=1))

    @app.socket.on("job")
    async def job(number: int) -> None:
        seen.append(number)
        await suspend()

    app.receive("job", 1)
    app.receive("job", 2)
    app.push(SocketClosed(app.subject, reason, ""))
    while app.tasks:
        app.wake()

    assert seen == handled


def test_handlers_are_counted_on_the_link_that_they_began_on(app: App) -> None:
    @app.socket.on("job")
    async def job() -> None:
        await suspend()

    first = app.socket.link
    app.receive("job")
    app.socket.link = Place(Limits()).link
    app.wake()

    assert (first.running, app.socket.link.running) == (0, 0)


# Errors ---------------------------------------------------------------------------------------------------------


def test_what_a_handler_raises_goes_to_the_hooks_and_stops_nothing(app: App, seen: list[object]) -> None:
    @app.socket.on("plain")
    def plain() -> None:
        raise ValueError("plain")

    @app.socket.on("direct")
    async def direct() -> None:
        raise ValueError("direct")

    @app.socket.on("late")
    async def late() -> None:
        await suspend()
        raise ValueError("late")

    app.socket.on("both")(plain)
    app.socket.on("both")(lambda: seen.append("both"))

    for name in ("plain", "direct", "late", "both"):
        app.receive(name, ack_id=1)
    app.wake()

    assert app.errors == [("plain", "plain"), ("direct", "direct"), ("plain", "both"), ("late", "late")]
    assert seen == ["both"]
    assert app.socket.acks == []
    assert app.socket.link.running == 0


def test_a_hook_can_be_a_coroutine(app: App, seen: list[object]) -> None:
    @app.calls.on_error
    async def hook(error: Exception, subject: object, name: str) -> None:
        await suspend()
        seen.append((subject is app.socket, name))

    app.socket.on("x")(lambda: 1 / 0)
    assert app.receive("x") is True
    app.wake()
    assert seen == [(True, "x")]


def test_wrong_arguments_from_the_server_are_an_error_of_the_handler(app: App) -> None:
    app.socket.on("pair")(lambda a, b: None)

    app.receive("pair", 1)

    assert app.errors[0][1] == "pair"


def test_a_failed_outgoing_listener_is_reported(app: App) -> None:
    app.push(ClientListenerFailed(app.subject, "news", ValueError("tap")))

    assert app.errors == [("tap", "news")]


# Connections ----------------------------------------------------------------------------------------------------


def test_lifecycle_handlers_get_what_javascript_s_get(app: App, seen: list[object]) -> None:
    error = ConnectError("no entry", {"retry": False})
    app.socket.on("connect")(lambda: seen.append("connect"))
    app.socket.on("connect_error")(seen.append)
    app.socket.on("disconnect")(lambda reason, detail: seen.append((reason, detail)))

    app.push(SocketConnected(app.subject))
    app.push(SocketRefused(app.subject, error))
    app.push(SocketClosed(app.subject, "transport close", "the server closed the connection"))

    assert seen == ["connect", error, ("transport close", "the server closed the connection")]


def test_lifecycle_events_without_handlers_leave_nothing_to_await(app: App) -> None:
    for registered in (None, Listeners(LIFECYCLE)):
        app.socket.registered = registered
        assert app.push(SocketConnected(app.subject)) is False
        assert app.push(SocketClosed(app.subject, "ping timeout", "late")) is False
    assert app.push(ManagerReported(app.subject.manager, "open", ())) is False


def test_an_event_of_the_server_named_connect_reaches_no_lifecycle_handler(app: App, seen: list[object]) -> None:
    app.socket.on("connect")(lambda: seen.append("connect"))

    app.receive("connect")

    assert seen == []


def test_what_managers_report_goes_to_their_handlers_without_the_manager(app: App, seen: list[object]) -> None:
    manager = app.subject.manager
    manager.registered = Listeners(REPORTS)
    manager.registered.add("reconnect_attempt", seen.append, False)

    app.push(ManagerReported(manager, "reconnect_attempt", (3,)))

    assert seen == [3]


async def _late_auth() -> dict[str, str]:
    await suspend()
    return {"token": "late"}


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        (lambda: {"token": "now"}, {"token": "now"}),
        (_late_auth, {"token": "late"}),
        ({"token": "value"}, {"token": "value"}),
    ],
)
def test_auth_is_asked_and_awaited(app: App, auth: Callable[[], object] | object, value: object) -> None:
    app.socket.auth = auth

    app.push(AuthRequested(app.subject, 4))
    if app.tasks:
        app.wake()

    assert app.socket.answers == [("auth", 4, value)]


async def _failing_auth() -> None:
    raise ValueError("no token")


@pytest.mark.parametrize(
    ("auth", "error"),
    [(lambda: 1 / 0, "division by zero"), (_failing_auth, "no token"), (lambda: "bad", "auth must be a dict")],
)
def test_auth_that_fails_is_told_to_the_socket_and_the_hooks(
    app: App, auth: Callable[[], Awaitable[None]], error: str
) -> None:
    app.socket.auth = auth

    app.push(AuthRequested(app.subject, 7))

    [(kind, generation, raised)] = app.socket.answers
    assert (kind, generation, str(raised)) == ("failed", 7, error)
    assert app.errors == [(error, "auth")]


def test_auth_that_is_cancelled_does_not_leave_the_socket_waiting(app: App) -> None:
    app.socket.auth = _late_auth
    app.push(AuthRequested(app.subject, 1))

    with pytest.raises(KeyboardInterrupt):
        app.tasks.popleft().throw(KeyboardInterrupt())

    assert app.socket.answers[0][:2] == ("failed", 1)
