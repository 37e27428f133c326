"""What runs beside a server: started before clients are let in, ended last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

import siocore.asyncio
import siocore.trio
from driver_harness import Server, each_host, new_waiter, run
from line_endpoint import LineApp, echo
from siocore.waiting import Waiter


class Beside:
    """A service that writes down what happens, and ends when it is cancelled."""

    def __init__(self, app: Serving, *, fails: str = "", ready: bool = True) -> None:
        self.app = app
        self.fails = fails
        self.tells_ready = ready
        self.seen: list[str] = []
        self.tell: Callable[[], None] = lambda: None

    async def run(self, ready: Callable[[], None]) -> None:
        self.seen.append("run")
        self.tell = ready
        assert self.app.protocol.clock is not None
        if self.fails == "at the start":
            raise RuntimeError("the service is broken")
        if self.tells_ready:
            ready()
            ready()
        try:
            self.waiter: Waiter = new_waiter(self.app)
            await self.waiter.wait()
            if self.fails == "later":
                raise RuntimeError("the service is broken")
        finally:
            self.seen.append(f"end, wake {self.app.protocol.wake is not None}")


class Serving(LineApp):
    """An application with services."""

    services: Sequence[Beside] = ()


@each_host
def test_services_run_as_long_as_the_application_is_served(host: str) -> None:
    app = Serving(echo)
    app.services = services = [Beside(app), Beside(app)]

    def scenario(server: Server) -> None:
        assert [each.seen for each in services] == [["run"], ["run"]]
        server.connect()

    run(host, app, scenario)
    assert [each.seen for each in services] == [["run", "end, wake True"]] * 2


@each_host
@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_service_that_fails_ends_the_server_with_its_exception(host: str, when: str) -> None:
    app = Serving(echo)
    app.services = [Beside(app, fails=when)]

    def scenario(server: Server) -> None:
        if when == "later":
            server.call(app.services[0].waiter.wake)
        server.ended.wait()

    with pytest.raises(RuntimeError, match="the service is broken"):
        run(host, app, scenario)


@pytest.mark.parametrize("host", ["trio", "asyncio"])
def test_clients_are_let_in_when_every_service_is_ready(host: str) -> None:
    app = Serving(echo)
    app.services = [Beside(app), Beside(app, ready=False)]
    announced: list[object] = []

    async def on_trio() -> None:
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                announced.append(await nursery.start(siocore.trio.serve, app, "127.0.0.1", 0))

            nursery.start_soon(serve)
            await trio.testing.wait_all_tasks_blocked()
            assert announced == []
            app.services[1].tell()
            await trio.testing.wait_all_tasks_blocked()
            assert len(announced) == 1
            nursery.cancel_scope.cancel()

    async def on_asyncio() -> None:
        task = asyncio.create_task(siocore.asyncio.serve(app, "127.0.0.1", 0, started=announced.append))
        for _ in range(20):
            await asyncio.sleep(0)
        assert announced == []
        app.services[1].tell()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(announced) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    if host == "trio":
        trio.run(on_trio)
    else:
        asyncio.run(on_asyncio())


@pytest.mark.parametrize("host", ["trio", "asyncio"])
def test_a_server_that_is_cancelled_before_its_services_are_ready_ends(host: str) -> None:
    app = Serving(echo)
    app.services = [Beside(app, ready=False)]

    async def on_trio() -> None:
        with trio.fail_after(10), trio.move_on_after(0.01):
            await siocore.trio.serve(app, "127.0.0.1", 0)

    async def on_asyncio() -> None:
        async with asyncio.timeout(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await siocore.asyncio.serve(app, "127.0.0.1", 0)

    if host == "trio":
        trio.run(on_trio)
    else:
        asyncio.run(on_asyncio())
    assert app.services[0].seen == ["run", "end, wake True"]
