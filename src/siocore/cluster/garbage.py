"""Messages of other servers that nobody can read: they are counted, and the application is told of each kind once."""

from __future__ import annotations

from siocore.driven import ServerEndpoint
from siocore.events import GarbageReceived

__all__ = ["Garbage"]

#: The application is told of so many kinds of faults.
_MAX_KINDS = 100


class Garbage:
    """What one server has dropped."""

    __slots__ = ("_kinds", "count")

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        #: How many messages it was.
        self.count = 0

    def add(self, hub: ServerEndpoint, channel: str, reason: str) -> None:
        """One more: ``reason`` is a sentence for people."""
        self.count += 1
        # Behind the colon is what this one has, and where.
        kind = reason.partition(":")[0]
        if kind not in self._kinds and len(self._kinds) < _MAX_KINDS:
            self._kinds.add(kind)
            hub.push_event(GarbageReceived(channel, reason))
