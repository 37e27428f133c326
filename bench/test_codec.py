"""How long packets take to encode and decode, next to other implementations on the same values.

``python -m pytest bench/test_codec.py`` prints one table per operation. Node.js times itself (a subprocess answers with
its nanoseconds per operation) and does not turn text into UTF-8; siocore's encoder does.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
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


class ForeignClock:
    """A clock that only moves when somebody else says how long an operation took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


CLOCK = ForeignClock()


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


@pytest.mark.benchmark(group="encode event")
@each_build
def test_encode_event_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_packet
    assert benchmark(encode, 2, "/", EVENT, None) == (EVENT_TEXT.encode(), [])


@pytest.mark.benchmark(group="encode event")
def test_encode_event_python_socketio(benchmark: Any) -> None:
    def encode() -> Any:
        return socketio.packet.Packet(socketio.packet.EVENT, data=EVENT, namespace="/").encode()

    assert benchmark(encode) == EVENT_TEXT


@pytest.mark.benchmark(group="encode event", timer=CLOCK.now)
def test_encode_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "encode", data=EVENT)


@pytest.mark.benchmark(group="decode event")
@each_build
def test_decode_event_siocore(benchmark: Any, build: str) -> None:
    decode = codec(build).decode_socket_packet
    assert benchmark(decode, "4" + EVENT_TEXT, 1, LIMITS).data == EVENT


@pytest.mark.benchmark(group="decode event")
def test_decode_event_python_socketio(benchmark: Any) -> None:
    def decode() -> Any:
        return socketio.packet.Packet(encoded_packet=EVENT_TEXT)

    assert benchmark(decode).data == EVENT


@pytest.mark.benchmark(group="decode event", timer=CLOCK.now)
def test_decode_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "decode", text=EVENT_TEXT, attachments=[])


# One event with two attachments.


@pytest.mark.benchmark(group="encode event with two attachments")
@each_build
def test_encode_binary_event_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_packet
    assert benchmark(encode, 2, "/", BINARY, None) == (BINARY_TEXT.encode(), BLOBS)


@pytest.mark.benchmark(group="encode event with two attachments")
def test_encode_binary_event_python_socketio(benchmark: Any) -> None:
    def encode() -> Any:
        return socketio.packet.Packet(socketio.packet.EVENT, data=BINARY, namespace="/").encode()

    assert benchmark(encode) == [BINARY_TEXT, *BLOBS]


@pytest.mark.benchmark(group="encode event with two attachments", timer=CLOCK.now)
def test_encode_binary_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "encode", data=BINARY)


@pytest.mark.benchmark(group="decode event with two attachments")
@each_build
def test_decode_binary_event_siocore(benchmark: Any, build: str) -> None:
    functions = codec(build)

    def decode() -> Any:
        packet = functions.decode_socket_packet("4" + BINARY_TEXT, 1, LIMITS)
        reconstructor = functions.Reconstructor(packet, LIMITS)
        for blob in BLOBS:
            reconstructor.add(blob)
        return packet

    assert benchmark(decode).data == BINARY


@pytest.mark.benchmark(group="decode event with two attachments")
def test_decode_binary_event_python_socketio(benchmark: Any) -> None:
    def decode() -> Any:
        packet = socketio.packet.Packet(encoded_packet=BINARY_TEXT)
        for blob in BLOBS:
            packet.add_attachment(blob)
        return packet

    assert benchmark(decode).data == BINARY


@pytest.mark.benchmark(group="decode event with two attachments", timer=CLOCK.now)
def test_decode_binary_event_node(benchmark: Any) -> None:
    measure_node(benchmark, "decode", text=BINARY_TEXT, attachments=BLOBS)


# A long-polling payload of 16 events, down to Engine.IO packets.


@pytest.mark.benchmark(group="encode payload of 16 packets")
@each_build
def test_encode_payload_siocore(benchmark: Any, build: str) -> None:
    encode = codec(build).encode_payload
    packets = [b"4" + EVENT_TEXT.encode()] * PACKETS
    assert benchmark(encode, packets) == PAYLOAD.encode()


@pytest.mark.benchmark(group="encode payload of 16 packets")
def test_encode_payload_python_engineio(benchmark: Any) -> None:
    def encode() -> Any:
        packets = [engineio.packet.Packet(engineio.packet.MESSAGE, EVENT_TEXT) for _ in range(PACKETS)]
        return engineio.payload.Payload(packets=packets).encode()

    assert benchmark(encode) == PAYLOAD


@pytest.mark.benchmark(group="encode payload of 16 packets", timer=CLOCK.now)
def test_encode_payload_node(benchmark: Any) -> None:
    measure_node(benchmark, "encodePayload", texts=[EVENT_TEXT] * PACKETS)


@pytest.mark.benchmark(group="decode payload of 16 packets")
@each_build
def test_decode_payload_siocore(benchmark: Any, build: str) -> None:
    decode = codec(build).decode_payload
    assert benchmark(decode, PAYLOAD.encode()) == ([(4, EVENT_TEXT)] * PACKETS, None)


@pytest.mark.benchmark(group="decode payload of 16 packets")
def test_decode_payload_python_engineio(benchmark: Any) -> None:
    body = PAYLOAD.encode()

    def decode() -> Any:
        return engineio.payload.Payload(encoded_payload=body.decode())

    assert len(benchmark(decode).packets) == PACKETS


@pytest.mark.benchmark(group="decode payload of 16 packets", timer=CLOCK.now)
def test_decode_payload_node(benchmark: Any) -> None:
    measure_node(benchmark, "decodePayload", payload=PAYLOAD)
