"""What answers carry besides their content: the cookie, and the headers that the application adds."""

from __future__ import annotations

from typing import Any

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket
from siocore import Cookie, LocalProtocolError, Request, ServerOptions
from siocore.testing.wire import Response

HANDSHAKE = "/engine.io/?EIO=4&transport=polling"
TRANSPORTS = ["polling", "websocket"]


def opened(engine: EngineApp, transport: str) -> Response:
    """The answer to a handshake."""
    if transport == "polling":
        return engine.server.request("GET", HANDSHAKE)
    response = RawWebSocket(engine.server).response
    assert response is not None
    return response


# The cookie ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        (True, "io={}; Path=/; HttpOnly; SameSite=Lax"),
        ("node", "node={}; Path=/; HttpOnly; SameSite=Lax"),
        (Cookie(), "io={}; Path=/; HttpOnly; SameSite=Lax"),
        (Cookie(http_only=False, same_site=None), "io={}; Path=/"),
        (Cookie(same_site="none", secure=True), "io={}; Path=/; HttpOnly; Secure; SameSite=None"),
        (
            Cookie(name="a", path="/x", max_age=60, domain=".app.example", same_site="strict"),
            "a={}; Max-Age=60; Domain=.app.example; Path=/x; HttpOnly; SameSite=Strict",
        ),
    ],
)
def test_the_answer_to_a_handshake_sets_the_cookie(cookie: Any, expected: str, transport: str) -> None:
    engine = EngineApp(cookie=cookie)
    response = opened(engine, transport)
    assert response.headers["set-cookie"] == expected.format(engine.opened[0].sid)


def test_no_other_answer_sets_it() -> None:
    engine = EngineApp(cookie=True)
    polling = RawPolling(engine.server)
    engine.opened[0].send("x")
    for response in (polling.get(), polling.post(b"4x"), polling.websocket().response):
        assert response is not None
        assert "set-cookie" not in response.headers
    assert "set-cookie" not in engine.server.request("GET", "/engine.io/?EIO=3&transport=polling").headers


@pytest.mark.parametrize("cookie", [None, False])
def test_by_default_there_is_none(cookie: Any) -> None:
    assert "set-cookie" not in opened(EngineApp(cookie=cookie), "polling").headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "io;x"},
        {"name": "io=1"},
        {"name": "io\r\nX: y"},
        {"name": "ü"},
        {"path": "x"},
        {"path": "/; Domain=evil"},
        {"path": "/\r\nX: y"},
        {"path": "/ü"},
        {"domain": "evil.example; Path=/"},
        {"domain": "a\nb"},
        {"domain": ""},
        {"same_site": "Lax; Secure"},
        {"same_site": "none"},
        {"max_age": -1},
        {"max_age": "60; Secure"},
        {"max_age": True},
        {"max_age": 1.5},
    ],
    ids=repr,
)
def test_what_is_no_cookie_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cookie|same_site|max_age"):
        Cookie(**wrong)


@pytest.mark.parametrize("wrong", [7, "a b", ["io"]])
def test_the_option_takes_a_name_or_a_cookie(wrong: Any) -> None:
    with pytest.raises(ValueError, match="cookie"):
        ServerOptions(cookie=wrong)


# Headers ------------------------------------------------------------------------------------------------------


def test_every_answer_has_the_headers_of_the_hook() -> None:
    def add(headers: dict[str, str], request: Request) -> None:
        headers["X-Frame-Options"] = "DENY"
        headers["x-path"] = request.path

    engine = EngineApp(headers=add)
    engine.app.add_resource("/page", b"page", "text/html")
    polling = RawPolling(engine.server)
    engine.opened[0].send("x")
    answers = [
        opened(engine, "polling"),
        opened(engine, "websocket"),
        polling.get(),
        polling.post(b"4x"),
        polling.websocket().response,
        engine.server.request("GET", "/engine.io/?EIO=3&transport=polling"),
        engine.server.request("OPTIONS", "/engine.io/"),
        engine.server.request("PUT", polling.target),
        engine.server.request("GET", "/page"),
        engine.server.request("GET", "/nothing"),
    ]
    for answer in answers:
        assert answer is not None
        assert answer.headers["x-frame-options"] == "DENY"
    assert [each.status for each in answers if each is not None] == [200, 101, 200, 200, 101, 400, 204, 405, 200, 404]
    assert answers[-1] is not None
    assert answers[-1].headers["x-path"] == "/nothing"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_first_answer_of_a_session_has_headers_of_its_own(transport: str) -> None:
    engine = EngineApp(initial_headers=lambda headers, request: headers.update({"x-first": "1"}))
    assert opened(engine, transport).headers["x-first"] == "1"
    polling = RawPolling(engine.server)
    post = polling.post(b"4x")
    upgrade = polling.websocket().response
    assert post is not None
    assert upgrade is not None
    assert "x-first" not in post.headers
    assert "x-first" not in upgrade.headers


def test_both_hooks_may_set_cookies_besides_ours() -> None:
    engine = EngineApp(
        cookie=True,
        initial_headers=lambda headers, request: headers.update({"Set-Cookie": "a=1"}),
        headers=lambda headers, request: headers.update({"Set-Cookie": "b=2", "Vary": "X-Y"}),
        cors_origins=["https://app.example"],
    )
    response = opened(engine, "polling")
    assert response.headers["set-cookie"] == (f"io={engine.opened[0].sid}; Path=/; HttpOnly; SameSite=Lax, a=1, b=2")
    assert response.headers["vary"] == "Origin, X-Y"


WRONG: list[dict[Any, Any]] = [
    {"X: y\r\nInjected": "1"},
    {"x": "1\r\nInjected: 1"},
    {"x": "1\nInjected: 1"},
    {"x": "1\x00"},
    {"x": "1\x7f"},
    {"x": "€"},
    {"x": "\ud800"},
    {"x": 1},
    {"x": None},
    {"x": b"1"},
    {1: "x"},
    {b"x": "1"},
    {"": "x"},
    {"x y": "1"},
    {"Content-Length": "0"},
    {"content-type": "text/html"},
    {"Content-Encoding": "gzip"},
    {"TRANSFER-ENCODING": "chunked"},
    {"Connection": "close"},
    {"Upgrade": "h2c"},
    {"Keep-Alive": "timeout=5"},
    {"Sec-WebSocket-Accept": "x"},
    {"sec-websocket-protocol": "x"},
    {"Cache-Control": "public"},
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("hook", ["headers", "initial_headers"])
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_can_not_be_sent_is_reported_and_left_out(
    wrong: dict[Any, Any], hook: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EngineApp(**{hook: lambda headers, request: headers.update({"x-good": "1"} | wrong)})  # type: ignore[arg-type]
    failures: list[tuple[type, str]] = []
    engine.app.on_error(lambda error, request, name: failures.append((type(error), name)))
    response = opened(engine, transport)
    if transport == "websocket" and "Cache-Control" in wrong:
        assert response.headers["cache-control"] == "public"
        return
    assert response.status in (200, 101)
    assert not {"injected", "x-good", "x"} & set(response.headers)
    assert failures == [(LocalProtocolError, hook)]
    assert len(engine.opened) == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("hook", ["headers", "initial_headers"])
def test_a_hook_that_raises_is_reported_and_the_answer_leaves(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(headers: dict[str, str], request: Request) -> None:
        headers["x-a"] = "1"
        raise RuntimeError("oops")

    engine = EngineApp(**{hook: fail})  # type: ignore[arg-type]
    response = opened(engine, "polling")
    assert response.status == 200
    assert "x-a" not in response.headers
    assert "oops" in caplog.text
