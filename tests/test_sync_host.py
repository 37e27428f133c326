"""The thread that calls runs the turns: what it waits for, what interrupts it, and who may not call.

On real sockets, with a client that speaks lines.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client_harness import FreePort, Peer, no_descriptor_left, serving
from interrupts import interrupt_next_wait
from line_client import DialFailed, LineClientApp, LineDial
from siocore.errors import LocalProtocolError
from siocore.sync._host import BlockingHost
from siocore.sync._runner import Runner

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


def echo(peer: Peer) -> None:
    while line := peer.line():
        peer.send(line + "\n")


@pytest.fixture
def address() -> Iterator[Any]:
    with serving(echo) as address:
        yield address


class App(LineClientApp):
    """Handlers are called as those of the application are."""

    def __init__(self, handler: Callable[[LineDial, str], object] | None = None) -> None:
        super().__init__(None if handler is None else lambda *args: self.host.call_handler(handler, args))
        self.host = BlockingHost()
        self.runner = Runner(self, 1.0, self.host)

    def connect(self, address: Any) -> LineDial:
        return self.runner.run(self.protocol.connect(address).opened)


def ask(app: App, dial: LineDial, text: str) -> str:
    return app.runner.run(lambda: dial.ask(text))


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_call_blocks_until_its_result_is_there(address: Any) -> None:
    app = App()
    with app.runner:
        dial = app.connect(address)
        assert ask(app, dial, "one") == "one"
        assert ask(app, dial, "two") == "two"


def test_what_an_awaitable_raises_is_raised_by_the_call() -> None:
    port = FreePort()
    app = App()
    with app.runner, pytest.raises(DialFailed, match="refused"):
        app.connect(port.address)


def test_a_call_that_needs_no_turn_gets_one_now_and_then(address: Any) -> None:
    """Who takes what is there already, again and again, answers heartbeats all the same."""
    seen: list[str] = []
    now = [0.0]
    app = App(lambda dial, line: seen.append(line))
    app.host.clock = lambda: now[0]
    with app.runner:
        dial = app.connect(address)
        app.runner.call(dial.send, "x")
        while not seen:
            now[0] += 1.0
            app.runner.run(nothing)
        # Without time there is no turn.
        app.runner.call(dial.send, "y")
        dial.lines.clear()
        for _ in range(100):
            app.runner.run(nothing)
        assert seen == ["x"]
        assert app.runner.run(dial.line) == "y"


async def nothing() -> None:
    pass


def test_the_time_of_a_call_can_be_limited(address: Any) -> None:
    app = App()
    with app.runner:
        dial = app.connect(address)
        with pytest.raises(TimeoutError, match="nothing came within 0 seconds"):
            app.runner.run(dial.line, 0)
        assert ask(app, dial, "still there") == "still there"


def test_what_is_sent_between_calls_leaves_at_once(address: Any) -> None:
    arrived = threading.Event()

    def note(peer: Peer) -> None:
        peer.line()
        arrived.set()
        peer.line()

    with serving(note) as other:
        app = App()
        with app.runner:
            dial = app.connect(other)
            app.runner.call(dial.send, "now")
            assert arrived.wait(10)


def test_run_until_lets_handlers_run(address: Any) -> None:
    seen: list[str] = []
    app = App(lambda dial, line: seen.append(line))
    with app.runner:
        dial = app.connect(address)
        app.runner.call(dial.send, "a\nb")
        assert app.host.run_until(lambda: len(seen) == 2, 10)
        assert seen == ["a", "b"]
        assert not app.host.run_until(lambda: False, 0)


# Interrupts -----------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_wait_and_leaves_the_connection(address: Any) -> None:
    app = App()
    with app.runner:
        dial = app.connect(address)
        interrupt_next_wait(app.host)
        with pytest.raises(KeyboardInterrupt):
            app.runner.run(dial.line)
        assert ask(app, dial, "more") == "more"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_within_a_handler_ends_the_call_and_loses_no_other_event(address: Any) -> None:
    seen: list[str] = []

    def handler(dial: LineDial, line: str) -> None:
        seen.append(line)
        if line == "stop":
            interrupt()
            seen.append("not reached")

    app = App(handler)
    with app.runner:
        dial = app.connect(address)
        app.runner.call(dial.send, "a\nstop\nb\nc")
        with pytest.raises(KeyboardInterrupt):
            app.host.run_until(lambda: "c" in seen, 10)
        assert seen[-1] == "stop"
        assert app.host.run_until(lambda: "c" in seen, 10)
        assert seen == ["a", "stop", "b", "c"]


def test_ctrl_c_within_the_core_waits_until_it_is_done(address: Any) -> None:
    app = App()
    done = []
    with app.runner:
        dial = app.connect(address)

        def send() -> None:
            interrupt()
            dial.send("whole")
            done.append(True)

        with pytest.raises(KeyboardInterrupt):
            app.runner.call(send)
        assert done
        assert app.runner.run(dial.line) == "whole"


def test_a_signal_handler_of_the_application_is_called_where_that_is_safe(address: Any) -> None:
    seen: list[object] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        app = App(lambda dial, line: interrupt())
        with app.runner:
            dial = app.connect(address)
            assert ask(app, dial, "x") == "x"
            assert seen == [signal.SIGINT]
            app.runner.call(interrupt)
            assert len(seen) == 2
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_is_no_exception_of_a_handler_is_raised_by_the_call(address: Any, error: BaseException) -> None:
    def handler(dial: LineDial, line: str) -> None:
        if line == "x":
            raise error

    app = App(handler)
    with app.runner:
        dial = app.connect(address)
        with pytest.raises(type(error)):
            ask(app, dial, "x")
        assert app.runner.run(dial.line) == "x"


def test_ctrl_c_while_closing_still_closes(address: Any) -> None:
    app = App()
    app.connect(address)
    app.protocol.linger = True
    interrupt_next_wait(app.host)
    with pytest.raises(KeyboardInterrupt):
        app.runner.close()
    assert app.runner.closed
    app.runner.close()


# Who may call ---------------------------------------------------------------------------------------------------


def test_a_handler_can_not_block_but_send(address: Any) -> None:
    errors: list[str] = []
    lines: list[str] = []

    def handler(dial: LineDial, line: str) -> None:
        lines.append(line)
        if line != "x":
            return
        for block in (lambda: ask(app, dial, "y"), app.runner.close, lambda: app.host.run_until(lambda: True, 1)):
            with pytest.raises(LocalProtocolError) as raised:
                block()
            errors.append(str(raised.value))
        app.runner.call(dial.send, "from a handler")

    app = App(handler)
    with app.runner:
        dial = app.connect(address)
        app.runner.call(dial.send, "x")
        assert app.host.run_until(lambda: "from a handler" in lines, 10)
    assert len(errors) == 3
    assert all("a handler can't block" in error for error in errors)


def test_another_thread_is_told_that_it_may_not(address: Any) -> None:
    app = App()
    errors: list[str] = []

    def other() -> None:
        for call in (lambda: ask(app, dial, "x"), lambda: app.runner.call(dial.send, "x"), app.runner.close):
            with pytest.raises(LocalProtocolError) as raised:
                call()
            errors.append(str(raised.value))

    with app.runner:
        dial = app.connect(address)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert ask(app, dial, "x") == "x"
    assert len(errors) == 3
    assert all("belongs to the thread that opened it" in error for error in errors)


def test_it_works_in_any_one_thread(address: Any) -> None:
    answers: list[str] = []

    def other() -> None:
        app = App()
        with app.runner:
            answers.append(ask(app, app.connect(address), "x"))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert answers == ["x"]


def test_a_closed_client_says_so(address: Any) -> None:
    app = App()
    with app.runner:
        dial = app.connect(address)
    with pytest.raises(LocalProtocolError, match="closed"):
        ask(app, dial, "x")
    with pytest.raises(LocalProtocolError, match="closed"):
        app.runner.call(dial.send, "x")
    app.runner.close()


def test_a_client_that_is_forgotten_closes_its_descriptors_with_a_warning(address: Any) -> None:
    app = App()
    app.connect(address)
    with pytest.warns(ResourceWarning, match="was not closed"):
        app.runner.__del__()
    app.runner._closed = True


def test_a_failure_of_the_driver_is_raised(address: Any) -> None:
    app = App()
    dial = app.connect(address)

    def fail(data: bytes, now: float) -> None:
        raise ZeroDivisionError

    dial.receive_data = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        ask(app, dial, "x")
    app.runner.close()
