"""Engine.IO alone: every message goes back to where it came from."""

import trio

import siocore
import siocore.trio

engine = siocore.EngineServer()


@engine.on("connection")
async def opened(session):
    session.send("hello")


@engine.on("message")
async def echo(session, data):
    await session.send(data)  # str or bytes; waits while the client is slow


@engine.on("close")
async def closed(session, reason):
    print("closed:", reason)


if __name__ == "__main__":
    trio.run(siocore.trio.serve, engine, "127.0.0.1", 3000)
