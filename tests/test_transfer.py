"""Reading and writing sockets by their descriptors, in either build."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import siocore
from siocore._speedups import IMPLEMENTATION

SOURCE = Path(siocore.__file__).resolve().parent / "_driver" / "transfer.py"
needs_compiled = pytest.mark.skipif(IMPLEMENTATION != "cython", reason="the compiled modules are not in use")


@pytest.fixture(params=["python", pytest.param("cython", marks=needs_compiled)])
def build(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "cython":
        return importlib.import_module("siocore._driver.transfer")
    spec = importlib.util.spec_from_file_location("transfer_in_python", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def test_what_has_arrived_is_read(build: ModuleType, pair: Pair) -> None:
    ours, theirs = pair
    assert build.receive(ours.fileno()) is None
    theirs.sendall(b"hello\0")
    assert build.receive(ours.fileno()) == b"hello\0"
    theirs.close()
    assert build.receive(ours.fileno()) == b""


def test_at_most_64_kib_are_read_at_once(build: ModuleType, pair: Pair) -> None:
    ours, theirs = pair
    theirs.setblocking(False)
    sent = theirs.send(bytes(range(256)) * 300)
    assert sent > 65_536
    first = build.receive(ours.fileno())
    rest = build.receive(ours.fileno())
    assert len(first) == 65_536
    assert first + rest == (bytes(range(256)) * 300)[:sent]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_written_arrives(build: ModuleType, pair: Pair, kind: type) -> None:
    ours, theirs = pair
    assert build.transmit(ours.fileno(), kind(b"hello\0")) == 6
    assert theirs.recv(100) == b"hello\0"
    assert build.transmit(ours.fileno(), kind(b"")) == 0


def test_a_full_socket_takes_a_part_and_then_nothing(build: ModuleType, pair: Pair) -> None:
    ours, theirs = pair
    data = bytes(range(256)) * 40_000
    taken = build.transmit(ours.fileno(), data)
    assert 0 < taken < len(data)
    while more := build.transmit(ours.fileno(), memoryview(data)[taken:]):
        taken += more
    received = b""
    while len(received) < taken:
        received += theirs.recv(1 << 20)
    assert received == data[:taken]


def test_a_broken_connection_is_an_error(build: ModuleType, pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        build.transmit(ours.fileno(), b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        build.receive(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        build.transmit(-1, b"x")


def test_what_is_not_bytes_is_refused(build: ModuleType, pair: Pair) -> None:
    ours, _ = pair
    with pytest.raises(TypeError):
        build.transmit(ours.fileno(), "text")
