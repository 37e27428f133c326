"""The client side of a WebSocket connection (RFC 6455) behind its opening handshake.

What the server sends is judged as :mod:`siocore.http.websocket` does it, but must not be masked; all that is sent is.
"""

from __future__ import annotations

from collections.abc import Callable

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection

from siocore._speedups import (
    apply_mask,
    binary_frame,
    masked_binary_frame,
    masked_message_frames,
    masked_text_frame,
    message_frames,
    parse_unmasked_frames,
    text_frame,
)
from siocore.http.deflate import Extension
from siocore.http.websocket import WebSocketConnection
from siocore.options import Limits

__all__ = ["ClientWebSocket"]

_CLOSE = 0x88
_MAX_REASON = 123
_NO_CODE = 1005
#: An unmasked frame is one that is masked with this.
_NO_KEY = b"\0\0\0\0"
#: Random bytes are asked for in blocks: a system call costs more than all else of a short frame. Each connection keeps
#: what is left of its block.
_BLOCK = 512


class ClientWebSocket(WebSocketConnection):
    """Bytes in, whole messages out; messages in, masked frames out.

    ``random_bytes(size)`` must return bytes that nobody can foresee (RFC 6455, sections 5.3 and 10.3).
    """

    __slots__ = ("_keys", "_keys_at", "_random_bytes", "close_reason")

    _PEER_MASKS = 0

    def __init__(
        self, limits: Limits, random_bytes: Callable[[int], bytes], extension: Extension | None = None
    ) -> None:
        WebSocketConnection.__init__(self, limits, extension)
        self._random_bytes = random_bytes
        self._keys = b""
        self._keys_at = 0
        #: What goes with ``close_code``: the server's words, or what it did wrong.
        self.close_reason = ""

    def receive_data(self, data: bytes) -> list[str | bytes]:
        """Take bytes from the server; returns the messages they complete, also those in front of a fault."""
        messages: list[str | bytes] = []
        position = 0
        if self._buffer is None and self._uncommon is None and not self._ended:
            position = parse_unmasked_frames(data, 0, self._max_payload, messages)
            if position == len(data):
                self.stirred = False
                return messages
        return self._receive_rest(data, position, messages)

    def frames(self, text: bytes, attachments: list[bytes], compress: bool = True) -> bytes:
        """An Engine.IO MESSAGE with the UTF-8 ``text``, and its attachments, in one buffer.

        With compression agreed on and ``compress``, each is compressed that is as long as the threshold.
        """
        if self.extension is not None and compress:
            return self._deflated(message_frames(text, attachments))
        return masked_message_frames(text, attachments, self._take_keys(4 + 4 * len(attachments)))

    def text_frame(self, payload: bytes, compress: bool = True) -> bytes:
        """One text frame. The payload is UTF-8, which is not checked."""
        if self.extension is not None and compress:
            return self._deflated(text_frame(payload))
        return masked_text_frame(payload, self._take_keys(4))

    def binary_frame(self, payload: bytes, compress: bool = True) -> bytes:
        """One binary frame."""
        if self.extension is not None and compress:
            return self._deflated(binary_frame(payload))
        return masked_binary_frame(payload, self._take_keys(4))

    def _take_keys(self, size: int) -> bytes:
        at = self._keys_at
        if size > len(self._keys) - at:
            self._keys = self._random_bytes(max(size, _BLOCK))
            at = 0
        self._keys_at = at + size
        return self._keys[at : at + size]

    def _deflated(self, frames: bytes) -> bytes:
        """Compress what is worth it, then mask."""
        assert self.extension is not None
        frames = self.extension.deflater.deflate(frames)
        made: list[bytes | bytearray] = []
        position = 0
        while position < len(frames):
            length = frames[position + 1]
            start = position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(frames[position + 2 : start], "big")
            header = bytearray(frames[position:start])
            header[1] |= 0x80
            key = self._take_keys(4)
            made += (header, key, apply_mask(frames[start : start + length], key, 0))
            position = start + length
        return b"".join(made)

    # The role ------------------------------------------------------------------------------------------------------

    def _parse_common(self, source: bytes | bytearray, start: int, messages: list[str | bytes]) -> int:
        return parse_unmasked_frames(source, start, self._max_payload, messages)

    def _key_before(self, source: bytes | bytearray, payload: int) -> bytes:
        return _NO_KEY

    def _control_frame(self, first: int, payload: bytes) -> bytes:
        key = self._take_keys(4)
        return bytes((first, 0x80 | len(payload))) + key + apply_mask(payload, key, 0)

    def _closed_by_peer(self, event: CloseConnection) -> None:
        self.close_reason = event.reason or ""
        WebSocketConnection._closed_by_peer(self, event)

    def _fail(self, code: int, reason: str) -> None:
        self.close_reason = reason
        WebSocketConnection._fail(self, code, reason)

    def _send_close(self, event: CloseConnection) -> None:
        # Not by wsproto: it would draw the mask itself.
        self.close_sent = True
        payload = b""
        if event.code != _NO_CODE:
            # What a cut leaves of a character is dropped.
            reason = (event.reason or "").encode()[:_MAX_REASON].decode(errors="ignore").encode()
            payload = int(event.code).to_bytes(2, "big") + reason
        self.output.append(self._control_frame(_CLOSE, payload))

    def _new_wsproto(self) -> Connection:
        return Connection(ConnectionType.CLIENT)
