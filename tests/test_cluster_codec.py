"""How servers of a cluster write what they tell each other, and what they make of garbage."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import msgspec
import pytest

from siocore import LocalProtocolError, Selection
from siocore.cluster.codec import MAX_DEPTH, decode, decode_json, decode_msgpack, encode, encode_json, encode_msgpack
from siocore.cluster.messages import json_options, msgpack_options, read_options, read_packet, write_options
from siocore.errors import DecodeError

VALUE: dict[str, Any] = {
    "s": "é€",
    "n": None,
    "f": 1.5,
    "i": [0, -1, 127, 128, -128, 65536, 4294967296, -4294967297],
    "b": b"\x01\x02\x03",
    "t": True,
    "d": datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
    "e": datetime(1970, 1, 1, tzinfo=UTC),
    "o": {"x": {}},
}
SELECTIONS = [
    Selection(),
    Selection(frozenset({'"é"'})),
    Selection(frozenset({"a", "b"})),
    Selection(frozenset({"a"}), frozenset({"b"})),
    Selection(frozenset({"a"}), volatile=True),
    Selection(frozenset({"a"}), compress=False),
]
#: What notepack.io 3.0.1 and @msgpack/msgpack 2.8.0 have written for it, both the same.
RECORDED = bytes.fromhex(
    "89a173a5c3a9e282aca16ec0a166cb3ff8000000000000a1699800ff7fcc80d080ce00010000cf0000000100000000d3fffffffeffffffff"
    "a162c403010203a174c3a164d7ff1d5353006553f100a165d6ff00000000a16f81a17880"
)


def test_msgpack_is_what_both_libraries_of_node_write_and_read() -> None:
    assert encode_msgpack(VALUE) == RECORDED
    assert decode_msgpack(RECORDED) == VALUE


def test_json_where_there_is_no_binary_data() -> None:
    assert encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
    assert encode({"a": b"\x01"}) == b"\x81\xa1a\xc4\x01\x01"
    assert encode_json({"a": b"\x01"}) is None
    for value in ({"a": [1, "é"]}, {"a": b"\x01"}):
        assert decode(encode(value)) == value


def test_what_older_servers_wrote_is_read() -> None:
    assert decode_msgpack(b"\xd4\x00\x00") is None
    assert decode_msgpack(b"\xc7\x02\x00\x01\x02") == b"\x01\x02"
    assert decode_msgpack(b"\xd7\x00" + (1_700_000_000_123).to_bytes(8, "big")) == VALUE["d"]


@pytest.mark.parametrize("value", [object(), {"a": object()}, "\ud800", {1j: 1}])
def test_what_can_not_be_sent_is_the_callers_error(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode_msgpack(value)


class _Number(IntEnum):
    ONE = 1


class _Text(str):
    __slots__ = ()


#: Next to what is written as it is: what looks like it, and is not.
TRICKY: dict[str, tuple[object, object]] = {
    "a tuple": ((1, "x"), [1, "x"]),
    "a member of an enumeration": ([_Number.ONE], [1]),
    "a kind of text": ({_Text("a"): _Text("b")}, {"a": "b"}),
    "keys that are numbers": ([{1: {None: 2}}, {True: 3}], [{"1": {"null": 2}}, {"true": 3}]),
    "the largest integer": (2**64 - 1, 2**64 - 1),
    "a larger one": ([2**64], [float(2**64)]),
    "the smallest integer": (-(2**63), -(2**63)),
    "a smaller one": ({"a": -(2**63) - 1}, {"a": -float(2**63)}),
    "infinity": ([float("inf")], [float("inf")]),
    "changeable bytes": ([bytearray(b"x")], [b"x"]),
    "deep below": ([[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[(1,)]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]], None),
}


@pytest.mark.parametrize(("value", "plain"), TRICKY.values(), ids=TRICKY)
def test_what_only_looks_like_msgpack_is_written_as_what_it_stands_for(value: object, plain: object) -> None:
    assert encode_msgpack(value) == msgspec.msgpack.encode(value if plain is None else plain)


def test_what_is_too_deep_or_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(LocalProtocolError, match="too deeply"):
        encode_msgpack(endless)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_options_are_written_alike_in_either_form(selection: Selection) -> None:
    assert (
        decode_json(json_options(selection)) == decode_msgpack(msgpack_options(selection)) == write_options(selection)
    )
    assert json_options(selection) == encode_json(write_options(selection))
    assert msgpack_options(selection) == encode_msgpack(write_options(selection))


def deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


GARBAGE = {
    "empty": b"",
    "a byte that means nothing": b"\xc1",
    "an array without end": b"\xdd\xff\xff\xff\xff",
    "a map without end": b"\xdf\xff\xff\xff\xff",
    "an extension without end": b"\xc9\xff\xff\xff\xff\x00",
    "an extension that nobody knows": b"\xd4\x05\x00",
    "too deep by one": deep(MAX_DEPTH + 1),
    "deep": deep(100_000),
    "cut": RECORDED[:-3],
    "more behind it": RECORDED + b"\x00",
    "a key that is no text": b"\x81\x01\x02",
    "a key that is a list": b"\x81\x90\x02",
    "a date beyond the calendar": b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "text that is not UTF-8": b"\xa1\xff",
    "zeros": bytes(1_000_000),
    "a pickle": b"cos\nsystem\n(S'touch pwned'\ntR.",
    "a newer pickle": pickle.dumps({"a": 1}, 4),
    "JSON, cut": b'{"a":',
    "JSON with NaN": b'{"a":NaN}',
    "JSON that is not UTF-8": b'{"a":"\xff"}',
    "JSON, deep": b'{"a":' + b"[" * 100_000,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_as_deep_as_may_be_is_read() -> None:
    assert decode_msgpack(deep(MAX_DEPTH)) is not None
    assert decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None


def test_whom_a_message_is_for() -> None:
    selection = Selection(frozenset({"a"}), frozenset({"b"}), volatile=True, compress=False)
    written = write_options(selection)
    assert written == {"rooms": ["a"], "except": ["b"], "flags": {"volatile": True, "compress": False}}
    assert list(written) == ["rooms", "except", "flags"]
    assert read_options(written) == selection._replace(local=True)
    assert write_options(Selection()) == {"rooms": [], "except": [], "flags": {}}
    odd: list[Any] = [None, {}, {"flags": {}}, {"flags": 1}, {"flags": {"volatile": 1, "compress": 0}}]
    for nothing in odd:
        assert read_options(nothing) == Selection(local=True)


@pytest.mark.parametrize("value", [1, "x", [], {"rooms": "abc"}, {"rooms": [None]}, {"rooms": [], "except": {}}])
def test_what_names_nobody_is_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        read_options(value)


def test_an_event_is_a_list_that_begins_with_its_name() -> None:
    assert read_packet({"type": 2, "data": ["e", 1]}) == ["e", 1]
    assert read_packet(["e"]) == ["e"]
    odd: list[Any] = [None, 1, "x", {}, {"data": None}, {"data": []}, [], [None], [[]], [True]]
    for value in odd:
        with pytest.raises(DecodeError):
            read_packet(value)
