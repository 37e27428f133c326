"""On real sockets: one client never reads while 50 MB pass to another, and the server does not grow by them."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from peers.harness import LOOPS, serve
from siocore.testing.wire import TEXT, masked_frame

COUNT = 500
SIZE = 100_000
#: The limit, one packet, and what the memory allocator may keep for itself.
GROWTH = 1_000_000 + SIZE + 8_000_000
FOLDER = Path(__file__).parent


def memory(process: int) -> int:
    """Bytes of a process that are in memory."""
    (line,) = [each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def joined(port: int) -> socket.socket:
    """A WebSocket client in the namespace ``/``."""
    sock = socket.socket()
    # Before the connection, so that the kernel takes little for a client that does not read.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    sock.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    sock.sendall(masked_frame(TEXT, b"40"))
    received = b""
    while b'40{"sid"' not in received:
        received += sock.recv(65_536)
    return sock


def flood(sock: socket.socket, count: int, process: int) -> tuple[int, int]:
    """Let the server send; returns how many bytes came, and how large the server was at most."""
    sock.sendall(masked_frame(TEXT, b'42["flood",%d]' % count))
    received = worst = 0
    tail = b""
    while b'42["over"]' not in tail:
        data = sock.recv(1_000_000)
        assert data, "the server closed the connection"
        if received // 5_000_000 != (received + len(data)) // 5_000_000:
            worst = max(worst, memory(process))
        received += len(data)
        tail = tail[-100:] + data
    return received, max(worst, memory(process))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc how large the server is")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("policy", ["close", "drop_oldest"])
def test_a_client_that_never_reads_costs_its_limit_and_nobody_else_anything(loop: str, policy: str) -> None:
    with serve("serve", f"flood_app:{policy}", "--loop", loop, folder=FOLDER) as server:
        process = server.process.pid
        with joined(server.port) as reader:
            _, before = flood(reader, 50, process)
            with joined(server.port):
                received, worst = flood(reader, COUNT, process)
    assert received > COUNT * SIZE
    assert worst - before < GROWTH
