"""Socket.IO packets: the protocol's examples, what is refused, and what is exactly at a limit."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from siocore.options import Limits

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = range(5)


LIMITS = Limits()


def hole(num: object = 0) -> dict[str, object]:
    return {"_placeholder": True, "num": num}


HOLES = [f'{{"_placeholder":true,"num":{num}}}' for num in range(3)]

HOLE = HOLES[0]

# type, namespace, data, id; the same packets are encoded and decoded. Socket.IO protocol, "Packet encoding".
EXAMPLES: list[tuple[str, tuple[int, str, object, int | None]]] = [
    ("0", (CONNECT, "/", None, None)),
    ('0{"token":"t"}', (CONNECT, "/", {"token": "t"}, None)),
    ("0/admin,", (CONNECT, "/admin", None, None)),
    ('0/admin,{"token":"t"}', (CONNECT, "/admin", {"token": "t"}, None)),
    ('0{"sid":"oSO0OpakMV_3jnilAAAA"}', (CONNECT, "/", {"sid": "oSO0OpakMV_3jnilAAAA"}, None)),
    ("1", (DISCONNECT, "/", None, None)),
    ("1/admin,", (DISCONNECT, "/admin", None, None)),
    ('2["foo"]', (EVENT, "/", ["foo"], None)),
    ('2["foo",1,null,{"a":[]}]', (EVENT, "/", ["foo", 1, None, {"a": []}], None)),
    ('2/admin,["bar"]', (EVENT, "/admin", ["bar"], None)),
    ('212["foo"]', (EVENT, "/", ["foo"], 12)),
    ('20["foo"]', (EVENT, "/", ["foo"], 0)),
    ('2/admin,12["bar"]', (EVENT, "/admin", ["bar"], 12)),
    ('2["é€😀"]', (EVENT, "/", ["é€😀"], None)),
    ('2/é€😀,["a"]', (EVENT, "/é€😀", ["a"], None)),
    ('2/foo?a=1&b=2,["a"]', (EVENT, "/foo?a=1&b=2", ["a"], None)),
    ('2[1,"x"]', (EVENT, "/", [1, "x"], None)),
    ("2[-1.5]", (EVENT, "/", [-1.5], None)),
    ('2[""]', (EVENT, "/", [""], None)),
    ('2["error"]', (EVENT, "/", ["error"], None)),
    ('2["__proto__"]', (EVENT, "/", ["__proto__"], None)),
    (f'2["e",{HOLE}]', (EVENT, "/", ["e", hole()], None)),
    ("2" + str(2**53 - 1) + '["foo"]', (EVENT, "/", ["foo"], 2**53 - 1)),
    ("312[]", (ACK, "/", [], 12)),
    ('3/admin,13["bar"]', (ACK, "/admin", ["bar"], 13)),
    ('30[["nested"]]', (ACK, "/", [["nested"]], 0)),
    ('30["connect"]', (ACK, "/", ["connect"], 0)),
    ('4{"message":"Not authorized"}', (CONNECT_ERROR, "/", {"message": "Not authorized"}, None)),
    ('4/admin,"Not authorized"', (CONNECT_ERROR, "/admin", "Not authorized", None)),
]

# type, namespace, data, id, attachments; what is only decoded.
DECODED: list[tuple[str, tuple[int, str, object, int | None, int]]] = [
    ("0/admin", (CONNECT, "/admin", None, None, 0)),
    ("0/", (CONNECT, "/", None, None, 0)),
    ("1/admin", (DISCONNECT, "/admin", None, None, 0)),
    ('2/,["foo"]', (EVENT, "/", ["foo"], None, 0)),
    ('2007["foo"]', (EVENT, "/", ["foo"], 7, 0)),
    ('2["foo" , 1]\n', (EVENT, "/", ["foo", 1], None, 0)),
    ('2["\\ud800"]', (EVENT, "/", ["\ud800"], None, 0)),
    (f'51-["baz",{HOLE}]', (EVENT, "/", ["baz", hole()], None, 1)),
    (f'510-["baz",{HOLE}]', (EVENT, "/", ["baz", hole()], None, 10)),
    (f'501-["baz",{HOLE}]', (EVENT, "/", ["baz", hole()], None, 1)),
    (f'51-/admin,["baz",{HOLE}]', (EVENT, "/admin", ["baz", hole()], None, 1)),
    (f'51-/admin,12["baz",{HOLE}]', (EVENT, "/admin", ["baz", hole()], 12, 1)),
    (f'51-12["baz",{HOLE}]', (EVENT, "/", ["baz", hole()], 12, 1)),
    (f"61-15[{HOLE}]", (ACK, "/", [hole()], 15, 1)),
    (f"62-/admin,15[{HOLE},{HOLE}]", (ACK, "/admin", [hole(), hole()], 15, 2)),
]

RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]

# As long as a reserved one, with its beginning or its end, or the same bytes in memory.
NEARLY_RESERVED = [
    *[name[:-1] + "x" for name in RESERVED],
    *["x" + name[1:] for name in RESERVED],
    *[name[:-1] + "é" for name in RESERVED],
    *[name[:-1] + "€" for name in RESERVED],
    *[name.upper() for name in RESERVED],
    *[name + "s" for name in RESERVED],
    *[name + "\0" for name in RESERVED],
    *[name[:-1] for name in RESERVED],
    *[(name + name).encode().decode("utf-16-le") for name in RESERVED],
    *["x" * size for size in range(17)],
]

BAD_PACKETS = [
    # type
    *["7", "8", "9", "a", "/", ":", "-", "{}", "[]", '"2"', "\x00", "😀"],
    *['71-{"a":1}', " ", ' ["foo"]', '\u0662["foo"]', '\u00b2["foo"]', '\uff12["foo"]'],
    "abc",
    # attachments: none, not a whole number, not ASCII, no end, too many
    *['5["e"]', "5", "5-", '5-["e"]', "51", '51["e"]', "51,", f'5 1-["e",{HOLE}]', f'5+1-["e",{HOLE}]'],
    *['50-["e"]', '500-["e"]', "60-1[]", '5-1-["e"]', '51.0-["e"]', '51e0-["e"]', '51e1-["e"]', '50x1-["e"]'],
    *['5\u0661-["e"]', '51\u0661-["e"]', '5\u00b2-["e"]', '5\uff11-["e"]', '51 -["e"]'],
    *['511-["e"]', '5999999999-["e"]', "5" + "1" * 17 + '-["e"]', "5" + "0" * 17 + '1-["e"]', '511-["e"]'],
    *["51-", "51-/", "51-/admin,", "61-1", '61-["e"]'],
    # CONNECT with something that is no object
    *["0[]", '0"x"', "0null", "0true", "0-1", "0{", "0{}x", '0{"a":NaN}', '0 {"a":1}', "0abc"],
    # DISCONNECT with a payload
    *['1{"a":1}', "1[]", "1null", '1"x"', "1x", '1/admin,{"a":1}'],
    # EVENT without a name that is text or a number
    *["2", "2/admin,", "2/admin", "212", "2{}", '2"x"', "2null", "2true", "21", "2-1", "2[]", "2[[]]", "2[null]"],
    *["2[true]", "2[false]", "2[{}]", '2[{"toString":"foo"}]', "2[", "2[}", '2["foo"', '2["foo"]]', "2abc", "2x[]"],
    *['2["foo",NaN]', '2["foo",1e999]', '2["foo",Infinity]', "2[NaN]", "2[1e999]", '2["foo",' + "9" * 5_000 + "]"],
    *['2["foo",]', "2['foo']", '2["foo"]\x00', '2\ufeff["foo"]', '2abc["message-with-ack",1,"2",{}]'],
    # id: not ASCII digits, white space, too large
    *['2\u00b2["e"]', '2\u0661["e"]', '21\u0661["e"]', '2 ["e"]', '21 ["e"]', '2\n["e"]', '2-1["e"]', '2+1["e"]'],
    *['21.5["e"]', '21e3["e"]', '20x1["e"]', '21_0["e"]', "2" + str(2**53) + '["e"]', "2" + "1" * 17 + '["e"]'],
    *["2" + "0" * 17 + '["e"]', "2" + "9" * 30 + '["e"]', "3" + "1" * 400 + "[]"],
    # ACK without an id or an array
    *["3", "3[]", "3x[]", "3/admin,[]", "312", "312{}", '312"x"', "312null", "312[", "3/admin,12", "3/admin[]"],
    # CONNECT_ERROR
    *["4", "4/admin,", "4[]", "4null", "41", "4true", "4{", '4"', "4abc"],
    # namespace
    *["2/[]", '2/admin["e"]', '2admin,["e"]', '2//admin["e"]', "0/a\x1eb,", '2/a\x1eb,["e"]'],
    # long: linear, and never copied into a message
    *["5" + "1" * 999_990, "2/" + "a" * 999_990, "2" + "1" * 999_990, "51-" + "/" * 999_990, "5" * 999_990],
    *["2[" * 300_000, '2["foo",' + "[" * 900_000, "2" + '[{"a":' * 100_000],
]


def fields(packet: Any) -> tuple[int, str, object, int | None, int]:
    return packet.type, packet.namespace, packet.data, packet.id, packet.attachments


# Each limit, with what is exactly at it and what is one over.
AT_LIMITS: list[tuple[Limits, str, str]] = [
    (Limits(max_attachments=3), '53-["e"]', '54-["e"]'),
    (Limits(max_attachments=1), '51-["e"]', '52-["e"]'),
    (LIMITS, '510-["e"]', '511-["e"]'),
    (Limits(max_attachments=100), '5100-["e"]', '5101-["e"]'),
    (LIMITS, f'2{2**53 - 1}["e"]', f'2{2**53}["e"]'),
    (LIMITS, '20000000000000001["e"]', '200000000000000001["e"]'),
    (LIMITS, f"3{2**53 - 1}[]", f"3{2**53}[]"),
    (Limits(max_namespace_length=5), '2/abcd,["e"]', '2/abcde,["e"]'),
    (Limits(max_namespace_length=5), "0/abcd", "0/abcde"),
    (LIMITS, "0/" + "é" * 255, "0/" + "é" * 256),
    (Limits(max_event_name=3), '2["abc"]', '2["abcd"]'),
    (LIMITS, '2["' + "é" * 256 + '"]', '2["' + "é" * 257 + '"]'),
    (LIMITS, '2["' + "\\u0061" * 256 + '"]', '2["' + "\\u0061" * 257 + '"]'),
    (Limits(max_json_depth=2), '2["e",[]]', '2["e",[[]]]'),
    (LIMITS, '2["e",' + "[" * 127 + "]" * 127 + "]", '2["e",' + "[" * 128 + "]" * 128 + "]"),
    (LIMITS, '0{"a":' + "[" * 127 + "]" * 127 + "}", '0{"a":' + "[" * 128 + "]" * 128 + "}"),
]


def looped() -> list[object]:
    value: list[object] = ["e"]
    value.append(value)
    return value


BAD_DATA: dict[int, list[Any]] = {
    CONNECT: [[], "x", 1, True, b"x", {"a": b"x"}],
    DISCONNECT: [{}, [], "x", 0, b""],
    EVENT: [None, [], (), {}, "x", 1, b"x", [None], [True], [[]], [{}], [b"e"], ["e", object()], ["e", {1}], looped()],
    ACK: [None, {}, "x", 1, b"x", [object()]],
    CONNECT_ERROR: [None, [], 1, True, b"x", {"data": b"x"}],
}

BAD_TYPES: list[Any] = [5, 6, 7, -1, 2**70, "2", None, 2.0]

BAD_NAMES: list[Any] = [*RESERVED, float("nan"), float("inf"), 2**1024, 10**400]

BAD_IDS: list[Any] = [-1, 2**53, 2**70, True, False, "1", 1.0, []]

BAD_NAMESPACES: list[Any] = ["", "admin", "/a,b", "/a\x1eb", "/\ud800", None, b"/", 1]

UNSENDABLE: list[tuple[Any, Any, Any, Any]] = [
    *[(kind, "/", ["e"], 1) for kind in BAD_TYPES],
    *[(kind, "/", data, 1 if kind == ACK else None) for kind, each in BAD_DATA.items() for data in each],
    *[(EVENT, "/", [name, 1], None) for name in BAD_NAMES],
    *[(EVENT, "/", ["e"], number) for number in BAD_IDS],
    *[(EVENT, namespace, ["e"], None) for namespace in BAD_NAMESPACES],
    (ACK, "/", [], None),
    # Data that the receiver would take for a placeholder, beside a real one; the second on the slow path.
    (EVENT, "/", ["e", b"x", hole(0)], None),
    (EVENT, "/", ["e", b"x", {"\ud800": hole(99)}], None),
    (ACK, "/", [b"x", [{"a": hole("splice")}]], 1),
]

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda name: name not in RESERVED)

NAMESPACES = st.just("/") | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=",\x1e"), max_size=20
).map(lambda name: "/" + name)

IDS = st.none() | st.integers(0, 2**53 - 1)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

PIECES = st.lists(
    st.sampled_from(
        [
            *'0123456789-/,[]{}"\\: e.+\n\x00\x1eé\u0661',
            "51-",
            '["e"',
            "/admin,",
            HOLE,
            "true",
            "NaN",
            "connect",
            "\\ud800",
        ]
    )
).map("".join)
