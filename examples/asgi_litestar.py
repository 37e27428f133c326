"""Socket.IO mounted in a Litestar application: uvicorn asgi_litestar:app"""

from litestar import Litestar, asgi, get

import siocore
from siocore.asgi import ASGIApp

io = siocore.Server()
socketio = ASGIApp(io)


@io.on("echo")
async def echo(socket, *args):
    return args


@get("/")
async def home() -> str:
    return "hello"


app = Litestar(
    [home, asgi("/socket.io", is_mount=True, copy_scope=False)(socketio)],
    on_shutdown=[socketio.shutdown],
)
