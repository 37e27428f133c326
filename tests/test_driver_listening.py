"""Where the driver listens: addresses, Unix sockets, given sockets, and what it says when it can't."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

import siocore.trio
from driver_harness import Server, each_host, open_descriptors, run
from line_endpoint import LineApp, LineConnection, echo
from siocore._driver.listeners import Listener, open_listeners

HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists() and bool(Path("/proc/net/if_inet6").read_text())


@pytest.fixture
def folder() -> Iterator[Path]:
    # The name of a Unix socket has at most 107 characters, which tmp_path can exceed.
    with tempfile.TemporaryDirectory(prefix="siocore") as name:
        yield Path(name)


def peers(connection: LineConnection, text: str) -> None:
    connection.send(f"{connection.peer}\n".encode())


@each_host
def test_port_0_is_a_free_port_and_is_reported(host: str) -> None:
    def scenario(server: Server) -> None:
        (address,) = server.addresses
        assert address[0] == "127.0.0.1"
        assert int(address[1]) > 0
        client = server.connect()
        assert client.ask("?") == str(client.sock.getsockname())

    run(host, LineApp(peers), scenario)


@each_host
@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_ipv6_addresses_are_served(host: str) -> None:
    def scenario(server: Server) -> None:
        assert server.addresses[0][0] == "::1"
        client = server.connect()
        assert client.ask("?").startswith("('::1', ")

    run(host, LineApp(peers), scenario, host="::1")


@each_host
def test_several_hosts_are_served_each_on_its_own_address(host: str) -> None:
    def scenario(server: Server) -> None:
        assert [address[0] for address in server.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in server.addresses:
            assert server.connect(address).ask("x") == "x"

    run(host, LineApp(echo), scenario, host=["127.0.0.1", "127.0.0.2"])


@each_host
def test_given_sockets_are_served_and_closed_at_the_end(host: str) -> None:
    def scenario(server: Server) -> None:
        assert server.addresses == [sock.getsockname() for sock in sockets]
        for address in server.addresses:
            assert server.connect(address).ask("x") == "x"

    sockets = [socket.create_server(("127.0.0.1", 0)), socket.socket()]
    sockets[1].bind(("127.0.0.1", 0))
    run(host, LineApp(echo), scenario, sockets=sockets)
    assert [sock.fileno() for sock in sockets] == [-1, -1]


@each_host
def test_a_unix_socket_is_made_served_and_removed(host: str, folder: Path) -> None:
    path = folder / "socket"

    def scenario(server: Server) -> None:
        assert server.addresses == [str(path)]
        assert server.connect().ask("?") == str(path)

    run(host, LineApp(peers), scenario, unix_path=path)
    assert not path.exists()


@each_host
def test_an_abstract_unix_socket_is_served(host: str) -> None:
    path = f"\0siocore-test-{os.getpid()}"

    def scenario(server: Server) -> None:
        assert server.addresses == [path]
        assert server.connect().ask("x") == "x"

    run(host, LineApp(echo), scenario, unix_path=path)


def test_a_unix_socket_that_nobody_listens_on_is_replaced(folder: Path) -> None:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    (listener,) = open_listeners(None, 0, unix_path=path, backlog=1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


def test_a_unix_socket_that_somebody_listens_on_is_left_alone(folder: Path) -> None:
    path = folder / "socket"
    (listener,) = open_listeners(None, 0, unix_path=path, backlog=1)
    with pytest.raises(OSError, match="another program listens there") as caught:
        open_listeners(None, 0, unix_path=path, backlog=1)
    assert caught.value.errno == errno.EADDRINUSE
    assert path.exists()
    listener.close()


def test_a_unix_socket_whose_queue_is_full_is_left_alone(folder: Path) -> None:
    path = folder / "socket"
    (listener,) = open_listeners(None, 0, unix_path=path, backlog=0)
    waiting = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        waiting.append(client)
        try:
            client.connect(str(path))
        except BlockingIOError:
            break
    with pytest.raises(OSError, match="another program listens there"):
        open_listeners(None, 0, unix_path=path, backlog=1)
    for client in waiting:
        client.close()
    listener.close()


def test_a_file_that_is_not_a_socket_is_left_alone(folder: Path) -> None:
    path = folder / "socket"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="not a socket"):
        open_listeners(None, 0, unix_path=path, backlog=1)
    assert path.read_text() == "precious"


def test_a_unix_socket_that_has_been_replaced_is_not_removed(folder: Path) -> None:
    path = folder / "socket"
    (listener,) = open_listeners(None, 0, unix_path=path, backlog=1)
    path.rename(folder / "old")
    (successor,) = open_listeners(None, 0, unix_path=path, backlog=1)
    listener.close()
    assert path.exists()
    successor.close()


def test_a_port_in_use_is_an_error_that_says_where_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        before = open_descriptors()
        with pytest.raises(OSError, match=f"can't listen on 127.0.0.1:{port}: the port is in use") as caught:
            open_listeners(["127.0.0.2", "127.0.0.1"], port, backlog=1)
        assert caught.value.errno == errno.EADDRINUSE
        assert open_descriptors() == before


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("192.0.2.1", "can't listen on 192.0.2.1:0: this machine does not have that address"),
        ("name.invalid", "can't listen on 'name.invalid': this name has no address"),
    ],
)
def test_an_address_that_cannot_be_had_is_an_error_that_says_so(host: str, sentence: str) -> None:
    with pytest.raises(OSError, match=sentence):
        open_listeners(host, 0, backlog=1)


def test_no_address_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to listen on"):
        open_listeners([], 0, backlog=1)


def test_all_interfaces_are_one_listener_for_each_family() -> None:
    listeners = open_listeners(None, 0, backlog=1)
    names = {listener.address[0] for listener in listeners}
    assert names == ({"0.0.0.0", "::"} if HAS_IPV6 else {"0.0.0.0"})
    for listener in listeners:
        listener.close()


def test_a_connection_that_is_gone_before_it_is_accepted_is_passed_over() -> None:
    class Flaky(socket.socket):
        """Reports once what the kernel says of a connection that was reset while it waited."""

        failed = False

        def accept(self) -> tuple[socket.socket, object]:
            if not self.failed:
                self.failed = True
                raise ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort")
            return super().accept()

    sock = Flaky(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    listener = Listener(sock)
    with socket.create_connection(sock.getsockname()) as client:
        accepted = listener.accept()
        assert accepted is not None
        assert accepted[1] == client.getsockname()
        accepted[0].close()
    assert listener.accept() is None
    listener.close()


EXHAUSTED = """
import logging, os, resource, socket, sys
import siocore._driver.acceptor
from driver_harness import Client, run
from line_endpoint import LineApp, LineEndpoint, echo

class CountingEndpoint(LineEndpoint):
    turns = 0

    def next_event(self):
        self.turns += 1
        return super().next_event()

def connect_without_descriptors(server):
    # A client that the server can't accept.
    client = Client(socket.socket())
    server.clients.append(client)
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    client.sock.connect(server.addresses[0])
    client.send("waited\\n")
    return client

def closing(server):
    served, leaving = server.connect(), server.connect()
    assert [served.ask("before"), leaving.ask("before")] == ["before", "before"]
    waiting = connect_without_descriptors(server)
    # Those that are open go on, and the listener is not polled for ever.
    assert served.ask("meanwhile") == "meanwhile"
    turns = endpoint.turns
    for number in range(20):
        assert served.ask(str(number)) == str(number)
    assert endpoint.turns - turns < 100
    leaving.close()
    assert waiting.line() == "waited"
    os.close(taken.pop())
    connect_without_descriptors(server)
    assert served.ask("after") == "after"
    # While it does not accept.
    server.stop()
    server.ended.wait()

def raising_the_limit(server):
    served = server.connect()
    assert served.ask("before") == "before"
    waiting = connect_without_descriptors(server)
    assert served.ask("meanwhile") == "meanwhile"
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    assert waiting.line() == "waited"

logging.basicConfig(stream=sys.stdout, format="%(message)s")
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
host, scenario, siocore._driver.acceptor._PAUSE = sys.argv[1], globals()[sys.argv[2]], float(sys.argv[3])
endpoint = CountingEndpoint()
taken = []

def play(server):
    try:
        scenario(server)
    finally:
        for fd in taken:
            os.close(fd)

run(host, LineApp(echo, endpoint=endpoint), play)
print("done")
"""


@each_host
@pytest.mark.parametrize(("scenario", "pause"), [("closing", 1000.0), ("raising_the_limit", 0.05)])
@pytest.mark.skipif(sys.platform != "linux", reason="the limits of other systems are different")
def test_without_descriptors_the_server_goes_on_and_accepts_when_there_are_some_again(
    host: str, scenario: str, pause: float
) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXHAUSTED, host, scenario, str(pause)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "done"
    # Said once for each time that it happens, not for each connection that waits.
    episodes = 2 if scenario == "closing" else 1
    assert result.stdout.count("can't accept connections now: too many open files") == episodes, result.stdout


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_all_addresses_of_ipv4_and_of_ipv6_can_be_had_at_the_same_port() -> None:
    (listener,) = open_listeners("0.0.0.0", 0, backlog=1)
    (other,) = open_listeners("::", int(listener.address[1]), backlog=1)
    assert other.address == ("::", listener.address[1])
    listener.close()
    other.close()


def test_errors_come_plain_out_of_serve_on_trio() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="the port is in use"):
        trio.run(partial(siocore.trio.serve, LineApp(echo), port=other.getsockname()[1]))
