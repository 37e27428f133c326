"""Compressed WebSocket messages: what is inflated, what is refused, in how much memory. Oracles: zlib, wsproto."""

from __future__ import annotations

import gc
import random
import tracemalloc
import zlib
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, client_frame, close_payload
from deflate_peer import RSV1, TAIL, OracleClient, deflate, deflated_frame, fragments, frames_of, inflate
from siocore import Limits, PerMessageDeflate, Request
from siocore._speedups import binary_frame, message_frames, text_frame
from siocore.http.deflate import Deflater, Negotiator
from siocore.http.websocket import WebSocketConnection

SMALL = Limits(max_payload=1_000, max_fragments=4)
HELLO = bytes.fromhex("f248cdc9c90700")


def connection(limits: Limits | None = None, *, takeover: bool = False, offer: str = "") -> WebSocketConnection:
    limits = Limits() if limits is None else limits
    options = PerMessageDeflate(client_no_context_takeover=not takeover, server_no_context_takeover=not takeover)
    request = Request("GET", "/", [(b"sec-websocket-extensions", f"permessage-deflate{offer}".encode())])
    extension = Negotiator(options, limits.max_payload).negotiate(request)
    assert extension is not None
    return WebSocketConnection(limits, extension)


def feed(websocket: WebSocketConnection, stream: bytes, size: int) -> list[str | bytes]:
    messages: list[str | bytes] = []
    for start in range(0, len(stream), size):
        messages += websocket.receive_data(stream[start : start + size])
    return messages


def assert_failed(websocket: WebSocketConnection, code: int) -> None:
    assert websocket.failed
    assert websocket.close_code == code
    assert websocket.output[-1][0] == 0x88
    assert int.from_bytes(websocket.output[-1][2:4], "big") == code
    assert not websocket.partial
    assert websocket.receive_data(deflated_frame("more")) == []


# --- receiving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        pytest.param(client_frame(TEXT, HELLO, rsv=RSV1), ["Hello"], id="7.2.3.1"),
        pytest.param(b"".join(fragments(TEXT, HELLO, [3])), ["Hello"], id="7.2.3.1, two frames"),
        pytest.param(client_frame(TEXT, HELLO, rsv=RSV1) * 2, ["Hello"] * 2, id="7.2.3.2, without takeover"),
        pytest.param(
            client_frame(TEXT, HELLO, rsv=RSV1) + client_frame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1),
            ["Hello"] * 2,
            id="7.2.3.2, with takeover",
        ),
        pytest.param(
            client_frame(TEXT, bytes.fromhex("000500faff48656c6c6f00"), rsv=RSV1),
            ["Hello"],
            id="7.2.3.3, not compressed",
        ),
        pytest.param(client_frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=RSV1), ["Hello"], id="7.2.3.4, BFINAL"),
        pytest.param(
            client_frame(TEXT, bytes.fromhex("f24805000000ffffcac9c90700"), rsv=RSV1),
            ["Hello"],
            id="7.2.3.5, two blocks",
        ),
        pytest.param(client_frame(BINARY, b"\x00", rsv=RSV1), [b""], id="7.2.3.6, empty"),
        pytest.param(client_frame(TEXT, b"\x00", rsv=RSV1) * 2, ["", ""], id="empty twice"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_examples_of_the_rfc(stream: bytes, messages: list[str | bytes], size: int) -> None:
    websocket = connection(takeover=True)
    assert feed(websocket, stream, size) == messages
    assert not websocket.failed


def test_a_stream_that_its_sender_ends_may_be_followed_by_others() -> None:
    ended = zlib.compressobj(6, zlib.DEFLATED, -15)
    block = ended.compress(b"abc" * 100) + ended.flush(zlib.Z_FINISH)
    for takeover in (False, True):
        websocket = connection(takeover=takeover)
        stream = client_frame(BINARY, block, rsv=RSV1) + client_frame(BINARY, block * 3 + deflate(b"end"), rsv=RSV1)
        expected = [b"abc" * 100, b"abc" * 300 + b"end"]
        assert feed(websocket, stream * 9, 7) == expected * 9


def test_a_stream_may_end_where_a_piece_of_output_ends() -> None:
    for size in (65_535, 65_536, 65_600, 131_100):
        ended = zlib.compressobj(6, zlib.DEFLATED, -15)
        block = ended.compress(bytes(size)) + ended.flush(zlib.Z_FINISH)
        websocket = connection(takeover=True)
        assert websocket.receive_data(client_frame(BINARY, block, rsv=RSV1)) == [bytes(size)]
        assert websocket.receive_data(deflated_frame(b"abc") + deflated_frame("d")) == [b"abc", "d"]


def test_compressed_and_plain_messages_come_out_in_order() -> None:
    stream = b"".join(
        [
            client_frame(TEXT, b"plain"),
            deflated_frame("one"),
            client_frame(PING, b"1"),
            *fragments(BINARY, deflate(b"two" * 1_000), [5, 5, 9]),
            client_frame(TEXT, b"pl", fin=False),
            client_frame(CONTINUATION, b"ain"),
            deflated_frame("three €"),
            client_frame(BINARY, b"plain"),
        ]
    )
    for size in (1, 2, 11, 10_000):
        websocket = connection()
        assert feed(websocket, stream, size) == ["plain", "one", b"two" * 1_000, "plain", "three €", b"plain"]
        assert websocket.output == [b"\x8a\x011"]
        assert not websocket.partial


def test_control_frames_come_between_the_fragments_of_a_compressed_message() -> None:
    first, second, third = fragments(TEXT, deflate("Grüße".encode() * 100), [4, 9])
    stream = first + client_frame(PING, b"a") + second + client_frame(PING, b"b") + third
    for size in (1, 5, 1_000):
        websocket = connection()
        assert feed(websocket, stream * 2, size) == ["Grüße" * 100] * 2
        assert websocket.output == [b"\x8a\x01b"]
    websocket = connection()
    assert websocket.receive_data(first + client_frame(CLOSE, close_payload(1000)) + second) == []
    assert websocket.close_received
    assert not websocket.failed


def test_partial_tells_of_incomplete_compressed_messages() -> None:
    for stream in (deflated_frame("text" * 100), b"".join(fragments(BINARY, deflate(b"x" * 300), [0, 4, 4]))):
        websocket = connection()
        for position in range(len(stream)):
            websocket.receive_data(stream[position : position + 1])
            assert websocket.partial == (position + 1 < len(stream))


@pytest.mark.parametrize("bits", range(8, 16))
def test_every_window_that_a_client_may_have(bits: int) -> None:
    websocket = connection(takeover=True, offer=f"; client_max_window_bits={bits}")
    # zlib makes no window of 256 bytes; but what it makes for 512 goes no farther back.
    sender = zlib.compressobj(9, zlib.DEFLATED, -max(bits, 9))
    chance = random.Random(bits)
    for _ in range(5):
        message = bytes(chance.choices(b"abcdefgh", k=1_000)) * chance.randrange(1, 90)
        compressed = (sender.compress(message) + sender.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        assert feed(websocket, client_frame(BINARY, compressed, rsv=RSV1), 4_096) == [message]


messages = st.one_of(
    st.text(max_size=50),
    st.binary(max_size=50),
    st.builds(lambda text, count: text * count, st.text(min_size=1, max_size=9), st.integers(1, 300)),
    st.builds(lambda seed: random.Random(seed).randbytes(3_000), st.integers(0, 99)),
)


@st.composite
def cut_messages(draw: st.DrawFn) -> tuple[str | bytes, list[int]]:
    message = draw(messages)
    return message, draw(st.lists(st.integers(0, len(message)), max_size=3))


@given(
    st.lists(cut_messages(), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "; client_max_window_bits=9", "; server_max_window_bits=9; client_max_window_bits"]),
    st.integers(1, 4_000),
)
@settings(max_examples=200, deadline=None)
def test_both_directions_agree_with_wsproto(
    sent: list[tuple[str | bytes, list[int]]], takeover: bool, ping: bool, offer: str, size: int
) -> None:
    websocket = connection(takeover=takeover, offer=offer)
    extension = websocket.extension
    assert extension is not None
    client = OracleClient(extension.response)
    # Pings between its own fragments are where wsproto is not the oracle as a receiver; as a sender it is.
    stream = b"".join(client.send(message, cuts, ping=ping) for message, cuts in sent)
    assert feed(websocket, stream, size) == [message for message, _ in sent]
    assert not websocket.failed
    extension.deflater.threshold = 1
    for message, _ in sent:
        frame = text_frame(message.encode()) if isinstance(message, str) else binary_frame(message)
        assert client.receive(extension.deflater.deflate(frame)) == [message]


@given(st.binary(max_size=60), st.integers(1, 70), st.booleans(), st.booleans())
@settings(max_examples=300)
def test_damaged_data_never_raise(payload: bytes, size: int, text: bool, takeover: bool) -> None:
    frame = client_frame(TEXT if text else BINARY, payload, rsv=RSV1)
    whole, split = connection(takeover=takeover), connection(takeover=takeover)
    assert whole.receive_data(frame * 2) == feed(split, frame * 2, size)
    assert whole.close_code == split.close_code
    assert whole.close_code in (None, 1007)


# --- refusing --------------------------------------------------------------------------------------------------------


def compressed(payload: bytes = HELLO, opcode: int = TEXT, **fields: Any) -> bytes:
    return client_frame(opcode, payload, rsv=RSV1, **fields)


def rest(payload: bytes = HELLO[3:], opcode: int = CONTINUATION, **fields: Any) -> bytes:
    return client_frame(opcode, payload, **fields)


BEGUN = compressed(HELLO[:3], fin=False)
PLAIN = client_frame(TEXT, b"a", fin=False)
NOISE = random.Random(1).randbytes(999)

BAD = {
    "RSV1 on a continuation": (1002, BEGUN + rest(rsv=RSV1)),
    "RSV1 on a continuation of a plain message": (1002, PLAIN + rest(rsv=RSV1)),
    "RSV1 on a continuation of nothing": (1002, rest(rsv=RSV1)),
    "RSV1 on a ping": (1002, rest(b"a", PING, rsv=RSV1)),
    "RSV1 on a ping within a compressed message": (1002, BEGUN + rest(b"a", PING, rsv=RSV1)),
    "RSV1 on a close": (1002, rest(close_payload(1000), CLOSE, rsv=RSV1)),
    "RSV1 and RSV2": (1002, rest(HELLO, TEXT, rsv=RSV1 | 2)),
    "RSV1 and RSV3": (1002, rest(HELLO, TEXT, rsv=RSV1 | 1)),
    "RSV2 on a continuation": (1002, BEGUN + rest(rsv=2)),
    "RSV1 on a reserved opcode": (1002, compressed(opcode=0x3)),
    "not masked": (1002, compressed(key=None)),
    "a longer length than needed": (1002, compressed(width=2)),
    "continuation of nothing": (1002, rest()),
    "plain message within a compressed one": (1002, BEGUN + rest(b"a", TEXT)),
    "plain fragment within a compressed one": (1002, BEGUN + rest(b"a", BINARY, fin=False)),
    "compressed message within a compressed one": (1002, BEGUN + compressed()),
    "compressed message within a plain one": (1002, PLAIN + compressed()),
    "large compressed message within a plain one": (1002, PLAIN + compressed(b"", declared=2_001)),
    "corrupt": (1007, compressed(b"\xff\xff\xff\xff", BINARY)),
    "corrupt behind a good beginning": (1007, compressed(deflate(b"abc" * 100) + b"\x07" * 4, BINARY)),
    "corrupt in the second frame": (1007, compressed(deflate(b"abc"), fin=False) + rest(b"\x07\x07")),
    "zlib header": (1007, compressed(zlib.compress(b"abc" * 10))),
    "gzip": (1007, compressed(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")),
    "distance in front of the beginning": (1007, compressed(bytes.fromhex("00000000ffff0200110000"))),
    "text that is not UTF-8": (1007, compressed(deflate(b"abc\xff"))),
    "text that ends within a character": (1007, compressed(deflate("€".encode()[:2]))),
    "text with a surrogate in two frames": (1007, b"".join(fragments(TEXT, deflate(b"abc\xed\xa0\x80"), [4]))),
    "plain text that is not UTF-8": (1007, rest(b"\xff" * 200, TEXT)),
    "a byte too many": (1009, deflated_frame(b"x" * 1_001)),
    "a byte too many in fragments": (1009, b"".join(fragments(BINARY, deflate(b"x" * 1_001), [3, 5]))),
    "a byte too many, text": (1009, deflated_frame("é" * 500 + "x")),
    "more compressed than can become a message": (1009, compressed(b"", BINARY, declared=2_001)),
    "more compressed in fragments": (1009, compressed(deflate(NOISE), BINARY, fin=False) + rest(b"", declared=1_000)),
    "declared as the largest there is": (1009, compressed(b"", BINARY, declared=(1 << 63) - 1)),
    "one fragment too many": (1008, compressed(b"", fin=False) + rest(b"", fin=False) * 4),
    "too many streams": (1007, compressed(b"\x03\x00" * 20, BINARY)),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("size", [1, 2, 5_000])
def test_bad_frames_fail_with_their_code(name: str, size: int) -> None:
    code, stream = BAD[name]
    websocket = connection(SMALL, takeover=True)
    assert feed(websocket, deflated_frame("ok") + stream, size) == ["ok"]
    assert_failed(websocket, code)


def test_without_the_agreement_rsv1_fails_with_1002() -> None:
    for size in (1, 100):
        websocket = WebSocketConnection(SMALL)
        assert feed(websocket, deflated_frame("text"), size) == []
        assert_failed(websocket, 1002)


def test_bad_text_is_refused_before_its_message_is_complete() -> None:
    compressed = zlib.compressobj(6, zlib.DEFLATED, -15)
    start = compressed.compress(b"abc\xff") + compressed.flush(zlib.Z_SYNC_FLUSH)
    websocket = connection()
    websocket.receive_data(client_frame(TEXT, start, rsv=RSV1, fin=False))
    assert_failed(websocket, 1007)


@pytest.mark.parametrize("size", [1, 100, 5_000])
@pytest.mark.parametrize("content", [b"x" * 1_000, random.Random(7).randbytes(1_000)], ids=["zeros", "random"])
def test_the_largest_message_passes(content: bytes, size: int) -> None:
    for takeover in (False, True):
        websocket = connection(SMALL, takeover=takeover)
        assert feed(websocket, deflated_frame(content) * 2, size) == [content] * 2
        payload = deflate(content)
        assert feed(websocket, b"".join(fragments(BINARY, payload, [1, 5, 6])), size) == [content]
        # Blocks with nothing in them make the frame larger than the message.
        longer = (b"\x00" + TAIL) * 100 + payload
        assert feed(websocket, client_frame(BINARY, longer, rsv=RSV1), size) == [content]


# --- memory ----------------------------------------------------------------------------------------------------------

BOMB = deflate(bytes(64 << 20), level=9)
PIECE = 65_536


def peak(websocket: WebSocketConnection, stream: bytes) -> int:
    """Largest number of bytes that reading ``stream`` takes, beyond the pieces in which it is read."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        feed(websocket, stream, PIECE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most - before - PIECE


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_bomb_ends_at_the_limit_in_little_memory(opcode: int) -> None:
    assert len(BOMB) < 65_300
    websocket = connection()
    assert peak(websocket, client_frame(opcode, BOMB, rsv=RSV1)) < 2 * Limits().max_payload
    assert_failed(websocket, 1009)


def test_a_bomb_in_a_thousand_fragments_ends_at_the_limit_in_little_memory() -> None:
    websocket = connection()
    stream = b"".join(fragments(BINARY, BOMB, list(range(65, 65_000, 65))))
    assert peak(websocket, stream) < 2 * Limits().max_payload
    assert_failed(websocket, 1009)


def test_many_messages_that_are_nearly_bombs_hold_no_memory() -> None:
    websocket = connection()
    stream = deflated_frame(bytes(1_000_000), level=9)
    assert feed(websocket, stream, PIECE) == [bytes(1_000_000)]
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            feed(websocket, stream, PIECE)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000


def test_tiny_fragments_end_at_the_limit_in_little_memory() -> None:
    for fragment in (b"", b"\x00"):
        websocket = connection()
        stream = client_frame(BINARY, fragment, rsv=RSV1, fin=False)
        stream += client_frame(CONTINUATION, fragment, fin=False) * 20_000
        assert peak(websocket, stream) < 100_000
        assert websocket.failed


def test_a_quiet_connection_keeps_neither_window_without_takeover() -> None:
    limits = Limits()

    def quiet() -> WebSocketConnection:
        websocket = connection(limits)
        assert websocket.extension is not None
        websocket.receive_data(deflated_frame("text" * 1_000) + b"".join(fragments(TEXT, HELLO, [3])))
        websocket.extension.deflater.deflate(text_frame(b"text" * 1_000))
        return websocket

    quiet()
    for websocket in (quiet(), connection(limits)):
        assert websocket.extension is not None
        assert websocket.extension.inflater._decompressor is None
    gc.disable()
    try:
        gc.collect()
        websockets = [quiet() for _ in range(50)]
        assert gc.collect() == 0
        del websockets
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_nothing_is_kept_when_the_connection_ends() -> None:
    websocket = connection(takeover=True)
    websocket.receive_data(deflated_frame("text" * 1_000)[:30])
    websocket.receive_eof()
    assert websocket.extension is None
    assert websocket._uncommon is None


# --- sending ---------------------------------------------------------------------------------------------------------


def test_only_frames_from_the_threshold_on_are_compressed() -> None:
    deflater = Deflater(PerMessageDeflate(threshold=100), 15)
    frames = message_frames(b"a" * 98, [b"b" * 99, b"c" * 100, b"", b"d" * 70_000])
    sent = frames_of(deflater.deflate(frames))
    assert [first for first, _ in sent] == [0x81, 0x82, 0xC2, 0x82, 0xC2]
    assert inflate(sent[2][1]) == b"c" * 100
    assert inflate(sent[4][1]) == b"d" * 70_000
    assert [payload for first, payload in sent if first < 0xC0] == [b"4" + b"a" * 98, b"b" * 99, b""]
    text = frames_of(deflater.deflate(message_frames(b"a" * 99, [])))
    assert [(first, inflate(payload)) for first, payload in text] == [(0xC1, b"4" + b"a" * 99)]
    assert deflater.deflate(text_frame(b"a" * 99)) == text_frame(b"a" * 99)


def test_what_would_grow_is_sent_as_it_is() -> None:
    noise = random.Random(3).randbytes(5_000)
    deflater = Deflater(PerMessageDeflate(), 15)
    assert deflater.deflate(binary_frame(noise)) == binary_frame(noise)
    # With takeover the client's window has to have it, too.
    deflater = Deflater(PerMessageDeflate(), 15, takeover=True)
    [(first, payload)] = frames_of(deflater.deflate(binary_frame(noise)))
    assert (first, inflate(payload)) == (0xC2, noise)


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("level", [1, 6, 9])
def test_without_takeover_every_message_stands_for_itself(bits: int, level: int) -> None:
    deflater = Deflater(PerMessageDeflate(threshold=0, level=level, mem_level=1 + level % 9), bits)
    chance = random.Random(bits)
    for _ in range(20):
        payload = bytes(chance.choices(b"abcdef", k=300)) * chance.randrange(1, 300)
        [(first, compressed)] = frames_of(deflater.deflate(binary_frame(payload)))
        assert first == 0xC2
        assert not compressed.endswith(TAIL)
        assert inflate(compressed, bits=bits) == payload


def test_an_empty_message_is_never_compressed() -> None:
    for takeover in (False, True):
        deflater = Deflater(PerMessageDeflate(threshold=0), 15, takeover=takeover)
        assert deflater.deflate(binary_frame(b"") * 2) == binary_frame(b"") * 2


@pytest.mark.parametrize("bits", range(9, 16))
def test_with_takeover_a_message_refers_to_earlier_ones(bits: int) -> None:
    deflater = Deflater(PerMessageDeflate(threshold=0), bits, takeover=True)
    reader = zlib.decompressobj(-bits)
    text = " ".join(str(number) for number in range(1_200)).encode()[: 1 << bits][-1_200:]
    sizes = []
    for _ in range(3):
        [(first, compressed)] = frames_of(deflater.deflate(text_frame(text)))
        assert first == 0xC1
        assert reader.decompress(compressed + TAIL) == text
        sizes.append(len(compressed))
    if bits > 10:
        assert sizes[1] < sizes[0] / 10


def test_connections_share_what_compresses_without_takeover() -> None:
    negotiator = Negotiator(PerMessageDeflate(), 1_000)

    def deflater(offer: str) -> Deflater:
        request = Request("GET", "/", [(b"sec-websocket-extensions", b"permessage-deflate" + offer.encode())])
        extension = negotiator.negotiate(request)
        assert extension is not None
        return extension.deflater

    assert deflater("") is deflater("; client_max_window_bits")
    assert deflater("; server_max_window_bits=10") is deflater("; server_max_window_bits=10")
    assert deflater("") is not deflater("; server_max_window_bits=10")
    negotiator = Negotiator(PerMessageDeflate(server_no_context_takeover=False), 1_000)
    assert deflater("") is not deflater("")
    assert deflater("; server_no_context_takeover") is deflater("; server_no_context_takeover")


def test_nothing_is_negotiated_with_a_client_that_offers_nothing() -> None:
    assert Negotiator(PerMessageDeflate(), 1_000).negotiate(Request("GET", "/", [])) is None


def test_both_directions_with_every_combination_of_takeover() -> None:
    for server, client in product((False, True), repeat=2):
        options = PerMessageDeflate(threshold=0, server_no_context_takeover=server, client_no_context_takeover=client)
        request = Request("GET", "/", [(b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")])
        extension = Negotiator(options, 10_000).negotiate(request)
        assert extension is not None
        websocket = WebSocketConnection(Limits(), extension)
        peer = OracleClient(extension.response)
        for number in range(10):
            text = f"message {number} " * 50
            assert websocket.receive_data(peer.send(text)) == [text]
            assert peer.receive(extension.deflater.deflate(text_frame(text.encode()))) == [text]
        assert (extension.inflater._decompressor is None) == client
