"""What a broadcast to a hundred WebSockets costs without compression, with it, and with a context for each client.

``python -m pytest bench/test_deflate.py``. No sockets: from ``emit`` to the bytes that each connection would send.
"""

from __future__ import annotations

from typing import Any

import pytest

from siocore import PerMessageDeflate, Server
from siocore.testing.wire import WEBSOCKET_HEADERS, masked_frame, request_bytes

CLIENTS = 100
FORMS: dict[str, PerMessageDeflate | bool] = {
    "not compressed": False,
    "shared": True,
    "takeover": PerMessageDeflate(server_no_context_takeover=False),
    "takeover, small": PerMessageDeflate(server_no_context_takeover=False, server_max_window_bits=12, mem_level=5),
}
NEWS = [{"id": number, "author": f"user {number % 7}", "text": f"message number {number}"} for number in range(60)]


def joined(form: PerMessageDeflate | bool) -> tuple[Server, list[Any]]:
    """A server with clients that have joined it."""
    io = Server(serve_client=False, per_message_deflate=form)
    headers = [*WEBSOCKET_HEADERS, ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
    connections = []
    for _ in range(CLIENTS):
        connection = io.protocol.connection_made(None, now=0.0)
        connection.receive_data(request_bytes("GET", "/socket.io/?EIO=4&transport=websocket", headers), now=0.0)
        connection.receive_data(masked_frame(0x1, b"40"), now=0.0)
        connections.append(connection)
    while (event := io.protocol.next_event()) is not None:
        io.dispatch(event)
    for connection in connections:
        connection.data_to_send()
    return io, connections


@pytest.mark.parametrize("form", FORMS)
def test_broadcast(benchmark: Any, form: str) -> None:
    io, connections = joined(FORMS[form])

    def broadcast() -> int:
        io.emit("news", NEWS)
        io.protocol.take_ready()
        return sum(len(connection.data_to_send()) for connection in connections)

    benchmark.extra_info["bytes"] = broadcast()
    assert benchmark(broadcast) > 0
