"""The attempts to open a session: which transport, which revision, and what comes after one that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from siocore.client_options import EngineClientOptions
from siocore.engineio.client_handshake import OpenPacket, Refusal, TransportSettings
from siocore.link import ClientLink, LinkUser
from siocore.target import Target

if TYPE_CHECKING:
    from siocore.engineio.client_session import ClientSession
    from siocore.errors import ConnectError

__all__ = ["Opening"]


class Opening:
    """Lives until its session is open, or has failed for good."""

    __slots__ = ("_fell_back", "_left", "_session", "_settings", "transport")

    def __init__(
        self,
        session: ClientSession,
        target: Target,
        options: EngineClientOptions,
        query: Mapping[str, str] | Sequence[tuple[str, str]],
    ) -> None:
        self._session = session
        self._settings = {each: TransportSettings(options, target, each, query) for each in options.transports}
        self._left = list(options.transports)
        self._fell_back = False
        if (
            options.remember_upgrade
            and "websocket" in self._left
            and session.owner.websocket_worked(target)
            and self._left[0] != "websocket"
        ):
            self._left.remove("websocket")
            self._left.insert(0, "websocket")
        #: The one that is tried.
        self.transport = self._left[0]

    def start(self) -> None:
        """The first attempt."""
        options = self._session.options
        revision = options.protocol
        if revision == "auto":
            revision = self._session.owner.known_revision(self._session.target) or 4
        self._attempt(int(revision))

    def failed(self, reason: str, sentence: str, refusal: Refusal | None) -> None:
        """An attempt has failed: make the next one, or end the session."""
        session = self._session
        self._learn(False)
        session.drop_attempt()
        if refusal is not None and refusal.unsupported and self._may_fall_back():
            self._fell_back = True
            session.owner.learn_revision(session.target, 3)
            self._attempt(3)
        elif session.options.try_all_transports and len(self._left) > 1:
            del self._left[0]
            self.transport = self._left[0]
            self._attempt(session.wire.revision)
        else:
            session.opening_failed(reason, sentence, None if refusal is None else refusal.status)

    def succeeded(self, handshake: OpenPacket) -> None:
        """The session is open."""
        session = self._session
        self._learn(self.transport == "websocket")
        if session.options.protocol == "auto" and session.wire.revision == 4 and handshake.max_payload is None:
            session.user = _Watcher(session)

    def upgrade(self, handshake: OpenPacket) -> TransportSettings | None:
        """The settings for the WebSocket that the session should go over to; ``None`` if it stays as it is."""
        if self.transport != "polling" or not self._session.options.upgrade or "websocket" not in handshake.upgrades:
            return None
        return self._settings.get("websocket")

    def _learn(self, websocket_worked: bool) -> None:
        session = self._session
        if session.options.remember_upgrade:
            session.owner.learn_websocket(session.target, websocket_worked)

    def _may_fall_back(self) -> bool:
        session = self._session
        return session.options.protocol == "auto" and session.wire.revision == 4 and not self._fell_back

    def _attempt(self, revision: int) -> None:
        self._session.attempt(self.transport, self._settings[self.transport], revision)


class _Watcher(LinkUser):
    """Looks at the first message of a server that may be one of Socket.IO 1 or 2 that does not look at EIO.

    Over WebSocket the OPEN packets of both revisions are the same, but for maxPayload, which new servers send. The
    first thing that an old one says is CONNECT, without being asked and without an id: no new one ever does. So the
    session ends, and the next one begins with revision 3.
    """

    __slots__ = ("_session", "_user")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._user = session.user

    def link_opened(self, link: ClientLink) -> None:
        self._user.link_opened(link)

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        session = self._session
        session.user = self._user
        if text == "40":
            session.owner.learn_revision(session.target, 3)
            session.fail("parse error", "the server speaks revision 3 of Engine.IO, which is used from now on")
        else:
            self._user.link_text(link, text, start)

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        self._user.link_binary(link, data)

    def link_pinged(self, link: ClientLink) -> None:
        self._user.link_pinged(link)

    def link_upgraded(self, link: ClientLink) -> None:
        self._user.link_upgraded(link)

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        self._user.link_closed(link, reason, detail, error)
