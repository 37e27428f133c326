"""What our client does with what only some servers have; more of the list in client_scenarios."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from peers.client_scenarios import MODES, SCENARIOS, Peer, call, received, scenario
from siocore.client_options import CLIENT_LIMITS
from siocore.errors import ConnectError

#: The whole list.
__all__ = ["SCENARIOS"]


@scenario("v4")
async def is_recovered_with_what_it_missed(peer: Peer) -> None:
    back = peer.make_event()
    async with peer.connect(port="recovery", reconnection_delay=0.1) as socket:
        first = socket.id
        await call(socket, "join", "room")
        # An offset is known from the first event that had one, and handlers see nothing of it.
        socket.emit("echo event", 1, "text")
        assert await received(socket, "echo back") == [1, "text"]
        socket.on("connect")(back.set)
        socket.emit("cut and tell", "room", "missed", "too")
        await back.wait()
        assert socket.recovered
        assert socket.id == first
        assert await received(socket, "missed") == ["about missed", b"\x07"]
        assert await received(socket, "too") == ["about too", b"\x07"]
        assert (await call(socket, "whoami"))["recovered"]
        socket.emit("echo event", "once")
        assert await received(socket, "echo back") == ["once"]


@scenario("v4")
async def a_string_at_the_end_of_a_volatile_event_is_kept(peer: Peer) -> None:
    async with peer.connect(port="recovery", transports=["websocket"]) as socket:
        socket.emit("echo event", 1, "text")
        assert await received(socket, "echo back") == [1, "text"]
        await call(socket, "volatile text", "the end")
        assert await received(socket, "maybe") == ["the end"]


# Socket.IO before 4 does not say how much it takes.
@scenario("v4", "v3", "v2", "own")
async def much_is_split_into_payloads_that_the_server_takes(peer: Peer) -> None:
    async with peer.connect(limits=replace(CLIENT_LIMITS, max_buffered=4_000_000)) as socket:
        for _ in range(30):
            socket.emit("collect", "x" * 100_000)
        assert await call(socket, "sizes") == [100_000] * 30


@scenario("v4", modes=("polling", "upgrade"))
async def small_payloads_are_filled_and_not_exceeded(peer: Peer) -> None:
    async with peer.connect(port="small") as socket:
        for number in range(60):
            socket.emit("collect", "é" * (10 * number))
            socket.emit("collect", b"x" * (10 * number))
        sizes = await call(socket, "sizes")
        assert sizes == [10 * number for number in range(60) for _ in range(2)]


@scenario("v4", modes=("polling", "websocket"))
async def a_message_that_is_too_large_costs_the_connection(peer: Peer) -> None:
    gone, back = peer.make_event(), peer.make_event()
    told: list[tuple[str, str]] = []
    async with peer.connect(port="small") as socket:

        def lost(reason: str, detail: str) -> None:
            told.append((reason, detail))
            gone.set()

        socket.on("disconnect")(lost)
        socket.emit("collect", "x" * 10_000)
        await gone.wait()
        socket.on("connect")(back.set)
        await back.wait()
        assert await call(socket, "echo", "back") == "back"
    reason, detail = told[0]
    if peer.mode == "polling":
        assert reason == "transport error"
        assert "413" in detail
    else:
        assert reason in ("transport close", "transport error")


@scenario("v4", "own", modes=("websocket",))
async def messages_are_compressed_if_asked(peer: Peer) -> None:
    text = "again and " * 2000
    async with peer.connect(per_message_deflate=True) as socket:
        if peer.name == "v4":
            assert "permessage-deflate" in (await call(socket, "whoami"))["extensions"]
        assert await call(socket, "echo", text, b"\x00" * 5000) == (text, b"\x00" * 5000)
        socket.compress(False).emit("echo event", text)
        assert await received(socket, "echo back") == [text]


@scenario("v4")
async def cookies_keep_it_with_its_server(peer: Peer) -> None:
    async with peer.connect(cookies=True) as socket:
        await call(socket, "echo", 1)
        cookies = await call(socket, "cookies")
        # A WebSocket that is the first request gets its cookie with the answer: no other follows.
        assert set(cookies) == (set() if peer.mode == "websocket" else {"sticky=node1"})
    async with peer.connect() as socket:
        await call(socket, "echo", 1)
        assert set(await call(socket, "cookies")) <= {""}


@scenario("v4", modes=("websocket", "upgrade"))
async def tls_is_verified(peer: Peer) -> None:
    with pytest.raises(ConnectError, match="certificate"):
        async with peer.connect(port="tls", scheme="https", reconnection=False):
            pass
    async with peer.connect(port="tls", scheme="https", ssl_context=peer.trust) as socket:
        assert await call(socket, "echo", b"\x01", "é") == (b"\x01", "é")


@scenario("v4")
async def the_msgpack_parser_speaks_with_its_own(peer: Peer) -> None:
    value = {"a": b"\x01", "numbers": [1, -1, 1.5, 2**40], "text": "é"}
    async with peer.connect(port="msgpack", parser="msgpack", auth={"user": 1}) as socket:
        assert (await call(socket, "whoami"))["auth"] == {"user": 1}
        assert await call(socket, "echo", value) == value
        socket.on("question")(lambda number: number + 1)
        assert await call(socket, "ask me", 1) == [2]


@scenario("v4", "v2")
async def engine_messages_travel_alone(peer: Peer) -> None:
    port = "engine" if peer.revision == 4 else "engine3"
    options = MODES[peer.mode] | {"protocol": peer.revision}
    async with peer.binding.connect_engine(peer.url(port=port).rstrip("/"), **options) as session:
        receive = partial(session.receive, timeout=5)
        session.send("echo é")
        assert await receive() == "é"
        session.send(b"\x00\x01")
        assert await receive() == b"\x00\x01"
        session.send("count 500")
        assert [await receive() for _ in range(500)] == [f"count {number}" for number in range(500)]
        session.send("close")
        messages = [message async for message in session]
        assert messages == ["farewell"]
