"""How to send one event of a client's socket: ``socket.volatile.compress(False).emit(...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.waiting import Sent

if TYPE_CHECKING:
    from siocore.socketio.acks import PendingAck
    from siocore.socketio.client_socket import ClientSocket

__all__ = ["ClientOperator"]


class ClientOperator:
    """Immutable: each operator makes another one."""

    __slots__ = ("_compress", "_socket", "_timeout", "_volatile")

    def __init__(
        self, socket: ClientSocket, volatile: bool = False, compress: bool = True, timeout: float | None = None
    ) -> None:
        self._socket = socket
        self._volatile = volatile
        self._compress = compress
        self._timeout = timeout

    @property
    def volatile(self) -> ClientOperator:
        """Drop what can't leave at once."""
        return ClientOperator(self._socket, True, self._compress, self._timeout)

    def compress(self, compress: bool) -> ClientOperator:
        """Whether what is sent may be compressed. False for what is compressed already, or must not be guessed at."""
        return ClientOperator(self._socket, self._volatile, compress, self._timeout)

    def timeout(self, seconds: float) -> ClientOperator:
        """How long ``emit_with_ack`` waits."""
        return ClientOperator(self._socket, self._volatile, self._compress, seconds)

    def emit(self, name: str | int, *args: object) -> Sent | PendingAck:
        """:meth:`ClientSocket.emit`, in this way."""
        if self._volatile:
            return self._socket.tell_volatile(name, args, self._compress)
        return self._socket.tell(name, args, self._compress, self._timeout)

    def send(self, *args: object) -> Sent | PendingAck:
        """Emit the event ``message``."""
        return self.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object) -> PendingAck:
        """:meth:`ClientSocket.emit_with_ack`, in this way. Nothing that is to be answered is dropped."""
        return self._socket.ask(name, args, self._timeout, self._compress)
