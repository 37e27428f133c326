"""A client lives as long as its block: whatever ends that, everything ends with it, and nothing is hidden."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import Any

import pytest
import trio
import trio.testing

from client_harness import FreePort, Peer, no_descriptor_left, play, run_client, run_loop, serving, stepping
from driver_harness import each_asyncio, each_host
from line_client import LineClient, LineClientApp, LineDial

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


class Ended(Exception):
    """What a block raises."""


class Recorder:
    """A server that keeps all lines, and answers all but the last."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, peer: Peer) -> None:
        while line := peer.line():
            self.lines.append(line)
            if line != "goodbye":
                peer.send(line + "\n")


async def forever(client: LineClient) -> None:
    await client.new_waiter().wait()


async def checkpoint(host: str) -> None:
    if host == "trio":
        await trio.lowlevel.checkpoint()
    else:
        await asyncio.sleep(0)


# Leaving


@each_host
def test_leaving_says_goodbye(host: str) -> None:
    app = LineClientApp()
    server = Recorder()

    async def scenario() -> None:
        connection = app.protocol.connect(address)
        await connection.ask("hello")

    with serving(server) as address:
        play(host, app, scenario)
    assert server.lines == ["hello", "goodbye"]


@each_host
def test_leaving_by_an_exception_says_goodbye_and_raises_that_very_exception(host: str) -> None:
    app = LineClientApp()
    server = Recorder()
    error = Ended("by the test")

    async def scenario() -> None:
        await app.protocol.connect(address).ask("hello")
        raise error

    with serving(server) as address, pytest.raises(Ended) as caught:
        play(host, app, scenario)
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert server.lines == ["hello", "goodbye"]


@each_host
def test_a_group_of_exceptions_is_raised_as_it_is(host: str) -> None:
    app = LineClientApp()
    group = ExceptionGroup("of the test", [Ended(), Ended()])

    async def scenario() -> None:
        raise group

    with pytest.raises(ExceptionGroup) as caught:
        play(host, app, scenario)
    assert caught.value is group


@each_host
def test_a_connection_that_lingers_is_dropped_when_the_time_is_over(host: str) -> None:
    app = LineClientApp(endpoint=LineClient(linger=True))
    connection: LineDial

    async def scenario() -> None:
        nonlocal connection
        connection = await app.protocol.connect(address).opened()

    with serving(Recorder()) as address:
        play(host, app, scenario, grace=0.0)
    assert connection.log == ["connected", "lost"]


@each_host
def test_handlers_finish_within_the_time(host: str) -> None:
    finished: list[str] = []

    async def handler(connection: LineDial, line: str) -> None:
        began.wake()
        # Wakes up only after the block was left.
        while not connection.closing:
            await checkpoint(host)
        finished.append(line)

    app = LineClientApp(handler)
    began: Any

    async def scenario() -> None:
        nonlocal began
        began = app.protocol.new_waiter()
        connection = await app.protocol.connect(address).opened()
        connection.send("hello")
        await began.wait()

    with serving(Recorder()) as address:
        play(host, app, scenario, grace=1000.0)
    assert finished == ["hello"]


@each_host
def test_handlers_that_do_not_finish_are_cancelled(host: str) -> None:
    cancelled: list[BaseException] = []

    async def handler(connection: LineDial, line: str) -> None:
        try:
            began.wake()
            await forever(app.protocol)
        except BaseException as exc:
            cancelled.append(exc)
            raise

    app = LineClientApp(handler)
    began: Any

    async def scenario() -> None:
        nonlocal began
        began = app.protocol.new_waiter()
        connection = await app.protocol.connect(address).opened()
        connection.send("hello")
        await began.wait()

    with serving(Recorder()) as address:
        play(host, app, scenario, grace=0.0)
    [exc] = cancelled
    assert isinstance(exc, trio.Cancelled if host == "trio" else asyncio.CancelledError)


@each_host
def test_a_client_can_be_driven_again_but_not_twice_at_once(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        for _ in range(2):
            async with run_client(host, app):
                assert await app.protocol.connect(address).ask("hello") == "hello"
                with pytest.raises(RuntimeError, match="already"):
                    async with run_client(host, app):
                        raise AssertionError
            assert app.protocol.wake is None
            assert app.protocol.elapsed_clock is None

    with serving(Recorder()) as address:
        run_loop(host, scenario)


# Cancellation


def test_a_cancelled_block_says_goodbye_on_trio() -> None:
    server = Recorder()

    async def main() -> None:
        app = LineClientApp()
        with trio.CancelScope() as scope:
            async with run_client("trio", app):
                await app.protocol.connect(address).ask("hello")
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught

    with serving(server) as address:
        run_loop("trio", main)
    assert server.lines == ["hello", "goodbye"]


def test_a_timeout_around_a_block_is_a_timeout_on_trio() -> None:
    async def main() -> None:
        with trio.fail_after(0):
            async with run_client("trio", LineClientApp()):
                await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        run_loop("trio", main)


@each_asyncio
def test_a_cancelled_block_says_goodbye_on_asyncio(host: str) -> None:
    server = Recorder()

    async def client(ready: asyncio.Event) -> None:
        app = LineClientApp()
        async with run_client(host, app):
            await app.protocol.connect(address).ask("hello")
            ready.set()
            await forever(app.protocol)

    async def main() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(client(ready))
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(server) as address:
        run_loop(host, main)
    assert server.lines == ["hello", "goodbye"]


@each_asyncio
def test_a_timeout_around_a_block_is_a_timeout_on_asyncio(host: str) -> None:
    async def main() -> None:
        app = LineClientApp()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), run_client(host, app):
                await forever(app.protocol)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run_loop(host, main)


@each_asyncio
def test_a_second_cancellation_ends_the_goodbye_on_asyncio(host: str) -> None:
    async def client(ready: asyncio.Event, app: LineClientApp) -> None:
        async with run_client(host, app, grace=1000.0):
            await app.protocol.connect(address).opened()
            ready.set()
            await forever(app.protocol)

    async def main() -> None:
        ready = asyncio.Event()
        app = LineClientApp(endpoint=LineClient(linger=True))
        task = asyncio.create_task(client(ready, app))
        await ready.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(Recorder()) as address:
        run_loop(host, main)


@each_asyncio
def test_a_cancellation_while_it_closes_is_not_lost_on_asyncio(host: str) -> None:
    async def client(ready: asyncio.Event, app: LineClientApp) -> None:
        async with run_client(host, app, grace=1000.0):
            await app.protocol.connect(address).opened()
            ready.set()

    async def main() -> None:
        ready = asyncio.Event()
        app = LineClientApp(endpoint=LineClient(linger=True))
        task = asyncio.create_task(client(ready, app))
        await ready.wait()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(Recorder()) as address:
        run_loop(host, main)


@each_host
def test_cancelled_at_any_point_it_leaves_nothing_behind(host: str) -> None:
    """The tasks are counted by run_loop, the descriptors by the fixture, and what the server got by the test."""

    async def client() -> None:
        app = LineClientApp()
        async with run_client(host, app):
            connection = await app.protocol.connect(address).opened()
            for number in range(3):
                assert await connection.ask(f"line {number}") == f"line {number}"

    async def attempt(step: int) -> bool:
        if host == "trio":
            with trio.CancelScope() as scope:
                return await stepping(client(), step, scope.cancel)
            return True
        task = asyncio.current_task()
        assert task is not None
        try:
            return await stepping(client(), step, task.cancel)
        except asyncio.CancelledError:
            task.uncancel()
            return True

    async def main() -> None:
        step = 1
        while await attempt(step):
            step += 1
        assert step > 5

    server = Recorder()
    with serving(server) as address:
        run_loop(host, main)
    # Each client that got as far has said goodbye, and no line was cut.
    assert set(server.lines) == {"line 0", "line 1", "line 2", "goodbye"}
    assert server.lines[-1] == "goodbye"


# Failures


@each_host
def test_a_failure_of_the_driver_ends_the_block_and_is_raised(host: str) -> None:
    reached: list[str] = []

    def handler(connection: LineDial, line: str) -> None:
        raise Ended("a bug")

    app = LineClientApp(handler)

    async def scenario() -> None:
        app.protocol.connect(address).send("hello")
        try:
            await forever(app.protocol)
        finally:
            reached.append("end")

    with serving(Recorder()) as address, pytest.raises(Ended, match="a bug"):
        play(host, app, scenario)
    assert reached == ["end"]


@each_asyncio
def test_a_failure_leaves_no_cancellation_behind_on_asyncio(host: str) -> None:
    def handler(connection: LineDial, line: str) -> None:
        raise Ended("a bug")

    async def main() -> None:
        app = LineClientApp(handler)
        try:
            async with run_client(host, app):
                app.protocol.connect(address).send("hello")
                await forever(app.protocol)
        except Ended:
            ended.append(None)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        await asyncio.sleep(0)

    ended: list[None] = []
    with serving(Recorder()) as address:
        run_loop(host, main)
    assert ended == [None]


@each_host
def test_a_block_that_raises_when_the_driver_fails_shows_both(host: str) -> None:
    def handler(connection: LineDial, line: str) -> None:
        raise Ended("a bug")

    app = LineClientApp(handler)

    async def scenario() -> None:
        app.protocol.connect(address).send("hello")
        try:
            await forever(app.protocol)
        finally:
            raise KeyError("in the block")

    with serving(Recorder()) as address, pytest.raises(Ended, match="a bug") as caught:
        play(host, app, scenario)
    assert isinstance(caught.value.__cause__ or caught.value.__context__, KeyError)


@each_host
def test_control_c_ends_the_block(host: str) -> None:
    server = Recorder()
    app = LineClientApp()

    async def scenario() -> None:
        await app.protocol.connect(address).ask("hello")
        signal.raise_signal(signal.SIGINT)
        await forever(app.protocol)

    with serving(server) as address, pytest.raises(KeyboardInterrupt):
        play(host, app, scenario)
    assert server.lines == ["hello", "goodbye"]


@each_host
def test_control_c_in_a_handler_ends_the_block(host: str) -> None:
    def handler(connection: LineDial, line: str) -> None:
        raise KeyboardInterrupt

    app = LineClientApp(handler)

    async def scenario() -> None:
        app.protocol.connect(address).send("hello")
        await forever(app.protocol)

    with serving(Recorder()) as address, pytest.raises(KeyboardInterrupt):
        play(host, app, scenario)


# Beside others


@each_host
def test_many_clients_share_a_loop(host: str) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            apps = [await stack.enter_async_context(run_client(host, LineClientApp())) for _ in range(20)]
            connections = [app.protocol.connect(address) for app in apps]
            for number, connection in enumerate(connections):
                assert await connection.ask(str(number)) == str(number)

    with serving(Recorder()) as address:
        run_loop(host, scenario)


@each_host
def test_other_tasks_use_the_client(host: str) -> None:
    app = LineClientApp()

    async def ask(number: int) -> None:
        assert await app.protocol.connect(address).ask(str(number)) == str(number)

    async def scenario() -> None:
        if host == "trio":
            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(ask, number)
        else:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(ask(number))

    with serving(Recorder()) as address:
        play(host, app, scenario)


@each_host
def test_what_another_thread_sends_leaves_at_once(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = await app.protocol.connect(address).opened()
        thread = threading.Thread(target=connection.send, args=["from a thread"])
        thread.start()
        assert await connection.line() == "from a thread"
        thread.join()

    with serving(Recorder()) as address:
        play(host, app, scenario)


@each_asyncio
def test_a_block_can_be_left_in_another_task_on_asyncio(host: str) -> None:
    """As the fixtures of test frameworks are."""

    async def main() -> None:
        app = LineClientApp()
        block = run_client(host, app)
        await asyncio.create_task(block.__aenter__())
        assert await app.protocol.connect(address).ask("hello") == "hello"
        await asyncio.create_task(block.__aexit__(None, None, None))

    with serving(Recorder()) as address:
        run_loop(host, main)


def test_eager_tasks_are_not_in_the_way_on_asyncio() -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("this Python has no eager tasks")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        app = LineClientApp()
        async with run_client("asyncio", app):
            assert await app.protocol.connect(("localhost", address[1])).ask("hello") == "hello"

    with serving(Recorder()) as address:
        run_loop("asyncio", main)


# Time


@each_host
def test_elapsed_time_counts_sleep(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: dict[int, float] = {}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    clocks.update({time.CLOCK_MONOTONIC: 100.0, 7: 100.0})
    app = LineClientApp()

    async def scenario() -> None:
        before = app.protocol.elapsed - app.protocol.now
        clocks[7] += 600.0
        after = app.protocol.elapsed - app.protocol.now
        assert 599.0 < after - before < 601.0

    play(host, app, scenario)


def test_elapsed_time_follows_a_clock_that_a_test_sets() -> None:
    app = LineClientApp()

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        async with run_client("trio", app):
            before = app.protocol.elapsed
            clock.jump(1000.0)
            assert 999.0 < app.protocol.elapsed - before < 1001.0

    trio.run(main, clock=trio.testing.MockClock())


@each_host
def test_refused_again_and_again_a_client_reconnects_when_the_server_is_back(host: str) -> None:
    """The port stays the same; whoever dials again in a turn gets the server that is there by then."""
    app = LineClientApp()
    address = FreePort().address

    async def scenario() -> None:
        for _ in range(3):
            dial = app.protocol.connect(address)
            with pytest.raises(Exception, match="refused"):
                await dial.opened()
            with serving(Recorder(), port=address[1]):
                connection = app.protocol.connect(address)
                assert await connection.ask("hello") == "hello"
                connection.close()
                await connection.gone()

    play(host, app, scenario)
