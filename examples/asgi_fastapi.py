"""FastAPI and Socket.IO in one ASGI application: uvicorn asgi_fastapi:app"""

import fastapi

import siocore
from siocore.asgi import ASGIApp

api = fastapi.FastAPI()
io = siocore.Server()


@api.post("/announce")
async def announce(text: str) -> dict:
    io.to("lobby").emit("announcement", text)
    return {"listeners": len(await io.to("lobby").fetch_sockets())}


@io.on("connection")
async def connected(socket):
    socket.join("lobby")
    socket.emit("welcome", socket.id)


@io.on("chat message")
async def chat(socket, text):
    io.to("lobby").emit("chat message", socket.id, text)
    return "delivered"


# /socket.io/ is ours; everything else, and the lifespan, is FastAPI's.
app = ASGIApp(io, api)
