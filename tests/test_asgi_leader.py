"""The task that runs handlers and timers inside an ASGI server."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
import trio

import siocore
from asgi_harness import LOOPS, Server, on_each_loop, run_abruptly, run_on
from siocore.asgi import ASGIApp
from siocore.events import HandshakeRequested

variable: ContextVar[str] = ContextVar("variable", default="untouched")


@pytest.mark.parametrize("loop", LOOPS)
def test_other_threads_may_emit(loop: str) -> None:
    io = siocore.Server()

    async def scenario(server: Server) -> None:
        socket = server.new_websocket()
        server.start(socket)
        socket.say("40")
        while len(socket.sent) < 3:
            await socket.next_sent()
        for number in range(20):
            # Between two of them everybody waits.
            thread = threading.Timer(0.002, io.emit, ("news", number))
            thread.start()
            await socket.next_sent()
            thread.join()
        assert socket.heard[2:] == [f'42["news",{number}]' for number in range(20)]
        await server.app.shutdown()

    run_abruptly(loop, scenario, io, real_time=True)


@on_each_loop
async def test_a_blocked_event_loop_costs_nobody_the_session_whose_answer_has_arrived(server: Server) -> None:
    here = await server.join_websocket()
    silent = await server.join_websocket()
    here.hops = 6
    await server.sleep(25.1)
    assert here.heard == silent.heard == ["2"]
    here.say("3")
    server.block(60)
    await server.settle()
    assert not here.done
    assert silent.done
    assert server.sessions == 1


@on_each_loop
async def test_a_handler_that_blocks_costs_nobody_the_session_whose_answer_has_arrived(server: Server) -> None:
    @server.io.on("block")
    def block(_: siocore.Socket) -> None:
        if not blocked:
            blocked.append(True)
            here.say("3")
            server.block(60)

    blocked: list[bool] = []
    here = await server.join_websocket()
    busy = await server.join_websocket()
    here.hops = 6
    await server.sleep(25.1)
    for _ in range(20):
        busy.say('42["block"]')
    await server.settle()
    assert here.heard == ["2"]
    assert not here.done
    assert not busy.done


@on_each_loop
async def test_other_tasks_have_their_turn_between_long_handlers(server: Server) -> None:
    done: list[bool] = []

    @server.io.on("work")
    def work(_: siocore.Socket) -> None:
        parked.disconnect()
        server.block(0.003)
        done.append(parked.done)

    parked = await server.poll(await server.join_polling())
    socket = await server.join_websocket()
    for _ in range(20):
        socket.say('42["work"]')
    await server.sleep(1)
    assert len(done) == 20
    assert not done[0]
    assert done[-1]


@on_each_loop
async def test_a_handler_does_not_see_the_context_of_the_request_that_came_first(server: Server) -> None:
    seen: list[str] = []
    server.io.on("look")(lambda socket: seen.append(variable.get()))
    inner = server.app

    async def middleware(scope: object, receive: object, send: object) -> None:
        variable.set("of a request")
        await inner(scope, receive, send)

    server.app = middleware
    socket = await server.join_websocket()
    socket.say('42["look"]')
    await server.settle()
    server.app = inner
    assert seen == ["untouched"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_failure_of_the_core_is_logged_once_and_fails_every_request(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(siocore.Server):
        @property
        def dispatch(self) -> object:  # type: ignore[override]
            def dispatch(event: object) -> None:
                if armed:
                    raise ZeroDivisionError("a bug")
                # The last one is kept waiting.
                if isinstance(event, HandshakeRequested) and len(io.protocol.sessions) < 2:
                    event.handshake.accept()

            return dispatch

    armed: list[bool] = []
    io = Failing(allow_request=lambda request: True)

    async def scenario(server: Server) -> None:
        socket = await server.websocket()
        parked = await server.poll(await server.open_polling())
        undecided = await server.websocket(extensions={"websocket.http.response": {}})
        assert not undecided.sent
        armed.append(True)
        io.protocol.push_event(object())
        await server.settle()
        assert socket.done
        assert parked.status == 503
        assert undecided.sent[0]["status"] == 503
        for _ in range(2):
            late = await server.request("GET", "EIO=4&transport=polling")
            assert isinstance(late.error, RuntimeError)
            assert isinstance(late.error.__cause__, ZeroDivisionError)
        await server.app.shutdown()

    run_abruptly(loop, scenario, io)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_a_handler_that_exits_ends_the_event_loop_of_asyncio() -> None:
    async def scenario(server: Server) -> None:
        @server.io.on("exit")
        def leave(_: siocore.Socket) -> None:
            raise SystemExit(7)

        socket = await server.join_websocket()
        socket.say('42["exit"]')
        await server.sleep(1)

    with pytest.raises(SystemExit, match="7"):
        run_on("asyncio", scenario)


def test_a_handler_that_exits_ends_the_trio_run() -> None:
    async def scenario(server: Server) -> None:
        @server.io.on("exit")
        def leave(_: siocore.Socket) -> None:
            raise SystemExit(7)

        socket = await server.join_websocket()
        socket.say('42["exit"]')
        await server.sleep(1)

    with pytest.raises(trio.TrioInternalError) as caught:
        run_on("trio", scenario)
    cause = caught.value.__cause__
    assert isinstance(cause, BaseExceptionGroup)
    assert cause.split(SystemExit)[1] is None


def test_a_leader_that_a_handler_cancels_by_mistake_has_a_successor() -> None:
    async def scenario(server: Server) -> None:
        tasks: list[asyncio.Task[object]] = []

        @server.io.on("remember")
        async def remember(_: siocore.Socket) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)

        socket = await server.join_websocket()
        socket.say('42["remember"]')
        await server.settle()
        tasks[0].cancel()
        await server.settle()
        assert tasks[0].cancelled()
        await server.sleep(1)
        socket.say('421["remember"]')
        await server.settle()
        assert len(tasks) == 2
        assert tasks[1] is not tasks[0]

    run_on("asyncio", scenario)


@on_each_loop
async def test_handlers_may_use_the_library_as_anywhere(server: Server) -> None:
    """A handler that suspends is in a task of its own: its timeouts work and cancel nobody else."""
    done: list[object] = []

    @server.io.on("limited")
    async def limited(_: siocore.Socket, name: str) -> None:
        await server.sleep(0.1)
        if name == "trio":
            with trio.move_on_after(1) as scope:
                await trio.sleep(100)
            done.append(scope.cancelled_caught)
        else:
            try:
                async with asyncio.timeout(1):
                    await asyncio.sleep(100)
            except TimeoutError:
                done.append(True)

    name = "trio" if type(server.new_waiter()).__module__.startswith("siocore.trio") else "asyncio"
    socket = await server.join_websocket()
    socket.say(f'42["limited","{name}"]')
    socket.say(f'42["limited","{name}"]')
    await server.sleep(2)
    assert done == [True, True]


def test_two_applications_do_not_share_one_server() -> None:
    io = siocore.Server()

    async def scenario(server: Server) -> None:
        await server.join_websocket()
        with pytest.raises(RuntimeError, match="served already"):
            ASGIApp(io).start()
        await server.app.shutdown()

    run_abruptly("asyncio", scenario, io)
