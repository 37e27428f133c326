"""One connection of a client: the HTTP requests that it carries, or the WebSocket that it becomes.

Bytes come from the driver; what they mean for the session is told to the session. Once a connection was told to close
or to abort, its session hears nothing more of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.engineio.client_handshake import read_refusal
from siocore.engineio.client_interfaces import ClientCarrier, HeaderList
from siocore.errors import RemoteProtocolError
from siocore.http.client import Answer, HttpClient, excerpt
from siocore.http.client_handshake import check_answer, make_key, request_headers
from siocore.http.client_websocket import ClientWebSocket
from siocore.options import PerMessageDeflate
from siocore.request import Headers
from siocore.target import Target
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.endpoint.engine_client import EngineClientProtocol
    from siocore.engineio.client_session import ClientSession

__all__ = ["ClientConnection"]

_FRAME_TIMER = 0
_CLOSE_TIMER = 1
_SWITCHING_PROTOCOLS = 101


class ClientConnection(ClientCarrier):
    """A connection that its session asked for."""

    __slots__ = (
        "_connected",
        "_eof",
        "_http",
        "_key",
        "_options",
        "_output",
        "_output_size",
        "_owner",
        "_request",
        "_session",
        "_timer",
        "_timer_kind",
        "_websocket",
        "lost",
    )

    def __init__(self, owner: EngineClientProtocol, session: ClientSession, target: Target) -> None:
        super().__init__(target)
        self._owner = owner
        self._session: ClientSession | None = session
        self._options = session.options
        self._http: HttpClient | None = HttpClient(session.options.limits)
        self._websocket: ClientWebSocket | None = None
        # What waits for the connection to be there.
        self._request: tuple[str, str, HeaderList, bytes] | None = None
        # Sec-WebSocket-Key, while the answer to the opening handshake is awaited.
        self._key: bytes | None = None
        self._connected = False
        self._eof = False
        self._output: list[bytes] = []
        self._output_size = 0
        self._timer: Timer | None = None
        self._timer_kind = -1
        #: The connection is gone, or was never there.
        self.lost = False

    # For the driver -------------------------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        self._owner.latest = now
        self._connected = True
        if self._request is not None:
            request, self._request = self._request, None
            self.request(*request)

    def dial_failed(self, reason: str, now: float) -> None:
        self._owner.latest = now
        self._gone("transport error", reason)
        self._forget()

    def receive_data(self, data: bytes, now: float) -> None:
        self._owner.latest = now
        websocket = self._websocket
        if websocket is not None:
            self._read_websocket(websocket, data)
        elif self._http is not None and not self.closed:
            self._http.receive_data(data)
            self._http_progress(self._http)

    def receive_eof(self, now: float) -> None:
        self._owner.latest = now
        self._eof = True
        if self._websocket is not None:
            self._websocket.receive_eof()
            self._gone("transport close", "the connection ended without a close frame")
            self._close()
        elif self._http is not None:
            self._http.receive_eof()
            self._http_progress(self._http)
            self._gone("transport close", "the server closed the connection")
            self._close()

    def connection_lost(self, now: float) -> None:
        if self.lost:
            return
        self._owner.latest = now
        self.closed = True
        self._gone("transport error", "the connection was lost")
        self._forget()

    def data_to_send(self) -> bytes:
        output = self._output
        if self._websocket is not None and self._websocket.output:
            self._take_websocket_output(self._websocket)
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        self._output_size = 0
        session = self._session
        if session is not None and session.drain_waiters is not None:
            session.wake_drain_waiters()
        return data

    def flushed(self, now: float) -> None:
        self._owner.latest = now
        if self._websocket is not None and self._websocket.output:
            self._touch()
        if self._session is not None:
            self._session.wake_drain_waiters()

    # For the session: HTTP ------------------------------------------------------------------------------------

    def request(self, method: str, target: str, headers: HeaderList, body: bytes = b"") -> None:
        http = self._http
        if not self._connected:
            self._request = (method, target, headers, body)
        elif http is not None:
            http.request(method, target, headers, body)
            self._take_http_output(http)

    @property
    def reusable(self) -> bool:
        return (
            self._connected
            and not self.closed
            and not self.aborted
            and self._http is not None
            and self._http.reusable
            and not self._eof
        )

    def open_websocket(self, target: str, headers: HeaderList) -> None:
        options = self._options
        self._key = make_key(options.random_bytes)
        own = request_headers(self._key, options.protocols, self._deflate())
        self.request("GET", target, [*headers, *own])

    def _deflate(self) -> PerMessageDeflate | None:
        deflate = self._options.per_message_deflate
        return deflate if isinstance(deflate, PerMessageDeflate) else None

    def _http_progress(self, http: HttpClient) -> None:
        answer = http.next_answer()
        if answer is not None:
            if self._key is None:
                if self._session is not None:
                    self._session.answered(self, answer.status, answer.headers, answer.body)
            else:
                self._handshake_answered(http, answer, self._key)
        elif http.failed is not None:
            self._gone("transport error", http.failed)
            self._close()

    def _handshake_answered(self, http: HttpClient, answer: Answer, key: bytes) -> None:
        session = self._session
        if session is None:
            self._close()
            return
        self._key = None
        options = self._options
        if answer.status != _SWITCHING_PROTOCOLS:
            refusal = read_refusal(answer.status, answer.headers, answer.body, "the WebSocket handshake")
            self._session = None
            session.websocket_refused(self, refusal, refusal.sentence, answer.headers)
            self._close()
            return
        try:
            extension = check_answer(answer, key, options.protocols, self._deflate(), options.limits.max_payload)
        except RemoteProtocolError as error:
            self._session = None
            session.websocket_refused(self, None, str(error), answer.headers)
            self._close()
            return
        self._http = None
        websocket = self._websocket = ClientWebSocket(options.limits, options.random_bytes, extension)
        session.websocket_opened(self, answer.headers)
        trailing = http.trailing_data()
        if trailing:
            self._read_websocket(websocket, trailing)

    def _take_http_output(self, http: HttpClient) -> None:
        for data in http.output:
            self._output.append(data)
            self._output_size += len(data)
        http.output.clear()
        self._touch()

    # For the session: WebSocket -------------------------------------------------------------------------------

    @property
    def deflates(self) -> bool:
        return self._websocket is not None and self._websocket.extension is not None

    @property
    def buffered(self) -> int:
        return self._output_size + self.unsent

    @property
    def writable(self) -> bool:
        return not self.unsent

    def send_message(self, text: bytes, attachments: list[bytes]) -> None:
        websocket = self._websocket
        if websocket is not None and not websocket.close_sent:
            self._write(websocket.frames(text, attachments, False))

    def send_text(self, payload: bytes, compress: bool) -> None:
        websocket = self._websocket
        if websocket is not None and not websocket.close_sent:
            self._write(websocket.text_frame(payload, compress))

    def send_binary(self, payload: bytes, compress: bool) -> None:
        websocket = self._websocket
        if websocket is not None and not websocket.close_sent:
            self._write(websocket.binary_frame(payload, compress))

    def pause(self) -> None:
        if self._websocket is not None and not self.closed:
            self.wants_read = False
            self._touch()

    def resume(self) -> None:
        if not self.wants_read:
            self.wants_read = True
            self._touch()

    def _write(self, frames: bytes) -> None:
        self._output.append(frames)
        self._output_size += len(frames)
        if not self.queued:
            self._owner.connection_ready(self)

    def _read_websocket(self, websocket: ClientWebSocket, data: bytes) -> None:
        messages = websocket.receive_data(data)
        for message in messages:
            # Not looked up once: the session may let go of this connection on the way.
            session = self._session
            if session is None:
                break
            session.websocket_message(self, message)
        if websocket.stirred or self._timer is not None:
            if websocket.failed and not messages and data.startswith(b"HTTP/1.1 "):
                self._refused_late(data)
            self._websocket_stirred(websocket, bool(messages))

    def _refused_late(self, data: bytes) -> None:
        """Node.js' engine.io finds out that it does not speak our revision when it has sent the 101 already."""
        session = self._session
        status = data[9:12]
        if session is not None and session.sid == "" and status.isdigit():
            self._session = None
            body = data.partition(b"\r\n\r\n")[2]
            refusal = read_refusal(int(status), Headers([]), body, "the WebSocket handshake")
            session.websocket_refused(self, refusal, refusal.sentence, Headers([]))

    def _websocket_stirred(self, websocket: ClientWebSocket, completed: bool) -> None:
        if websocket.output:
            if websocket.close_sent:
                self._take_websocket_output(websocket)
            # Pongs are taken when they can leave: until then only the latest of them is kept.
            self._touch()
        if websocket.close_received or websocket.failed:
            why = f"{websocket.close_code}{': ' if websocket.close_reason else ''}{excerpt(websocket.close_reason)}"
            if websocket.failed:
                self._gone("transport error", f"WebSocket failed with close code {why}")
            else:
                self._gone("transport close", f"the server closed the WebSocket with code {why}")
            self._end_websocket()
        elif websocket.close_sent:
            return
        elif websocket.partial:
            # Each message that is completed earns the next one its full time.
            if completed or self._timer_kind != _FRAME_TIMER:
                self._arm(_FRAME_TIMER, self._options.limits.frame_timeout)
        elif self._timer_kind == _FRAME_TIMER:
            self._cancel_timer()

    def _take_websocket_output(self, websocket: ClientWebSocket) -> None:
        for data in websocket.output:
            self._output.append(data)
            self._output_size += len(data)
        websocket.output.clear()
        self._touch()

    def _end_websocket(self) -> None:
        """Both close frames are there, or nothing more is read: the server is to end the connection (RFC 6455, 7.1.1).

        Who ends it keeps a record of it for minutes, and a client has only so many ports.
        """
        if not self.closing and not self.closed:
            self.closing = True
            self.wants_read = True
            self._arm(_CLOSE_TIMER, self._options.limits.close_timeout)
            self._touch()

    # The end --------------------------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._session = None
        websocket = self._websocket
        if websocket is None or self._eof:
            self._close()
            return
        if self.closed or self.aborted:
            return
        websocket.close(code, reason)
        self._take_websocket_output(websocket)
        self.wants_read = True
        if websocket.close_received or websocket.failed:
            self._end_websocket()
        else:
            self._arm(_CLOSE_TIMER, self._options.limits.close_timeout)

    def abort(self) -> None:
        self._session = None
        self.aborted = True
        self._close()

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._timer_kind = -1
        if kind == _CLOSE_TIMER:
            self.abort()
        else:
            self._gone("transport error", "a WebSocket message was not completed in time")
            self.close(1008, "message not completed in time")

    def _gone(self, reason: str, detail: str) -> None:
        """Nothing more comes from this connection: tell the session, once."""
        session, self._session = self._session, None
        if session is not None:
            session.carrier_lost(self, reason, detail)

    def _close(self) -> None:
        if self.closed:
            self._touch()
            return
        self.closed = True
        self._cancel_timer()
        self._touch()
        if not self._connected:
            # The driver calls the dial off, and says nothing more.
            self._forget()
        elif not self.aborted:
            # Output that the server doesn't take must not keep the connection.
            self._arm(_CLOSE_TIMER, self._options.limits.close_timeout)

    def _forget(self) -> None:
        self.lost = self.closed = True
        self._cancel_timer()
        self._output.clear()
        self._output_size = self.unsent = 0
        self._http = None
        self._request = None
        self._owner.connection_ended(self)

    def _arm(self, kind: int, delay: float) -> None:
        owner = self._owner
        owner.timers.cancel(self._timer)
        self._timer = owner.timers.arm(owner.now + delay, self, kind)
        self._timer_kind = kind

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._owner.timers.cancel(self._timer)
            self._timer = None
            self._timer_kind = -1

    def _touch(self) -> None:
        if not self.queued and not self.lost:
            self._owner.connection_ready(self)
