"""WebSocket clients that compress: one made of wsproto and its own extension, one of frames that a test writes down."""

from __future__ import annotations

import zlib
from itertools import pairwise

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate as Oracle

from client_frames import BINARY, CONTINUATION, TEXT, client_frame

__all__ = [
    "RSV1",
    "TAIL",
    "OracleClient",
    "cut_frames",
    "deflate",
    "deflated_frame",
    "fragments",
    "frames_of",
    "inflate",
]

RSV1 = 4
TAIL = b"\x00\x00\xff\xff"


def deflate(data: bytes, *, bits: int = 15, level: int = 6) -> bytes:
    """A compressed message, as RFC 7692, section 7.2.1, makes it."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflate(data: bytes, *, bits: int = 15) -> bytes:
    """A message as it was before it was compressed, without any context."""
    return zlib.decompressobj(-bits).decompress(data + TAIL)


def deflated_frame(message: str | bytes, **options: int) -> bytes:
    """A compressed message in one frame of a client."""
    if isinstance(message, str):
        return client_frame(TEXT, deflate(message.encode(), **options), rsv=RSV1)
    return client_frame(BINARY, deflate(message, **options), rsv=RSV1)


def fragments(opcode: int, payload: bytes, cuts: list[int]) -> list[bytes]:
    """The frames of a compressed message whose payload is cut at these places."""
    edges = [0, *sorted(cuts), len(payload)]
    pieces = [payload[start:end] for start, end in pairwise(edges)]
    return [
        client_frame(CONTINUATION if index else opcode, piece, fin=index == len(pieces) - 1, rsv=0 if index else RSV1)
        for index, piece in enumerate(pieces)
    ]


def cut_frames(stream: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The first byte and the payload of each frame that a server has sent, and what is there of the next one."""
    frames = []
    while len(stream) >= 2:
        size = stream[1]
        start = {126: 4, 127: 10}.get(size, 2)
        if size >= 126:
            size = int.from_bytes(stream[2:start], "big")
        if len(stream) < start + size:
            break
        frames.append((stream[0], stream[start : start + size]))
        stream = stream[start + size :]
    return frames, stream


def frames_of(stream: bytes) -> list[tuple[int, bytes]]:
    """:func:`cut_frames` of whole frames."""
    frames, rest = cut_frames(stream)
    assert rest == b""
    return frames


class OracleClient:
    """wsproto as the client, with the extension as a server's answer has set it up."""

    def __init__(self, response: bytes | str) -> None:
        self.extension = Oracle()
        self.extension.finalize(response.decode("ascii") if isinstance(response, bytes) else response)
        self.connection = Connection(ConnectionType.CLIENT, extensions=[self.extension])
        self.messages: list[str | bytes] = []
        self.close_code: int | None = None
        self._text = ""
        self._data = b""

    def send(self, message: str | bytes, cuts: list[int] | None = None, *, ping: bool = False) -> bytes:
        """The frames of a message that is cut into fragments at these places, with pings in between."""
        edges = [0, *sorted(cuts or []), len(message)]
        stream = b""
        for index, (start, end) in enumerate(pairwise(edges), start=2):
            last = index == len(edges)
            if isinstance(message, str):
                stream += self.connection.send(TextMessage(message[start:end], message_finished=last))
            else:
                stream += self.connection.send(BytesMessage(message[start:end], message_finished=last))
            if ping:
                stream += self.connection.send(Ping(b"ping"))
        return stream

    def receive(self, data: bytes) -> list[str | bytes]:
        """The messages that are complete now."""
        self.connection.receive_data(data)
        for event in self.connection.events():
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self.messages.append(self._text)
                    self._text = ""
            elif isinstance(event, BytesMessage):
                self._data += event.data
                if event.message_finished:
                    self.messages.append(self._data)
                    self._data = b""
            elif isinstance(event, CloseConnection):
                self.close_code = int(event.code)
        messages, self.messages = self.messages, []
        return messages
