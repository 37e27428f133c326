"""Sessions of Engine.IO 3: what Socket.IO 1 and 2 speak, byte by byte, on virtual time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from raw_client import EngineApp, Pairs, RawHttp, RawWebSocket, message_frame
from siocore import Limits
from siocore.engineio.revision3 import LegacySession
from siocore.testing import EngineClient
from siocore.testing.wire import Response

OCTETS = (("content-type", "application/octet-stream"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)
SAME_PAGE = (("referer", "http://test.example/page?x=1"),)


def app(**options: Any) -> EngineApp:
    return EngineApp(allow_eio3=True, **options)


class Polling3:
    """A long-polling session of revision 3."""

    def __init__(self, engine: EngineApp, query: str = "", eio: str = "EIO=3&", headers: Pairs = ()) -> None:
        self.engine = engine
        self.gets = RawHttp(engine.server)
        self.posts = RawHttp(engine.server)
        self.headers = headers
        self.base = f"/engine.io/?{eio}transport=polling{query}"
        response = self.gets.request("GET", self.base, headers)
        assert response is not None
        assert response.status == 200, response
        self.opening = response
        body = response.body.decode()
        if "j=" in query:
            body = json.loads(body[body.index("(") + 1 : -2])
        length, _, packet = body.partition(":")
        assert int(length) == len(packet)
        assert packet[0] == "0"
        self.handshake: dict[str, Any] = json.loads(packet[1:])
        self.sid: str = self.handshake["sid"]
        self.target = f"{self.base}&sid={self.sid}"

    def get(self) -> Response | None:
        return self.gets.request("GET", self.target, self.headers)

    def post(self, body: bytes, headers: Pairs = ()) -> Response | None:
        return self.posts.request("POST", self.target, (*self.headers, *headers), body)

    def websocket(self, query: str = "") -> RawWebSocket:
        return websocket3(self.engine, f"&sid={self.sid}{query}")


def websocket3(engine: EngineApp, query: str = "", eio: str = "EIO=3&") -> RawWebSocket:
    return RawWebSocket(engine.server, query, eio=eio)


def started(engine: EngineApp, query: str = "") -> RawWebSocket:
    websocket = websocket3(engine, query)
    websocket.take()
    return websocket


# Who is let in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eio", ["EIO=3&", ""])
def test_a_request_without_a_revision_or_with_3_opens_a_session_of_revision_3(eio: str) -> None:
    engine = app()
    polling = Polling3(engine, eio=eio)
    assert list(polling.handshake) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]
    assert polling.opening.headers["content-type"] == "text/plain; charset=UTF-8"
    websocket = websocket3(engine, eio=eio)
    assert [type(each) for each in engine.opened] == [LegacySession, LegacySession]
    assert [each.revision for each in engine.opened] == [3, 3]
    assert websocket.sid in engine.server.protocol.sessions


@pytest.mark.parametrize("eio", ["EIO=2&", "EIO=5&", "EIO=&", "EIO=03&", "EIO=3.0&", "EIO=3&EIO=3&", "EIO=4&EIO=3&"])
def test_other_revisions_are_refused(eio: str) -> None:
    engine = app()
    response = engine.server.request("GET", f"/engine.io/?{eio}transport=polling")
    assert response.status == 400
    assert json.loads(response.body)["message"] == "Unsupported protocol version"
    assert engine.opened == []


def test_old_clients_are_kept_out_by_default_and_the_operator_is_told_what_to_do() -> None:
    engine = EngineApp()
    response = engine.server.request("GET", "/engine.io/?EIO=3&transport=polling")
    assert response.status == 400
    answer = json.loads(response.body)
    assert (answer["code"], answer["message"]) == (5, "Unsupported protocol version")
    assert "Socket.IO 1 or 2" in answer["hint"]
    assert "socket.io-client 3 or 4" in answer["hint"]
    assert "allow_eio3=True" in answer["hint"]
    websocket = websocket3(engine)
    assert websocket.response is not None
    assert websocket.response.status == 400
    assert answer["hint"] in websocket.response.body.decode()
    assert engine.errors == [(5, {"protocol": "3"})] * 2


MISMATCHES = [
    ("EIO=3&", "EIO=4&"),
    ("EIO=3&", "EIO=5&"),
    ("EIO=3&", "EIO=&"),
    ("EIO=3&", "EIO=4&EIO=3&"),
    ("", "EIO=4&"),
    ("EIO=4&", "EIO=3&"),
    ("EIO=4&", ""),
    ("EIO=4&", "EIO=5&"),
    ("EIO=4&", "EIO=4&EIO=3&"),
]


@pytest.mark.parametrize(("opened", "later"), MISMATCHES)
def test_every_request_of_a_session_has_its_revision(opened: str, later: str) -> None:
    engine = app()
    body = engine.server.request("GET", f"/engine.io/?{opened}transport=polling").body.decode()
    sid = json.loads(body[body.index("{") :])["sid"]
    target = f"/engine.io/?{later}transport=polling&sid={sid}"
    for response in (engine.server.request("GET", target), engine.server.request("POST", target, body=b"1:1")):
        assert response.status == 400
        assert json.loads(response.body)["code"] == 3
    websocket = websocket3(engine, f"&sid={sid}", later)
    assert websocket.response is not None
    assert websocket.response.status == 400
    assert engine.errors == [(3, {"name": "PROTOCOL_MISMATCH"})] * 3
    assert engine.closed == []
    assert engine.opened[0].open


# Long-polling -------------------------------------------------------------------------------------------------


def test_text_and_binary_messages_arrive_from_both_kinds_of_payload() -> None:
    engine = app()
    polling = Polling3(engine)
    first = polling.post("4:4€😀10:b4AQIDBA==1:6".encode())
    assert first is not None
    assert (first.status, first.body) == (200, b"ok")
    assert first.headers["content-type"] == "text/html"
    second = polling.post(b"\0\5\xff4\xe2\x82\xac!\1\4\xff\4\1\2\3", OCTETS)
    assert second is not None
    assert second.status == 200
    assert engine.messages == ["€😀", b"\1\2\3\4", "€!", b"\1\2\3"]


def test_an_answer_is_text_unless_something_in_it_is_binary() -> None:
    engine = app()
    polling = Polling3(engine)
    session = engine.opened[0]
    session.send("a€😀")
    session.send("b")
    text = polling.get()
    assert text is not None
    assert text.headers["content-type"] == "text/plain; charset=UTF-8"
    assert text.body == "5:4a€😀2:4b".encode()
    session.send("a€")
    session.send(b"\1\2\3")
    mixed = polling.get()
    assert mixed is not None
    assert mixed.headers["content-type"] == "application/octet-stream"
    assert mixed.body == b"\0\5\xff4a\xe2\x82\xac\1\4\xff\4\1\2\3"


def test_a_client_that_asks_for_base64_gets_text() -> None:
    engine = app()
    polling = Polling3(engine, "&b64=1")
    engine.opened[0].send(b"\1\2\3")
    answer = polling.get()
    assert answer is not None
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert answer.body == b"6:b4AQID"


def test_a_client_that_encodes_text_twice_is_understood_until_it_is_known_not_to() -> None:
    engine = app()
    polling = Polling3(engine, "&b64=1")
    twice = "é€😀".encode().decode("latin-1")
    polling.post(f"{len(twice) + 1}:4{twice}".encode())
    assert engine.messages == ["é€😀"]
    # No client of the one kind would send this, so the client is of the other, and means what it says.
    polling.post("3:4é€3:4Ã©".encode())
    assert engine.messages == ["é€😀", "é€", "Ã©"]
    # Clients that can send bytes send text in them if they are old, and otherwise encode once.
    modern = Polling3(engine)
    modern.post("3:4Ã©".encode())
    assert engine.messages[3:] == ["Ã©"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", ()),
        (b"4hello", ()),
        (b"7:4hello", ()),
        (b"9" * 400 + b":4x", ()),
        ("2:4😀".encode(), ()),
        (b"2:4\xff", ()),
        (b"1:9", ()),
        (b"6:4hello", OCTETS),
        (b"", OCTETS),
        (b"\0" + b"\x09" * 400 + b"\xff4", OCTETS),
        (b"\1\2\xff\2x", OCTETS),
        (b"\1\4\xff\4\1", OCTETS),
    ],
)
def test_a_bad_payload_ends_the_session(body: bytes, headers: Pairs) -> None:
    engine = app()
    polling = Polling3(engine)
    polling.get()
    response = polling.post(body, headers)
    assert response is not None
    assert response.status == 400
    assert engine.closed == ["parse error"]
    last = polling.gets.answer()
    assert last is not None
    assert last.body == b"1:1"
    assert engine.server.protocol.sessions == {}


def test_packets_in_front_of_a_bad_one_are_delivered() -> None:
    engine = app()
    polling = Polling3(engine)
    polling.post(b"2:4a2:4b3:4c")
    assert engine.messages == ["a", "b"]
    assert engine.closed == ["parse error"]


def test_a_client_that_closes_gets_its_poll_answered_with_a_noop() -> None:
    engine = app()
    polling = Polling3(engine)
    polling.get()
    polling.post(b"1:1")
    answer = polling.gets.answer()
    assert answer is not None
    assert answer.body == b"1:6"
    assert engine.closed == ["transport close"]


def test_a_session_that_the_server_closes_is_told_so_in_the_form_of_revision_3() -> None:
    engine = app()
    polling = Polling3(engine)
    engine.opened[0].send("last")
    engine.opened[0].close()
    first, second = polling.get(), polling.get()
    assert first is not None
    assert second is not None
    assert (first.body, second.body) == (b"5:4last", b"1:1")
    engine.server.advance(60)
    assert engine.server.protocol.sessions == {}


def test_a_body_at_the_limit_is_read_and_one_above_it_refused() -> None:
    engine = app(limits=Limits(max_payload=1_000))
    polling = Polling3(engine)
    largest = b"996:4" + b"x" * 995
    for body, status in ((largest, 200), (largest + b"x", 413)):
        response = polling.post(body)
        assert response is not None
        assert response.status == status
    assert engine.messages == ["x" * 995]


def test_a_large_answer_is_compressed_as_in_revision_4() -> None:
    engine = app(http_compression=True)
    polling = Polling3(engine, headers=(("accept-encoding", "gzip"),))
    engine.opened[0].send("x" * 5_000)
    answer = polling.get()
    assert answer is not None
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 200


# JSONP --------------------------------------------------------------------------------------------------------


def test_jsonp_answers_with_a_script_and_reads_a_form() -> None:
    engine = app()
    polling = Polling3(engine, "&j=7", headers=SAME_PAGE)
    assert polling.opening.headers["content-type"] == "text/javascript; charset=UTF-8"
    assert polling.opening.body.startswith(b'___eio[7]("')
    engine.opened[0].send('"\u2028</script>\\n')
    engine.opened[0].send(b"\1\2\3")
    answer = polling.get()
    assert answer is not None
    assert answer.headers["content-type"] == "text/javascript; charset=UTF-8"
    assert answer.body == b'___eio[7]("14:4\\"\\u2028</script>\\\\n6:b4AQID");'
    response = polling.post(b"d=3%3A4%22%5Cn6%3Ab4AQID", FORM)
    assert response is not None
    assert response.body == b"ok"
    assert engine.messages == ['"\n', b"\1\2\3"]


@pytest.mark.parametrize(("agent", "value"), [("x (compatible;MSIE 9.0; Trident/5.0)", "0"), ("x Firefox/3.6", None)])
def test_internet_explorer_is_told_to_leave_answers_as_they_are(agent: str, value: str | None) -> None:
    engine = app()
    polling = Polling3(engine, "&j=0", headers=(*SAME_PAGE, ("user-agent", agent)))
    assert polling.opening.headers.get("x-xss-protection") == value


def test_the_name_of_the_function_can_not_be_injected() -> None:
    engine = app()
    polling = Polling3(engine, "&j=1);alert(1", headers=SAME_PAGE)
    assert polling.opening.body.startswith(b'___eio[11]("')
    assert polling.opening.body.endswith(b'");')


@pytest.mark.parametrize("body", [b"", b"1:2", b"d=1%3A2&d=1%3A2", b"x=1", b"d=4hello"])
def test_a_bad_form_ends_the_session(body: bytes) -> None:
    engine = app()
    polling = Polling3(engine, "&j=0", headers=SAME_PAGE)
    response = polling.post(body, FORM)
    assert response is not None
    assert response.status == 400
    assert engine.closed == ["parse error"]


REFERERS: list[tuple[dict[str, Any], Pairs, bool]] = [
    ({}, SAME_PAGE, True),
    ({}, (("referer", "http://test.example"),), True),
    ({}, (), False),
    ({}, (("referer", ""),), False),
    ({}, (("referer", "http://evil.example/http://test.example/"),), False),
    ({}, (("referer", "http://test.example.evil.example/"),), False),
    ({}, (("referer", "http://test.example@evil.example/"),), False),
    ({}, (*SAME_PAGE, *SAME_PAGE), False),
    ({}, (("origin", "http://test.example"),), True),
    ({}, (("origin", "http://evil.example"), *SAME_PAGE), False),
    ({"cors_origins": "*"}, (), True),
    ({"cors_origins": ["https://friend.example"]}, (("referer", "https://friend.example/x"),), True),
    ({"cors_origins": ["https://friend.example"]}, SAME_PAGE, False),
]


@pytest.mark.parametrize(("options", "headers", "allowed"), REFERERS)
def test_only_pages_that_are_let_in_may_read_scripts(options: dict[str, Any], headers: Pairs, allowed: bool) -> None:
    engine = app(**options)
    session = Polling3(engine)
    handshake = "/engine.io/?EIO=3&transport=polling&j=0"
    for target in (handshake, f"{handshake}&sid={session.sid}"):
        engine.opened[0].send("x")
        assert engine.server.request("GET", target, headers).status == (200 if allowed else 403)


# Heartbeat ----------------------------------------------------------------------------------------------------


def test_the_server_answers_pings_and_sends_none() -> None:
    engine = app()
    websocket = started(engine)
    for _ in range(5):
        engine.server.advance(25)
        assert websocket.take() == []
        assert websocket.send("2") == ["3"]
    assert engine.closed == []


def test_a_client_that_does_not_ping_is_gone_after_interval_and_timeout() -> None:
    engine = app()
    websocket = started(engine)
    engine.server.advance(40)
    websocket.send("2")
    engine.server.advance(44.9)
    assert engine.closed == []
    engine.server.advance(0.1)
    assert engine.closed == ["ping timeout"]
    assert websocket.close_code == 1000
    engine.server.advance(10)
    engine.assert_nothing_left()


def test_other_packets_do_not_count_as_a_ping() -> None:
    engine = app()
    websocket = started(engine)
    for _ in range(4):
        engine.server.advance(10)
        websocket.send("4still here")
    engine.server.advance(5)
    assert engine.closed == ["ping timeout"]


def test_a_polling_client_that_is_silent_after_the_upgrade_times_out() -> None:
    engine = app()
    polling = Polling3(engine)
    websocket = polling.websocket()
    websocket.send("2probe")
    websocket.send("5")
    assert engine.opened[0].transport == "websocket"
    engine.server.advance(45)
    assert engine.closed == ["ping timeout"]


def test_a_ping_over_polling_is_answered_to_the_next_get() -> None:
    engine = app()
    polling = Polling3(engine)
    polling.post(b"1:2")
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"1:3"


def test_many_pings_at_once_get_one_answer() -> None:
    engine = app()
    polling = Polling3(engine)
    polling.post(b"1:2" * 10_000)
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"1:3"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_pong_from_the_client_breaks_the_protocol(transport: str) -> None:
    engine = app()
    if transport == "polling":
        Polling3(engine).post(b"1:3")
    else:
        assert started(engine).send("3") == []
    assert engine.closed == ["transport error"]


# WebSocket ----------------------------------------------------------------------------------------------------


def test_binary_messages_have_their_type_in_front_in_both_directions() -> None:
    engine = app()
    websocket = started(engine)
    websocket.send(b"\4\1\2\3", b"\4", "4€😀", "b4AQID")
    assert engine.messages == [b"\1\2\3", b"", "€😀", b"\1\2\3"]
    session = engine.opened[0]
    session.send(b"\1\2")
    session.send("€")
    engine.server.settle()
    assert websocket.take() == [b"\4\1\2", "4€"]


def test_a_websocket_that_asks_for_base64_gets_text_frames() -> None:
    engine = app()
    websocket = started(engine, "&b64=1")
    engine.opened[0].send(b"\1\2\3")
    engine.server.settle()
    assert websocket.take() == ["b4AQID"]


def test_each_transport_says_for_itself_whether_it_takes_bytes() -> None:
    engine = app()
    for query, expected in (("", b"\4\1"), ("&b64=1", "b4AQ==")):
        polling = Polling3(engine, "&b64=1" if not query else "")
        websocket = polling.websocket(query)
        websocket.send("2probe")
        websocket.send("5")
        websocket.take()
        engine.opened[-1].send(b"\1")
        engine.server.settle()
        assert websocket.take() == [expected]


@pytest.mark.parametrize("message", ["", "7", "x", "b", "b3AQID", "b4AQI", b"", b"\0", b"\2", b"\7x", b"4x", b"\xff"])
def test_a_bad_packet_ends_the_session(message: str | bytes) -> None:
    engine = app()
    websocket = started(engine)
    websocket.send(message, "4not any more")
    assert engine.closed == ["parse error"]
    assert engine.messages == []
    assert websocket.close_code == 1002


@pytest.mark.parametrize("message", ["0{}", "5", "6"])
def test_packets_that_mean_nothing_here_are_ignored(message: str) -> None:
    engine = app()
    websocket = started(engine)
    websocket.send(message, "4x")
    assert engine.messages == ["x"]
    assert engine.closed == []


def test_a_conversation_cut_anywhere_is_the_same_conversation() -> None:
    packets: list[str | bytes] = ["4a€😀", b"\4\1\2\3", "2", "b4AQID", "4" + "x" * 200, b"\4" + b"y" * 300]
    conversation = b"".join(map(message_frame, packets))
    seeds = random.Random(20_261)
    for _ in range(60):
        engine = app()
        websocket = started(engine)
        received: list[str | bytes] = []
        position = 0
        while position < len(conversation):
            size = seeds.choice([1, 2, 3, 7, 50, 400])
            received += websocket.raw(conversation[position : position + size])
            position += size
        assert engine.messages == ["a€😀", b"\1\2\3", b"\1\2\3", "x" * 200, b"y" * 300]
        assert received == ["3"]


def test_no_frame_makes_the_server_raise() -> None:
    seeds = random.Random(20_262)
    pieces: list[str | bytes] = [
        "2",
        "3",
        "4",
        "4x",
        "5",
        "b4AQ==",
        "b",
        "2probe",
        b"\4",
        b"\4x",
        b"",
        b"\2",
        "1",
        "0{}",
    ]
    for _ in range(300):
        engine = app()
        polling = Polling3(engine)
        websocket = polling.websocket() if seeds.random() < 0.5 else started(engine)
        for _ in range(6):
            if seeds.random() < 0.3:
                polling.post(seeds.randbytes(seeds.randrange(8)), seeds.choice([(), OCTETS]))
            websocket.send(seeds.choice(pieces))
        engine.server.advance(300)
        engine.assert_nothing_left()


# The client for tests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["polling", "websocket", "upgrade"])
def test_the_client_for_tests_speaks_revision_3(transport: str) -> None:
    engine = app()
    client = EngineClient(engine.server, transport, revision=3)
    client.open()
    engine.server.advance(200)
    assert engine.closed == []
    client.send("€😀")
    client.send(b"\1\2")
    engine.server.settle()
    assert engine.messages == ["€😀", b"\1\2"]
    engine.opened[0].send("€😀")
    engine.opened[0].send(b"\3")
    assert [client.receive(), client.receive()] == ["€😀", b"\3"]
    assert client.transport == ("polling" if transport == "polling" else "websocket")
    client.answers_pings = False
    engine.server.advance(80)
    assert engine.closed == ["ping timeout"]
    assert client.state == "closed"


def test_a_client_for_tests_that_hears_no_pong_times_out() -> None:
    engine = app()
    client = EngineClient(engine.server, revision=3)
    client.open()
    for link in client.links:
        link.stall()
    engine.server.advance(45)
    assert client.close_reason == "ping timeout"
