"""npm's clients against a server that decides about handshakes and adds headers, on both bindings."""

from __future__ import annotations

from typing import Any

import pytest

from peers.harness import LOOPS, run_node, serve
from siocore.advice import ADVICE

pytestmark = pytest.mark.peer

REFUSED = ADVICE["REFUSED"].hint


@pytest.fixture(scope="module", params=LOOPS)
def results(request: pytest.FixtureRequest) -> dict[str, Any]:
    with serve("serve", "hooks_app:io", "--loop", request.param) as server:
        return run_node("hooks_client.js", server.url)


def test_a_refused_client_gets_connect_error_with_status_code_and_message(results: dict[str, Any]) -> None:
    assert results["a forbidden client"] == {
        "polling": {
            "message": "xhr poll error",
            "status": 403,
            "body": {"code": 4, "message": "Forbidden", "hint": REFUSED},
        },
        "websocket": {"message": "websocket error"},
    }
    expired = results["an expired client"]["polling"]
    assert (expired["status"], expired["body"]["message"]) == (401, "your token has expired")


def test_an_allowed_client_has_the_id_that_the_application_made(results: dict[str, Any]) -> None:
    expected = {"answer": 1, "id": ["worker7_", 28]}
    assert results["an allowed client"] == {"polling": expected, "websocket": expected}
    assert results["an upgrade"] == {"answer": 2}


def test_headers_and_cookie_are_on_the_answers_that_they_are_meant_for(results: dict[str, Any]) -> None:
    cookie = "node=SID; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
    assert results["headers"] == {
        "first": {
            "x-first": "yes",
            "x-served-by": "siocore",
            "access-control-allow-origin": "https://app.example",
            "access-control-expose-headers": "x-served-by",
        },
        "cookie": cookie,
        "second": {"x-served-by": "siocore"},
        "secondCookie": None,
        "upgraded": [101, "yes", "siocore"],
        "upgradedCookie": cookie,
    }


def test_a_refused_websocket_is_a_plain_answer_that_says_why(results: dict[str, Any]) -> None:
    refused = results["refused websockets"]
    assert refused["forbidden"] == {"status": 400, "body": f"Forbidden: {REFUSED}"}
    assert refused["expired"] == {"status": 400, "body": f"your token has expired: {REFUSED}"}
    assert refused["foreign"] == {"status": 400, "body": f"Forbidden: {ADVICE['ORIGIN_NOT_ALLOWED'].hint}"}
    assert refused["elsewhere"]["status"] == 404
    assert "/socket.io/" in refused["elsewhere"]["body"]
