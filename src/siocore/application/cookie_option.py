"""The option ``cookies``."""

from __future__ import annotations

from siocore.client_options import CookieStore

__all__ = ["make_cookie_store"]


def make_cookie_store(option: object) -> CookieStore | None:
    """What ``cookies=`` asks for; None if that is nothing. Raises ValueError for what is not among its values."""
    if option is None or option is False:
        return None
    # Here and not above: it brings http.client and ssl along, which most never need.
    from siocore.application import cookies

    return cookies.make_cookie_store(option)
