"""npm's socket.io-client 1 and 2 against a siocore server, beside 3 and 4, on both bindings."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve

pytestmark = pytest.mark.peer

MODES = {"polling": "polling", "websocket": "websocket", "upgrade": "websocket", "websocket base64": "websocket"}
NESTED = {"a": {"bytes": [1, 2]}, "list": [{"bytes": [3]}, {"deep": {"bytes": []}}], "text": "€"}


@pytest.fixture(scope="module", params=LOOPS)
def results(request: pytest.FixtureRequest) -> dict[str, Any]:
    loop = request.param
    with (
        serve("serve", "legacy_app:io", "--loop", loop) as server,
        serve("serve", "server_app:io", "--loop", loop) as closed,
    ):
        return run_node("eio3_client.js", server.url, closed.url)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("mode", MODES)
def test_everything_travels_both_ways(results: dict[str, Any], version: str, mode: str) -> None:
    admin: dict[str, Any] = {"auth": {"token": "s3cret", "x": "€"}, "id": True, "echo": [1]}
    if version == "v2":
        admin["sameId"] = True
    assert results[f"{version} talks"][mode] == {
        "sameId": True,
        "auth": {},
        "token": "s3cret",
        "transport": MODES[mode],
        "text": True,
        "ack": True,
        "event": True,
        "binaryAck": [NESTED],
        "binaryEvent": {"bytes": [9]},
        "big": [100_000, 7],
        "asked": [True, {"bytes": [1]}],
        "admin": admin,
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_who_is_refused_learns_why_and_keeps_the_connection(results: dict[str, Any], version: str) -> None:
    assert results[f"{version} is refused"] == {
        "data": {"retry": False},
        "message": "expired",
        "unknown": {"message": "Invalid namespace"},
        "data stays": [1],
        "message stays": [1],
        "unknown stays": [1],
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_both_sides_give_their_reasons_for_the_end(results: dict[str, Any], version: str) -> None:
    assert results[f"{version} ends"] == {
        "client disconnects": {"client": "io client disconnect", "server": "client namespace disconnect"},
        "server disconnects the socket": {"client": "io server disconnect", "server": "server namespace disconnect"},
        "server closes the engine": {"client": "io server disconnect", "server": "server namespace disconnect"},
        "client breaks the protocol": {"client": "transport close", "server": "forced close"},
        "client stops to ping": {"client": "transport close", "server": "ping timeout"},
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_browsers_poll_with_payloads_of_bytes(results: dict[str, Any], version: str) -> None:
    text = '51-["echo back","€ 😀",{"_placeholder":true,"num":0}]'
    assert results[f"{version} bytes"] == {
        "first": ["message", "message"],
        "posted": "ok",
        "type": "application/octet-stream",
        "found": [["message", text], ["message", {"bytes": [1, 2, 3]}]],
    }


def test_jsonp_works_for_the_servers_own_pages(results: dict[str, Any]) -> None:
    text = '51-["echo back","\\u20ac \\n\\ud83d\\ude00",{"_placeholder":true,"num":0}]'
    assert results["jsonp"] == {
        "unnamed": 403,
        "type": "text/javascript; charset=UTF-8",
        "posted": "ok",
        "found": [["message", text], ["message", {"bytes": [1, 2, 3]}]],
    }


def test_a_broadcast_reaches_clients_of_every_version_in_the_room(results: dict[str, Any]) -> None:
    assert results["a room of all versions"] == [[["€ 😀", {"data": {"bytes": [1, 2]}}], ["text"]]] * 8


def test_without_the_option_old_clients_are_refused_and_told_what_to_do(results: dict[str, Any]) -> None:
    result = results["without the option"]
    assert result["v1 polling"] == result["v2 polling"] == ["xhr poll error", 400]
    assert result["v1 websocket"] == result["v2 websocket"] == ["websocket error", None]
    assert (result["answer"]["code"], result["answer"]["message"]) == (5, "Unsupported protocol version")
    assert "allow_eio3=True" in result["answer"]["hint"]
