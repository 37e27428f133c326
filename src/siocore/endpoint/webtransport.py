"""A WebTransport stream that carries an Engine.IO session: a connection of the endpoint, without HTTP.

The client opens one bidirectional stream in its WebTransport session and sends OPEN on it: without data for a new
session, with ``{"sid": ...}`` to upgrade one. What follows are packets, as on a WebSocket. Source: Engine.IO protocol,
revision 4, "WebTransport".

Whoever speaks HTTP/3 drives it as any connection: ``receive_data`` with the bytes of the stream, ``data_to_send``, and
the flags.
"""

from __future__ import annotations

import json
from collections import deque
from urllib.parse import quote

from siocore.codec.webtransport import PacketReader, packets_from_frames
from siocore.endpoint.interfaces import BodyReader, ConnectionOwner, ServerConnection
from siocore.engineio.interfaces import Headers
from siocore.engineio.session import Session
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["WebTransportStream"]

_OPEN_TIMER = 0
_PACKET_TIMER = 1
_CLOSE_TIMER = 2


class WebTransportStream(ServerConnection):
    """One stream. ``request`` is the CONNECT request of its WebTransport session.

    ``closing``: end our side of the stream once the output is sent. ``closed``: the WebTransport session is over.
    """

    def __init__(self, owner: ConnectionOwner, request: Request) -> None:
        super().__init__()
        self._owner = owner
        self._request = request
        self._reader = PacketReader(owner.options.limits.max_payload)
        self._session: Session | None = None
        self._opened = False
        self._output: list[bytes] = []
        self._output_size = 0
        # Packets that arrived while the session was not there yet, or is paused.
        self._waiting: deque[str | bytes] = deque()
        self._waiting_size = 0
        self._paused = False
        self._lost = False
        self._timer: Timer | None = None
        self._timer_kind = -1
        self._arm(_OPEN_TIMER, owner.options.upgrade_timeout)

    # For the driver -------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes of the stream arrived. Never raises for anything that a peer can send."""
        self._owner.latest = now
        if self.closed or self.closing or self._lost:
            return
        packets, fault = self._reader.feed(data)
        for packet in packets:
            self._waiting.append(packet)
            self._waiting_size += len(packet)
        self._deliver()
        if fault is not None:
            self._gone("transport error", str(fault))
            self._close()
        elif not self.closed:
            self._await_rest(bool(packets))

    def receive_eof(self, now: float) -> None:
        """The client has ended its side of the stream, or its session."""
        self._owner.latest = now
        self._gone("transport close", "the client ended the WebTransport stream")
        self._close()

    def connection_lost(self, now: float) -> None:
        """The stream is gone, whoever ended it. Idempotent."""
        if self._lost:
            return
        self._owner.latest = now
        self._lost = self.closed = True
        self._cancel_timer()
        self._gone("transport close", "the connection was lost")
        self._output.clear()
        self._waiting.clear()
        self._output_size = self.unsent = 0
        self._owner.connection_ended(self)

    def data_to_send(self) -> bytes:
        """All that is to be sent now. The caller must send it, in order."""
        data = b"".join(self._output)
        self._output.clear()
        self._output_size = 0
        if data and self._session is not None:
            self._session.wake_drain_waiters()
        return data

    def flushed(self, now: float) -> None:
        """The network has accepted what it had refused: ``unsent`` is 0 again."""
        self._owner.latest = now
        if self._session is not None:
            self._session.wake_drain_waiters()

    # For the endpoint -----------------------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        return self._request

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """There is no answer but the end of the stream: what would be an error over HTTP is one here."""
        self._close()

    def expect_body(self, reader: BodyReader) -> None:
        self._close()

    def expect_poll(self, session: Session) -> None:
        self._close()

    def expect_post(self, session: Session) -> None:
        self._close()

    def accept_websocket(self, session: Session, headers: Headers = ()) -> bool:
        """The stream belongs to this session from now on."""
        self._session = session
        return True

    def receive_trailing(self) -> None:
        """Deliver what came behind OPEN."""
        self._deliver()

    def reject_upgrade(self, message: str) -> None:
        """A refused client sees the end of its session; there is no place for a sentence."""
        self._close()

    def close_if_idle(self) -> None:
        if self._session is None:
            self._close()

    def abort(self) -> None:
        """Drop everything."""
        self.aborted = True
        self._close()

    # For the session ------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        return "webtransport"

    @property
    def buffered(self) -> int:
        return self._output_size + self.unsent

    @property
    def writable(self) -> bool:
        return not self.unsent

    def write(self, frames: bytes) -> bool:
        """Send what WebSocket frames hold. False, and nothing is sent, if more waits than Limits.max_buffered."""
        if self.closing or self.closed:
            return True
        if self.buffered > self._owner.max_buffered:
            return False
        packets = packets_from_frames(frames)
        self._output.append(packets)
        self._output_size += len(packets)
        self._touch()
        return True

    def pause(self) -> None:
        """Keep packets for now. Reading stops when they are as many as one message may be large."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._deliver()

    def close_websocket(self, code: int, reason: str = "") -> None:
        """End the WebTransport session, behind what is queued."""
        self._session = None
        self._close()

    # Packets --------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while self._waiting and not self.closed and not self._paused:
            if self._session is not None:
                self._session.websocket_message(self, self._next_packet())
            elif not self._opened:
                self._opened = True
                self._cancel_timer()
                self._open(self._next_packet())
            else:
                # The application has not yet decided whether the client is let in.
                break
        wants_read = self._waiting_size <= self._owner.options.limits.max_payload
        if wants_read != self.wants_read:
            self.wants_read = wants_read
            self._touch()

    def _next_packet(self) -> str | bytes:
        packet = self._waiting.popleft()
        self._waiting_size -= len(packet)
        return packet

    def _open(self, packet: str | bytes) -> None:
        sid = _sid_of(packet)
        if sid is None:
            self._close()
            return
        options = self._owner.options
        query = f"EIO=4&transport=webtransport{f'&sid={quote(sid)}' if sid else ''}"
        head = self._request
        headers = head.raw_headers()
        # CONNECT tells it from whatever asks for this transport over HTTP/1.
        self._request = Request("CONNECT", f"{options.path}?{query}", headers, head.peer, True)
        self._owner.request_received(self, self._request, True)

    def _gone(self, reason: str, detail: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.websocket_lost(self, reason, detail)

    # Deadlines and the end ------------------------------------------------------------------------------------

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self._timer_kind = -1
        if kind == _CLOSE_TIMER:
            self.aborted = True
        else:
            self._gone("transport error", "a WebTransport packet was not completed in time")
            self._close()
        self._touch()

    def _await_rest(self, completed: bool) -> None:
        """Each packet that is completed earns the next one its full time."""
        if not self._opened:
            return
        if not self._reader.partial:
            if self._timer_kind == _PACKET_TIMER:
                self._cancel_timer()
        elif completed or self._timer_kind != _PACKET_TIMER:
            self._arm(_PACKET_TIMER, self._owner.options.limits.frame_timeout)

    def _arm(self, kind: int, delay: float) -> None:
        self._cancel_timer()
        self._timer = self._owner.timers.arm(self._owner.now + delay, self, kind)
        self._timer_kind = kind

    def _cancel_timer(self) -> None:
        self._owner.timers.cancel(self._timer)
        self._timer = None
        self._timer_kind = -1

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            if not self._lost and not self.aborted:
                # Output that the peer doesn't take must not keep the connection.
                self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)
        self._touch()

    def _touch(self) -> None:
        if not self.queued:
            self._owner.connection_ready(self)


def _sid_of(packet: str | bytes) -> str | None:
    """The sid that an OPEN packet names, empty if it names none; ``None`` for anything else."""
    if not isinstance(packet, str) or packet[:1] != "0" or len(packet) > 1_000:
        return None
    if packet == "0":
        return ""
    try:
        data = json.loads(packet[1:])
    except (ValueError, RecursionError):
        return None
    sid = data.get("sid") if isinstance(data, dict) else None
    return sid if isinstance(sid, str) and sid else None
