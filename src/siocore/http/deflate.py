"""Compression of WebSocket messages: permessage-deflate (RFC 7692).

wsproto's own extension raises on some offers, compresses every ping, and inflates without a bound. So negotiation is
done here, by the grammar, and what is inflated is bounded by what a message may have.
"""

from __future__ import annotations

import codecs
import re
import sys
import zlib

from siocore.errors import RemoteProtocolError
from siocore.options import PerMessageDeflate
from siocore.request import Request

__all__ = [
    "Agreement",
    "Deflater",
    "Extension",
    "InflateError",
    "Inflater",
    "Negotiator",
    "accept_answer",
    "choose_parameters",
    "offer",
]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*+"'
_PARAMETER = re.compile(rb"[ \t]*+;[ \t]*+(%b)(?:=(%b|%b))?+" % (_TOKEN, _TOKEN, _QUOTED))
_PARAMETERS = rb"(?:[ \t]*+;[ \t]*+%b(?:=(?:%b|%b))?+)*+" % (_TOKEN, _TOKEN, _QUOTED)
# One element of the list and the comma behind it. All of it possessive, so that nothing is ever tried twice.
_ELEMENT = re.compile(rb"[ \t]*+(?:(%b)(%b)[ \t]*+)?+(?:,|\Z)" % (_TOKEN, _PARAMETERS))
_BITS = re.compile(rb"[89]|1[0-5]")
_SWITCHES = (b"server_no_context_takeover", b"client_no_context_takeover")
_WINDOWS = (b"server_max_window_bits", b"client_max_window_bits")

_LARGEST = 15
# zlib's deflate needs a window of 512 bytes: it takes an 8 for a 9, which the other side would not know, or refuses it.
_SMALLEST = 9

# What every compressed message ends with, and what is therefore left out (RFC 7692, section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
#: Inflated at a time.
_PIECE = 65_536
#: A sender may end a DEFLATE stream within a message and begin another (section 7.2.3.4). Few do, and none so often.
_MAX_STREAMS = 16

_COMPRESSED = 0x40
_INVALID_DATA = 1007
_TOO_BIG = 1009


class Agreement:
    """What client and server have agreed on."""

    __slots__ = ("client_bits", "client_takeover", "response", "server_bits", "server_takeover")

    def __init__(
        self, response: bytes, server_bits: int, server_takeover: bool, client_bits: int, client_takeover: bool
    ) -> None:
        #: The value of our Sec-WebSocket-Extensions.
        self.response = response
        self.server_bits = server_bits
        #: Whether what we send may refer to earlier messages.
        self.server_takeover = server_takeover
        self.client_bits = client_bits
        self.client_takeover = client_takeover


def choose_parameters(offers: list[bytes], options: PerMessageDeflate) -> Agreement | None:
    """The first acceptable offer among these Sec-WebSocket-Extensions headers, and what we make of it.

    An offer with an unknown, repeated or illegal parameter is declined (RFC 7692, section 5.1). ``None`` if all are, or
    if the headers are not well-formed: the connection is then one without compression.
    """
    header = b",".join(offers)
    position = 0
    chosen = None
    while position < len(header):
        match = _ELEMENT.match(header, position)
        if match is None:
            return None
        if chosen is None and match[1] == b"permessage-deflate":
            chosen = _accept(match[2], options)
        position = match.end()
    return chosen


def _accept(offer: bytes, options: PerMessageDeflate) -> Agreement | None:
    parameters: dict[bytes, int | None] = {}
    for match in _PARAMETER.finditer(offer):
        name, value = match[1], match[2]
        if name in parameters:
            return None
        if name in _SWITCHES and value is None:
            parameters[name] = None
            continue
        if value is not None and value.startswith(b'"'):
            value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
        if name == b"client_max_window_bits" and value is None:
            parameters[name] = _LARGEST
        elif name in _WINDOWS and value is not None and _BITS.fullmatch(value):
            parameters[name] = int(value)
        else:
            return None
    response = [b"permessage-deflate"]
    server_takeover = not (options.server_no_context_takeover or b"server_no_context_takeover" in parameters)
    if not server_takeover:
        response.append(b"server_no_context_takeover")
    client_takeover = not (options.client_no_context_takeover or b"client_no_context_takeover" in parameters)
    if not client_takeover:
        response.append(b"client_no_context_takeover")
    server_bits = options.server_max_window_bits
    asked = parameters.get(b"server_max_window_bits")
    if asked is not None:
        if asked < _SMALLEST:
            return None
        server_bits = min(server_bits, asked)
        response.append(b"server_max_window_bits=%d" % server_bits)
    client_bits = _LARGEST
    allowed = parameters.get(b"client_max_window_bits")
    if allowed is not None:
        client_bits = min(options.client_max_window_bits, allowed)
        if client_bits < _LARGEST:
            response.append(b"client_max_window_bits=%d" % client_bits)
    return Agreement(b"; ".join(response), server_bits, server_takeover, client_bits, client_takeover)


def offer(options: PerMessageDeflate) -> bytes:
    """The value of a client's Sec-WebSocket-Extensions."""
    parameters = [b"permessage-deflate"]
    if options.server_no_context_takeover:
        parameters.append(b"server_no_context_takeover")
    if options.client_no_context_takeover:
        parameters.append(b"client_no_context_takeover")
    if options.server_max_window_bits < _LARGEST:
        parameters.append(b"server_max_window_bits=%d" % options.server_max_window_bits)
    narrow = options.client_max_window_bits < _LARGEST
    parameters.append(b"client_max_window_bits=%d" % options.client_max_window_bits if narrow else _WINDOWS[1])
    return b"; ".join(parameters)


def accept_answer(answers: list[bytes], options: PerMessageDeflate, max_payload: int) -> Extension:
    """What a server's Sec-WebSocket-Extensions make of our offer, for a client.

    Raises :exc:`RemoteProtocolError` if they are not a correct answer to it (RFC 7692, section 7.1).
    """
    header = b",".join(answers)
    match = _ELEMENT.match(header)
    if match is None or match.end() != len(header) or match[1] is None or header.endswith(b","):
        raise RemoteProtocolError("the server's WebSocket extensions are not one that was offered")
    if match[1] != b"permessage-deflate":
        raise RemoteProtocolError("the server chose a WebSocket extension that was not offered")
    parameters: dict[bytes, int] = {}
    for found in _PARAMETER.finditer(match[2]):
        name, value = found[1], found[2]
        if value is not None and value.startswith(b'"'):
            value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
        right = value is None if name in _SWITCHES else value is not None and _BITS.fullmatch(value) is not None
        if name in parameters or name not in _SWITCHES + _WINDOWS or not right:
            raise RemoteProtocolError("the server's permessage-deflate has a parameter that is unknown or not valid")
        parameters[name] = int(value or 0)
    server_bits = parameters.get(b"server_max_window_bits", _LARGEST)
    if server_bits > options.server_max_window_bits:
        raise RemoteProtocolError("the server's permessage-deflate takes a larger window than it was offered")
    client_bits = min(parameters.get(b"client_max_window_bits", _LARGEST), options.client_max_window_bits)
    takeover = not (options.client_no_context_takeover or b"client_no_context_takeover" in parameters)
    deflater = Deflater(options, max(client_bits, _SMALLEST), takeover=takeover)
    if client_bits < _SMALLEST:
        # Nothing that zlib makes fits into that window. Uncompressed messages are always allowed.
        deflater.threshold = sys.maxsize
    # A larger window than the server's does no harm, and some zlibs know none that is smaller.
    inflater = Inflater(
        max(server_bits, _SMALLEST), max_payload, takeover=b"server_no_context_takeover" not in parameters
    )
    return Extension(header, deflater, inflater)


class Negotiator:
    """Negotiates for a server, and has the compressors that its connections share."""

    __slots__ = ("_max_payload", "_options", "_shared")

    def __init__(self, options: PerMessageDeflate, max_payload: int) -> None:
        self._options = options
        self._max_payload = max_payload
        self._shared: dict[int, Deflater] = {}

    def negotiate(self, request: Request) -> Extension | None:
        """The extension for the WebSocket that ``request`` asks for; ``None`` if it offers none that is acceptable."""
        agreement = choose_parameters(request.header_values(b"sec-websocket-extensions"), self._options)
        if agreement is None:
            return None
        bits = agreement.server_bits
        if agreement.server_takeover:
            deflater = Deflater(self._options, bits, takeover=True)
        else:
            if bits not in self._shared:
                self._shared[bits] = Deflater(self._options, bits)
            deflater = self._shared[bits]
        inflater = Inflater(agreement.client_bits, self._max_payload, takeover=agreement.client_takeover)
        return Extension(agreement.response, deflater, inflater)


class Extension:
    """Both directions of one connection."""

    __slots__ = ("deflater", "inflater", "response")

    def __init__(self, response: bytes, deflater: Deflater, inflater: Inflater) -> None:
        self.response = response
        self.deflater = deflater
        self.inflater = inflater


class Deflater:
    """Compresses what is sent.

    With ``takeover`` it belongs to one connection, and all that it returns must be sent there, in order. Without, its
    results are for anybody with at least this window.
    """

    __slots__ = ("_bits", "_compressor", "_level", "_mem_level", "takeover", "threshold")

    def __init__(self, options: PerMessageDeflate, bits: int, *, takeover: bool = False) -> None:
        self.takeover = takeover
        self._bits = bits
        # An empty message can't be: after one flush, another without data in between writes nothing.
        self.threshold = max(options.threshold, 1)
        self._level = options.level
        self._mem_level = options.mem_level
        self._compressor: zlib._Compress | None = None

    def deflate(self, frames: bytes) -> bytes:
        """Unfragmented, unmasked data frames, those compressed that are as long as the threshold.

        Without context takeover, what would not become smaller is left as it is.
        """
        if len(frames) < self.threshold:
            return frames
        made = []
        position = 0
        while position < len(frames):
            length = frames[position + 1]
            start = position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(frames[position + 2 : start], "big")
            end = start + length
            compressed = self._compress(frames[start:end]) if length >= self.threshold else None
            if compressed is None:
                made.append(frames[position:end])
            else:
                made += (_header(frames[position] | _COMPRESSED, len(compressed)), compressed)
            position = end
        return b"".join(made)

    def _compress(self, payload: bytes) -> bytes | None:
        compressor = self._compressor
        if compressor is None:
            # Kept for the next message even without takeover: making one takes longer than compressing a short message.
            compressor = self._compressor = zlib.compressobj(self._level, zlib.DEFLATED, -self._bits, self._mem_level)
        # A full flush makes zlib forget what it has seen.
        flush = zlib.Z_SYNC_FLUSH if self.takeover else zlib.Z_FULL_FLUSH
        data = compressor.compress(payload) + compressor.flush(flush)
        compressed = data.removesuffix(_TAIL)
        return compressed if self.takeover or len(compressed) < len(payload) else None


class InflateError(Exception):
    """The peer's fault: the close code and the reason to fail the connection with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Inflater:
    """Inflates the messages of one connection, in pieces as they come, up to ``max_payload`` bytes each."""

    __slots__ = ("_bits", "_decoder", "_decompressor", "_max_payload", "_message", "_streams", "_takeover")

    def __init__(self, bits: int, max_payload: int, *, takeover: bool = False) -> None:
        self._bits = bits
        self._takeover = takeover
        self._max_payload = max_payload
        self._decompressor: zlib._Decompress | None = None
        # The message so far, and for text what checks its UTF-8: RFC 6455 wants bad text refused early.
        self._message = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._streams = 0

    def begin(self, text: bool) -> None:
        """A message begins."""
        self._decoder = codecs.getincrementaldecoder("utf-8")() if text else None
        self._streams = 0

    def feed(self, data: bytes) -> None:
        """Inflate some of the message's bytes. Raises :exc:`InflateError`."""
        room = self._max_payload - len(self._message)
        piece = b""
        size = 0
        while data or (size and len(piece) == size):
            decompressor = self._decompressor
            if decompressor is None:
                self._streams += 1
                if self._streams > _MAX_STREAMS:
                    raise InflateError(_INVALID_DATA, "too many DEFLATE streams")
                decompressor = self._decompressor = zlib.decompressobj(-self._bits)
            size = min(_PIECE, room + 1)
            try:
                piece = decompressor.decompress(data, size)
            except zlib.error:
                raise InflateError(_INVALID_DATA, "corrupt compressed data") from None
            room -= len(piece)
            if room < 0:
                raise InflateError(_TOO_BIG, "message too big")
            self._take(piece, False)
            data = decompressor.unconsumed_tail
            if decompressor.eof:
                data = decompressor.unused_data
                self._decompressor = None
                size = 0

    def finish(self) -> str | bytes:
        """The message is complete: ``str`` for text, else ``bytes``. Raises :exc:`InflateError`."""
        # If the stream was ended by its sender there may be nothing that waits for the tail.
        if self._decompressor is not None:
            self.feed(_TAIL)
        if not self._takeover:
            self._decompressor = None
        self._take(b"", True)
        message, self._message = self._message, bytearray()
        if self._decoder is None:
            return bytes(message)
        self._decoder = None
        return message.decode()

    def _take(self, piece: bytes, last: bool) -> None:
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, last)
            except UnicodeDecodeError:
                raise InflateError(_INVALID_DATA, "text is not UTF-8") from None
        self._message += piece


def _header(first: int, length: int) -> bytes:
    if length <= 125:
        return bytes((first, length))
    if length <= 0xFFFF:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")
