"""Socket.IO packets: the protocol's examples, every rule of the decoder, and attachments."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_builds import codec, each_build
from siocore.errors import DecodeError, LocalProtocolError
from siocore.options import Limits
from siocore.packets import SocketPacketType
from socketio_corpus import (
    ACK,
    AT_LIMITS,
    BAD_PACKETS,
    CONNECT,
    CONNECT_ERROR,
    DECODED,
    EVENT,
    EXAMPLES,
    HOLE,
    HOLES,
    IDS,
    LIMITS,
    NAMES,
    NAMESPACES,
    NEARLY_RESERVED,
    PIECES,
    RESERVED,
    UNSENDABLE,
    VALUES,
    fields,
    hole,
)


@each_build
@pytest.mark.parametrize(("text", "packet"), EXAMPLES)
def test_packet_is_encoded_as_the_protocol_says(
    build: str, text: str, packet: tuple[int, str, object, int | None]
) -> None:
    assert codec(build, "socketio").encode_packet(*packet) == (text.encode(), [])


@each_build
@pytest.mark.parametrize(("text", "packet"), [*[(text, (*packet, 0)) for text, packet in EXAMPLES], *DECODED])
def test_packet_is_decoded_as_the_protocol_says(
    build: str, text: str, packet: tuple[int, str, object, int | None, int]
) -> None:
    decode = codec(build, "socketio").decode_socket_packet
    assert fields(decode(text, 0, LIMITS)) == packet
    assert fields(decode("4" + text, 1, LIMITS)) == packet
    assert fields(decode("é,😀" + text, 3, LIMITS)) == packet


@each_build
@pytest.mark.parametrize("text", BAD_PACKETS, ids=lambda text: ascii(text)[:40])
def test_bad_packet_is_refused(build: str, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec(build, "socketio").decode_socket_packet("4" + text, 1, LIMITS)
    assert len(str(caught.value)) < 100


@each_build
@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize(
    "text", ['2["{}"]', '2/admin,1["{}",{{}}]', f'51-["{{}}",{HOLE.replace("{", "{{").replace("}", "}}")}]']
)
def test_reserved_event_is_refused(build: str, name: str, text: str) -> None:
    with pytest.raises(DecodeError, match="reserved"):
        codec(build, "socketio").decode_socket_packet(text.format(name), 0, LIMITS)


@each_build
@pytest.mark.parametrize("name", NEARLY_RESERVED)
def test_name_that_is_nearly_reserved_is_not(build: str, name: str) -> None:
    module = codec(build, "socketio")
    encoded, _ = module.encode_packet(EVENT, "/", [name], None)
    assert module.decode_socket_packet(encoded.decode(), 0, LIMITS).data == [name]


@each_build
@pytest.mark.parametrize(
    ("text", "start"), [("", 0), ("4", 1), ("42", 2), ("42", 9), ('42["a"]', -1), ('42["a"]', -6), ("4", 2**70)]
)
def test_nothing_at_the_start_is_an_empty_packet(build: str, text: str, start: int) -> None:
    with pytest.raises(DecodeError, match="empty"):
        codec(build, "socketio").decode_socket_packet(text, start, LIMITS)


@each_build
@pytest.mark.parametrize(
    ("text", "start"), [(b'42["a"]', 1), (None, 0), ('2["a"]', "0"), ('2["a"]', 0.0), ('2["a"]', None)]
)
def test_arguments_of_other_types_are_the_callers_mistake(build: str, text: Any, start: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "socketio").decode_socket_packet(text, start, LIMITS)


@each_build
@pytest.mark.parametrize(("limits", "legal", "illegal"), AT_LIMITS, ids=range(len(AT_LIMITS)))
def test_packet_at_a_limit_is_taken_and_one_over_is_refused(
    build: str, limits: Limits, legal: str, illegal: str
) -> None:
    decode = codec(build, "socketio").decode_socket_packet
    decode(legal, 0, limits)
    with pytest.raises(DecodeError):
        decode(illegal, 0, limits)


@each_build
def test_each_packet_is_held_to_the_limits_that_came_with_it(build: str) -> None:
    module = codec(build, "socketio")
    decode = module.decode_socket_packet
    texts = [f'2/{"n" * 9},["{"e" * 9}"]', f'52-["e",{HOLES[0]},{HOLES[1]}]', '2["e",[[]]]']
    strict = Limits(max_attachments=1, max_json_depth=2, max_namespace_length=9, max_event_name=9, max_payload=1)
    for _ in range(2):
        for text in texts:
            decode(text, 0, LIMITS)
            with pytest.raises(DecodeError):
                decode(text, 0, strict)
        packet = decode(f'51-["e",{HOLE}]', 0, LIMITS)
        with pytest.raises(DecodeError):
            module.Reconstructor(packet, strict).add(b"ab")
        assert module.Reconstructor(packet, LIMITS).add(b"ab")


@each_build
def test_limits_may_be_larger_than_any_text(build: str) -> None:
    module = codec(build, "socketio")
    limits = Limits(
        **dict.fromkeys(["max_attachments", "max_json_depth", "max_event_name", "max_payload"], sys.maxsize)
    )
    data = ["e" * 1_000, hole(), *[[]] * 1_000]
    packet = module.decode_socket_packet(f"51-{json.dumps(data)}", 0, limits)
    assert module.Reconstructor(packet, limits).add(b"ab" * 1_000)
    assert packet.data == [data[0], b"ab" * 1_000, *data[2:]]
    name = "/" + "n" * 1_000
    assert module.decode_socket_packet(f"0{name}", 0, Limits(max_namespace_length=sys.maxsize)).namespace == name


@each_build
def test_name_that_is_a_number_has_no_length(build: str) -> None:
    packet = codec(build, "socketio").decode_socket_packet("2[123456]", 0, Limits(max_event_name=1))
    assert packet.data == [123456]


# Attachments


@each_build
@pytest.mark.parametrize(
    ("packet", "text", "blobs"),
    [
        ((EVENT, "/", ["baz", b"\x01"], None), f'51-["baz",{HOLE}]', [b"\x01"]),
        ((EVENT, "/admin", ["baz", b"\x01"], 12), f'51-/admin,12["baz",{HOLE}]', [b"\x01"]),
        ((EVENT, "/", ["baz", b""], 0), f'51-0["baz",{HOLE}]', [b""]),
        ((ACK, "/", [b"\x01"], 15), f"61-15[{HOLE}]", [b"\x01"]),
        ((ACK, "/admin", (bytearray(b"\x01"),), 15), f"61-/admin,15[{HOLE}]", [b"\x01"]),
        (
            (EVENT, "/", ["e", {"a": [b"1", {"b": memoryview(b"2")}]}, b"3"], None),
            f'53-["e",{{"a":[{HOLES[0]},{{"b":{HOLES[1]}}}]}},{HOLES[2]}]',
            [b"1", b"2", b"3"],
        ),
        ((EVENT, "/", ["e", *[b"x"] * 11], None), None, [b"x"] * 11),
    ],
)
def test_binary_data_becomes_attachments_in_document_order(
    build: str, packet: tuple[Any, ...], text: str | None, blobs: list[bytes]
) -> None:
    encoded, attachments = codec(build, "socketio").encode_packet(*packet)
    assert attachments == blobs
    if text is not None:
        assert encoded == text.encode()


def reconstruct(build: str, text: str, blobs: list[bytes], limits: Limits = LIMITS) -> Any:
    module = codec(build, "socketio")
    packet = module.decode_socket_packet(text, 0, limits)
    reconstructor = module.Reconstructor(packet, limits)
    for left in range(len(blobs) - 1, -1, -1):
        assert reconstructor.add(blobs[len(blobs) - 1 - left]) is (left == 0)
        assert packet.attachments == left
    return packet.data


@each_build
@pytest.mark.parametrize(
    ("data", "blobs", "complete"),
    [
        (["e", hole()], [b"a"], ["e", b"a"]),
        (["e", hole(1), hole(0)], [b"a", b"b"], ["e", b"b", b"a"]),
        (["e", {"a": [1, {"b": hole(0)}], "c": hole(1)}], [b"a", b"b"], ["e", {"a": [1, {"b": b"a"}], "c": b"b"}]),
        (["e", [[hole(0)], {}, [], None]], [b""], ["e", [[b""], {}, [], None]]),
        # as socket.io-parser has it: one attachment in two places, one in none, more keys, other kinds of truth
        (["e", hole(0), hole(0)], [b"a", b"b"], ["e", b"a", b"a"]),
        (["e"], [b"a"], ["e"]),
        (["e", {**hole(0), "x": 1}], [b"a"], ["e", b"a"]),
        (["e", {"_placeholder": 1, "num": 9}], [b"a"], ["e", {"_placeholder": 1, "num": 9}]),
        (["e", {"_placeholder": "true", "num": 9}], [b"a"], ["e", {"_placeholder": "true", "num": 9}]),
        (["e", {"_placeholder": False, "num": hole(0)}], [b"a"], ["e", {"_placeholder": False, "num": b"a"}]),
        (["e", {"num": 0}], [b"a"], ["e", {"num": 0}]),
    ],
)
def test_placeholders_are_replaced_by_their_attachments(
    build: str, data: object, blobs: list[bytes], complete: object
) -> None:
    text = f"5{len(blobs)}-{json.dumps(data)}"
    assert reconstruct(build, text, blobs) == complete


@each_build
@pytest.mark.parametrize(
    "num",
    [
        '"splice"',
        '"0"',
        "-1",
        "1",
        "10",
        "0.5",
        "0.0",
        "0e0",
        "1e0",
        "true",
        "false",
        "null",
        "[0]",
        "{}",
        str(2**53),
        "1e308",
    ],
)
@pytest.mark.parametrize("where", ['["e",{}]', '["e",[1,{{"a":[{}]}}]]'])
def test_placeholder_that_names_no_attachment_is_refused(build: str, num: str, where: str) -> None:
    data = where.format('{"_placeholder":true,"num":' + num + "}")
    with pytest.raises(DecodeError, match="placeholder"):
        reconstruct(build, f"51-{data}", [b"ab"])


@each_build
def test_placeholder_without_a_number_is_refused(build: str) -> None:
    with pytest.raises(DecodeError, match="placeholder"):
        reconstruct(build, '51-["e",{"_placeholder":true}]', [b"ab"])


@each_build
def test_placeholder_in_a_packet_without_attachments_is_data(build: str) -> None:
    packet = codec(build, "socketio").decode_socket_packet('2["e",{"_placeholder":true,"num":-1}]', 0, LIMITS)
    assert packet.data == ["e", hole(-1)]


@each_build
def test_attachments_are_bounded_together_by_max_payload(build: str) -> None:
    limits = Limits(max_payload=10)
    text = '53-["e"]'
    reconstruct(build, text, [b"1234", b"", b"567890"], limits)
    with pytest.raises(DecodeError, match="too large"):
        reconstruct(build, text, [b"1234", b"", b"5678901"], limits)
    with pytest.raises(DecodeError, match="too large"):
        reconstruct(build, '51-["e"]', [b"12345678901"], limits)


@each_build
def test_attachment_that_is_not_due_is_refused(build: str) -> None:
    module = codec(build, "socketio")
    reconstructor = module.Reconstructor(module.decode_socket_packet(f'51-["e",{HOLE}]', 0, LIMITS), LIMITS)
    assert reconstructor.add(b"a")
    with pytest.raises(DecodeError, match="unexpected"):
        reconstructor.add(b"b")
    assert reconstructor.packet.data == ["e", b"a"]
    with pytest.raises(DecodeError, match="unexpected"):
        module.Reconstructor(module.decode_socket_packet('2["e"]', 0, LIMITS), LIMITS).add(b"a")


@each_build
def test_data_as_deep_as_the_limit_allows_is_reconstructed(build: str) -> None:
    limits = Limits(max_json_depth=1_000)
    text = '51-["e",' + "[" * 997 + HOLE + "]" * 997 + "]"
    data = reconstruct(build, text, [b"a"], limits)
    for _ in range(997):
        data = data[-1]
    assert data == [b"a"]


@each_build
@pytest.mark.parametrize("data", ["text", bytearray(b"a"), memoryview(b"a"), None, 1])
def test_attachment_of_another_type_is_the_callers_mistake(build: str, data: Any) -> None:
    module = codec(build, "socketio")
    reconstructor = module.Reconstructor(module.decode_socket_packet(f'51-["e",{HOLE}]', 0, LIMITS), LIMITS)
    with pytest.raises(TypeError):
        reconstructor.add(data)


@each_build
@pytest.mark.parametrize("packet", [None, "packet", object()])
def test_packet_of_another_type_is_the_callers_mistake(build: str, packet: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "socketio").Reconstructor(packet, LIMITS)


# Encoding


@each_build
@pytest.mark.parametrize("packet", UNSENDABLE, ids=range(len(UNSENDABLE)))
def test_what_a_peer_would_not_take_is_not_sent(build: str, packet: tuple[Any, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        codec(build, "socketio").encode_packet(*packet)


@each_build
@pytest.mark.parametrize(
    "data",
    [
        ["e", hole(0)],
        ["e", b"x", '{"_placeholder":true}'],
        ["e", b"x", {"_placeholder": False}, {"_placeholder": 1}, "_placeholder", {"a": "_placeholder"}],
        ["_", b"x", {"_": "_", "__placeholder": True, "_placeholder_": True, "_placeholde": True}, "_" * 100, "_"],
        ["e", b"x", {"placeholder": True, "_placeholder": "true"}, {'"_placeholder"': True}],
    ],
)
def test_data_that_is_no_placeholder_to_the_receiver_is_sent(build: str, data: list[Any]) -> None:
    module = codec(build, "socketio")
    encoded, attachments = module.encode_packet(EVENT, "/", data, None)
    packet = module.decode_socket_packet(encoded.decode(), 0, LIMITS)
    if attachments:
        assert module.Reconstructor(packet, LIMITS).add(attachments[0])
    assert packet.data == data


@each_build
@pytest.mark.parametrize("kind", [SocketPacketType.EVENT, SocketPacketType.ACK])
def test_members_of_the_enumeration_are_types(build: str, kind: SocketPacketType) -> None:
    encode = codec(build, "socketio").encode_packet
    assert encode(kind, "/", ["e"], 1) == encode(int(kind), "/", ["e"], 1)
    assert encode(kind, "/", ["e", b"x"], 1) == encode(int(kind), "/", ["e", b"x"], 1)


class Number(int):
    def __repr__(self) -> str:
        return "not a number"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"

    __format__ = __repr__ = __str__  # type: ignore[assignment]


@each_build
def test_text_of_a_subclass_is_written_as_it_is(build: str) -> None:
    encode = codec(build, "socketio").encode_packet
    assert encode(EVENT, Text("/é"), [Text("e")], None) == ('2/é,["e"]'.encode(), [])
    assert encode(EVENT, Text("/"), [Text("e")], None) == (b'2["e"]', [])
    with pytest.raises(LocalProtocolError, match="reserved"):
        encode(EVENT, "/", [Text("connect")], None)


@each_build
@pytest.mark.parametrize("number", [0, 9, 10, 99, 100, 10**15 - 1, 10**15, 2**53 - 1])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 99, 100])
@pytest.mark.parametrize("namespace", ["/", "/a", "/é€😀"])
def test_numbers_of_any_length_are_written_whole(build: str, number: int, count: int, namespace: str) -> None:
    encoded, attachments = codec(build, "socketio").encode_packet(ACK, namespace, [b"x"] * count, number)
    head, _, data = encoded.decode().partition("[")
    assert head == ("3" if count == 0 else f"6{count}-") + ("" if namespace == "/" else f"{namespace},") + f"{number}"
    assert json.loads("[" + data) == [hole(each) for each in range(count)]
    assert attachments == [b"x"] * count


@each_build
def test_numbers_of_a_subclass_are_written_as_numbers(build: str) -> None:
    encode = codec(build, "socketio").encode_packet
    assert encode(Number(ACK), "/", [], Number(5)) == (b"35[]", [])
    assert encode(Number(ACK), "/", [b"x"], Number(5))[0].startswith(b"61-5[")


@each_build
def test_encoding_leaves_the_data_alone(build: str) -> None:
    inner = {"a": [b"x", (b"y",)]}
    data = ["e", inner, "\ud800"]
    codec(build, "socketio").encode_packet(EVENT, "/", data, None)
    assert data == ["e", {"a": [b"x", (b"y",)]}, "\ud800"]
    assert data[1] is inner


@each_build
def test_text_never_holds_the_payload_separator(build: str) -> None:
    encode = codec(build, "socketio").encode_packet
    assert b"\x1e" not in encode(EVENT, "/", ["a\x1e4b", {"\x1e": "\x1e"}], None)[0]
    assert b"\x1e" not in encode(CONNECT_ERROR, "/", "\x1e\ud800", None)[0]


@each_build
def test_packet_is_shown_without_its_data_and_shortened(build: str) -> None:
    packet = codec(build, "socketio").Packet(EVENT, "/" + "a" * 10_000, ["secret"], 7)
    assert "secret" not in repr(packet)
    assert len(repr(packet)) < 300


@each_build
def test_packet_has_defaults(build: str) -> None:
    assert fields(codec(build, "socketio").Packet(CONNECT)) == (CONNECT, "/", None, None, 0)


@each_build
@given(NAMES | st.integers(-(2**53), 2**53), st.lists(VALUES, max_size=3), NAMESPACES, IDS)
def test_event_is_decoded_as_what_was_encoded(
    build: str, name: str | int, args: list[object], namespace: str, id: int | None
) -> None:
    module = codec(build, "socketio")
    limits = Limits(max_attachments=1_000)
    encoded, attachments = module.encode_packet(EVENT, namespace, [name, *args], id)
    packet = module.decode_socket_packet(encoded.decode(), 0, limits)
    assert packet.attachments == len(attachments)
    reconstructor = module.Reconstructor(packet, limits)
    for attachment in attachments:
        complete = reconstructor.add(attachment)
    assert not attachments or complete
    assert fields(packet) == (EVENT, namespace, [name, *args], id, 0)


@each_build
@given(PIECES | st.text(), st.lists(st.binary(max_size=3), max_size=3))
def test_no_text_makes_the_decoder_raise_anything_else(build: str, text: str, blobs: list[bytes]) -> None:
    module = codec(build, "socketio")
    try:
        packet = module.decode_socket_packet(text, 0, LIMITS)
        reconstructor = module.Reconstructor(packet, LIMITS)
        for blob in blobs:
            reconstructor.add(blob)
    except DecodeError:
        return
    assert packet.type in range(5)
