"""What is counted: each case is a fixed input, what must come of it, and how often it is repeated.

They use what siocore exports and no more, so that a case stays the same however siocore is built inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import siocore
from bench.instructions.driver import Driver
from bench.instructions.wire import (
    BINARY,
    CLOSE,
    SWITCHING,
    TEXT,
    UPGRADE,
    answer,
    frame,
    get,
    masked,
    post,
    session_id,
    without_ids,
)
from siocore._speedups import (
    Reconstructor,
    decode_payload,
    decode_socket_packet,
    encode_packet,
    encode_payload,
    parse_frames,
    recognise_head,
    text_frame,
)
from siocore.codec.heads import KEEP

__all__ = ["CASES", "Case", "Prepared", "WrongResultError"]


class WrongResultError(Exception):
    """A case did not do what it is to be counted for."""


class Prepared(NamedTuple):
    """A case that is ready to run."""

    run: Callable[[], Any]
    expected: object
    #: What of the result is compared with ``expected``.
    seen: Callable[[Any], object] = lambda result: result


@dataclass(frozen=True, slots=True)
class Case:
    """``calls`` runs are counted; each does ``operations`` of what ``unit`` names."""

    name: str
    unit: str
    prepare: Callable[[], Prepared]
    calls: int
    operations: int = 1

    def check(self, prepared: Prepared) -> None:
        """Run once, and raise WrongResultError if anything but what is expected comes of it."""
        found = prepared.seen(prepared.run())
        if found != prepared.expected:
            raise WrongResultError(f"{self.name}: expected {prepared.expected!r:.2000}, not {found!r:.2000}")


LIMITS = siocore.Limits()
MANY = 16
# To join more than ten, CPython asks malloc for a table that is larger than what malloc keeps at hand. What that costs
# depends on what lies beside it on the heap: 5 % of the whole, from one run to another.
SEVERAL = 8

# Codecs -------------------------------------------------------------------------------------------------------------

EVENT: list[Any] = ["chat message", "hello everybody in the lobby", {"id": 17, "tags": ["a", "b"]}]
EVENT_TEXT = '2["chat message","hello everybody in the lobby",{"id":17,"tags":["a","b"]}]'
BLOBS = [bytes(range(64)), bytes(64)]
BINARY_EVENT: list[Any] = ["image", {"name": "cat.png", "data": BLOBS[0]}, BLOBS[1]]
BINARY_TEXT = '52-["image",{"name":"cat.png","data":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]'
PACKET = "4" + EVENT_TEXT
PAYLOAD = "\x1e".join([PACKET] * MANY).encode()


def encode_event() -> Prepared:
    return Prepared(partial(encode_packet, 2, "/", EVENT, None), (EVENT_TEXT.encode(), []))


def decode_event() -> Prepared:
    return Prepared(partial(decode_socket_packet, PACKET, 1, LIMITS), EVENT, lambda packet: packet.data)


def encode_attachments() -> Prepared:
    return Prepared(partial(encode_packet, 2, "/", BINARY_EVENT, None), (BINARY_TEXT.encode(), BLOBS))


def decode_attachments() -> Prepared:
    text = "4" + BINARY_TEXT

    def decode() -> Any:
        packet = decode_socket_packet(text, 1, LIMITS)
        reconstructor = Reconstructor(packet, LIMITS)
        for blob in BLOBS:
            reconstructor.add(blob)
        return packet

    return Prepared(decode, BINARY_EVENT, lambda packet: packet.data)


def encode_several() -> Prepared:
    packets = [PACKET.encode()] * SEVERAL
    return Prepared(partial(encode_payload, packets), b"\x1e".join(packets))


def decode_many() -> Prepared:
    return Prepared(partial(decode_payload, PAYLOAD), ([PACKET] * MANY, None))


def write_frames() -> Prepared:
    payloads = [PACKET.encode()] * MANY
    return Prepared(lambda: [text_frame(payload) for payload in payloads], [frame(TEXT, PACKET.encode())] * MANY)


def read_frames() -> Prepared:
    data = masked(TEXT, PACKET.encode()) * MANY

    def parse() -> tuple[int, list[str | bytes]]:
        messages: list[str | bytes] = []
        return parse_frames(data, 0, LIMITS.max_payload, messages), messages

    return Prepared(parse, (len(data), [PACKET] * MANY))


def head() -> Prepared:
    headers = [
        (b"host", b"127.0.0.1:3000"),
        (b"user-agent", b"bench"),
        (b"accept", b"*/*"),
        (b"connection", b"keep-alive"),
    ]
    return Prepared(partial(recognise_head, get()), ("GET", "/socket.io/?EIO=4&transport=polling", headers, 0, KEEP))


# From bytes to bytes through a server -------------------------------------------------------------------------------

CLIENTS = 50
TOGETHER = 4
PING_INTERVAL = 25.0
TEXT_64 = "x" * 64
ECHO = b'421["echo","%b"]' % TEXT_64.encode()
ECHOED = b'431["%b"]' % TEXT_64.encode()
BLOB = bytes(range(256)) * 4
PLAIN, HTML = "text/plain; charset=UTF-8", "text/html"
OPENED = (
    b'0{"sid":"....................","upgrades":[%b],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
)
JOINED = b'40{"sid":"...................."}'


def server() -> siocore.Server:
    """A server with the handlers of the load bench."""
    io = siocore.Server()

    @io.on("echo")
    async def echo(socket: siocore.Socket, text: str) -> str:
        return text

    @io.on("bin")
    async def binary(socket: siocore.Socket, data: bytes) -> None:
        socket.emit("bin", data)

    @io.on("cast")
    async def cast(socket: siocore.Socket, text: str) -> None:
        io.emit("cast", text)

    return io


def websocket(driver: Driver) -> siocore.Connection:
    """A client that has joined the namespace ``/``."""
    connection = driver.connect()
    driver.receive(connection, UPGRADE)
    driver.receive(connection, masked(TEXT, b"40"))
    return connection


def acknowledged(together: int) -> Prepared:
    driver = Driver(server())
    connection = websocket(driver)
    events = masked(TEXT, ECHO) * together
    return Prepared(lambda: driver.receive(connection, events), [frame(TEXT, ECHOED) * together])


def binary_echo() -> Prepared:
    driver = Driver(server())
    connection = websocket(driver)
    text = b'451-["bin",{"_placeholder":true,"num":0}]'
    event = masked(TEXT, text) + masked(BINARY, BLOB)
    return Prepared(lambda: driver.receive(connection, event), [frame(TEXT, text) + frame(BINARY, BLOB)])


def broadcast() -> Prepared:
    driver = Driver(server())
    connections = [websocket(driver) for _ in range(CLIENTS)]
    event = b'42["cast","%b"]' % TEXT_64.encode()
    events = masked(TEXT, event) * TOGETHER
    expected = [frame(TEXT, event) * TOGETHER] * CLIENTS
    return Prepared(lambda: driver.receive(connections[0], events), expected)


def polling() -> Prepared:
    driver = Driver(server())
    receiver, sender = driver.connect(), driver.connect()
    sid = session_id(driver.receive(receiver, get()))
    driver.receive(sender, post(sid, b"40"))
    poll, event = get(sid), post(sid, ECHO)
    driver.receive(receiver, poll)

    def cycle() -> list[bytes]:
        # As clients do it: the GET is there before there is anything to answer it with.
        return driver.receive(receiver, poll) + driver.receive(sender, event)

    return Prepared(cycle, [answer(HTML, b"ok"), answer(PLAIN, ECHOED)])


def handshake() -> Prepared:
    driver = Driver(server())
    connection = driver.connect()
    request = get()
    expected = [answer(PLAIN, OPENED % b'"websocket"')]
    return Prepared(lambda: driver.receive(connection, request), expected, without_ids)


def connect() -> Prepared:
    driver = Driver(server())
    join, close = masked(TEXT, b"40"), masked(CLOSE, b"\x03\xe8")

    def life() -> list[bytes]:
        connection = driver.connect()
        return (
            driver.receive(connection, UPGRADE) + driver.receive(connection, join) + driver.receive(connection, close)
        )

    expected = [SWITCHING + frame(TEXT, OPENED % b""), frame(TEXT, JOINED), frame(CLOSE, b"\x03\xe8")]
    return Prepared(life, expected, without_ids)


def heartbeat() -> Prepared:
    driver = Driver(server())
    connection = websocket(driver)
    pong = masked(TEXT, b"3")
    return Prepared(lambda: driver.wait(PING_INTERVAL) + driver.receive(connection, pong), [frame(TEXT, b"2")])


CASES = (
    Case("encode-event", "event", encode_event, 2000),
    Case("decode-event", "event", decode_event, 2000),
    Case("encode-attachments", "event with two attachments", encode_attachments, 1000),
    Case("decode-attachments", "event with two attachments", decode_attachments, 1000),
    Case("encode-payload", f"payload of {SEVERAL} packets", encode_several, 2000),
    Case("decode-payload", f"payload of {MANY} packets", decode_many, 1000),
    Case("write-frames", "text frame", write_frames, 1000, MANY),
    Case("read-frames", "text frame", read_frames, 1000, MANY),
    Case("head", "head of a plain GET", head, 2000),
    Case("ack-1", "acknowledged event, one per read", partial(acknowledged, 1), 400),
    Case("ack-8", "acknowledged event, eight per read", partial(acknowledged, 8), 100, 8),
    Case("binary", "echo of an attachment of 1 KiB", binary_echo, 300),
    Case("broadcast", f"delivery to one of {CLIENTS}, {TOGETHER} events per read", broadcast, 50, CLIENTS * TOGETHER),
    Case("polling", "event by POST, its acknowledgement by GET", polling, 200),
    Case("handshake", "session opened by a GET", handshake, 200),
    Case("connect", "WebSocket opened, joined and closed", connect, 100),
    Case("heartbeat", "PING and its PONG", heartbeat, 400),
)
