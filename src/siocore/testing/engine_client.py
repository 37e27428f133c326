"""An Engine.IO client on virtual links, written from the protocol's text and not from the server's code."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from siocore.errors import RemoteProtocolError
from siocore.testing.clock import Call
from siocore.testing.network import Link
from siocore.testing.revision3 import payload_packet3, payload_packets3
from siocore.testing.transports import HttpLane, WebSocket
from siocore.testing.wire import Response

if TYPE_CHECKING:
    from siocore.testing.server import TestServer

__all__ = ["EngineClient"]


class EngineClient:
    """One Engine.IO client of a :class:`TestServer`.

    ``transport`` is ``"websocket"``, ``"polling"``, or ``"upgrade"``: polling first, then the WebSocket, as browsers
    do. ``query`` and ``headers`` go with every request. The client answers PING, and closes with ``"ping timeout"``
    when no PING comes, as the JavaScript client does. ``revision`` is that of the protocol: 4, or 3 as Socket.IO 1 and
    2 have it, where the client sends PING.
    """

    def __init__(
        self,
        server: TestServer,
        transport: str = "websocket",
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[str, str]] = (),
        peer: object = ("192.0.2.1", 50_000),
        revision: int = 4,
    ) -> None:
        if revision not in (3, 4):
            raise ValueError(f"the revision is 3 or 4, not {revision!r}")
        if transport not in ("websocket", "polling", "upgrade"):
            raise ValueError(f"transport is 'websocket', 'polling' or 'upgrade', not {transport!r}")
        self.server = server
        self.headers = headers
        self.peer = peer
        #: "new", "opening", "open", "closing" (the CLOSE packet is on its way) or "closed".
        self.state = "new"
        self.close_reason: str | None = None
        #: What the server told in its OPEN packet.
        self.handshake: dict[str, Any] = {}
        #: What a refused handshake or request was answered with.
        self.refusal: Response | None = None
        #: Messages that arrived, unless ``on_message`` takes them.
        self.received: deque[str | bytes] = deque()
        self.on_message: Callable[[str | bytes], None] | None = None
        self.on_close: Callable[[], None] | None = None
        #: Whether PING is answered; in revision 3, whether it is sent.
        self.answers_pings = True
        self.revision = revision
        self._mode = transport
        self._query = "".join(f"&{name}={value}" for name, value in query)
        self._buffer: list[str | bytes] = []
        self._gets = HttpLane(self, self._lane_failed)
        self._posts = HttpLane(self, self._lane_failed)
        self._websocket: WebSocket | None = None
        self._candidate: WebSocket | None = None
        self._upgrading = False
        self._ping_timer: Call | None = None

    # What tests do --------------------------------------------------------------------------------------------

    @property
    def sid(self) -> str:
        """The id that the server gave this session."""
        return str(self.handshake["sid"])

    @property
    def transport(self) -> str:
        """What carries the session now: ``"polling"`` or ``"websocket"``."""
        return "websocket" if self._websocket is not None else "polling"

    @property
    def links(self) -> list[Link]:
        """The connections that this client has now: those of GET and POST, and WebSockets."""
        streams = [self._gets.stream, self._posts.stream]
        streams += [each.stream for each in (self._websocket, self._candidate) if each is not None]
        return [stream.link for stream in streams if stream is not None and not stream.closed]

    def open(self, timeout: float = 60.0) -> None:
        """Open the session. Raises ConnectionError if the server refuses; ``refusal`` has its answer."""
        self.start()
        self.server.run_until(lambda: self.state not in ("new", "opening"), timeout)
        if self.state != "open":
            answer = "" if self.refusal is None else f": {self.refusal.status} {self.refusal.body!r}"
            raise ConnectionError(f"the session was not opened{answer}")

    def start(self) -> None:
        """Begin to open the session, without waiting."""
        self.state = "opening"
        if self._mode == "websocket":
            self._websocket = WebSocket(self, self.target("websocket"), self._websocket_message, self._websocket_ended)
        else:
            self._gets.request("GET", self.target("polling"), b"", self._polled)

    def send(self, data: str | bytes) -> None:
        """Send a message."""
        self.send_packet(data if isinstance(data, bytes) else "4" + data)

    def send_packet(self, packet: str | bytes) -> None:
        """Send any packet as it is, also one that the protocol forbids; bytes are a binary message."""
        if self.state in ("opening", "open"):
            self._buffer.append(packet)
            self._flush()

    def receive(self, timeout: float = 60.0) -> str | bytes:
        """The next message. Raises TimeoutError if none comes in ``timeout`` virtual seconds."""
        self.server.run_until(lambda: self.received, timeout)
        return self.received.popleft()

    def close(self) -> None:
        """Close the session in an orderly way. What was sent before still arrives."""
        if self.state != "open":
            self._closed("forced close")
        elif self._websocket is not None:
            self._websocket.close(1000)
            self._websocket = None
            self._closed("forced close")
        else:
            self._drop_candidate()
            self.send_packet("1")
            self.state = "closing"
            self._flush()

    def cut(self) -> None:
        """Reset all connections of this client; the client itself notices at once."""
        for link in self.links:
            link.cut()
        self._closed("transport error")

    # Opening and polling --------------------------------------------------------------------------------------

    def target(self, transport: str) -> str:
        """The request target of this session's requests."""
        sid = f"&sid={self.handshake['sid']}" if self.handshake else ""
        # Binary messages as text in long-polling: as old clients do where they have no XMLHttpRequest 2.
        base64 = "&b64=1" if self.revision == 3 and transport == "polling" else ""
        query = f"EIO={self.revision}&transport={transport}{sid}{base64}{self._query}"
        return f"{self.server.protocol.options.path}?{query}"

    def _polled(self, response: Response) -> None:
        if response.status != 200:
            self.refusal = response
            self._closed("transport error")
            return
        text = response.body.decode()
        for packet in text.split("\x1e") if self.revision == 4 else payload_packets3(text):
            self._packet(packet)
        if self.state == "open":
            if self._upgrading:
                self._finish_upgrade()
            elif self._websocket is None:
                self._gets.request("GET", self.target("polling"), b"", self._polled)

    def _posted(self, response: Response) -> None:
        if response.status != 200:
            self.refusal = response
            self._closed("transport error")
        elif self.state == "closing" and not self._buffer:
            self._closed("forced close")
        elif self._upgrading:
            self._finish_upgrade()
        else:
            self._flush()

    def _lane_failed(self) -> None:
        self._closed("transport error")

    def _flush(self) -> None:
        if not self._buffer or self._upgrading or self.state not in ("open", "closing"):
            return
        packets, self._buffer = self._buffer, []
        if self._websocket is not None:
            for packet in packets:
                if isinstance(packet, bytes) and self.revision == 3:
                    packet = b"\x04" + packet
                self._websocket.send(packet)
        elif self._posts.busy:
            self._buffer = packets
        else:
            # maxPayload bounds a body; a packet that is larger on its own is the test's intention.
            encode, separator = (_payload_packet, b"\x1e") if self.revision == 4 else (payload_packet3, b"")
            body = encode(packets.pop(0))
            while packets and len(body) + 1 + len(encode(packets[0])) <= self.handshake["maxPayload"]:
                body += separator + encode(packets.pop(0))
            self._buffer = packets
            self._posts.request("POST", self.target("polling"), body, self._posted)

    # WebSocket ------------------------------------------------------------------------------------------------

    def _websocket_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._packet(message)
        elif self.revision == 4:
            self._message(message)
        elif message[:1] == b"\x04":
            self._message(message[1:])
        else:
            raise RemoteProtocolError("a binary packet that is not a message")

    def _websocket_ended(self) -> None:
        if self._websocket is not None:
            self.refusal = self._websocket.refusal
            self._closed("transport close" if self._websocket.close_code is not None else "transport error")

    def _start_upgrade(self) -> None:
        self._candidate = WebSocket(
            self, self.target("websocket"), self._candidate_message, self._candidate_ended, self._probe
        )

    def _probe(self) -> None:
        if self._candidate is not None:
            self._candidate.send("2probe")

    def _candidate_message(self, message: str | bytes) -> None:
        if message == "3probe" and not self._upgrading:
            self._upgrading = True
            self._finish_upgrade()

    def _candidate_ended(self) -> None:
        self._candidate = None
        if self._upgrading:
            self._upgrading = False
            if self.state == "open":
                if not self._gets.busy:
                    self._gets.request("GET", self.target("polling"), b"", self._polled)
                self._flush()

    def _finish_upgrade(self) -> None:
        """Polling is paused: once no request is under way, the WebSocket takes over."""
        if self._candidate is None or self._gets.busy or self._posts.busy:
            return
        self._websocket, self._candidate = self._candidate, None
        self._websocket.take_over(self._websocket_message, self._websocket_ended)
        self._upgrading = False
        self._websocket.send("5")
        self._gets.close()
        self._posts.close()
        self._flush()

    def _drop_candidate(self) -> None:
        self._upgrading = False
        if self._candidate is not None:
            candidate, self._candidate = self._candidate, None
            candidate.abandon()

    # Packets --------------------------------------------------------------------------------------------------

    def _packet(self, packet: str) -> None:
        kind, data = packet[:1], packet[1:]
        if self.state == "closed":
            return
        if kind == "4":
            self._message(data)
        elif kind == "b":
            self._message(b64decode(data if self.revision == 4 else data.removeprefix("4"), validate=True))
        elif kind == "3" and self.revision == 3:
            self._restart_ping_timer()
        elif kind == "2":
            self._restart_ping_timer()
            if self.answers_pings:
                self.send_packet("3" + data)
        elif kind == "0":
            self.handshake = json.loads(data)
            self.state = "open"
            self._restart_ping_timer()
            if self._mode == "upgrade" and "websocket" in self.handshake["upgrades"]:
                self._start_upgrade()
            self._flush()
        elif kind == "1":
            self._closed("transport close")

    def _message(self, data: str | bytes) -> None:
        if self.on_message is not None:
            self.on_message(data)
        else:
            self.received.append(data)

    def _ping(self) -> None:
        if self.answers_pings:
            self.send_packet("2")
            self._ping_timer = self.server.clock.call_later(
                self.handshake["pingTimeout"] / 1000, lambda: self._closed("ping timeout")
            )

    def _restart_ping_timer(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if self.revision == 3:
            self._ping_timer = self.server.clock.call_later(self.handshake["pingInterval"] / 1000, self._ping)
            return
        milliseconds = self.handshake["pingInterval"] + self.handshake["pingTimeout"]
        self._ping_timer = self.server.clock.call_later(milliseconds / 1000, lambda: self._closed("ping timeout"))

    def _closed(self, reason: str) -> None:
        if self.state == "closed":
            return
        self.state = "closed"
        self.close_reason = reason
        self._buffer.clear()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        self._drop_candidate()
        if self._websocket is not None:
            self._websocket.abandon()
            self._websocket = None
        self._gets.close()
        self._posts.close()
        if self.on_close is not None:
            self.on_close()


def _payload_packet(packet: str | bytes) -> bytes:
    return packet.encode() if isinstance(packet, str) else b"b" + b64encode(packet)
