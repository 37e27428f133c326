"""Deliver every event at least once, whatever becomes of the connection, to a server that acknowledges."""

import itertools
import sys

import trio

import siocore
import siocore.trio

tokens = itertools.count(1)


async def fresh_token() -> dict[str, str]:
    # Asked for each connection: the place to renew a token that has expired.
    return {"token": f"token {next(tokens)}"}


async def main(url: str, *texts: str) -> None:
    async with siocore.trio.connect(
        url, retry=True, auth=fresh_token, retries=10, ack_timeout=2, reconnection_delay=0.1
    ) as socket:

        @socket.on("disconnect")
        def gone(reason: str, detail: str) -> None:
            print("gone:", reason, flush=True)

        @socket.on("connect")
        def back() -> None:
            print("back", flush=True)

        for number, text in enumerate(texts):
            try:
                # The number lets the server recognise what it has seen: a try may arrive although its answer is lost.
                await socket.emit("append", {"number": number, "text": text})
            except siocore.AckTimeout:
                print("given up:", text, flush=True)
            else:
                print("appended:", text, flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
