"""What our client does with a foreign server: one list of scenarios, for every server, transport and binding."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from siocore.errors import AckTimeout, ConnectError, Disconnected
from siocore.socketio.client_socket import ClientSocket

__all__ = ["ALL", "MODES", "SCENARIOS", "Peer", "Scenario", "call", "received", "scenario"]

TOKEN = {"token": "s3cret"}
MODES: dict[str, dict[str, Any]] = {
    "polling": {"transports": ["polling"]},
    "websocket": {"transports": ["websocket"]},
    "upgrade": {},
}


@dataclass(frozen=True)
class Peer:
    """A server, and how to go there: ``binding`` is ``siocore.trio`` or ``siocore.asyncio``."""

    name: str
    ports: dict[str, int]
    binding: ModuleType
    mode: str
    revision: int
    make_event: Callable[[], Any]
    #: Trusts the certificate of the port "tls".
    trust: ssl.SSLContext | None = None

    def url(self, namespace: str = "/", port: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[port or self.name]}{namespace}"

    def connect(
        self, namespace: str = "/", port: str | None = None, scheme: str = "http", **options: Any
    ) -> AbstractAsyncContextManager[ClientSocket]:
        options = MODES[self.mode] | {"protocol": self.revision, "reconnection_delay": 0.02} | options
        connection: AbstractAsyncContextManager[ClientSocket] = self.binding.connect(
            self.url(namespace, port, scheme), **options
        )
        return connection


@dataclass(frozen=True)
class Scenario:
    run: Callable[[Peer], Awaitable[None]]
    servers: frozenset[str]
    modes: frozenset[str]


SCENARIOS: dict[str, Scenario] = {}
ALL = ("v4", "v3", "v2", "v1", "python-socketio", "own")
NODE = ("v4", "v3", "v2", "v1")
#: Those that let TCP connections break when they are asked to, and come back.
CUTTING = NODE


def scenario(
    *servers: str, modes: tuple[str, ...] = tuple(MODES)
) -> Callable[[Callable[[Peer], Awaitable[None]]], Callable[[Peer], Awaitable[None]]]:
    def register(run: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
        SCENARIOS[run.__name__] = Scenario(run, frozenset(servers), frozenset(modes))
        return run

    return register


async def call(socket: ClientSocket, name: str, *args: Any) -> Any:
    return await socket.emit_with_ack(name, *args, timeout=5)


async def received(socket: ClientSocket, name: str) -> list[Any]:
    """The arguments of the next event of that name."""
    event = await socket.receive(name, timeout=5)
    args: list[Any] = event.args
    return args


# Connecting -----------------------------------------------------------------------------------------------------


@scenario(*ALL)
async def connects_with_auth_query_and_headers(peer: Peer) -> None:
    auth = {"user": "é", "deep": [1, {"x": None}]}
    options: dict[str, Any] = {"auth": auth, "query": {"from": "a b&c"}, "headers": {"X-Test": "yes"}}
    async with peer.connect(**options) as socket:
        assert socket.connected
        assert not socket.recovered
        seen = await call(socket, "whoami")
        assert seen["id"] == socket.id
        assert seen["auth"] == (auth if peer.revision == 4 else None)
        assert seen["header"] == "yes"
        assert seen["agent"].startswith("siocore/")
        if peer.name != "python-socketio":
            assert seen["query"]["from"] == "a b&c"
        assert seen["query"]["EIO"] == str(peer.revision)
        if peer.mode != "upgrade":
            assert seen["transport"] == peer.mode


@scenario(*ALL, modes=("upgrade",))
async def goes_over_to_websocket(peer: Peer) -> None:
    upgraded = peer.make_event()
    async with peer.connect(auto_connect=False) as socket:
        socket.manager.on("upgrade")(lambda *_: upgraded.set())
        await socket.connect()
        for number in range(50):
            socket.emit("collect", number)
        await upgraded.wait()
        assert (await call(socket, "whoami"))["transport"] == "websocket"
        assert await call(socket, "collected") == list(range(50))


@scenario(*ALL)
async def is_refused_with_a_message_and_data(peer: Peer) -> None:
    data = {"retry": False, "codes": [1, 2]}
    with pytest.raises(ConnectError) as refusal:
        async with peer.connect("/private", auth={"token": "wrong"}):
            pass
    assert not refusal.value.transport
    assert refusal.value.data == data
    if peer.revision == 4:
        assert refusal.value.message == "not authorized"
    async with peer.connect("/private", auth=TOKEN) as socket:
        assert (await call(socket, "whoami"))["namespace"] == "/private"


@scenario(*NODE, "own")
async def an_unknown_namespace_is_refused(peer: Peer) -> None:
    with pytest.raises(ConnectError, match="Invalid namespace"):
        async with peer.connect("/unknown"):
            pass


@scenario("v2", "v1", modes=("polling", "websocket"))
async def a_server_of_another_revision_says_so(peer: Peer) -> None:
    with pytest.raises(ConnectError) as refusal:
        async with peer.connect(protocol=4, reconnection=False):
            pass
    assert "protocol" in str(refusal.value)


@scenario("v4", "v2")
async def finds_the_revision_by_itself(peer: Peer) -> None:
    async with peer.connect(protocol="auto") as socket:
        assert (await call(socket, "whoami"))["query"]["EIO"] == str(peer.revision)
        assert await call(socket, "echo", b"\x01") == b"\x01"


# Events and acknowledgements ------------------------------------------------------------------------------------


@scenario(*ALL)
async def events_keep_their_order_both_ways(peer: Peer) -> None:
    async with peer.connect() as socket:
        for number in range(1000):
            socket.emit("collect", number)
        assert await call(socket, "collected") == list(range(1000))
        socket.emit("count", 1000)
        assert [(await received(socket, "number"))[0] for _ in range(1000)] == list(range(1000))


@scenario(*ALL)
async def values_survive_events_and_acknowledgements(peer: Peer) -> None:
    values: list[Any] = [
        None,
        True,
        1,
        -1.5,
        2**53 - 1,
        "",
        "é\u2028 \x1e\x00 日本 \U0001f600",
        [],
        {},
        {"é": [{"b": None}]},
    ]
    async with peer.connect() as socket:
        assert await call(socket, "echo", values) == values
        socket.emit("echo event", *values)
        assert await received(socket, "echo back") == values


@scenario(*ALL)
async def binary_travels_nested(peer: Peer) -> None:
    value = {"a": b"\x01\x02", "list": [b"\x03", {"deep": b""}], "text": "x"}
    big = bytes(range(256)) * 1200
    async with peer.connect() as socket:
        assert await call(socket, "echo", value) == value
        socket.emit("echo event", value, b"\x09")
        assert await received(socket, "echo back") == [value, b"\x09"]
        assert await call(socket, "echo", big) == big


@scenario(*NODE, "own", modes=("polling",))
async def binary_as_base64(peer: Peer) -> None:
    async with peer.connect(force_base64=True) as socket:
        assert await call(socket, "echo", b"\x00\xff") == b"\x00\xff"


@scenario(*ALL)
async def answers_what_the_server_asks(peer: Peer) -> None:
    async with peer.connect() as socket:

        async def answer(number: int) -> Any:
            return number + 1, {"binary": b"\x05"}

        socket.on("question")(answer)
        assert await call(socket, "ask me", 41) == [42, {"binary": b"\x05"}]
        socket.off("question")
        socket.on("question")(lambda number: number * 2)
        assert await call(socket, "ask me", 4) == [8]


@scenario(*ALL)
async def acknowledgements_time_out(peer: Peer) -> None:
    async with peer.connect() as socket:
        with pytest.raises(AckTimeout):
            await socket.emit_with_ack("say nothing", timeout=0.05)
        if peer.name in ("v4", "own"):
            assert await call(socket, "ask me briefly") == "operation has timed out"
        assert await call(socket, "echo", "still there") == "still there"


@scenario(*ALL)
async def handlers_and_catch_all_see_events(peer: Peer) -> None:
    seen: list[tuple[Any, ...]] = []
    sent: list[tuple[Any, ...]] = []
    async with peer.connect() as socket:
        socket.on_any(lambda name, *args: seen.append((name, *args)))
        socket.on_any_outgoing(lambda name, *args: sent.append((name, *args)))
        socket.emit("echo event", 1)
        assert await received(socket, "echo back") == [1]
        socket.send("hello", 2)
        assert await received(socket, "message") == ["hello", 2]
    assert seen == [("echo back", 1), ("message", "hello", 2)]
    assert sent == [("echo event", 1), ("message", "hello", 2)]


@scenario(*ALL)
async def broadcasts_reach_everybody(peer: Peer) -> None:
    async with peer.connect() as first, peer.connect() as second:
        first.emit("broadcast", "to all", b"\x01\x02")
        for socket in (first, second):
            assert await received(socket, "news") == ["to all", b"\x01\x02"]


@scenario(*NODE, "own")
async def volatile_events_arrive_while_they_can(peer: Peer) -> None:
    async with peer.connect() as socket:
        socket.volatile.emit("collect", "maybe")
        await call(socket, "volatile me", 3)
        arrived = await call(socket, "collected")
        if peer.mode == "websocket":
            assert arrived == ["maybe"]
            # Node.js drops what follows another one in the same tick.
            expected = [0, 1, 2] if peer.name == "own" else [0]
            assert [(await received(socket, "maybe"))[0] for _ in expected] == expected
        else:
            assert arrived in ([], ["maybe"])


@scenario("v4", "v2", "own")
async def an_iterator_takes_events_in_order(peer: Peer) -> None:
    async with peer.connect() as socket:
        socket.emit("count", 200)
        numbers = []
        async for event in socket.events():
            numbers.append(event.args[0])
            if len(numbers) == 200:
                break
        assert numbers == list(range(200))


# Namespaces -----------------------------------------------------------------------------------------------------


@scenario(*ALL)
async def namespaces_share_one_connection(peer: Peer) -> None:
    async with peer.connect() as main:
        second, third = main.manager.socket("/second"), main.manager.socket("/third")
        await second.connect()
        await third.connect()
        assert len({main.id, second.id, third.id}) == 3
        seen = [await call(socket, "whoami") for socket in (main, second, third)]
        assert [each["id"] for each in seen] == [main.id, second.id, third.id]
        assert [each["namespace"] for each in seen] == ["/", "/second", "/third"]
        assert len({each["engine"] for each in seen}) == 1
        main.emit("echo event", "to main")
        second.emit("echo event", "to second", b"\x02")
        assert await received(main, "echo back") == ["to main"]
        assert await received(second, "echo back") == ["to second", b"\x02"]
        second.disconnect()
        assert not second.connected
        assert await call(main, "echo", "main lives") == "main lives"
        assert await call(third, "echo", "third lives") == "third lives"
        await second.connect()
        assert await call(second, "echo", "back again") == "back again"


# Disconnections -------------------------------------------------------------------------------------------------


@scenario(*ALL)
async def the_server_disconnects_a_socket_for_good(peer: Peer) -> None:
    reasons: list[str] = []
    async with peer.connect() as socket:
        socket.on("disconnect")(lambda reason, *_: reasons.append(reason))
        first = socket.id
        socket.emit("disconnect me", False)
        with pytest.raises(Disconnected):
            await socket.receive("never", timeout=5)
        assert not socket.active
        assert reasons == ["io server disconnect"]
        await socket.connect()
        assert socket.id != first or peer.revision == 3
        assert await call(socket, "echo", "again") == "again"


@scenario(*CUTTING)
async def a_pending_acknowledgement_fails_at_once_when_the_connection_breaks(peer: Peer) -> None:
    async with peer.connect(reconnection=False) as socket:
        pending = socket.emit_with_ack("say nothing", timeout=60)
        socket.emit("cut")
        with pytest.raises(Disconnected):
            await pending


@scenario(*CUTTING)
async def comes_back_after_the_connection_broke(peer: Peer) -> None:
    await _comes_back(peer, "cut")


@scenario(*CUTTING)
async def comes_back_after_the_server_restarted(peer: Peer) -> None:
    await _comes_back(peer, "restart")


async def _comes_back(peer: Peer, how: str) -> None:
    back, gone = peer.make_event(), peer.make_event()
    reasons: list[str] = []
    attempts: list[object] = []
    async with peer.connect() as socket:
        second = socket.manager.socket("/second")
        await second.connect()

        def lost(reason: str, *_: object) -> None:
            reasons.append(reason)
            socket.emit("collect", "while it was away")
            gone.set()

        socket.on("disconnect")(lost)
        socket.on("connect")(back.set)
        socket.manager.on("reconnect_attempt")(attempts.append)
        first = socket.id
        socket.emit(how)
        await gone.wait()
        assert not socket.connected
        assert socket.active
        await back.wait()
        assert reasons[0] in ("transport close", "transport error")
        assert socket.id != first
        assert not socket.recovered
        assert attempts
        assert attempts[0] == 1
        assert await call(socket, "collected") == ["while it was away"]
        assert await call(second, "echo", 2) == 2


@scenario("v4", "v2", "own", modes=("polling", "websocket"))
async def heartbeats_keep_it(peer: Peer) -> None:
    pinged = peer.make_event()
    pings: list[int] = []

    def ping(*_: object) -> None:
        pings.append(1)
        if len(pings) == 3:
            pinged.set()

    async with peer.connect(port={"v4": "small", "v2": "small3"}.get(peer.name)) as socket:
        socket.manager.on("ping")(ping)
        await pinged.wait()
        assert await call(socket, "echo", 1) == 1
