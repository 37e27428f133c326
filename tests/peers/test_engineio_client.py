"""npm's engine.io-client against a siocore server, on both bindings and over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve
from siocore.advice import ADVICE

pytestmark = pytest.mark.peer

MODES = ("polling", "websocket", "upgrade")


@pytest.fixture(scope="module", params=[(loop, mode) for loop in LOOPS for mode in MODES], ids="-".join)
def run(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    loop, mode = request.param
    with serve("serve", "server_app:engine", "--loop", loop) as server:
        return mode, run_node("engineio_client.js", server.url, mode)


def test_text_messages_of_any_length_come_back(run: tuple[str, dict[str, Any]]) -> None:
    mode, results = run
    transport = "polling" if mode == "polling" else "websocket"
    assert results["text"] == {"transport": transport, "answers": ["hello", "", "€ 😀 \u2028", 100_000]}


def test_binary_messages_come_back_as_binary(run: tuple[str, dict[str, Any]]) -> None:
    _, results = run
    assert results["binary"] == {"answers": [[1, 2, 3], [], [0, 255, 30, 128]], "big": 200_000}


def test_a_thousand_messages_keep_their_order_in_both_directions_across_the_upgrade(
    run: tuple[str, dict[str, Any]],
) -> None:
    mode, results = run
    assert results["order"] == {
        "transport": "polling" if mode == "polling" else "websocket",
        "upgraded": mode == "upgrade",
        "counts": 1_000,
        "countsInOrder": True,
        "echoes": 1_000,
        "echoesInOrder": True,
    }


def test_heartbeats_keep_an_idle_session_alive(run: tuple[str, dict[str, Any]]) -> None:
    _, results = run
    assert results["heartbeat"]["pings"] >= 2
    assert results["heartbeat"]["answer"] == "still here"


def test_a_session_that_the_client_closes_ends_with_transport_close(run: tuple[str, dict[str, Any]]) -> None:
    _, results = run
    assert results["client closes"] == {"reason": "forced close", "server": "transport close"}


def test_a_session_that_the_server_closes_delivers_its_last_message_first(run: tuple[str, dict[str, Any]]) -> None:
    _, results = run
    assert results["server closes"] == {"farewell": "farewell", "reason": "transport close", "server": "forced close"}


def test_an_unknown_session_is_refused_with_its_code(run: tuple[str, dict[str, Any]]) -> None:
    _, results = run
    hint = ADVICE["SESSION_UNKNOWN"].hint
    assert results["unknown session"] == {
        "status": 400,
        "body": {"code": 1, "message": "Session ID unknown", "hint": hint},
    }
