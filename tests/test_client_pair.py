"""Our client with our server, on every transport, both revisions, and every kind of network."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from client_conversation import BINARY, SHAPES, TRANSPORTS, URL, Pair
from odd_server import OddConnection, Request, odd_server, open_packet
from siocore import AckTimeout, ConnectionRefused, Disconnected, Recovery, Socket
from siocore.application.client import Client
from siocore.errors import ConnectError
from siocore.testing import Dial, TestServer

EVERYWHERE = pytest.mark.parametrize(
    ("transport", "revision", "shape"), list(itertools.product(TRANSPORTS, (4, 3), SHAPES))
)
EVERY_TRANSPORT = pytest.mark.parametrize(("transport", "revision"), list(itertools.product(TRANSPORTS, (4, 3))))


def on(transport: str, revision: int, shape: str = "plain", **options: Any) -> Pair:
    pair = Pair(transport, revision, **options)
    pair.server.network.script = SHAPES[shape]
    return pair


@EVERYWHERE
def test_events_acknowledgements_and_binary_go_both_ways(transport: str, revision: int, shape: str) -> None:
    pair = on(transport, revision, shape)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    assert pair.driver.run(socket.emit_with_ack("echo", 1, "zwei", BINARY)) == (1, "zwei", BINARY)
    assert pair.driver.run(socket.emit_with_ack("question", BINARY, timeout=30)) == BINARY
    for number in range(20):
        socket.emit("echo", number, bytes(number))
    socket.disconnect()
    pair.driver.advance(20)
    assert pair.calls("client") == ["connect", ("welcome", "/"), ("disconnect", "io client disconnect")]
    assert pair.calls("server") == [
        "connection",
        ("echo", 1, "zwei", BINARY),
        *(("echo", number, bytes(number)) for number in range(20)),
        ("disconnect", "client namespace disconnect"),
    ]
    # The last socket has gone, and the connections with it.
    assert pair.driver.links == []
    assert pair.server.protocol.sessions == {}
    pair.close()


@EVERYWHERE
def test_namespaces_share_a_connection(transport: str, revision: int, shape: str) -> None:
    pair = on(transport, revision, shape)
    root, admin = pair.socket(), pair.socket("/admin")
    assert root.manager is admin.manager
    assert pair.driver.run(admin.emit_with_ack("echo", 2)) == 2
    assert pair.driver.run(root.emit_with_ack("echo", 1)) == 1
    assert len(pair.server.protocol.sessions) == 1
    root.disconnect()
    pair.driver.advance(5)
    assert pair.driver.run(admin.emit_with_ack("echo", 3)) == 3
    assert pair.calls("server") == ["connection", ("echo", 1), ("disconnect", "client namespace disconnect")]
    admin.disconnect()
    pair.driver.advance(20)
    assert pair.server.protocol.sessions == {}
    pair.close()


@EVERYWHERE
def test_a_client_comes_back_when_the_connection_was_cut(transport: str, revision: int, shape: str) -> None:
    pair = on(transport, revision, shape)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    first = socket.id
    pair.driver.advance(5)
    pair.driver.cut()
    pair.driver.settle()
    assert not socket.connected
    assert socket.active
    socket.emit("echo", "kept")
    socket.volatile.emit("echo", "dropped")
    pair.driver.run_until(lambda: socket.connected)
    assert pair.driver.run(socket.emit_with_ack("echo", "later")) == "later"
    assert socket.id != first
    assert pair.calls("client")[:3] == ["connect", ("welcome", "/"), ("disconnect", "transport error")]
    assert pair.calls("client")[3:] == ["connect", ("welcome", "/")]
    assert [call for call in pair.calls("server") if call[0] == "echo"] == [("echo", "kept"), ("echo", "later")]
    pair.close()


@EVERY_TRANSPORT
def test_a_silent_server_is_given_up_when_no_ping_comes(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    pair.driver.advance(1)
    for link in pair.driver.links:
        link.stall()
    pair.driver.run_until(lambda: not socket.connected, 46)
    pair.driver.settle()
    assert pair.calls("client")[-1] == ("disconnect", "ping timeout")
    pair.driver.run_until(lambda: socket.connected, 5)
    pair.driver.advance(60)
    assert [call for call in pair.calls("server") if call[0] == "disconnect"] == [("disconnect", "ping timeout")]
    pair.close()


@EVERY_TRANSPORT
def test_a_server_that_disconnects_a_socket_is_not_asked_again(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    pair.io.disconnect_sockets()
    pair.driver.advance(60)
    assert pair.calls("client")[-1] == ("disconnect", "io server disconnect")
    assert not socket.active
    assert pair.driver.links == []
    pair.driver.run(socket.connect())
    assert socket.connected
    pair.close()


@EVERY_TRANSPORT
def test_a_server_that_stops_and_another_that_starts(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    pair.driver.advance(1)
    pair.server.shutdown()
    pair.driver.advance(1)
    pair.server.close()
    socket.emit("echo", "kept")
    pair.driver.advance(30)
    assert not socket.connected
    errors = [call for call in pair.calls("client") if call[0] == "connect_error"]
    assert len(errors) > 3
    assert "refused" in errors[-1][1]
    pair.io = type(pair.io)(allow_eio3=True)
    pair.serve("/")
    pair.server = pair.driver.server = TestServer(pair.io, simulation=pair.driver.simulation)
    pair.driver.run_until(lambda: socket.connected, 10)
    pair.driver.advance(1)
    assert pair.calls("server")[-1] == ("echo", "kept")
    pair.close()


@EVERY_TRANSPORT
def test_a_refusal_has_its_message_and_data(transport: str, revision: int) -> None:
    pair = on(transport, revision)

    @pair.io.use
    def refuse(socket: Socket) -> None:
        if not allowed:
            raise ConnectionRefused("not yet", {"wait": 5} if revision == 4 else None)

    allowed = False
    socket = pair.socket()
    with pytest.raises(ConnectError, match="not yet") as caught:
        pair.driver.run(socket.connect())
    assert not caught.value.transport
    if revision == 4:
        assert caught.value.data == {"wait": 5}
    assert not socket.active
    allowed = True
    pair.driver.run(socket.connect())
    assert socket.connected
    pair.close()


@EVERY_TRANSPORT
def test_retries_deliver_once_more_and_in_order(transport: str, revision: int) -> None:
    pair = on(transport, revision, client={"retries": 5, "ack_timeout": 3})
    socket = pair.socket()
    pair.driver.run(socket.connect())
    pair.driver.advance(1)
    tasks = [pair.driver.start(socket.emit("echo", number)) for number in range(5)]
    pair.driver.cut()
    pair.driver.run_until(lambda: all(task.done for task in tasks))
    for task in tasks:
        task.result()
    echoed = [call[1] for call in pair.calls("server") if call[0] == "echo"]
    assert list(dict.fromkeys(echoed)) == list(range(5))
    assert len(echoed) <= 6
    pair.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_was_missed_is_recovered(transport: str) -> None:
    pair = on(transport, 4, recovery=Recovery())
    seen: list[Any] = []
    socket = pair.socket()
    socket.on("news")(lambda *args: seen.append(args))
    pair.driver.run(socket.connect())
    first = socket.id
    pair.io.emit("news", 1, "text")
    pair.driver.advance(1)
    pair.driver.cut()
    pair.driver.settle()
    pair.io.emit("news", 2, b"binary")
    pair.io.emit("news", 3)
    pair.driver.run_until(lambda: socket.connected)
    pair.driver.settle()
    assert socket.recovered
    assert socket.id == first
    assert seen == [(1, "text"), (2, b"binary"), (3,)]
    pair.io.emit("news", 4)
    pair.driver.advance(1)
    assert seen[3:] == [(4,)]
    pair.close()


@EVERY_TRANSPORT
def test_an_answer_that_never_comes(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    pair.io.on("ignored")(lambda socket: None)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    with pytest.raises(AckTimeout):
        pair.driver.run(socket.emit_with_ack("ignored", timeout=3))
    task = pair.driver.start(socket.emit_with_ack("ignored"))
    pair.driver.advance(1)
    pair.driver.cut()
    pair.driver.settle()
    with pytest.raises(Disconnected):
        task.result()
    pair.close()


@EVERY_TRANSPORT
def test_dials_that_fail_are_repeated_slower_and_slower(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    moments: list[float] = []

    def script(dial: Dial) -> None:
        moments.append(pair.driver.clock.now)
        if len(moments) <= 6:
            dial.refusal = "no such host"

    pair.driver.script = script
    socket = pair.socket()
    pair.driver.run_until(lambda: socket.connected)
    # 1, 2, 4 and then 5 seconds: randomness is switched off here.
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert waits[:6] == pytest.approx([1, 2, 4, 5, 5, 5])
    assert [call for call in pair.calls("client") if call[0] == "connect_error"] == [
        ("connect_error", "no such host")
    ] * 6
    pair.close()


# Time that passes for one side only ------------------------------------------------------------------------------


@EVERY_TRANSPORT
def test_a_machine_that_slept_sends_nothing_into_a_dead_connection(transport: str, revision: int) -> None:
    pair = on(transport, revision)
    socket = pair.socket()
    pair.driver.run(socket.connect())
    pair.driver.advance(1)
    # The server has given it up, and the network has lost what would have told: a home router, say.
    for link in pair.driver.links:
        link.stall()
    pair.driver.suspend(600)
    assert socket.connected
    socket.emit("echo", "after the sleep")
    pair.driver.run_until(lambda: ("echo", "after the sleep") in pair.calls("server"), 5)
    assert pair.calls("client").count(("disconnect", "ping timeout")) == 1
    pair.driver.advance(100)
    assert pair.calls("server").count(("echo", "after the sleep")) == 1
    pair.close()


def test_a_blocked_loop_is_no_silent_server() -> None:
    sent: list[bytes] = []

    def script(connection: OddConnection, request: Request) -> None:
        connection.upgrade(request)
        connection.on_frame = lambda opcode, payload: sent.append(payload)
        connection.send(open_packet(pingInterval=10_000, pingTimeout=5_000), '40{"sid":"abc"}')
        for moment in range(10, 100, 10):
            connection.stream.link.to_client._clock.call_at(moment, lambda: connection.send("2"))

    client = Client(transports=["websocket"])
    driver = odd_server(script).attach(client)
    socket = client.socket(URL)
    driver.run(socket.connect())
    # Much longer than it waits for a PING; but those that are due are in the pipe.
    driver.block(45)
    assert socket.connected
    assert sent.count(b"3") == 4
    driver.advance(50)
    assert socket.connected
    # And then there are no more.
    reasons: list[str] = []
    socket.on("disconnect")(lambda reason, detail: reasons.append(reason))
    driver.advance(14)
    assert reasons == ["ping timeout"]
    driver.close()
