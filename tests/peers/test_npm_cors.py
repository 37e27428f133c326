"""Our CORS headers are those of npm's cors, which Node.js' socket.io uses, but for differences that are meant.

Where they differ on purpose:

* A page that is not let in gets 403, and learns nothing by headers; cors leaves that to the browser, and sends it the
  methods, the credentials and, configured with one origin, that origin.
* A request without Origin gets no such headers either. ``Vary: Origin`` is the same.
* A regular expression must match all of an origin. (And names of origins are compared without regard to case.)
* Headers that a preflight asks for are sent back only if they are a list of names, and not too long.
* ``"*"`` with credentials can't be configured, and without any configuration only the same host is let in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from peers.harness import run_node
from raw_client import EngineApp
from siocore import Cors

pytestmark = pytest.mark.peer

APP = "https://app.example"
ORIGINS: list[str | None] = [
    None,
    APP,
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil",
    "https://evil.example",
    "https://evil-app.example",
    "https://one.sub.example",
    "https://sub.example",
    "https://one.sub.example.evil",
    "http://localhost:5173",
    "http://localhost:80",
    "capacitor://localhost",
    "null",
]
#: Let in by npm's cors alone, since its regular expressions need only match a part.
ONLY_THEIRS = ("pattern", "https://one.sub.example.evil")

SUB = r"https://[a-z]+\.sub\.example"
COMMON = {"methods": ["GET", "POST"], "max_age": None}
#: Keywords of Cors, from which those of npm's cors are made.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "star": {"origins": "*"},
    "one": {"origins": APP, "credentials": True},
    "plain": {"origins": APP},
    "list": {"origins": [APP, "http://localhost:5173", "null"], "credentials": True},
    "pattern": {"origins": re.compile(SUB)},
    "mixed": {"origins": [re.compile(SUB + "$"), "capacitor://localhost"], "credentials": True},
    "headers": {"origins": [APP], "allowed_headers": ["content-type", "x-trace"], "exposed_headers": ["x-a", "x-b"]},
    "none": {"origins": [APP], "allowed_headers": [], "methods": ["PUT", "DELETE"]},
    "age": {"origins": "*", "max_age": 600, "preflight_status": 200},
    "now": {"origins": [APP], "max_age": 0},
}
ASKED = [None, "content-type", "content-type, x-trace", "X-One,X-Two"]


def for_npm(options: dict[str, Any]) -> dict[str, Any]:
    def origin(rule: Any) -> Any:
        return {"regexp": rule.pattern} if isinstance(rule, re.Pattern) else rule

    origins = options["origins"]
    made: dict[str, Any] = {
        "origin": [origin(rule) for rule in origins] if isinstance(origins, list) else origin(origins),
        "methods": options["methods"],
        "optionsSuccessStatus": options.get("preflight_status", 204),
    }
    for name, theirs in (("credentials", "credentials"), ("exposed_headers", "exposedHeaders"), ("max_age", "maxAge")):
        if options.get(name) is not None:
            made[theirs] = options[name]
    if options.get("allowed_headers") is not None:
        made["allowedHeaders"] = options["allowed_headers"]
    return made


def cases() -> list[dict[str, Any]]:
    made = []
    for configuration in CONFIGURATIONS:
        for origin in ORIGINS:
            for method, asked in [("GET", None), ("POST", None), *(("OPTIONS", each) for each in ASKED)]:
                headers = {"origin": origin, "access-control-request-headers": asked}
                made.append(
                    {
                        "scenario": f"{configuration} {origin} {method} {asked}",
                        "configuration": configuration,
                        "method": method,
                        "headers": {name: value for name, value in headers.items() if value is not None},
                    }
                )
    return made


def in_parts(headers: dict[str, str]) -> dict[str, set[str]]:
    """The headers that matter to CORS, as sets of what they list."""
    return {
        name: {part.strip().lower() for part in value.split(",")}
        for name, value in headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


def test_our_headers_are_those_of_npms_cors(tmp_path: Path) -> None:
    configurations = {name: COMMON | options for name, options in CONFIGURATIONS.items()}
    table = cases()
    assert len(table) == 10 * 14 * 6
    npm = {name: for_npm(options) for name, options in configurations.items()}
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"configurations": npm, "cases": table}))
    theirs = run_node("npm_cors.js", str(file))
    engines = {name: EngineApp(cors=Cors(**options)) for name, options in configurations.items()}
    let_in = 0
    for case in table:
        name, method = case["configuration"], case["method"]
        origin = case["headers"].get("origin")
        target = "/engine.io/?EIO=4&transport=polling"
        ours = engines[name].server.request(method, target, list(case["headers"].items()))
        expected = in_parts(theirs[case["scenario"]]["headers"])
        allowed = {"*" if configurations[name]["origins"] == "*" else str(origin).lower()}
        npm_lets_in = expected.get("access-control-allow-origin") == allowed
        if origin is None or not npm_lets_in or (name, origin) == ONLY_THEIRS:
            expected = {"vary": {"origin"}} if "origin" in expected.get("vary", ()) else {}
            if method == "GET":
                assert ours.status == (200 if origin is None else 403), case
        else:
            let_in += 1
            if method == "OPTIONS":
                assert ours.status == theirs[case["scenario"]]["status"], case
            elif method == "GET":
                assert ours.status == 200
        assert in_parts(ours.headers) == expected, case
    assert let_in > 200


@pytest.mark.parametrize("asked", ["x y", "x-a,,x-b", "x:1", 'x"', "é", "x-" * 600, ",", "x-a\t;q=1"])
def test_what_is_no_list_of_header_names_is_not_sent_back(asked: str) -> None:
    engine = EngineApp(cors=Cors(origins=APP))
    headers = [("Origin", APP), ("Access-Control-Request-Headers", asked)]
    response = engine.server.request("OPTIONS", "/engine.io/", headers)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == APP
    assert "access-control-allow-headers" not in response.headers
