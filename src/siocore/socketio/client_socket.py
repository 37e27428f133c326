"""A client's socket: one namespace of a server."""

from __future__ import annotations

from siocore.client_events import ClientEvent

__all__ = ["ClientSocket"]


class ClientSocket:
    """One namespace of one server."""

    def acknowledge_event(self, event: ClientEvent, args: tuple[object, ...]) -> None:
        raise NotImplementedError
