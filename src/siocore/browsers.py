"""What a server tells browsers: which pages may talk to it, and a cookie. Frozen values, checked once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siocore.request import Request

__all__ = ["Cookie", "Cors", "OriginRule"]

#: A function that decides about an origin, as the header has it.
OriginCheck = Callable[[str, "Request"], bool]
OriginRule = str | re.Pattern[str] | Sequence[str | re.Pattern[str]] | OriginCheck

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 6454, section 6.2. Some applications that are pages in a shell have schemes of their own, and no host.
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.\-]*://[^\x00-\x20\x7f/?#@,;*]*")
# RFC 6265, section 4.1.1: what an attribute of a cookie may hold.
_ATTRIBUTE = re.compile(r"[\x20-\x3a\x3c-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Which pages of other origins may talk to the server, and what their scripts may send and read.

    Names are those of npm's ``cors``, which Node.js' socket.io uses; the source is the Fetch standard. Over WebSocket,
    where browsers ask for no permission, ``origins`` is checked all the same.

    Raises ValueError for what no browser would accept, and for ``"*"`` with credentials: any page could then read
    what the user may read.
    """

    #: ``"*"`` for all, an origin (``"https://app.example"``), a compiled regular expression that must match the whole
    #: origin, a list of both, or a plain function ``(origin, request) -> bool``.
    origins: OriginRule
    #: Whether pages may send cookies and other credentials. npm's cors: off.
    credentials: bool = False
    #: Methods that a preflight allows. The protocol has no others.
    methods: Sequence[str] = ("GET", "POST")
    #: Request headers that a preflight allows. ``None`` allows those that it asks for, as npm's cors does.
    allowed_headers: Sequence[str] | None = None
    #: Response headers that scripts may read.
    exposed_headers: Sequence[str] = ()
    #: Seconds (int) that a browser may remember a preflight. ``None`` leaves it to the browser; Chromium: at most 7200.
    max_age: int | None = 86_400
    #: Status of the answer to a preflight. Some old browsers want 200. npm's cors: 204.
    preflight_status: int = 204

    #: Whether every origin is let in.
    every: bool = field(init=False, repr=False, compare=False)
    _names: frozenset[str] = field(init=False, repr=False, compare=False)
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _check: OriginCheck | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        origins = self.origins
        names: set[str] = set()
        patterns: list[re.Pattern[str]] = []
        check: OriginCheck | None = None
        every = isinstance(origins, str) and origins == "*"
        if isinstance(origins, (str, re.Pattern)):
            origins = (origins,)
        if callable(origins):
            check = origins
        elif not every:
            object.__setattr__(self, "origins", tuple(origins))
            for rule in origins:
                if isinstance(rule, re.Pattern):
                    patterns.append(rule)
                else:
                    names.add(_origin(rule))
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "_names", frozenset(names))
        object.__setattr__(self, "_patterns", tuple(patterns))
        object.__setattr__(self, "_check", check)
        if self.every and self.credentials:
            raise ValueError(
                "origins='*' together with credentials=True would let any page read what the user may read: "
                "name the origins"
            )
        for name in ("methods", "allowed_headers", "exposed_headers"):
            _set_tokens(self, name)
        if self.max_age is not None and (_is_no_count(self.max_age)):
            raise ValueError(f"max_age is a number of whole seconds, not {self.max_age!r}")
        if self.preflight_status not in (200, 204):
            raise ValueError(f"preflight_status is 200 or 204, not {self.preflight_status!r}")

    def allows(self, origin: str, request: Request) -> bool:
        """Whether a page of this origin may talk to the server. Raises what the application's function raises."""
        if self.every:
            return True
        if self._check is not None:
            return bool(self._check(origin, request))
        name = origin.lower()
        if name in self._names:
            return True
        return any(pattern.fullmatch(name) for pattern in self._patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie with the session's id, which load balancers can use to send a client's requests to the same worker.

    It is no secret that authenticates anybody, and nothing is read from it. Raises ValueError for what would not be a
    cookie (RFC 6265), or what browsers would not take.
    """

    name: str = "io"
    path: str = "/"
    #: Scripts can't read it.
    http_only: bool = True
    #: "strict", "lax" or "none" (which needs ``secure``); ``None`` leaves the attribute out.
    same_site: str | None = "lax"
    #: Only over TLS.
    secure: bool = False
    #: Seconds (int) that it is kept; ``None`` for until the browser is closed.
    max_age: int | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        if _TOKEN.fullmatch(self.name) is None:
            raise ValueError(f"a cookie's name is a token, not {self.name!r}")
        if not self.path.startswith("/") or _ATTRIBUTE.fullmatch(self.path) is None:
            raise ValueError(f"a cookie's path begins with '/' and has no ';' or control characters, not {self.path!r}")
        if self.domain is not None and re.fullmatch(r"\.?[A-Za-z0-9\-.]+", self.domain) is None:
            raise ValueError(f"a cookie's domain is a host name, not {self.domain!r}")
        if self.same_site is not None and self.same_site not in ("strict", "lax", "none"):
            raise ValueError(f"same_site is 'strict', 'lax', 'none' or None, not {self.same_site!r}")
        if self.same_site == "none" and not self.secure:
            raise ValueError("browsers drop a cookie with same_site='none' that is not secure")
        if self.max_age is not None and (_is_no_count(self.max_age)):
            raise ValueError(f"max_age is a number of whole seconds, not {self.max_age!r}")

    def header(self, value: str) -> bytes:
        """The value of Set-Cookie. ``value`` has only characters that need no quotes."""
        parts = [f"{self.name}={value}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={self.max_age}")
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        parts.append(f"Path={self.path}")
        if self.http_only:
            parts.append("HttpOnly")
        if self.secure:
            parts.append("Secure")
        if self.same_site is not None:
            parts.append(f"SameSite={self.same_site.capitalize()}")
        return "; ".join(parts).encode("ascii")


def _is_no_count(value: object) -> bool:
    return not isinstance(value, int) or isinstance(value, bool) or value < 0


def _origin(rule: object) -> str:
    """An origin of the application's list, as it is compared."""
    if rule == "*":
        raise ValueError("origins is '*' or a list of origins, not a list with '*' in it")
    if not isinstance(rule, str):
        raise ValueError(f"an origin is a string or a compiled regular expression, not {rule!r}")
    name = rule.lower().removesuffix("/")
    if _ORIGIN.fullmatch(name) is None:
        raise ValueError(
            "an origin is like 'https://app.example' or 'http://localhost:8080', or for many hosts a compiled "
            f"regular expression; not {rule!r}"
        )
    return name


def _set_tokens(cors: Cors, name: str) -> None:
    value = getattr(cors, name)
    if value is None:
        return
    tokens: tuple[object, ...] = (value,) if isinstance(value, str) else tuple(value)
    for token in tokens:
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ValueError(f"{name} is a list of tokens; {token!r} is none")
    object.__setattr__(cors, name, tokens)
