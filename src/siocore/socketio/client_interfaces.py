"""What the Socket.IO side of a client needs from its endpoint: base class of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.client_options import ClientOptions
from siocore.driven import ClientEndpoint
from siocore.link import ClientLink
from siocore.target import Target

if TYPE_CHECKING:
    from siocore.errors import ConnectError

__all__ = ["LinkOpener", "LinkUser"]


class LinkUser:
    """Whoever opened a link: told of it, in this order. Each call names the link, since an old one may still speak."""

    __slots__ = ()

    def link_opened(self, link: ClientLink) -> None:
        """Messages can be sent."""
        raise NotImplementedError

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        """A text message; it begins at index ``start``."""
        raise NotImplementedError

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        """A binary message."""
        raise NotImplementedError

    def link_pinged(self, link: ClientLink) -> None:
        """The server has sent a PING (revision 3: has answered ours)."""
        raise NotImplementedError

    def link_upgraded(self, link: ClientLink) -> None:
        """It has gone over to another transport."""
        raise NotImplementedError

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        """The link is over, once; also after our own ``close()``, but not after ``abandon()``.

        ``reason`` is JavaScript's: "transport close", "transport error", "ping timeout" or "forced close". ``error`` is
        set if the link never opened, and says why.
        """
        raise NotImplementedError


class LinkOpener(ClientEndpoint):
    """The endpoint, as managers see it."""

    __slots__ = ()

    def open_link(self, target: Target, options: ClientOptions, user: LinkUser) -> ClientLink:
        """Begin to open a link, for ``user``, which is told what becomes of it."""
        raise NotImplementedError
