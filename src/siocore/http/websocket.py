"""The server side of a WebSocket connection (RFC 6455) behind its opening handshake, and the base of the client's.

Common frames are parsed by ``parse_frames``. Every other byte is judged by wsproto, which knows the whole RFC; what it
leaves open is added here: reassembly, and limits on messages and fragments.
"""

# Theory of operation
# -------------------
# The input is cut into frames here, so wsproto is always given bytes of one frame at a time. Three places can hold
# something between two reads:
#   1) `_buffer`   an incomplete header (14 bytes at most), or an incomplete frame that parse_frames will take when it
#                  is complete; its header was checked, so it is never larger than max_payload allows. The UTF-8 of an
#                  incomplete text is checked as it grows, since RFC 6455 wants bad text refused early (`_TextCheck`).
#   2) wsproto     an incomplete control frame (125 bytes at most). Any other frame is streamed through it.
#   3) `_Uncommon` the part of a fragmented message that has come so far, in one bytearray.
#   4) `Inflater`  the part of a compressed message that has come so far, inflated, in one bytearray.
# Frames of compressed messages are streamed to the inflater, and wsproto hears of none of them.
# A header is judged before a byte of its payload is looked at: illegal ones go to wsproto for the close code, one that
# declares more than is left of the limits fails the connection.

from __future__ import annotations

import codecs
import sys

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from siocore._speedups import apply_mask, parse_frames
from siocore.errors import LocalProtocolError
from siocore.http.deflate import Extension, InflateError
from siocore.options import Limits

__all__ = ["WebSocketConnection"]

_FINAL_TEXT = 0x81
_FINAL_BINARY = 0x82
_PONG = 0x8A
_FIN = 0x80
_COMPRESSED = 0x40
_DATA = (0x1, 0x2)
_TEXT = 0x1
_OPCODES = frozenset((0x0, 0x1, 0x2, 0x8, 0x9, 0xA))
_MAX_CONTROL = 125
_NO_CLOSE_FRAME = 1006
_NO_FRAME = b"\xff\xff"
# RFC 6455, section 7.4, and later registrations that wsproto knows: what an endpoint may send.
_SENDABLE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1014), *range(3000, 5000)))


class WebSocketConnection:
    """Bytes in, whole messages out: ``str`` for text, ``bytes`` for binary.

    A peer can't make any method raise. After each call send ``output`` and look at the flags. While the peer does not
    read, leave ``output`` here: a newer pong replaces the one that waits, so that pings can't fill memory.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_limits",
        "_max_payload",
        "_text_check",
        "_uncommon",
        "close_code",
        "close_received",
        "close_sent",
        "extension",
        "failed",
        "output",
        "stirred",
    )

    #: The bit of a frame's header that says it is masked, as the peer has to set it.
    _PEER_MASKS = 0x80

    def __init__(self, limits: Limits, extension: Extension | None = None) -> None:
        self._limits = limits
        #: Compression, if it was agreed on; until the connection ends.
        self.extension = extension
        self._max_payload = limits.max_payload
        self._buffer: bytearray | None = None
        self._text_check: _TextCheck | None = None
        self._uncommon: _Uncommon | None = None
        self._ended = False
        #: Pongs (one at most) and close frames to be sent; the owner takes and clears it.
        self.output: list[bytes] = []
        self.close_sent = False
        self.close_received = False
        #: The peer's close code (1005 if its frame has none), ours if we failed the connection, 1006 if it just ended.
        self.close_code: int | None = None
        #: The peer broke RFC 6455 or a limit. A close frame is in ``output`` and nothing more is read.
        self.failed = False
        #: Whether the last read held anything but whole messages, so that the flags above are worth a look.
        self.stirred = False

    @property
    def partial(self) -> bool:
        """Whether a frame or a fragmented message is incomplete."""
        return self._buffer is not None or (self._uncommon is not None and self._uncommon.busy)

    def receive_data(self, data: bytes) -> list[str | bytes]:
        """Take bytes from the peer; returns the messages they complete, also those in front of a fault.

        Messages that arrive after our close frame and before the peer's are returned as well.
        """
        messages: list[str | bytes] = []
        position = 0
        if self._buffer is None and self._uncommon is None and not self._ended:
            # The common case, ahead of all else: whole frames with whole messages.
            position = parse_frames(data, 0, self._max_payload, messages)
            if position == len(data):
                self.stirred = False
                return messages
        return self._receive_rest(data, position, messages)

    def _receive_rest(self, data: bytes, position: int, messages: list[str | bytes]) -> list[str | bytes]:
        """Take what is behind ``position``: the rest is not, or not all, whole frames with whole messages."""
        self.stirred = True
        if self._ended:
            return messages
        source: bytes | bytearray = data
        if self._buffer is not None:
            self._buffer += data
            source = self._buffer
        end = len(source)
        while True:
            if self._uncommon is None or not self._uncommon.busy:
                start = position
                position = self._parse_common(source, start, messages)
                if position != start:
                    self._text_check = None
            if position == end:
                break
            start = position
            position = self._take_uncommon(source, start, messages)
            if self._ended:
                return messages
            if position == start:
                break
        if source is not data or position != end or self._uncommon is not None:
            self._keep(source, position)
        return messages

    def receive_eof(self) -> None:
        """The peer sends nothing more."""
        if not self._ended:
            self.close_code = _NO_CLOSE_FRAME
            self._end()

    def close(self, code: int, reason: str = "") -> None:
        """Start the close handshake; nothing happens if a close frame was sent already.

        ``reason`` is cut to the 123 bytes of UTF-8 that a close frame can carry. Raises :exc:`LocalProtocolError` if
        the code must not be sent, or if the reason is not encodable.
        """
        if code not in _SENDABLE_CODES:
            raise LocalProtocolError(f"close code {code!r} can't be sent")
        try:
            reason.encode()
        except UnicodeEncodeError as exc:
            raise LocalProtocolError(f"the close reason can't be sent: {exc}") from exc
        if not self.close_sent:
            self._send_close(CloseConnection(code=code, reason=reason))

    def _keep(self, source: bytes | bytearray, position: int) -> None:
        """Hold back the bytes from ``position`` on, and let go of what a quiet connection does not need."""
        if position == len(source):
            self._buffer = None
        elif self._buffer is None:
            self._buffer = bytearray(source[position:])
        elif position:
            del self._buffer[:position]
        uncommon = self._uncommon
        if uncommon is not None and not uncommon.busy and not self.close_sent:
            uncommon.retire()
            self._uncommon = None

    def _take_uncommon(self, source: bytes | bytearray, position: int, messages: list[str | bytes]) -> int:
        """Consume one frame, or what is there of it, that parse_frames left; returns the position behind it.

        The position is unchanged if more bytes have to come first.
        """
        uncommon = self._uncommon
        if uncommon is not None and uncommon.frame_left:
            return self._go_on(uncommon, source, position, messages)
        available = len(source) - position
        if available < 2:
            return position
        first = source[position]
        control = first & 0x08
        length = source[position + 1] & 0x7F
        if first & 0x0F not in _OPCODES or (control and (not first & 0x80 or length > _MAX_CONTROL)):
            return self._reject(source, position, 2)
        size = 2
        minimum = 0
        if length >= 126:
            size = 4 if length == 126 else 10
            minimum = 126 if length == 126 else 0x10000
            if available < size:
                return position
            length = int.from_bytes(source[position + 2 : position + size], "big")
        deflated = self._is_deflated(first, uncommon)
        reserved = first & (0x30 if deflated else 0x70)
        if reserved or source[position + 1] & 0x80 != self._PEER_MASKS or length < minimum or length >> 63:
            return self._reject(source, position, size)
        if not deflated and not control and uncommon is not None and uncommon.inflating:
            self._fail(CloseReason.PROTOCOL_ERROR, "a message begins within another")
            return position
        if not control and not self._within_limits(uncommon, length, deflated):
            return position
        size += 4 if self._PEER_MASKS else 0
        if available < size:
            return position
        common = first in (_FINAL_TEXT, _FINAL_BINARY) and not (uncommon is not None and uncommon.fragments)
        complete = available >= size + length
        if common and not complete and (first == _FINAL_BINARY or self._is_text_so_far(source, position, size)):
            return position
        # A common frame that comes here holds text that parse_frames has refused, or will: wsproto knows why.
        self._text_check = None
        if uncommon is None:
            uncommon = self._uncommon = _Uncommon()
        uncommon.frame_left = size + length
        if not control:
            uncommon.fragments += 1
            uncommon.length += length
        if deflated:
            self._begin_deflated(uncommon, first, self._key_before(source, position + size), length)
            position += size
        return self._go_on(uncommon, source, position, messages)

    def _is_deflated(self, first: int, uncommon: _Uncommon | None) -> bool:
        """Whether a frame is part of a compressed message."""
        if self.extension is None:
            return False
        if uncommon is not None and uncommon.fragments:
            return uncommon.inflating and not first & 0x4F
        return bool(first & _COMPRESSED) and first & 0x0F in _DATA

    def _within_limits(self, uncommon: _Uncommon | None, length: int, deflated: bool) -> bool:
        limits = self._limits
        # What the inflater makes of it is bounded there. Some data grow a little when they are compressed.
        largest = min(2 * limits.max_payload, sys.maxsize) if deflated else limits.max_payload
        if uncommon is not None:
            if uncommon.fragments >= limits.max_fragments:
                self._fail(CloseReason.POLICY_VIOLATION, "too many fragments")
                return False
            length += uncommon.length
        if length > largest:
            self._fail(CloseReason.MESSAGE_TOO_BIG, "message too big")
            return False
        return True

    def _is_text_so_far(self, source: bytes | bytearray, position: int, header: int) -> bool:
        check = self._text_check
        if check is None:
            check = self._text_check = _TextCheck(self._key_before(source, position + header))
        return check.feed(source, position + header)

    def _begin_deflated(self, uncommon: _Uncommon, first: int, key: bytes, length: int) -> None:
        """The header of a frame of a compressed message was read."""
        if not uncommon.inflating:
            assert self.extension is not None
            self.extension.inflater.begin(first & 0x0F == _TEXT)
            uncommon.inflating = True
        uncommon.key = key
        uncommon.final = bool(first & _FIN)
        uncommon.taken = 0
        uncommon.frame_left = length

    def _go_on(self, uncommon: _Uncommon, source: bytes | bytearray, position: int, messages: list[str | bytes]) -> int:
        """Take what is there of the current frame."""
        if uncommon.key is None:
            return self._stream(uncommon, source, position, messages)
        return self._inflate(uncommon, uncommon.key, source, position, messages)

    def _inflate(
        self,
        uncommon: _Uncommon,
        key: bytes,
        source: bytes | bytearray,
        position: int,
        messages: list[str | bytes],
    ) -> int:
        """Pass what is there of the current frame through the inflater."""
        assert self.extension is not None
        inflater = self.extension.inflater
        piece = source[position : position + uncommon.frame_left]
        try:
            inflater.feed(apply_mask(piece, key, uncommon.taken))
            uncommon.taken += len(piece)
            uncommon.frame_left -= len(piece)
            if uncommon.frame_left == 0:
                uncommon.key = None
                if uncommon.final:
                    messages.append(inflater.finish())
                    uncommon.end_message()
        except InflateError as error:
            self._fail(error.code, error.reason)
        return position + len(piece)

    def _stream(
        self, uncommon: _Uncommon, source: bytes | bytearray, position: int, messages: list[str | bytes]
    ) -> int:
        """Pass what is there of the current frame through wsproto."""
        piece = bytes(source[position : position + uncommon.frame_left])
        uncommon.frame_left -= len(piece)
        connection = uncommon.connection
        if connection is None:
            connection = uncommon.connection = self._new_wsproto()
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, TextMessage):
                uncommon.message += event.data.encode()
                if event.message_finished:
                    messages.append(uncommon.take_message().decode())
            elif isinstance(event, BytesMessage):
                uncommon.message += event.data
                if event.message_finished:
                    messages.append(uncommon.take_message())
            elif isinstance(event, Ping):
                self._pong(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                if connection.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                    # No close frame: this is how wsproto reports what is wrong with the input.
                    self._fail(event.code, event.reason or "")
                else:
                    self._closed_by_peer(event)
        return position + len(piece)

    def _reject(self, source: bytes | bytearray, position: int, size: int) -> int:
        """Let wsproto say what is wrong with the header of ``size`` bytes at ``position``."""
        if self._uncommon is None:
            self._uncommon = _Uncommon()
        self._uncommon.frame_left = size
        position = self._stream(self._uncommon, source, position, [])
        if not self.failed:
            # Not known to happen, but without it the two would disagree about where the next frame starts.
            self._fail(CloseReason.PROTOCOL_ERROR, "illegal frame header")
        return position

    def _pong(self, payload: bytes) -> None:
        if self.close_sent:
            return
        frame = self._control_frame(_PONG, payload)
        # "the endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame" (section 5.5.3)
        if self.output and self.output[-1][0] == _PONG:
            self.output[-1] = frame
        else:
            self.output.append(frame)

    def _closed_by_peer(self, event: CloseConnection) -> None:
        self.close_received = True
        self.close_code = int(event.code)
        if not self.close_sent:
            self._send_close(event.response())
        self._end()

    def _fail(self, code: int, reason: str) -> None:
        self.failed = True
        self.close_code = int(code)
        if not self.close_sent:
            self._send_close(CloseConnection(code=code, reason=reason))
        self._end()

    def _send_close(self, event: CloseConnection) -> None:
        if self._uncommon is None:
            self._uncommon = _Uncommon()
        if self._uncommon.connection is None:
            self._uncommon.connection = self._new_wsproto()
        self.close_sent = True
        self.output.append(bytes(self._uncommon.connection.send(event)))

    def _parse_common(self, source: bytes | bytearray, start: int, messages: list[str | bytes]) -> int:
        return parse_frames(source, start, self._max_payload, messages)

    def _key_before(self, source: bytes | bytearray, payload: int) -> bytes:
        """The masking key of the frame whose payload starts at ``payload``."""
        return bytes(source[payload - 4 : payload])

    def _control_frame(self, first: int, payload: bytes) -> bytes:
        return bytes((first, len(payload))) + payload

    def _new_wsproto(self) -> Connection:
        return Connection(ConnectionType.SERVER)

    def _end(self) -> None:
        self._ended = True
        self._buffer = None
        self._text_check = None
        self.extension = None
        if self._uncommon is not None:
            self._uncommon.retire()
            self._uncommon = None


class _Uncommon:
    """wsproto, and a fragmented message. Made when the first frame comes that parse_frames does not take."""

    __slots__ = (
        "connection",
        "final",
        "fragments",
        "frame_left",
        "inflating",
        "key",
        "length",
        "message",
        "taken",
    )

    def __init__(self) -> None:
        self.connection: Connection | None = None
        # Bytes that are missing of the frame that is streamed.
        self.frame_left = 0
        # The message that is not complete: number of its fragments, sum of their declared lengths, and its bytes. Text
        # is kept as UTF-8, so that one wide character can't make it four times as large.
        self.fragments = 0
        self.length = 0
        self.message = bytearray()
        # Whether that message is a compressed one; of its current frame the masking key, FIN, and bytes that have come.
        self.inflating = False
        self.key: bytes | None = None
        self.final = False
        self.taken = 0

    @property
    def busy(self) -> bool:
        """Whether a frame or message is incomplete."""
        return self.frame_left > 0 or self.fragments > 0

    def retire(self) -> None:
        """End wsproto's parser: its generator and the owner of that are a cycle, which only the collector could free.

        Bytes that can't begin a frame do it. In the middle of a frame they would not, and the collector has to.
        """
        connection = self.connection
        within = self.frame_left > 0 and self.key is None
        if connection is not None and not within and connection.state is not ConnectionState.CLOSED:
            connection.receive_data(_NO_FRAME)
            for _ in connection.events():
                pass

    def take_message(self) -> bytes:
        message = bytes(self.message)
        self.message = bytearray()
        self.end_message()
        return message

    def end_message(self) -> None:
        self.fragments = 0
        self.length = 0
        self.inflating = False


class _TextCheck:
    """Whether the payload of an incomplete text frame can still become UTF-8."""

    __slots__ = ("_checked", "_decoder", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._checked = 0

    def feed(self, source: bytes | bytearray, payload: int) -> bool:
        """Check what is new since the last call; ``payload`` is where the payload starts in ``source``."""
        new = source[payload + self._checked :]
        try:
            self._decoder.decode(apply_mask(new, self._key, self._checked))
        except UnicodeDecodeError:
            return False
        self._checked += len(new)
        return True
