"""Socket.IO mounted in a Starlette application: uvicorn asgi_starlette:app"""

import contextlib

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import siocore
from siocore.asgi import ASGIApp

io = siocore.Server()
socketio = ASGIApp(io)


@io.on("echo")
async def echo(socket, *args):
    return args


async def home(request):
    return PlainTextResponse("hello")


@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    # A mounted application has no lifespan of its own.
    await socketio.shutdown()


app = Starlette(routes=[Route("/", home), Mount("/socket.io", socketio)], lifespan=lifespan)
