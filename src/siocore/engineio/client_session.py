"""An Engine.IO session, from the client's side."""

from __future__ import annotations

from siocore.link import ClientLink

__all__ = ["ClientSession"]


class ClientSession(ClientLink):
    """One session with a server."""
