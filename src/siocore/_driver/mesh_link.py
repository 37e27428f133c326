"""One direction of what two workers say to each other: frames over a Unix socket, and descriptors along with them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

from siocore._driver.poller import READ, WRITE, Poller

__all__ = ["MAX_DESCRIPTORS", "MAX_FRAME", "MAX_QUEUED", "IncomingLink", "OutgoingLink"]

#: The length of a frame without this head, and its kind.
_HEAD: Final = Struct("!IB")
#: Bytes in one frame. A longer message is dropped; a frame that says that it is longer is none.
MAX_FRAME: Final = 67_108_864
#: Bytes that may wait for a worker that does not take them; the first message always may.
MAX_QUEUED: Final = 16_777_216
#: The same for connections, which cost descriptors.
MAX_DESCRIPTORS: Final = 64
_READ_SIZE: Final = 262_144
#: Descriptors that one read may bring along.
_DESCRIPTORS: Final = 64
#: Frames that are joined for one write.
_WRITE_SIZE: Final = 262_144


class OutgoingLink:
    """To another worker. Frames wait here until the kernel takes them."""

    def __init__(self, sock: socket.socket, poller: Poller, lost: Callable[[OutgoingLink], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._poller = poller
        self._lost = lost
        self._queue: deque[tuple[bytes, int | None]] = deque()
        # How much of the first frame has left.
        self._sent = 0
        self._blocked = False
        #: Bytes that wait.
        self.queued = 0
        #: Descriptors that wait.
        self.descriptors = 0
        #: For the sockets of the driver: it has no connections on it.
        self.open = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def has_room(self, size: int) -> bool:
        return size <= MAX_FRAME if not self.queued else self.queued + size <= MAX_QUEUED

    def put(self, kind: int, payload: bytes, fd: int | None = None) -> None:
        """Send a frame; ``fd`` goes along with it, and is closed here then."""
        frame = _HEAD.pack(len(payload), kind) + payload
        self._queue.append((frame, fd))
        self.queued += len(frame)
        if fd is not None:
            self.descriptors += 1

    def read(self, now: float) -> None:
        """The poller has reported it: there is room for more, or nobody is there any more."""
        if self._blocked:
            self._blocked = False
            self._poller.modify(self.fileno(), READ)
        try:
            if not self._sock.recv(1):
                self._lost(self)
                return
        except BlockingIOError:
            pass
        except OSError:
            self._lost(self)

    def write(self, now: float) -> bool:
        """Send what waits, as far as the kernel takes it. Returns whether the endpoint has heard anything new: no."""
        try:
            while self._queue and not self._blocked:
                self._send_some()
        except BlockingIOError:
            self._blocked = True
            self._poller.modify(self.fileno(), READ | WRITE)
        except OSError:
            self._lost(self)
        return False

    def _send_some(self) -> None:
        frame, fd = self._queue[0]
        if fd is not None and not self._sent:
            sent = socket.send_fds(self._sock, [frame], [fd])
            os.close(fd)
            self.descriptors -= 1
            self._queue[0] = (frame, None)
        elif self._sent or len(frame) >= _WRITE_SIZE:
            sent = self._sock.send(memoryview(frame)[self._sent :])
        else:
            sent = self._sock.send(b"".join(self._plain_frames()))
        self.queued -= sent
        sent += self._sent
        # A write may have taken several frames, the last of them in part.
        while self._queue and sent >= len(self._queue[0][0]):
            sent -= len(self._queue.popleft()[0])
        self._sent = sent

    def _plain_frames(self) -> list[bytes]:
        """Those at the front that bring no descriptor along, as many as make a good write."""
        frames: list[bytes] = []
        size = 0
        for frame, fd in self._queue:
            if fd is not None or size >= _WRITE_SIZE:
                break
            frames.append(frame)
            size += len(frame)
        return frames

    def stop_accepting(self) -> None:
        """Messages go on until the end."""

    def close(self) -> None:
        for _, fd in self._queue:
            if fd is not None:
                os.close(fd)
        self._queue.clear()
        self.queued = 0
        self._sock.close()


class IncomingLink:
    """From another worker. ``received`` is called with each frame: its kind, its payload, and its descriptor if any."""

    def __init__(
        self,
        sock: socket.socket,
        received: Callable[[IncomingLink, int, bytes, Callable[[], int | None], float], None],
        lost: Callable[[IncomingLink], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = received
        self._lost = lost
        self._input = bytearray()
        self._descriptors: deque[int] = deque()
        #: Which worker it comes from, and what this calls itself; known from its first frame on.
        self.index = -1
        self.uid = ""
        self.pid = 0
        #: For the sockets of the driver: it has no connections on it.
        self.open = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self, now: float) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._sock, _READ_SIZE, _DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            self._lost(self)
            return
        self._descriptors += descriptors
        if not data or flags & socket.MSG_CTRUNC:
            # Where a descriptor was dropped, since this process may have no more, nobody knows whose the others are.
            self._lost(self)
            return
        self._input += data
        at = 0
        while len(self._input) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._input, at)
            if length > MAX_FRAME:
                self._lost(self)
                return
            end = at + _HEAD.size + length
            if len(self._input) < end:
                break
            payload = bytes(self._input[at + _HEAD.size : end])
            at = end
            self._received(self, kind, payload, self._next_descriptor, now)
        del self._input[:at]

    def _next_descriptor(self) -> int | None:
        # They arrive with the first bytes of their frames, and so in the same order.
        return self._descriptors.popleft() if self._descriptors else None

    def write(self, now: float) -> bool:
        return False

    def stop_accepting(self) -> None:
        """Messages come until the end."""

    def close(self) -> None:
        # What is there already is not read any more.
        self._input.clear()
        while self._descriptors:
            with contextlib.suppress(OSError):
                os.close(self._descriptors.popleft())
        self._sock.close()
