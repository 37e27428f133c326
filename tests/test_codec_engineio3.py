"""Engine.IO 3 packets and payloads, and the forms of JSONP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siocore.codec import engineio3, jsonp
from siocore.codec.message import BinaryMessage, ControlPacket, Outgoing, TextMessage
from siocore.errors import DecodeError

MIXED = '51-["b",{"_placeholder":true,"num":0},"€😀"]'
ASTRAL = '2["hi","€😀"]'

# What npm's engine.io-parser 2.2.1 writes: messages, payload of text, payload of bytes.
RECORDED: list[tuple[list[str | bytes], bytes, bytes]] = [
    (["4hello"], b"6:4hello", b"\0\6\xff4hello"),
    (["2probe", "1"], b"6:2probe1:1", b"\0\6\xff2probe\0\1\xff1"),
    (["2", "4" + ASTRAL], b"1:214:4" + ASTRAL.encode(), b"\0\1\xff2\0\1\x08\xff4" + ASTRAL.encode()),
    (
        ["4" + MIXED, b"\1\2\3"],
        b"45:4" + MIXED.encode() + b"6:b4AQID",
        b"\0\4\x09\xff4" + MIXED.encode() + b"\1\4\xff\4\1\2\3",
    ),
    ([b""], b"2:b4", b"\1\1\xff\4"),
    (
        ["4" + "x" * 9, b"\xff" * 9],
        b"10:4xxxxxxxxx14:b4////////////",
        b"\0\1\0\xff4xxxxxxxxx\1\1\0\xff\4" + b"\xff" * 9,
    ),
]


def outgoing(messages: list[str | bytes]) -> list[Outgoing]:
    return [
        BinaryMessage(each)
        if isinstance(each, bytes)
        else TextMessage(each[1:].encode(), [])
        if each[0] == "4"
        else ControlPacket(each.encode())
        for each in messages
    ]


def encoded(messages: list[str | bytes], *, binary: bool, json: bool = False) -> bytes:
    return b"".join(each.revision3_payload(binary, json) for each in outgoing(messages))


@pytest.mark.parametrize(("messages", "text", "binary"), RECORDED)
def test_payloads_are_those_of_the_javascript_parser(messages: list[str | bytes], text: bytes, binary: bytes) -> None:
    assert encoded(messages, binary=False) == text
    assert encoded(messages, binary=True) == binary
    assert engineio3.decode_text_payload(text) == (messages, None)
    assert engineio3.decode_binary_payload(binary) == (messages, None)


def test_attachments_follow_their_packet_in_every_form() -> None:
    message = TextMessage(b'51-["b",{"_placeholder":true,"num":0}]', [b"\1\2\3"])
    packet = '451-["b",{"_placeholder":true,"num":0}]'
    assert engineio3.decode_text_payload(message.revision3_payload(False, True)) == ([packet, b"\1\2\3"], None)
    assert engineio3.decode_binary_payload(message.revision3_payload(True, True)) == ([packet, b"\1\2\3"], None)
    assert message.revision3_frames(False) == b"\x81" + bytes([len(packet)]) + packet.encode() + b"\x82\4\4\1\2\3"
    assert message.revision3_frames(True) == b"\x81" + bytes([len(packet)]) + packet.encode() + b"\x81\6b4AQID"


def test_each_form_is_made_once_and_text_has_the_frames_of_revision_4() -> None:
    text, binary = TextMessage(b'2["x"]', []), TextMessage(b'51-["x",{"_placeholder":true,"num":0}]', [b"\0" * 100])
    assert text.revision3_frames(False) is text.frames()
    assert text.revision3_frames(True) is text.frames()
    for form in (False, True):
        assert binary.revision3_frames(form) is binary.revision3_frames(form)
        assert binary.revision3_payload(form, True) is binary.revision3_payload(form, True)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.one_of(st.binary(), st.tuples(st.sampled_from("0123456"), TEXT).map("".join))


@given(st.lists(MESSAGES, min_size=1))
def test_payloads_decode_to_what_was_encoded(messages: list[str | bytes]) -> None:
    assert engineio3.decode_text_payload(encoded(messages, binary=False)) == (messages, None)
    assert engineio3.decode_binary_payload(encoded(messages, binary=True)) == (messages, None)


@given(TEXT)
def test_the_length_of_text_counts_utf16_units(text: str) -> None:
    length, _, packet = encoded(["4" + text], binary=False).partition(b":")
    assert packet == b"4" + text.encode()
    assert int(length) == len(("4" + text).encode("utf-16-le")) // 2


@given(st.sampled_from(["", "/chat,", "/é,"]), st.sampled_from(["", "7"]), TEXT)
def test_text_that_is_json_is_made_ascii_and_stays_the_same_value(namespace: str, ack_id: str, text: str) -> None:
    head = f"2{namespace}{ack_id}"
    packet = "4" + head + json.dumps(["e", text, {text: 1}], ensure_ascii=False)
    (decoded,), fault = engineio3.decode_text_payload(encoded([packet], binary=False, json=True))
    assert fault is None
    assert isinstance(decoded, str)
    assert decoded.startswith("4" + head)
    payload = decoded[len(head) + 1 :]
    assert payload.isascii()
    assert json.loads(payload) == ["e", text, {text: 1}]


BAD_TEXT: list[tuple[bytes, int]] = [
    (b"", 0),
    (b":", 0),
    (b":4x", 0),
    (b"4hello", 0),
    (b"6", 0),
    (b"6:4hell", 0),
    (b"7:4hello", 0),
    (b"5:4hello", 1),  # leaves an "o" that is no length
    (b"6:4hello6", 1),
    (b"6:4hellox", 1),
    (b"-1:4", 0),
    (b"+2:4x", 0),
    (b" 2:4x", 0),
    (b"2 :4x", 0),
    (b"0x2:4x", 0),
    (b"1e1:4xxxxxxxxx", 0),
    (b"2.0:4x", 0),
    (b"2_0:4x", 0),
    ("\u0662:4x".encode(), 0),  # an Arabic 2
    ("\uff12:4x".encode(), 0),
    ("\u3a32:4x".encode(), 0),  # the low byte of U+3A32 is a 2, the high one a colon
    (b"Infinity:4x", 0),
    (b"1" * 19 + b":4x", 0),
    (b"1" * 20 + b":4x", 0),
    (b"9" * 310 + b":4x", 0),
    (b"9" * 1_000_000, 0),
    (b"0" * 30 + b"2:4x", 0),
    (b"1:7", 0),
    (b"1:a", 0),
    (b"1:b", 0),
    (b"2:b3", 0),
    (b"3:b4A", 0),
    (b"6:b4A===", 0),
    (b"7:b4AAAA=", 0),
    (b"6:b4AQ=A", 0),
    (b"6:b4AQ\x00D", 0),
    (b"6:b5AQID", 0),
    ("2:4😀".encode(), 0),  # one unit of two: the length splits a character
    ("3:4😀1:3".encode() + b"1:9", 2),
    (b"2:4\xff", 0),
    (b"2:4\xed\xa0\x80", 0),  # a surrogate on its own
    (b"1:21:21:x1:2", 2),
]


@pytest.mark.parametrize(("body", "before"), BAD_TEXT)
def test_a_payload_of_text_is_decoded_up_to_the_first_bad_packet(body: bytes, before: int) -> None:
    messages, fault = engineio3.decode_text_payload(body)
    assert isinstance(fault, DecodeError)
    assert len(messages) == before


BAD_BINARY: list[tuple[bytes, int]] = [
    (b"", 0),
    (b"\0", 0),
    (b"\0\1", 0),
    (b"\0\xff4x", 0),
    (b"\2\1\xff4", 0),
    (b"\2\2\xff\4x", 0),
    (b"6:4hello", 0),
    (b"\0\2\xff4", 0),  # truncated
    (b"\1\4\xff\4\1\2", 0),
    (b"\0\x0a\xff4hello6789", 0),  # a digit that is none
    (b"\0\1\x31\xff4hello6789", 0),
    (b"\0" + b"\1" * 19 + b"\xff4x", 0),
    (b"\0" + b"\1" * 20 + b"\xff4x", 0),
    (b"\0" + b"\x09" * 310 + b"\xff4x", 0),
    (b"\0" + b"\x09" * 1_000_000, 0),
    (b"\0\0\xff", 0),  # an empty packet
    (b"\1\0\xff", 0),
    (b"\1\1\xff\0", 0),  # OPEN, CLOSE and so on have no binary data
    (b"\1\2\xff\2x", 0),
    (b"\1\2\xff\x07x", 0),
    (b"\1\2\xff\xffx", 0),
    (b"\1\2\xff4x", 0),  # the digit instead of the number
    (b"\0\2\xff\4x", 0),
    (b"\0\2\xff4\xff", 0),
    (b"\0\1\xff2\1\2\xff\4x\0\1\xff9\0\1\xff2", 2),
]


@pytest.mark.parametrize(("body", "before"), BAD_BINARY)
def test_a_payload_of_bytes_is_decoded_up_to_the_first_bad_packet(body: bytes, before: int) -> None:
    messages, fault = engineio3.decode_binary_payload(body)
    assert isinstance(fault, DecodeError)
    assert len(messages) == before


def test_empty_packets_in_a_payload_of_text_are_skipped() -> None:
    assert engineio3.decode_text_payload(b"0:1:20:0:1:3") == (["2", "3"], None)
    assert engineio3.decode_text_payload(b"0:") == ([], None)


PIECES = st.sampled_from(
    [
        b"6:4hello",
        b"1:2",
        b"0:",
        b":",
        b"1",
        b"b4AQID",
        "3:4😀".encode(),
        b"\0\6\xff4hello",
        b"\1\2\xff\4x",
        b"\0",
        b"\1",
    ]
)


@given(st.one_of(st.binary(), st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=8).map(b"".join)))
def test_no_body_makes_the_decoders_raise(body: bytes) -> None:
    for decode in (engineio3.decode_text_payload, engineio3.decode_binary_payload):
        messages, _ = decode(body)
        assert all(isinstance(each, bytes) or each[0] in "0123456" for each in messages)
    if body.startswith(b"d=") and b"&" not in body:
        assert isinstance(jsonp.decode_form(body), bytes)
    else:
        with pytest.raises(DecodeError):
            jsonp.decode_form(body)


@pytest.mark.parametrize("packet", [b"", b"\0", b"\3x", b"\5x", b"4x", b"\xff"])
def test_a_binary_frame_is_a_message_or_refused(packet: bytes) -> None:
    with pytest.raises(DecodeError):
        engineio3.decode_binary_packet(packet)


def test_text_that_was_encoded_twice_is_told_from_text_that_was_not() -> None:
    twice = "€ 😀 é".encode().decode("latin-1")
    assert engineio3.undo_double_encoding(twice) == "€ 😀 é"
    for text in ("€", "😀", "é", "caf\u00e9", "\u00c3", "\u0080\u00c3\u00a9"):
        assert engineio3.undo_double_encoding(text) is None


# JSONP --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "head"),
    [
        ("0", "___eio[0]("),
        ("12", "___eio[12]("),
        ("", "___eio[0]("),
        ("x", "___eio[0]("),
        ("1);alert(1", "___eio[11]("),
        ("-1", "___eio[1]("),
        ("\u0661\u0662", "___eio[0]("),
        ("9" * 1_000_000, "___eio[999999999]("),
    ],
)
def test_nothing_but_the_digits_of_the_index_go_into_the_script(index: str, head: str) -> None:
    assert jsonp.encode_script(index, b"1:6") == f'{head}"1:6");'.encode()


@given(TEXT)
def test_a_script_is_ascii_and_its_argument_the_payload(payload: str) -> None:
    script = jsonp.encode_script("0", payload.encode()).decode("ascii")
    assert script.startswith('___eio[0]("')
    assert script.endswith('");')
    assert json.loads(script[len("___eio[0](") : -2]) == payload
    assert "\n" not in script


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        (b"d=1%3A2", b"1:2"),
        (b"d=1:2", b"1:2"),
        (b"d=4%3A4a+b", b"4:4a b"),
        (b"d=4%3A4a%2Bb", b"4:4a+b"),
        (b"d=%F0%9F%98%80", "😀".encode()),
        (rb"d=a%5Cnb", b"a\nb"),
        (rb"d=a%5C%5Cnb", rb"a\nb"),
        (rb"d=a%5C%5C%5Cnb", rb"a\\nb"),
        (rb"d=%5Cn%5Cn%5C%5Cn", b"\n\n\\n"),
        (b"d=", b""),
        (b"d=%", b"%"),
        (b"d=%zz%4", b"%zz%4"),
    ],
)
def test_a_form_brings_its_payload_without_the_escapes_for_new_lines(form: bytes, payload: bytes) -> None:
    assert jsonp.decode_form(form) == payload


@given(TEXT)
def test_what_the_client_escapes_comes_back(payload: str) -> None:
    # engine.io-client, polling-jsonp: first the escaped new lines, then the new lines themselves.
    area = payload.replace("\\n", "\\\n").replace("\n", "\\n")
    body = "d=" + "".join(f"%{byte:02X}" for byte in area.encode())
    assert jsonp.decode_form(body.encode()) == payload.encode()


@pytest.mark.parametrize("body", [b"", b"d", b"x=1", b"D=1", b"d=1&d=2", b"d=1&x=2", b"&" * 100_000, b"1:2"])
def test_a_form_with_other_fields_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        jsonp.decode_form(body)


LARGE: list[tuple[Any, bytes, int]] = [
    (engineio3.decode_text_payload, b"1:2", 333_333),
    (engineio3.decode_text_payload, b"0:", 0),
    (engineio3.decode_text_payload, "3:4😀".encode(), 142_857),
    (engineio3.decode_binary_payload, b"\0\1\xff2", 250_000),
    (engineio3.decode_binary_payload, b"\1\1\xff\4", 250_000),
]


@pytest.mark.parametrize(("decode", "piece", "count"), LARGE)
def test_the_largest_body_is_decoded_packet_by_packet(decode: Any, piece: bytes, count: int) -> None:
    # With time that grows with the square of the size, none of these would end.
    messages, fault = decode(piece * (1_000_000 // len(piece)))
    assert fault is None
    assert len(messages) == count


@pytest.mark.parametrize(("piece", "decoded"), [(b"%41", b"A"), (b"\\n", b"\n"), (b"\\\\", b"\\\\"), (b"+", b" ")])
def test_the_largest_form_is_decoded(piece: bytes, decoded: bytes) -> None:
    count = 999_998 // len(piece)
    assert jsonp.decode_form(b"d=" + piece * count) == decoded * count
