"""Talk to the server of chat.py, on trio: a loop over the events, while another task sends."""

import sys
from typing import Any

import trio

import siocore.trio


async def say(socket: Any, texts: tuple[str, ...]) -> None:
    for text in texts:
        print(repr(text), "was", await socket.emit_with_ack("chat message", text, timeout=5))
    socket.disconnect()


async def main(url: str, *texts: str) -> None:
    async with siocore.trio.connect(url) as socket, trio.open_nursery() as nursery:
        nursery.start_soon(say, socket, texts)
        # It ends when the socket is disconnected, and goes on while a lost connection is made again.
        async for event in socket.events():
            print(event.name, *event.args)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
