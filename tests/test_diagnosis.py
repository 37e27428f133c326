"""Every refusal says what was wrong and what to change: in its body, in the event, and in a log of bounded size."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, RawWebSocket, SocketApp
from siocore import Cors
from siocore.advice import ADVICE
from siocore.events import ConnectionErrored
from siocore.testing.wire import WEBSOCKET_HEADERS, Response

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
EVIL = ("Origin", "https://evil.example")


class Told(EngineApp):
    """Keeps the whole events."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told: list[ConnectionErrored] = []
        self.app.on("connection_error")(self.told.append)


def refused(request: object) -> bool:
    return False


def failing(*args: object) -> Any:
    raise RuntimeError("secret")


CASES: list[tuple[str, dict[str, Any], str, str, tuple[tuple[str, str], ...]]] = [
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4", ()),
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4&transport=__proto__", ()),
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4&transport=constructor", WEBSOCKET_HEADERS),
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4&transport=webtransport", ()),
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4&transport=polling&transport=websocket", ()),
    ("TRANSPORT_UNKNOWN", {}, "GET", "EIO=4&transport[]=polling", ()),
    ("TRANSPORT_DISABLED", {"transports": ["polling"]}, "GET", WEBSOCKET, WEBSOCKET_HEADERS),
    ("TRANSPORT_DISABLED", {"transports": ["websocket"]}, "GET", POLLING, ()),
    ("ORIGIN_NOT_ALLOWED", {}, "GET", POLLING, (EVIL,)),
    ("ORIGIN_NOT_ALLOWED", {}, "GET", WEBSOCKET, (EVIL, *WEBSOCKET_HEADERS)),
    ("ORIGIN_CHECK_FAILED", {"cors": Cors(origins=failing)}, "GET", POLLING, (EVIL,)),
    ("SESSION_UNKNOWN", {}, "GET", POLLING + "&sid=nobody", ()),
    ("SESSION_UNKNOWN", {}, "POST", POLLING + "&sid=nobody", ()),
    ("SESSION_UNKNOWN", {}, "GET", WEBSOCKET + "&sid=nobody", WEBSOCKET_HEADERS),
    ("HANDSHAKE_METHOD", {}, "POST", POLLING, ()),
    ("UPGRADE_LOST", {}, "GET", WEBSOCKET, ()),
    ("UPGRADE_LOST", {}, "GET", WEBSOCKET, (("Upgrade", "websocket"),)),
    ("UPGRADE_UNEXPECTED", {}, "GET", POLLING, WEBSOCKET_HEADERS),
    ("PROTOCOL_LEGACY", {}, "GET", "transport=polling", ()),
    ("PROTOCOL_LEGACY", {}, "GET", "EIO=3&transport=polling", ()),
    ("PROTOCOL_LEGACY", {}, "GET", "EIO=3&transport=websocket", WEBSOCKET_HEADERS),
    ("PROTOCOL_UNKNOWN", {}, "GET", "EIO=5&transport=polling", ()),
    ("PROTOCOL_UNKNOWN", {}, "GET", "EIO=&transport=polling", ()),
    ("WEBSOCKET_HANDSHAKE", {}, "GET", WEBSOCKET, (("Connection", "upgrade"), ("Upgrade", "websocket"))),
    ("REFUSED", {"allow_request": refused}, "GET", POLLING, ()),
    ("REFUSED", {"allow_request": refused}, "GET", WEBSOCKET, WEBSOCKET_HEADERS),
    ("ALLOW_REQUEST_FAILED", {"allow_request": failing}, "GET", POLLING, ()),
    ("ID_GENERATION_ERROR", {"generate_id": failing}, "GET", POLLING, ()),
    ("ID_GENERATION_ERROR", {"generate_session_id": failing}, "GET", WEBSOCKET, WEBSOCKET_HEADERS),
]


@pytest.mark.parametrize(("key", "options", "method", "query", "headers"), CASES)
def test_a_refusal_carries_its_hint(
    key: str, options: dict[str, Any], method: str, query: str, headers: tuple[tuple[str, str], ...]
) -> None:
    engine = Told(**options)
    response = engine.server.request(method, f"/engine.io/?{query}", headers)
    hint = ADVICE[key].hint
    (event,) = engine.told
    assert event.hint == hint
    if headers[-4:] == WEBSOCKET_HEADERS:
        assert response.body.decode() == f"{event.message}: {hint}"
    elif key != "WEBSOCKET_HANDSHAKE":
        assert response.headers["content-type"] == "application/json"
        assert json.loads(response.body) == {"code": event.code, "message": event.message, "hint": hint}
    assert b"secret" not in response.body
    assert engine.opened == []


def told_after(engine: Told, response: Response | None) -> tuple[str, bytes]:
    assert response is not None
    (event,) = engine.told
    return event.hint, response.body


def test_the_hints_of_sessions_and_their_transports() -> None:
    engine = Told()
    websocket = RawWebSocket(engine.server)
    target = f"/engine.io/?{POLLING}&sid={websocket.sid}"
    hint, body = told_after(engine, engine.server.request("GET", target))
    assert hint == json.loads(body)["hint"] == ADVICE["TRANSPORT_MISMATCH"].hint

    engine = Told()
    polling = RawPolling(engine.server)
    lost = engine.server.request("GET", polling.target.replace("=polling", "=websocket"))
    assert told_after(engine, lost)[0] == ADVICE["UPGRADE_LOST"].hint

    engine = Told()
    polling = RawPolling(engine.server)
    hint, _ = told_after(engine, engine.server.request("GET", polling.target.replace("EIO=4", "EIO=3")))
    assert hint == ADVICE["PROTOCOL_MISMATCH"].hint


@pytest.mark.parametrize(
    ("options", "key"), [({"allow_upgrades": False}, "UPGRADES_OFF"), ({}, "UPGRADE_REPEATED")], ids=["off", "twice"]
)
def test_a_refused_upgrade_says_why_and_the_session_lives(options: dict[str, Any], key: str) -> None:
    engine = Told(**options)
    polling = RawPolling(engine.server)
    if key == "UPGRADE_REPEATED":
        polling.websocket()
    hint, body = told_after(engine, polling.websocket().response)
    assert (hint, body) == (ADVICE[key].hint, f"Bad request: {ADVICE[key].hint}".encode())
    polling.post(b"4x")
    assert engine.messages == ["x"]


def test_a_wrong_method_of_a_session_says_which_are_right() -> None:
    engine = Told()
    polling = RawPolling(engine.server)
    hint, body = told_after(engine, engine.server.request("PUT", polling.target))
    assert body == f"Method Not Allowed: {hint}".encode()
    assert hint == ADVICE["METHOD_NOT_ALLOWED"].hint


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/admin/", "/socket.io/", "/engine.iox", "/engine.io/x", "/engine.io//", "//engine.io/", "/ENGINE.IO/"),
        *("/engine%2Eio/", "/engine.io%2F", "/x/../engine.io/", "/engine", "/engine.io;x/"),
    ],
)
def test_another_path_is_told_the_right_one(path: str) -> None:
    engine = Told()
    response = engine.server.request("GET", f"{path}?{POLLING}")
    assert response.status == 404
    assert b"/engine.io/" in response.body
    assert engine.told[0].hint == ADVICE["WRONG_PATH"].hint
    assert engine.opened == []


def test_who_only_looks_around_is_not_told_of() -> None:
    engine = Told()
    assert engine.server.request("GET", "/favicon.ico").status == 404
    assert engine.told == []


@pytest.mark.parametrize("path", ["/", "/a/b", "/a/b/", "/chat"])
def test_any_path_can_be_the_servers(path: str) -> None:
    engine = Told(path=path)
    assert engine.server.request("GET", f"{path}?{POLLING}").status == 200
    assert engine.server.request("GET", f"{path.rstrip('/')}/?{POLLING}").status == 200
    assert engine.server.request("GET", f"/other?{POLLING}").status == 404


# Options that forbid ------------------------------------------------------------------------------------------


def test_a_server_with_websocket_alone_speaks_nothing_else() -> None:
    engine = Told(transports=["websocket"])
    websocket = RawWebSocket(engine.server)
    sid = websocket.sid
    websocket.send("4x")
    assert engine.messages == ["x"]
    for method in ("GET", "POST"):
        assert engine.server.request(method, f"/engine.io/?{POLLING}&sid={sid}").status == 400
    websocket.send("4y")
    assert engine.messages == ["x", "y"]


def test_a_server_with_polling_alone_takes_no_websocket_and_no_upgrade() -> None:
    engine = Told(transports=["polling"])
    polling = RawPolling(engine.server)
    assert polling.handshake["upgrades"] == []
    for response in (polling.websocket().response, RawWebSocket(engine.server).response):
        assert response is not None
        assert response.status == 400
    polling.post(b"4x")
    assert engine.messages == ["x"]


# Nothing of the request comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "poison", ["<script>alert(1)</script>", "%3Cscript%3E", "%0d%0aX:%20y", "%1b[2J", "s3cret-session-id", "é"]
)
def test_no_body_reflects_what_was_asked(poison: str) -> None:
    engine = Told()
    targets = [
        f"/engine.io/?EIO={poison}&transport=polling",
        f"/engine.io/?EIO=4&transport={poison}",
        f"/engine.io/?{POLLING}&sid={poison}",
        f"/{poison}?{POLLING}",
    ]
    for target in targets:
        if not poison.isascii():
            continue
        body = engine.server.request("GET", target).body
        assert poison.encode() not in body
        assert b"<script" not in body
        assert b"\x1b" not in body
    response = engine.server.request("GET", f"/engine.io/?{POLLING}", [("Origin", f"https://{poison}")])
    assert poison.encode("latin-1") not in response.body


def test_hints_are_plain_sentences_for_any_context() -> None:
    for advice in ADVICE.values():
        for text in advice:
            assert text
            assert text.isprintable()
            assert text.isascii()
            assert "<" not in text
        assert advice.hint.endswith((".", ";"))
        assert len(advice.hint) < 400


# The log ------------------------------------------------------------------------------------------------------


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="siocore")
    return caplog


def test_why_a_socket_has_left_is_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="siocore")
    app = SocketApp()
    polling = RawPolling(app.server)
    polling.post(b"40")
    polling.post(b"4\x1b[2J")
    assert app.events[-1][0] == "disconnect"
    (record,) = [each for each in caplog.records if each.getMessage().startswith("a socket has left")]
    assert record.levelno == logging.DEBUG
    assert record.getMessage().isprintable()
    assert app.events[-1][1] in record.getMessage()


@pytest.mark.parametrize("app", [EngineApp, SocketApp])
def test_a_refused_request_is_one_line_at_info(app: Any, info: pytest.LogCaptureFixture) -> None:
    server = app(path="/x/").server
    server.request("GET", "/x/?EIO=3&transport=polling")
    (record,) = info.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == (
        "refused 'GET /x/' from '192.0.2.1': Unsupported protocol version (code 5): " + ADVICE["PROTOCOL_LEGACY"].hint
    )


def test_no_session_id_is_in_the_log(info: pytest.LogCaptureFixture) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    engine.server.request("GET", f"/engine.io/?{POLLING}&sid=guessed-by-somebody")
    engine.server.request("PUT", polling.target)
    engine.server.request("GET", polling.target.replace("EIO=4", "EIO=3"))
    engine.server.request("GET", f"/other/?{POLLING}&sid={polling.sid}")
    assert len(info.records) == 4
    assert "guessed" not in info.text
    assert polling.sid not in info.text


def test_a_request_can_not_write_to_the_terminal_or_at_length(info: pytest.LogCaptureFixture) -> None:
    engine = EngineApp()
    engine.server.request("GET", f"/{'x' * 5_000}?{POLLING}")
    http = RawHttp(engine.server)
    http.send(b"GET /\x1b[2J?EIO=4 HTTP/1.1\r\nHost: x\r\n\r\n")
    for record in info.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 700


def test_a_flood_of_refusals_is_twenty_lines_a_minute_and_a_sum(info: pytest.LogCaptureFixture) -> None:
    engine = EngineApp()
    for _ in range(500):
        engine.server.request("GET", f"/engine.io/?{POLLING}&sid=guess")
    assert len(info.records) == 21
    assert "counted, not logged" in info.records[-1].getMessage()
    assert len(engine.errors) == 500
    engine.server.advance(60)
    engine.server.request("GET", f"/engine.io/?{POLLING}&sid=guess")
    assert [record.getMessage().partition(" ")[0] for record in info.records[21:]] == ["480", "refused"]


def test_a_flood_of_clients_that_break_the_protocol_is_no_more(info: pytest.LogCaptureFixture) -> None:
    app = SocketApp()
    for _ in range(100):
        RawWebSocket(app.server).send("4abc")
        app.server.settle()
    assert len(info.records) == 21
    assert info.records[0].getMessage().startswith("a client was closed (forced close): ")
    assert "counted, not logged" in info.records[-1].getMessage()


def test_thousands_of_guesses_leave_nothing_behind() -> None:
    engine = EngineApp()
    http = RawHttp(engine.server)
    for number in range(2_000):
        http.request("GET", f"/engine.io/?{POLLING}&sid={number:020d}")
    assert len(engine.server.protocol.connections) == 1
    http.stream.close()
    engine.server.settle()
    engine.assert_nothing_left()
