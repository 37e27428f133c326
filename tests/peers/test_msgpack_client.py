"""npm's socket.io-client with socket.io-msgpack-parser against a siocore server, on both bindings."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module", params=LOOPS)
def results(request: pytest.FixtureRequest) -> dict[str, Any]:
    with serve("serve", "msgpack_app:io", "--loop", request.param) as server:
        found = run_node("msgpack_client.js", server.url)
        server.wait_for_line("the client was not given the msgpack parser")
        return found


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_the_msgpack_parser_of_the_javascript_client_works_in_every_respect(results: dict[str, Any], mode: str) -> None:
    assert results[mode] == {
        "auth": {"token": "é", "since": {"date": "1970-01-01T00:00:00.005Z"}},
        "sameId": True,
        "withoutAuth": {},
        "refused": {"message": "not authorized", "data": {"since": {"date": "2024-01-02T03:04:05.006Z"}}},
        "unknown": "Invalid namespace",
        "values": True,
        "events": True,
        "dates": [{"date": "2023-11-14T22:13:20.123Z"}, {"deep": [{"date": "1969-12-31T23:59:59.999Z"}]}],
        "types": ["datetime", "NoneType", "bytes", "int", "float", "bytes", "float"],
        "undefined": [None, {"a": None}, [None]],
        "numbers": ["NaN", 0.1, -0.5],
        "binary": [{"list": [{"bytes": [1, 2]}, {"bytes": []}]}, {"bytes": [1, 2, 3]}],
        "big": [300_000, 7, 7],
        "asked": [42, {"bytes": [1]}],
        "rooms": [
            [["to red", {"bytes": [9]}], [{"date": "1970-01-01T00:00:00.000Z"}]],
            [[{"date": "1970-01-01T00:00:00.000Z"}]],
        ],
        "namespaces": [{"token": "s3cret", "namespace": "/private"}, True],
        "reason": "io server disconnect",
        "stillThere": {"token": "s3cret", "namespace": "/private"},
    }


def test_a_client_with_another_parser_is_closed(results: dict[str, Any]) -> None:
    assert results["the wrong parser"] == "transport close"
