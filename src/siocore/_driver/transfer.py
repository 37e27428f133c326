"""Reading and writing a socket that does not block, by its descriptor.

Compiled from ``_speedups/_transfer.pyx`` where that was built: the same calls without objects on the way.
"""

from __future__ import annotations

import os

__all__ = ["receive", "transmit"]

_READ_SIZE = 65_536


def receive(fd: int) -> bytes | None:
    """What has arrived, 64 KiB at most; ``b""`` at the end, ``None`` if there is nothing. Raises :exc:`OSError`."""
    try:
        return os.read(fd, _READ_SIZE)
    except BlockingIOError:
        return None


def transmit(fd: int, data: bytes | memoryview) -> int:
    """How many bytes the kernel has accepted, 0 if none. Raises :exc:`OSError`."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
