"""Decisions about handshakes, cookies and header hooks behind an ASGI server: as on our own sockets."""

from __future__ import annotations

import siocore
from asgi_harness import Server, on_each_loop, with_options
from siocore.waiting import Waiter

HANDSHAKES = ("EIO=4&transport=polling", "EIO=4&transport=websocket")


class Gates:
    """Makes every decision of a server wait until they are opened."""

    def __init__(self, server: Server, verdict: bool = True) -> None:
        self._server = server
        self._verdict = verdict
        self._waiters: list[Waiter] = []
        object.__setattr__(server.io.options, "allow_request", self._allow)

    async def _allow(self, request: siocore.Request) -> bool:
        # A waiter is for one.
        self._waiters.append(waiter := self._server.new_waiter())
        await waiter.wait()
        return self._verdict

    async def open(self) -> None:
        for waiter in self._waiters:
            waiter.wake()
        await self._server.settle()


# Replaced in the tests, which make functions that wait for something of their event loop.
PLACEHOLDER = {"allow_request": lambda request: True}


@with_options(**PLACEHOLDER)
async def test_a_client_waits_for_the_decision(server: Server) -> None:
    gates = Gates(server)
    polling = await server.request("GET", HANDSHAKES[0])
    websocket = await server.websocket(HANDSHAKES[1])
    assert polling.sent == websocket.sent == []
    await gates.open()
    assert polling.status == 200
    assert websocket.sent[0]["type"] == "websocket.accept"
    assert server.sessions == 2


@with_options(**PLACEHOLDER)
async def test_a_refused_client_gets_no_session(server: Server) -> None:
    gates = Gates(server, verdict=False)
    polling = await server.request("GET", HANDSHAKES[0])
    websocket = await server.websocket(HANDSHAKES[1])
    await gates.open()
    assert polling.status == 403
    assert [message["type"] for message in websocket.sent] == ["websocket.close"]
    assert server.sessions == 0


@with_options(**PLACEHOLDER)
async def test_a_client_that_leaves_meanwhile_gets_no_session(server: Server) -> None:
    gates = Gates(server)
    polling = await server.request("GET", HANDSHAKES[0])
    websocket = await server.websocket(HANDSHAKES[1])
    polling.disconnect()
    websocket.disconnect()
    await server.settle()
    assert (polling.done, websocket.done) == (True, True)
    assert server.io.protocol.pending == {}
    await gates.open()
    assert server.sessions == 0


@with_options(limits=siocore.Limits(handshake_timeout=2), **PLACEHOLDER)
async def test_no_decision_in_time_refuses(server: Server) -> None:
    gates = Gates(server)
    polling = await server.request("GET", HANDSHAKES[0])
    websocket = await server.websocket(HANDSHAKES[1])
    await server.sleep(2.1)
    assert polling.status == 503
    assert [message["type"] for message in websocket.sent] == ["websocket.close"]
    await gates.open()
    assert server.sessions == 0


@with_options(
    cookie=True,
    generate_session_id=lambda request: "worker-1_" + request.query["transport"][0],
    initial_headers=lambda headers, request: headers.update({"x-first": "1"}),
    headers=lambda headers, request: headers.update({"x-all": "1"}),
)
async def test_ids_cookies_and_headers_are_the_applications(server: Server) -> None:
    polling = await server.request("GET", HANDSHAKES[0])
    websocket = await server.websocket(HANDSHAKES[1])
    for headers, sid in ((polling.headers, b"polling"), (dict(websocket.sent[0]["headers"]), b"websocket")):
        assert headers[b"set-cookie"] == b"io=worker-1_" + sid + b"; Path=/; HttpOnly; SameSite=Lax"
        assert (headers[b"x-first"], headers[b"x-all"]) == (b"1", b"1")


@on_each_loop
async def test_a_failing_function_for_origins_does_not_reach_the_asgi_server(server: Server) -> None:
    refused = await server.request("GET", HANDSHAKES[0], headers={"origin": "https://evil.example"})
    assert refused.status == 403
    assert "cors_origins" in refused.text
