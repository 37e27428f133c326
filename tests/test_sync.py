"""The client for blocking code against a server in another thread, on real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio

import siocore
import siocore.sync
import siocore.trio
from interrupts import interrupt_next_wait
from siocore.errors import AckTimeout, ConnectError, ConnectionRefused, Disconnected, LocalProtocolError
from siocore.sync._client import Client
from siocore.sync._host import BlockingHost

EACH_TRANSPORT = pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
#: Only reached by a test that fails.
LONG = 20


class Served:
    """A server, and a way to do something in its thread."""

    def __init__(self, io: Any) -> None:
        self.io = io
        self.url = ""
        self._scope = trio.CancelScope()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._main])

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(LONG)
        return self

    def __exit__(self, *_: object) -> None:
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                [address] = await nursery.start(self._serve)
                self.url = f"http://127.0.0.1:{address[1]}"
                self._ready.set()

    async def _serve(self, task_status: trio.TaskStatus[Any]) -> None:
        await siocore.trio.serve(self.io, "127.0.0.1", 0, grace=0, task_status=task_status)


def make_server() -> siocore.Server:
    io = siocore.Server()

    @io.on("connection")
    def connected(socket: siocore.Socket) -> None:
        socket.emit("welcome", socket.id, socket.handshake.auth)

    @io.on("echo")
    def echo(socket: siocore.Socket, *args: Any) -> Any:
        return args

    @io.on("say")
    def say(socket: siocore.Socket, name: str, *args: Any) -> None:
        socket.emit(name, *args)

    @io.on("ask me")
    async def ask(socket: siocore.Socket, *args: Any) -> None:
        socket.emit("answered", await socket.emit_with_ack("question", *args, timeout=LONG))

    @io.on("drop")
    def drop(socket: siocore.Socket) -> None:
        socket.link.close()

    @io.on("put out")
    def put_out(socket: siocore.Socket) -> None:
        socket.disconnect()

    @io.on("silence")
    async def silence(socket: siocore.Socket) -> None:
        await trio.sleep_forever()

    @io.of("/admin").use
    def check(socket: siocore.Socket) -> None:
        if socket.handshake.auth.get("token") != "s3cret":
            raise ConnectionRefused("not authorized", {"retry": False})

    @io.of("/admin").on("echo")
    def admin_echo(socket: siocore.Socket, *args: Any) -> Any:
        return ("admin", *args)

    return io


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Served(make_server()) as served:
        yield served.url


def connect(url: str, **options: Any) -> siocore.sync.Socket:
    quick = {"transports": ["websocket"], "reconnection_delay": 0.001, "reconnection_delay_max": 0.001}
    return siocore.sync.connect(url, **{**quick, **options})


# Events ---------------------------------------------------------------------------------------------------------


@EACH_TRANSPORT
def test_events_acknowledgements_and_binary_both_ways(url: str, transports: list[str]) -> None:
    with connect(url, transports=transports, auth={"name": "ada"}) as socket:
        assert socket.connected
        assert socket.receive("welcome").args == [socket.id, {"name": "ada"}]
        assert socket.emit_with_ack("echo", 1, b"\0\1", {"deep": [b"\2"]}) == (1, b"\0\1", {"deep": [b"\2"]})
        assert socket.emit_with_ack("echo", "one") == "one"
        socket.emit("say", "news", b"x", None)
        assert socket.receive("news", LONG).args == [b"x", None]
        socket.emit("say", "message", "hi")
        assert socket.timeout(LONG).emit_with_ack("echo", 2) == 2
        assert socket.receive().args == ["hi"]
    assert not socket.connected
    assert not socket.active


def test_polling_goes_over_to_websocket_while_calls_block(url: str) -> None:
    with connect(url, transports=["polling", "websocket"], auto_connect=False) as socket:
        upgraded: list[str] = []
        socket.manager.on("upgrade")(lambda transport: upgraded.append(transport))
        socket.connect()
        while socket.manager.transport == "polling":
            socket.emit_with_ack("echo", 1, timeout=LONG)
        assert upgraded == ["websocket"]


def test_handlers_run_while_a_call_blocks(url: str) -> None:
    seen: list[Any] = []
    with connect(url, auto_connect=False) as socket:
        assert not socket.active

        @socket.on("connect")
        def connected() -> None:
            seen.append("connect")

        @socket.on("welcome")
        def welcome(sid: str, auth: object) -> None:
            seen.append(sid)
            # Without blocking, a handler may send.
            socket.emit("say", "done")

        socket.on("disconnect")(lambda reason, detail: seen.append(reason))
        socket.connect()
        assert socket.receive("done", LONG).args == []
        assert seen == ["connect", socket.id]
    assert seen[-1] == "io client disconnect"


def test_what_a_handler_returns_or_an_event_acknowledges_reaches_the_server(url: str) -> None:
    with connect(url) as socket:
        socket.on("question")(lambda number: number * 2)
        socket.emit("ask me", 21)
        assert socket.receive("answered", LONG).args == [42]
        socket.off("question")
        socket.emit("ask me", 1)
        question = socket.receive("question", LONG)
        assert question.ack_id is not None
        question.acknowledge("by hand")
        assert socket.receive("answered", LONG).args == ["by hand"]
        with pytest.raises(LocalProtocolError):
            question.acknowledge("again")


def test_a_loop_over_events_ends_with_silence_or_with_the_socket(url: str) -> None:
    with connect(url) as socket:
        socket.receive("welcome", LONG)
        for number in range(3):
            socket.emit("say", "news", number)
        socket.emit_with_ack("echo", timeout=LONG)
        assert [event.args for event in socket.events(timeout=0)] == [[0], [1], [2]]
        assert socket.active
        socket.emit("say", "last")
        names = []
        for event in socket.events():
            names.append(event.name)
            socket.disconnect()
        assert names == ["last"]


def test_receive_gives_up_in_time_and_at_the_end(url: str) -> None:
    with connect(url) as socket:
        with pytest.raises(TimeoutError):
            socket.receive("nothing", 0)
        socket.disconnect()
        with pytest.raises(Disconnected):
            socket.receive("nothing")


def test_an_acknowledgement_that_does_not_come_times_out(url: str) -> None:
    with connect(url) as socket:
        with pytest.raises(AckTimeout):
            socket.emit_with_ack("silence", timeout=0.01)
        assert socket.emit_with_ack("echo", 1, timeout=LONG) == 1


def test_handlers_can_be_taken_away_again(url: str) -> None:
    seen: list[Any] = []

    def note(*args: Any) -> None:
        seen.append(args)

    with connect(url) as socket:
        socket.on("news")(note)
        socket.once("news")(note)
        socket.on_any(note)
        socket.on_any_outgoing(note)
        assert socket.listeners("news") == [note, note]
        assert socket.listeners_any() == socket.listeners_any_outgoing() == [note]
        socket.off("news", note)
        socket.off_any(note)
        socket.off_any_outgoing(note)
        assert socket.listeners("news") == socket.listeners_any() == socket.listeners_any_outgoing() == []
        socket.emit("say", "news")
        assert socket.receive("news", LONG).args == []
    assert seen == []


def test_a_coroutine_is_refused_as_a_handler(url: str) -> None:
    async def handler() -> None:
        raise AssertionError

    with connect(url, auto_connect=False) as socket:
        for register in (socket.on("x"), socket.once("x"), socket.on_any, socket.use, socket.manager.on("open")):
            with pytest.raises(LocalProtocolError, match="a plain function"):
                register(handler)
    with pytest.raises(LocalProtocolError, match="a plain function"):
        connect(url, auth=handler)


def test_errors_of_handlers_go_to_the_hooks_and_end_nothing(url: str) -> None:
    seen: list[Any] = []
    with connect(url) as socket:
        socket.client.on_error(lambda error, subject, name: seen.append((type(error), subject, name)))
        socket.on("news")(lambda: 1 / 0)
        socket.on("later")(lambda: _return_coroutine())
        socket.emit("say", "news")
        socket.emit("say", "later")
        socket.emit_with_ack("echo", timeout=LONG)
        assert seen == [(ZeroDivisionError, socket, "news"), (LocalProtocolError, socket, "later")]


def _return_coroutine() -> Any:
    async def coroutine() -> None:
        pass

    return coroutine()


# Connections ----------------------------------------------------------------------------------------------------


def test_a_connection_that_is_lost_is_made_again_while_calls_block(url: str) -> None:
    seen: list[str] = []
    with connect(url) as socket:
        socket.on("disconnect")(lambda reason, detail: seen.append(reason))
        socket.manager.on("reconnect")(lambda attempts: seen.append(f"reconnect {attempts}"))
        first = socket.id
        socket.receive("welcome", LONG)
        socket.emit("drop")
        second = socket.receive("welcome", LONG).args[0]
        assert second == socket.id != first
        assert seen == ["transport close", "reconnect 1"]


def test_what_is_emitted_without_a_connection_is_sent_when_there_is_one(url: str) -> None:
    with connect(url, auto_connect=False) as socket:
        socket.emit("say", "kept", 1)
        socket.connect()
        assert socket.receive("kept", LONG).args == [1]


def test_retries_bring_every_event_across_connections(url: str) -> None:
    with connect(url, retries=10, ack_timeout=LONG) as socket:
        assert socket.emit_with_ack("echo", 1) == 1
        socket.volatile.emit("drop")
        assert socket.emit_with_ack("echo", 2) == 2


def test_a_pause_that_was_too_long_for_the_heartbeat_is_noticed_by_the_next_emit(url: str) -> None:
    """The clock of the client goes on, that of the server does not: so it is only the client that can notice."""
    pause = 0.0
    host = BlockingHost(clock=lambda: time.monotonic() + pause)
    reasons: list[str] = []
    with Client(5.0, {"transports": ["websocket"], "reconnection_delay": 0.001}, host) as client:
        socket = client.socket(url)
        socket.connect()
        socket.on("disconnect")(lambda reason, detail: reasons.append(reason))
        first = socket.id
        pause = 3600.0
        socket.emit("say", "late", 1)
        assert socket.receive("late", LONG).args == [1]
        assert reasons == ["ping timeout"]
        assert socket.id != first


def test_a_refused_namespace_raises_with_the_server_s_reason(url: str) -> None:
    with pytest.raises(ConnectError, match="not authorized") as raised:
        connect(f"{url}/admin", auth={"token": "wrong"})
    assert raised.value.data == {"retry": False}


def test_several_namespaces_share_a_connection(url: str) -> None:
    with connect(url) as socket:
        tokens = iter(["s3cret"])
        admin = socket.manager.socket("/admin", auth=lambda: {"token": next(tokens)})
        assert socket.manager.socket("/admin") is admin
        admin.connect()
        assert admin.emit_with_ack("echo", 1, timeout=LONG) == ("admin", 1)
        assert admin.manager is socket.manager
        admin.close()
        assert not admin.active
        assert socket.emit_with_ack("echo", 1, timeout=LONG) == 1


def test_one_client_can_have_several_servers(url: str) -> None:
    with Served(make_server()) as other, siocore.sync.open_client(transports=["websocket"]) as client:
        sockets = [client.socket(url), client.socket(other.url)]
        sockets[0].emit("say", "from the first")
        sockets[1].emit("say", "from the second")
        assert sockets[1].receive("from the second", LONG).args == []
        assert sockets[0].receive("from the first", LONG).args == []
        for socket in sockets:
            socket.disconnect()
        client.wait()


def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    with pytest.raises(ConnectError, match="is the server running"):
        connect("http://127.0.0.1:1")
    with pytest.raises(ConnectError, match="refused"):
        connect("http://127.0.0.1:1", retry=True, reconnection_attempts=2)


def test_wrong_options_are_named(url: str) -> None:
    with pytest.raises(TypeError, match="did you mean 'reconnection'"):
        connect(url, reconection=False)
    with pytest.raises(ValueError, match="grace"):
        connect(url, grace=-1)


def test_wait_ends_when_the_server_puts_the_socket_out(url: str) -> None:
    reasons: list[str] = []
    with connect(url) as socket:
        socket.on("disconnect")(lambda reason, detail: reasons.append(reason))
        socket.emit("put out")
        socket.wait()
    assert reasons == ["io server disconnect"]


# Interrupts -----------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_any_call_and_the_connection_lives_on(url: str) -> None:
    with connect(url) as socket:
        for block in (
            lambda: socket.receive("nothing"),
            lambda: socket.emit_with_ack("silence"),
            lambda: list(socket.events()),
            socket.wait,
        ):
            interrupt_next_wait(socket.client._host)
            with pytest.raises(KeyboardInterrupt):
                block()
            assert socket.emit_with_ack("echo", 1, timeout=LONG) == 1
        assert socket.id


def test_ctrl_c_while_connecting_can_be_followed_by_another_attempt(url: str) -> None:
    with connect(url, auto_connect=False) as socket:
        interrupt_next_wait(socket.client._host)
        with pytest.raises(KeyboardInterrupt):
            socket.connect()
        assert not socket.connected
        socket.connect()
        assert socket.emit_with_ack("echo", 1, timeout=LONG) == 1


def test_what_a_call_gives_up_takes_no_event_with_it(url: str) -> None:
    with connect(url) as socket:
        socket.receive("welcome", LONG)
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0)
        socket.emit("say", "news", 1)
        assert socket.receive(timeout=LONG).args == [1]


# Engine.IO alone ------------------------------------------------------------------------------------------------


@EACH_TRANSPORT
def test_engine_io_alone(transports: list[str]) -> None:
    io = siocore.EngineServer()

    @io.on("message")
    def echo(session: siocore.Session, data: str | bytes) -> None:
        if data == "close":
            session.close()
        else:
            session.send(data)

    with Served(io) as served, siocore.sync.connect_engine(served.url, transports=transports) as connection:
        assert connection.open
        connection.send("text")
        connection.send(b"\0")
        assert [connection.receive(LONG), connection.receive(LONG)] == ["text", b"\0"]
        with pytest.raises(TimeoutError):
            connection.receive(0)
        seen: list[str] = []
        connection.on("close")(seen.append)
        connection.send("more")
        connection.send("close")
        assert list(connection) == ["more"]
        connection.wait()
        assert seen == ["transport close"]
        assert connection.close_reason == "transport close"
        with pytest.raises(Disconnected):
            connection.send("late")


def test_emit_waits_for_a_server_that_is_slow_and_only_outside_of_handlers(url: str) -> None:
    limits = siocore.Limits(high_water=1000, max_buffered=100_000_000)
    data = bytes(900_000)
    with connect(url, limits=limits) as socket:
        manager = socket.client._application.managers[0]
        errors: list[Exception] = []
        socket.client.on_error(lambda error, subject, name: errors.append(error))

        @socket.on("flood")
        def flood() -> None:
            for _ in range(20):
                socket.emit("ignored", data)

        for _ in range(20):
            socket.emit("ignored", data)
            assert manager.link is not None
            assert manager.link.buffered <= limits.high_water
        socket.emit("say", "flood")
        assert socket.emit_with_ack("echo", 1, timeout=LONG) == 1
        assert errors == []
