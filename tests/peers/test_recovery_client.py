"""npm's socket.io-client comes back to a siocore server, on both bindings, over both transports."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve

pytestmark = pytest.mark.peer

TRANSPORTS = ("websocket", "polling")
BACK = {"recovered": True, "sameId": True}
ANEW = {"recovered": False, "sameId": False}
BEFORE = ["before", 0, "0001"]
MISSED = ["missed", 0, "0001"]


@pytest.fixture(scope="module", params=LOOPS)
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    with serve("serve", "recovery_app:io", "--loop", request.param) as server:
        return run_node("recovery.js", server.url)


def both(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict.fromkeys(TRANSPORTS, result)


def test_a_client_that_was_cut_off_gets_what_it_missed_once_and_in_order(run: dict[str, Any]) -> None:
    missed = [[f"missed {number + 1}", number, "0001"] for number in range(3)]
    state = {"rooms": ["room"], "name": "ann", "recovered": True, "sameId": True}
    assert run["missed events"] == both(BACK | {"seen": [BEFORE, *missed, ["after", 0, "0001"]], "state": state})


def test_a_connection_that_the_server_loses_is_recovered(run: dict[str, Any]) -> None:
    missed = [["missed 1", 0, "0001"], ["missed 2", 1, "0001"]]
    assert run["cut by the server"] == both(BACK | {"seen": [BEFORE, *missed]})


def test_a_connection_that_only_seems_alive_ends_before_its_client_is_back(run: dict[str, Any]) -> None:
    log = ["connection", "transport close", "recovered"]
    assert run["half open"] == both(
        BACK | {"reason": "transport close", "log": log, "seen": [[BEFORE], [["after", 0, "0001"]]]}
    )


def test_a_client_whose_latest_event_is_forgotten_already_is_recovered(run: dict[str, Any]) -> None:
    assert run["a quiet client"] == both(BACK | {"seen": [BEFORE, MISSED]})


def test_a_client_that_never_received_an_event_is_recovered(run: dict[str, Any]) -> None:
    assert run["never received any"] == both(BACK | {"seen": [MISSED]})


def test_a_volatile_event_that_ends_with_a_string_is_not_taken_for_an_offset(run: dict[str, Any]) -> None:
    assert run["a volatile event that ends with a string"] == both(BACK | {"seen": [BEFORE, MISSED]})


def test_a_client_that_middleware_refuses_gets_nothing_of_what_it_missed(run: dict[str, Any]) -> None:
    assert run["refused by middleware"] == both(ANEW | {"message": "not authorized", "seen": [["before"]]})


def test_a_client_that_has_disconnected_starts_anew(run: dict[str, Any]) -> None:
    assert run["after an explicit disconnect"] == both(ANEW | {"seen": [BEFORE]})
