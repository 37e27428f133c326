"""Stopping the driver: gracefully, within a deadline, and with nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from functools import partial

import pytest
import trio

import siocore.asyncio
import siocore.trio
from driver_harness import WATCHDOG, Flag, Server, each_asyncio, each_host, new_waiter, open_descriptors, pause, run
from line_endpoint import LineApp, LineConnection, echo
from siocore.waiting import Waiter


class Busy:
    """An application whose handler takes as long as the scenario likes."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.running = Flag()
        self.log: list[str] = []
        self.waiters: list[Waiter] = []
        self.app = LineApp(self.handle, gone=lambda connection: self.log.append("gone"))

    async def handle(self, connection: LineConnection, text: str) -> None:
        waiter = new_waiter(self.app)
        self.waiters.append(waiter)
        self.running.set()
        try:
            await waiter.wait()
            self.log.append("finished")
        except BaseException:
            self.log.append("cancelled")
            with trio.CancelScope(shield=True) if self.host == "trio" else contextlib.nullcontext():
                await pause(self.host)
            self.log.append("cleaned up")
            raise


@each_host
def test_a_graceful_stop_tells_the_clients_and_accepts_nobody(host: str) -> None:
    def scenario(server: Server) -> None:
        clients = [server.connect() for _ in range(10)]
        assert [client.ask("x") for client in clients] == ["x"] * 10
        server.stop()
        for client in clients:
            assert client.line() == "goodbye"
            assert client.line() == ""
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        for client in clients:
            client.close()

    run(host, LineApp(echo), scenario, grace=1000.0)


@each_host
def test_a_graceful_stop_waits_for_connections_and_for_handlers(host: str) -> None:
    busy = Busy(host)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("x\n")
        busy.running.wait()
        server.stop()
        assert client.rest() == b"goodbye\n"
        client.close()
        server.call(busy.waiters[0].wake)

    run(host, busy.app, scenario, grace=1000.0)
    assert sorted(busy.log) == ["finished", "gone"]


@each_host
def test_what_was_read_before_a_graceful_stop_is_answered(host: str) -> None:
    servers: list[Server] = []
    held: list[Waiter] = []

    async def handle(connection: LineConnection, text: str) -> None:
        if text == "stop":
            # The line behind this one has been read and waits for this turn to go on, which the stop comes before.
            held.append(new_waiter(app))
            servers[0].cancel()
            await held[0].wait()
        else:
            echo(connection, text)

    app = LineApp(handle)

    def scenario(server: Server) -> None:
        servers.append(server)
        client = server.connect()
        client.send("stop\nanswered\n")
        assert client.rest() == b"answered\ngoodbye\n"
        client.close()
        server.call(held[0].wake)

    run(host, app, scenario, grace=1000.0)


@each_host
def test_a_handler_that_is_not_done_in_time_is_cancelled_and_can_clean_up(host: str) -> None:
    busy = Busy(host)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("x\n")
        busy.running.wait()
        server.stop()
        assert client.line() == "goodbye"
        # We keep our side open, so the connection lasts until the grace is over.
        assert client.line() == ""
        server.ended.wait()

    run(host, busy.app, scenario, grace=0.05)
    assert busy.log == ["gone", "cancelled", "cleaned up"]


@each_host
def test_without_grace_everything_ends_at_once_and_the_clients_are_told(host: str) -> None:
    busy = Busy(host)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("x\n")
        busy.running.wait()
        server.stop()
        assert client.line() == "goodbye"

    run(host, busy.app, scenario, grace=0.0)
    assert busy.log == ["gone", "cancelled", "cleaned up"]


@each_asyncio
def test_a_second_cancellation_ends_a_graceful_stop(host: str) -> None:
    busy = Busy(host)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("x\n")
        busy.running.wait()
        server.stop()
        assert client.line() == "goodbye"
        server.stop()
        server.ended.wait()

    run(host, busy.app, scenario, grace=1000.0)
    assert busy.log == ["gone", "cancelled", "cleaned up"]


@each_host
def test_a_handler_of_the_last_events_begins_though_it_is_cancelled_when_it_suspends(host: str) -> None:
    log: list[str] = []

    async def gone(connection: LineConnection) -> None:
        log.append("begun")
        await new_waiter(app).wait()
        log.append("not reached")

    def scenario(server: Server) -> None:
        assert server.connect().ask("x") == "x"
        server.stop()

    app = LineApp(echo, gone=gone)
    run(host, app, scenario, grace=0.0)
    assert log == ["begun"]


@each_host
def test_no_line_is_cut_by_a_graceful_stop(host: str) -> None:
    line = b"0123456789" * 1000 + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        connection.send(line * 800)

    def scenario(server: Server) -> None:
        client = server.connect(receive_buffer=4096)
        client.send("go\n")
        first = client.sock.recv(1)
        server.stop()
        assert first + client.rest() == line * 800 + b"goodbye\n"
        client.close()

    run(host, LineApp(handler), scenario, grace=1000.0)


@each_host
def test_output_that_is_dropped_ends_in_a_reset_and_never_looks_complete(host: str) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        connection.send(b"x" * 8_000_000)

    def scenario(server: Server) -> None:
        client = server.connect(receive_buffer=4096)
        client.send("go\n")
        assert client.sock.recv(1) == b"x"
        server.stop()
        with pytest.raises(ConnectionResetError):
            client.rest()

    run(host, LineApp(handler), scenario, grace=0.0)


@each_host
def test_a_server_that_always_has_more_to_read_can_be_stopped(host: str) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        busy.set()

    def flood(server: Server) -> None:
        client = server.connect()
        while not busy.is_set():
            client.send(lines)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        try:
            while True:
                client.send(lines)
        finally:
            stopping.join(WATCHDOG)

    def scenario(server: Server) -> None:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(server)

    lines = "line\n" * 10_000
    busy = Flag()
    run(host, LineApp(handler), scenario, grace=0.0)


@each_host
def test_an_application_can_be_served_again_after_it_was_stopped(host: str) -> None:
    def scenario(server: Server) -> None:
        assert server.connect().ask("x") == "x"

    app = LineApp(echo)
    run(host, app, scenario)
    app.protocol.stopping = False
    run(host, app, scenario)


@each_host
def test_an_application_is_served_once_at_a_time(host: str) -> None:
    async def twice() -> None:
        if host == "trio":
            await siocore.trio.serve(app, port=0)
        else:
            await siocore.asyncio.serve(app, port=0)

    def scenario(server: Server) -> None:
        refused: list[BaseException] = []

        def second() -> None:
            coroutine = twice()
            try:
                coroutine.send(None)
            except RuntimeError as exc:
                refused.append(exc)

        server.call(second)
        assert "being served already" in str(refused[0])
        assert server.connect().ask("x") == "x"

    app = LineApp(echo)
    run(host, app, scenario)


def test_cancelling_before_the_start_serves_nobody_on_trio() -> None:
    app = LineApp(echo)

    async def main() -> str:
        with trio.CancelScope() as scope:
            scope.cancel()
            await siocore.trio.serve(app, port=0)
        return "cancelled" if scope.cancelled_caught else "returned"

    assert trio.run(main) == "cancelled"


def test_serve_raises_a_plain_cancelled_on_trio() -> None:
    app = LineApp(echo)
    raised: list[BaseException] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[object]) -> None:
                try:
                    await siocore.trio.serve(app, port=0, task_status=task_status)
                except BaseException as exc:
                    raised.append(exc)
                    raise

            await nursery.start(serve)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert [type(exc) for exc in raised] == [trio.Cancelled]


@each_asyncio
def test_a_timeout_around_serve_works_as_around_anything_on_asyncio(host: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(0.05):
            await siocore.asyncio.serve(LineApp(echo), port=0)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_program_that_ends_while_it_serves_leaves_nothing_to_asyncio() -> None:
    # asyncio.run() then cancels every task it knows of at once, those of the driver too.
    busy = Busy("asyncio")

    async def main() -> None:
        started = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(siocore.asyncio.serve(busy.app, port=0, started=started.set_result))
        (address,) = await started
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"x\n")
        await asyncio.to_thread(busy.running.wait)
        assert not serving.done()
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())
    assert busy.app.protocol.wake is None
    assert sorted(busy.log) == ["cancelled", "cleaned up", "gone"]


def test_an_error_in_the_report_of_the_addresses_comes_out_plain_and_leaves_nothing() -> None:
    class Broken:
        def started(self, value: object = None) -> None:
            raise ZeroDivisionError

    def broken(addresses: object) -> None:
        raise ZeroDivisionError

    before = open_descriptors()
    with pytest.raises(ZeroDivisionError):
        trio.run(partial(siocore.trio.serve, LineApp(echo), port=0, grace=1000.0, task_status=Broken()))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(siocore.asyncio.serve(LineApp(echo), port=0, grace=1000.0, started=broken))
    assert open_descriptors() == before


def test_keyboard_interrupt_in_the_main_task_of_trio_comes_out_plain_and_waits_for_nobody() -> None:
    class Interrupt:
        def started(self, value: object = None) -> None:
            # A system task is protected from the interrupt, which therefore goes to the main task.
            trio.lowlevel.spawn_system_task(self.interrupt)

        async def interrupt(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trio.run(partial(siocore.trio.serve, LineApp(echo), port=0, grace=1000.0, task_status=Interrupt()))
