"""FastAPI and Socket.IO on one port.

Run it with ``siocore serve fastapi_one_port:io --app fastapi_one_port:app``, or ``python fastapi_one_port.py``.
"""

from contextlib import asynccontextmanager

import trio
from fastapi import FastAPI, Request

import siocore
import siocore.trio

io = siocore.Server()


@asynccontextmanager
async def lifespan(app):
    yield {"motto": "one port"}


app = FastAPI(lifespan=lifespan)


@app.get("/motto")
async def motto(request: Request):
    return {"motto": request.state.motto}


@app.post("/announce/{room}")
async def announce(room: str, text: str):
    io.to(room).emit("announcement", text)
    return {"told": len(await io.in_(room).fetch_sockets())}


@io.on("join")
async def join(socket, room):
    socket.join(room)
    return "joined"


if __name__ == "__main__":
    trio.run(lambda: siocore.trio.serve(io, "127.0.0.1", 3000, app=app))
