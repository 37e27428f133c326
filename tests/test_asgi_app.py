"""Which requests are ours, where a mounted application finds itself, and how it starts and stops."""

from __future__ import annotations

import asyncio
import gc
import typing
from typing import Any

import pytest
import trio

import siocore
from asgi_harness import LOOPS, Http, Server, on_each_loop, run_abruptly, run_on
from siocore.asgi import ASGIApp

HANDSHAKE = "EIO=4&transport=polling"


async def other(scope: Any, receive: Any, send: Any) -> None:
    """Another application: answers with the path, knows no lifespan."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4_000})
        return
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


# Paths ------------------------------------------------------------------------------------------------------------

#: path and root_path of the scope, path= of the application, whether it has other_app: is the request ours?
PLACES = [
    # Alone, at the root.
    ("/socket.io/", "", None, False, True),
    ("/socket.io", "", None, False, True),
    # Around another application.
    ("/socket.io/", "", None, True, True),
    ("/socket.io", "", None, True, True),
    ("/", "", None, True, False),
    ("/socket.iox/", "", None, True, False),
    ("/x/socket.io/", "", None, True, False),
    # Behind a root path, which is in front of the path or not.
    ("/api/socket.io/", "/api", None, True, True),
    ("/api/socket.io/", "/api/", None, True, True),
    ("/socket.io/", "/api", None, True, True),
    ("/api/", "/api", None, True, False),
    ("/apisocket.io/", "/api", None, True, False),
    # Mounted: Starlette leaves the mount point in the path, Litestar takes it away.
    ("/socket.io/", "/socket.io", None, False, True),
    ("/socket.io", "/socket.io", None, False, True),
    ("/ws/", "/ws", None, False, True),
    ("/ws/socket.io/", "/ws", None, False, True),
    ("/", "", None, False, True),
    ("", "", None, False, True),
    # Somewhere else.
    ("/live/", "", "/live", True, True),
    ("/live", "", "/live/", True, True),
    ("/api/live/", "/api", "/live", True, True),
    ("/socket.io/", "", "/live", True, False),
    ("/", "", "/live", False, False),
]


@pytest.mark.parametrize(("path", "root", "own", "wrapped", "ours"), PLACES)
def test_requests_are_ours_by_their_path_below_the_root_path(
    path: str, root: str, own: str | None, wrapped: bool, ours: bool
) -> None:
    async def scenario(server: Server) -> None:
        server.app = ASGIApp(server.io, other if wrapped else None, path=own)
        request = await server.request("GET", HANDSHAKE, path=path, root_path=root)
        assert request.status == (200 if ours else 299 if wrapped else 404)
        assert server.sessions == ours
        if wrapped and not ours:
            assert request.text == path
        socket = await server.websocket(path=path, root_path=root)
        assert bool(socket.heard) is ours
        assert socket.closed == (None if ours else 4_000 if wrapped else 1008)

    run_on("asyncio", scenario)


@pytest.mark.parametrize(
    ("path", "root", "wrapped"),
    [
        ("/socket.io/page.js", "", True),
        ("/api/socket.io/page.js", "/api", True),
        ("/ws/page.js", "/ws", False),
        ("/page.js", "", False),
    ],
)
def test_files_beside_the_engine_path_are_found_where_it_is_mounted(path: str, root: str, wrapped: bool) -> None:
    async def scenario(server: Server) -> None:
        server.io.add_resource("/socket.io/page.js", b"alert()", "text/javascript")
        server.io.add_resource("/p%C3%A4ge", b"umlaut", "text/plain")
        server.app = ASGIApp(server.io, other if wrapped else None)
        found = await server.request("GET", path=path, root_path=root)
        assert (found.status, found.text) == (200, "alert()")
        again = await server.request(
            "GET", path=path, root_path=root, headers={"if-none-match": found.headers[b"etag"].decode()}
        )
        assert (again.status, again.text) == (304, "")

    run_on("asyncio", scenario)


@on_each_loop
async def test_what_is_not_ours_is_answered_with_a_hint(server: Server) -> None:
    server.app = ASGIApp(server.io, path="/live/")
    missing = await server.request("GET", path="/sociable/ä?")
    assert missing.status == 404
    assert missing.text == "Not Found: this server speaks Socket.IO at /socket.io/\n"


def test_a_path_must_be_one() -> None:
    for path in ("live", "/live?x", "/live#x"):
        with pytest.raises(ValueError, match="path must start with"):
            ASGIApp(siocore.Server(), path=path)


@on_each_loop
async def test_the_handshake_tells_the_truth_about_the_client(server: Server) -> None:
    seen: list[siocore.Request] = []
    server.io.on("connection")(lambda socket: seen.append(socket.link.request))
    for client, scheme in ((("192.0.2.7", 1_234), "ws"), (["2001:db8::1", 5], "wss"), (None, "ws")):
        socket = await server.websocket(
            "EIO=4&transport=websocket&token=%C3%A9", headers={"x-real": "no"}, client=client, scheme=scheme
        )
        socket.say("40")
        await server.settle()
    assert [request.address for request in seen] == ["192.0.2.7", "2001:db8::1", None]
    assert [request.secure for request in seen] == [False, True, False]
    assert seen[0].peer == ("192.0.2.7", 1_234)
    assert seen[0].query == {"EIO": ["4"], "transport": ["websocket"], "token": ["é"]}
    assert seen[0].headers["x-real"] == "no"
    assert seen[0].method == "GET"


def test_frameworks_can_read_the_annotations() -> None:
    hints = typing.get_type_hints(ASGIApp.__call__)
    assert set(hints) == {"scope", "receive", "send", "return"}


@on_each_loop
async def test_an_unknown_scope_is_refused_or_handed_on(server: Server) -> None:
    strange = Http(server, {"type": "webtransport"})
    server.start(strange)
    await server.settle()
    assert isinstance(strange.error, RuntimeError)
    assert "webtransport" in str(strange.error)


# The lifespan -----------------------------------------------------------------------------------------------------


@on_each_loop
async def test_the_lifespan_is_answered_where_there_is_no_other_application(server: Server) -> None:
    lifespan = await server.lifespan()
    assert lifespan.said == ["startup.complete"]
    socket = await server.join_websocket()
    lifespan.tell(type="lifespan.shutdown")
    await server.settle()
    assert lifespan.said == ["startup.complete", "shutdown.complete"]
    assert lifespan.done
    assert socket.closed == 1001


@on_each_loop
async def test_an_other_application_without_lifespan_does_not_matter(server: Server) -> None:
    for silent in (other, _returns_at_once, _raises_when_asked):
        server.app = ASGIApp(server.io, silent)
        lifespan = await server.lifespan()
        assert lifespan.said == ["startup.complete"], silent
        lifespan.tell(type="lifespan.shutdown")
        await server.settle()
        assert lifespan.said == ["startup.complete", "shutdown.complete"], silent
        assert lifespan.error is None


async def _returns_at_once(scope: Any, receive: Any, send: Any) -> None:
    return


async def _raises_when_asked(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise ValueError("no lifespan")


@on_each_loop
async def test_the_lifespan_of_the_other_application_is_inside_of_ours(server: Server) -> None:
    order: list[str] = []

    async def around(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        order.append("up")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        order.append("down")
        await send({"type": "lifespan.shutdown.complete"})

    server.io.on("disconnect")(lambda socket, reason: order.append(reason))
    server.app = ASGIApp(server.io, around)
    lifespan = await server.lifespan()
    await server.join_websocket()
    lifespan.tell(type="lifespan.shutdown")
    await server.settle()
    assert lifespan.said == ["startup.complete", "shutdown.complete"]
    # Our handlers may use what the other application closes.
    assert order == ["up", "server shutting down", "down"]


@on_each_loop
async def test_a_startup_that_fails_is_passed_on(server: Server) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ValueError("no database")

    server.app = ASGIApp(server.io, failing)
    lifespan = await server.lifespan()
    assert lifespan.sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert isinstance(lifespan.error, ValueError)
    assert server.io.protocol.wake is None


@on_each_loop
async def test_polling_clients_are_told_of_the_shutdown(server: Server) -> None:
    lifespan = await server.lifespan()
    session = await server.join_polling()
    parked = await server.poll(session)
    lifespan.tell(type="lifespan.shutdown")
    await server.settle()
    assert parked.text == "1"
    assert lifespan.said == ["startup.complete", "shutdown.complete"]


@on_each_loop
async def test_handlers_have_grace_to_finish_and_are_cancelled_then(server: Server) -> None:
    ends: list[str] = []

    @server.io.on("work")
    async def work(socket: siocore.Socket, seconds: float) -> None:
        try:
            await server.sleep(seconds)
            ends.append("finished")
        except BaseException:
            ends.append("cancelled")
            raise

    server.app = ASGIApp(server.io, grace=3.0)
    lifespan = await server.lifespan()
    socket = await server.join_websocket()
    socket.say('42["work",2]')
    socket.say('42["work",4]')
    await server.settle()
    lifespan.tell(type="lifespan.shutdown")
    await server.sleep(2.5)
    assert ends == ["finished"]
    assert socket.closed == 1001
    assert not lifespan.done
    await server.sleep(0.6)
    assert ends == ["finished", "cancelled"]
    assert lifespan.said == ["startup.complete", "shutdown.complete"]


@on_each_loop
async def test_a_client_that_reads_nothing_does_not_hold_up_the_shutdown(server: Server) -> None:
    server.app = ASGIApp(server.io, grace=3.0)
    lifespan = await server.lifespan()
    socket = await server.join_websocket()
    session = await server.join_polling()
    parked = await server.poll(session)
    socket.blocked = parked.blocked = True
    lifespan.tell(type="lifespan.shutdown")
    await server.sleep(3.1)
    assert lifespan.done
    assert socket.done
    assert parked.done


@on_each_loop
async def test_a_mounted_application_starts_with_the_first_request_and_stops_when_it_is_told(server: Server) -> None:
    socket = await server.join_websocket()
    await server.app.shutdown()
    assert socket.closed == 1001
    # And starts again.
    await server.join_websocket()
    assert server.sessions == 1


@on_each_loop
async def test_an_application_is_served_once_at_a_time(server: Server) -> None:
    await server.join_websocket()
    twin = ASGIApp(server.io)
    with pytest.raises(RuntimeError, match="served already"):
        twin.start()


@pytest.mark.parametrize("loop", LOOPS)
def test_an_application_outlives_event_loops_that_end_without_a_word(loop: str) -> None:
    io = siocore.Server()
    app = ASGIApp(io)
    ends: list[str] = []

    @io.on("wait")
    async def wait(_: siocore.Socket, seconds: float) -> None:
        try:
            await servers[-1].sleep(seconds)
        finally:
            ends.append("over")

    servers: list[Server] = []

    async def scenario(server: Server) -> None:
        servers.append(server)
        server.app = app
        socket = await server.join_websocket()
        socket.say('42["wait",1000]')
        parked = await server.poll(await server.join_polling())
        assert not parked.sent
        # And one that no task speaks for at the moment.
        await server.join_polling()
        assert server.sessions == 3

    for _ in range(3):
        run_abruptly(loop, scenario, io)
        # A task that was destroyed, or never ended, would be reported here.
        gc.collect()
    assert ends == ["over"] * 3


def test_an_event_loop_of_another_thread_is_refused() -> None:
    app = ASGIApp(siocore.Server())

    async def on_trio() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            app.start()

    async def on_asyncio() -> None:
        app.start()
        await asyncio.to_thread(trio.run, on_trio)
        await app.shutdown()

    asyncio.run(on_asyncio())


def test_no_event_loop_is_an_error_that_says_so() -> None:
    with pytest.raises(RuntimeError, match="asyncio and trio"):
        ASGIApp(siocore.Server()).start()


@on_each_loop
async def test_emitting_from_outside_of_any_request_reaches_clients(server: Server) -> None:
    socket = await server.join_websocket()
    parked = await server.poll(await server.join_polling())
    await server.sleep(1)
    server.io.emit("news")
    await server.settle()
    assert socket.heard == ['42["news"]']
    assert parked.text == '42["news"]'
