"""JSON: what JavaScript takes is taken, what it would not take is never written, whichever path does the work."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_builds import codec, each_build
from json_corpus import (
    ACCEPTED,
    JSON_VALUES,
    LONE,
    LONE_TEXT,
    REFUSED,
    UNSENDABLE,
    WRITTEN,
    Nested,
    RaisingItems,
    deep,
)
from siocore.errors import DecodeError, LocalProtocolError


def same(one: object, other: object) -> bool:
    """Equal in value and in type, all the way down."""
    return repr(one) == repr(other)


@each_build
@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_what_javascript_parses_is_parsed(build: str, text: str, value: object) -> None:
    assert same(codec(build, "json").loads(text, 128), value)


@each_build
@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_the_slow_path_parses_as_the_fast_one_does(build: str, text: str, value: object) -> None:
    assert same(codec(build, "json").loads(f"[{LONE_TEXT},{text}]", 128), [LONE, value])


@each_build
@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_json_or_not_finite_is_refused(build: str, text: str) -> None:
    with pytest.raises(DecodeError):
        codec(build, "json").loads(text, 128)


@each_build
@pytest.mark.parametrize("text", [text for text in REFUSED if text.strip()])
def test_the_slow_path_refuses_what_the_fast_one_does(build: str, text: str) -> None:
    with pytest.raises(DecodeError):
        codec(build, "json").loads(f"[{LONE_TEXT},{text}]", 128)


@each_build
def test_fault_does_not_quote_the_text(build: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec(build, "json").loads('["secret"', 128)
    assert "secret" not in str(caught.value)


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "0" + closing * depth


@each_build
@pytest.mark.parametrize("limit", [1, 5, 128, 600])
@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[1,"[{",', "]"), ('{"[[":0,"a":', ',"b":[]}')]
)
@pytest.mark.parametrize("lone", [False, True])
def test_nesting_at_the_limit_is_parsed_and_one_more_is_refused(
    build: str, limit: int, opening: str, closing: str, lone: bool
) -> None:
    loads = codec(build, "json").loads
    before, behind = (f"[{LONE_TEXT},", "]") if lone else ("[", "]")
    # The brackets around are one level; an array beside an object is as deep as what the object holds.
    deepest = limit - 1 - (closing.endswith("[]}") and limit > 1)
    loads(before + nested(deepest, opening, closing) + behind, limit)
    with pytest.raises(DecodeError, match="too deeply"):
        loads(before + nested(limit, opening, closing) + behind, limit)


@each_build
def test_many_brackets_are_not_deep_nesting(build: str) -> None:
    loads = codec(build, "json").loads
    assert loads("[" + ",".join(["[{}]"] * 1_000) + "]", 3) == [[{}]] * 1_000
    assert loads(json.dumps(["[" * 1_000, {"{" * 1_000: '\\"]['}]), 2) == ["[" * 1_000, {"{" * 1_000: '\\"]['}]


@each_build
def test_recursion_is_never_the_peers_to_exhaust(build: str) -> None:
    with pytest.raises(DecodeError):
        codec(build, "json").loads(f"[{LONE_TEXT},{nested(100_000, '[', ']')}]", 10**6)


@each_build
@pytest.mark.parametrize("value", [b"[]", None, 1, bytearray(b"[]")])
def test_text_of_another_type_is_the_callers_mistake(build: str, value: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "json").loads(value, 128)


@each_build
@pytest.mark.parametrize(("value", "parsed", "blobs"), WRITTEN)
def test_value_is_written_as_what_a_peer_parses(build: str, value: object, parsed: object, blobs: list[bytes]) -> None:
    attachments: list[bytes] = []
    written = codec(build, "json").dumps(value, attachments)
    assert type(written) is bytes
    assert same(json.loads(written), parsed)
    assert attachments == blobs
    assert all(type(blob) is bytes for blob in attachments)


@each_build
@pytest.mark.parametrize(("value", "parsed", "blobs"), WRITTEN)
def test_the_slow_path_writes_as_the_fast_one_does(
    build: str, value: object, parsed: object, blobs: list[bytes]
) -> None:
    attachments: list[bytes] = []
    written = codec(build, "json").dumps([value, LONE], attachments)
    assert same(json.loads(written), [parsed, LONE])
    assert attachments == blobs


@each_build
def test_attachments_are_numbered_behind_those_already_there(build: str) -> None:
    for extra in ([], [LONE]):
        attachments = [b"first"]
        written = codec(build, "json").dumps([b"second", *extra], attachments)
        assert json.loads(written)[0] == {"_placeholder": True, "num": 1}
        assert attachments == [b"first", b"second"]


@each_build
@pytest.mark.parametrize("extra", [[], [LONE]])
def test_each_of_many_attachments_has_its_number(build: str, extra: list[object]) -> None:
    blobs = [b"%d" % number for number in range(100)]
    attachments: list[bytes] = []
    written = codec(build, "json").dumps([*blobs, *extra], attachments)
    assert json.loads(written) == [*({"_placeholder": True, "num": number} for number in range(100)), *extra]
    assert attachments == blobs


@each_build
@pytest.mark.parametrize("levels", [1, 2, 10])
def test_code_of_the_application_may_encode_while_its_data_is_encoded(build: str, levels: int) -> None:
    dumps = codec(build, "json").dumps
    inner = '[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    for _ in range(3):
        attachments: list[bytes] = []
        written = dumps([b"outer", *[Nested(dumps)] * levels, b"last"], attachments)
        assert json.loads(written) == [
            {"_placeholder": True, "num": 0},
            *[{"inner": [inner, 2]}] * levels,
            {"_placeholder": True, "num": 1},
        ]
        assert attachments == [b"outer", b"last"]


@each_build
def test_attachments_are_not_kept(build: str) -> None:
    # What a refused value had is not kept either.
    dumps = codec(build, "json").dumps
    attachments: list[bytes] = []
    before = sys.getrefcount(attachments)
    dumps([b"x"], attachments)
    with pytest.raises(LocalProtocolError):
        dumps([b"x", object()], attachments)
    assert sys.getrefcount(attachments) == before


@each_build
def test_control_characters_are_escaped(build: str) -> None:
    every = "".join(map(chr, range(0x20)))
    for value in (every, every + LONE):
        written = codec(build, "json").dumps([value], [])
        assert not any(byte < 0x20 for byte in written)


@each_build
def test_lone_surrogate_is_written_as_an_escape(build: str) -> None:
    assert codec(build, "json").dumps(["a\udc00é"], []) == b'["a\\udc00\\u00e9"]'


@each_build
def test_what_is_written_has_no_white_space(build: str) -> None:
    assert codec(build, "json").dumps({"a": [1, 2]}, []) == b'{"a":[1,2]}'
    assert codec(build, "json").dumps({"a": [1, 2**70]}, []) == b'{"a":[1,1180591620717411303424]}'


@each_build
def test_value_is_not_changed(build: str) -> None:
    inner: dict[object, object] = {"b": b"x", 1: (b"y",)}
    value = ["e", inner, LONE]
    codec(build, "json").dumps(value, [])
    assert value == ["e", inner, LONE]
    assert inner == {"b": b"x", 1: (b"y",)}


@each_build
@pytest.mark.parametrize("value", UNSENDABLE, ids=lambda value: type(value).__name__)
def test_what_json_has_no_form_for_is_refused_and_leaves_no_attachment(build: str, value: object) -> None:
    for data in (value, [LONE, value]):
        attachments: list[bytes] = [b"before"]
        with pytest.raises(LocalProtocolError):
            codec(build, "json").dumps(data, attachments)
        assert attachments == [b"before"]


@each_build
def test_exception_of_the_applications_code_is_the_cause(build: str) -> None:
    with pytest.raises(LocalProtocolError, match="KeyError") as caught:
        codec(build, "json").dumps([LONE, RaisingItems()], [])
    assert isinstance(caught.value.__cause__, KeyError)


@each_build
def test_nesting_of_254_is_written_on_both_paths(build: str) -> None:
    dumps = codec(build, "json").dumps
    for leaf in (0, LONE):
        assert dumps(deep(254, leaf), []) == b"[" * 254 + json.dumps(leaf).encode() + b"]" * 254
        assert dumps(deep(254, b"x"), []) == b"[" * 254 + b'{"_placeholder":true,"num":0}' + b"]" * 254
        with pytest.raises(LocalProtocolError, match="too deeply"):
            dumps(deep(255, leaf), [])


@each_build
def test_stack_that_is_nearly_used_up_is_no_exception_of_another_kind(build: str) -> None:
    dumps = codec(build, "json").dumps
    outcomes: set[str] = set()

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
            return
        try:
            dumps([LONE, deep(200)], [])
        except LocalProtocolError:
            outcomes.add("refused")
        except RecursionError:
            outcomes.add("escaped")
        else:
            outcomes.add("written")

    for levels in range(50, sys.getrecursionlimit() - 150, 50):
        descend(levels)
    assert "escaped" not in outcomes


@each_build
@pytest.mark.parametrize("value", [None, (), {}])
def test_attachments_that_are_no_list_are_the_callers_mistake(build: str, value: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "json").dumps([], value)


@each_build
@given(JSON_VALUES)
def test_value_is_parsed_as_what_was_written(build: str, value: object) -> None:
    module = codec(build, "json")
    assert same(module.loads(module.dumps(value, []).decode(), 128), value)


@each_build
@given(st.integers(-(2**1024) + 2**970 + 1, 2**1024 - 2**970 - 1))
def test_integer_beyond_64_bits_is_the_nearest_double_on_both_paths(build: str, number: int) -> None:
    loads = codec(build, "json").loads
    expected = number if -(2**63) <= number < 2**64 else float(number)
    assert same(loads(str(number), 1), expected)
    assert same(loads(f"[{LONE_TEXT},{number}]", 1), [LONE, expected])


@each_build
@given(
    st.text(st.characters())
    | st.lists(st.sampled_from([*'[]{}",:\\-+.eE019', "\\u", "d800", "null", "NaN", "1e999", " ", "\x1e"])).map("".join)
)
def test_no_text_makes_the_parser_raise_anything_else(build: str, text: str) -> None:
    try:
        codec(build, "json").loads(text, 4)
    except DecodeError:
        return
    # What is accepted is what the standard library accepts at its strictest.
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
