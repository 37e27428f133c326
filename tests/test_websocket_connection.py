"""WebSocketConnection: messages, control frames, close codes and limits; wsproto is the oracle."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType

from client_frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame, close_payload
from frame_streams import BAD_UTF8, CUT_UTF8, Oracle, streams
from http_corpus import BAD_FRAMES
from siocore.errors import LocalProtocolError
from siocore.http import WebSocketConnection
from siocore.options import Limits

SMALL = Limits(max_payload=1_000, max_fragments=4)


def connection(limits: Limits | None = None) -> WebSocketConnection:
    return WebSocketConnection(limits if limits is not None else Limits())


def sent_close(websocket: WebSocketConnection) -> tuple[int | None, bytes]:
    """Code and reason of the close frame that is the last output."""
    frame = websocket.output[-1]
    assert frame[0] == 0x88
    assert frame[1] == len(frame) - 2 <= 125
    return (int.from_bytes(frame[2:4], "big") if len(frame) > 2 else None), frame[4:]


def assert_failed(websocket: WebSocketConnection, code: int) -> None:
    assert websocket.failed
    assert websocket.close_code == code
    assert websocket.close_sent
    assert not websocket.close_received
    assert sent_close(websocket)[0] == code
    assert not websocket.partial
    assert websocket.receive_data(client_frame(TEXT, b"more") + client_frame(CLOSE)) == []
    assert not websocket.close_received


def feed(websocket: WebSocketConnection, stream: bytes, size: int) -> list[str | bytes]:
    messages: list[str | bytes] = []
    for start in range(0, len(stream), size):
        messages += websocket.receive_data(stream[start : start + size])
    return messages


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000_000])
def test_messages_come_out_whole_and_in_order(size: int) -> None:
    websocket = connection()
    stream = b"".join(
        [
            client_frame(TEXT, b"one"),
            client_frame(BINARY, b"\x00" * 200),
            client_frame(TEXT, "zwei €".encode(), fin=False),
            client_frame(CONTINUATION, b"", fin=False),
            client_frame(PING, b"between"),
            client_frame(CONTINUATION, b" drei"),
            client_frame(BINARY, b"a", fin=False),
            client_frame(CONTINUATION, b"b"),
            client_frame(TEXT, b""),
        ]
    )
    assert feed(websocket, stream, size) == ["one", b"\x00" * 200, "zwei € drei", b"ab", ""]
    assert websocket.output == [b"\x8a\x07between"]
    assert not websocket.partial


def test_character_may_be_cut_between_fragments() -> None:
    text = "κόσμε \U0001f600".encode()
    for cut in range(len(text)):
        websocket = connection()
        stream = client_frame(TEXT, text[:cut], fin=False) + client_frame(CONTINUATION, text[cut:])
        assert websocket.receive_data(stream) == [text.decode()]


def test_partial_tells_of_every_incomplete_thing() -> None:
    websocket = connection()
    assert not websocket.partial
    for stream in (
        client_frame(TEXT, b"text"),
        client_frame(BINARY, b"x" * 300),
        client_frame(PING, b"ping"),
        client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b"),
    ):
        for position in range(len(stream)):
            websocket.receive_data(stream[position : position + 1])
            assert websocket.partial == (position + 1 < len(stream))


def test_messages_in_front_of_a_fault_are_delivered() -> None:
    websocket = connection()
    stream = client_frame(TEXT, b"first") + client_frame(0x3) + client_frame(TEXT, b"never")
    assert websocket.receive_data(stream) == ["first"]
    assert_failed(websocket, 1002)


def test_messages_in_front_of_a_close_are_delivered_and_none_behind_it() -> None:
    websocket = connection()
    stream = client_frame(TEXT, b"first") + client_frame(CLOSE, close_payload(1000)) + client_frame(TEXT, b"never")
    assert websocket.receive_data(stream) == ["first"]
    assert websocket.close_received
    assert not websocket.failed
    assert websocket.receive_data(client_frame(TEXT, b"never") + b"\xff\xff\xff") == []
    assert len(websocket.output) == 1


def test_receive_buffer_is_not_kept_alive() -> None:
    # One byte behind a frame, in a read of 64 KiB, must not pin those 64 KiB.
    data = client_frame(BINARY, b"x" * 65_000) + client_frame(TEXT, b"abc")[:5]
    references = sys.getrefcount(data)
    websocket = connection()
    websocket.receive_data(data)
    assert sys.getrefcount(data) == references


@pytest.mark.parametrize("gone", [False, True])
def test_quiet_connection_is_small_and_leaves_no_cycles(gone: bool) -> None:
    limits = Limits()
    frame = client_frame(PING, b"x") + client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b")

    def quiet() -> WebSocketConnection:
        websocket = connection(limits)
        websocket.receive_data(frame)
        if gone:
            websocket.close(1000)
            websocket.receive_eof()
        websocket.output.clear()
        return websocket

    quiet()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        websockets = [quiet() for _ in range(200)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert (after - before) / len(websockets) < 300


# --- UTF-8 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD_UTF8 + CUT_UTF8)
def test_bad_text_fails_with_1007(bad: bytes) -> None:
    for payload in (bad, b"a" * 200 + bad):
        for size in (1, 5, 1_000):
            websocket = connection()
            assert feed(websocket, client_frame(TEXT, b"ok") + client_frame(TEXT, payload), size) == ["ok"]
            assert_failed(websocket, 1007)


@pytest.mark.parametrize("bad", BAD_UTF8 + CUT_UTF8)
def test_bad_text_in_fragments_fails_with_1007(bad: bytes) -> None:
    for cut in range(len(bad) + 1):
        websocket = connection()
        stream = client_frame(TEXT, bad[:cut], fin=False) + client_frame(CONTINUATION, bad[cut:])
        assert websocket.receive_data(stream) == []
        assert_failed(websocket, 1007)


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_bad_text_is_refused_before_its_frame_is_complete(bad: bytes) -> None:
    frame = client_frame(TEXT, b"a" * 300 + bad + b"a" * 300)
    for size in (1, 100, 8 + 300 + len(bad)):
        websocket = connection()
        feed(websocket, frame[: 8 + 300 + len(bad)], size)
        if bad not in CUT_UTF8:
            assert_failed(websocket, 1007)


@pytest.mark.parametrize("size", [1, 11])
def test_incomplete_text_that_may_still_be_valid_is_waited_for(size: int) -> None:
    texts = ["aé€\U0001f600" * 30, "€" * 200, "é" * 90]
    stream = b"".join(client_frame(TEXT, text.encode(), key=bytes((i, 7, 255, 1))) for i, text in enumerate(texts))
    websocket = connection()
    messages = []
    for start in range(0, len(stream), size):
        messages += websocket.receive_data(stream[start : start + size])
        # Nothing to ask wsproto about: the same result, but at a hundred times the cost.
        assert websocket._uncommon is None
    assert messages == texts


def test_binary_is_not_checked() -> None:
    websocket = connection()
    assert feed(websocket, client_frame(BINARY, b"\xff\xc0" * 100), 3) == [b"\xff\xc0" * 100]


# --- illegal frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_FRAMES)
@pytest.mark.parametrize("size", [1, 2, 5_000])
def test_bad_frames_fail_with_their_code(name: str, size: int) -> None:
    code, stream = BAD_FRAMES[name]
    websocket = connection(SMALL)
    assert feed(websocket, client_frame(TEXT, b"ok") + stream, size) == ["ok"]
    assert_failed(websocket, code)


@pytest.mark.parametrize("name", [name for name, (code, _) in BAD_FRAMES.items() if code in (1002, 1007)])
def test_bad_frames_are_refused_as_early_as_wsproto_does(name: str) -> None:
    websocket, oracle = connection(SMALL), Oracle()
    for byte in BAD_FRAMES[name][1]:
        websocket.receive_data(bytes((byte,)))
        oracle.receive_data(bytes((byte,)))
        assert websocket.failed == oracle.failed


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 300, 10_000])
def test_largest_message_passes_and_one_more_byte_fails_with_1009(opcode: int, size: int) -> None:
    websocket = connection(SMALL)
    [message] = feed(websocket, client_frame(opcode, b"x" * 1_000), size)
    assert len(message) == 1_000
    assert feed(websocket, client_frame(opcode, b"x" * 1_001), size) == []
    assert_failed(websocket, 1009)


@pytest.mark.parametrize(
    "header",
    [
        bytes.fromhex("82ff000000007fffffff"),
        bytes.fromhex("81ff7fffffffffffffff"),
        bytes.fromhex("82ff4000000000000000"),
        bytes.fromhex("01fe03e9"),
    ],
)
def test_too_large_a_length_fails_at_the_header(header: bytes) -> None:
    websocket = connection(SMALL)
    assert websocket.receive_data(header[:-1]) == []
    assert not websocket.failed
    websocket.receive_data(header[-1:])
    assert_failed(websocket, 1009)


def test_fragments_count_together_against_the_payload_limit() -> None:
    websocket = connection(SMALL)
    start = client_frame(BINARY, b"x" * 600, fin=False)
    assert websocket.receive_data(start + client_frame(CONTINUATION, b"x" * 400)) == [b"x" * 1_000]
    assert websocket.receive_data(start + client_frame(CONTINUATION, b"x" * 401)[:4]) == []
    assert_failed(websocket, 1009)


def test_fragment_lengths_do_not_overflow() -> None:
    websocket = connection(Limits(max_payload=(1 << 63) - 1))
    websocket.receive_data(client_frame(BINARY, b"x", fin=False))
    websocket.receive_data(client_frame(CONTINUATION, declared=(1 << 63) - 1))
    assert_failed(websocket, 1009)


@pytest.mark.parametrize("payload", [b"", b"a"])
def test_most_fragments_pass_and_one_more_fails_with_1008(payload: bytes) -> None:
    websocket = connection(SMALL)
    first, middle = client_frame(TEXT, payload, fin=False), client_frame(CONTINUATION, payload, fin=False)
    last = client_frame(CONTINUATION, payload)
    assert websocket.receive_data(first + middle * 2 + last) == [payload.decode() * 4]
    assert websocket.receive_data(first + middle * 2 + client_frame(PING) + last) == [payload.decode() * 4]
    assert websocket.receive_data(first + middle * 3) == []
    assert not websocket.failed
    websocket.receive_data(middle)
    assert_failed(websocket, 1008)


@pytest.mark.parametrize("fragment", [b"", b"a", b"\xf0"])
def test_tiny_fragments_end_at_the_limit_in_little_memory(fragment: bytes) -> None:
    opcode = BINARY
    stream = client_frame(opcode, fragment, fin=False) + client_frame(CONTINUATION, fragment, fin=False) * 20_000
    websocket = connection()
    tracemalloc.start()
    try:
        websocket.receive_data(stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert_failed(websocket, 1008)
    assert peak < 100_000


@pytest.mark.parametrize("frame", [client_frame(BINARY, b"x" * 20_000), client_frame(BINARY, b"x" * 20_000, fin=False)])
def test_one_byte_segments_cost_no_object_each(frame: bytes) -> None:
    websocket = connection()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for position in range(len(frame) - 1):
            websocket.receive_data(frame[position : position + 1])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held - before < 2 * 20_000


def test_wide_characters_do_not_multiply_what_is_held() -> None:
    # A str with one wide character takes four bytes for each: fragments are kept as UTF-8 until the last one.
    fragment = "\U0001f600".encode() + b"a" * 90_000
    websocket = connection()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        websocket.receive_data(client_frame(TEXT, fragment, fin=False))
        for _ in range(9):
            websocket.receive_data(client_frame(CONTINUATION, fragment, fin=False))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held - before < 2 * 10 * len(fragment)


# --- ping and pong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 125])
def test_ping_is_answered_with_its_payload(payload: bytes) -> None:
    websocket = connection()
    assert websocket.receive_data(client_frame(PING, payload)) == []
    assert websocket.output == [bytes((0x8A, len(payload))) + payload]


def test_pong_is_ignored() -> None:
    websocket = connection()
    assert websocket.receive_data(client_frame(PONG, b"x") + client_frame(TEXT, b"a")) == ["a"]
    assert websocket.output == []


def test_only_the_latest_pong_waits() -> None:
    websocket = connection()
    websocket.receive_data(client_frame(PING, b"1") + client_frame(PING, b"2") + client_frame(PING, b"3"))
    assert websocket.output == [b"\x8a\x013"]
    websocket.receive_data(client_frame(PING, b"4"))
    assert websocket.output == [b"\x8a\x014"]
    websocket.output.clear()
    websocket.receive_data(client_frame(PING, b"5"))
    assert websocket.output == [b"\x8a\x015"]


def test_ping_flood_holds_one_pong() -> None:
    websocket = connection()
    flood = client_frame(PING, b"x" * 125) * 500
    for _ in range(20):
        websocket.receive_data(flood)
    assert websocket.output == [b"\x8a\x7d" + b"x" * 125]
    assert not websocket.partial


def test_no_pong_follows_a_close_frame() -> None:
    websocket = connection()
    websocket.close(1000)
    websocket.receive_data(client_frame(PING, b"x"))
    assert len(websocket.output) == 1
    websocket = connection()
    websocket.receive_data(client_frame(PING, b"x") + client_frame(CLOSE) + client_frame(PING, b"y"))
    assert websocket.output == [b"\x8a\x01x", b"\x88\x00"]


# --- closing ---------------------------------------------------------------------------------------------------------

RECEIVABLE = {1000, 1001, 1002, 1003, *range(1007, 1014), *range(3000, 5000)}


def test_every_close_code_is_answered_or_refused() -> None:
    for code in range(5_100):
        websocket = connection()
        assert websocket.receive_data(client_frame(CLOSE, close_payload(code, b"why"))) == []
        if code in RECEIVABLE:
            assert (websocket.close_received, websocket.failed, websocket.close_code) == (True, False, code)
            assert sent_close(websocket)[0] == code
        else:
            assert_failed(websocket, 1002)


def test_close_without_a_code_is_1005_and_answered_without_one() -> None:
    websocket = connection()
    websocket.receive_data(client_frame(CLOSE))
    assert websocket.close_code == 1005
    assert sent_close(websocket) == (None, b"")


@pytest.mark.parametrize(("payload", "code"), [(b"\x03", 1002), (close_payload(1000, b"\xff"), 1007)])
def test_bad_close_payload_fails(payload: bytes, code: int) -> None:
    websocket = connection()
    websocket.receive_data(client_frame(CLOSE, payload))
    assert_failed(websocket, code)


def test_longest_close_reason_is_accepted() -> None:
    websocket = connection()
    websocket.receive_data(client_frame(CLOSE, close_payload(1000, b"r" * 123)))
    assert websocket.close_received
    assert not websocket.failed


def test_our_close_waits_for_the_peer() -> None:
    websocket = connection()
    websocket.close(1001, "going away")
    assert sent_close(websocket) == (1001, b"going away")
    assert websocket.close_sent
    assert websocket.close_code is None
    assert websocket.receive_data(client_frame(TEXT, b"still here")) == ["still here"]
    assert websocket.receive_data(client_frame(CLOSE, close_payload(1001))) == []
    assert websocket.close_received
    assert websocket.close_code == 1001
    assert len(websocket.output) == 1


def test_close_frame_is_sent_once() -> None:
    websocket = connection()
    websocket.close(1000)
    websocket.close(1001)
    assert len(websocket.output) == 1
    for payload in (close_payload(1000), b"\x00"):
        websocket = connection()
        websocket.receive_data(client_frame(CLOSE, payload))
        websocket.close(1000)
        assert len(websocket.output) == 1


def test_fault_after_our_close_sends_no_second_close_frame() -> None:
    websocket = connection()
    websocket.close(1000)
    websocket.receive_data(b"test")
    assert websocket.failed
    assert websocket.close_code == 1002
    assert len(websocket.output) == 1


def test_close_in_the_middle_of_everything() -> None:
    stream = client_frame(TEXT, b"a" * 200) + client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b")
    for cut in range(len(stream)):
        websocket = connection()
        messages = websocket.receive_data(stream[:cut])
        websocket.close(1000)
        messages += websocket.receive_data(stream[cut:] + client_frame(CLOSE, close_payload(1000)))
        assert messages == ["a" * 200, "ab"]
        assert websocket.close_received
        assert len(websocket.output) == 1


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 65_536])
def test_codes_that_must_not_be_sent_are_refused(code: int) -> None:
    websocket = connection()
    with pytest.raises(LocalProtocolError):
        websocket.close(code)
    assert not websocket.close_sent
    assert websocket.output == []


def test_long_reason_is_cut_between_characters() -> None:
    websocket = connection()
    websocket.close(1000, "€" * 60)
    assert sent_close(websocket) == (1000, ("€" * 41).encode())


def test_reason_with_a_lone_surrogate_is_refused() -> None:
    websocket = connection()
    with pytest.raises(LocalProtocolError):
        websocket.close(1000, "\ud800")
    assert not websocket.close_sent


def test_eof_without_a_close_frame_is_1006() -> None:
    websocket = connection()
    websocket.receive_data(client_frame(TEXT, b"abc")[:4])
    websocket.receive_eof()
    assert websocket.close_code == 1006
    assert not websocket.failed
    assert not websocket.partial
    assert websocket.receive_data(client_frame(TEXT, b"abc")) == []
    websocket.receive_eof()


def test_eof_after_a_close_frame_keeps_its_code() -> None:
    websocket = connection()
    websocket.receive_data(client_frame(CLOSE, close_payload(4000)))
    websocket.receive_eof()
    assert websocket.close_code == 4000


# --- the oracle ------------------------------------------------------------------------------------------------------


@given(stream=streams, data=st.data())
def test_any_split_gives_what_wsproto_gives(stream: bytes, data: st.DataObject) -> None:
    stream = stream[: data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))]
    oracle = Oracle()
    oracle.receive_data(stream)
    cuts = data.draw(st.one_of(st.lists(st.integers(0, len(stream)), max_size=6), st.just(list(range(len(stream))))))
    websocket = connection()
    messages: list[str | bytes] = []
    start = 0
    for end in [*sorted(cuts), len(stream)]:
        messages += websocket.receive_data(stream[start:end])
        start = end
    assert messages == oracle.messages
    assert [type(message) for message in messages] == [type(message) for message in oracle.messages]
    assert websocket.close_code == oracle.close_code
    assert websocket.failed == oracle.failed
    assert websocket.close_received == (oracle.close_code is not None and not oracle.failed)
    pongs = [frame[2:] for frame in websocket.output if frame[0] == 0x8A]
    assert pongs == ([oracle.pong] if oracle.pong is not None else [])
    assert websocket.close_sent == (oracle.close_code is not None)


@given(stream=st.one_of(streams, st.binary(max_size=200)), data=st.data())
def test_output_is_what_a_client_can_read(stream: bytes, data: st.DataObject) -> None:
    websocket = connection(SMALL)
    for start in range(0, len(stream), data.draw(st.integers(1, 50))):
        websocket.receive_data(stream[start : start + 1])
    if data.draw(st.booleans()):
        websocket.close(1000)
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(b"".join(websocket.output))
    events = list(client.events())
    assert client.state is (ConnectionState.REMOTE_CLOSING if websocket.close_sent else ConnectionState.OPEN)
    assert len(events) == len(websocket.output)
