"""npm's socket.io-client against a siocore server, on both bindings, in ASGI servers, and over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import ASGI_SERVERS, LOOPS, run_node, serve, serve_asgi

pytestmark = pytest.mark.peer

HOSTS = LOOPS + ASGI_SERVERS
MODES = ("polling", "websocket", "upgrade")
Run = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module", params=HOSTS)
def runs(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    # Of the handler that fails in the scenario "timeouts".
    tracebacks = len(MODES)
    if request.param in ASGI_SERVERS:
        serving = serve_asgi(request.param, "server_app:asgi", tracebacks=tracebacks)
    else:
        serving = serve("serve", "server_app:io", "--loop", request.param, tracebacks=tracebacks)
    with serving as server:
        return {mode: run_node("socketio_client.js", server.url, mode) for mode in MODES}


@pytest.fixture(params=MODES)
def run(request: pytest.FixtureRequest, runs: dict[str, dict[str, Any]]) -> Run:
    return request.param, runs[request.param]


def test_connect_hands_the_auth_value_to_the_server(run: Run) -> None:
    mode, results = run
    assert results["connect"] == {
        "auth": {"token": "s3cret", "extra": [1, {"deep": "é"}]},
        "sameId": True,
        "idLength": 20,
        "recovered": False,
        "transport": "polling" if mode == "polling" else "websocket",
    }


def test_a_refused_client_sees_the_message_and_the_data(run: Run) -> None:
    assert run[1]["refused"] == {
        "message": "not authorized",
        "data": {"retry": False, "codes": [1, 2]},
        "active": False,
    }


def test_a_client_may_give_its_auth_value_by_a_function(run: Run) -> None:
    assert run[1]["auth as a function"] == {"token": "s3cret", "namespace": "/private"}


def test_an_unknown_namespace_is_refused(run: Run) -> None:
    assert run[1]["unknown namespace"] == {"message": "Invalid namespace"}


def test_json_values_survive_events_and_acks_in_both_directions(run: Run) -> None:
    assert run[1]["values"] == {"acked": True, "event": True}


def test_the_client_acknowledges_what_the_server_asks(run: Run) -> None:
    assert run[1]["server asks"] == [42, {"binary": {"bytes": [41]}}]


def test_nested_binary_travels_in_events_and_acks(run: Run) -> None:
    value = {"a": {"bytes": [1, 2]}, "list": [{"bytes": [3]}, {"deep": {"bytes": []}}], "text": "x"}
    assert run[1]["binary"] == {"acked": value, "event": [value, {"bytes": [9]}], "big": [300_000, 5, 5]}


def test_rooms_reach_their_members_once_and_nobody_else(run: Run) -> None:
    assert run[1]["rooms"] == [
        ["red", "both once", "red but not blue", "red without b"],
        ["red", "both once", "all but the sender"],
        ["both once", "one socket", "all but the sender"],
    ]


def test_a_broadcast_with_binary_reaches_everybody(run: Run) -> None:
    assert run[1]["broadcast"] == [[["news", "to all", {"bytes": [1, 2, 3]}]]] * 3


def test_a_broadcast_collects_acks_and_hands_out_what_came_in_time(run: Run) -> None:
    assert run[1]["broadcast with acks"] == {
        "answers": {"answers": ["yes 0", "yes 1", "yes 2"], "complete": True},
        "partial": {"answers": ["yes 0", "yes 1"], "complete": False},
    }


def test_namespaces_share_one_connection_and_keep_their_events_apart(run: Run) -> None:
    assert run[1]["namespaces"] == {
        "oneConnection": True,
        "differentIds": True,
        "seen": [[["echo back", "to main"]], [["echo back", "to second", {"bytes": [2]}]]],
        "acks": [1, 2],
        "reason": "io client disconnect",
        "mainLives": "still here",
    }


def test_both_sides_give_the_documented_reasons_for_a_disconnection(run: Run) -> None:
    assert run[1]["disconnect reasons"] == {
        "client disconnects": {"client": "io client disconnect", "server": "client namespace disconnect"},
        "client closes the engine": {"client": "forced close", "server": "transport close"},
        "server disconnects the socket": {"client": "io server disconnect", "server": "server namespace disconnect"},
        "server closes the engine": {"client": "io server disconnect", "server": "server namespace disconnect"},
        "client breaks the protocol": {"client": "transport close", "server": "forced close"},
    }


def test_volatile_events_arrive_while_the_client_can_take_them(run: Run) -> None:
    mode, results = run
    if mode == "polling":
        # Only a parked GET can take a volatile event, so the later ones may find none.
        assert results["volatile"][0] == ["maybe", "echo 1"]
    else:
        assert results["volatile"] == [["maybe", "echo 1"], ["maybe", 0], ["maybe", 1], ["maybe", 2]]


def test_unanswered_acks_time_out_on_both_sides_and_the_socket_lives_on(run: Run) -> None:
    assert run[1]["timeouts"] == {
        "client": "operation has timed out",
        "server": "operation has timed out",
        "handlerError": "operation has timed out",
        "stillThere": "yes",
    }


def test_a_catch_all_handler_sees_events_that_no_other_handles(run: Run) -> None:
    assert run[1]["catch-all"] == ["nobody handles this", 1, "two"]


def test_events_with_attachments_keep_their_order_across_the_upgrade(run: Run) -> None:
    mode, results = run
    assert results["order"] == {"upgraded": mode == "upgrade", "count": 300, "inOrder": True}
