"""Talk to the server of chat.py, on asyncio: handlers get what others say, and acknowledgements are awaited."""

import asyncio
import sys

import siocore.asyncio


async def main(url: str, *texts: str) -> None:
    async with siocore.asyncio.connect(url, auto_connect=False) as socket:

        @socket.on("chat message")
        def show(sender: str, text: str) -> None:
            print("me" if sender == socket.id else sender, "says", text)

        await socket.connect()
        welcome = await socket.receive("welcome", timeout=5)
        print("welcome,", welcome.args[0]["id"])
        for text in texts:
            answer = await socket.emit_with_ack("chat message", text, timeout=5)
            print(repr(text), "was", answer)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
