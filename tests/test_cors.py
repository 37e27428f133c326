"""Which pages may talk to us: the same host by default, over both transports."""

from __future__ import annotations

import re
from typing import Any

import pytest

from raw_client import EngineApp, RawPolling
from siocore import Cors, Request, ServerOptions
from siocore.testing import TestServer
from siocore.testing.wire import WEBSOCKET_HEADERS, Response, ResponseReader, request_bytes

Pairs = list[tuple[str, str]]
HOST = "chat.example"

#: (Origin headers, Host, whether the page is of the same host)
ORIGINS: list[tuple[list[str], str, bool]] = [
    ([], HOST, True),
    (["http://chat.example"], HOST, True),
    (["https://chat.example"], HOST, True),
    (["HTTP://CHAT.EXAMPLE"], HOST, True),
    (["http://chat.example:80"], HOST, True),
    (["http://chat.example"], "chat.example:80", True),
    (["https://chat.example:443"], HOST, True),
    (["https://chat.example"], "CHAT.example:443", True),
    (["http://chat.example:3000"], "chat.example:3000", True),
    (["http://[::1]:3000"], "[::1]:3000", True),
    (["http://127.0.0.1:3000"], "127.0.0.1:3000", True),
    (["https://evil.example"], HOST, False),
    (["http://evil.example"], HOST, False),
    (["null"], HOST, False),
    ([""], HOST, False),
    (["chat.example"], HOST, False),
    (["//chat.example"], HOST, False),
    (["http://"], HOST, False),
    (["://chat.example"], HOST, False),
    (["ftp://chat.example"], HOST, False),
    (["file://chat.example"], HOST, False),
    (["ws://chat.example"], HOST, False),
    (["https://chat.example.evil.example"], HOST, False),
    (["https://evil-chat.example"], HOST, False),
    (["https://chat.example:444"], HOST, False),
    (["http://chat.example:443"], HOST, False),
    (["https://chat.example:80"], HOST, False),
    (["http://chat.example:3001"], "chat.example:3000", False),
    (["http://chat.example"], "chat.example:3000", False),
    (["https://user@chat.example"], HOST, False),
    (["https://chat.example@evil.example"], HOST, False),
    (["https://chat.example/"], HOST, False),
    (["https://chat.example?x"], HOST, False),
    (["https://chat.example https://evil.example"], HOST, False),
    (["https://chat.example,https://evil.example"], HOST, False),
    (["http://chat.example", "http://chat.example"], HOST, False),
    (["http://chat.example", "http://evil.example"], HOST, False),
    (["https://chat.example."], HOST, False),
    (["https://ch\xe4t.example"], HOST, False),
    (["https://sub.chat.example"], HOST, False),
]


def ask(engine: EngineApp, transport: str, origins: list[str], host: str, **connection: Any) -> Response:
    headers: Pairs = [("Host", host), *(("Origin", origin) for origin in origins)]
    if transport == "websocket":
        headers += WEBSOCKET_HEADERS
    stream = engine.server.connect(**connection)
    stream.write(request_bytes("GET", f"/engine.io/?EIO=4&transport={transport}", headers))
    engine.server.settle()
    return ResponseReader().feed(bytes(stream.received))[0]


def is_let_in(response: Response, transport: str) -> bool:
    if response.status == (101 if transport == "websocket" else 200):
        return True
    # Over WebSocket every refusal is a plain 400.
    assert response.status == (400 if transport == "websocket" else 403)
    return False


def test_there_are_forty_origins() -> None:
    assert len(ORIGINS) == 40


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("origins", "host", "same"), ORIGINS)
def test_by_default_only_the_same_host_is_let_in(origins: list[str], host: str, same: bool, transport: str) -> None:
    engine = EngineApp()
    response = ask(engine, transport, origins, host)
    assert is_let_in(response, transport) is same
    assert len(engine.opened) == same
    assert not any(name.startswith("access-control") for name in response.headers)


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("origins", "host", "same"), ORIGINS)
def test_a_list_lets_in_exactly_those_on_it(origins: list[str], host: str, same: bool, transport: str) -> None:
    engine = EngineApp(cors_origins=["https://evil.example", "https://Other.example/"])
    response = ask(engine, transport, origins, host)
    expected = origins in ([], ["https://evil.example"])
    assert is_let_in(response, transport) is expected
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed == ("https://evil.example" if origins and expected and transport == "polling" else None)
    if allowed is not None:
        assert response.headers["access-control-allow-credentials"] == "true"
        assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("origins", "host", "same"), ORIGINS)
def test_a_star_lets_in_all_and_never_with_credentials(
    origins: list[str], host: str, same: bool, transport: str
) -> None:
    engine = EngineApp(cors_origins="*")
    response = ask(engine, transport, origins, host)
    assert is_let_in(response, transport) is (len(origins) < 2)
    assert "access-control-allow-credentials" not in response.headers
    if transport == "polling" and len(origins) == 1:
        assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("kind", ["function", "pattern"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("origins", "host", "same"), ORIGINS)
def test_a_function_or_a_pattern_lets_in_whom_it_names(
    origins: list[str], host: str, same: bool, transport: str, kind: str
) -> None:
    def check(origin: str, request: Request) -> bool:
        return origin in ("https://sub.chat.example", "https://chat.example:444") and request.method == "GET"

    rule = check if kind == "function" else re.compile(r"https://(sub\.)?chat\.example(:444)?")
    named = {"https://sub.chat.example", "https://chat.example:444"}
    if kind == "pattern":
        named |= {"https://chat.example"}
    engine = EngineApp(cors=Cors(origins=rule, exposed_headers=["x-a"]))
    response = ask(engine, transport, origins, host)
    expected = not origins or (len(origins) == 1 and origins[0] in named)
    assert is_let_in(response, transport) is expected
    if transport == "polling":
        assert response.headers["vary"] == "Origin"
        assert ("access-control-allow-origin" in response.headers) is (expected and origins != [])
        assert ("access-control-expose-headers" in response.headers) is (expected and origins != [])
    assert "access-control-allow-credentials" not in response.headers


def test_a_function_that_fails_lets_nobody_in_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def check(origin: str, request: Request) -> bool:
        raise LookupError("no such tenant")

    engine = EngineApp(cors_origins=check)
    engine.app.add_resource("/page", b"page", "text/html")
    for transport in ("polling", "websocket"):
        assert is_let_in(ask(engine, transport, ["https://app.example"], HOST), transport) is False
    page = engine.server.request("GET", "/page", [("Origin", "https://app.example")])
    assert page.status == 200
    assert "access-control-allow-origin" not in page.headers
    assert "no such tenant" in caplog.text
    assert [(code, context["name"]) for code, context in engine.errors] == [(4, "ORIGIN_CHECK_FAILED")] * 2


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize(("origin", "expected"), [("https://chat.example", True), ("http://chat.example", False)])
def test_over_tls_the_page_must_have_come_over_tls(origin: str, expected: bool, transport: str) -> None:
    response = ask(EngineApp(), transport, [origin], HOST, secure=True)
    assert is_let_in(response, transport) is expected


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "X-Original-Host"])
def test_forwarded_headers_are_not_trusted(header: str) -> None:
    engine = EngineApp()
    response = engine.server.request(
        "GET",
        "/engine.io/?EIO=4&transport=polling",
        [("Host", HOST), ("Origin", "https://evil.example"), (header, "evil.example")],
    )
    assert response.status == 403


def test_a_foreign_page_can_not_use_a_session_that_it_has_the_id_of() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    foreign = [("Origin", "https://evil.example")]
    assert engine.server.request("GET", polling.target, foreign).status == 403
    assert engine.server.request("POST", polling.target, foreign, b"4x").status == 403
    assert engine.messages == []
    polling.post(b"4mine")
    assert engine.messages == ["mine"]


def preflight(engine: EngineApp, origin: str) -> Response:
    headers = [
        ("Host", HOST),
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type, x-trace"),
    ]
    return engine.server.request("OPTIONS", "/engine.io/?EIO=4&transport=polling", headers)


def test_a_preflight_of_an_allowed_page_is_answered() -> None:
    response = preflight(EngineApp(cors_origins="https://other.example"), "https://other.example")
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "https://other.example"
    assert response.headers["access-control-allow-methods"] == "GET,POST"
    assert response.headers["access-control-allow-headers"] == "content-type, x-trace"
    assert response.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize("options", [{}, {"cors_origins": ["https://other.example"]}])
def test_a_preflight_of_any_other_page_allows_nothing(options: dict[str, Any]) -> None:
    response = preflight(EngineApp(**options), "https://evil.example")
    assert response.status == 204
    assert not any(name.startswith("access-control") for name in response.headers)


def test_answers_to_posts_and_errors_can_be_read_by_an_allowed_page() -> None:
    engine = EngineApp(cors_origins=["https://other.example"])
    polling = RawPolling(engine.server)
    origin = [("Origin", "https://other.example")]
    post = polling.post(b"4x", origin)
    assert post is not None
    assert post.headers["access-control-allow-origin"] == "https://other.example"
    error = engine.server.request("GET", "/engine.io/?EIO=4&transport=polling&sid=unknown", origin)
    assert (error.status, error.headers["access-control-allow-origin"]) == (400, "https://other.example")


def test_the_preflight_of_a_resource_is_answered_too() -> None:
    engine = EngineApp(cors=Cors(origins="https://other.example", credentials=True, max_age=None))
    engine.app.add_resource("/page", b"page", "text/html")
    response = engine.server.request("OPTIONS", "/page", [("Origin", "https://other.example")])
    assert response.status == 204
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert response.headers["access-control-allow-origin"] == "https://other.example"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "access-control-max-age" not in response.headers
    assert engine.server.request("OPTIONS", "/nothing", [("Origin", "https://other.example")]).status == 404


@pytest.mark.parametrize("origin", [None, "https://evil.example"])
def test_a_cache_is_told_that_answers_differ_by_origin(origin: str | None) -> None:
    engine = EngineApp(cors_origins=["https://other.example"])
    engine.app.add_resource("/page", b"page", "text/html")
    response = engine.server.request("GET", "/page", [] if origin is None else [("Origin", origin)])
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"origins": "*", "credentials": True}, "any page read"),
        ({"origins": "app.example"}, "an origin is like"),
        ({"origins": "https://app.example/path"}, "an origin is like"),
        ({"origins": "https://app.example, https://b.example"}, "an origin is like"),
        ({"origins": ["https://app.example\r\nX: y"]}, "an origin is like"),
        ({"origins": "https://user@app.example"}, "an origin is like"),
        ({"origins": "https://*.app.example"}, "an origin is like"),
        ({"origins": [7]}, "compiled regular expression"),
        ({"origins": "*", "methods": ["GET\r\nX: y"]}, "tokens"),
        ({"origins": "*", "allowed_headers": ["x y"]}, "tokens"),
        ({"origins": "*", "exposed_headers": [""]}, "tokens"),
        ({"origins": "*", "max_age": -1}, "max_age"),
        ({"origins": "*", "max_age": "1"}, "max_age"),
        ({"origins": "*", "preflight_status": 404}, "preflight_status"),
    ],
)
def test_what_no_browser_would_accept_is_refused_when_it_is_made(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Cors(**wrong)


def test_the_short_form_and_the_long_one_can_not_be_mixed() -> None:
    with pytest.raises(ValueError, match="one of them"):
        ServerOptions(cors_origins="*", cors=Cors(origins="*"))


@pytest.mark.parametrize("origins", [["*"], ["https://a.example", "*"]])
def test_a_star_among_others_is_a_mistake(origins: list[str]) -> None:
    with pytest.raises(ValueError, match="not a list with"):
        ServerOptions(cors_origins=tuple(origins))


def test_the_servers_own_page_needs_no_configuration() -> None:
    engine = EngineApp()
    engine.app.add_resource("/", b"page", "text/html")
    assert engine.server.request("GET", "/").status == 200
    assert TestServer(EngineApp().app).request("GET", "/engine.io/?EIO=4&transport=polling").status == 200
