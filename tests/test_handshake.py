"""Who is let in: the answers to every kind of first request, and the order in which they are checked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raw_client import EngineApp, RawHttp, RawPolling, RawWebSocket, SocketApp
from siocore.advice import ADVICE
from siocore.testing.wire import WEBSOCKET_HEADERS, masked_frame, request_bytes, websocket_accept

MESSAGES = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}
HINTS = {each.hint for each in ADVICE.values()}


def refusal(engine: EngineApp, method: str, query: str, headers: tuple[tuple[str, str], ...] = ()) -> tuple[int, Any]:
    """The status and the code and message of the body. Its hint is tested with the others."""
    response = engine.server.request(method, f"/engine.io/{query}", headers)
    body = json.loads(response.body)
    assert body.pop("hint") in HINTS
    return response.status, body


def test_the_open_packet_has_the_five_keys_in_their_order() -> None:
    engine = EngineApp(ping_interval=30, ping_timeout=5)
    response = engine.server.request("GET", "/engine.io/?EIO=4&transport=polling")
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.body[:1] == b"0"
    handshake = json.loads(response.body[1:])
    assert list(handshake) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]
    assert len(handshake["sid"]) == 20
    assert handshake["upgrades"] == ["websocket"]
    assert (handshake["pingInterval"], handshake["pingTimeout"]) == (30_000, 5_000)
    assert handshake["maxPayload"] == 1_000_000


def test_a_websocket_handshake_gets_the_open_packet_and_no_upgrades() -> None:
    engine = EngineApp()
    websocket = RawWebSocket(engine.server)
    assert websocket.response is not None
    assert websocket.response.status == 101
    assert websocket.response.headers["sec-websocket-accept"] == websocket_accept()
    (message,) = websocket.messages
    assert isinstance(message, str)
    assert json.loads(message[1:])["upgrades"] == []


@pytest.mark.parametrize(
    "options", [{"allow_upgrades": False}, {"transports": ("polling",)}], ids=["upgrades forbidden", "no websocket"]
)
def test_no_upgrade_is_offered_that_would_be_refused(options: dict[str, Any]) -> None:
    polling = RawPolling(EngineApp(**options).server)
    assert polling.handshake["upgrades"] == []
    assert polling.websocket().response is not None
    assert polling.websocket().ended
    polling.post(b"4still here")
    assert polling.session().open


@pytest.mark.parametrize("slash", ["/engine.io", "/engine.io/"])
def test_the_path_is_answered_with_and_without_its_slash(slash: str) -> None:
    assert EngineApp().server.request("GET", f"{slash}?EIO=4&transport=polling").status == 200


def test_every_session_id_is_new() -> None:
    engine = EngineApp()
    sids = {RawPolling(engine.server).sid for _ in range(100)}
    assert len(sids) == 100


@pytest.mark.parametrize(
    ("method", "query", "code", "context"),
    [
        pytest.param("GET", "?EIO=4", 0, {"transport": None}, id="no transport"),
        pytest.param("GET", "?EIO=4&transport=", 0, {"transport": ""}, id="empty transport"),
        pytest.param("GET", "?EIO=4&transport=tcp", 0, {"transport": "tcp"}, id="unknown transport"),
        pytest.param("GET", "?EIO=4&transport=__proto__", 0, {"transport": "__proto__"}, id="__proto__"),
        pytest.param("GET", "?EIO=4&transport=constructor", 0, {"transport": "constructor"}, id="constructor"),
        pytest.param("GET", "?EIO=4&transport=toString", 0, {"transport": "toString"}, id="toString"),
        pytest.param("GET", "?EIO=4&transport=__class__", 0, {"transport": "__class__"}, id="__class__"),
        pytest.param("GET", "?EIO=4&transport=%00", 0, {"transport": "\0"}, id="NUL"),
        pytest.param("GET", "?EIO=4&transport=Polling", 0, {"transport": "Polling"}, id="case"),
        pytest.param("GET", "?EIO=4&transport=webtransport", 0, {"transport": "webtransport"}, id="webtransport"),
        pytest.param("GET", "?EIO=4&transport=polling&transport=websocket", 0, {"transport": None}, id="repeated"),
        pytest.param("GET", "?EIO=4&transport[]=polling", 0, {"transport": None}, id="array"),
        pytest.param("GET", "?EIO=4&transport=polling&sid=unknown", 1, {"sid": "unknown"}, id="unknown sid"),
        pytest.param("POST", "?EIO=4&transport=polling&sid=unknown", 1, {"sid": "unknown"}, id="post, unknown sid"),
        pytest.param("GET", "?EIO=4&transport=polling&sid=", 1, {"sid": ""}, id="empty sid"),
        pytest.param("GET", "?EIO=4&transport=polling&sid=a&sid=b", 1, {"sid": None}, id="repeated sid"),
        pytest.param("POST", "?EIO=4&transport=polling", 2, {"method": "POST"}, id="post without sid"),
        pytest.param("PUT", "?EIO=4&transport=polling", 2, {"method": "PUT"}, id="put without sid"),
        pytest.param("DELETE", "?EIO=4&transport=polling", 2, {"method": "DELETE"}, id="delete without sid"),
        pytest.param(
            "GET", "?EIO=4&transport=websocket", 3, {"name": "TRANSPORT_HANDSHAKE_ERROR"}, id="websocket, no upgrade"
        ),
        pytest.param("GET", "?EIO=3&transport=polling", 5, {"protocol": "3"}, id="protocol 3"),
        pytest.param("GET", "?EIO=5&transport=polling", 5, {"protocol": "5"}, id="protocol 5"),
        pytest.param("GET", "?transport=polling", 5, {"protocol": None}, id="no protocol"),
        pytest.param("GET", "?EIO=&transport=polling", 5, {"protocol": ""}, id="empty protocol"),
        pytest.param("GET", "?EIO=4&EIO=3&transport=polling", 5, {"protocol": None}, id="two protocols"),
        pytest.param("GET", "?EIO=%34%00&transport=polling", 5, {"protocol": "4\0"}, id="protocol with NUL"),
    ],
)
def test_a_refused_request_gets_400_with_its_code_and_message(
    method: str, query: str, code: int, context: dict[str, object]
) -> None:
    engine = EngineApp()
    assert refusal(engine, method, query) == (400, {"code": code, "message": MESSAGES[code]})
    assert engine.errors == [(code, context)]
    assert engine.opened == []


def test_an_unknown_value_is_kept_short_in_what_the_application_is_told() -> None:
    engine = EngineApp()
    refusal(engine, "GET", "?EIO=4&transport=" + "x" * 5_000)
    assert engine.errors == [(0, {"transport": "x" * 100})]


def test_a_foreign_origin_is_the_only_refusal_with_403() -> None:
    engine = EngineApp()
    answer = refusal(engine, "GET", "?EIO=4&transport=polling", (("Origin", "https://evil.example"),))
    assert answer == (403, {"code": 4, "message": "Forbidden"})
    assert engine.errors == [(4, {"name": "ORIGIN_NOT_ALLOWED", "origin": "https://evil.example"})]


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("POST", "?EIO=3&transport=x&sid=unknown", 0),
        ("POST", "?EIO=3&transport=polling&sid=unknown", 1),
        ("POST", "?EIO=3&transport=websocket", 2),
        ("GET", "?EIO=3&transport=websocket", 3),
        ("GET", "?EIO=3&transport=polling", 5),
    ],
)
def test_the_checks_come_in_the_order_of_their_codes(method: str, query: str, code: int) -> None:
    status, body = refusal(EngineApp(), method, query)
    assert (status, body["code"]) == (400, code)


@pytest.mark.parametrize("protocol", ["EIO=3", "EIO=5", "EIO=", "", "EIO=4&EIO=3"])
@pytest.mark.parametrize("way", ["GET", "POST", "websocket"])
def test_a_request_with_another_protocol_than_the_sessions_is_refused_and_the_session_lives(
    protocol: str, way: str
) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    if way == "websocket":
        target = f"/engine.io/?{protocol}&transport=websocket&sid={polling.sid}"
        response = engine.server.request("GET", target, WEBSOCKET_HEADERS)
        assert response.body.startswith(b"Bad request: ")
        assert response.status == 400
    else:
        target = f"/engine.io/?{protocol}&transport=polling&sid={polling.sid}"
        assert refusal(engine, way, target.removeprefix("/engine.io/")) == (400, {"code": 3, "message": "Bad request"})
    assert engine.messages == []
    polling.post(b"4after")
    assert engine.messages == ["after"]


def test_polling_with_the_sid_of_a_websocket_session_is_refused() -> None:
    engine = EngineApp()
    websocket = RawWebSocket(engine.server)
    assert refusal(engine, "GET", f"?EIO=4&transport=polling&sid={websocket.sid}")[1]["code"] == 3
    websocket.send("4still here")
    assert engine.messages == ["still here"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
def test_another_method_with_a_sid_gets_405_and_the_session_lives(method: str) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    response = engine.server.request(method, polling.target)
    assert response.status == 405
    assert response.headers["allow"] == "GET, POST, OPTIONS"
    assert polling.session().open


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("transport=x&EIO=4", "Transport unknown"),
        ("transport=polling&EIO=4", "Bad request"),
        ("transport=websocket&EIO=4&sid=unknown", "Session ID unknown"),
        ("transport=websocket&EIO=3", "Unsupported protocol version"),
        ("transport=websocket", "Unsupported protocol version"),
    ],
)
def test_a_websocket_is_refused_with_a_plain_400_before_any_101(query: str, message: str) -> None:
    engine = EngineApp()
    http = RawHttp(engine.server)
    response = http.request("GET", f"/engine.io/?{query}", WEBSOCKET_HEADERS)
    assert response is not None
    assert response.status == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["connection"] == "close"
    assert response.body.startswith(f"{message}: ".encode())
    assert response.body.decode().removeprefix(f"{message}: ") in HINTS
    assert http.ended
    assert engine.opened == []


def without(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in WEBSOCKET_HEADERS if pair[0] != name)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(without("Sec-WebSocket-Key"), id="no key"),
        pytest.param((*without("Sec-WebSocket-Key"), ("Sec-WebSocket-Key", "dG9vIHNob3J0")), id="short key"),
        pytest.param((*WEBSOCKET_HEADERS, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")), id="two keys"),
        pytest.param(without("Sec-WebSocket-Version"), id="no version"),
        pytest.param((*without("Sec-WebSocket-Version"), ("Sec-WebSocket-Version", "8")), id="version 8"),
        pytest.param((*WEBSOCKET_HEADERS, ("Sec-WebSocket-Protocol", "a\xffb")), id="non-ASCII subprotocol"),
        pytest.param((*WEBSOCKET_HEADERS, ("Sec-WebSocket-Protocol", "b" + " " * 9_000 + "x")), id="spaces"),
        pytest.param((*WEBSOCKET_HEADERS, ("Sec-WebSocket-Extensions", "\xff")), id="non-ASCII extension"),
        pytest.param((*WEBSOCKET_HEADERS, ("Host", "xn--\xff")), id="non-ASCII host"),
    ],
)
def test_a_faulty_websocket_handshake_gets_400_and_leaves_no_session(headers: tuple[tuple[str, str], ...]) -> None:
    engine = EngineApp()
    websocket = RawWebSocket(engine.server, headers=headers)
    assert websocket.response is not None
    assert websocket.response.status == 400
    assert websocket.ended
    websocket.stream.close()
    engine.server.settle()
    assert (engine.opened, engine.closed) == ([], [])
    engine.assert_nothing_left()


@pytest.mark.parametrize("extension", ["constructor", "__class__", "permessage-deflate; __init__=1", ";" * 4096, ",,,"])
def test_no_extension_is_accepted(extension: str) -> None:
    websocket = RawWebSocket(EngineApp().server, headers=(*WEBSOCKET_HEADERS, ("Sec-WebSocket-Extensions", extension)))
    assert websocket.response is not None
    assert websocket.response.status == 101
    assert "sec-websocket-extensions" not in websocket.response.headers


def test_an_upgrade_of_http_1_0_is_refused() -> None:
    http = RawHttp(EngineApp().server)
    request = request_bytes("GET", "/engine.io/?EIO=4&transport=websocket", WEBSOCKET_HEADERS)
    response = http.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert response is not None
    assert response.status == 400
    assert http.ended


@pytest.mark.parametrize("trailing", [b"test", b"\xb1\x80\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n"])
def test_illegal_bytes_behind_the_upgrade_request_close_that_websocket_alone(trailing: bytes) -> None:
    engine = EngineApp()
    alone = RawWebSocket(engine.server, trailing=trailing)
    assert alone.close_code == 1002
    polling = RawPolling(engine.server)
    upgrade = RawWebSocket(engine.server, f"&sid={polling.sid}", trailing=trailing)
    assert upgrade.close_code == 1002
    polling.post(b"4alive")
    assert engine.messages == ["alive"]
    assert polling.session().open


def test_frames_behind_the_upgrade_request_are_read() -> None:
    engine = EngineApp()
    RawWebSocket(engine.server, trailing=masked_frame(1, b"4early"))
    assert engine.messages == ["early"]


def test_the_request_and_its_address_are_what_the_application_sees() -> None:
    engine = EngineApp()
    engine.server.request("GET", "/engine.io/?EIO=4&transport=polling&token=a%20b", [("X-Trace", "7")])
    (session,) = engine.opened
    assert session.request.query["token"] == ["a b"]
    assert session.request.headers["x-trace"] == "7"
    assert session.request.address == "192.0.2.1"


def test_the_session_id_is_not_shown_where_logs_could_keep_it() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    assert polling.sid not in repr(engine.opened[0])
    assert polling.sid not in repr(engine.opened[0].request)


def test_a_socket_id_is_not_the_session_id() -> None:
    app = SocketApp()
    ids: list[str] = []
    app.app.on("connection")(lambda socket: ids.append(socket.id))
    polling = RawPolling(app.server)
    polling.post(b"40")
    assert len(ids[0]) == 20
    assert ids[0] != polling.sid
