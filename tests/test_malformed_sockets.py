"""The malformed inputs of test_malformed.py, on real sockets and every loop, beside a healthy client."""

from __future__ import annotations

import random
import socket

import pytest

import siocore
from driver_harness import Server, each_host, run
from siocore.testing.wire import CLOSE, TEXT, masked_frame, request_bytes
from test_malformed import FRAMES, HTTP, PACKETS, POSTS, Case
from test_scenarios import Polling, WebSocket, make_server

#: "Closed within a second": what a read may take.
PATIENCE = 1.0


class Beside:
    """A client that has joined, and must never notice anything."""

    def __init__(self, server: Server) -> None:
        self._websocket = WebSocket(server)
        self._websocket.join()
        self._count = 0

    def check(self) -> None:
        self._count += 1
        self._websocket.send(f'42{self._count}["echo",[{self._count},"é"]]')
        assert self._websocket.receive() == f'43{self._count}[[{self._count},"é"]]'


def send(sock: socket.socket, data: bytes, pieces: int) -> None:
    """In so many segments; a server that has seen enough may close before the last one."""
    size = max(1, -(-len(data) // pieces))
    sock.settimeout(PATIENCE)
    try:
        for start in range(0, len(data), size):
            sock.sendall(data[start : start + size])
    except (BrokenPipeError, ConnectionResetError):
        pass


def received(sock: socket.socket) -> bytes:
    """All that comes until the server has closed, which must take no longer than a second."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def read_to_the_end(websocket: WebSocket) -> None:
    try:
        while websocket.receive() is not None:
            pass
    except ConnectionResetError:
        # It answers each close frame; when the server had ours already, it has closed.
        assert websocket.close_code is not None


def nothing_left(server: Server, sessions: int) -> bool:
    protocol = server.app.protocol
    return len(protocol.connections) == 1 and len(protocol.sessions) == sessions  # type: ignore[attr-defined]


def await_nothing_left(server: Server) -> None:
    while not server.call(lambda: nothing_left(server, 1)):
        pass


@each_host
def test_a_malformed_request_hurts_nobody(host: str) -> None:
    def scenario(server: Server) -> None:
        healthy = Beside(server)
        for case in HTTP:
            for pieces in (1, 3):
                sock = server.connect().sock
                send(sock, case.data, pieces)
                # Ours is done: what keeps the connection for another request now ends as well.
                sock.shutdown(socket.SHUT_WR)
                answer = received(sock)
                assert answer.startswith(b"HTTP/1.1 %d " % (case.status or 0)), (case.name, answer[:80])
                sock.close()
                healthy.check()
        await_nothing_left(server)

    run(host, make_server(host), scenario)


@each_host
def test_a_malformed_post_hurts_nobody(host: str) -> None:
    def scenario(server: Server) -> None:
        healthy = Beside(server)
        for case in POSTS:
            polling = Polling(server)
            polling.post("40")
            polling.poll()
            answer = polling.http.request("POST", polling.target, case.data)
            assert answer.status == case.status, case.name
            polling.http.sock.close()
            healthy.check()
            if case.status == 413:
                # The session lives on, and ends when its client says so.
                other = Polling.__new__(Polling)
                other.http, other.target = type(polling.http)(server), polling.target
                assert other.post("1") == b"ok"
                other.http.sock.close()
        await_nothing_left(server)

    # What is closed over long-polling waits for a GET that tells the client; none comes.
    run(host, make_server(host, limits=siocore.Limits(linger_timeout=0.05)), scenario)


@each_host
@pytest.mark.parametrize("cases", [FRAMES, PACKETS], ids=["frames", "packets"])
def test_a_malformed_message_hurts_nobody(host: str, cases: list[Case]) -> None:
    def scenario(server: Server) -> None:
        healthy = Beside(server)
        for case in cases:
            offender = WebSocket(server)
            offender.join()
            send(offender.sock, case.data, random.Random(case.name).choice([1, 2, 5]))
            if case.code is None:
                offender.sock.sendall(masked_frame(TEXT, b'427["echo",7]') + masked_frame(CLOSE, b"\x03\xe8"))
            read_to_the_end(offender)
            assert offender.close_code == (case.code or 1000), case.name
            offender.sock.close()
            healthy.check()
        await_nothing_left(server)

    run(host, make_server(host), scenario)


@each_host
def test_a_reset_in_the_middle_hurts_nobody(host: str) -> None:
    upgrade = request_bytes("GET", "/socket.io/?EIO=9&transport=websocket", [("Upgrade", "websocket")])

    def scenario(server: Server) -> None:
        healthy = Beside(server)
        for data in (upgrade, upgrade[:40], *(case.data for case in HTTP)):
            client = server.connect()
            send(client.sock, data, 1)
            client.reset()
            healthy.check()
        await_nothing_left(server)

    run(host, make_server(host), scenario)
