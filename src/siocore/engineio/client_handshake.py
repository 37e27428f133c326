"""What a client asks for and what it is answered: request targets, headers, the OPEN packet, refusals.

Source: the Engine.IO protocol, "Handshake"; for the order of query parameters, engine.io-client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from siocore._version import __version__
from siocore.advice import ADVICE
from siocore.client_options import EngineClientOptions
from siocore.engineio.client_interfaces import HeaderList
from siocore.errors import DecodeError
from siocore.request import Headers, Request
from siocore.target import Target

__all__ = [
    "OpenPacket",
    "Refusal",
    "TransportSettings",
    "parse_open",
    "read_refusal",
    "speaks_revision3",
    "timestamp",
]

#: JavaScript's encodeURIComponent leaves these alone.
_SAFE = "-_.!~*'()"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What the largest timer of JavaScript takes, in milliseconds: about 25 days.
_MAX_MILLISECONDS = 2**31 - 1
_MAX_SID = 1_000
_MAX_OPEN_PACKET = 100_000
_MAX_EXCERPT = 200
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_USER_AGENT = b"siocore/" + __version__.encode()
#: Headers that are the client's own business.
_RESERVED = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    )
)
#: The hints that go with the codes of refusals.
_HINTS = {
    0: "TRANSPORT_DISABLED",
    1: "SESSION_UNKNOWN",
    2: "HANDSHAKE_METHOD",
    4: "REFUSED",
}
_OLD_PAYLOAD = re.compile(rb"(?:[0-9]{1,6}:0\{|\x00[\x00-\x09]{1,6}\xff0\{)")

Pairs = Mapping[str, str] | Sequence[tuple[str, str]]


class TransportSettings:
    """The options for one transport, ready for use. Raises ValueError for what can't be sent."""

    __slots__ = ("_path", "_query", "_stamp", "_transport", "base64", "headers")

    def __init__(self, options: EngineClientOptions, target: Target, transport: str, query: Pairs) -> None:
        own = options.transport_options.get(transport, {})
        self._transport = transport
        self._path = quote(options.path, safe="/%" + _SAFE + "$&+,:;=@")
        self._query = [*_pairs(options.query), *_pairs(query), *_pairs(own.get("query", ()))]
        self.base64: bool = own.get("force_base64", options.force_base64)
        stamped = own.get("timestamp_requests", options.timestamp_requests)
        if stamped is None:
            stamped = transport == "polling"
        self._stamp: str | None = own.get("timestamp_param", options.timestamp_param) if stamped else None
        self.headers = _headers(target, {**dict(_pairs(options.headers)), **dict(_pairs(own.get("headers", ())))})

    def request_target(self, revision: int, sid: str, stamp: str) -> str:
        """The target of a request; ``sid`` is "" for the first one."""
        query = [*self._query, ("EIO", str(revision)), ("transport", self._transport)]
        if sid:
            query.append(("sid", sid))
        if self._stamp is not None and stamp:
            query.append((self._stamp, stamp))
        if self.base64 and (not sid or self._transport == "websocket"):
            query.append(("b64", "1"))
        encoded = [f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in query]
        return f"{self._path}?{'&'.join(encoded)}"

    def describe(self, revision: int) -> Request:
        """The request of the handshake, without what makes it different from the next one."""
        headers = [(name.lower(), value) for name, value in self.headers]
        return Request("GET", self.request_target(revision, "", ""), headers)


class OpenPacket(NamedTuple):
    """What a server tells at the beginning. Durations are in seconds."""

    sid: str
    ping_interval: float
    ping_timeout: float
    upgrades: tuple[str, ...]
    #: The largest body of a POST, in bytes, if the server tells it.
    max_payload: int | None


class Refusal(NamedTuple):
    """Why a request was refused."""

    sentence: str
    status: int
    #: The code of Engine.IO, if the answer has one.
    code: int | None
    #: Whether the server does not speak the revision that was asked for.
    unsupported: bool


def parse_open(text: str) -> OpenPacket:
    """Read the data of an OPEN packet. Raises DecodeError."""
    if len(text) > _MAX_OPEN_PACKET:
        raise DecodeError("the OPEN packet is too large")
    try:
        data: Any = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise DecodeError("the OPEN packet is not JSON") from None
    if not isinstance(data, dict):
        raise DecodeError("the OPEN packet is not a JSON object")
    sid = data.get("sid")
    if not isinstance(sid, str) or not 0 < len(sid) <= _MAX_SID or not sid.isprintable():
        raise DecodeError("the OPEN packet has no session id")
    upgrades = data.get("upgrades", [])
    if not isinstance(upgrades, list):
        raise DecodeError("upgrades in the OPEN packet is not a list")
    max_payload = data.get("maxPayload")
    if max_payload is not None and not (_is_number(max_payload) and max_payload >= 1):
        raise DecodeError("maxPayload in the OPEN packet is not a positive number")
    return OpenPacket(
        sid,
        _seconds(data, "pingInterval"),
        _seconds(data, "pingTimeout"),
        tuple(each for each in upgrades if isinstance(each, str)),
        None if max_payload is None else int(min(max_payload, _MAX_MILLISECONDS)),
    )


def speaks_revision3(body: bytes) -> bool:
    """Whether the answer to a handshake of revision 4 is a payload of revision 3: old servers don't look at EIO."""
    return _OLD_PAYLOAD.match(body) is not None


def read_refusal(status: int, headers: Headers, body: bytes, request: str) -> Refusal:
    """What an answer says that is not what ``request`` ("GET", "POST" or "the WebSocket handshake") wants."""
    code, message = _code_and_message(body)
    text = _excerpt(message)
    unsupported = code == 5 or text.startswith("Unsupported protocol version")
    sentence = f"the server answered {request} with status {status}"
    if 300 <= status < 400 and "location" in headers:
        sentence += f": redirects are not followed, so connect to {_excerpt(headers['location'])} itself"
    elif text:
        sentence += f": {text}" if code is None else f', code {code}: "{text}"'
    if unsupported:
        sentence += ". The server speaks another revision of Engine.IO: try the option protocol='auto'"
    elif code in _HINTS:
        sentence += f". {ADVICE[_HINTS[code]].cause} {ADVICE[_HINTS[code]].remedy}".rstrip(".")
    elif status == 404:
        sentence += ". The server may have another path: give the client the same option path"
    return Refusal(sentence, status, code, unsupported)


def timestamp(random: float, count: int) -> str:
    """Eight characters, other ones for each request: ``random`` is a number from 0 to 1, ``count`` the request's."""
    number = int(random * 36**5) % 36**5 * 36**3 + count % 36**3
    characters = []
    for _ in range(8):
        number, digit = divmod(number, 36)
        characters.append(_DIGITS[digit])
    return "".join(reversed(characters))


def _seconds(data: dict[str, Any], name: str) -> float:
    value: Any = data.get(name)
    if not _is_number(value) or not 0 < value <= _MAX_MILLISECONDS:
        raise DecodeError(f"{name} in the OPEN packet is not a number of milliseconds")
    return float(value) / 1000


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _code_and_message(body: bytes) -> tuple[int | None, str]:
    text = body[: 10 * _MAX_EXCERPT].decode("utf-8", "replace")
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None, text
    if isinstance(data, str):
        return None, data
    if not isinstance(data, dict):
        return None, text
    code, message = data.get("code"), data.get("message")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 1:
        code = int(code)
    whole = isinstance(code, int) and not isinstance(code, bool)
    return code if whole else None, message if isinstance(message, str) else ""


def _excerpt(text: str) -> str:
    """Some of what a server has said, fit for a message: one line, without control characters."""
    line = " ".join(text[: 2 * _MAX_EXCERPT].split())
    line = "".join([char if char.isprintable() else "?" for char in line])
    return line if len(line) <= _MAX_EXCERPT else line[:_MAX_EXCERPT] + "…"


def _pairs(value: Pairs) -> Iterable[tuple[str, str]]:
    items = value.items() if isinstance(value, Mapping) else value
    return [(str(name), str(item)) for name, item in items]


def _headers(target: Target, given: Mapping[str, str]) -> HeaderList:
    headers = [(b"Host", target.authority.encode("idna" if not target.authority.isascii() else "ascii"))]
    names = {name.lower() for name in given}
    if "user-agent" not in names:
        headers.append((b"User-Agent", _USER_AGENT))
    if "accept" not in names:
        headers.append((b"Accept", b"*/*"))
    for name, value in given.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _RESERVED:
            raise ValueError(f"the header {name} is not for the application")
        if any(char in value for char in "\r\n\0") or value != value.strip():
            raise ValueError(f"the value of the header {name} must be one line without spaces around it")
        try:
            headers.append((name.encode("ascii"), value.encode("latin-1")))
        except UnicodeEncodeError:
            raise ValueError(f"the value of the header {name} has characters that HTTP can't carry") from None
    return headers
