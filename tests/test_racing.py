"""Happy Eyeballs (RFC 8305): addresses take turns, each has a head start, the first that answers wins."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from siocore._driver.poller import WRITE
from siocore._driver.racing import Race, reason_of
from siocore._driver.resolving import SocketAddress, numeric_addresses, resolved_addresses
from siocore.timers import TimerQueue

V4, V6 = socket.AF_INET, socket.AF_INET6


class Course:
    """Whoever watches the descriptors of a race, and whose race it is."""

    def __init__(self, addresses: list[SocketAddress], local: SocketAddress | None = None) -> None:
        self.timers = TimerQueue()
        self.watched: dict[int, Callable[[float], None]] = {}
        self.winner: socket.socket | None = None
        self.errors: list[tuple[SocketAddress, str]] | None = None
        self.race = Race(addresses, local, self, self, self.timers)
        self.race.start(0.0)

    def watch(self, fd: int, mask: int, step: Callable[[float], None]) -> None:
        assert mask == WRITE
        assert fd not in self.watched
        self.watched[fd] = step

    def unwatch(self, fd: int) -> None:
        os.fstat(fd)
        self.watched.pop(fd, None)

    def won(self, sock: socket.socket, now: float) -> None:
        assert self.winner is None
        assert self.errors is None
        self.winner = sock

    def lost(self, errors: list[tuple[SocketAddress, str]], now: float) -> None:
        assert self.winner is None
        assert self.errors is None
        self.errors = errors

    def run(self) -> None:
        """Until it is decided."""
        while self.winner is None and self.errors is None:
            assert self.watched
            _, ready, _ = select.select([], list(self.watched), [], 10)
            assert ready
            self.watched[ready[0]](0.0)

    def close(self) -> None:
        self.race.cancel()
        assert len(self.timers) == 0
        if self.winner is not None:
            self.watched.pop(self.winner.fileno(), None)
            self.winner.close()
        assert not self.watched


def tcp(listener: socket.socket) -> SocketAddress:
    return listener.family, listener.getsockname()


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def silent() -> Iterator[SocketAddress]:
    """An address that answers nothing: the queue of its listener is full, and Linux drops what else comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield tcp(listener)
        for filler in fillers:
            filler.close()


def refused() -> SocketAddress:
    with listening() as listener:
        return tcp(listener)


def test_an_address_that_refuses_is_followed_by_the_next_at_once() -> None:
    with listening() as listener, closing(Course([refused(), tcp(listener)])) as course:
        course.run()
        assert course.winner is not None
        assert course.winner.getpeername() == listener.getsockname()
        assert course.winner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not course.winner.getblocking()


def test_all_errors_are_told_when_no_address_answers() -> None:
    addresses = [refused(), refused()]
    with closing(Course(addresses)) as course:
        course.run()
        assert course.errors == [(address, "connection refused") for address in addresses]


def test_no_address_at_all_is_lost() -> None:
    with closing(Course([])) as course:
        assert course.errors == []


def test_a_silent_address_has_a_head_start_of_a_quarter_of_a_second() -> None:
    with silent() as first, listening() as listener, closing(Course([first, tcp(listener)])) as course:
        assert course.timers.next_deadline() == 0.25
        course.timers.expire(0.24)
        assert len(course.watched) == 1
        course.timers.expire(0.25)
        assert len(course.watched) == 2
        course.run()
        assert course.winner is not None
        assert course.winner.getpeername() == listener.getsockname()
        # The other one is closed.
        assert list(course.watched) == [course.winner.fileno()]


def test_the_silent_one_is_waited_for_when_all_others_have_failed() -> None:
    with silent() as first, closing(Course([first, refused()])) as course:
        course.timers.expire(0.25)
        while len(course.watched) > 1:
            _, ready, _ = select.select([], list(course.watched), [], 10)
            course.watched[ready[0]](0.25)
        assert course.errors is None
        assert course.timers.next_deadline() is None


def test_a_call_for_nothing_changes_nothing() -> None:
    with silent() as address, closing(Course([address])) as course:
        [step] = course.watched.values()
        step(0.0)
        assert course.winner is None
        assert course.errors is None
        assert list(course.watched.values()) == [step]


def test_a_step_that_comes_too_late_does_nothing() -> None:
    with silent() as address, closing(Course([address])) as course:
        [step] = course.watched.values()
        course.race.cancel()
        step(0.0)
        assert course.winner is None
        assert course.errors is None


def test_a_connection_to_oneself_counts_as_refused() -> None:
    address = refused()
    # What the kernel chooses once in a while, chosen here: the same port on both sides.
    with closing(Course([address], local=address)) as course:
        course.run()
        assert course.errors == [(address, "connection refused")]


def test_the_local_address_is_what_the_other_end_sees() -> None:
    with listening() as listener, closing(Course([tcp(listener)], local=(V4, ("127.0.0.2", 0)))) as course:
        course.run()
        accepted, peer = listener.accept()
        accepted.close()
        assert peer[0] == "127.0.0.2"


def test_a_local_address_that_is_not_ours_is_an_error() -> None:
    with closing(Course([refused()], local=(V4, ("192.0.2.1", 0)))) as course:
        assert course.errors is not None
        assert course.errors[0][1] == "cannot assign requested address"


def test_a_unix_socket_with_a_full_queue_is_tried_again(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(path)
        listener.listen(0)
        filler.connect(path)
        with closing(Course([(socket.AF_UNIX, path)])) as course:
            deadline = course.timers.next_deadline()
            assert deadline is not None
            course.timers.expire(deadline)
            assert course.winner is None
            assert course.timers.next_deadline() == 2 * deadline
            listener.accept()[0].close()
            course.timers.expire(2 * deadline)
            assert course.winner is not None


def test_families_take_turns() -> None:
    found: list[tuple[Any, ...]] = [
        (V6, 1, 6, "", ("::1", 80, 0, 0)),
        (V6, 1, 6, "", ("::2", 80, 0, 0)),
        (V6, 1, 6, "", ("::1", 80, 0, 0)),
        (V6, 1, 6, "", ("::3", 80, 0, 0)),
        (V4, 1, 6, "", ("1.1.1.1", 80)),
    ]
    order = [address[0] for _, address in resolved_addresses(found)]
    assert order == ["::1", "1.1.1.1", "::2", "::3"]


def test_a_name_with_endless_addresses_is_tried_with_some_of_them() -> None:
    found = [(V4, 1, 6, "", (f"10.0.{number // 256}.{number % 256}", 80)) for number in range(5_000)]
    assert len(resolved_addresses(found)) == 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", [(V4, ("127.0.0.1", 80))]),
        ("::1", [(V6, ("::1", 80, 0, 0))]),
        ("localhost", None),
        ("x" * 70, None),
        ("\0", None),
        ("", None),
    ],
)
def test_addresses_are_told_from_names(text: str, expected: object) -> None:
    assert numeric_addresses(text, 80) == expected


def test_reasons_are_parts_of_sentences() -> None:
    assert reason_of(OSError(errno.EMFILE, "Too many open files")) == "too many open files; raise the limit (ulimit -n)"
    assert reason_of(OSError("something")) == "something"
    assert reason_of(TimeoutError()) == "TimeoutError"[0].lower() + "imeoutError"
