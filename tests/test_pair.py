"""Servers and clients on virtual time, driven by random schedules over odd networks: the delivery guarantees hold."""

from __future__ import annotations

import random
from functools import partial
from itertools import count

import pytest

from history import Channel, History, Question, attachment_of
from raw_client import assert_nothing_left
from siocore import AckTimeout, Disconnected, Limits, Server, Socket
from siocore.testing import Link, ReceivedEvent, TestClient, TestServer

ROOMS = ["red", "green"]


class Run:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        limits = Limits(
            max_running_handlers=rng.choice([1, 2, 64]),
            high_water=rng.choice([100, 65_536]),
            keep_alive_timeout=rng.choice([0.5, 20]),
        )
        self.io = Server(limits=limits, ping_interval=rng.choice([0.5, 25]), upgrade_timeout=5)
        self.server = TestServer(self.io, batch=rng.random() < 0.5)
        self.server.network.script = self.script
        self.history = History()
        self.clients: list[TestClient] = []
        self.numbers = count()
        self.register()

    def script(self, link: Link) -> None:
        # Of its own for each link: rooms are sets, so the order in which links are written to is not the seed's.
        rng = random.Random(f"{self.seed} {link.number}")
        for pipe in link.pipes:
            pipe.delay = partial(rng.uniform, 0, rng.choice([0, 0.01, 0.1]))
            pipe.coalesce = rng.random() < 0.5
            if rng.random() < 0.2:
                pipe.segment = partial(rng.choice, [1, 3, 100])
            if rng.random() < 0.2:
                pipe.window = rng.choice([50, 2_000])
            if rng.random() < 0.03:
                pipe.cut_after = rng.randrange(3_000)

    # The server's side -----------------------------------------------------------------------------------------

    def register(self) -> None:
        io, clock, rng, history = self.io, self.server.clock, self.rng, self.history

        @io.on("connection")
        def connection(socket: Socket) -> None:
            history.of(socket.id).life.append("connection")
            socket.join(rng.choice(ROOMS))

        @io.on("disconnect")
        def disconnect(socket: Socket, reason: str) -> None:
            record = history.of(socket.id)
            record.life.append(reason)
            record.rooms_at_the_end = len(socket.rooms)

        @io.on("tell")
        async def tell(socket: Socket, message: int, data: bytes) -> int:
            assert data == attachment_of(message)
            record = history.of(socket.id)
            record.life.append("event")
            record.to_server.received.append(message)
            record.handled.append(message)
            choice = rng.random()
            if choice < 0.2:
                await clock.sleep(rng.uniform(0, 0.2))
            elif choice < 0.3:
                await self.emit(socket)
            elif choice < 0.4:
                await self.ask(socket)
            return message

    async def ask(self, socket: Socket) -> None:
        question = Question()
        self.history.questions.append(question)
        try:
            answer = await socket.emit_with_ack("question", 7, timeout=self.rng.choice([0.01, 0.3, 50]))
        except AckTimeout:
            question.outcomes.append("timeout")
        except Disconnected:
            question.outcomes.append("disconnected")
        else:
            assert answer == 7
            question.outcomes.append("answer")

    async def emit(self, socket: Socket) -> None:
        message = next(self.numbers)
        if socket.connected:
            self.history.of(socket.id).to_client.send(message)
        await socket.emit("tell", message, attachment_of(message))

    def emit_from_outside(self) -> None:
        rng = self.rng
        message = next(self.numbers)
        sockets = self.io.local_sockets()
        choice = rng.random()
        volatile = choice > 0.8
        if choice < 0.4 and sockets:
            chosen = [rng.choice(sockets)]
            chosen[0].emit("tell", message, attachment_of(message))
        elif choice < 0.6:
            chosen = sockets
            self.io.emit("tell", message, attachment_of(message))
        elif choice < 0.8:
            room = rng.choice(ROOMS)
            chosen = self.io.to(room).local_sockets()
            self.io.to(room).emit("tell", message, attachment_of(message))
        else:
            chosen = sockets
            self.io.volatile.emit("tell", message, attachment_of(message))
        for socket in chosen:
            self.history.of(socket.id).to_client.send(message, volatile=volatile)

    # The clients' side -----------------------------------------------------------------------------------------

    def arrive(self) -> None:
        client = TestClient(self.server, self.rng.choice(["websocket", "polling", "upgrade"]))
        client.on_event = partial(self.heard, client)
        try:
            client.connect(timeout=20)
        except (ConnectionError, TimeoutError):
            client.engine.cut()
            return
        self.clients.append(client)

    def heard(self, client: TestClient, event: ReceivedEvent) -> None:
        if event.name == "question":
            if self.rng.random() < 0.8 and client.connected:
                client.ack(event, *event.args)
            return
        message, data = event.args
        assert data == attachment_of(message)
        self.received(client).received.append(message)

    def received(self, client: TestClient) -> Channel:
        return self.history.of(client.id).to_client

    def tell(self, client: TestClient) -> None:
        message = next(self.numbers)
        record = self.history.of(client.id)
        record.to_server.send(message)
        if self.rng.random() < 0.5:
            client.emit("tell", message, attachment_of(message))
        else:
            record.asked.add(message)
            client.emit("tell", message, attachment_of(message), ack=record.answered.append)

    def disturb(self, client: TestClient) -> None:
        rng = self.rng
        choice = rng.random()
        links = client.engine.links
        if choice < 0.3:
            client.engine.cut()
        elif choice < 0.5 and links:
            rng.choice(links).cut()
        elif choice < 0.7 and links:
            rng.choice(links).stall()
        elif choice < 0.85:
            client.engine.close()
        else:
            for socket in self.io.to(client.id).local_sockets():
                socket.disconnect(close=rng.random() < 0.5)

    # The run ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        rng = self.rng
        for _ in range(rng.randrange(1, 4)):
            self.arrive()
        for _ in range(rng.randrange(20, 60)):
            connected = [client for client in self.clients if client.connected]
            choice = rng.random()
            if choice < 0.4 and connected:
                self.tell(rng.choice(connected))
            elif choice < 0.7:
                self.emit_from_outside()
            elif choice < 0.73 and connected:
                self.disturb(rng.choice(connected))
            elif choice < 0.76:
                self.arrive()
            elif choice < 0.78:
                for client in connected:
                    for link in client.engine.links:
                        link.resume()
            else:
                self.server.advance(rng.choice([0, 0.001, 0.02, 0.3, 3]))
        self.server.advance(200)
        gone = {client.id for client in self.clients if client.ids and not client.connected}
        # Whoever was gone by then has been noticed by now.
        self.server.advance(50)
        in_namespace = {socket.id for socket in self.io.local_sockets()}
        living = {client.id for client in self.clients if client.connected}
        assert not in_namespace & gone
        assert living <= in_namespace
        for socket_id in living:
            self.history.of(socket_id).survived = True
        for socket_id in in_namespace - living:
            # Its connection has just broken (at the end of a keep-alive, for instance): too early to tell.
            del self.history.sockets[socket_id]
        self.history.check()
        self.server.close()
        assert_nothing_left(self.server)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(6))
def test_the_delivery_guarantees_hold_on_random_schedules(block: int) -> None:
    survivors = 0
    for seed in range(block * 100, block * 100 + 100):
        run = Run(seed)
        try:
            run.run()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        survivors += sum(socket.survived for socket in run.history.sockets.values())
    # The runs are about something: many sockets live to the end, so "lost without a cut" was really checked.
    assert survivors > 50
