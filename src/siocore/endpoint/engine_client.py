"""The endpoint of an Engine.IO client: every session, connection and timer of it.

How to drive it
---------------
1. Open what it asks for: for each connection in ``take_dials()`` connect to ``connection.target``, and then call
   ``connection.connected(now=...)``, or ``connection.dial_failed(sentence, now=...)``. One that has become ``closed``
   meanwhile is not wanted any more.
2. Bytes, EOF, or the loss of a connection: ``connection.receive_data(data, now=...)``, ``receive_eof``,
   ``connection_lost``.
3. The deadline that ``next_deadline()`` told has come: ``protocol.handle_timeout(now=...)``.
4. After any of these, and after calls of the application: take all events (``next_event()`` until None), the dials,
   then the output of every connection in ``take_ready()`` (``data_to_send()``, ``closing``, ``closed``,
   ``wants_read``), then wait until ``next_deadline()`` at the latest.

``now`` is in seconds of any monotonic clock. Late and spurious calls are harmless. None of these methods raises for
anything that a server can send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from siocore.client_events import (
    ClientMessageReceived,
    ClientSessionClosed,
    ClientSessionOpened,
    ClientSessionUpgraded,
)
from siocore.client_options import EngineClientOptions
from siocore.driven import ClientEndpoint, DialledConnection, DrivenConnection
from siocore.endpoint.client_connection import ClientConnection
from siocore.engineio.client_interfaces import ClientSessionOwner
from siocore.engineio.client_outbound import ClientOutbound
from siocore.engineio.client_session import ClientSession
from siocore.errors import ConnectError, LocalProtocolError
from siocore.link import ClientLink, LinkUser
from siocore.target import Target

__all__ = ["EngineClientProtocol"]

_T = TypeVar("_T")

#: Servers of which something is remembered. An application has few.
_MAX_MEMORY = 1_000


class EngineClientProtocol(ClientSessionOwner):
    """A sans-I/O Engine.IO client (protocol revisions 4 and 3). The module's docstring tells how to drive it."""

    __slots__ = ("_revisions", "_to_flush", "_websockets", "connections", "sessions", "stopping")

    def __init__(self) -> None:
        super().__init__()
        #: Those that are not closed.
        self.sessions: set[ClientSession] = set()
        self.connections: set[ClientConnection] = set()
        #: Whether no session can be opened any more.
        self.stopping = False
        self._to_flush: list[ClientOutbound] = []
        # What servers turned out to speak, and to take.
        self._revisions: dict[Target, int] = {}
        self._websockets: dict[Target, bool] = {}

    # For the application --------------------------------------------------------------------------------------

    def open_session(
        self,
        target: Target,
        options: EngineClientOptions,
        user: LinkUser | None = None,
        query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> ClientSession:
        """Begin to open a session. ``user`` is told of it; without one, events tell the application.

        ``query`` are parameters besides those in the options. Raises ValueError for headers that can't be sent, and
        LocalProtocolError if the client is being closed.
        """
        if self.stopping:
            raise LocalProtocolError("the client is closed: it opens no more connections")
        session = ClientSession(self, _Reporter(self) if user is None else user, target, options, query)
        self.sessions.add(session)
        session.start()
        return session

    # For the driver -------------------------------------------------------------------------------------------

    def take_dials(self) -> list[DialledConnection]:
        self._flush()
        dials = ClientEndpoint.take_dials(self)
        return [each for each in dials if not each.closed] if dials else dials

    def take_ready(self) -> list[DrivenConnection]:
        self._flush()
        return ClientEndpoint.take_ready(self)

    def shutdown(self, now: float) -> None:
        """Stop gracefully: what was sent leaves, then servers are told. Go on driving until no connection is left."""
        self.latest = now
        self.stopping = True
        for session in list(self.sessions):
            session.close()

    def abort(self, now: float) -> None:
        """Drop whatever is left."""
        self.latest = now
        for session in list(self.sessions):
            session.fail("forced close", "the client was closed")
        for connection in list(self.connections):
            connection.abort()
        self.stopping = False

    def _flush(self) -> None:
        while self._to_flush:
            sessions, self._to_flush = self._to_flush, []
            for session in sessions:
                session.flush()

    # For sessions and connections -----------------------------------------------------------------------------

    def new_carrier(self, session: ClientSession, target: Target) -> ClientConnection:
        connection = ClientConnection(self, session, target)
        self.connections.add(connection)
        self.dial(connection)
        return connection

    def connection_ended(self, connection: ClientConnection) -> None:
        """Called once, when the connection is gone or is not wanted any more."""
        self.connections.discard(connection)

    def session_has_packets(self, session: ClientOutbound) -> None:
        self._to_flush.append(session)
        if len(self._to_flush) == 1 and self.wake is not None:
            self.wake()

    def session_over(self, session: ClientSession) -> None:
        self.sessions.discard(session)

    def known_revision(self, target: Target) -> int | None:
        return self._revisions.get(target)

    def learn_revision(self, target: Target, revision: int) -> None:
        _remember(self._revisions, target, revision)

    def websocket_worked(self, target: Target) -> bool:
        return self._websockets.get(target, False)

    def learn_websocket(self, target: Target, worked: bool) -> None:
        if worked:
            _remember(self._websockets, target, True)
        else:
            self._websockets.pop(target, None)


class _Reporter(LinkUser):
    """Tells the application what becomes of a session, as events."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: EngineClientProtocol) -> None:
        self._endpoint = endpoint

    def link_opened(self, link: ClientLink) -> None:
        assert isinstance(link, ClientSession)
        self._endpoint.push_received(ClientSessionOpened(link))

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        assert isinstance(link, ClientSession)
        self._endpoint.push_received(ClientMessageReceived(link, text[start:]))

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        assert isinstance(link, ClientSession)
        self._endpoint.push_received(ClientMessageReceived(link, data))

    def link_pinged(self, link: ClientLink) -> None:
        """Nobody asks."""

    def link_upgraded(self, link: ClientLink) -> None:
        assert isinstance(link, ClientSession)
        self._endpoint.push_received(ClientSessionUpgraded(link))

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        assert isinstance(link, ClientSession)
        self._endpoint.push_event(ClientSessionClosed(link, reason, detail, error))


def _remember(memory: dict[Target, _T], target: Target, value: _T) -> None:
    memory.pop(target, None)
    memory[target] = value
    if len(memory) > _MAX_MEMORY:
        del memory[next(iter(memory))]
