"""A client's driver makes the connections that its endpoint asks for."""

from __future__ import annotations

import contextlib
import gc
import resource
import select
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from client_harness import FreePort, Peer, no_descriptor_left, play, serving
from driver_harness import each_host
from line_client import DialFailed, LineClient, LineClientApp, LineDial
from siocore._driver import dialling
from siocore._driver.dialling import Dialler
from siocore._driver.sockets import Sockets
from siocore.waiting import Waiter

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")

#: uvloop asks the system by itself.
each_resolving_host = pytest.mark.parametrize("host", ["trio", "asyncio"])


def echo(peer: Peer) -> None:
    while line := peer.line():
        peer.send(line + "\n")


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that answers nothing: the queue of its listener is full, and Linux drops what else comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the system says about names: addresses, or what it raises."""
    table: dict[str, Any] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        known = table.get(host)
        if known is None or options.get("flags"):
            return real(host, port, *args, **options)
        if isinstance(known, Exception):
            raise known
        return [entry for address in known for entry in real(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


async def failure(dial: LineDial) -> str:
    with pytest.raises(DialFailed) as caught:
        await dial.opened()
    return str(caught.value)


# Addresses and names


@each_host
def test_lines_are_answered(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(address)
        connection.send("early")
        await connection.opened()
        assert await connection.line() == "early"
        assert await connection.ask("hello") == "hello"
        connection.close()
        await connection.gone()
        assert connection.log == ["connected", "eof", "lost"]

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
@pytest.mark.parametrize("name", ["localhost", "::1", "127.0.0.1"])
def test_names_and_addresses_are_connected_to(host: str, name: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = await app.protocol.connect((name, address[1])).opened()
        assert await connection.ask("hello") == "hello"

    with serving(echo, host="::1" if name == "::1" else "127.0.0.1") as address:
        play(host, app, scenario)


@each_host
def test_a_unix_socket_is_connected_to(host: str, tmp_path: Path) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = await app.protocol.connect(address).opened()
        assert await connection.ask("hello") == "hello"

    with serving(echo, unix_path=str(tmp_path / "socket")) as address:
        play(host, app, scenario)


@each_host
def test_a_server_that_speaks_first_and_goes_is_heard(host: str) -> None:
    app = LineClientApp()

    def behave(peer: Peer) -> None:
        peer.send("welcome\n")

    async def scenario() -> None:
        connection = app.protocol.connect(address)
        assert await connection.line() == "welcome"
        await connection.gone()
        assert connection.log == ["connected", "eof", "lost"]

    with serving(behave) as address:
        play(host, app, scenario)


@each_host
def test_a_handler_that_connects_again_reconnects(host: str) -> None:
    numbers = iter(range(3))

    def behave(peer: Peer) -> None:
        peer.send(f"{next(numbers)}\n")
        peer.line()

    def handler(connection: LineDial, line: str) -> None:
        connection.close_now()
        app.protocol.connect(address) if line != "2" else last.wake()

    app = LineClientApp(handler)
    last: Waiter

    async def scenario() -> None:
        nonlocal last
        last = app.protocol.new_waiter()
        app.protocol.connect(address)
        await last.wait()

    with serving(behave) as address:
        play(host, app, scenario)


@each_resolving_host
def test_a_name_with_several_addresses_is_tried_with_each(host: str, names: dict[str, Any]) -> None:
    app = LineClientApp()
    names["several.example"] = ["::1", "127.0.0.2", "127.0.0.1"]

    async def scenario() -> None:
        connection = await app.protocol.connect(("several.example", address[1])).opened()
        assert await connection.ask("hello") == "hello"

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
def test_the_local_address_can_be_chosen(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(address, local_address="127.0.0.2")
        assert await connection.ask("from?") == "127.0.0.2"
        assert (
            await failure(app.protocol.connect(address, local_address="lo"))
            == "local_address must be an IP address, not 'lo'"
        )
        assert (
            await failure(app.protocol.connect(address, local_address="::1"))
            == f"127.0.0.1:{address[1]} can't be reached from ::1: IPv4 or IPv6?"
        )

    def behave(peer: Peer) -> None:
        while peer.line():
            peer.send(f"{peer.sock.getpeername()[0]}\n")

    with serving(behave) as address:
        play(host, app, scenario)


# Failures


@each_host
def test_a_refused_port_says_so_and_what_to_do(host: str) -> None:
    app = LineClientApp()
    host_and_port = FreePort().address

    async def scenario() -> None:
        assert (
            await failure(app.protocol.connect(host_and_port))
            == f"could not connect to 127.0.0.1:{host_and_port[1]}: connection refused; is the server running?"
        )

    play(host, app, scenario)


@each_host
def test_a_unix_socket_that_is_not_there_says_so(host: str, tmp_path: Path) -> None:
    app = LineClientApp()
    path = str(tmp_path / "missing")

    async def scenario() -> None:
        assert (
            await failure(app.protocol.connect(path))
            == f"could not connect to {path}: no such file or directory; is the server running?"
        )
        assert "too long" in await failure(app.protocol.connect("/x" * 200))

    play(host, app, scenario)


@each_resolving_host
def test_the_errors_of_all_addresses_are_in_one_sentence(host: str, names: dict[str, Any]) -> None:
    app = LineClientApp()
    names["both.example"] = ["127.0.0.1", "127.0.0.2"]
    port = FreePort().address[1]

    async def scenario() -> None:
        assert (
            await failure(app.protocol.connect(("both.example", port)))
            == f"could not connect to both.example:{port}: connection refused; is the server running?"
        )

    play(host, app, scenario)


@each_resolving_host
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (UnicodeError("label too long"), "label too long"),
        (RuntimeError("a resolver with a bug"), "a resolver with a bug"),
    ],
    ids=["unknown", "impossible", "bug"],
)
def test_a_name_without_an_address_says_so(host: str, names: dict[str, Any], error: Exception, reason: str) -> None:
    app = LineClientApp()
    names["missing.example"] = error

    async def scenario() -> None:
        sentence = await failure(app.protocol.connect(("missing.example", 80)))
        assert sentence == f"'missing.example' has no address: {reason}"

    play(host, app, scenario)


@each_host
def test_a_name_that_can_not_be_one_says_so(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        assert (await failure(app.protocol.connect(("x" * 70 + ".example", 80)))).startswith("'xxx")

    play(host, app, scenario)


@each_host
def test_no_descriptor_left_for_a_connection_is_told(host: str) -> None:
    app = LineClientApp()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scenario() -> None:
        # What is collected meanwhile could set one free.
        gc.collect()
        with contextlib.ExitStack() as fillers:
            last = fillers.enter_context(socket.socket())
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        fillers.enter_context(socket.socket())
                sentence = await failure(app.protocol.connect(address))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "too many open files; raise the limit" in sentence
        assert await app.protocol.connect(address).ask("hello") == "hello"

    with serving(echo) as address:
        play(host, app, scenario)


# What is not wanted any more


@each_host
@pytest.mark.parametrize("flag", ["closed", "aborted"])
def test_a_dial_that_is_called_off_leaves_nothing(host: str, flag: str, silent: tuple[str, int]) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(silent)
        # This one comes later: the first is under way when it is there.
        other = await app.protocol.connect(address).opened()
        assert connection.transport is not None
        setattr(connection, flag, True)
        connection.changed()
        assert await other.ask("hello") == "hello"
        assert connection.transport is None
        assert connection.log == []

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
def test_a_dial_that_is_called_off_before_it_begins_is_not_made(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(address)
        connection.abort()
        assert await app.protocol.connect(address).ask("hello") == "hello"
        assert connection.log == []

    seen: list[Peer] = []

    def behave(peer: Peer) -> None:
        seen.append(peer)
        echo(peer)

    with serving(behave) as address:
        play(host, app, scenario)
    assert len(seen) == 1


@each_host
def test_leaving_does_not_wait_for_dials(host: str, silent: tuple[str, int]) -> None:
    app = LineClientApp()
    connection: LineDial

    async def scenario() -> None:
        nonlocal connection
        connection = app.protocol.connect(silent)
        await app.protocol.connect(address).opened()

    with serving(echo) as address:
        play(host, app, scenario, grace=1000.0)
    assert connection.log == []


@each_resolving_host
def test_leaving_does_not_wait_for_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = LineClientApp()
    asked = threading.Event()
    answer = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, port: Any, *args: Any, **options: Any) -> Any:
        if name == "slow.example" and not options.get("flags"):
            asked.set()
            assert answer.wait(20)
            name = "127.0.0.1"
        return real(name, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    connection: LineDial

    async def scenario() -> None:
        nonlocal connection
        connection = app.protocol.connect(("slow.example", address[1]))
        await app.protocol.connect(address).opened()
        assert asked.wait(20)

    def resolve_late() -> None:
        asked.wait(20)
        answer.set()

    with serving(echo) as address:
        thread = threading.Thread(target=resolve_late)
        thread.start()
        play(host, app, scenario, grace=1000.0)
        thread.join()
    assert connection.log == []


# Many at a time


class StillHost:
    """A host whose resolver never answers; nothing is run."""

    cancelled = BaseException

    def __init__(self) -> None:
        self.spawned: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def clock(self) -> float:
        return 0.0

    def open(self, fd: int, wake: Callable[[], None]) -> None:
        raise NotImplementedError

    async def wait(self, deadline: float | None) -> None:
        raise NotImplementedError

    async def checkpoint(self) -> None:
        raise NotImplementedError

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.spawned.append(function)

    def make_waiter(self) -> Waiter:
        raise NotImplementedError

    def cancel_requests(self) -> Callable[[], int] | None:
        return None

    async def getaddrinfo(self, name: str, port: int) -> Sequence[Sequence[Any]]:
        raise NotImplementedError

    def begin(self, flush: Callable[[], None]) -> None:
        raise NotImplementedError

    def soon(self) -> None:
        raise NotImplementedError

    def alarm(self, deadline: float) -> None:
        raise NotImplementedError


def test_only_so_many_dials_are_under_way_and_the_others_follow_in_order() -> None:
    host = StillHost()
    client = LineClient()
    sockets = Sockets(client, (), None)
    sockets.dial_with(Dialler(client, host, sockets), client)
    dials = [client.connect(("slow.example", port)) for port in range(1, 301)]
    sockets.write(0.0)
    assert len(host.spawned) == dialling._MAX_DIALS == 256
    assert len(sockets) == 300
    # One that waits and two under way are called off.
    dials[299].abort()
    dials[0].abort()
    dials[1].abort()
    sockets.write(0.0)
    sockets.read(0.0)
    assert len(host.spawned) == 258
    assert len(sockets) == 297
    sockets.close()
    assert len(sockets) == 0


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "proxy"])
def test_news_of_a_dial_that_was_called_off_meanwhile_is_ignored(secure: bool) -> None:
    """A turn that has read enough looks at the rest in the next one."""
    client = LineClient()
    sockets = Sockets(client, (), None)
    dialler = Dialler(client, StillHost(), sockets)
    sockets.dial_with(dialler, client)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        proxy = None if secure else f"http://127.0.0.1:{address[1]}"
        dial = client.connect(address, secure=secure, proxy=proxy)
        sockets.write(0.0)
        accepted, _ = listener.accept()
        with accepted:
            select.select([sockets.fileno()], [], [], 10)
            sockets.read(0.0)
            # TLS or the proxy are asked for the first word.
            [fd] = dialler._steps
            accepted.sendall(b"x")
            dialler.note_ready(fd)
            dial.abort()
            sockets.write(0.0)
            dialler.advance(0.0)
    assert dial.log == []
    assert len(sockets) == 0
    sockets.close()


@each_host
def test_a_storm_of_dials_is_weathered(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_MAX_DIALS", 3)
    app = LineClientApp()

    async def scenario() -> None:
        connections = [app.protocol.connect(address) for _ in range(50)]
        refused = [app.protocol.connect(nowhere) for _ in range(50)]
        for number, connection in enumerate(connections):
            assert await connection.ask(str(number)) == str(number)
        for connection in refused:
            assert "refused" in await failure(connection)

    nowhere = FreePort().address
    with serving(echo) as address:
        play(host, app, scenario)
