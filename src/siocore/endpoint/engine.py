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
import re
from typing import TYPE_CHECKING

from siocore.advice import ADVICE
from siocore.browsers import Cookie
from siocore.codec.message import ControlPacket, Outgoing, message_of
from siocore.driven import DrivenConnection
from siocore.endpoint.connection import Connection
from siocore.endpoint.handshakes import PendingHandshake
from siocore.endpoint.interfaces import ConnectionOwner, Pending, ServerConnection, StrayHandler
from siocore.endpoint.resources import VARY, Answerable, StaticResource
from siocore.engineio.gate import Refusal, check_origin, check_request, check_upgrade, revision_of
from siocore.engineio.interfaces import Headers
from siocore.engineio.outbound import Outbound
from siocore.engineio.revision3 import LegacySession
from siocore.engineio.session import Session
from siocore.engineio.shared import SharedSession
from siocore.errors import LocalProtocolError
from siocore.events import (
    BufferFilled,
    CallbackFailed,
    ConnectionErrored,
    HandshakeRequested,
    HttpRequestReceived,
    MessageReceived,
    SessionClosed,
    SessionOpened,
)
from siocore.http.compression import choose_coding, compress
from siocore.http.cors import answer_headers, preflight_headers
from siocore.http.extra_headers import extra_headers
from siocore.options import TRANSPORTS, HttpCompression, ServerOptions
from siocore.overflow import SlowConsumer
from siocore.request import Request

if TYPE_CHECKING:
    from siocore.endpoint.shared_sessions import SharedSessions

__all__ = ["EngineServerProtocol"]

_JSON: Headers = ((b"content-type", b"application/json"),)
_PLAIN: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)
_NO_WEBSOCKET = (
    "WebSockets of a hosted application are not supported, only its HTTP: use Socket.IO or Engine.IO at {}, "
    "or serve this application with an ASGI server that supports them"
)
_METHODS = (b"allow", b"GET, POST, OPTIONS")
_RESOURCE_METHODS = (b"allow", b"GET, HEAD, OPTIONS")
_STOPPING = b"The server is shutting down"
# Of base64url, so that it needs no escape in a query or in a cookie.
_SID = re.compile(r"[A-Za-z0-9_\-]{1,100}")
_NOT_ALLOWED = b"Method Not Allowed: " + ADVICE["METHOD_NOT_ALLOWED"].hint.encode()


class EngineServerProtocol(ConnectionOwner):
    """A sans-I/O Engine.IO server (protocol revision 4, and 3 with ``allow_eio3``).

    The module's docstring tells how to drive it.
    """

    __slots__ = (
        "_asks",
        "_decorates",
        "_greets",
        "_handshake_ends",
        "_initial",
        "_takes_old",
        "_to_flush",
        "connections",
        "pending",
        "resources",
        "sessions",
        "sharing",
        "sid_mark",
        "strays",
    )

    def __init__(self, options: ServerOptions | None = None) -> None:
        super().__init__(ServerOptions(path="/engine.io/") if options is None else options)
        self.sessions: dict[str, Session] = {}
        self.connections: set[ServerConnection] = set()
        #: What is answered from memory, by path.
        self.resources: dict[str, Answerable] = {}
        #: What waits for a decision, by its connection: handshakes for the application, upgrades for another server.
        self.pending: dict[ServerConnection, Pending] = {}
        #: How the ids of sessions begin, where that says whose they are.
        self.sid_mark = ""
        #: Those who may know where the sessions are that are not here, if there are several servers. Asked in turn.
        self.strays: list[StrayHandler] = []
        #: Set if other servers get requests for our sessions, and we for theirs.
        self.sharing: SharedSessions | None = None
        options = self.options
        self._asks = options.allow_request is not None or options.generate_session_id is not None
        self._takes_old = options.allow_eio3
        # Whether the answer to a handshake has headers of its own.
        self._greets = options.cookie is not None or options.initial_headers is not None
        # Whether answers have headers that depend on their requests.
        self._decorates = options.cors is not None or options.headers is not None
        self._handshake_ends = {each: self._handshake_end(each) for each in TRANSPORTS}
        self._initial = None if options.initial_packet is None else message_of(options.initial_packet)
        self._to_flush: list[Outbound] = []

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
        for pending in list(self.pending.values()):
            connection = pending.drop()
            if connection is not None:
                connection.respond(503, _PLAIN, _STOPPING, True)
        if self.sharing is not None:
            self.sharing.shutdown()
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
        if self.pending:
            pending = self.pending.get(connection)
            if pending is not None:
                pending.drop()

    def request_received(self, connection: ServerConnection, request: Request, upgrade: bool) -> None:
        """The head of a request arrived on ``connection``."""
        if self.stopping and not self._is_last_poll(request):
            # Its session may be another server's, which still has something to say to it.
            if not self._is_ours(request.path) or not self._is_claimed(connection, request, upgrade):
                connection.respond(503, _PLAIN, _STOPPING, True)
        elif self._is_ours(request.path):
            self._engine_request(connection, request, upgrade)
        elif self.hosting is None or not self.hosts(request):
            connection.expect_body(self._answer_resource)
        elif upgrade:
            connection.reject_upgrade(_NO_WEBSOCKET.format(self.options.path))
        else:
            self.push_event(HttpRequestReceived(connection.host(), self.hosting))

    def hosts(self, request: Request) -> bool:
        """Whether this request is for the hosted application: its path is neither below ours nor a resource's."""
        path = request.path
        own = self.options.path
        return not path.startswith(own) and path != own[:-1] and self.hosting is not None and path not in self.resources

    def response_headers(self, request: Request, headers: Headers) -> Headers:
        """The headers of an answer: those given, those that browsers ask for, and the application's own."""
        return self._decorated(request, headers) if self._decorates else headers

    def _decorated(self, request: Request, headers: Headers) -> Headers:
        cors = self.options.cors
        if cors is not None:
            origin = request.header_values(b"origin") if self._lets_in(request) else []
            headers = (*headers, *answer_headers(cors, origin[0] if origin else None))
        return headers + self._hooked("headers", request, headers)

    def _lets_in(self, request: Request) -> bool:
        try:
            return check_origin(request, self.options)
        except Exception as error:
            self.push_event(CallbackFailed("cors", error, request))
            return False

    def _hooked(self, name: str, request: Request, headers: Headers) -> Headers:
        """What the option of this name adds to an answer with ``headers``. If it fails, nothing."""
        hook = getattr(self.options, name)
        if hook is None:
            return ()
        try:
            return extra_headers(hook, request, headers)
        except Exception as error:
            self.push_event(CallbackFailed(name, error, request))
            return ()

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

    def session_upgrades(self, session: SharedSession) -> None:
        if self.sharing is not None:
            self.sharing.upgrade_in_order(session)

    def session_has_packets(self, session: Outbound) -> None:
        self._to_flush.append(session)
        if len(self._to_flush) == 1 and self.wake is not None:
            self.wake()

    def session_slow(self, session: Session, info: SlowConsumer) -> None:
        self.push_event(BufferFilled(session, info))

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
            connection.expect_body(self._answer_options)
            return
        verdict = check_request(request, upgrade, self.options, self.sessions)
        if isinstance(verdict, Refusal):
            if verdict.code == 1 and self.strays and self._is_claimed(connection, request, upgrade):
                return
            self._refuse(connection, request, upgrade, verdict)
        elif upgrade:
            if verdict is None:
                self._begin_handshake(connection, request, True)
            else:
                self._upgrade(connection, request, verdict)
        elif verdict is None:
            connection.expect_body(self._polling_handshake)
        elif request.method == "GET":
            connection.expect_poll(verdict)
        elif request.method == "POST":
            if type(verdict) is SharedSession and verdict.far_posts and self.sharing is not None:
                self.sharing.post_in_order(connection, verdict)
            elif verdict.post_started(connection):
                connection.expect_post(verdict)
        else:
            connection.respond(
                405, (_METHODS, *_PLAIN), b"Method Not Allowed: " + ADVICE["METHOD_NOT_ALLOWED"].hint.encode()
            )
            context: dict[str, object] = {"name": "METHOD_NOT_ALLOWED", "method": request.method[:100]}
            self._report(request, Refusal(3, context, "METHOD_NOT_ALLOWED"))

    def _is_claimed(self, connection: ServerConnection, request: Request, upgrade: bool) -> bool:
        """Whether somebody sees to a request for a session that is not here."""
        return any(stray.claim(connection, request, upgrade) for stray in self.strays)

    def _polling_handshake(self, connection: ServerConnection, body: bytes) -> None:
        self._begin_handshake(connection, connection.request, False)

    def _begin_handshake(self, connection: ServerConnection, request: Request, upgrade: bool) -> None:
        if self.stopping:
            # Since the head of the request arrived.
            connection.respond(503, _PLAIN, _STOPPING, True)
            return
        if not self._asks:
            self.open_session(connection, request, upgrade, None)
            return
        pending = PendingHandshake(self, connection, request, upgrade)
        self.pending[connection] = pending
        self.push_received(HandshakeRequested(pending))

    def open_session(self, connection: ServerConnection, request: Request, upgrade: bool, sid: str | None) -> bool:
        """Answer a handshake with a new session. False if there can be none (that was answered, too)."""
        try:
            session = self._open_session(request, upgrade, sid)
        except Exception as error:
            # The application's generate_id raised, or made what can't be an id.
            refusal = Refusal(3, {"name": "ID_GENERATION_ERROR", "error": error}, "ID_GENERATION_ERROR")
            self.answer_refusal(connection, request, upgrade, refusal)
            return False
        if upgrade:
            return self._answer_with_websocket(connection, request, session)
        leaving: list[Outgoing] = [ControlPacket(self._open_packet(session, "polling"))]
        if self._initial is not None:
            leaving.append(self._initial)
        headers, body = session.poll_answer(connection, leaving)
        if self._greets:
            headers = self._opening_headers(request, session, headers)
        connection.respond(200, headers, body)
        session.request.compact()
        if type(session) is SharedSession and self.sharing is not None:
            session.open_later(self.sharing.delay)
        else:
            self.session_opened(session)
        return True

    def adopt_session(
        self, sid: str, connection: ServerConnection, request: Request, messages: list[str | bytes]
    ) -> None:
        """A session moves here from another server, with its WebSocket and what the client has sent so far."""
        if sid in self.sessions:
            # Nobody makes the same id twice, but whoever speaks for another server can say so.
            connection.close_websocket(1008)
            return
        session = self.sessions[sid] = Session(sid, self, request)
        connection.hand_to(session)
        session.open_websocket(connection)
        request.compact()
        self.session_opened(session)
        connection.resume()
        for message in messages:
            session.websocket_message(connection, message)

    def _answer_with_websocket(self, connection: ServerConnection, request: Request, session: Session) -> bool:
        headers = self._opening_headers(request, session, ()) if self._greets else ()
        if not connection.accept_websocket(session, headers + self._hooked("headers", request, headers)):
            session.discard()
            self._report(request, Refusal(3, {"name": "WEBSOCKET_HANDSHAKE"}, "WEBSOCKET_HANDSHAKE"))
            return False
        connection.write(ControlPacket(self._open_packet(session, "websocket")).frames())
        session.open_websocket(connection)
        if self._initial is not None:
            session.send_outgoing(self._initial)
        session.request.compact()
        self.session_opened(session)
        connection.receive_trailing()
        return True

    def _opening_headers(self, request: Request, session: Session, headers: Headers) -> Headers:
        cookie = self.options.cookie
        if isinstance(cookie, Cookie):
            headers = (*headers, (b"set-cookie", cookie.header(session.sid)))
        return headers + self._hooked("initial_headers", request, headers)

    def _upgrade(self, connection: ServerConnection, request: Request, session: Session) -> None:
        refusal = check_upgrade(session, self.options)
        if refusal is not None:
            self.answer_refusal(connection, request, True, refusal)
        elif self.accept_upgrade(connection, request, session):
            session.websocket_opened(connection, request)
            connection.receive_trailing()

    def accept_upgrade(self, connection: ServerConnection, request: Request, session: Session) -> bool:
        """Let a client's WebSocket be for this session. False if its handshake is wrong (that was answered)."""
        accepted = connection.accept_websocket(session, self._hooked("headers", request, ()))
        if not accepted:
            self._report(request, Refusal(3, {"name": "WEBSOCKET_HANDSHAKE"}, "WEBSOCKET_HANDSHAKE"))
        return accepted

    def _open_session(self, request: Request, upgrade: bool, sid: str | None) -> Session:
        if sid is None:
            sid = self.options.generate_id()
            if self.sid_mark and isinstance(sid, str):
                sid = self.sid_mark + sid[len(self.sid_mark) :]
            self.check_new_sid(sid)
        if self._takes_old and revision_of(request) != 4:
            session: Session = LegacySession(sid, self, request)
        elif self.sharing is not None and not upgrade:
            session = SharedSession(sid, self, request)
        else:
            session = Session(sid, self, request)
        self.sessions[sid] = session
        return session

    def check_new_sid(self, sid: object) -> None:
        """Raise LocalProtocolError if this can't be the id of a new session."""
        if not isinstance(sid, str) or _SID.fullmatch(sid) is None:
            raise LocalProtocolError("the id of a session is 1 to 100 characters of base64url")
        if sid in self.sessions:
            raise LocalProtocolError("a session has this id already")

    def _open_packet(self, session: Session, transport: str) -> bytes:
        # Whoever makes ids: their characters are text in JSON as they are.
        return b'0{"sid":"%b",%b' % (session.sid.encode(), self._handshake_ends[transport])

    def _handshake_end(self, transport: str) -> bytes:
        """What follows the sid in the OPEN packet: the same for all, in the order in which Node.js sends it."""
        options = self.options
        can_upgrade = transport == "polling" and options.allow_upgrades
        handshake = {
            "upgrades": [each for each in options.transports if each != "polling"] if can_upgrade else [],
            "pingInterval": round(options.ping_interval * 1000),
            "pingTimeout": round(options.ping_timeout * 1000),
            "maxPayload": options.limits.max_payload,
        }
        return json.dumps(handshake, separators=(",", ":")).encode()[1:]

    # Refusals and other answers -------------------------------------------------------------------------------

    def _refuse(self, connection: ServerConnection, request: Request, upgrade: bool, refusal: Refusal) -> None:
        if upgrade:
            self.answer_refusal(connection, request, True, refusal)
        else:
            connection.expect_body(
                lambda connection, _: self.answer_refusal(connection, connection.request, False, refusal)
            )

    def answer_refusal(self, connection: ServerConnection, request: Request, upgrade: bool, refusal: Refusal) -> None:
        """Answer a request, whose body was read, with a refusal."""
        if upgrade:
            text = f"{refusal.message}: {refusal.hint}"
            # The application's message may have half a surrogate pair in it.
            connection.reject_upgrade(text.encode("utf-8", "replace").decode())
        else:
            body = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
            connection.respond(refusal.status, _JSON, json.dumps(body, separators=(",", ":")).encode())
        self._report(request, refusal)

    def _report(self, request: Request, refusal: Refusal) -> None:
        self.push_event(ConnectionErrored(request, refusal.code, refusal.message, refusal.context, refusal.hint))

    def _answer_options(self, connection: ServerConnection, body: bytes) -> None:
        request = connection.request
        status = 204
        headers: Headers = (_METHODS,) if self._is_ours(request.path) else (_RESOURCE_METHODS,)
        cors = self.options.cors
        if cors is not None and request.header_values(b"origin") and self._lets_in(request):
            headers += preflight_headers(cors, request)
            status = cors.preflight_status
        connection.respond(status, headers)

    def _answer_resource(self, connection: ServerConnection, body: bytes) -> None:
        request = connection.request
        resource = self.resources.get(request.path)
        if resource is None:
            connection.respond(404, _PLAIN, self.not_found(request).encode())
            if request.parameters("EIO"):
                # Somebody's client, and not just anybody who looks around.
                self._report(request, Refusal(3, {"name": "WRONG_PATH"}, "WRONG_PATH"))
        elif request.method == "OPTIONS":
            self._answer_options(connection, body)
        else:
            resource.answer(connection)

    def _is_ours(self, path: str) -> bool:
        return path == self.options.path or path == self.options.path[:-1]

    def not_found(self, request: Request) -> str:
        """The sentence of a 404."""
        return f"Not Found: this server speaks Engine.IO at {self.options.path}\n"
