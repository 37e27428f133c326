"""Prints what a server makes of seeded conversations, cut anywhere and damaged here and there.

Run as a program, once per build: the transcripts of two builds must not differ (test_compiled.py).
"""

from __future__ import annotations

import random
from contextlib import suppress
from contextvars import copy_context

import siocore
from siocore import Limits, Server
from siocore.testing.wire import masked_frame, request_bytes

SEED = 20_261
CONVERSATIONS = 400

GOOD = 6  # as many of the events, from the first, keep the client connected
LIMITS = Limits(max_payload=2_000, max_attachments=3, max_buffered=4_000, max_json_depth=5, max_running_handlers=2)
EVENTS = [
    '42["echo","x"]',
    '421["echo",{"a":[1,2.5,null,"\u00e9\U0001f600"]}]',
    '4212["echo",1,2,3]',
    '42["cast","hello"]',
    '42["room","a"]',
    '42["nobody hears"]',
    '4213["fail"]',
    '42["leave"]',
    "41",
    "40",
    '40{"token":"a"}',
    "40/other,",
    '42/other,7["echo"]',
    "41/other,",
    "44",
    "2",
    "3",
    "3x",
    "6",
    "1",
    "9",
    "",
    '42["echo"',
    '42[[[[[["deep"]]]]]]',
    '42["connect"]',
    "43[]",
    '431["late"]',
    "4" + "2" * 40,
    '42["' + "long" * 600 + '"]',
]
BINARY: list[list[str | bytes]] = [
    ['451-["echo",{"_placeholder":true,"num":0}]', b"\x00\xff"],
    ['452-1["echo",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]', b"a", b"b"],
    ['451-["echo",{"_placeholder":true,"num":9}]', b"a"],
    ['451-["echo",{"_placeholder":true,"num":0}]', '42["echo","too soon"]'],
    [b"unasked"],
    ['459-["echo"]'],
]


def application() -> Server:
    counter = iter(range(10**9))
    io = Server(limits=LIMITS, generate_id=lambda: f"id{next(counter):018}", ping_interval=5, ping_timeout=5)

    def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
        return args

    async def cast(socket: siocore.Socket, text: object) -> None:
        io.emit("cast", text, b"attached")

    def room(socket: siocore.Socket, name: str) -> None:
        socket.join(name)
        io.to(name).emit("joined", name)
        socket.to(name).volatile.emit("volatile")

    def fail(socket: siocore.Socket) -> None:
        socket.emit("before", 1.5)
        socket.disconnect(close=True)

    def leave(socket: siocore.Socket) -> None:
        socket.disconnect()

    for name in ("/", "/other"):
        for handler in (echo, cast, room, fail, leave):
            io.of(name).on(handler.__name__)(handler)
    return io


class Conversation:
    """One server, some connections, and what comes of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.app = application()
        self.protocol = self.app.protocol
        self.sids: list[str] = []
        self.connections: list[siocore.Connection] = []

    def run(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            self.connections.append(self.protocol.connection_made(("192.0.2.1", 5), now=self.now))
        for _ in range(self.chance.randrange(5, 60)):
            connection = self.chance.choice(self.connections)
            self.feed(connection, self.data(connection))
            if self.chance.random() < 0.05:
                self.now += self.chance.choice([0.1, 1, 4, 6])
                self.protocol.handle_timeout(now=self.now)
            if self.chance.random() < 0.02:
                connection.receive_eof(now=self.now)
            if self.chance.random() < 0.01:
                connection.connection_lost(now=self.now)
            self.pump()
        self.protocol.shutdown(now=self.now)
        self.pump()
        self.protocol.abort(now=self.now)
        self.pump()

    def feed(self, connection: siocore.Connection, data: bytes) -> None:
        if data and self.chance.random() < 0.03:
            spoilt = bytearray(data)
            spoilt[self.chance.randrange(len(spoilt))] ^= 1 << self.chance.randrange(8)
            data = bytes(spoilt)
        while data:
            size = len(data) if self.chance.random() < 0.6 else self.chance.randrange(1, len(data) + 1)
            if not connection.lost:
                connection.receive_data(data[:size], now=self.now)
            data = data[size:]
            if self.chance.random() < 0.5:
                self.pump()

    def data(self, connection: siocore.Connection) -> bytes:
        if connection._output:
            self.pump()
        if connection.transport == "websocket":
            return b"".join(self.message() for _ in range(self.chance.randrange(1, 5)))
        return self.request(connection)

    def message(self) -> bytes:
        chance = self.chance.random()
        if chance < 0.2:
            parts = self.chance.choice(BINARY[: 2 if chance < 0.17 else None])
        else:
            parts = [self.chance.choice(EVENTS[: GOOD if chance < 0.9 else None])]
        frames = [masked_frame(1, part.encode()) if isinstance(part, str) else masked_frame(2, part) for part in parts]
        if self.chance.random() < 0.05:
            frames.append(
                self.chance.choice([masked_frame(9, b"?"), masked_frame(8, b"\x03\xe8"), b"\x83\x80\0\0\0\0"])
            )
        return b"".join(frames)

    def request(self, connection: siocore.Connection) -> bytes:
        kind = self.chance.random()
        if kind < 0.3 or not self.sids:
            query = "EIO=4&transport=" + self.chance.choice(["polling", "polling", "websocket", "smoke"])
            return self.websocket(connection, query) if "websocket" in query else self.get(query)
        query = f"EIO=4&transport=polling&t=abc&sid={self.chance.choice(self.sids)}"
        if kind < 0.35:
            return self.websocket(connection, query.replace("polling", "websocket"))
        if kind < 0.6:
            return self.get(query)
        texts = [self.chance.choice(["40", *EVENTS[:GOOD]]) for _ in range(self.chance.randrange(1, 4))]
        if self.chance.random() < 0.05:
            texts.append(self.chance.choice(EVENTS))
        if self.chance.random() < 0.2:
            texts.append("bAAAA")
        headers = [("Host", "a"), ("Content-Type", "text/plain;charset=UTF-8")]
        return request_bytes("POST", f"/socket.io/?{query}", headers, "\x1e".join(texts).encode())

    def get(self, query: str) -> bytes:
        headers = [("Host", "a"), ("X-Odd", "\xff" if self.chance.random() < 0.2 else "plain")]
        return request_bytes("GET", f"/socket.io/?{query}", headers)

    def websocket(self, connection: siocore.Connection, query: str) -> bytes:
        headers = [
            ("Host", "a"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "eHh4eHh4eHh4eHh4eHh4eA=="),
        ]
        connection.transport = "websocket"
        greeting = b"".join(masked_frame(1, text) for text in (b"40", b"40/other,") if self.chance.random() < 0.9)
        return request_bytes("GET", f"/socket.io/?{query}", headers) + greeting

    def pump(self) -> None:
        for _ in range(50):
            busy = False
            while (event := self.protocol.next_event()) is not None:
                busy = True
                print("event", type(event).__name__, getattr(event, "reason", ""), getattr(event, "detail", ""))
                print(getattr(event, "name", ""), getattr(event, "args", ""))
                context = copy_context()
                coroutine = context.run(self.app.dispatch, event)
                if coroutine is not None:
                    with suppress(StopIteration):
                        context.run(coroutine.send, None)
            ready = {id(connection) for connection in self.protocol.take_ready()}
            # In the order in which they were made: the end of a server names them as a set does.
            for number, connection in enumerate(self.connections):
                if id(connection) not in ready:
                    continue
                busy = True
                data = connection.data_to_send()
                self.learn(data)
                print(number, data, connection.closing, connection.closed, connection.aborted, connection.wants_read)
            if not busy:
                break
        print("deadline", self.protocol.next_deadline())

    def learn(self, data: bytes) -> None:
        """Sids come from the wire, as a client's do."""
        for part in data.split(b'0{"sid":"')[1:]:
            self.sids.append(part.partition(b'"')[0].decode())


def main() -> None:
    print(siocore.IMPLEMENTATION)
    print("seed", SEED)
    for number in range(CONVERSATIONS):
        print("conversation", number)
        Conversation(random.Random(SEED + number)).run()


if __name__ == "__main__":
    main()
