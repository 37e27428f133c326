"""What hosting costs: the CPU time of one GET, on siocore's driver and on uvicorn, for the same application.

    python -m bench.hosting --seconds 3 --repetitions 3

Each server runs in a process of its own on one core, and is asked from another over kept connections, one request at a
time on each. CPU time of the server per request does not depend on how fast the generator is. Runs are interleaved, and
the lowest of each server counts: others on the machine only add.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import selectors
import socket
import subprocess
import sys
import time
from typing import Any

CONNECTIONS = 20
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
#: uvicorn as it is with its extras, on uvloop and httptools, and without: on asyncio and h11.
SERVERS = ("siocore-trio", "siocore-asyncio", "uvicorn-httptools", "uvicorn-h11")
APPLICATIONS = ("bare", "fastapi")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI application can be."""
    if scope["type"] != "http":
        raise RuntimeError("HTTP only")
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"17")],
        }
    )
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})


def application(name: str) -> Any:
    if name == "bare":
        return bare
    from fastapi import FastAPI

    app = FastAPI()

    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    app.add_api_route("/hello", hello)
    return app


def serve(server: str, name: str) -> None:
    """Serve until killed; prints the port."""
    app = application(name)
    sock = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(sock.getsockname()[1], flush=True)
    kind, _, how = server.partition("-")
    if kind == "uvicorn":
        import uvicorn

        loop = "uvloop" if how == "httptools" else "asyncio"
        config = uvicorn.Config(app, http=how, loop=loop, log_level="error", access_log=False, ws="none")  # type: ignore[arg-type, unused-ignore]
        uvicorn.Server(config).run(sockets=[sock])
        return
    import trio

    import siocore
    import siocore.asyncio
    import siocore.trio

    io = siocore.Server()
    if how == "trio":
        trio.run(lambda: siocore.trio.serve(io, sockets=[sock], app=app))
    else:
        asyncio.run(siocore.asyncio.serve(io, sockets=[sock], app=app))


def ask(port: int, seconds: float) -> int:
    """Send requests for so long; returns how many were answered."""
    selector = selectors.DefaultSelector()
    answered = 0
    for _ in range(CONNECTIONS):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ)
        sock.sendall(REQUEST)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _events in selector.select(1.0):
            sock = key.fileobj  # type: ignore[assignment]
            data = sock.recv(65_536)
            # Servers that write the body apart have its last bytes in a later read.
            if data.endswith(b"}"):
                answered += 1
                sock.sendall(REQUEST)
            elif not data:
                raise ConnectionError("the server closed a connection")
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return answered


def cpu_seconds(process: int) -> float:
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server: str, name: str, seconds: float) -> float:
    """Microseconds of the server's CPU time per request."""
    command = [sys.executable, "-m", "bench.hosting", "--serve", server, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        assert process.stdout is not None
        port = int(process.stdout.readline())
        ask(port, 0.3)
        before = cpu_seconds(process.pid)
        answered = ask(port, seconds)
        return (cpu_seconds(process.pid) - before) / answered * 1e6
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.hosting", description="CPU time of a GET to an ASGI application.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--serve", nargs=2, metavar=("SERVER", "APPLICATION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    for name in APPLICATIONS:
        runs: dict[str, list[float]] = {server: [] for server in SERVERS}
        for _ in range(options.repetitions):
            for server in SERVERS:
                runs[server].append(measure(server, name, options.seconds))
        base = min(runs["uvicorn-httptools"])
        for server, values in runs.items():
            print(f"{name:8} {server:18} {min(values):7.1f} µs  {min(values) / base:5.2f} of uvicorn-httptools")


if __name__ == "__main__":
    main()
