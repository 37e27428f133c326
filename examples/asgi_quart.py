"""Quart on trio, and Socket.IO: hypercorn -k trio asgi_quart:app

With ``quart.Quart`` instead, it runs on asyncio: the rest is the same.
"""

import quart_trio
import trio

import siocore
from siocore.asgi import ASGIApp

app = quart_trio.QuartTrio(__name__)
io = siocore.Server()
app.asgi_app = ASGIApp(io, app.asgi_app)


@app.get("/")
async def home():
    return "hello"


@io.on("echo")
async def echo(socket, *args):
    with trio.fail_after(5):
        await trio.lowlevel.checkpoint()
    return args
