"""Compression that npm servers offer to our client: permessage-deflate of ``ws``, and gzip of long-polling."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from peers.harness import serve_node
from siocore import PerMessageDeflate
from siocore.client_options import CLIENT_LIMITS
from siocore.http.client import Answer, HttpClient
from siocore.http.client_handshake import check_answer, make_key, request_headers
from siocore.http.client_websocket import ClientWebSocket

ALONE = PerMessageDeflate(threshold=10)
TAKEOVER = PerMessageDeflate(threshold=0, server_no_context_takeover=False, client_no_context_takeover=False)
NARROW = PerMessageDeflate(threshold=0, server_max_window_bits=10, client_max_window_bits=10)


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with serve_node("compression_servers.js") as ports:
        yield ports


class Peer:
    """A blocking socket with an HttpClient on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.http = HttpClient(CLIENT_LIMITS)

    def ask(self, target: str, headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
        self.http.request("GET", target, [(b"Host", b"localhost"), *(headers or [])])
        self.socket.sendall(b"".join(self.http.output))
        self.http.output.clear()
        self.received = 0
        while (answer := self.http.next_answer()) is None:
            data = self.socket.recv(65_536)
            self.received += len(data)
            self.http.receive_data(data)
            assert self.http.failed is None
        return answer


@pytest.mark.parametrize("way", ["plain", "alone", "narrow", "narrowest", "never"])
@pytest.mark.parametrize("options", [ALONE, TAKEOVER, NARROW, None], ids=["alone", "takeover", "narrow", "none"])
def test_messages_to_ws_and_back(ports: dict[str, int], way: str, options: PerMessageDeflate | None) -> None:
    peer = Peer(ports[way])
    key = make_key(os.urandom)
    answer = peer.ask("/", request_headers(key, (), options))
    agreed = check_answer(answer, key, (), options, CLIENT_LIMITS.max_payload)
    assert (agreed is None) == (options is None or way == "never")
    websocket = ClientWebSocket(CLIENT_LIMITS, os.urandom, agreed)
    noise = os.urandom(50_000)
    sent: list[str | bytes] = []
    frames = b""
    for number in range(5):
        text = f"{number} " + "häufig €" * 500
        frames += websocket.text_frame(text.encode()) + websocket.binary_frame(noise) + websocket.text_frame(b"")
        sent += [text, noise, ""]
    peer.socket.sendall(frames)
    received = websocket.receive_data(peer.http.trailing_data())
    while len(received) < len(sent):
        data = peer.socket.recv(65_536)
        assert data
        received += websocket.receive_data(data)
    assert received == sent
    websocket.close(1000, "done")
    peer.socket.sendall(websocket.output.pop())
    while not websocket.close_received:
        data = peer.socket.recv(65_536)
        assert data
        websocket.receive_data(data)
    assert websocket.close_code == 1000
    assert not websocket.failed
    peer.socket.close()


def test_long_polling_is_inflated(ports: dict[str, int]) -> None:
    peer = Peer(ports["polling"])
    opened = peer.ask("/engine.io/?EIO=4&transport=polling")
    sid = json.loads(opened.body.partition(b"\x1e")[0][1:])["sid"]
    body = opened.body
    if b"compress me" not in body:
        assert peer.http.reusable
        answer = peer.ask(f"/engine.io/?EIO=4&transport=polling&sid={sid}")
        assert answer.headers["content-encoding"] == "gzip"
        assert peer.received < 1_000
        body = answer.body
    assert b"4" + b"compress me " * 1_000 in body
    peer.socket.close()
