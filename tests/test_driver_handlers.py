"""Handlers under the driver: inline or suspended, each in its own context, none able to take others with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
import trio

from driver_harness import Flag, Server, each_asyncio, each_host, new_waiter, pause, run
from line_endpoint import LineApp, LineConnection, LineEndpoint, echo
from siocore._driver.handlers import Suspended, stay_with
from siocore.waiting import Waiter


class Gated:
    """``wait`` suspends until the scenario opens the gate; every other line is echoed."""

    def __init__(self, *, endpoint: LineEndpoint | None = None) -> None:
        self.app = LineApp(self.handle, endpoint=endpoint)
        self.waiting = Flag()
        self.waiters: list[Waiter] = []

    def handle(self, connection: LineConnection, text: str) -> Coroutine[Any, Any, None] | None:
        if text == "wait":
            return self.wait(connection)
        echo(connection, text)
        return None

    async def wait(self, connection: LineConnection) -> None:
        waiter = new_waiter(self.app)
        self.waiters.append(waiter)
        self.waiting.set()
        await waiter.wait()
        connection.send(b"waited\n")

    def open(self, server: Server) -> None:
        self.waiting.wait()
        for waiter in self.waiters:
            server.call(waiter.wake)


@each_host
def test_a_suspended_handler_delays_nobody_and_goes_on_later(host: str) -> None:
    gated = Gated()

    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        client.send("wait\n")
        gated.waiting.wait()
        assert other.ask("meanwhile") == "meanwhile"
        assert client.ask("me too") == "me too"
        gated.open(server)
        assert client.line() == "waited"

    run(host, gated.app, scenario)


@each_host
def test_handlers_that_never_suspend_run_in_the_order_of_arrival_in_one_task(host: str) -> None:
    tasks: set[object] = set()

    async def handler(connection: LineConnection, text: str) -> None:
        tasks.add(trio.lowlevel.current_task() if host == "trio" else asyncio.current_task())
        echo(connection, text)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("".join(f"{number}\n" for number in range(1000)))
        assert [client.line() for _ in range(1000)] == [str(number) for number in range(1000)]

    run(host, LineApp(handler), scenario)
    assert len(tasks) == 1


@each_host
def test_many_handlers_can_be_suspended_at_the_same_time(host: str) -> None:
    gated = Gated()

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("wait\n" * 500 + "end\n")
        assert client.line() == "end"
        gated.open(server)
        assert [client.line() for _ in range(500)] == ["waited"] * 500

    run(host, gated.app, scenario)


@each_host
def test_events_that_are_left_over_are_handled_before_more_is_read(host: str) -> None:
    endpoint = LineEndpoint()
    most = 0

    async def handler(connection: LineConnection, text: str) -> None:
        nonlocal most
        most = max(most, len(endpoint.events))
        await pause(host)
        echo(connection, text)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send(line * 4000)
        assert [client.line() for _ in range(4000)] == ["x" * 127] * 4000

    line = "x" * 127 + "\n"
    run(host, LineApp(handler, endpoint=endpoint), scenario)
    assert 0 < most <= 65_536 // len(line)


@each_host
def test_a_handler_that_raises_ends_neither_its_connection_nor_the_server(host: str) -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        if text == "raise":
            raise ValueError(text)
        if text == "raise later":
            await pause(host)
            raise ValueError(text)
        echo(connection, text)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("raise\nraise later\nafter\n")
        assert client.line() == "after"

    app = LineApp(handler)
    run(host, app, scenario)
    assert sorted(str(error) for error in app.errors) == ["raise", "raise later"]


# Context ----------------------------------------------------------------------------------------------------------

variable: ContextVar[str] = ContextVar("variable", default="unset")


@each_host
def test_context_variables_do_not_leak_from_one_handler_to_the_next(host: str) -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        connection.send(variable.get().encode() + b"\n")
        variable.set(text)

    def scenario(server: Server) -> None:
        client = server.connect()
        assert [client.ask("a"), client.ask("b"), client.ask("c")] == ["unset"] * 3

    run(host, LineApp(handler), scenario)


@each_host
def test_a_plain_function_has_a_context_of_its_own_too(host: str) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        connection.send(variable.get().encode() + b"\n")
        variable.set(text)

    def scenario(server: Server) -> None:
        client = server.connect()
        assert [client.ask("a"), client.ask("b")] == ["unset"] * 2

    run(host, LineApp(handler), scenario)


@each_host
def test_a_handler_keeps_its_context_over_every_suspension_and_hands_it_to_its_tasks(host: str) -> None:
    waiters: list[Waiter] = []
    waiting = Flag()

    async def handler(connection: LineConnection, text: str) -> None:
        if text != "one":
            connection.send(variable.get().encode() + b"\n")
            variable.set("other")
            return
        variable.set("mine")
        waiters.append(new_waiter(app))
        waiting.set()
        await waiters[0].wait()
        seen = [variable.get()]

        async def child() -> None:
            seen.append(variable.get())

        if host == "trio":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
        else:
            await asyncio.create_task(child())
        connection.send(" ".join(seen).encode() + b"\n")

    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        client.send("one\n")
        waiting.wait()
        assert [other.ask("two"), other.ask("three")] == ["unset"] * 2
        server.call(waiters[0].wake)
        assert client.line() == "mine mine"
        assert other.ask("four") == "unset"

    app = LineApp(handler)
    run(host, app, scenario)


@each_host
def test_the_endpoint_knows_the_time_when_a_handler_goes_on(host: str) -> None:
    endpoint = LineEndpoint()

    async def handler(connection: LineConnection, text: str) -> None:
        before = endpoint.now
        await pause(host, 0.02)
        connection.send(b"late\n" if endpoint.now >= before + 0.01 else b"early\n")

    def scenario(server: Server) -> None:
        assert server.connect().ask("?") == "late"

    run(host, LineApp(handler, endpoint=endpoint), scenario)


# What the libraries offer -----------------------------------------------------------------------------------------


def test_a_handler_uses_timeouts_and_nurseries_of_trio() -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        if text == "timeout":
            with trio.move_on_after(0.01) as scope:
                await trio.sleep_forever()
            connection.send(b"cancelled\n" if scope.cancelled_caught else b"?\n")
        elif text == "inline scope":
            with trio.move_on_after(10):
                echo(connection, text)
        else:
            results: list[str] = []

            async def child(number: int) -> None:
                await trio.lowlevel.checkpoint()
                results.append(str(number))

            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(child, number)
            connection.send(" ".join(sorted(results)).encode() + b"\n")

    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("inline scope") == "inline scope"
        assert client.ask("timeout") == "cancelled"
        assert client.ask("nursery") == "0 1 2 3 4"

    run("trio", LineApp(handler), scenario)


def test_a_child_of_a_trio_handler_that_raises_ends_only_that_handler() -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        async def child() -> None:
            raise ValueError(text)

        if text == "fail":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                await trio.sleep_forever()
        echo(connection, text)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("fail\n")
        assert client.ask("alive") == "alive"

    app = LineApp(handler)
    run("trio", app, scenario)
    assert [type(error) for error in app.errors] == [ExceptionGroup]


@each_asyncio
def test_a_handler_uses_timeouts_and_task_groups_of_asyncio(host: str) -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        if text == "timeout":
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                connection.send(b"cancelled\n")
        elif text == "wait_for":
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
            except TimeoutError:
                connection.send(b"cancelled\n")
        else:
            results: list[str] = []

            async def child(number: int) -> None:
                await asyncio.sleep(0)
                results.append(str(number))

            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(child(number))
            connection.send(" ".join(sorted(results)).encode() + b"\n")

    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("timeout") == "cancelled"
        assert client.ask("wait_for") == "cancelled"
        assert client.ask("group") == "0 1 2 3 4"

    run(host, LineApp(handler), scenario)


# Cancellation -----------------------------------------------------------------------------------------------------


async def cancel_me_inline(connection: LineConnection) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    connection.send(b"cancelled inline\n")


async def cancel_me_and_suspend(connection: LineConnection) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        # Cleaning up can still await.
        await asyncio.sleep(0)
        connection.send(b"cancelled at the first await\n")
        raise


async def await_what_is_cancelled(connection: LineConnection) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    connection.send(b"about to await\n")
    await future


async def raise_cancelled(connection: LineConnection) -> None:
    connection.send(b"about to raise\n")
    raise asyncio.CancelledError


@each_asyncio
@pytest.mark.parametrize(
    ("act", "answer"),
    [
        (cancel_me_inline, "cancelled inline"),
        (cancel_me_and_suspend, "cancelled at the first await"),
        (await_what_is_cancelled, "about to await"),
        (raise_cancelled, "about to raise"),
    ],
)
def test_a_handler_that_cancels_its_own_task_takes_nobody_with_it(host: str, act: Any, answer: str) -> None:
    gated = Gated()

    async def handler(connection: LineConnection, text: str) -> None:
        if text == "act":
            await act(connection)
        elif text == "wait":
            await gated.wait(connection)
        else:
            # Suspends: a cancellation that is left over from another handler would end it.
            await asyncio.sleep(0)
            echo(connection, text)

    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        other.send("wait\n")
        gated.waiting.wait()
        client.send("act\nafter\n")
        assert {client.line(), client.line()} == {answer, "after"}
        for _ in range(3):
            assert client.ask("again") == "again"
        gated.open(server)
        assert other.line() == "waited"

    gated.app.handler = handler
    run(host, gated.app, scenario)


@each_asyncio
def test_cancelling_every_task_of_the_driver_leaves_a_server_that_serves(host: str) -> None:
    cleaned = Flag()
    gated = Gated()

    async def handler(connection: LineConnection, text: str) -> None:
        if text == "wait":
            try:
                await gated.wait(connection)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                cleaned.set()
                raise
        echo(connection, text)

    def cancel_all() -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == "siocore":
                task.cancel()
                task.cancel()

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("wait\n")
        gated.waiting.wait()
        server.call(cancel_all)
        cleaned.wait()
        for _ in range(3):
            assert client.ask("alive") == "alive"
            server.call(cancel_all)

    gated.app.handler = handler
    run(host, gated.app, scenario)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_of_asyncio_do_not_nest_leaders() -> None:
    depths: list[int] = []

    async def handler(connection: LineConnection, text: str) -> None:
        frame, depth = sys._getframe(), 0
        while frame.f_back is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        await asyncio.sleep(0)
        echo(connection, text)

    def scenario(server: Server) -> None:
        server.call(lambda: asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory))  # type: ignore[attr-defined]
        client = server.connect()
        client.send("x\n" * 100)
        assert [client.line() for _ in range(100)] == ["x"] * 100

    run("asyncio", LineApp(handler), scenario)
    assert max(depths) - min(depths) < 10


def test_what_fails_beside_a_cancellation_is_logged_and_ends_nobody(caplog: pytest.LogCaptureFixture) -> None:
    running = Flag()

    async def handler(connection: LineConnection, text: str) -> None:
        async def child() -> None:
            running.set()
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while it was cancelled")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    def scenario(server: Server) -> None:
        server.connect().send("go\n")
        running.wait()
        server.stop()

    run("trio", LineApp(handler), scenario)
    (record,) = caplog.records
    assert record.message == "a handler failed while it was cancelled"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ExceptionGroup)


# Exceptions that end the server -----------------------------------------------------------------------------------


@each_host
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("how", ["plain", "inline", "suspended"])
def test_an_exception_that_is_meant_to_end_the_program_comes_out_of_serve(
    host: str, error: type[BaseException], how: str
) -> None:
    gated = Gated()

    async def raise_it(connection: LineConnection) -> None:
        if how == "suspended":
            await pause(host)
        raise error

    def handler(connection: LineConnection, text: str) -> Coroutine[Any, Any, None] | None:
        if text == "wait":
            return gated.wait(connection)
        if how == "plain":
            raise error
        return raise_it(connection)

    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        other.send("wait\n")
        gated.waiting.wait()
        client.send("raise\n")
        # Everybody is told, as far as that goes without waiting.
        assert other.rest() == b"goodbye\n"

    gated.app.handler = handler
    with pytest.raises(error):
        run(host, gated.app, scenario, grace=1000.0)


def test_a_keyboard_interrupt_within_the_nursery_of_a_handler_comes_out_of_serve() -> None:
    async def handler(connection: LineConnection, text: str) -> None:
        async def child() -> None:
            raise KeyboardInterrupt

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("raise\n")
        client.rest()

    with pytest.raises(BaseExceptionGroup) as caught:
        run("trio", LineApp(handler), scenario)
    # As the handler's own nursery has made it, and nobody else's around it.
    assert [type(exc) for exc in caught.value.exceptions] == [KeyboardInterrupt]


@each_host
def test_a_bug_in_the_core_comes_out_of_serve(host: str) -> None:
    class Broken(LineConnection):
        def receive_data(self, data: bytes, now: float) -> None:
            raise ZeroDivisionError

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("x\n")
        with pytest.raises(ConnectionResetError):
            client.rest()

    with pytest.raises(ZeroDivisionError):
        run(host, LineApp(echo, endpoint=LineEndpoint(connection_type=Broken)), scenario, grace=1000.0)


@each_host
@pytest.mark.parametrize("method", ["shutdown", "abort"])
def test_a_bug_in_the_core_while_stopping_comes_out_of_serve_too(host: str, method: str) -> None:
    class Broken(LineEndpoint):
        pass

    def fail(self: LineEndpoint, now: float) -> None:
        raise ZeroDivisionError

    setattr(Broken, method, fail)

    def scenario(server: Server) -> None:
        assert server.connect().ask("x") == "x"

    with pytest.raises(ZeroDivisionError):
        run(host, LineApp(echo, endpoint=Broken()), scenario)


def test_a_handler_whose_task_is_thrown_away_is_closed_in_its_context() -> None:
    closed: list[str] = []

    async def handler() -> None:
        variable.set("mine")
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(variable.get())

    context = copy_context()
    coroutine = handler()
    staying = stay_with(Suspended(context, coroutine, context.run(coroutine.send, None)))
    staying.send(None)
    staying.close()
    assert closed == ["mine"]
