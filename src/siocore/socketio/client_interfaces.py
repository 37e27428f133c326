"""What the Socket.IO side of a client needs from its endpoint: base class of that."""

from __future__ import annotations

from siocore.client_options import ClientOptions
from siocore.driven import ClientEndpoint
from siocore.link import ClientLink, LinkUser
from siocore.target import Target

__all__ = ["LinkOpener"]


class LinkOpener(ClientEndpoint):
    """The endpoint, as managers see it."""

    __slots__ = ()

    def open_link(self, target: Target, options: ClientOptions, user: LinkUser) -> ClientLink:
        """Begin to open a link, for ``user``, which is told what becomes of it."""
        raise NotImplementedError
