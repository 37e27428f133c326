"""A Redis of the bench's own, on a free port, empty, which ends with the block."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bench.servers import BenchError

__all__ = ["running_redis"]


@contextmanager
def running_redis() -> Iterator[str]:
    """Its URL. Raises BenchError where there is no redis-server, or where it does not start."""
    program = shutil.which("redis-server")
    if program is None:
        raise BenchError("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="siocore-bench-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            if not any("Ready to accept connections" in line for line in process.stdout):
                raise BenchError("redis-server did not start")
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
