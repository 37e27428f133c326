"""A chat server with a lobby: run it with ``siocore serve chat:io`` or ``python chat.py``."""

import trio

import siocore
import siocore.trio

io = siocore.Server()


@io.on("connection")
async def connected(socket):
    socket.join("lobby")
    socket.emit("welcome", {"id": socket.id})


@io.on("chat message")
async def chat(socket, text):
    io.to("lobby").emit("chat message", socket.id, text)
    return "delivered"


if __name__ == "__main__":
    trio.run(siocore.trio.serve, io, "127.0.0.1", 3000)
