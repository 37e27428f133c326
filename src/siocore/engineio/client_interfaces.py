"""What a client's session needs from its endpoint and from the connections that carry it: base classes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.driven import ClientEndpoint, DialledConnection
from siocore.link import ClientLink, LinkUser
from siocore.target import Target

if TYPE_CHECKING:
    from siocore.engineio.client_outbound import ClientOutbound
    from siocore.engineio.client_session import ClientSession
    from siocore.errors import ConnectError

__all__ = ["NOBODY", "ClientCarrier", "ClientSessionOwner", "HeaderList"]

HeaderList = list[tuple[bytes, bytes]]


class ClientCarrier(DialledConnection):
    """A connection of a session: it carries HTTP requests, one after the other, or becomes a WebSocket.

    It tells its session what comes of them: ``answered``, ``websocket_opened``, ``websocket_message`` and others of its
    methods. Once it was told to close or to abort, it tells nothing more.
    """

    __slots__ = ()

    # HTTP

    def request(self, method: str, target: str, headers: HeaderList, body: bytes = b"") -> None:
        """Make a request, as soon as the connection is there. None may be under way."""
        raise NotImplementedError

    @property
    def reusable(self) -> bool:
        """Whether another request can be made."""
        raise NotImplementedError

    # WebSocket

    def open_websocket(self, target: str, headers: HeaderList) -> None:
        """Ask for a WebSocket, as soon as the connection is there. It is the connection's only request."""
        raise NotImplementedError

    @property
    def deflates(self) -> bool:
        """Whether the compression of messages was agreed on."""
        raise NotImplementedError

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent, here and in whoever writes to the network."""
        raise NotImplementedError

    @property
    def writable(self) -> bool:
        """Whether the network took all that was written before this turn."""
        raise NotImplementedError

    def send_message(self, text: bytes, attachments: list[bytes]) -> None:
        """Send a MESSAGE packet with ``text`` (UTF-8), and binary frames; not compressed."""
        raise NotImplementedError

    def send_text(self, payload: bytes, compress: bool) -> None:
        """Send a text frame."""
        raise NotImplementedError

    def send_binary(self, payload: bytes, compress: bool) -> None:
        """Send a binary frame."""
        raise NotImplementedError

    def pause(self) -> None:
        """Don't read for now."""
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    # The end

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it in an orderly way: over WebSocket what was sent leaves first, then the close handshake follows."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop it at once."""
        raise NotImplementedError


class ClientSessionOwner(ClientEndpoint):
    """The endpoint, as sessions see it."""

    __slots__ = ()

    def new_carrier(self, session: ClientSession, target: Target) -> ClientCarrier:
        """Begin to open a connection for a session."""
        raise NotImplementedError

    def session_has_packets(self, session: ClientOutbound) -> None:
        """A polling session has packets: flush() it at the end of the turn."""
        raise NotImplementedError

    def session_over(self, session: ClientSession) -> None:
        """The session is closed. Called once."""
        raise NotImplementedError

    def known_revision(self, target: Target) -> int | None:
        """The revision of Engine.IO that this server turned out to speak, if that is known."""
        raise NotImplementedError

    def learn_revision(self, target: Target, revision: int) -> None:
        """This server speaks this revision."""
        raise NotImplementedError

    def websocket_worked(self, target: Target) -> bool:
        """Whether the latest connection to this server went well over WebSocket."""
        raise NotImplementedError

    def learn_websocket(self, target: Target, worked: bool) -> None:
        """Whether WebSocket works with this server."""
        raise NotImplementedError


class _Nobody(LinkUser):
    """The user of a session that is over: told nothing."""

    __slots__ = ()

    def link_opened(self, link: ClientLink) -> None:
        pass

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        pass

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        pass

    def link_pinged(self, link: ClientLink) -> None:
        pass

    def link_upgraded(self, link: ClientLink) -> None:
        pass

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        pass


NOBODY = _Nobody()
