"""Headers that the application adds to answers: only what can be sent, and nothing that is ours to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from siocore.errors import LocalProtocolError
from siocore.request import Request

__all__ = ["extra_headers"]

Headers = tuple[tuple[bytes, bytes], ...]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 5.5: no control characters but the tab.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: These tell how an answer is framed and encoded, and what becomes of the connection.
_OURS = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
#: Those that may come several times in an answer.
_SEVERAL = {b"set-cookie", b"vary"}


def extra_headers(hook: Callable[[dict[str, str], Request], object], request: Request, sent: Headers) -> Headers:
    """What ``hook`` adds to an answer that has the headers ``sent``.

    Raises LocalProtocolError for a header that can't be sent, that is ours, or that the answer has already; and
    whatever the hook raises.
    """
    # What is in it is whatever the application has put there.
    chosen: dict[Any, Any] = {}
    hook(chosen, request)
    present = {name for name, _ in sent} - _SEVERAL
    headers = []
    for name, value in chosen.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise LocalProtocolError(f"{name!r} is no name of a header")
        key = name.lower()
        if key in _OURS or key.startswith("sec-websocket-"):
            raise LocalProtocolError(f"the header {name} is not the application's to set")
        if not isinstance(value, str) or _VALUE.fullmatch(value) is None:
            raise LocalProtocolError(f"the value of the header {name} has characters that can't be sent")
        encoded = key.encode("ascii")
        if encoded in present:
            raise LocalProtocolError(f"the answer has a header {name} already")
        headers.append((encoded, value.encode("latin-1")))
    return tuple(headers)
