"""Acknowledgements that the server owes a client's socket."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from siocore.errors import AckTimeout, Disconnected
from siocore.socketio.acks import PendingAck, ack_value

if TYPE_CHECKING:
    from siocore.socketio.client_socket import ClientSocket

__all__ = ["ClientAck"]


class ClientAck(PendingAck):
    """From the server. The result is what it answered: nothing (None), one value, or a tuple.

    It ends with the connection that the event was sent on. An event that is not sent yet waits for the next one, and is
    not sent at all if the time is up before, or if the socket does not want to connect any more while it is awaited.
    """

    __slots__ = ("_socket",)

    def __init__(self, socket: ClientSocket, ack_id: int, timeout: float | None) -> None:
        super().__init__(socket.manager.hub, ack_id, timeout)
        self._socket = socket
        if timeout is not None and self._hub.wake is not None:
            # The event may have to wait, so that nothing else tells the driver of the deadline.
            self._hub.wake()

    def answered(self, args: list[object]) -> None:
        """The server has acknowledged."""
        self._finish(ack_value(args))

    def lost(self) -> None:
        """The connection is gone, or there will not be one."""
        self._finish(None, Disconnected("the socket was disconnected before the server acknowledged"))

    def deserted(self) -> None:
        """The socket is not active any more. Whoever waits is told; what nobody waits for stays where it is."""
        if self._waiter is not None:
            self.lost()

    def timer_expired(self, kind: int, now: float) -> None:
        self._finish(None, AckTimeout())

    def __await__(self) -> Generator[Any, None, Any]:
        while not self.done:
            if not self._socket.active:
                self.lost()
                break
            yield from self.wait()
        return self.result()

    def _forget(self) -> None:
        self._socket.forget_ack(self.id, withdraw=self._error is not None)
