"""How long packets take to encode and decode, next to other implementations on the same values.

``python -m pytest bench/test_codec.py`` prints one table per operation. All are timed in the same way: rounds of a
plain loop around the operation, behind one that warms up. Node.js times itself: a subprocess answers with its
nanoseconds per operation.

What goes in and comes out is what each server has and needs. siocore's encoders make UTF-8 that is ready to be sent,
Node.js' make strings, which it turns into UTF-8 later. The body of a POST arrives as bytes: siocore's decoder takes
them, Node.js' takes a string, so it is measured with ``Buffer.toString("utf8")`` in front, as its server does it, and
also without. The former is what siocore compares with.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import engineio.packet  # type: ignore[import-untyped]
import engineio.payload  # type: ignore[import-untyped]
import pytest
import socketio.packet  # type: ignore[import-untyped]

from siocore.options import Limits

PEERS = Path(__file__).parent / "peers"
NODE_MODULES = Path(__file__).parent / "node_modules"

EVENT: list[Any] = ["chat message", "hello everybody in the lobby", {"id": 17, "tags": ["a", "b"]}]
EVENT_TEXT = '2["chat message","hello everybody in the lobby",{"id":17,"tags":["a","b"]}]'
BLOBS = [bytes(range(64)), bytes(64)]
BINARY: list[Any] = ["image", {"name": "cat.png", "data": BLOBS[0]}, BLOBS[1]]
BINARY_TEXT = '52-["image",{"name":"cat.png","data":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]'
PACKETS = 16
PAYLOAD = "\x1e".join(["4" + EVENT_TEXT] * PACKETS)
LIMITS = Limits()

ROUNDS = 20
ITERATIONS = 5_000
# As many again in front, until its compiler has done what it is going to do.
NODE_ITERATIONS = 20_000


def codec(build: str) -> SimpleNamespace:
    """All functions of one build of siocore."""
    names: dict[str, Any] = {}
    for module in ("engineio", "socketio"):
        name = f"siocore.codec.{module}" if build == "python" else f"siocore._speedups._{module}"
        names.update(vars(importlib.import_module(name)))
    return SimpleNamespace(**names)


COMPILED = importlib.util.find_spec("siocore._speedups._socketio") is not None
each_build = pytest.mark.parametrize(
    "build",
    [
        "python",
        pytest.param("cython", marks=pytest.mark.skipif(not COMPILED, reason="the compiled modules were not built")),
    ],
)


class Clock:
    """A clock that only moves when a round is over, by what one operation has taken."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


CLOCK = Clock()


def table(group: str) -> pytest.MarkDecorator:
    return pytest.mark.benchmark(group=group, timer=CLOCK.now)


def measure(benchmark: Any, operation: Callable[..., Any], *arguments: object) -> Any:
    """Measure ``operation``, and return what it makes."""
    call = partial(operation, *arguments) if arguments else operation

    def one_round() -> None:
        begin = perf_counter_ns()
        for _ in repeat(None, ITERATIONS):
            call()
        CLOCK.seconds += (perf_counter_ns() - begin) / ITERATIONS * 1e-9

    benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=1)
    return call()


def measure_node(benchmark: Any, operation: str, **values: Any) -> None:
    """Let Node.js measure ``operation``, and report its figures as if they were this process's."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node was not found")
    if not (NODE_MODULES / "socket.io-parser").is_dir():
        pytest.skip("socket.io-parser is not installed (npm ci in bench/)")
    job = {"operation": operation, "iterations": NODE_ITERATIONS, "rounds": ROUNDS, **values}
    answer = subprocess.run(
        [node, str(PEERS / "parser_bench.js")],
        input=json.dumps(job, default=lambda blob: {"base64": base64.b64encode(blob).decode()}),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rounds = iter(json.loads(answer.stdout)["nanoseconds"])

    def one_round() -> None:
        CLOCK.seconds += next(rounds) * 1e-9

    benchmark.pedantic(one_round, rounds=ROUNDS, iterations=1)


# One small event.


@table("encode event")
@each_build
def test_encode_event_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_packet
    assert measure(benchmark, encode, 2, "/", EVENT, None) == (EVENT_TEXT.encode(), [])


@table("encode event")
def test_encode_event_python_socketio(benchmark: Any) -> None:
    def encode() -> Any:
        return socketio.packet.Packet(socketio.packet.EVENT, data=EVENT, namespace="/").encode()

    assert measure(benchmark, encode) == EVENT_TEXT


@table("encode event")
def test_encode_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "encode", data=EVENT)


@table("decode event")
@each_build
def test_decode_event_siocore(benchmark: Any, build: str) -> None:
    decode = codec(build).decode_socket_packet
    assert measure(benchmark, decode, "4" + EVENT_TEXT, 1, LIMITS).data == EVENT


@table("decode event")
def test_decode_event_python_socketio(benchmark: Any) -> None:
    def decode() -> Any:
        return socketio.packet.Packet(encoded_packet=EVENT_TEXT)

    assert measure(benchmark, decode).data == EVENT


@table("decode event")
def test_decode_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "decode", text=EVENT_TEXT, attachments=[])


# One event with two attachments.


@table("encode event with two attachments")
@each_build
def test_encode_binary_event_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_packet
    assert measure(benchmark, encode, 2, "/", BINARY, None) == (BINARY_TEXT.encode(), BLOBS)


@table("encode event with two attachments")
def test_encode_binary_event_python_socketio(benchmark: Any) -> None:
    def encode() -> Any:
        return socketio.packet.Packet(socketio.packet.EVENT, data=BINARY, namespace="/").encode()

    assert measure(benchmark, encode) == [BINARY_TEXT, *BLOBS]


@table("encode event with two attachments")
def test_encode_binary_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "encode", data=BINARY)


@table("decode event with two attachments")
@each_build
def test_decode_binary_event_siocore(benchmark: Any, build: str) -> None:
    functions = codec(build)
    decode_packet, reconstruct = functions.decode_socket_packet, functions.Reconstructor
    text = "4" + BINARY_TEXT

    def decode() -> Any:
        packet = decode_packet(text, 1, LIMITS)
        reconstructor = reconstruct(packet, LIMITS)
        for blob in BLOBS:
            reconstructor.add(blob)
        return packet

    assert measure(benchmark, decode).data == BINARY


@table("decode event with two attachments")
def test_decode_binary_event_python_socketio(benchmark: Any) -> None:
    def decode() -> Any:
        packet = socketio.packet.Packet(encoded_packet=BINARY_TEXT)
        for blob in BLOBS:
            packet.add_attachment(blob)
        return packet

    assert measure(benchmark, decode).data == BINARY


@table("decode event with two attachments")
def test_decode_binary_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "decode", text=BINARY_TEXT, attachments=BLOBS)


# A long-polling payload of 16 events, down to Engine.IO packets.


@table("encode payload of 16 packets")
@each_build
def test_encode_payload_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_payload
    packets = [b"4" + EVENT_TEXT.encode()] * PACKETS
    assert measure(benchmark, encode, packets) == PAYLOAD.encode()


@table("encode payload of 16 packets")
def test_encode_payload_python_engineio(benchmark: Any) -> None:
    def encode() -> Any:
        packets = [engineio.packet.Packet(engineio.packet.MESSAGE, EVENT_TEXT) for _ in range(PACKETS)]
        return engineio.payload.Payload(packets=packets).encode()

    assert measure(benchmark, encode) == PAYLOAD


@table("encode payload of 16 packets")
def test_encode_payload_node(benchmark: Any) -> None:
    measure_node(benchmark, "encodePayload", texts=[EVENT_TEXT] * PACKETS)


@table("decode payload of 16 packets")
@each_build
def test_decode_payload_siocore(benchmark: Any, build: str) -> None:
    decode = codec(build).decode_payload
    assert measure(benchmark, decode, PAYLOAD.encode()) == (["4" + EVENT_TEXT] * PACKETS, None)


@table("decode payload of 16 packets")
def test_decode_payload_python_engineio(benchmark: Any) -> None:
    body = PAYLOAD.encode()

    def decode() -> Any:
        return engineio.payload.Payload(encoded_payload=body.decode())

    assert len(measure(benchmark, decode).packets) == PACKETS


@table("decode payload of 16 packets")
def test_decode_payload_node_from_buffer(benchmark: Any) -> None:
    measure_node(benchmark, "decodePayloadFromBuffer", payload=PAYLOAD)


@table("decode payload of 16 packets")
def test_decode_payload_node_from_string(benchmark: Any) -> None:
    measure_node(benchmark, "decodePayload", payload=PAYLOAD)
