"""The server's part of the WebSocket opening handshake (RFC 6455, section 4.2).

wsproto's own handshake decodes headers as ASCII and Host as IDNA, and raises whatever those raise. So the request that
h11 has parsed is checked here, as bytes; wsproto begins behind the 101.
"""

from __future__ import annotations

import re

from wsproto.utilities import generate_accept_token

from siocore.errors import RemoteProtocolError
from siocore.request import Request

__all__ = ["TOKEN", "check_websocket_request", "comma_tokens"]

# Base64 of 16 bytes. The last of the 22 characters may have bits that no byte uses: some clients draw all at random.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
#: RFC 9110, section 5.6.2.
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check_websocket_request(request: Request) -> list[tuple[bytes, bytes]]:
    """The headers that the 101 needs besides ``Upgrade`` and ``Connection``.

    No extension is accepted. Of offered subprotocols the first is, as Node.js' ws does: a browser that offered some
    gives up where none is chosen, and Engine.IO attaches no meaning to them.

    Raises :exc:`RemoteProtocolError` with a message for the 400 if the request is not a correct handshake.
    """
    raw = request.raw_headers()
    if request.method != "GET":
        raise RemoteProtocolError("a WebSocket handshake is a GET request")
    if b"websocket" not in comma_tokens(raw, b"upgrade"):
        raise RemoteProtocolError("the Upgrade header does not ask for websocket")
    if b"upgrade" not in comma_tokens(raw, b"connection"):
        raise RemoteProtocolError("the Connection header does not ask for an upgrade")
    for name, value in raw:
        if (name == b"host" or name.startswith(b"sec-websocket-")) and not value.isascii():
            raise RemoteProtocolError(f"non-ASCII bytes in the {name.decode('latin-1')} header")
    if _only_value(request, b"sec-websocket-version") != b"13":
        raise RemoteProtocolError("Sec-WebSocket-Version is not 13")
    key = _only_value(request, b"sec-websocket-key")
    if key is None or _KEY.fullmatch(key) is None:
        raise RemoteProtocolError("Sec-WebSocket-Key is not the base64 of 16 bytes")
    answer = [(b"Sec-WebSocket-Accept", generate_accept_token(key))]
    subprotocol = _first_subprotocol(raw)
    if subprotocol is not None:
        answer.append((b"Sec-WebSocket-Protocol", subprotocol))
    return answer


def comma_tokens(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The elements of a comma-separated, case-insensitive header, in lower case."""
    return [token.strip(b" \t") for key, value in headers if key == name for token in value.lower().split(b",")]


def _only_value(request: Request, name: bytes) -> bytes | None:
    values = request.header_values(name)
    return values[0] if len(values) == 1 else None


def _first_subprotocol(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    first: bytes | None = None
    for key, value in headers:
        if key != b"sec-websocket-protocol":
            continue
        for element in value.split(b","):
            subprotocol = element.strip(b" \t")
            if TOKEN.fullmatch(subprotocol) is None:
                raise RemoteProtocolError("Sec-WebSocket-Protocol is not a list of tokens")
            if first is None:
                first = subprotocol
    return first
