"""Says something in the lobby of chat.py, and prints the first lines that anybody says there: blocking code.

Run ``siocore serve chat:io``, then ``python sync_client.py http://127.0.0.1:3000 hello``.
"""

import sys

import siocore.sync


def main(url, text, lines=1):
    with siocore.sync.connect(url, auto_connect=False) as socket:

        @socket.on("disconnect")
        def disconnected(reason, detail):
            print("disconnected:", reason)

        socket.connect()
        print("I am", socket.receive("welcome", timeout=5).args[0]["id"])
        print(socket.emit_with_ack("chat message", text, timeout=5))
        for event in socket.events():
            sender, said = event.args
            print(f"{sender}: {said}")
            lines -= 1
            if not lines:
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
