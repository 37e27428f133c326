"""Where a client is in the sequence of its server's events: what recovery of the connection state needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.client_events import ClientEvent

if TYPE_CHECKING:
    from siocore.socketio.manager import Manager

__all__ = ["Offsets"]


class Offsets:
    """The offset of the latest event, for one pid."""

    __slots__ = ("_manager", "latest", "pid")

    def __init__(self, pid: str, manager: Manager) -> None:
        #: What the server knows this socket by, which is a secret.
        self.pid = pid
        #: The offset of the latest event; None until one came with an offset.
        self.latest: str | None = None
        self._manager = manager

    def request(self) -> dict[str, str]:
        """What goes with CONNECT."""
        return {"pid": self.pid} if self.latest is None else {"pid": self.pid, "offset": self.latest}

    def read(self, event: ClientEvent) -> None:
        """Take the offset from an event, if it has one."""
        args = event.args
        if event.ack_id is None and args and type(args[-1]) is str:
            self.latest = args.pop()
