"""What refused clients, and whoever reads the log, are told: what was wrong with a request, and what to change.

One table for the bodies of refusals, the log and the documentation's page on troubleshooting. Nothing in it comes from
a request, so that nothing a peer sends is shown to anybody.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ADVICE", "Advice"]


class Advice(NamedTuple):
    """Sentences on one way to be refused. ``seen`` is how it shows, ``cause`` and ``remedy`` are the hint."""

    seen: str
    cause: str
    remedy: str

    @property
    def hint(self) -> str:
        """What is sent and logged."""
        return f"{self.cause} {self.remedy}"


ADVICE: dict[str, Advice] = {
    "TRANSPORT_UNKNOWN": Advice(
        '400 with code 0, "Transport unknown"',
        "The request names no transport, several, or one that does not exist.",
        "Connect with a Socket.IO client; a plain WebSocket or HTTP client needs ?EIO=4&transport=websocket or "
        "?EIO=4&transport=polling.",
    ),
    "TRANSPORT_DISABLED": Advice(
        '400 with code 0, "Transport unknown", for polling or websocket',
        "The server's option transports leaves this transport out.",
        "Give the client the same list, such as transports: ['websocket'], or add the transport to the server's.",
    ),
    "ORIGIN_NOT_ALLOWED": Advice(
        '403 with code 4, "Forbidden", or an error about CORS in the browser\'s console',
        "The page comes from an origin that the server does not let in: by default only its own host.",
        "Name the page's origin, scheme and port included, in the server's option cors_origins.",
    ),
    "ORIGIN_CHECK_FAILED": Advice(
        '403 with code 4, "Forbidden"',
        "The server's function that decides about origins failed.",
        "The server's log has the traceback.",
    ),
    "SESSION_UNKNOWN": Advice(
        '400 with code 1, "Session ID unknown", now and then or for every second request',
        "No session has this id here: it has ended, the server was restarted, or another worker has it.",
        "Clients connect again by themselves. Several servers need a load balancer with sticky sessions, or "
        "sessions=siocore.redis.SharedSessions(...), or clients with transports: ['websocket']; on one machine "
        "siocore serve --workers needs none of these.",
    ),
    "HANDSHAKE_METHOD": Advice(
        '400 with code 2, "Bad handshake method"',
        "A request without a session id is a handshake, and that is a GET.",
        "If a proxy or a script drops the query, sid is lost: let it pass the query on.",
    ),
    "UPGRADE_LOST": Advice(
        '400 with code 3, "Bad request", for transport=websocket',
        "The request says transport=websocket but has no Upgrade header: a proxy has dropped it.",
        "In nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        'proxy_set_header Connection "upgrade";',
    ),
    "UPGRADE_UNEXPECTED": Advice(
        '400 with code 3, "Bad request", for a WebSocket with transport=polling',
        "The request asks for a WebSocket, but says transport=polling.",
        "A WebSocket needs ?EIO=4&transport=websocket.",
    ),
    "TRANSPORT_MISMATCH": Advice(
        '400 with code 3, "Bad request", for a long-polling request',
        "The session speaks over a WebSocket already, so long-polling requests for it are refused.",
        "Connect again. If it happens often, something between repeats or delays requests.",
    ),
    "PROTOCOL_MISMATCH": Advice(
        '400 with code 3, "Bad request", for a known session',
        "The request's EIO parameter is not that of the session's handshake.",
        "Send the same EIO with every request of a session; don't let clients of two versions share one.",
    ),
    "PROTOCOL_LEGACY": Advice(
        '400 with code 5, "Unsupported protocol version"',
        "The client speaks Engine.IO 3 (EIO=3, or no EIO at all): that is Socket.IO 1 or 2.",
        "Use socket.io-client 3 or 4 (in other languages, a client for Socket.IO 3 or 4), or set allow_eio3=True on "
        "the server.",
    ),
    "PROTOCOL_UNKNOWN": Advice(
        '400 with code 5, "Unsupported protocol version", for an EIO other than 3',
        "The request's EIO parameter is no version that the server speaks.",
        "Socket.IO 3 and 4 clients send EIO=4.",
    ),
    "JSONP_PAGE_NOT_ALLOWED": Advice(
        '403 with code 4, "Forbidden", for a JSONP request',
        "The Referer of a JSONP request names no page that may talk to the server, or there is none. Any page could "
        "load its answer as a script, and so read what is meant for the user.",
        "Let the page send its Referer, and allow its origin with cors_origins; or let the client use XMLHttpRequest "
        "(no forceJSONP).",
    ),
    "UPGRADES_OFF": Advice(
        '400, "Bad request", for the upgrade of a session to WebSocket',
        "The server's option allow_upgrades is off, so a session stays with the transport that it began with.",
        "Begin with transports: ['websocket'] in the client, or allow upgrades.",
    ),
    "UPGRADE_REPEATED": Advice(
        '400, "Bad request", for a second WebSocket of a session',
        "The session has a WebSocket already, or is closing.",
        "One connection needs one client: a session id can't be used twice.",
    ),
    "WEBSOCKET_HANDSHAKE": Advice(
        "400 for a WebSocket, with a sentence about a header",
        "The request for a WebSocket breaks RFC 6455.",
        "If the client is a known one, a proxy has changed the Sec-WebSocket headers.",
    ),
    "METHOD_NOT_ALLOWED": Advice(
        "405, Method Not Allowed",
        "Requests of a session are GET and POST.",
        "If a proxy or a script changes the method, let it be.",
    ),
    "WRONG_PATH": Advice(
        "404, Not Found, and no connection",
        "The client asks for another path than the server's.",
        "Give both the same option path. A namespace is not a path: it goes behind the host, as in io('/admin').",
    ),
    "REFUSED": Advice(
        '403 with code 4, "Forbidden" or the application\'s own message',
        "The application's allow_request has refused the handshake.",
        "The application knows why.",
    ),
    "ALLOW_REQUEST_FAILED": Advice(
        '500 with code 4, "Forbidden"',
        "The application's allow_request failed.",
        "The server's log has the traceback.",
    ),
    "HANDSHAKE_TIMEOUT": Advice(
        '503 with code 4, "Forbidden"',
        "The application did not decide about the handshake in time.",
        "Make allow_request and generate_session_id faster, or raise Limits.handshake_timeout.",
    ),
    "ID_GENERATION_ERROR": Advice(
        '400 with code 3, "Bad request", for every handshake',
        "The server could not make an id for the session.",
        "The server's log has the traceback.",
    ),
}
