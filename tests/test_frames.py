"""The two implementations of siocore.codec.frames: right by RFC 6455, right by wsproto, and equal."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from client_frames import BINARY, CONTINUATION, KEY, PING, TEXT, client_frame
from siocore.codec import frames as pure

IMPLEMENTATIONS: list[ModuleType] = [pure]
if importlib.util.find_spec("siocore._speedups._frames") is not None:
    IMPLEMENTATIONS.append(importlib.import_module("siocore._speedups._frames"))

each_implementation = pytest.mark.parametrize(
    "frames", IMPLEMENTATIONS, ids=lambda module: "python" if module is pure else "cython"
)
needs_both = pytest.mark.skipif(len(IMPLEMENTATIONS) < 2, reason="the compiled modules were not built")

NO_LIMIT = 1 << 40
LENGTHS = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 1_000, 65_535, 65_536, 70_001]

# Valid and invalid UTF-8: overlong forms, surrogates, above U+10FFFF, lone continuation bytes, cut sequences.
BAD_UTF8 = [
    b"\xff",
    b"\xfe",
    b"\x80",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xce",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
]
GOOD_UTF8 = [
    "",
    "a",
    "3",
    "é",
    "κόσμε",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\U0001f600",
    "\U0010ffff",
    "a" * 200 + "€",
    "\0",
]


def parse(frames: ModuleType, data: bytes | bytearray, start: int = 0, limit: int = NO_LIMIT) -> tuple[int, list[Any]]:
    out: list[str | bytes] = []
    return frames.parse_frames(data, start, limit, out), out


def parse_unmasked(
    frames: ModuleType, data: bytes | bytearray, start: int = 0, limit: int = NO_LIMIT
) -> tuple[int, list[Any]]:
    out: list[str | bytes] = []
    return frames.parse_unmasked_frames(data, start, limit, out), out


def outcome(function: Any, *args: object) -> object:
    """What a call returns, or the type of what it raises; and what it did to a list among its arguments."""
    lists = [arg for arg in args if type(arg) is list]
    try:
        return function(*args), lists
    except Exception as exc:
        return type(exc), lists


# --- writing ---------------------------------------------------------------------------------------------------------


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
def test_written_frames_are_what_wsproto_client_reads(frames: ModuleType, length: int) -> None:
    text, data = b"t" * length, b"\xff" * length
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frames.text_frame(text) + frames.binary_frame(data))
    first, second = client.events()
    assert isinstance(first, TextMessage)
    assert isinstance(second, BytesMessage)
    assert (first.data, second.data) == (text.decode(), data)
    assert first.message_finished
    assert second.message_finished


@each_implementation
def test_written_headers_are_those_of_the_rfc(frames: ModuleType) -> None:
    assert frames.text_frame(b"Hello") == bytes.fromhex("8105") + b"Hello"
    assert frames.binary_frame(b"x" * 256)[:4] == bytes.fromhex("827e0100")
    assert frames.binary_frame(b"x" * 65_536)[:10] == bytes.fromhex("827f0000000000010000")


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
def test_message_and_attachments_share_one_buffer(frames: ModuleType, length: int) -> None:
    text, attachments = b"x" * length, [b"", b"a" * length, b"b"]
    expected = frames.text_frame(b"4" + text) + b"".join(map(frames.binary_frame, attachments))
    assert frames.message_frames(text, attachments) == expected
    assert frames.message_frames(text, []) == frames.text_frame(b"4" + text)


@each_implementation
@pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), memoryview(b"x"), None, 5, [b"x"]])
def test_only_bytes_are_framed(frames: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError):
        frames.text_frame(wrong)
    with pytest.raises(TypeError):
        frames.binary_frame(wrong)
    with pytest.raises(TypeError):
        frames.message_frames(wrong, [])
    with pytest.raises(TypeError):
        frames.message_frames(b"x", [b"y", wrong])
    with pytest.raises(TypeError):
        frames.message_frames(b"x", (b"y",))


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("key", [KEY, b"\0\0\0\0", b"\xff\x80\x7f\x01"])
def test_masked_frames_are_those_of_a_client(frames: ModuleType, length: int, key: bytes) -> None:
    payload = (bytes(range(256)) * (length // 256 + 1))[:length]
    assert frames.masked_text_frame(payload, key) == client_frame(TEXT, payload, key=key)
    assert frames.masked_binary_frame(payload, key) == client_frame(BINARY, payload, key=key)


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
def test_masked_message_and_attachments_share_one_buffer(frames: ModuleType, length: int) -> None:
    text, attachments = b"x" * length, [b"", bytes(range(200)) * (length // 200), b"b"]
    keys = b"\x01\x02\x03\x04\xff\xfe\xfd\xfc\x80\x81\x82\x83\x10\x20\x30\x40"
    expected = client_frame(TEXT, b"4" + text, key=keys[:4])
    assert frames.masked_message_frames(text, [], keys[:4]) == expected
    for at, attachment in enumerate(attachments, 1):
        expected += client_frame(BINARY, attachment, key=keys[4 * at : 4 * at + 4])
    assert frames.masked_message_frames(text, attachments, keys) == expected


@each_implementation
def test_masked_frames_need_bytes_and_a_key_for_each(frames: ModuleType) -> None:
    for wrong in ("text", bytearray(b"x"), memoryview(b"x"), None, 5):
        with pytest.raises(TypeError):
            frames.masked_text_frame(wrong, KEY)
        with pytest.raises(TypeError):
            frames.masked_binary_frame(b"x", wrong)
        with pytest.raises(TypeError):
            frames.masked_message_frames(b"x", [wrong], KEY * 2)
        with pytest.raises(TypeError):
            frames.masked_message_frames(b"x", [], wrong)
    with pytest.raises(TypeError):
        frames.masked_message_frames(b"x", (b"y",), KEY * 2)
    for key in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="4 bytes"):
            frames.masked_text_frame(b"x", key)
        with pytest.raises(ValueError, match="4 bytes"):
            frames.masked_binary_frame(b"x", key)
    for keys in (KEY, KEY * 3):
        with pytest.raises(ValueError, match="8 bytes"):
            frames.masked_message_frames(b"x", [b"y"], keys)


# --- reading ---------------------------------------------------------------------------------------------------------


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("make", [bytes, bytearray])
def test_common_frames_are_consumed(frames: ModuleType, length: int, make: type[bytes]) -> None:
    text, data = "t" * length, bytes(range(256)) * (length // 256) + bytes(range(length % 256))
    stream = client_frame(TEXT, text.encode()) + client_frame(BINARY, data, key=b"\0\xff\x80\x01")
    assert parse(frames, make(stream)) == (len(stream), [text, data])


@each_implementation
@pytest.mark.parametrize("text", GOOD_UTF8)
def test_valid_text_is_decoded(frames: ModuleType, text: str) -> None:
    stream = client_frame(TEXT, text.encode())
    position, [message] = parse(frames, stream)
    assert position == len(stream)
    assert message == text
    assert hash(message) == hash(text)
    assert message.isascii() == text.isascii()


@each_implementation
@pytest.mark.parametrize("bad", BAD_UTF8)
@pytest.mark.parametrize("padding", [0, 1, 7, 8, 200])
def test_bad_text_is_left_where_it_is(frames: ModuleType, bad: bytes, padding: int) -> None:
    good = client_frame(TEXT, b"good")
    for payload in (b"a" * padding + bad, bad + b"a" * padding if padding else bad):
        assert parse(frames, good + client_frame(TEXT, payload) + good) == (len(good), ["good"])


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
def test_incomplete_frame_is_left(frames: ModuleType, length: int) -> None:
    first, second = client_frame(TEXT, b"one"), client_frame(BINARY, b"x" * length)
    cuts = range(len(second)) if length < 200 else [*range(20), len(second) // 2, len(second) - 1]
    for cut in cuts:
        assert parse(frames, first + second[:cut]) == (len(first), ["one"])


@each_implementation
@pytest.mark.parametrize(
    "frame",
    [
        client_frame(TEXT, b"a", fin=False),
        client_frame(CONTINUATION, b"a"),
        client_frame(PING, b"a"),
        client_frame(0x8, b""),
        client_frame(0xA, b"a"),
        client_frame(0x3, b"a"),
        client_frame(TEXT, b"a", rsv=1),
        client_frame(TEXT, b"a", rsv=2),
        client_frame(BINARY, b"a", rsv=4),
        client_frame(TEXT, b"abcdef", key=None),
        client_frame(TEXT, b"a" * 126, key=None),
        client_frame(TEXT, b"a" * 125, width=2),
        client_frame(TEXT, b"a", width=8),
        client_frame(BINARY, b"a" * 0xFFFF, width=8),
        client_frame(BINARY, b"a" * 100, declared=1 << 63),
        client_frame(BINARY, b"a" * 100, declared=(1 << 64) - 1),
        client_frame(BINARY, b"a" * 100, declared=(1 << 64) - 14),
        client_frame(BINARY, b"a" * 100, declared=(1 << 63) - 1),
    ],
)
def test_uncommon_frame_is_left(frames: ModuleType, frame: bytes) -> None:
    good = client_frame(BINARY, b"good")
    assert parse(frames, good + frame + good) == (len(good), [b"good"])


@each_implementation
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("make", [bytes, bytearray])
def test_common_frames_of_a_server_are_consumed(frames: ModuleType, length: int, make: type[bytes]) -> None:
    text, data = "t" * length, (bytes(range(256)) * (length // 256 + 1))[:length]
    stream = frames.text_frame(text.encode()) + frames.binary_frame(data)
    position, messages = parse_unmasked(frames, make(stream))
    assert (position, messages) == (len(stream), [text, data])
    assert type(messages[1]) is bytes
    cuts = range(len(stream)) if length < 200 else [*range(20), len(stream) // 2 + 5, len(stream) - 1]
    first = len(stream) // 2
    for cut in cuts:
        assert parse_unmasked(frames, stream[:cut]) == ((first, [text]) if cut >= first else (0, []))


@each_implementation
@pytest.mark.parametrize("bad", BAD_UTF8)
def test_bad_text_of_a_server_is_left_where_it_is(frames: ModuleType, bad: bytes) -> None:
    good = frames.text_frame(b"good")
    for payload in (b"a" * 200 + bad, bad + b"a" * 7, bad):
        assert parse_unmasked(frames, good + frames.text_frame(payload) + good) == (len(good), ["good"])


@each_implementation
@pytest.mark.parametrize(
    "frame",
    [
        client_frame(TEXT, b"a", key=None, fin=False),
        client_frame(CONTINUATION, b"a", key=None),
        client_frame(PING, b"a", key=None),
        client_frame(TEXT, b"a", key=None, rsv=4),
        client_frame(TEXT, b"abcdef"),
        client_frame(TEXT, b""),
        client_frame(TEXT, b"a" * 126),
        client_frame(BINARY, b"a" * 70_000),
        client_frame(TEXT, b"a" * 125, key=None, width=2),
        client_frame(TEXT, b"a", key=None, width=8),
        client_frame(BINARY, b"a" * 0xFFFF, key=None, width=8),
        client_frame(BINARY, b"a" * 100, key=None, declared=1 << 63),
        client_frame(BINARY, b"a" * 100, key=None, declared=(1 << 64) - 1),
        client_frame(BINARY, b"a" * 100, key=None, declared=(1 << 64) - 10),
        client_frame(BINARY, b"a" * 100, key=None, declared=(1 << 63) - 1),
    ],
)
def test_uncommon_frame_of_a_server_is_left(frames: ModuleType, frame: bytes) -> None:
    good = frames.binary_frame(b"good")
    assert parse_unmasked(frames, good + frame + good) == (len(good), [b"good"])


@each_implementation
@pytest.mark.parametrize("limit", [0, 1, 125, 126, 1_000, 65_535, 65_536])
def test_largest_payload_of_a_server_is_parsed_and_one_more_byte_is_not(frames: ModuleType, limit: int) -> None:
    fits, over = frames.binary_frame(b"x" * limit), frames.binary_frame(b"x" * (limit + 1))
    assert parse_unmasked(frames, fits, limit=limit) == (len(fits), [b"x" * limit])
    assert parse_unmasked(frames, over, limit=limit) == (0, [])
    assert parse_unmasked(frames, b"\xff\xff" + fits, start=2) == (2 + len(fits), [b"x" * limit])


@each_implementation
@pytest.mark.parametrize("limit", [0, 1, 125, 126, 1_000, 65_535, 65_536])
def test_largest_payload_is_parsed_and_one_more_byte_is_not(frames: ModuleType, limit: int) -> None:
    fits, over = client_frame(BINARY, b"x" * limit), client_frame(BINARY, b"x" * (limit + 1))
    assert parse(frames, fits, limit=limit) == (len(fits), [b"x" * limit])
    assert parse(frames, over, limit=limit) == (0, [])


@each_implementation
@pytest.mark.parametrize("limit", [1 << 31, (1 << 32) + 1, sys.maxsize])
def test_large_limits_are_not_truncated(frames: ModuleType, limit: int) -> None:
    frame = client_frame(TEXT, b"abc")
    assert parse(frames, frame, limit=limit) == (len(frame), ["abc"])


@each_implementation
def test_parsing_starts_where_it_is_told(frames: ModuleType) -> None:
    frame = client_frame(TEXT, b"abc")
    assert parse(frames, b"\xff\xff" + frame, start=2) == (2 + len(frame), ["abc"])
    assert parse(frames, frame, start=len(frame)) == (len(frame), [])
    assert parse(frames, frame, start=len(frame) + 5) == (len(frame) + 5, [])
    assert parse(frames, b"", start=0) == (0, [])


class ListOfOurs(list[object]):
    pass


class BytesOfOurs(bytes):
    pass


@each_implementation
@pytest.mark.parametrize("wrong", ["text", memoryview(b"abcd"), BytesOfOurs(b"abcd"), None, 5, [b"abcd"]])
def test_only_bytes_are_read(frames: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError):
        frames.apply_mask(wrong, b"abcd", 0)
    for parser in (frames.parse_frames, frames.parse_unmasked_frames):
        with pytest.raises(TypeError):
            parser(wrong, 0, 100, [])
        if not isinstance(wrong, int):
            with pytest.raises(TypeError):
                parser(b"", wrong, 100, [])
            with pytest.raises(TypeError):
                parser(b"", 0, wrong, [])
    if not isinstance(wrong, int):
        with pytest.raises(TypeError):
            frames.apply_mask(b"", b"abcd", wrong)


@each_implementation
def test_messages_go_to_a_list(frames: ModuleType) -> None:
    for wrong in ((), None, ListOfOurs(), bytearray()):
        with pytest.raises(TypeError):
            frames.parse_frames(b"", 0, 100, wrong)
        with pytest.raises(TypeError):
            frames.parse_unmasked_frames(b"", 0, 100, wrong)


@each_implementation
def test_numbers_out_of_range_are_refused(frames: ModuleType) -> None:
    for number, error in ((-1, ValueError), (sys.maxsize + 1, OverflowError), (-sys.maxsize - 2, OverflowError)):
        for parser in (frames.parse_frames, frames.parse_unmasked_frames):
            with pytest.raises(error):
                parser(b"", number, 100, [])
            with pytest.raises(error):
                parser(b"", 0, number, [])
        with pytest.raises(error):
            frames.apply_mask(b"", b"abcd", number)
    for key in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="4 bytes"):
            frames.apply_mask(b"", key, 0)


@each_implementation
def test_received_binary_is_a_copy(frames: ModuleType) -> None:
    buffer = bytearray(client_frame(BINARY, b"abc") + client_frame(TEXT, b"def"))
    _, messages = parse(frames, buffer)
    buffer[:] = bytes(len(buffer))
    buffer.clear()  # a view into it would make this a BufferError
    assert messages == [b"abc", "def"]


@each_implementation
def test_masking_follows_the_offset(frames: ModuleType) -> None:
    key, data = b"\x01\x02\x04\x80", bytes(range(50))
    for offset in range(9):
        expected = bytes(byte ^ key[(offset + i) % 4] for i, byte in enumerate(data))
        assert frames.apply_mask(data, key, offset) == expected
        assert frames.apply_mask(bytearray(data), key, offset) == expected
        assert frames.apply_mask(expected, key, offset + 4) == data
    assert frames.apply_mask(b"", key, 3) == b""


# --- both ------------------------------------------------------------------------------------------------------------


@st.composite
def frame_streams(draw: st.DrawFn) -> bytes:
    """Mostly common frames, with anything else between them, cut anywhere."""
    parts = []
    masks = [b"\0\0\0\0", b"\x37\xfa\x21\x3d", b"\xff\x80\x7f\x01", None]
    # Of a client, with one unmasked frame now and then, or of a server, the other way round.
    keys = draw(st.sampled_from([masks, [None, None, None, KEY]]))
    for _ in range(draw(st.integers(0, 6))):
        payload = draw(
            st.one_of(
                st.text(max_size=40).map(str.encode),
                st.binary(max_size=40),
                st.sampled_from([b"x" * 125, b"x" * 126, b"\xc3\xa9" * 80, *BAD_UTF8]),
            )
        )
        width = draw(st.sampled_from([None, None, None, 2, 8]))
        parts.append(
            client_frame(
                draw(st.sampled_from([TEXT, TEXT, BINARY, CONTINUATION, PING, 0x8, 0xB])),
                payload,
                fin=draw(st.sampled_from([True, True, True, False])),
                rsv=draw(st.sampled_from([0, 0, 0, 0, 1, 4])),
                key=draw(st.sampled_from(keys)),
                width=width if width is not None else None,
            )
        )
    stream = b"".join(parts)
    return draw(st.sampled_from([stream, stream, stream[: draw(st.integers(0, len(stream)))]]))


streams = st.one_of(frame_streams(), st.binary(max_size=60))


@each_implementation
@given(stream=frame_streams(), data=st.data())
def test_any_split_gives_the_same_messages(frames: ModuleType, stream: bytes, data: st.DataObject) -> None:
    whole_position, whole = parse(frames, stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    position, messages = 0, []
    for cut in [*cuts, len(stream)]:
        position, found = parse(frames, stream[:cut], start=position)
        messages += found
    assert (position, messages) == (whole_position, whole)


@each_implementation
@given(stream=streams)
def test_what_is_parsed_is_what_wsproto_reads(frames: ModuleType, stream: bytes) -> None:
    position, messages = parse(frames, stream)
    server = Connection(ConnectionType.SERVER)
    server.receive_data(stream[:position])
    read = []
    for event in server.events():
        assert isinstance(event, (TextMessage, BytesMessage))
        assert event.frame_finished
        assert event.message_finished
        read.append(event.data)
    assert messages == read


@each_implementation
@given(stream=streams)
def test_what_is_parsed_of_a_server_is_what_wsproto_reads(frames: ModuleType, stream: bytes) -> None:
    position, messages = parse_unmasked(frames, stream)
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(stream[:position])
    read = []
    for event in client.events():
        assert isinstance(event, (TextMessage, BytesMessage))
        assert event.message_finished
        read.append(event.data)
    assert messages == read


@needs_both
@given(stream=streams, start=st.integers(0, 70), limit=st.sampled_from([0, 1, 40, 125, 126, NO_LIMIT]))
def test_compiled_parser_equals_pure(stream: bytes, start: int, limit: int) -> None:
    for parser in (parse, parse_unmasked):
        python, cython = (parser(frames, stream, start, limit) for frames in IMPLEMENTATIONS)
        assert python == cython


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 80),
    st.sampled_from([-1, sys.maxsize, sys.maxsize + 1, -sys.maxsize - 1, -sys.maxsize - 2, 1 << 70, -(1 << 70)]),
    st.floats(),
    st.binary(max_size=20),
    st.sampled_from([b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), BytesOfOurs(b"abcd")]),
    st.text(max_size=5),
    st.lists(st.one_of(st.binary(max_size=5), st.integers(0, 3)), max_size=3),
    st.builds(ListOfOurs),
    st.tuples(),
)


@needs_both
@given(data=st.data())
def test_compiled_functions_equal_pure_for_wrong_arguments(data: st.DataObject) -> None:
    name, arguments = data.draw(
        st.sampled_from(
            [
                ("text_frame", 1),
                ("binary_frame", 1),
                ("message_frames", 2),
                ("masked_text_frame", 2),
                ("masked_binary_frame", 2),
                ("masked_message_frames", 3),
                ("parse_frames", 4),
                ("parse_unmasked_frames", 4),
                ("apply_mask", 3),
            ]
        )
    )
    args = [data.draw(anything) for _ in range(arguments)]
    if name.startswith("parse") and data.draw(st.booleans()):
        args[0], args[3] = data.draw(streams), []
    python, cython = (
        outcome(getattr(frames, name), *[list(arg) if type(arg) is list else arg for arg in args])
        for frames in IMPLEMENTATIONS
    )
    assert python == cython


@needs_both
def test_both_export_the_same_names() -> None:
    python, cython = IMPLEMENTATIONS
    assert python.__all__ == cython.__all__
