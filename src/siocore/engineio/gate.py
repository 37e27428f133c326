"""Which requests are let in: the checks in front of every Engine.IO session, and their error codes.

Source: the Engine.IO protocol, "Handshake", and the error table of Node.js' engine.io.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.advice import ADVICE
from siocore.options import ServerOptions
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.engineio.session import Session

__all__ = ["Refusal", "check_origin", "check_request", "check_upgrade", "revision_of"]

MESSAGES = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}


class Refusal:
    """Why a request was not let in.

    ``code`` is the number that clients know, ``status`` the HTTP status of the answer over long-polling (a WebSocket
    handshake is always answered 400), ``context`` what the ``connection_error`` event carries. ``advice`` is the key of
    the hint in ADVICE.
    """

    __slots__ = ("advice", "code", "context", "message", "status")

    def __init__(
        self,
        code: int,
        context: dict[str, object],
        advice: str,
        *,
        message: str | None = None,
        status: int | None = None,
    ) -> None:
        self.code = code
        self.context = context
        self.advice = advice
        self.message = MESSAGES[code] if message is None else message
        self.status = (403 if code == 4 else 400) if status is None else status

    @property
    def hint(self) -> str:
        """What was wrong, and what to change."""
        return ADVICE[self.advice].hint

    def __repr__(self) -> str:
        return f"<Refusal {self.code} {self.message!r} {self.advice}>"


def check_request(
    request: Request, upgrade: bool, options: ServerOptions, sessions: dict[str, Session]
) -> Session | Refusal | None:
    """The session that the request belongs to, or ``None`` for a handshake, or why it is refused.

    ``upgrade`` tells whether the request asks to become a WebSocket.
    """
    transport = request.parameter("transport")
    # WebTransport sessions begin with CONNECT, which no other way of ours lets through.
    over_http3 = transport == "webtransport"
    if transport is None or transport not in options.transports or over_http3 != (request.method == "CONNECT"):
        advice = "TRANSPORT_DISABLED" if transport in ("polling", "websocket") else "TRANSPORT_UNKNOWN"
        return Refusal(0, {"transport": None if transport is None else transport[:100]}, advice)
    try:
        allowed = check_origin(request, options)
    except Exception as error:
        return Refusal(4, {"name": "ORIGIN_CHECK_FAILED", "error": error}, "ORIGIN_CHECK_FAILED")
    if not allowed:
        origin = request.headers.get("origin", "")[:200]
        return Refusal(4, {"name": "ORIGIN_NOT_ALLOWED", "origin": origin}, "ORIGIN_NOT_ALLOWED")
    sids = request.parameters("sid")
    if sids:
        sid = sids[0] if len(sids) == 1 else None
        session = None if sid is None else sessions.get(sid)
        if session is None:
            return Refusal(1, {"sid": None if sid is None else sid[:100]}, "SESSION_UNKNOWN")
        if revision_of(request) != session.revision:
            return Refusal(3, {"name": "PROTOCOL_MISMATCH"}, "PROTOCOL_MISMATCH")
        if upgrade != (transport != "polling"):
            return Refusal(3, {"name": "TRANSPORT_MISMATCH"}, _lost_upgrade(upgrade))
        if not upgrade and session.transport != transport:
            return Refusal(3, {"name": "TRANSPORT_MISMATCH"}, "TRANSPORT_MISMATCH")
        refusal = _check_script(request, options) if session.revision == 3 else None
        return session if refusal is None else refusal
    if request.method != "GET" and not over_http3:
        return Refusal(2, {"method": request.method[:100]}, "HANDSHAKE_METHOD")
    if upgrade != (transport != "polling"):
        return Refusal(3, {"name": "TRANSPORT_HANDSHAKE_ERROR"}, _lost_upgrade(upgrade))
    revision = revision_of(request)
    if revision == 4:
        return None
    if revision == 3 and options.allow_eio3:
        return _check_script(request, options)
    protocol = request.parameter("EIO")
    context: dict[str, object] = {"protocol": None if protocol is None else protocol[:100]}
    return Refusal(5, context, "PROTOCOL_LEGACY" if revision == 3 else "PROTOCOL_UNKNOWN")


def revision_of(request: Request) -> int:
    """The protocol revision that a request names in its parameter ``EIO``: 4 or 3, else 0.

    Clients of revision 3 may leave it out.
    """
    values = request.parameters("EIO")
    if len(values) == 1:
        if values[0] == "4":
            return 4
        return 3 if values[0] == "3" else 0
    return 0 if values else 3


def check_upgrade(session: Session, options: ServerOptions) -> Refusal | None:
    """Why the session can't have a WebSocket now; ``None`` if it can."""
    if session.can_upgrade:
        return None
    advice = "UPGRADE_REPEATED" if options.allow_upgrades else "UPGRADES_OFF"
    return Refusal(3, {"name": advice}, advice)


def _lost_upgrade(upgrade: bool) -> str:
    return "UPGRADE_UNEXPECTED" if upgrade else "UPGRADE_LOST"


def check_origin(request: Request, options: ServerOptions) -> bool:
    """Whether a browser page from the request's Origin may talk to us, over either transport.

    Browsers send Origin with every WebSocket handshake and every cross-origin request; other clients may leave it out.
    By default only the page's own host is let in: without that check any page that a user opens could speak through
    the user's cookies (cross-site WebSocket hijacking). Raises what the application's function for origins raises.
    """
    origins = request.header_values(b"origin")
    if not origins:
        return True
    return len(origins) == 1 and _is_allowed(origins[0].decode("latin-1"), request, options)


def _check_script(request: Request, options: ServerOptions) -> Refusal | None:
    """Why the page that a request of revision 3 comes from may not read what is answered, if that is a script (JSONP).

    Every page can load scripts from everywhere, with the user's cookies, and browsers send no Origin with the request.
    So the Referer has to name a page that is let in; one that a page has suppressed tells nothing.
    """
    if not request.parameters("j") or request.header_values(b"origin"):
        return None
    if options.cors is not None and options.cors.every:
        return None
    referers = request.header_values(b"referer")
    if len(referers) == 1:
        scheme, separator, rest = referers[0].decode("latin-1").partition("://")
        try:
            if _is_allowed(scheme + separator + rest.partition("/")[0], request, options):
                return None
        except Exception as error:
            return Refusal(4, {"name": "ORIGIN_CHECK_FAILED", "error": error}, "ORIGIN_CHECK_FAILED")
    referer = request.headers.get("referer", "")[:200]
    return Refusal(4, {"name": "JSONP_PAGE_NOT_ALLOWED", "referer": referer}, "JSONP_PAGE_NOT_ALLOWED")


def _is_allowed(origin: str, request: Request, options: ServerOptions) -> bool:
    if options.cors is not None:
        return options.cors.allows(origin, request)
    scheme, separator, origin_host = origin.lower().partition("://")
    # Behind a proxy that ends TLS, the page is https and the request that reaches us is not.
    if not separator or scheme not in (("https",) if request.secure else ("http", "https")):
        return False
    default_port = ":443" if scheme == "https" else ":80"
    host = request.headers.get("host", "").lower()
    return origin_host.removesuffix(default_port) == host.removesuffix(default_port)
