"""A session of Engine.IO revision 3: the protocol of Socket.IO 1 and 2.

What differs from revision 4: who pings, the form of binary messages and of long-polling payloads, and JSONP.

Spec: the Engine.IO protocol, revision 3; for JSONP, Node.js' engine.io.
"""

from __future__ import annotations

from siocore.codec import engineio3
from siocore.codec.jsonp import decode_form, encode_script
from siocore.codec.message import ControlPacket, Outgoing
from siocore.engineio.interfaces import Carrier, Headers, SessionOwner
from siocore.engineio.session import Session
from siocore.errors import DecodeError
from siocore.packets import EnginePacketType
from siocore.request import Request

__all__ = ["LegacySession"]

_TEXT: Headers = ((b"content-type", b"text/plain; charset=UTF-8"), (b"cache-control", b"no-store"))
_BINARY: Headers = ((b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store"))
_SCRIPT: Headers = ((b"content-type", b"text/javascript; charset=UTF-8"), (b"cache-control", b"no-store"))

_PONG = ControlPacket(b"3")

#: The timer that Session has for a PONG that is due; here a PING is.
_PING_OVERDUE = 1


class LegacySession(Session):
    """A session whose client speaks revision 3."""

    __slots__ = ("_encodes_once", "_text_only")

    def __init__(self, sid: str, owner: SessionOwner, request: Request) -> None:
        super().__init__(sid, owner, request)
        self.revision = 3
        self._uncommon = True
        # Of long-polling. A WebSocket of the same client says for itself whether it takes binary frames.
        self._text_only = self._base64
        # Whether the client has shown that it does not encode text twice, as those before Socket.IO 2.0 do.
        self._encodes_once = False
        self._await_ping()

    def implied_id(self, namespace: str) -> str | None:
        return self.sid if namespace == "/" else f"{namespace}#{self.sid}"

    # Heartbeat ------------------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == _PING_OVERDUE and not self.paused:
            options = self._owner.options
            self.fail("ping timeout", f"no PING within {options.ping_interval + options.ping_timeout:g} s")
        else:
            Session.timer_expired(self, kind, now)

    def _await_ping(self) -> None:
        options = self._owner.options
        self._arm_heartbeat(options.ping_interval + options.ping_timeout, _PING_OVERDUE)

    # Packets --------------------------------------------------------------------------------------------------

    def _packet(self, kind: int, data: str | bytes) -> None:
        if kind == EnginePacketType.PING:
            self._await_ping()
            # One PONG answers any number of PINGs that came together.
            if not self._outbox or self._outbox[-1] is not _PONG:
                self.send_outgoing(_PONG)
        elif kind == EnginePacketType.PONG:
            self.fail("transport error", "invalid heartbeat direction", code=1002)
        else:
            Session._packet(self, kind, data)

    def websocket_message(self, channel: Carrier, data: str | bytes) -> None:
        if channel is not self._channel:
            Session.websocket_message(self, channel, data)
            return
        try:
            if isinstance(data, str):
                message = engineio3.decode_text_packet(data)
            else:
                message = engineio3.decode_binary_packet(data)
        except DecodeError as error:
            self.fail("parse error", str(error), code=1002)
            return
        if isinstance(message, bytes):
            self._packet(EnginePacketType.MESSAGE.value, message)
        else:
            self._packet(ord(message[0]) - 48, message[1:])

    # WebSocket ------------------------------------------------------------------------------------------------

    def websocket_opened(self, channel: Carrier, request: Request) -> None:
        self._base64 = bool(request.parameters("b64"))
        Session.websocket_opened(self, channel, request)

    def _form_of(self, message: Outgoing) -> bytes:
        return message.revision3_frames(self._base64)

    # Long-polling ---------------------------------------------------------------------------------------------

    def poll_answer(self, exchange: Carrier, messages: list[Outgoing]) -> tuple[Headers, bytes]:
        functions = exchange.request.parameters("j")
        binary = not functions and not self._text_only and _any_binary(messages)
        # With Socket.IO above us, text is JSON, unless a parser of the application's writes it.
        json = self.client is not None and self._owner.options.parser is None
        payload = b"".join([message.revision3_payload(binary, json) for message in messages])
        if functions:
            headers, payload = _SCRIPT, encode_script(functions[0], payload)
        else:
            headers = _BINARY if binary else _TEXT
        if _filters_scripts(exchange.request):
            headers = (*headers, (b"x-xss-protection", b"0"))
        return headers, payload

    def _takes_body(self, exchange: Carrier) -> bool:
        return True

    def _read_body(self, exchange: Carrier, body: bytes) -> tuple[list[str | bytes], DecodeError | None]:
        request = exchange.request
        if request.parameters("j"):
            try:
                body = decode_form(body)
            except DecodeError as error:
                return [], error
        else:
            for content_type in request.header_values(b"content-type"):
                if content_type[:24].lower() == b"application/octet-stream":
                    return engineio3.decode_binary_payload(body)
        messages, fault = engineio3.decode_text_payload(body)
        # Clients that can send bytes send text in them, unless they are new enough to encode it once.
        if not body.isascii() and (self._text_only or request.parameters("j")):
            messages = [self._repaired(message) for message in messages]
        return messages, fault

    def _repaired(self, message: str | bytes) -> str | bytes:
        if self._encodes_once or isinstance(message, bytes) or message.isascii():
            return message
        repaired = engineio3.undo_double_encoding(message)
        if repaired is None:
            self._encodes_once = True
            return message
        return repaired


def _filters_scripts(request: Request) -> bool:
    """Whether the request comes from Internet Explorer, which takes our answers for attacks and changes them."""
    return any(b";MSIE" in agent or b"Trident/" in agent for agent in request.header_values(b"user-agent"))


def _any_binary(messages: list[Outgoing]) -> bool:
    return any(message.has_binary for message in messages)
