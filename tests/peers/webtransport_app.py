"""The server for the browser's WebTransport client."""

from __future__ import annotations

import siocore

PAGE = b"<!doctype html><title>WebTransport</title><script src='/socket.io/socket.io.js'></script>"

io = siocore.Server(transports=["polling", "websocket", "webtransport"], cors_origins="*")
io.add_resource("/", PAGE, "text/html")


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.emit("welcome", socket.transport)


@io.on("echo")
async def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    io.emit("news", len(args))
    return args


@io.on("disconnect")
def disconnected(socket: siocore.Socket, reason: str) -> None:
    print(f"gone: {reason}", flush=True)
