"""Compression with npm's ws and socket.io-client, with Node.js' HTTP client, and with websockets for Python."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.extensions import permessage_deflate
from websockets.sync.client import connect

import build_client
from peers.harness import LOOPS, run_node, serve

pytestmark = pytest.mark.peer

TEXT = "what is said again and again, " * 300


@pytest.fixture(scope="module", params=LOOPS)
def url(request: pytest.FixtureRequest) -> Any:
    with serve("serve", "compression_app:io", "--loop", request.param) as server:
        yield server.url


@pytest.fixture(scope="module")
def results(url: str) -> dict[str, Any]:
    return run_node("compression_client.js", url)


def test_ws_compresses_both_ways_with_whatever_it_offers(results: dict[str, Any]) -> None:
    found = results["ws"]
    assert found["as it is"].pop("extensions") == "permessage-deflate"
    assert found["no takeover"].pop("extensions") == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    )
    assert found["small windows"].pop("extensions") == (
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
    )
    assert found.pop("no offer") == {"same": True, "extensions": None, "compressed": 0, "plain": 11}
    for each in found.values():
        # The answer to CONNECT is short.
        assert each == {"same": True, "compressed": 10, "plain": 1}


def test_socket_io_client_with_binary_and_broadcasts(results: dict[str, Any]) -> None:
    assert results["socket.io-client"] == {"echoes": [True] * 8, "broadcasts": [True] * 24}


def test_polling_answers_are_compressed_as_the_client_accepts_it(results: dict[str, Any]) -> None:
    common = {"vary": "Accept-Encoding", "same": True}
    assert results["polling"] == {
        "gzip": {"coding": "gzip", "small": True, **common},
        "deflate": {"coding": "deflate", "small": True, **common},
        "br, gzip;q=0.5": {"coding": "gzip", "small": True, **common},
        "identity": {"coding": None, "small": False, **common},
    }
    assert results["polling by fetch"] is True


def test_the_bundle_is_served_in_each_coding(results: dict[str, Any]) -> None:
    if not (build_client.BUNDLE / build_client.STAMP).is_file():
        pytest.skip("this build has no browser bundle")
    for coding, found in results["bundle"].items():
        assert found == {"same": True, "coding": coding, "ownTag": True, "head": True, "known": [304, 0]}


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ({}, "permessage-deflate"),
        ({"server_no_context_takeover": True}, "permessage-deflate; server_no_context_takeover"),
        ({"server_max_window_bits": 9, "client_max_window_bits": 9}, "permessage-deflate; server_max_window_bits=9; "),
    ],
)
def test_websockets_compresses_both_ways(url: str, offer: dict[str, Any], answer: str) -> None:
    target = f"{url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    factory = permessage_deflate.ClientPerMessageDeflateFactory(**offer)
    with connect(target, proxy=None, compression=None, extensions=[factory]) as client:
        assert client.response is not None
        assert client.response.headers["Sec-WebSocket-Extensions"].startswith(answer)
        client.recv(timeout=10)
        client.send("40")
        client.recv(timeout=10)
        for number in range(5):
            client.send(f'42{number}["echo",{json.dumps(TEXT + str(number))}]')
            assert client.recv(timeout=10) == f'43{number}["{TEXT}{number}"]'
            client.send([f'429["echo","{number}', "in ", "", 'pieces"]'])
            assert client.recv(timeout=10) == f'439["{number}in pieces"]'
