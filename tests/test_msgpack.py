"""The msgpack parser: what npm's parser writes, what is refused, and that values come out as they do with JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import Enum
from math import inf, isnan, nan
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_client import RawPolling, RawWebSocket, SocketApp
from siocore import DecodeError, Limits, LocalProtocolError, MsgpackParser, Server
from siocore._speedups import dumps
from siocore.codec.parser import PacketReader

PARSER = MsgpackParser()
LIMITS = Limits()


def read(message: str | bytes, limits: Limits = LIMITS) -> tuple[int, str, Any, int | None]:
    packet = PacketReader(PARSER, limits).receive(message)
    assert packet is not None
    return packet.type, packet.namespace, packet.data, packet.id


def write(data: Any, kind: int = 2, id: int | None = None, namespace: str = "/") -> bytes:
    (message,) = PARSER.encode(kind, namespace, data, id)
    assert isinstance(message, bytes)
    return message


def written(value: object) -> Any:
    """A value as the client gets it."""
    return read(write(["e", value]))[2][1]


# Recorded from npm socket.io-msgpack-parser 3.0.2 on notepack.io 2.2.0.
RECORDED: dict[str, tuple[str, tuple[int, str, Any, int | None]]] = {
    "connect without auth": ("83a47479706500a464617461d40000a36e7370a12f", (0, "/", None, None)),
    "connect with auth": (
        "83a47479706500a46461746181a5746f6b656ea2c3a9a36e7370a62f61646d696e",
        (0, "/admin", {"token": "é"}, None),
    ),
    "disconnect": ("82a47479706501a36e7370a12f", (1, "/", None, None)),
    "event": (
        (
            "84a47479706502a46461746197a16501ffcb3ff8000000000000c0c3a4f09f9880a76f7074696f6e7381a8636f6d7072657373c3a36e7370"
            "a12f"
        ),
        (2, "/", ["e", 1, -1, 1.5, None, True, "😀"], None),
    ),
    "event with an id": (
        "85a47479706502a46461746191a165a76f7074696f6e7381a8636f6d7072657373c3a2696407a36e7370a12f",
        (2, "/", ["e"], 7),
    ),
    "acknowledgement": (
        "84a47479706503a46461746193cf0000000100000000d3ffffffff7fffffffcf001fffffffffffffa26964cd012ca36e7370a12f",
        (3, "/", [2**32, -(2**31) - 1, 2**53 - 1], 300),
    ),
    "dates and undefined": (
        (
            "84a47479706502a46461746194a165d7000000018bcfe5687bd700ffffffffffffffffd40000a76f7074696f6e7381a8636f6d7072657373"
            "c3a36e7370a12f"
        ),
        (
            2,
            "/",
            [
                "e",
                datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
                datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
                None,
            ],
            None,
        ),
    ),
    # A Buffer, an empty one, an ArrayBuffer, a Uint8Array of one byte (which nobody can tell from undefined), and a
    # Uint16Array of two numbers.
    "binary": (
        (
            "84a47479706502a46461746196a165c402010281a464656570c400c70300010203c7010009c7040001000200a76f7074696f6e7381a8636f"
            "6d7072657373c3a36e7370a12f"
        ),
        (2, "/", ["e", b"\1\2", {"deep": b""}, b"\1\2\3", None, b"\1\0\2\0"], None),
    ),
    "infinities": (
        (
            "84a47479706502a46461746193a165cb7ff0000000000000cbfff0000000000000a76f7074696f6e7381a8636f6d7072657373c3a36e7370"
            "a12f"
        ),
        (2, "/", ["e", inf, -inf], None),
    ),
    "undefined inside": (
        "84a47479706502a46461746192a16582a161d40000a16291d40000a76f7074696f6e7381a8636f6d7072657373c3a36e7370a12f",
        (2, "/", ["e", {"a": None, "b": [None]}], None),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_npms_parser_writes_is_read(name: str) -> None:
    text, packet = RECORDED[name]
    assert read(bytes.fromhex(text)) == packet


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        # No data and no id where there is none: npm's parser refuses null for them.
        ((1, "/", None, None), "82a47479706501a36e7370a12f"),
        ((0, "/", {"sid": "x"}, None), "83a47479706500a46461746181a3736964a178a36e7370a12f"),
        ((2, "/a", ("e", b"\1"), None), "83a47479706502a46461746192a165c40101a36e7370a22f61"),
        ((3, "/", (), 300), "84a47479706503a46461746190a36e7370a12fa26964cd012c"),
        ((4, "/", {"message": "no"}, None), "83a47479706504a46461746181a76d657373616765a26e6fa36e7370a12f"),
        # A Date, as notepack.io 2.2 knows it.
        (
            (2, "/", ("e", datetime(2023, 11, 14, 22, 13, 20, 123_999, tzinfo=UTC)), None),
            "83a47479706502a46461746192a165d7000000018bcfe5687ba36e7370a12f",
        ),
    ],
)
def test_what_is_written_byte_by_byte(packet: tuple[int, str, Any, int | None], expected: str) -> None:
    kind, namespace, data, number = packet
    assert write(data, kind, number, namespace) == bytes.fromhex(expected)


# Values ------------------------------------------------------------------------------------------------------------


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: Any


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Number(float):
    __slots__ = ()


COMMON = [
    None,
    True,
    0,
    -1,
    2**53,
    -(2**63),
    2**64 - 1,
    1.5,
    "",
    "€ 😀 \0",
    [],
    {},
    [[1], {"a": {"b": [None]}}],
    (1, (2,)),
    {1: "a", None: "b", 2.5: "c"},
    {True: "a", False: "b"},
    Color.RED,
    Point(1, Point(2, [3])),
    UUID(int=5),
    date(2020, 1, 2),
    time(1, 2, 3),
    Text("plain"),
    {Text("key"): Number(2.5)},
]


@pytest.mark.parametrize("value", COMMON, ids=repr)
def test_values_arrive_as_they_do_with_json(value: object) -> None:
    assert written(value) == json.loads(dumps(value, []))


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1 + 2j, {(1,): 2}, {b"a": 1}, timedelta(1), Point, 2**1024, "\ud800"]
)
def test_what_cannot_be_sent_is_refused_with_an_error_of_ours(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        write(["e", value])
    with pytest.raises(LocalProtocolError):
        write(["e", [{"deep": value}]])


def test_data_of_an_application_that_raises_is_refused_with_an_error_of_ours() -> None:
    @dataclass
    class Broken:
        x: int

    value = Broken(1)
    del value.x
    with pytest.raises(LocalProtocolError, match="AttributeError in it"):
        write(["e", value])


def test_an_integer_beyond_64_bits_becomes_what_javascript_makes_of_it() -> None:
    assert written(2**64) == float(2**64)
    assert written(-(2**63) - 1) == -float(2**63)


def test_nan_and_the_infinities_stay_what_they_are() -> None:
    assert written([inf, -inf]) == [inf, -inf]
    assert isnan(written(nan))


def test_dates_of_any_zone_and_of_none_arrive_as_moments_in_milliseconds() -> None:
    moment = datetime(2024, 2, 29, 12, 0, 0, 1_500, tzinfo=timezone(timedelta(hours=2)))
    assert written(moment) == datetime(2024, 2, 29, 10, 0, 0, 1_000, tzinfo=UTC)
    assert written(datetime(2024, 2, 29)) == datetime(2024, 2, 29, tzinfo=UTC)  # noqa: DTZ001 - naive on purpose
    for extreme in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)):
        assert written(extreme) == extreme


@pytest.mark.parametrize("data", [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2")])
def test_binary_data_stays_where_it_is(data: Any) -> None:
    assert written({"a": [data]}) == {"a": [b"\1\2"]}
    # More of it than a packet with attachments may have.
    assert written([b""] * 11) == [b""] * 11


def test_nothing_is_sent_that_is_nested_deeper_than_json_could_be() -> None:
    value: Any = None
    for _ in range(253):
        value = [value]
    assert read(write(["e", value]), Limits(max_json_depth=300))[2][1] == value
    with pytest.raises(LocalProtocolError, match="nested too deeply"):
        write(["e", [value]])
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(LocalProtocolError, match="nested too deeply"):
        write(["e", itself])
    looped = Point(1, None)
    looped.y = looped
    with pytest.raises(LocalProtocolError, match="nested too deeply"):
        write(["e", looped])


@pytest.mark.parametrize(
    ("kind", "data", "number", "namespace"),
    [
        (5, ["e"], None, "/"),
        (2, [], None, "/"),
        (2, ["connect"], None, "/"),
        (2, [nan], None, "/"),
        (2, {}, None, "/"),
        (3, [], None, "/"),
        (3, [], -1, "/"),
        (3, [], 2**53, "/"),
        (3, [], True, "/"),
        (1, {}, None, "/"),
        (0, [], None, "/"),
        (4, None, None, "/"),
        (2, ["e"], None, ""),
        (2, ["e"], None, "/a,b"),
        (2, ["e"], None, "/\ud800"),
    ],
)
def test_packets_that_no_client_would_take_are_refused(kind: int, data: Any, number: Any, namespace: str) -> None:
    with pytest.raises(LocalProtocolError):
        write(data, kind, number, namespace)


# Hostile input -----------------------------------------------------------------------------------------------------


def packed(**changes: Any) -> bytes:
    """An event, with some keys changed; those that are ... are left out."""
    packet = {"type": 2, "data": ["e"], "nsp": "/", **changes}
    return msgspec.msgpack.encode({key: value for key, value in packet.items() if value is not ...})


def event_of(raw: bytes) -> bytes:
    """An event with one argument that is already encoded."""
    return packed(data=["e", 0xC1])[:-1].replace(b"\xcc\xc1", raw) + packed()[-1:]


def nested(depth: int) -> bytes:
    """An event whose argument is ``depth`` arrays deep."""
    return event_of(b"\x91" * (depth - 1) + b"\x90")


MALFORMED: dict[str, str | bytes] = {
    "text": '2["e"]',
    "text of nothing": "",
    "nothing": b"",
    "cut short": packed()[:-1],
    "something behind it": packed() + b"\0",
    "the byte that means nothing": b"\xc1",
    "no map": b"\x91\x02",
    "a number": b"\x02",
    "nil": b"\xc0",
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "such arrays in each other": b"\xdd\xff\xff\xff\xff" * 200_000,
    "such an array as an argument": event_of(b"\xdd\xff\xff\xff\xff"),
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "such maps in each other": b"\xdf\xff\xff\xff\xff\xa1a" * 100_000,
    "an extension of 4 GB": b"\xc9\xff\xff\xff\xff\x00a",
    "text of 4 GB": b"\xdb\xff\xff\xff\xffa",
    "100,000 arrays in each other": b"\x91" * 100_000,
    "100,000 maps in each other": b"\x81\xa1a" * 100_000,
    "as deep as it may be, and one more": nested(128),
    "text that is not UTF-8": event_of(b"\xa1\xff"),
    "text with a surrogate": event_of(b"\xa3\xed\xa0\x80"),
    "an unknown extension": event_of(b"\xd4\x05\x00"),
    "a timestamp out of range": event_of(b"\xc7\x0c\xff" + b"\xff" * 12),
    "a date out of range": event_of(b"\xd7\x00\x7f" + b"\xff" * 7),
    "a number as key": event_of(b"\x81\x01\x01"),
    "nil as key": event_of(b"\x81\xc0\x01"),
    "binary as key": event_of(b"\x81\xc4\x01a\x01"),
    "an array as key": event_of(b"\x81\x91\x01\x01"),
    "a map as key": event_of(b"\x81\x81\x01\x01\x01"),
    "a key that is not text, deep in the data": event_of(b"\x91\x81\xa1a\x91\x81\x01\x01"),
    "type missing": packed(type=...),
    "type 5": packed(type=5),
    "type 6": packed(type=6),
    "type -1": packed(type=-1),
    "type true": packed(type=True),
    "type 2.0": packed(type=2.0),
    "type as text": packed(type="2"),
    "namespace missing": packed(nsp=...),
    "namespace nil": packed(nsp=None),
    "namespace of bytes": packed(nsp=b"/"),
    "namespace without a slash": packed(nsp="admin"),
    "namespace with a comma": packed(nsp="/a,b"),
    "namespace with a separator": packed(nsp="/\x1e"),
    "namespace too long": packed(nsp="/" * 257),
    "id -1": packed(id=-1),
    "id 2**53": packed(id=2**53),
    "id 2**64 - 1": packed(id=2**64 - 1),
    "id true": packed(id=True),
    "id 1.0": packed(id=1.0),
    "id as text": packed(id="1"),
    "acknowledgement without an id": packed(type=3),
    "data missing": packed(data=...),
    "data nil": packed(data=None),
    "data a map": packed(data={"0": "e"}),
    "data text": packed(data="e"),
    "event without a name": packed(data=[]),
    "event named nil": packed(data=[None]),
    "event named true": packed(data=[True]),
    "event named NaN": packed(data=[nan]),
    "event named by an array": packed(data=[["e"]]),
    "event name reserved": packed(data=["disconnect"]),
    "event name reserved too": packed(data=["newListener"]),
    "event name too long": packed(data=["x" * 257]),
    "connect with an array": packed(type=0, data=[]),
    "connect with text": packed(type=0, data="token"),
    "disconnect with data": packed(type=1, data=["e"]),
    "connect error with an array": packed(type=4, data=[]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_packets_are_decode_errors(name: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(MALFORMED[name])
    assert "the parser failed" not in str(caught.value)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_client_that_sends_one_is_closed_and_nobody_else(name: str) -> None:
    app = SocketApp(parser="msgpack")
    bad, good = RawWebSocket(app.server), RawWebSocket(app.server)
    message = MALFORMED[name]
    for websocket in (bad, good):
        websocket.send(write(None, 0))
    bad.send("4" + message if isinstance(message, str) else message)
    assert bad.close_code == 1000
    assert app.events == [("connection",), ("connection",), ("disconnect", "forced close")]
    good.send(write(["still there"]))
    assert app.events[3:] == [("still there",)]


@pytest.mark.parametrize(
    "message",
    [
        packed(),
        packed(nsp="/" * 256),
        packed(id=0),
        packed(id=2**53 - 1),
        packed(data=["x" * 256]),
        nested(127),
        packed(data=[1.5]),
    ],
)
def test_at_the_limit_works(message: bytes) -> None:
    assert read(message)[0] == 2


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert read(event_of(b"\x82\xa1a\x01\xa1a\x02"))[2] == ["e", {"a": 2}]


def test_a_timestamp_is_a_date_too() -> None:
    # Other writers of MessagePack than npm's parser have extension -1.
    assert read(event_of(b"\xd6\xff\x00\x00\x00\x01"))[2][1] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)).map(lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000)),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.lists(VALUES), st.none() | st.integers(0, 2**53 - 1))
def test_round_trip(args: list[Any], number: int | None) -> None:
    assert read(write(["e", *args], 2, number, "/n")) == (2, "/n", ["e", *args], number)


@given(st.lists(VALUES), st.data())
def test_damaged_packets_are_packets_or_decode_errors(args: list[Any], data: st.DataObject) -> None:
    message = bytearray(write(["e", *args], 2, 5))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(message[: data.draw(st.integers(0, len(message)))]))
    except DecodeError:
        pass


@given(st.binary(max_size=300))
def test_any_bytes_are_a_packet_or_a_decode_error(message: bytes) -> None:
    try:
        read(message)
    except DecodeError:
        pass


# On a server -------------------------------------------------------------------------------------------------------


def test_over_long_polling_packets_are_base64() -> None:
    app = SocketApp(parser="msgpack")
    app.app.on("echo")(lambda socket, *args: args)
    polling = RawPolling(app.server)
    polling.post(b"bg6R0eXBlAKRkYXRh1AAAo25zcKEv")
    answer = polling.get()
    assert answer is not None
    assert answer.body.startswith(b"b")
    app.app.emit("news", b"\1")
    app.app.emit("news", 2)
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"\x1e".join(
        [b"bg6R0eXBlAqRkYXRhkqRuZXdzxAEBo25zcKEv", b"bg6R0eXBlAqRkYXRhkqRuZXdzAqNuc3ChLw=="]
    )


def test_a_broadcast_is_encoded_once() -> None:
    class Counting(MsgpackParser):
        calls = 0

        def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
            Counting.calls += 1
            return super().encode(type, namespace, data, id)

    app = SocketApp(parser=Counting())
    websockets = [RawWebSocket(app.server) for _ in range(5)]
    for websocket in websockets:
        websocket.send(write(None, 0))
    Counting.calls = 0
    app.app.emit("news", b"\1")
    app.server.settle()
    assert Counting.calls == 1
    for websocket in websockets:
        assert websocket.take() == [write(["news", b"\1"])]


def test_a_client_with_the_json_parser_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    app = SocketApp(parser="msgpack")
    with caplog.at_level("INFO", "siocore"):
        websocket = RawWebSocket(app.server)
        websocket.send("40")
        assert websocket.close_code == 1000
    assert "the client was not given the msgpack parser" in caplog.text


def test_a_client_with_the_msgpack_parser_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    app = SocketApp()
    with caplog.at_level("INFO", "siocore"):
        websocket = RawWebSocket(app.server)
        websocket.send(write(None, 0))
        assert websocket.close_code == 1000
    assert "was the client given another parser?" in caplog.text


def test_without_msgspec_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ImportError, match=r"pip install 'siocore\[msgpack\]'"):
        Server(parser="msgpack")
