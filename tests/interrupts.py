"""Ctrl-C at a certain place of blocking code."""

from __future__ import annotations

import os
import signal
import threading

from siocore.sync._host import BlockingHost

__all__ = ["interrupt_next_wait"]


def interrupt_next_wait(host: BlockingHost) -> None:
    """When this host waits next, the process gets SIGINT: as its wait begins, or within it."""
    wait_readable = host.wait_readable

    def wait(fd: int, seconds: float | None) -> object:
        host.wait_readable = wait_readable
        killer = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
        killer.start()
        try:
            return wait_readable(fd, seconds)
        finally:
            killer.join()

    host.wait_readable = wait
