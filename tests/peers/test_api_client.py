"""npm's socket.io-client with dynamic namespaces, handlers of single sockets, and answers one by one."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve

pytestmark = pytest.mark.peer

TIMED_OUT = "operation has timed out"
INVALID = ["Invalid namespace", None]


@pytest.fixture(scope="module", params=[("trio", "websocket"), ("asyncio", "polling")], ids="-".join)
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    loop, transport = request.param
    assert loop in LOOPS
    # One traceback: of the predicate that fails.
    with serve("serve", "api_app:io", "--loop", loop, tracebacks=1) as server:
        return run_node("api.js", server.url, transport)


def test_clients_call_namespaces_into_being_and_these_end_with_them(run: dict[str, Any]) -> None:
    assert run["dynamic namespaces"] == {
        "where": ["/room-1", "/room-22"],
        "seen": [
            [["told", 1, {"bytes": [2]}]],
            [["told", 1, {"bytes": [2]}], ["told", 3]],
        ],
        "refused": [INVALID, INVALID, ["banned", "/room-1"]],
        "during": {"made": ["/listening", "/room-1", "/room-22"], "rooms": ["/room-1", "/room-22"]},
        "after": {"made": ["/listening", "/room-1", "/room-22"], "rooms": []},
    }


def test_a_predicate_decides_about_every_client(run: dict[str, Any]) -> None:
    assert run["a predicate"] == {
        "where": "/private/ann",
        "refused": [INVALID, INVALID, INVALID],
        "shared": "/private/bob",
    }


def test_a_socket_has_handlers_and_middleware_of_its_own(run: dict[str, Any]) -> None:
    result = run["handlers of a socket"]
    assert result == {
        "once": "the first time",
        "again": TIMED_OUT,
        "off": "still there",
        "gone": TIMED_OUT,
        "double": 42,
        "integer": {"bytes": [1, 2]},
        "forbidden": TIMED_OUT,
        "forged": TIMED_OUT,
        # Nobody but the middleware has seen what it stopped.
        "incoming": [
            ["once"],
            ["once"],
            ["off"],
            ["off"],
            ["double", 42],
            [7, {"bytes": [1, 2]}],
            ["error", "forged"],
            ["seen"],
        ],
        "outgoing": [
            ["hello", {"bytes": [1]}],
            ["room"],
            [8, {"bytes": [1, 2]}],
            ["refused", "forbidden with 2"],
        ],
        "seen": [
            ["hello", {"bytes": [1]}],
            ["room"],
            [8, {"bytes": [1, 2]}],
            ["refused", "forbidden with 2"],
        ],
    }


def test_the_answers_of_a_room_are_there_one_by_one(run: dict[str, Any]) -> None:
    assert run["answers"] == {
        "members": [1, 2, 3],
        "all": {"answers": ["yes 0", "yes 1", "yes 2"], "complete": True},
        "progress": [["progress", "yes 0"], ["progress", "yes 1"], ["progress", "yes 2"]],
        "gone": {"answers": ["yes 0", "yes 1"], "complete": True},
        "partial": {"answers": ["yes 0"], "partial": ["yes 0"]},
        # The time of its own was up, and nothing is kept for whoever did not answer.
        "left": ["yes 0", True, 0],
    }
