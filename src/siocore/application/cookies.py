"""Cookies of clients: what servers set is kept, and sent to whom it is for (RFC 6265).

The standard library's ``http.cookiejar`` keeps them and knows the dates. Where its rules are those of older documents,
they are replaced here: cookies without a domain go to their host alone, secure ones come from secure servers only, and
there is a bound on everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.message import Message
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from urllib.request import Request

from siocore.client_options import CookieStore
from siocore.http.framing import header_lines

__all__ = ["JarStore", "make_cookie_store"]

#: Of one client, and of them for one domain. RFC 6265, section 6.1, asks for 3000 and 50: a browser's, for all sites.
MAX_COOKIES = 300
MAX_COOKIES_OF_DOMAIN = 50
#: Characters of name and value together. RFC 6265, section 6.1; browsers take no larger ones either.
_MAX_SIZE = 4_096
_SCHEMES = {"ws": "http", "wss": "https"}
# Of a cookie nothing may end its line; tabs are allowed in values.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_AGE = re.compile(r";[ \t]*max-age[ \t]*=[ \t]*([^;]*)", re.IGNORECASE)
_SECONDS = re.compile(r"-?[0-9]{1,10}")
_ADDRESS = re.compile(r"\.\d+$|:")


def make_cookie_store(option: object) -> CookieStore | None:
    """What the option ``cookies`` of a client stands for.

    ``True`` makes a jar; a ``CookieJar`` is used as it is, with its policy; a mapping of names to values is sent to
    every server, beside what those set in a jar; an object with the methods of :class:`CookieStore` is returned.
    ``None`` for ``False`` and ``None``.

    Raises :exc:`ValueError` for anything else, and for names and values that can't be sent.
    """
    if option is None or option is False:
        return None
    if option is True:
        return JarStore()
    if isinstance(option, CookieJar):
        return JarStore(option)
    if isinstance(option, Mapping):
        return JarStore(fixed=option)
    if callable(getattr(option, "header", None)) and callable(getattr(option, "store", None)):
        store: CookieStore = option  # type: ignore[assignment]
        return store
    raise ValueError(f"cookies must be True, a http.cookiejar.CookieJar, or a dict of names and values, not {option!r}")


class JarStore(CookieStore):
    """A :class:`CookieStore` around a jar: one of its own with bounds, or the application's."""

    def __init__(self, jar: CookieJar | None = None, fixed: Mapping[str, str] | None = None) -> None:
        self._bounded = jar is None
        #: Can be looked at, and filled, between connections.
        self.jar = CookieJar(_Policy()) if jar is None else jar
        self._fixed = {} if fixed is None else _checked(fixed)

    def header(self, url: str) -> str | None:
        """The value of the Cookie header for a request to ``url``: http, https, ws or wss."""
        request = _request(url)
        self.jar.add_cookie_header(request)
        kept: str | None = request.get_header("Cookie")
        if not self._fixed:
            return kept
        # What the server has set goes before what was given for all.
        names = {pair.partition("=")[0].strip() for pair in kept.split(";")} if kept else set()
        pairs = [f"{name}={value}" for name, value in self._fixed.items() if name not in names]
        return "; ".join([kept, *pairs] if kept else pairs)

    def store(self, url: str, set_cookie: Sequence[str]) -> None:
        """Keep what the Set-Cookie headers of an answer from ``url`` say. Those that are not right are dropped."""
        message = Message()
        for line in set_cookie:
            if not _UNSAFE.search(line):
                message["Set-Cookie"] = _MAX_AGE.sub(_without_nonsense, line)
        if message:
            try:
                self.jar.extract_cookies(_Answer(message), _request(url))  # type: ignore[arg-type]
            except UserWarning:
                # How the library reports a cookie that it stumbles over, where warnings are errors.
                return
            if self._bounded:
                self._evict()

    def _evict(self) -> None:
        """Drop the oldest of those that are too many: of the fullest domain first."""
        cookies = list(self.jar)
        kept: dict[str, int] = {}
        for cookie in cookies:
            kept[cookie.domain] = kept.get(cookie.domain, 0) + 1
        total = len(cookies)
        for cookie in cookies:
            if total > MAX_COOKIES or kept[cookie.domain] > MAX_COOKIES_OF_DOMAIN:
                self.jar.clear(cookie.domain, cookie.path, cookie.name)
                kept[cookie.domain] -= 1
                total -= 1


class _Policy(DefaultCookiePolicy):
    """RFC 6265, where the defaults are older."""

    def __init__(self) -> None:
        super().__init__(
            rfc2965=False,
            # Guesses which domains are for many owners, as "co.uk".
            strict_domain=True,
            # A cookie without Domain is for its host alone (section 5.3, step 6).
            strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain,
        )

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        if cookie.value is None or not cookie.name or len(cookie.name) + len(cookie.value) > _MAX_SIZE:
            return False
        # RFC 6265 bis, sections 4.1.3 and 5.7: no server without TLS can plant what only one with it may set.
        if cookie.secure and request.type != "https":
            return False
        if cookie.name.startswith("__Secure-") and not cookie.secure:
            return False
        if cookie.name.startswith("__Host-") and not (
            cookie.secure and cookie.path == "/" and cookie.path_specified and not cookie.domain_specified
        ):
            return False
        # The end of an address is no domain (section 5.1.3).
        if cookie.domain_specified and _ADDRESS.search(request.host.rpartition(":")[0] or request.host):
            return False
        return super().set_ok(cookie, request)


class _Answer:
    """What a jar wants to know of an answer."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


def _request(url: str) -> Request:
    scheme, colon, rest = url.partition(":")
    return Request(_SCHEMES.get(scheme, scheme) + colon + rest)


def _without_nonsense(match: re.Match[str]) -> str:
    """An attribute that is not a number is as if it were not there (RFC 6265, section 5.2.2)."""
    return match[0] if _SECONDS.fullmatch(match[1].strip()) else ""


def _checked(cookies: Mapping[str, str]) -> dict[str, str]:
    for name, value in cookies.items():
        if not all(isinstance(each, str) for each in (name, value)):
            raise ValueError(f"cookies are names and values of type str, not {name!r}: {value!r}")
        if not name or re.search(r"[\s=;,]", name) or ";" in value or _UNSAFE.search(name + value):
            raise ValueError(f"this cookie can't be sent: {name!r}: {value!r}")
        try:
            header_lines([(b"Cookie", f"{name}={value}".encode("latin-1"))])
        except UnicodeEncodeError:
            raise ValueError(f"this cookie can't be sent: {name!r}: {value!r}") from None
    return dict(cookies)
