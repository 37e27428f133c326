"""Two connections tied to each other: what arrives on one leaves on the other, with backpressure.

For a connection that is another worker's and can't be handed over as it is, since its TLS is in this process.
"""

from __future__ import annotations

from typing import Final

from siocore.driven import DrivenConnection, DrivenEndpoint

__all__ = ["RelayEnd", "tie"]

#: Bytes that may wait for one side before the other one is not read any more.
_HIGH_WATER: Final = 65_536


class RelayEnd(DrivenConnection):
    """One of the two."""

    __slots__ = ("_endpoint", "_output", "_size", "other")

    other: RelayEnd

    def __init__(self, endpoint: DrivenEndpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._output: list[bytes] = []
        self._size = 0

    def receive_data(self, data: bytes, now: float) -> None:
        other = self.other
        if other.closing or other.closed:
            return
        other.give(data)
        if other.waiting > _HIGH_WATER:
            self.wants_read = False
            self._touch()

    def receive_eof(self, now: float) -> None:
        self.other.closing = True
        self.other._touch()

    def connection_lost(self, now: float) -> None:
        self.closed = True
        self.other.closed = True
        self.other._touch()

    def data_to_send(self) -> bytes:
        data = b"".join(self._output)
        self._output.clear()
        self._size = 0
        return data

    def flushed(self, now: float) -> None:
        if not self.other.wants_read:
            self.other.wants_read = True
            self.other._touch()

    def give(self, data: bytes) -> None:
        """This is to be sent."""
        self._output.append(data)
        self._size += len(data)
        self._touch()

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return self._size + self.unsent

    def _touch(self) -> None:
        if not self.queued:
            self._endpoint.connection_ready(self)


def tie(endpoint: DrivenEndpoint) -> tuple[RelayEnd, RelayEnd]:
    """Two ends, tied to each other."""
    one, two = RelayEnd(endpoint), RelayEnd(endpoint)
    one.other, two.other = two, one
    return one, two
