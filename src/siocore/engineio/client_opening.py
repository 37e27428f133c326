"""The attempts to open a session: which transport, which revision, and what comes after one that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from siocore.client_options import EngineClientOptions
from siocore.engineio.client_handshake import OpenPacket, Refusal, TransportSettings
from siocore.target import Target

if TYPE_CHECKING:
    from siocore.engineio.client_session import ClientSession

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

    def succeeded(self) -> None:
        """The session is open."""
        self._learn(self.transport == "websocket")

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
