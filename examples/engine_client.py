"""Send text and bytes to the server of engine_echo.py, over Engine.IO alone."""

import asyncio
import sys

import siocore.asyncio


async def main(url: str) -> None:
    async with siocore.asyncio.connect_engine(url) as session:
        await session.send("text")
        await session.send(b"\x00\xff")
        async for message in session:
            print(session.transport, repr(message))
            if isinstance(message, bytes):
                break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
