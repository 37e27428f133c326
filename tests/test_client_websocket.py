"""ClientWebSocket: what servers send is judged as for them, all that is sent is masked; wsproto is the oracle."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType

from client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_payload,
    turned_round,
)
from frame_streams import BAD_UTF8, Oracle, streams
from http_corpus import BAD_FRAMES, NO_FRAMES
from siocore.errors import LocalProtocolError
from siocore.http import WebSocketConnection
from siocore.http.client_websocket import ClientWebSocket
from siocore.options import Limits

SMALL = Limits(max_payload=1_000, max_fragments=4)


def connection(limits: Limits | None = None) -> ClientWebSocket:
    return ClientWebSocket(limits if limits is not None else Limits(), os.urandom)


def server_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    return client_frame(opcode, payload, fin=fin, rsv=rsv, key=None)


def unmasked(frame: bytes) -> tuple[int, bytes]:
    """First byte and payload of one short frame that a client has sent."""
    assert frame[1] & 0x80
    assert len(frame) == 6 + (frame[1] & 0x7F)
    plain = turned_round(frame)
    return plain[0], plain[2:]


def sent_close(websocket: ClientWebSocket) -> tuple[int | None, bytes]:
    first, payload = unmasked(websocket.output[-1])
    assert first == 0x88
    return (int.from_bytes(payload[:2], "big") if payload else None), payload[2:]


def assert_failed(websocket: ClientWebSocket, code: int) -> None:
    assert websocket.failed
    assert websocket.close_code == code
    assert websocket.close_sent
    assert not websocket.close_received
    assert sent_close(websocket)[0] == code
    assert not websocket.partial
    assert websocket.receive_data(server_frame(TEXT, b"more") + server_frame(CLOSE)) == []


def feed(websocket: ClientWebSocket, stream: bytes, size: int) -> list[str | bytes]:
    messages: list[str | bytes] = []
    for start in range(0, len(stream), size):
        messages += websocket.receive_data(stream[start : start + size])
    return messages


# --- receiving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000_000])
def test_messages_come_out_whole_and_in_order(size: int) -> None:
    websocket = connection()
    stream = b"".join(
        [
            server_frame(TEXT, b"one"),
            server_frame(BINARY, b"\x00" * 200),
            server_frame(BINARY, b"\xff" * 70_000),
            server_frame(TEXT, "zwei €".encode(), fin=False),
            server_frame(CONTINUATION, b"", fin=False),
            server_frame(PING, b"between"),
            server_frame(CONTINUATION, b" drei"),
            server_frame(PONG, b"ignored"),
            server_frame(TEXT, b""),
        ]
    )
    assert feed(websocket, stream, size) == ["one", b"\x00" * 200, b"\xff" * 70_000, "zwei € drei", ""]
    assert [unmasked(frame) for frame in websocket.output] == [(0x8A, b"between")]
    assert not websocket.partial


def test_quiet_reads_are_not_stirred() -> None:
    websocket = connection()
    websocket.receive_data(server_frame(TEXT, b"a") + server_frame(BINARY, b"b"))
    assert not websocket.stirred
    websocket.receive_data(server_frame(TEXT, b"abc")[:3])
    assert websocket.stirred
    assert websocket.partial


@pytest.mark.parametrize("name", BAD_FRAMES)
@pytest.mark.parametrize("size", [1, 2, 5_000])
def test_bad_frames_fail_with_their_code(name: str, size: int) -> None:
    code, stream = BAD_FRAMES[name]
    stream = stream if name in NO_FRAMES else turned_round(stream)
    websocket = connection(SMALL)
    assert feed(websocket, server_frame(TEXT, b"ok") + stream, size) == ["ok"]
    assert_failed(websocket, code)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE, CONTINUATION])
def test_masked_frames_fail_with_1002(opcode: int) -> None:
    websocket = connection()
    assert websocket.receive_data(server_frame(TEXT, b"ok") + client_frame(opcode, b"")) == ["ok"]
    assert_failed(websocket, 1002)


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_bad_text_is_refused_before_its_frame_is_complete(bad: bytes) -> None:
    frame = server_frame(TEXT, b"a" * 300 + bad + b"a" * 300)
    for size in (1, 100, 4 + 300 + len(bad)):
        websocket = connection()
        feed(websocket, frame[: 4 + 300 + len(bad)], size)
        assert_failed(websocket, 1007)


@pytest.mark.parametrize("size", [1, 11])
def test_incomplete_text_that_may_still_be_valid_is_waited_for(size: int) -> None:
    texts = ["aé€\U0001f600" * 30, "€" * 200, "é" * 90]
    stream = b"".join(server_frame(TEXT, text.encode()) for text in texts)
    assert feed(connection(), stream, size) == texts


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 300, 10_000])
def test_largest_message_passes_and_one_more_byte_fails_with_1009(opcode: int, size: int) -> None:
    websocket = connection(SMALL)
    [message] = feed(websocket, server_frame(opcode, b"x" * 1_000), size)
    assert len(message) == 1_000
    assert feed(websocket, server_frame(opcode, b"x" * 1_001), size) == []
    assert_failed(websocket, 1009)


def test_too_large_a_length_fails_at_the_header() -> None:
    for header in ("827f000000007fffffff", "817f7fffffffffffffff", "017e03e9"):
        data = bytes.fromhex(header)
        websocket = connection(SMALL)
        assert websocket.receive_data(data[:-1]) == []
        assert not websocket.failed
        websocket.receive_data(data[-1:])
        assert_failed(websocket, 1009)


def test_ping_flood_holds_one_pong() -> None:
    websocket = connection()
    for _ in range(20):
        websocket.receive_data(server_frame(PING, b"x" * 125) * 500)
    assert [unmasked(frame) for frame in websocket.output] == [(0x8A, b"x" * 125)]


def test_receive_buffer_is_not_kept_alive() -> None:
    data = server_frame(BINARY, b"x" * 65_000) + server_frame(TEXT, b"abc")[:4]
    references = sys.getrefcount(data)
    websocket = connection()
    websocket.receive_data(data)
    assert sys.getrefcount(data) == references


@pytest.mark.parametrize("end", ["", "ours", "theirs", "fault"])
def test_quiet_connection_is_small_and_leaves_no_cycles(end: str) -> None:
    limits = Limits()
    frame = server_frame(PING, b"x") + server_frame(TEXT, b"a", fin=False) + server_frame(CONTINUATION, b"b")

    def quiet() -> ClientWebSocket:
        websocket = connection(limits)
        websocket.receive_data(frame)
        if end == "ours":
            websocket.close(1000)
            websocket.receive_eof()
        elif end:
            websocket.receive_data(server_frame(CLOSE) if end == "theirs" else client_frame(PING))
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
    # Of this are 600 the block of masking keys.
    assert (after - before) / len(websockets) < 900


# --- sending ---------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_what_a_server_reads() -> None:
    websocket, server = connection(), WebSocketConnection(Limits())
    stream = (
        websocket.frames(b'2["a"]', [b"", b"x" * 70_000])
        + websocket.text_frame("€".encode())
        + websocket.binary_frame(b"\0" * 126)
        + websocket.frames(b"", [])
    )
    assert server.receive_data(stream) == ['42["a"]', b"", b"x" * 70_000, "€", b"\0" * 126, "4"]


def test_masking_keys_are_taken_from_blocks_and_never_twice() -> None:
    asked: list[int] = []
    drawn = b""

    def random_bytes(size: int) -> bytes:
        nonlocal drawn
        asked.append(size)
        block = os.urandom(size)
        drawn += block
        return block

    websocket = ClientWebSocket(Limits(), random_bytes)
    keys = []
    for i in range(300):
        keys.append(websocket.text_frame(b"%d" % i)[2:6])
        websocket.receive_data(server_frame(PING))
        keys.append(websocket.output.pop()[2:6])
    assert b"".join(keys) == drawn[: 4 * len(keys)]
    assert len(asked) == -(-4 * len(keys) // asked[0])
    many = websocket.frames(b"x", [b""] * 1_000)
    assert len(many) == 8 + 6 * 1_000
    assert asked[-1] == 4 * 1_001


def test_nothing_is_drawn_before_it_is_needed() -> None:
    websocket = ClientWebSocket(Limits(), lambda size: pytest.fail("not needed"))
    websocket.receive_data(server_frame(TEXT, b"a"))
    websocket.receive_eof()
    assert websocket.close_code == 1006


@pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), None, 5])
def test_only_bytes_are_sent(wrong: object) -> None:
    websocket = connection()
    for call, arguments in (
        (websocket.text_frame, [wrong]),
        (websocket.binary_frame, [wrong]),
        (websocket.frames, [wrong, []]),
        (websocket.frames, [b"", [wrong]]),
    ):
        function: Any = call
        with pytest.raises(TypeError):
            function(*arguments)


# --- closing ---------------------------------------------------------------------------------------------------------


def test_every_close_code_is_answered_or_refused() -> None:
    receivable = {1000, 1001, 1002, 1003, *range(1007, 1014), *range(3000, 5000)}
    for code in range(5_100):
        websocket = connection()
        assert websocket.receive_data(server_frame(CLOSE, close_payload(code, b"why"))) == []
        if code in receivable:
            assert (websocket.close_received, websocket.failed, websocket.close_code) == (True, False, code)
            assert sent_close(websocket)[0] == code
        else:
            assert_failed(websocket, 1002)


def test_close_without_a_code_is_1005_and_answered_without_one() -> None:
    websocket = connection()
    websocket.receive_data(server_frame(CLOSE))
    assert websocket.close_code == 1005
    assert sent_close(websocket) == (None, b"")


def test_our_close_waits_for_the_server() -> None:
    websocket = connection()
    websocket.close(1001, "€" * 60)
    assert sent_close(websocket) == (1001, ("€" * 41).encode())
    assert websocket.close_reason == ""
    assert websocket.receive_data(server_frame(TEXT, b"still here") + server_frame(PING)) == ["still here"]
    assert websocket.receive_data(server_frame(CLOSE, close_payload(1001))) == []
    assert websocket.close_received
    assert websocket.close_code == 1001
    websocket.close(1000)
    assert len(websocket.output) == 1


def test_long_reasons_are_cut() -> None:
    for reason, cut in (("a" * 200, "a" * 123), ("€" * 50, "€" * 41), ("aa" + "€" * 50, "aa" + "€" * 40)):
        websocket = connection()
        websocket.close(1000, reason)
        assert sent_close(websocket) == (1000, cut.encode())


def test_the_reason_of_the_end_is_told() -> None:
    websocket = connection()
    websocket.receive_data(server_frame(CLOSE, close_payload(4000, "tschüß".encode())))
    assert (websocket.close_code, websocket.close_reason) == (4000, "tschüß")
    websocket = connection()
    websocket.receive_data(server_frame(CLOSE))
    assert websocket.close_reason == ""
    websocket = connection(SMALL)
    websocket.receive_data(server_frame(TEXT, b"a" * 1_001))
    assert (websocket.close_code, websocket.close_reason) == (1009, "message too big")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1])
def test_codes_that_must_not_be_sent_are_refused(code: int) -> None:
    websocket = connection()
    with pytest.raises(LocalProtocolError):
        websocket.close(code)
    assert websocket.output == []


def test_fault_after_our_close_sends_no_second_close_frame() -> None:
    websocket = connection()
    websocket.close(1000)
    websocket.receive_data(b"test")
    assert websocket.failed
    assert len(websocket.output) == 1


# --- the oracle ------------------------------------------------------------------------------------------------------


@given(stream=streams.map(turned_round), data=st.data())
def test_any_split_gives_what_wsproto_gives(stream: bytes, data: st.DataObject) -> None:
    stream = stream[: data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))]
    oracle = Oracle(ConnectionType.CLIENT)
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
    sent = [unmasked(frame) for frame in websocket.output]
    assert [payload for first, payload in sent if first == 0x8A] == ([oracle.pong] if oracle.pong is not None else [])
    assert websocket.close_sent == (oracle.close_code is not None)


@given(stream=st.one_of(streams, streams.map(turned_round), st.binary(max_size=200)), data=st.data())
def test_output_is_what_a_server_can_read(stream: bytes, data: st.DataObject) -> None:
    websocket = connection(SMALL)
    size = data.draw(st.integers(1, 50))
    for start in range(0, len(stream), size):
        websocket.receive_data(stream[start : start + size])
    if data.draw(st.booleans()):
        websocket.close(1000)
    server = Connection(ConnectionType.SERVER)
    server.receive_data(b"".join(websocket.output))
    events = list(server.events())
    assert server.state is (ConnectionState.REMOTE_CLOSING if websocket.close_sent else ConnectionState.OPEN)
    assert len(events) == len(websocket.output)


def test_keys_of_the_other_side_are_not_mistaken() -> None:
    # A frame that is turned round twice is the same again, so the tests above try what they say.
    stream = client_frame(TEXT, b"a" * 200, key=KEY) + client_frame(PING, key=KEY)
    assert turned_round(turned_round(stream)) == stream
