"""The driver's turn: reading, writing and closing connections, over real sockets on both hosts."""

from __future__ import annotations

import socket
import time

import pytest

from driver_harness import Flag, Server, each_host, new_waiter, run
from line_endpoint import Gone, Line, LineApp, LineConnection, LineEndpoint, echo
from siocore._driver.poller import SelectorPoller
from siocore._driver.wire import Wire
from siocore.waiting import Waiter

BIG = 8_000_000


class CountingEndpoint(LineEndpoint):
    """Counts how often it is asked for an event: a busy loop shows."""

    turns = 0

    def next_event(self) -> Line | Gone | None:
        self.turns += 1
        return super().next_event()


@each_host
def test_lines_are_answered_in_order_wherever_the_segments_end(host: str) -> None:
    def scenario(server: Server) -> None:
        client = server.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in "one\ntwo\n":
            client.send(byte)
        assert [client.line(), client.line()] == ["one", "two"]
        client.send("".join(f"{number}\n" for number in range(10_000)))
        assert [client.line() for _ in range(10_000)] == [str(number) for number in range(10_000)]

    run(host, LineApp(echo), scenario)


@each_host
def test_what_one_turn_makes_for_a_connection_leaves_in_one_piece(host: str) -> None:
    taken: list[int] = []

    class Counting(LineConnection):
        def data_to_send(self) -> bytes:
            data = super().data_to_send()
            if data:
                taken.append(len(data))
            return data

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("a\nb\nc\n")
        assert [client.line() for _ in range(3)] == ["a", "b", "c"]

    run(host, LineApp(echo, endpoint=LineEndpoint(connection_type=Counting)), scenario)
    assert taken[0] == len("a\nb\nc\n")


@each_host
def test_many_connections_are_served_at_the_same_time(host: str) -> None:
    def scenario(server: Server) -> None:
        clients = [server.connect() for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(f"hello {number}\n")
        assert [client.line() for client in clients] == [f"hello {number}" for number in range(200)]

    run(host, LineApp(echo), scenario)


@each_host
def test_small_delays_are_switched_off_for_every_connection(host: str) -> None:
    def handler(connection: LineConnection, text: str) -> None:
        assert isinstance(connection.transport, Wire)
        sock = connection.transport.sock
        connection.send(b"%d\n" % sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def scenario(server: Server) -> None:
        assert server.connect().ask("?") == "1"

    run(host, LineApp(handler), scenario)


@each_host
def test_a_slow_reader_gets_everything_in_order_and_delays_nobody(host: str) -> None:
    payload = b"0123456789" * (BIG // 10)

    def handler(connection: LineConnection, text: str) -> None:
        others = [each for each in connection.endpoint.connections if each is not connection]
        if text == "big":
            connection.send(payload + b"\n")
        elif text == "more":
            # Stays in the core until the kernel has accepted what came before: data_to_send asserts it.
            others[0].send(b"more\n")
            connection.send(b"%d\n" % others[0].unsent)
        elif text == "flushes":
            connection.send(b"%d %d\n" % (others[0].unsent, others[0].flushes))
        else:
            echo(connection, text)

    def scenario(server: Server) -> None:
        slow = server.connect(receive_buffer=4096)
        other = server.connect()
        slow.send("big\n")
        assert slow.sock.recv(1) == b"0"
        assert int(other.ask("more")) > 1_000_000
        assert other.ask("alive") == "alive"
        received = b"0"
        while len(received) < len(payload) + len("\nmore\n"):
            received += slow.sock.recv(1 << 20)
        assert received == payload + b"\nmore\n"
        assert other.ask("flushes") == "0 1"

    run(host, LineApp(handler), scenario)


# The peer goes away -----------------------------------------------------------------------------------------------


@each_host
@pytest.mark.parametrize("sent", ["", "partial", "line\n"])
def test_a_reset_ends_only_its_own_connection(host: str, sent: str) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        other = server.connect()
        assert other.ask("before") == "before"
        client = server.connect()
        client.send(sent)
        client.reset()
        gone.wait()
        assert other.ask("after") == "after"
        assert server.call(lambda: len(app.protocol.connections)) == 1

    app = LineApp(echo, gone=gone.set)
    run(host, app, scenario)


@each_host
def test_a_reset_while_output_waits_for_the_kernel_ends_the_connection(host: str) -> None:
    gone = Flag()

    def handler(connection: LineConnection, text: str) -> None:
        connection.send(b"x" * BIG)

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("go\n")
        assert client.sock.recv(1) == b"x"
        client.reset()
        gone.wait()

    run(host, LineApp(handler, gone=gone.set), scenario)


@each_host
def test_a_reset_while_the_handler_is_suspended_is_noticed_and_the_handler_goes_on(host: str) -> None:
    running, gone, finished = Flag(), Flag(), Flag()
    waiters: list[Waiter] = []

    async def handler(connection: LineConnection, text: str) -> None:
        waiters.append(new_waiter(app))
        running.set()
        await waiters[0].wait()
        connection.send(b"nobody is there\n")
        finished.set()

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("go\n")
        running.wait()
        client.reset()
        gone.wait()
        server.call(waiters[0].wake)
        finished.wait()

    app = LineApp(handler, gone=gone.set)
    run(host, app, scenario)


@each_host
def test_a_peer_that_shuts_down_its_side_still_gets_its_answer(host: str) -> None:
    waiters: list[Waiter] = []
    running = Flag()

    async def handler(connection: LineConnection, text: str) -> None:
        waiters.append(new_waiter(app))
        running.set()
        await waiters[0].wait()
        connection.send(text.encode() + b"\n")
        connection.close_now()

    def scenario(server: Server) -> None:
        client = server.connect()
        client.send("last\n")
        client.shut_down()
        running.wait()
        while not server.call(lambda: any(each.eof for each in app.protocol.connections)):
            pass
        server.call(waiters[0].wake)
        assert client.rest() == b"last\n"

    app = LineApp(handler, endpoint=LineEndpoint(keep_half_open=True))
    run(host, app, scenario)


# We go away -------------------------------------------------------------------------------------------------------


@each_host
def test_closing_sends_everything_then_eof_and_reads_on(host: str) -> None:
    gone = Flag()
    heard: list[str] = []
    payload = b"x" * BIG + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        heard.append(text)
        if text == "close":
            connection.send(payload)
            connection.close()

    def scenario(server: Server) -> None:
        client = server.connect(receive_buffer=4096)
        # With bytes behind it that would make a mere close() throw away what was sent.
        client.send("close\nmore\n")
        assert client.rest() == payload
        client.send("after\n")
        client.shut_down()
        gone.wait()

    app = LineApp(handler, gone=gone.set)
    run(host, app, scenario)
    assert heard == ["close", "more", "after"]


@each_host
def test_closed_sends_everything_then_closes(host: str) -> None:
    gone = Flag()
    payload = b"x" * BIG + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        connection.send(payload)
        connection.close_now()

    def scenario(server: Server) -> None:
        client = server.connect(receive_buffer=4096)
        client.send("go\n")
        assert client.rest() == payload
        gone.wait()

    run(host, LineApp(handler, gone=gone.set), scenario)


@each_host
def test_aborted_resets_the_connection_and_drops_its_output(host: str) -> None:
    gone = Flag()

    def handler(connection: LineConnection, text: str) -> None:
        if text == "fill":
            connection.send(b"x" * BIG)
        else:
            (other,) = (each for each in connection.endpoint.connections if each is not connection)
            other.abort()

    def scenario(server: Server) -> None:
        client = server.connect(receive_buffer=4096)
        client.send("fill\n")
        assert client.sock.recv(1) == b"x"
        server.connect().send("abort\n")
        gone.wait()
        with pytest.raises(ConnectionResetError):
            client.rest()

    run(host, LineApp(handler, gone=gone.set), scenario)


# Backpressure -----------------------------------------------------------------------------------------------------


def pausing(connection: LineConnection, text: str) -> None:
    if text == "pause":
        connection.pause()
        connection.send(b"paused\n")
    elif text == "resume":
        for each in connection.endpoint.connections:
            each.resume()
        connection.send(b"resumed\n")
    else:
        echo(connection, text)


@each_host
def test_a_connection_that_wants_no_reads_is_not_read_and_loses_nothing(host: str) -> None:
    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        assert client.ask("pause") == "paused"
        client.send("1\n2\n3\n")
        for _ in range(5):
            assert other.ask("turn") == "turn"
        assert not server.call(lambda: [each for each in app.protocol.connections if each.partial or each.output])
        assert other.ask("resume") == "resumed"
        assert [client.line() for _ in range(3)] == ["1", "2", "3"]

    app = LineApp(pausing)
    run(host, app, scenario)


@each_host
def test_the_end_of_a_peer_is_noticed_while_it_is_not_read(host: str) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("pause") == "paused"
        client.close()
        gone.wait()

    run(host, LineApp(pausing, gone=gone.set), scenario)


@each_host
def test_a_reset_is_noticed_while_the_peer_is_not_read(host: str) -> None:
    gone = Flag()

    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("pause") == "paused"
        client.send("unread\n")
        client.reset()
        gone.wait()

    run(host, LineApp(pausing, gone=gone.set), scenario)


@each_host
def test_bytes_in_front_of_the_end_are_read_when_reading_goes_on(host: str) -> None:
    gone = Flag()
    heard: list[str] = []
    endpoint = CountingEndpoint()

    def handler(connection: LineConnection, text: str) -> None:
        heard.append(text)
        pausing(connection, text)

    def scenario(server: Server) -> None:
        client, other = server.connect(), server.connect()
        assert client.ask("pause") == "paused"
        client.send("last words\n")
        client.shut_down()
        for _ in range(5):
            assert other.ask("turn") == "turn"
        turns = endpoint.turns
        for _ in range(20):
            assert other.ask("turn") == "turn"
        assert endpoint.turns - turns < 100, "it is polled for its end again and again"
        assert "last words" not in heard
        assert other.ask("resume") == "resumed"
        assert client.line() == "last words"
        assert client.line() == ""
        client.close()
        gone.wait()

    run(host, LineApp(handler, gone=gone.set, endpoint=endpoint), scenario)


# Time -------------------------------------------------------------------------------------------------------------


@each_host
def test_a_deadline_is_kept_while_nothing_else_happens(host: str) -> None:
    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.line() == "timeout"
        assert client.line() == ""

    run(host, LineApp(echo, endpoint=LineEndpoint(idle_timeout=0.01)), scenario)


@each_host
def test_a_deadline_that_moves_nearer_while_the_leader_waits_is_kept(host: str) -> None:
    endpoint = LineEndpoint(idle_timeout=1000.0)
    rung = Flag()

    def scenario(server: Server) -> None:
        assert server.connect().ask("hello") == "hello"
        server.call(lambda: endpoint.call_at(endpoint.now + 0.01, rung.set))
        rung.wait()

    run(host, LineApp(echo, endpoint=endpoint), scenario)


@each_host
def test_a_timer_that_goes_off_early_counts_as_on_time_and_makes_no_busy_loop(host: str) -> None:
    # asyncio runs timers that are due within one tick of its clock; uvloop rounds to milliseconds.
    endpoint = CountingEndpoint()
    rung = Flag()
    left = 20

    def ring() -> None:
        nonlocal left
        left -= 1
        if left:
            endpoint.call_at(endpoint.now + 0.000_45, ring)
        else:
            rung.set()

    def scenario(server: Server) -> None:
        server.call(ring)
        rung.wait()

    run(host, LineApp(echo, endpoint=endpoint), scenario)
    assert endpoint.turns < 200


@each_host
def test_nobody_is_timed_out_whose_bytes_came_while_a_handler_blocked_the_loop(host: str) -> None:
    endpoint = LineEndpoint(idle_timeout=0.2)
    blocking, written = Flag(), Flag()

    def handler(connection: LineConnection, text: str) -> None:
        if text == "block":
            blocking.set()
            written.wait()
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                pass
        echo(connection, text)

    def scenario(server: Server) -> None:
        blocker, other = server.connect(), server.connect()
        assert other.ask("1") == "1"
        blocker.send("block\n")
        blocking.wait()
        other.send("2\n")
        written.set()
        assert other.line() == "2"

    run(host, LineApp(handler, endpoint=endpoint), scenario)


@each_host
def test_a_poll_that_does_not_report_everyone_times_nobody_out(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siocore._driver.sockets._BATCH", 2)
    endpoint = LineEndpoint(idle_timeout=0.2)
    blocking, written = Flag(), Flag()

    def handler(connection: LineConnection, text: str) -> None:
        if text == "block":
            blocking.set()
            written.wait()
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                pass
        echo(connection, text)

    def scenario(server: Server) -> None:
        others = [server.connect() for _ in range(9)]
        assert [other.ask("1") for other in others] == ["1"] * 9
        blocker = server.connect()
        blocker.send("block\n")
        blocking.wait()
        for other in others:
            other.send("2\n")
        written.set()
        assert [other.line() for other in others] == ["2"] * 9

    run(host, LineApp(handler, endpoint=endpoint), scenario)


@each_host
def test_deadlines_are_kept_though_every_poll_is_full(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siocore._driver.sockets._BATCH", 1)
    rung = Flag()

    def handler(connection: LineConnection, text: str) -> None:
        if not connection.log:
            connection.log.append("armed")
            app.protocol.call_at(app.protocol.now + 0.01, rung.set)

    def scenario(server: Server) -> None:
        client = server.connect()
        lines = "line\n" * 20_000
        while not rung.is_set():
            client.send(lines)

    app = LineApp(handler)
    run(host, app, scenario)


# Waking -----------------------------------------------------------------------------------------------------------


@each_host
def test_output_made_by_another_thread_is_sent_at_once(host: str) -> None:
    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("hello") == "hello"
        (connection,) = app.protocol.connections
        for number in range(200):
            connection.send(b"%d\n" % number)
            assert client.line() == str(number)

    app = LineApp(echo)
    run(host, app, scenario)


@each_host
def test_output_made_by_another_task_is_sent_at_once(host: str) -> None:
    def scenario(server: Server) -> None:
        client = server.connect()
        assert client.ask("hello") == "hello"
        (connection,) = app.protocol.connections
        for number in range(200):
            server.call(lambda line=b"%d\n" % number: connection.send(line))  # type: ignore[misc]
            assert client.line() == str(number)

    app = LineApp(echo)
    run(host, app, scenario)


# Without epoll ----------------------------------------------------------------------------------------------------


@each_host
def test_everything_works_with_the_poller_of_other_systems(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siocore._driver.sockets.make_poller", SelectorPoller)
    gone = Flag()
    payload = b"x" * BIG + b"\n"

    def handler(connection: LineConnection, text: str) -> None:
        if text == "close":
            connection.send(payload)
            connection.close()
        else:
            pausing(connection, text)

    def scenario(server: Server) -> None:
        client, other = server.connect(receive_buffer=4096), server.connect()
        assert client.ask("pause") == "paused"
        client.send("close\n")
        assert other.ask("turn") == "turn"
        (connection,) = (each for each in app.protocol.connections if not each.wants_read)
        # From this thread: the poller must be woken.
        connection.send(b"woken\n")
        assert client.line() == "woken"
        assert other.ask("resume") == "resumed"
        assert client.rest() == payload
        client.close()
        gone.wait()

    app = LineApp(handler, gone=gone.set)
    run(host, app, scenario)
