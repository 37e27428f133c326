"""Middleware, a namespace and acknowledgements, on asyncio."""

import asyncio
import hmac

import siocore
import siocore.asyncio

io = siocore.Server()
admin = io.of("/admin")


@admin.use
async def authenticate(socket):
    token = socket.handshake.auth.get("token")
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), b"s3cret"):
        raise siocore.ConnectionRefused("not authorized", data={"retry": False})


@admin.on("count")
async def count(socket):
    return len(await io.fetch_sockets())


@admin.on("ask everybody")
async def ask(socket, question):
    try:
        async with asyncio.timeout(10):
            return await io.timeout(5).emit_with_ack("question", question)
    except siocore.AckTimeout as error:
        return error.responses


if __name__ == "__main__":
    asyncio.run(siocore.asyncio.serve(io, "127.0.0.1", 3000))
