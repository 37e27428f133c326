"""WebSockets of an ASGI server: messages both ways, the upgrade, slow and vanishing clients."""

from __future__ import annotations

import pytest

import siocore
from asgi_harness import LOOPS, Server, on_each_loop, run_on, with_options


@on_each_loop
async def test_a_client_opens_a_session_and_talks(server: Server) -> None:
    @server.io.on("echo")
    async def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
        return args

    socket = await server.websocket()
    assert socket.sent[0] == {"type": "websocket.accept", "headers": []}
    assert str(socket.heard[0]).startswith('0{"sid":"')
    socket.say("40")
    await server.settle()
    socket.sent.clear()
    socket.say('420["echo","é"]')
    socket.say('451-1["echo",{"_placeholder":true,"num":0}]')
    socket.say(b"\x00\xff")
    await server.settle()
    assert socket.heard == ['430["é"]', '461-1[{"_placeholder":true,"num":0}]', b"\x00\xff"]


@on_each_loop
async def test_messages_of_every_length_arrive_whole(server: Server) -> None:
    socket = await server.join_websocket()
    for size in (0, 1, 117, 118, 65_527, 65_528, 300_000):
        server.io.emit("e", "x" * size)
    server.io.emit("b", b"y" * 70_000)
    await server.settle()
    expected: list[str | bytes] = [f'42["e","{"x" * size}"]' for size in (0, 1, 117, 118, 65_527, 65_528, 300_000)]
    assert socket.heard == [*expected, '451-["b",{"_placeholder":true,"num":0}]', b"y" * 70_000]


@on_each_loop
async def test_a_broadcast_reaches_everybody_and_is_decoded_once(server: Server) -> None:
    sockets = [await server.join_websocket() for _ in range(3)]
    server.io.emit("news", "é" * 500)
    await server.settle()
    heard = [socket.heard for socket in sockets]
    assert heard == [['42["news","{}"]'.format("é" * 500)]] * 3
    assert heard[0][0] is heard[1][0] is heard[2][0]


@on_each_loop
async def test_a_session_upgrades_and_loses_nothing(server: Server) -> None:
    session = await server.join_polling()
    parked = await server.poll(session)
    socket = await server.websocket(session.replace("polling", "websocket"))
    socket.say("2probe")
    await server.settle()
    assert socket.heard == ["3probe"]
    assert parked.text == "6"
    server.io.emit("news", 1)
    socket.say("5")
    await server.settle()
    server.io.emit("news", 2)
    await server.settle()
    assert socket.heard == ["3probe", '42["news",1]', '42["news",2]']
    assert (await server.poll(session)).status == 400
    assert server.sessions == 1


@on_each_loop
async def test_a_silent_client_is_pinged_and_timed_out(server: Server) -> None:
    socket = await server.join_websocket()
    await server.sleep(25.1)
    assert socket.heard == ["2"]
    socket.say("3")
    await server.sleep(25.1)
    assert socket.heard == ["2", "2"]
    await server.sleep(20)
    assert socket.closed == 1000
    assert socket.done
    assert server.sessions == 0


@on_each_loop
async def test_the_end_of_a_websocket_is_the_end_of_its_session(server: Server) -> None:
    reasons: list[str] = []

    @server.io.on("disconnect")
    def gone(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)

    socket = await server.join_websocket()
    socket.disconnect(1001)
    await server.settle()
    assert reasons == ["transport close"]
    assert socket.done
    assert socket.error is None
    assert server.sessions == server.connections == 0


@on_each_loop
async def test_a_cancelled_websocket_is_a_lost_one(server: Server) -> None:
    socket = await server.join_websocket()
    socket.cancel()
    await server.settle()
    assert socket.done
    assert server.sessions == server.connections == 0


@on_each_loop
async def test_disconnecting_a_client_sends_what_was_queued_first(server: Server) -> None:
    @server.io.on("leave")
    def leave(socket: siocore.Socket) -> None:
        socket.emit("goodbye")
        socket.disconnect(close=True)

    socket = await server.join_websocket()
    socket.say('42["leave"]')
    await server.settle()
    assert socket.heard == ['42["goodbye"]', "41"]
    assert socket.sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}
    assert socket.done


@with_options(limits=siocore.Limits(max_payload=1_000))
async def test_a_message_may_be_as_large_as_the_limit_and_no_larger(server: Server) -> None:
    for message, over in (
        ("x" * 1_000, False),
        ("x" * 1_001, True),
        ("é" * 500, False),
        ("é" * 500 + "x", True),
        (b"x" * 1_000, False),
        (b"x" * 1_001, True),
    ):
        socket = await server.join_websocket()
        # Text that is no packet, or an attachment that nobody announced: closed either way, but for another reason.
        socket.say(message)
        await server.settle()
        assert (socket.closed == 1009) is over, message[:1]


@with_options(limits=siocore.Limits(max_buffered=10_000))
async def test_a_client_that_takes_nothing_is_closed_before_much_waits_for_it(server: Server) -> None:
    reasons: list[str] = []

    @server.io.on("disconnect")
    def gone(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)

    slow = await server.join_websocket()
    quick = await server.join_websocket()
    slow.blocked = True
    for number in range(300):
        server.io.emit("news", number, "x" * 100)
        await server.settle()
    assert reasons == ["slow consumer"]
    assert len(quick.heard) == 300
    assert not slow.done
    # It is given close_timeout to take what is left.
    await server.sleep(5.1)
    assert slow.done
    assert server.connections == 1


@on_each_loop
async def test_a_slow_client_that_recovers_gets_everything_in_order(server: Server) -> None:
    socket = await server.join_websocket()
    socket.blocked = True
    for number in range(50):
        server.io.emit("news", number)
    await server.sleep(1)
    assert not socket.heard
    socket.unblock()
    await server.settle()
    assert socket.heard == [f'42["news",{number}]' for number in range(50)]


@on_each_loop
async def test_awaiting_emit_waits_for_a_slow_client(server: Server) -> None:
    sent: list[int] = []

    @server.io.on("stream")
    async def stream(socket: siocore.Socket) -> None:
        for number in range(10):
            await socket.emit("chunk", "x" * 40_000)
            sent.append(number)

    socket = await server.join_websocket()
    socket.blocked = True
    socket.say('42["stream"]')
    await server.settle()
    assert sent == [0]
    socket.unblock()
    await server.settle()
    assert sent == list(range(10))


@on_each_loop
async def test_volatile_events_are_dropped_while_a_client_is_slow(server: Server) -> None:
    socket = await server.join_websocket()
    server.io.volatile.emit("v", 1)
    server.io.volatile.emit("v", 2)
    await server.settle()
    socket.blocked = True
    server.io.emit("e", 3)
    await server.settle()
    server.io.volatile.emit("v", 4)
    await server.settle()
    socket.unblock()
    await server.settle()
    server.io.volatile.emit("v", 5)
    await server.settle()
    assert socket.heard == ['42["v",1]', '42["v",2]', '42["e",3]', '42["v",5]']


@on_each_loop
async def test_an_error_of_send_is_the_end_of_the_websocket(server: Server) -> None:
    for error in (BrokenPipeError(), RuntimeError("Unexpected ASGI message 'websocket.send'")):
        socket = await server.join_websocket()
        socket.fails = error
        server.io.emit("news")
        await server.settle()
        assert socket.done
        assert socket.error is None
        assert server.sessions == server.connections == 0


@on_each_loop
async def test_a_client_that_leaves_while_it_is_accepted_leaves_nothing_behind(server: Server) -> None:
    for leave in ("send fails", "cancelled", "never read"):
        socket = server.new_websocket()
        if leave == "send fails":
            socket.fails = BrokenPipeError()
        else:
            socket.blocked = True
        server.start(socket)
        await server.settle()
        if leave == "cancelled":
            socket.cancel()
            await server.settle()
        elif leave == "never read":
            await server.sleep(51)
        assert socket.done, leave
        assert not socket.sent
        assert server.sessions == server.connections == 0, leave


@with_options(limits=siocore.Limits(max_running_handlers=1, max_held=1))
async def test_nothing_is_received_while_too_many_handlers_run(server: Server) -> None:
    gates = [server.new_waiter() for _ in range(4)]
    started: list[int] = []

    @server.io.on("slow")
    async def slow(socket: siocore.Socket, number: int) -> None:
        started.append(number)
        await gates[number].wait()

    socket = await server.join_websocket()
    before = socket.received
    for number in range(4):
        socket.say(f'42["slow",{number}]')
        await server.settle()
    # One runs, one is held, and one came by the receive() that was under way by then.
    assert started == [0]
    assert socket.received - before == 3
    for gate in gates:
        gate.wake()
        await server.settle()
    assert started == [0, 1, 2, 3]
    assert socket.received - before == 4


@on_each_loop
async def test_a_flood_waits_for_its_handlers(server: Server) -> None:
    """A server that hands on messages without ever suspending can't pile them up in us."""
    handled = 0
    ahead: list[int] = []

    @server.io.on("e")
    def event(_: siocore.Socket) -> None:
        nonlocal handled
        handled += 1
        ahead.append(socket.received - before - handled)

    socket = await server.join_websocket()
    before = socket.received
    for _ in range(1_000):
        socket.say('42["e"]')
    await server.settle()
    assert handled == 1_000
    assert 10 < max(ahead) < 64


@on_each_loop
async def test_a_refused_websocket_is_answered_as_well_as_the_server_can(server: Server) -> None:
    plain = await server.websocket("EIO=4&transport=websocket&sid=unknown")
    assert plain.sent == [{"type": "websocket.close", "code": 1008}]
    assert plain.done
    able = await server.websocket("EIO=4&transport=websocket&sid=unknown", extensions={"websocket.http.response": {}})
    start, body = able.sent
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 400
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])
    assert body["type"] == "websocket.http.response.body"
    assert body["body"].startswith(b"Session ID unknown")


@on_each_loop
async def test_other_origins_are_refused_before_the_websocket_is_accepted(server: Server) -> None:
    socket = await server.websocket(headers={"origin": "https://evil.example"})
    assert [message["type"] for message in socket.sent] == ["websocket.close"]
    assert server.sessions == 0


@on_each_loop
async def test_the_first_subprotocol_that_is_offered_is_chosen(server: Server) -> None:
    socket = await server.websocket(subprotocols=["one", "two"])
    assert socket.sent[0]["subprotocol"] == "one"


@on_each_loop
async def test_text_frames_alone_for_who_asks_for_base64(server: Server) -> None:
    socket = await server.websocket("EIO=4&transport=websocket&b64=1")
    socket.say("40")
    await server.settle()
    server.io.emit("e", b"\x00\x01")
    await server.settle()
    assert socket.heard[-2:] == ['451-["e",{"_placeholder":true,"num":0}]', "bAAE="]


@pytest.mark.parametrize("loop", LOOPS)
def test_the_application_decides_in_its_own_time_about_handshakes(loop: str) -> None:
    async def allow(request: siocore.Request) -> bool:
        await servers[0].sleep(1)
        return request.parameter("ticket") == "good"

    servers: list[Server] = []

    async def scenario(server: Server) -> None:
        servers.append(server)
        good = await server.websocket("EIO=4&transport=websocket&ticket=good")
        bad = await server.websocket("EIO=4&transport=websocket&ticket=bad")
        left = await server.websocket("EIO=4&transport=websocket&ticket=good")
        polling = await server.request("GET", "EIO=4&transport=polling&ticket=good")
        refused = await server.request("GET", "EIO=4&transport=polling&ticket=bad")
        gone = await server.request("GET", "EIO=4&transport=polling&ticket=good")
        await server.sleep(0.5)
        left.disconnect()
        gone.disconnect()
        await server.settle()
        assert left.done
        assert gone.done
        assert not any(call.sent for call in (good, bad, left, polling, refused, gone))
        await server.sleep(1)
        assert [message["type"] for message in good.sent] == ["websocket.accept", "websocket.send"]
        assert [message["type"] for message in bad.sent] == ["websocket.close"]
        assert (polling.status, refused.status) == (200, 403)
        assert server.sessions == 2
        assert not left.sent
        assert not gone.sent

    run_on(loop, scenario, allow_request=allow)


def _extra(headers: dict[str, str], request: siocore.Request) -> None:
    headers["X-Extra"] = "1"


@with_options(cookie="sid", headers=_extra)
async def test_cookies_and_headers_are_sent_with_the_acceptance(server: Server) -> None:
    socket = await server.websocket()
    headers = dict(socket.sent[0]["headers"])
    assert headers[b"set-cookie"].startswith(b"sid=")
    assert headers[b"x-extra"] == b"1"
