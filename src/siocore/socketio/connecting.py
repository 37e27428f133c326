"""Waiting for a client's socket."""

from __future__ import annotations

from collections.abc import Generator
from copy import copy
from typing import TYPE_CHECKING, Any

from siocore.errors import Disconnected

if TYPE_CHECKING:
    from siocore.socketio.client_member import Member

__all__ = ["Connecting"]


class Connecting:
    """What ``connect()`` returns. Awaiting it waits until the socket is connected; it need not be awaited."""

    __slots__ = ("_failures", "_retry", "_socket")

    def __init__(self, socket: Member, retry: bool) -> None:
        self._socket = socket
        self._retry = retry
        self._failures = socket.failures

    def __await__(self) -> Generator[Any, None, None]:
        socket = self._socket
        while not socket.connected:
            failed = socket.failures != self._failures
            if failed and socket.failure is not None and not (self._retry and socket.active):
                # A traceback refers to this frame and so to us: kept there, both would wait for the garbage collector.
                raise copy(socket.failure)
            if not socket.active:
                raise Disconnected("the socket was disconnected before it was connected")
            yield from socket.changed()
