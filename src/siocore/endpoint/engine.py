"""The endpoint of an Engine.IO server: every connection, session and timer of it.

How to drive it
---------------
1. A TCP connection was accepted: ``connection = protocol.connection_made(peer, now=...)``.
2. Bytes, EOF, or its loss: ``connection.receive_data(data, now=...)``, ``receive_eof``, ``connection_lost``.
3. The deadline that ``next_deadline()`` told has come: ``protocol.handle_timeout(now=...)``.
4. After any of these, and after calls of the application: take all events (``next_event()`` until None), then the
   output of every connection in ``take_ready()`` (``data_to_send()``, ``closing``, ``closed``, ``wants_read``), then
   wait until ``next_deadline()`` at the latest.

``now`` is in seconds of any monotonic clock. Late and spurious calls are harmless. None of these methods raises for
anything that a peer can send.
"""

from __future__ import annotations

import json

from siocore.codec.message import ControlPacket
from siocore.driven import DrivenConnection
from siocore.endpoint.connection import Connection
from siocore.endpoint.interfaces import ConnectionOwner, ServerConnection
from siocore.endpoint.resources import VARY, Answerable, StaticResource
from siocore.engineio.gate import Refusal, check_origin, check_request
from siocore.engineio.interfaces import Headers
from siocore.engineio.session import Session
from siocore.events import ConnectionErrored, MessageReceived, SessionClosed, SessionOpened
from siocore.http.compression import choose_coding, compress
from siocore.options import HttpCompression, ServerOptions
from siocore.request import Request

__all__ = ["EngineServerProtocol"]

_JSON: Headers = ((b"content-type", b"application/json"),)
_PLAIN: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)
_OPEN: Headers = ((b"content-type", b"text/plain; charset=UTF-8"), (b"cache-control", b"no-store"))
_METHODS = (b"allow", b"GET, POST, OPTIONS")


class EngineServerProtocol(ConnectionOwner):
    """A sans-I/O Engine.IO server (protocol revision 4). The module's docstring tells how to drive it."""

    __slots__ = (
        "_handshake_ends",
        "_to_flush",
        "connections",
        "resources",
        "sessions",
    )

    def __init__(self, options: ServerOptions | None = None) -> None:
        super().__init__(ServerOptions(path="/engine.io/") if options is None else options)
        self.sessions: dict[str, Session] = {}
        self.connections: set[ServerConnection] = set()
        #: What is answered from memory, by path.
        self.resources: dict[str, Answerable] = {}
        self._handshake_ends = {each: self._handshake_end(each) for each in ("polling", "websocket")}
        self._to_flush: list[Session] = []

    # For the driver -------------------------------------------------------------------------------------------

    def connection_made(self, peer: object, now: float, secure: bool = False) -> Connection:
        """A TCP connection was accepted. ``peer`` is its address, for the application; ``secure`` says it is TLS."""
        self.latest = now
        connection = Connection(self, peer, secure=secure)
        self.connections.add(connection)
        return connection

    def take_ready(self) -> list[DrivenConnection]:
        # An answer can make room for a request that waited behind it, and this for more to flush.
        while self._to_flush:
            sessions, self._to_flush = self._to_flush, []
            for session in sessions:
                session.flush()
        # super() knows no class in compiled methods.
        return ConnectionOwner.take_ready(self)

    def shutdown(self, now: float) -> None:
        """Stop gracefully: every client is told, new requests are answered 503. Go on driving until nothing is left."""
        self.latest = now
        self.stopping = True
        for session in list(self.sessions.values()):
            session.close("server shutting down", code=1001)
        self._close_idle_connections()

    def abort(self, now: float) -> None:
        """Drop whatever is left."""
        self.latest = now
        for connection in list(self.connections):
            connection.abort()
        for session in list(self.sessions.values()):
            session.fail("server shutting down")
        self.stopping = False

    # For the application --------------------------------------------------------------------------------------

    def add_resource(self, path: str, body: bytes, content_type: str) -> None:
        """Answer GET and HEAD of ``path`` with ``body``."""
        self.resources[path] = StaticResource(body, content_type, self.options.http_compression)

    # For connections ------------------------------------------------------------------------------------------

    def connection_ended(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)

    def request_received(self, connection: ServerConnection, request: Request, upgrade: bool) -> None:
        """The head of a request arrived on ``connection``."""
        if self.stopping and not self._is_last_poll(request):
            connection.respond(503, _PLAIN, b"The server is shutting down", True)
        elif request.path == self.options.path or request.path == self.options.path[:-1]:
            self._engine_request(connection, request, upgrade)
        else:
            connection.expect_body(self._answer_resource)

    def response_headers(self, request: Request | None, headers: Headers) -> Headers:
        """The headers of an answer: those given, and those that let a page of an allowed origin read it."""
        if request is None or not (origins := request.header_values(b"origin")):
            return headers
        if self.options.cors_origins is None or not check_origin(request, self.options):
            return headers
        if self.options.cors_origins == "*":
            # Never together with credentials: any page could then read what the user may read.
            return (*headers, (b"access-control-allow-origin", b"*"))
        return (
            *headers,
            (b"access-control-allow-origin", origins[0]),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        )

    # For sessions ---------------------------------------------------------------------------------------------

    def compressed(self, request: Request, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        coding = choose_coding(request)
        options = self.options.http_compression
        if coding is None or not isinstance(options, HttpCompression):
            return (*headers, VARY), body
        return (*headers, VARY, (b"content-encoding", coding.encode("ascii"))), compress(body, coding, options.level)

    def session_opened(self, session: Session) -> None:
        self.push_event(SessionOpened(session))

    def session_message(self, session: Session, data: str | bytes, start: int) -> None:
        if start:
            data = data[start:]
        self.push_received(MessageReceived(session, data))

    def session_has_packets(self, session: Session) -> None:
        self._to_flush.append(session)
        if len(self._to_flush) == 1 and self.wake is not None:
            self.wake()

    def session_closed(self, session: Session, reason: str, detail: str) -> None:
        self.push_event(SessionClosed(session, reason, detail))

    def session_forgotten(self, session: Session) -> None:
        self.sessions.pop(session.sid, None)
        if self.stopping:
            self._close_idle_connections()

    def _close_idle_connections(self) -> None:
        # While a polling client has not been told, its next GET may come on any of them.
        if not self.sessions:
            for connection in list(self.connections):
                connection.close_if_idle()

    def _is_last_poll(self, request: Request) -> bool:
        session = self.sessions.get(request.parameter("sid") or "")
        return session is not None and session.lingering and request.method == "GET"

    # Requests -------------------------------------------------------------------------------------------------

    def _engine_request(self, connection: ServerConnection, request: Request, upgrade: bool) -> None:
        if request.method == "OPTIONS":
            self._preflight(connection, request)
            return
        verdict = check_request(request, upgrade, self.options, self.sessions)
        if isinstance(verdict, Refusal):
            self._refuse(connection, request, verdict, upgrade=upgrade)
        elif upgrade:
            self._websocket_request(connection, request, verdict)
        elif verdict is None:
            connection.expect_body(self._handshake)
        elif request.method == "GET":
            connection.expect_poll(verdict)
        elif request.method == "POST":
            if verdict.post_started(connection):
                connection.expect_post(verdict)
        else:
            connection.respond(405, (_METHODS, *_PLAIN), b"Method Not Allowed")

    def _handshake(self, connection: ServerConnection, body: bytes) -> None:
        session = self._open_session(connection.request)
        connection.respond(
            200,
            _OPEN,
            self._open_packet(session, "polling"),
        )
        session.request.compact()
        self.session_opened(session)

    def _websocket_request(self, connection: ServerConnection, request: Request, session: Session | None) -> None:
        if session is not None:
            if not session.can_upgrade:
                connection.reject_upgrade("Bad request")
            elif connection.accept_websocket(session):
                session.websocket_opened(connection)
                connection.receive_trailing()
            return
        session = self._open_session(request)
        if not connection.accept_websocket(session):
            session.discard()
            return
        connection.write(ControlPacket(self._open_packet(session, "websocket")).frames())
        session.open_websocket(connection)
        session.request.compact()
        self.session_opened(session)
        connection.receive_trailing()

    def _open_session(self, request: Request) -> Session:
        sid = self.options.generate_id()
        session = Session(sid, self, request)
        self.sessions[sid] = session
        return session

    def _open_packet(self, session: Session, transport: str) -> bytes:
        return b'0{"sid":%b,%b' % (json.dumps(session.sid).encode(), self._handshake_ends[transport])

    def _handshake_end(self, transport: str) -> bytes:
        """What follows the sid in the OPEN packet: the same for all, in the order in which Node.js sends it."""
        options = self.options
        can_upgrade = transport == "polling" and options.allow_upgrades and "websocket" in options.transports
        handshake = {
            "upgrades": ["websocket"] if can_upgrade else [],
            "pingInterval": round(options.ping_interval * 1000),
            "pingTimeout": round(options.ping_timeout * 1000),
            "maxPayload": options.limits.max_payload,
        }
        return json.dumps(handshake, separators=(",", ":")).encode()[1:]

    def _refuse(self, connection: ServerConnection, request: Request, refusal: Refusal, *, upgrade: bool) -> None:
        if upgrade:
            connection.reject_upgrade(refusal.message)
        else:
            body = json.dumps({"code": refusal.code, "message": refusal.message}, separators=(",", ":"))
            connection.expect_body(lambda connection, _: connection.respond(refusal.status, _JSON, body.encode()))
        self.push_event(ConnectionErrored(request, refusal.code, refusal.message, refusal.context))

    def _preflight(self, connection: ServerConnection, request: Request) -> None:
        headers: Headers = (_METHODS,)
        if self.options.cors_origins is not None and check_origin(request, self.options):
            headers += (
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                (b"access-control-allow-headers", b"content-type"),
                (b"access-control-max-age", b"86400"),
            )
        connection.expect_body(lambda connection, _: connection.respond(204, headers))

    def _answer_resource(self, connection: ServerConnection, body: bytes) -> None:
        resource = self.resources.get(connection.request.path)
        if resource is None:
            connection.respond(404, _PLAIN, self.not_found(connection.request).encode())
        else:
            resource.answer(connection)

    def not_found(self, request: Request) -> str:
        """The sentence of a 404."""
        return f"Not Found: this server speaks Engine.IO at {self.options.path}\n"
