"""The client's part of the WebSocket opening handshake (RFC 6455, section 4.1; RFC 7692 for compression)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence

from wsproto.utilities import generate_accept_token

from siocore.errors import LocalProtocolError, RemoteProtocolError
from siocore.http.client import Answer, excerpt
from siocore.http.deflate import Extension, accept_answer, offer
from siocore.http.handshake import TOKEN, comma_tokens
from siocore.options import PerMessageDeflate

__all__ = ["check_answer", "make_key", "request_headers"]


def make_key(random_bytes: Callable[[int], bytes]) -> bytes:
    """The value of Sec-WebSocket-Key: another one for each handshake."""
    return base64.b64encode(random_bytes(16))


def request_headers(
    key: bytes, protocols: Sequence[str] = (), deflate: PerMessageDeflate | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers of the request besides Host and those of the application.

    Raises :exc:`LocalProtocolError` if ``protocols`` are not distinct tokens.
    """
    headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", key),
    ]
    if protocols:
        for protocol in protocols:
            if not protocol.isascii() or TOKEN.fullmatch(protocol.encode()) is None or protocols.count(protocol) > 1:
                raise LocalProtocolError(f"a WebSocket subprotocol is a token that is named once, not {protocol!r}")
        headers.append((b"Sec-WebSocket-Protocol", ", ".join(protocols).encode()))
    if deflate is not None:
        headers.append((b"Sec-WebSocket-Extensions", offer(deflate)))
    return headers


def check_answer(
    answer: Answer,
    key: bytes,
    protocols: Sequence[str] = (),
    deflate: PerMessageDeflate | None = None,
    max_payload: int = 16_777_216,
) -> Extension | None:
    """Whether the server has accepted; returns the compression it has agreed to, for messages up to ``max_payload``.

    Raises :exc:`RemoteProtocolError` with a sentence if it has not, or not correctly.
    """
    if answer.status != 101:
        raise RemoteProtocolError(f"the server refused the WebSocket with {answer.describe()}")
    raw = answer.headers.raw
    if comma_tokens(raw, b"upgrade") != [b"websocket"]:
        raise RemoteProtocolError("the server's answer to the WebSocket handshake does not say Upgrade: websocket")
    if b"upgrade" not in comma_tokens(raw, b"connection"):
        raise RemoteProtocolError("the server's answer to the WebSocket handshake does not say Connection: Upgrade")
    accepted = answer.values(b"sec-websocket-accept")
    if len(accepted) != 1 or not hmac.compare_digest(accepted[0], generate_accept_token(key)):
        raise RemoteProtocolError("the server's answer to the WebSocket handshake has no, or a wrong, accept token")
    chosen = answer.values(b"sec-websocket-protocol")
    if chosen and (len(chosen) > 1 or chosen[0].decode("latin-1") not in protocols):
        raise RemoteProtocolError(
            f"the server chose a WebSocket subprotocol that was not offered: {excerpt(b', '.join(chosen))!r}"
        )
    extensions = answer.values(b"sec-websocket-extensions")
    if not extensions:
        return None
    if deflate is None:
        raise RemoteProtocolError("the server chose a WebSocket extension that was not offered")
    return accept_answer(extensions, deflate, max_payload)
