"""Engine.IO packets and long-polling payloads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_builds import codec, each_build
from siocore.errors import DecodeError

# Engine.IO protocol, "Packet encoding" and "HTTP long-polling", and every type.
PACKETS: list[tuple[str, tuple[int, str | bytes]]] = [
    ('0{"sid":"x"}', (0, '{"sid":"x"}')),
    ("1", (1, "")),
    ("2", (2, "")),
    ("2probe", (2, "probe")),
    ("3", (3, "")),
    ("3probe", (3, "probe")),
    ("4hello", (4, "hello")),
    ("4€😀", (4, "€😀")),
    ("4", (4, "")),
    ("44hello", (4, "4hello")),
    ("5", (5, "")),
    ("6", (6, "")),
    ("b", (4, b"")),
    ("bAQIDBA==", (4, b"\x01\x02\x03\x04")),
    ("bAQID", (4, b"\x01\x02\x03")),
    ("bAQ==", (4, b"\x01")),
    ("bAQI=", (4, b"\x01\x02")),
    ("b+/+/", (4, b"\xfb\xff\xbf")),
]

BAD_PACKETS = [
    "",
    "7",
    "9abc",
    "/",
    ":",
    " ",
    " 4hello",
    "-1",
    "a",
    "B",
    "\x00",
    "\u0664hello",
    "\u00b2",
    "\uff14hello",
    "😀",
    # base64: length, padding, alphabet
    "bA",
    "bAA",
    "bAAA",
    "bAA=",
    "bA===",
    "bAAAA=",
    "bAAAA==",
    "bAAAA===",
    "bAAAA====",
    "b=",
    "b==",
    "b====",
    "bAA=A",
    "bA=A=",
    "bAA==AA==",
    "bAA==AAAA",
    "bAQI\n",
    "bAQID\n",
    "b AQI",
    "bAQ I",
    "b-_-_",
    "bAQI!",
    "bAQIé",
    "bAQI\u0664",
    "bAQI\x00",
    "bhello world",
]


@each_build
@pytest.mark.parametrize(("text", "packet"), PACKETS)
def test_packet_is_decoded_to_its_type_and_data(build: str, text: str, packet: tuple[int, str | bytes]) -> None:
    assert codec(build, "engineio").decode_packet(text) == packet


@each_build
@pytest.mark.parametrize("text", BAD_PACKETS)
def test_bad_packet_is_refused(build: str, text: str) -> None:
    with pytest.raises(DecodeError):
        codec(build, "engineio").decode_packet(text)


@each_build
@pytest.mark.parametrize("value", [b"4hello", bytearray(b"4"), None, 4, ["4"]])
def test_packet_of_another_type_is_the_callers_mistake(build: str, value: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "engineio").decode_packet(value)


@each_build
@pytest.mark.parametrize("text", ["bsecret", "bsecret!!", "secret"])
def test_fault_of_a_packet_does_not_quote_it(build: str, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec(build, "engineio").decode_packet(text)
    assert "secret" not in str(caught.value)


@each_build
@pytest.mark.parametrize(
    ("body", "packets"),
    [
        (b"4hello", ["4hello"]),
        (b"4hello\x1e2\x1ebAQIDBA==", ["4hello", "2", b"\x01\x02\x03\x04"]),
        ("4€\x1e4😀".encode(), ["4€", "4😀"]),
        (b"4\x1e4\x1e4", ["4", "4", "4"]),
        (b"b\x1eb", [b"", b""]),
        (b"0\x1e1\x1e2probe\x1e3\x1e5\x1e6", ["0", "1", "2probe", "3", "5", "6"]),
    ],
)
def test_payload_is_decoded_to_what_a_websocket_would_bring(
    build: str, body: bytes, packets: list[str | bytes]
) -> None:
    assert codec(build, "engineio").decode_payload(body) == (packets, None)


@each_build
@pytest.mark.parametrize("size", [*range(1, 27), 1_000])
@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_text_in_a_payload_is_whole_wherever_it_is_not_ascii(build: str, size: int, letter: str) -> None:
    decode = codec(build, "engineio").decode_payload
    for position in range(1, min(size, 26)):
        text = "4" * position + letter + "x" * (size - position - 1)
        for body, packets in ((text, [text]), (f"{text}\x1e4{text}\x1e2", [text, f"4{text}", "2"])):
            decoded, fault = decode(body.encode())
            assert (decoded, fault) == (packets, None)
            # Strings that say of themselves that they are ASCII, or are not, must be right about it.
            assert [packet.isascii() for packet in decoded] == [all(map(str.isascii, packet)) for packet in packets]
            assert list(map(hash, decoded)) == list(map(hash, packets))


@each_build
def test_bytes_that_are_not_utf8_are_found_at_every_place(build: str) -> None:
    decode = codec(build, "engineio").decode_payload
    for size in range(1, 27):
        for position in range(size):
            packet = bytearray(b"4" * size)
            packet[position] = 0x80
            messages, fault = decode(b"4before\x1e" + packet + b"\x1e4behind")
            assert (messages, str(fault)) == (["4before"], "payload is not UTF-8")


@each_build
@pytest.mark.parametrize(
    ("body", "before"),
    [
        (b"", 0),
        (b"\x1e", 0),
        (b"\x1e4a", 0),
        (b"4a\x1e", 1),
        (b"4a\x1e\x1e4b", 1),
        (b"4a\x1e4b\x1e9\x1e4c", 2),
        (b"4a\x1ebA\x1e4c", 1),
        (b"\x1e" * 100_000, 0),
        (b"4\x1e" * 100_000, 100_000),
        # not UTF-8: a bad byte, a surrogate, an overlong form, a cut sequence; before and behind another fault
        (b"\xff", 0),
        (b"4\xff", 0),
        (b"4a\x1e4\xff\x1e4b", 1),
        (b"4a\x1e4\xed\xa0\x80", 1),
        (b"4a\x1e4\xc0\x9e4b", 1),
        (b"4a\x1e4\xe2\x82", 1),
        (b"4a\x1e4\xe2\x82\x1e4b", 1),
        (b"4a\x1e\xff4b", 1),
        (b"4a\x1e9\x1e4\xff", 1),
        (b"4a\x1e4b\x1e4\xff\x1e9", 2),
        (b"4\xe2\x82\xac\x1e4\xff", 1),
    ],
)
def test_payload_is_decoded_up_to_the_first_bad_packet(build: str, body: bytes, before: int) -> None:
    packets, fault = codec(build, "engineio").decode_payload(body)
    assert len(packets) == before
    assert type(fault) is DecodeError


@each_build
def test_fault_of_a_payload_is_that_of_its_first_bad_packet(build: str) -> None:
    decode = codec(build, "engineio").decode_payload
    assert str(decode(b"4a\x1e9\x1e4\xff")[1]) == "unknown packet type"
    assert str(decode(b"4a\x1e\x1e9")[1]) == "empty packet"
    assert str(decode(b"4a\x1e4\xff\x1e9")[1]) == "payload is not UTF-8"


@each_build
def test_payload_has_no_limit_of_packets(build: str) -> None:
    packets, fault = codec(build, "engineio").decode_payload(b"\x1e".join([b"4a"] * 10_000))
    assert (len(packets), fault) == (10_000, None)


@each_build
@pytest.mark.parametrize("value", ["4hello", bytearray(b"4hello"), memoryview(b"4hello"), None])
def test_payload_of_another_type_is_the_callers_mistake(build: str, value: Any) -> None:
    with pytest.raises(TypeError):
        codec(build, "engineio").decode_payload(value)


@each_build
def test_payload_is_encoded_packets_with_separators(build: str) -> None:
    engineio = codec(build, "engineio")
    assert engineio.encode_payload([b"4hello", b"2", b"bAQIDBA=="]) == b"4hello\x1e2\x1ebAQIDBA=="
    assert engineio.encode_payload([b"6"]) == b"6"
    assert engineio.encode_payload([]) == b""


@each_build
@pytest.mark.parametrize(
    ("data", "packet"),
    [(b"", b"b"), (b"\x01\x02\x03\x04", b"bAQIDBA=="), (b"\xfb\xff\xbf", b"b+/+/"), (b"\x01\x02", b"bAQI=")],
)
def test_binary_packet_is_base64_with_padding_and_without_line_ends(build: str, data: bytes, packet: bytes) -> None:
    engineio = codec(build, "engineio")
    assert engineio.encode_binary_packet(data) == packet
    assert b"\n" not in engineio.encode_binary_packet(data * 1_000)


MESSAGES = st.one_of(
    st.tuples(st.integers(0, 6), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))),
    st.tuples(st.just(4), st.binary()),
)


@each_build
@given(st.lists(MESSAGES, min_size=1))
def test_payload_decodes_to_what_was_encoded(build: str, messages: list[tuple[int, str | bytes]]) -> None:
    engineio = codec(build, "engineio")
    packets = [
        engineio.encode_binary_packet(data) if isinstance(data, bytes) else f"{kind}{data}".encode()
        for kind, data in messages
    ]
    decoded = [data if isinstance(data, bytes) else f"{kind}{data}" for kind, data in messages]
    assert engineio.decode_payload(engineio.encode_payload(packets)) == (decoded, None)


@each_build
@given(
    st.binary() | st.lists(st.sampled_from([b"4", b"\x1e", b"b", b"A", b"=", b"9", b"\xff", b"\xc3\xa9"])).map(b"".join)
)
def test_no_body_makes_the_decoder_raise(build: str, body: bytes) -> None:
    packets, fault = codec(build, "engineio").decode_payload(body)
    assert (fault is None) == (len(packets) == body.count(b"\x1e") + 1)
