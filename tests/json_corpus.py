"""JSON texts and values: what is accepted, refused, written and not sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

# Its escape is what JavaScript writes for half of a surrogate pair. orjson refuses it, so it forces the other path.
LONE = "\ud800"

LONE_TEXT = '"\\ud800"'

ACCEPTED: list[tuple[str, object]] = [
    ("null", None),
    ("true", True),
    ("false", False),
    ("0", 0),
    ("-0", 0),
    ("1e5", 100_000.0),
    ("1E+5", 100_000.0),
    ("1e-400", 0.0),
    ("1.7976931348623157e308", 1.7976931348623157e308),
    ("9007199254740993", 9007199254740993),
    ("18446744073709551615", 2**64 - 1),
    ("18446744073709551616", 2.0**64),
    ("-9223372036854775808", -(2**63)),
    ("-9223372036854775809", -(2.0**63)),
    ("9" * 300, 1e300),
    ("0." + "9" * 5_000, 1.0),
    ('""', ""),
    ('"é€😀"', "é€😀"),
    ('"\\u0000\\b\\f\\n\\r\\t\\/\\\\\\""', '\0\b\f\n\r\t/\\"'),
    ('"\\ud83d\\ude00"', "😀"),
    ('"\u2028\u2029\x7f"', "\u2028\u2029\x7f"),
    (LONE_TEXT, LONE),
    ('"\\ude00\\ud83d"', "\ude00\ud83d"),
    ('{"\\ud800":1}', {LONE: 1}),
    (" \t\n\r[ 1 , 2 ] \t\n\r", [1, 2]),
    ('{"a":1,"a":2}', {"a": 2}),
    ('{"__proto__":1}', {"__proto__": 1}),
    ("[]", []),
    ("{}", {}),
]

REFUSED = [
    "",
    " ",
    "tru",
    "True",
    "None",
    "undefined",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1" + "0" * 309,
    "9" * 5_000,
    "-" + "9" * 5_000,
    "9" * 5_000 + ".5",
    "01",
    "-01",
    "+1",
    "-",
    ".5",
    "1.",
    "1e",
    "0x10",
    "1_000",
    "\u0661",
    "1\u0661",
    "\u00b2",
    "'a'",
    '"a',
    '"\\x41"',
    '"\\u12"',
    '"\\u 123"',
    '"\\u00_1"',
    '"\n"',
    '"\t"',
    '"\0"',
    "[",
    "]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1]]",
    "[1][2]",
    "[1]\0",
    "[1]\x0b",
    "\xa0[1]",
    "\ufeff[1]",
    "\ufeff\ufeff[1]",
    "[1]//",
    "/**/[1]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{1:1}",
    "[" * 100_000,
    '{"a":' * 100_000,
    "[" * 100_000 + "]" * 100_000,
]


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Message:
    text: str
    parts: list[bytes] = field(default_factory=list)
    _hidden: int = 1


@dataclass(slots=True)
class Empty:
    pass


class Color(Enum):
    RED = "red"
    PAIR = (1, 2)
    BLOB = b"\x01"


class Level(IntEnum):
    HIGH = 3


class Name(StrEnum):
    HELLO = "hello"


class Text(str):
    __slots__ = ()


class Number(int):
    def __repr__(self) -> str:
        return "not JSON"


class Real(float):
    def __repr__(self) -> str:
        return "not JSON"


class Items(list[object]):
    pass


class Mapping(dict[object, object]):
    pass


class BytesLike(bytes):
    pass


WRITTEN: list[tuple[object, object, list[bytes]]] = [
    (None, None, []),
    (True, True, []),
    (1, 1, []),
    (-0.5, -0.5, []),
    (float("nan"), None, []),
    (float("inf"), None, []),
    ([float("-inf"), 1.0], [None, 1.0], []),
    (2**64 - 1, 2**64 - 1, []),
    (2**64, 2**64, []),
    (-(2**100), -(2**100), []),
    (2**1024 - 2**970 - 1, 2**1024 - 2**970 - 1, []),
    ("é€😀\x00\x1e\u2028", "é€😀\x00\x1e\u2028", []),
    (LONE, LONE, []),
    ({LONE: [LONE]}, {LONE: [LONE]}, []),
    ((1, (2,)), [1, [2]], []),
    (Point(1, 2), [1, 2], []),
    ({1: 2, -3: 4}, {"1": 2, "-3": 4}, []),
    ({None: 1, True: 2, False: 3, 0.5: 4}, {"null": 1, "true": 2, "false": 3, "0.5": 4}, []),
    ({2**70: 1}, {str(2**70): 1}, []),
    ({Text("a"): 1, Name.HELLO: 2, Level.HIGH: 3, Number(7): 4}, {"a": 1, "hello": 2, "3": 3, "7": 4}, []),
    (Text("a"), "a", []),
    (Number(5), 5, []),
    (Real(0.5), 0.5, []),
    (Real("nan"), None, []),
    (Items([1, Items()]), [1, []], []),
    (Mapping({"a": Mapping()}), {"a": {}}, []),
    ([Color.RED, Color.PAIR, Level.HIGH, Name.HELLO], ["red", [1, 2], 3, "hello"], []),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001", []),
    (Message("hi"), {"text": "hi", "parts": [], "_hidden": 1}, []),
    ([Empty()], [{}], []),
    (datetime(2024, 2, 29, 12, 30, 15, 123_999, tzinfo=UTC), "2024-02-29T12:30:15.123Z", []),
    (datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=-2))), "2024-02-29T14:00:00.000Z", []),
    (datetime(2024, 2, 29, 12), "2024-02-29T12:00:00.000Z", []),  # noqa: DTZ001
    (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z", []),
    (date(2024, 2, 29), "2024-02-29", []),
    (time(12, 30), "12:30:00", []),
    (b"ab", {"_placeholder": True, "num": 0}, [b"ab"]),
    (b"", {"_placeholder": True, "num": 0}, [b""]),
    (BytesLike(b"ab"), {"_placeholder": True, "num": 0}, [b"ab"]),
    (bytearray(b"ab"), {"_placeholder": True, "num": 0}, [b"ab"]),
    (memoryview(b"abcd")[::2], {"_placeholder": True, "num": 0}, [b"ac"]),
    (Color.BLOB, {"_placeholder": True, "num": 0}, [b"\x01"]),
    (
        [b"a", {"x": (b"b", [bytearray(b"c")]), "y": Message("m", [b"d"])}, b"a"],
        [
            {"_placeholder": True, "num": 0},
            {
                "x": [{"_placeholder": True, "num": 1}, [{"_placeholder": True, "num": 2}]],
                "y": {"text": "m", "parts": [{"_placeholder": True, "num": 3}], "_hidden": 1},
            },
            {"_placeholder": True, "num": 4},
        ],
        [b"a", b"b", b"c", b"d", b"a"],
    ),
]


class Opaque:
    pass


class Encoding:
    """A property that encodes other data while the data around it is encoded."""

    def __get__(self, owner: Any, kind: object) -> Any:
        if owner is None:
            return None
        attachments: list[bytes] = []
        return [owner.dumps([b"inner", b"inner"], attachments).decode(), len(attachments)]


@dataclass
class Nested:
    inner: Any = Encoding()

    def __init__(self, dumps: Any) -> None:
        self.dumps = dumps


class Property:
    def __get__(self, owner: object, kind: object) -> object:
        if owner is None:
            return None
        raise RuntimeError("secret")


@dataclass
class Raising:
    text: Any = Property()

    def __init__(self) -> None:
        pass


class RaisingZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise OSError("secret")

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


class RaisingItems(dict[str, object]):
    def items(self) -> Any:
        raise KeyError("secret")


def circular() -> list[object]:
    value: list[object] = [b"blob"]
    value.append(value)
    return value


def circular_object() -> Message:
    message = Message("x")
    message.parts = [message]  # type: ignore[list-item]
    return message


def deep(depth: int, leaf: object = 0) -> object:
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


UNSENDABLE: list[object] = [
    Opaque(),
    Opaque,
    Message,
    Empty,
    {1, 2},
    frozenset(),
    Decimal(1),
    1j,
    len,
    Ellipsis,
    iter(()),
    {(1, 2): 3},
    {b"a": 1},
    {Opaque(): 1},
    2**1024 - 2**970,
    -(2**1024) + 2**970,
    10**5_000,
    {2**1024: 1, LONE: Opaque()},
    circular(),
    circular_object(),
    deep(255),
    deep(100_000),
    Raising(),
    datetime(2024, 1, 1, tzinfo=RaisingZone()),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    [b"blob", Opaque()],
]

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)
