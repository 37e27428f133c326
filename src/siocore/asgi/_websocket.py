"""One WebSocket of an ASGI server."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import Any

from siocore.asgi._connection import AsgiConnection
from siocore.asgi._leader import AsgiLeader
from siocore.asgi._types import Message, Receive, Send
from siocore.endpoint.interfaces import BodyReader
from siocore.engineio.interfaces import Headers
from siocore.engineio.session import Session
from siocore.request import Request
from siocore.waiting import Waiter

__all__ = ["WebSocketChannel"]

logger = logging.getLogger("siocore")

_CLOSE_TIMER = 0

_PLAIN: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)


# Theory of operation
# -------------------
# Two tasks: that of the ASGI server receives, another one sends, since each of the two can be kept waiting for as long
# as the peer likes. What is to be sent waits in a queue, with what send() has not taken yet, and is counted there.
# Closing: the queue leaves first; that ends the sender, and with it the receiver. Then the close code leaves. A peer
# that takes neither is given up after close_timeout. A disconnect ends the receiver, and with it the sender.


class WebSocketChannel(AsgiConnection):
    """One WebSocket."""

    __slots__ = (
        "_accepted",
        "_can_answer",
        "_close_code",
        "_close_reason",
        "_headers",
        "_queue",
        "_refusal",
        "_resumed",
        "_sender",
        "_sending",
        "_session",
        "_size",
        "_subprotocol",
        "_undecided",
    )

    def __init__(self, leader: AsgiLeader, request: Request, subprotocol: str | None, can_answer: bool) -> None:
        super().__init__(leader, request)
        self._session: Session | None = None
        self._undecided = False
        self._accepted = False
        self._headers: Headers = ()
        # A browser that offers subprotocols gives up where none is chosen.
        self._subprotocol = subprotocol
        # Whether the ASGI server can answer with something else than a WebSocket.
        self._can_answer = can_answer
        self._refusal: tuple[int, Headers, bytes] | None = None
        # What is to be sent: the messages of one write() and the bytes that they count for.
        self._queue: deque[tuple[int, list[str | bytes]]] = deque()
        self._size = 0
        # What the sender waits on while there is nothing to send, and the receiver while it is paused.
        self._sender: Waiter | None = None
        self._resumed: Waiter | None = None
        self._sending = False
        self._close_code = 0
        self._close_reason = ""

    async def serve(self, receive: Receive, send: Send) -> None:
        """Run the WebSocket from beginning to end."""
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        host = self._leader.host
        self.begin()
        try:
            self._owner.request_received(self, self._request, True)
            self._leader.wake()
            await self._decision(receive)
            if self._accepted:
                if await self._accept(send):
                    await host.alongside(self, partial(self._receive_all, receive), partial(self._send_all, send))
                    await self._close(send)
            elif self._refusal is not None:
                await self._refuse(*self._refusal, send)
        finally:
            self.end()

    # For the endpoint -----------------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        return self._size

    @property
    def writable(self) -> bool:
        return not self._sending

    def accept_websocket(self, session: Session, headers: Headers = ()) -> bool:
        """Accept it. The ASGI server has checked the handshake."""
        if self.gone or self.aborted:
            return False
        self._session = session
        self._headers = headers
        self._accepted = True
        self._touch()
        return True

    def receive_trailing(self) -> None:
        """Nothing is received before the WebSocket is accepted."""

    def reject_upgrade(self, message: str) -> None:
        self.respond(400, _PLAIN, message.encode())

    def respond(self, status: int, headers: Headers, body: bytes = b"", close: bool = False) -> None:
        """Answer with something else than a WebSocket."""
        if not self._accepted and self._refusal is None:
            self._refusal = (status, self._owner.response_headers(self._request, headers), body)
            self._touch()

    def expect_body(self, reader: BodyReader) -> None:
        reader(self, b"")

    def hand_to(self, session: Session) -> None:
        self._session = session

    def expect_poll(self, session: Session) -> None:
        self.reject_upgrade("Bad request")

    expect_post = expect_poll

    def write(self, frames: bytes) -> bool:
        if self.closing or self.gone:
            return True
        if self._size > self._owner.max_buffered:
            return False
        self._queue.append((len(frames), self._leader.messages_in(frames)))
        self._size += len(frames)
        self._touch()
        return True

    def pause(self) -> None:
        self.wants_read = False

    def resume(self) -> None:
        self.wants_read = True
        if self._resumed is not None:
            self._resumed.wake()

    def close_websocket(self, code: int, reason: str = "") -> None:
        self._session = None
        if self.closing or self.gone:
            return
        self.closing = True
        self._close_code = code
        self._close_reason = reason
        self._arm(_CLOSE_TIMER, self._owner.options.limits.close_timeout)
        self.resume()
        self._touch()

    def connection_lost(self, now: float) -> None:
        self._lost("transport close", "the connection was lost")

    def abort(self) -> None:
        super().abort()
        if not self._accepted and self._refusal is None:
            self._refusal = (503, (), b"")

    def flush(self) -> None:
        if self.interrupt is not None and (self.aborted or (self._undecided and (self._accepted or self._refusal))):
            self.interrupt()
        elif self._sender is not None and (self._queue or self.closing):
            self._sender.wake()

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self.abort()

    # What arrives ---------------------------------------------------------------------------------------------

    async def _decision(self, receive: Receive) -> None:
        """Wait until the endpoint has accepted or refused, or the client has gone."""
        self._undecided = True
        while not self._accepted and self._refusal is None:
            message = await self._leader.host.until_interrupted(self, receive)
            if message is not None and message["type"] == "websocket.disconnect":
                self.connection_lost(self._owner.now)
                break
        self._undecided = False

    async def _receive_all(self, receive: Receive) -> None:
        leader = self._leader
        while True:
            while not self.wants_read:
                self._resumed = self._owner.new_waiter()
                await self._resumed.wait()
                self._resumed = None
            message = await receive()
            if message["type"] == "websocket.receive":
                session = self._session
                if session is not None:
                    self._receive(message, session)
                    throttle = leader.fed()
                    if throttle is not None:
                        await throttle.wait()
            elif message["type"] == "websocket.disconnect":
                self._lost("transport close", f"WebSocket closed with code {message.get('code', 1005)}")
                return

    def _receive(self, message: Message, session: Session) -> None:
        text = message.get("text")
        data: str | bytes
        if text is not None:
            data = text
            size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        else:
            data = bytes(message.get("bytes") or b"")
            size = len(data)
        if size > self._owner.options.limits.max_payload:
            self.close_websocket(1009)
            session.websocket_lost(self, "transport error", "WebSocket failed with close code 1009")
        else:
            session.websocket_message(self, data)

    def _lost(self, reason: str, detail: str) -> None:
        if self.gone:
            return
        self.gone = self.closed = True
        session, self._session = self._session, None
        self._queue.clear()
        self._size = 0
        if session is not None:
            session.websocket_lost(self, reason, detail)

    # What leaves ----------------------------------------------------------------------------------------------

    async def _accept(self, send: Send) -> bool:
        """False if the client has gone."""
        message: dict[str, Any] = {"type": "websocket.accept", "headers": list(self._headers)}
        if self._subprotocol is not None:
            message["subprotocol"] = self._subprotocol
        return await self._send(send, message)

    async def _close(self, send: Send) -> None:
        # Only now that nobody receives any more: in some servers the two would wait for each other.
        if self.closing and not self.gone and not self.aborted:
            await self._send(send, {"type": "websocket.close", "code": self._close_code, "reason": self._close_reason})

    async def _send(self, send: Send, message: Message) -> bool:
        """False if the client has gone, or was given up."""

        async def sending() -> bool:
            await send(message)
            return True

        try:
            return await self._leader.host.until_interrupted(self, sending) is not None
        except Exception as error:
            self._failed(error)
            return False

    async def _refuse(self, status: int, headers: Headers, body: bytes, send: Send) -> None:
        try:
            if self._can_answer:
                lines = [*headers, (b"content-length", b"%d" % len(body))]
                await send({"type": "websocket.http.response.start", "status": status, "headers": lines})
                await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
            else:
                # The ASGI server makes a 403 of it.
                await send({"type": "websocket.close", "code": 1008})
        except OSError as error:
            self._failed(error)

    async def _send_all(self, send: Send) -> None:
        queue = self._queue
        try:
            while True:
                while queue:
                    size, messages = queue.popleft()
                    self._sending = True
                    for message in messages:
                        if type(message) is str:
                            await send({"type": "websocket.send", "text": message})
                        else:
                            await send({"type": "websocket.send", "bytes": message})
                    self._sending = False
                    self._sent(size)
                if self.closing:
                    return
                self._sender = self._owner.new_waiter()
                await self._sender.wait()
                self._sender = None
        except Exception as error:
            # Besides OSError, what servers raise where a WebSocket ends in the moment in which something is sent.
            self._failed(error)

    def _sent(self, size: int) -> None:
        if self.gone:
            return
        self._size -= size
        session = self._session
        if session is not None and session.drain_waiters is not None and self._size <= session.high_water:
            session.wake_drain_waiters()

    def _failed(self, error: Exception) -> None:
        logger.debug("a WebSocket could not be sent to", exc_info=error)
        self._lost("transport close", f"sending failed: {type(error).__name__}")
