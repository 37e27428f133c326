"""One random schedule: a server that is restarted at times, clients that come back, a network with faults."""

from __future__ import annotations

import random
from functools import partial
from itertools import count
from typing import Any

from client_history import ClientHistory, Received, Retried, Segment, ServerLife, attachment_of
from history import Question
from raw_client import assert_nothing_left
from siocore import AckTimeout, Disconnected, Limits, Recovery, Server, Socket
from siocore.application.client import Client
from siocore.socketio.client_socket import ClientSocket
from siocore.testing import AppClient, Dial, Link, Simulation, TestServer

__all__ = ["Peer", "Run"]

NAMESPACES = ["/", "/other"]
URL = "http://test.example"


class Run:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.numbers = count()
        self.ids = count()
        self.history = ClientHistory()
        self.revision = rng.choice([4, 4, 4, 3])
        self.recovers = self.revision == 4 and rng.random() < 0.3
        self.fragile = rng.random() < 0.7
        self.options: dict[str, Any] = {
            "ping_interval": rng.choice([0.5, 5, 25]),
            "ping_timeout": rng.choice([2, 20]),
            "upgrade_timeout": 5,
            "allow_eio3": True,
            "limits": Limits(
                max_running_handlers=rng.choice([1, 2, 64]),
                high_water=rng.choice([100, 65_536]),
                # Not about as long as the interval of PING: a POST that crosses the end of its connection is lost.
                keep_alive_timeout=rng.choice([20, 60]),
            ),
            "generate_id": lambda: f"id{next(self.ids):018}",
        }
        self.simulation = Simulation(batch=rng.random() < 0.5)
        self.clock = self.simulation.clock
        #: With recovery: what each id was to get.
        self.lives: dict[str, ServerLife] = {}
        self.quiet = False
        #: Connections of which nothing may be lost.
        self.complete = 0
        #: What handlers raised.
        self.errors: list[Exception] = []
        self.server = self.start_server()
        self.peers: list[Peer] = []
        self.peers = [Peer(self, number) for number in range(rng.randrange(1, 4))]

    @property
    def description(self) -> str:
        transports = [peer.options["transports"] for peer in self.peers]
        return f"revision {self.revision}, recovery {self.recovers}, {transports}, batch {self.simulation._batch}"

    # The server's side ----------------------------------------------------------------------------------------

    def start_server(self) -> TestServer:
        io = Server(recovery=Recovery() if self.recovers else None, **self.options)
        io.on_error(lambda error, subject, name: self.errors.append(error))
        server = TestServer(io, simulation=self.simulation)
        server.network.script = self.script
        for name in NAMESPACES:
            self.register(io, name)
        return server

    def script(self, link: Link) -> None:
        # Of its own for each link: the order in which links are written to must not matter.
        rng = random.Random(f"{self.seed} {self.clock.now} {link.number}")
        link.orderly = rng.random() < 0.5
        for pipe in link.pipes:
            pipe.delay = partial(rng.uniform, 0, rng.choice([0, 0.01, 0.1]))
            pipe.coalesce = rng.random() < 0.5
            if rng.random() < 0.2:
                pipe.segment = partial(rng.choice, [1, 3, 100])
            if rng.random() < 0.2:
                pipe.window = rng.choice([50, 2_000])
            if self.fragile and not self.quiet and rng.random() < 0.1:
                pipe.cut_after = rng.randrange(3_000)

    def register(self, io: Server, name: str) -> None:
        rng, clock, history = self.rng, self.clock, self.history
        namespace = io.of(name)
        received: dict[Socket, Received] = {}

        @namespace.on("connection")
        def connection(socket: Socket) -> None:
            received[socket] = Received()
            history.received.append(received[socket])
            if not self.recovers:
                # With Socket.IO 2 a socket that leaves and comes back has the same id.
                self.lives.pop(socket.id, None)
            self.life(socket)

        @namespace.on("tell")
        async def tell(socket: Socket, number: int, data: bytes) -> int:
            assert data == attachment_of(number)
            received[socket].numbers.append(number)
            history.handled[number] += 1
            choice = rng.random()
            if choice < 0.2:
                await clock.sleep(rng.uniform(0, 0.2))
            elif choice < 0.3:
                await self.emit(socket)
            elif choice < 0.4:
                await self.ask(socket)
            return number

        @namespace.on("retried")
        async def retried(socket: Socket, peer: int, number: int) -> int:
            self.peers[peer].retried.log.append(("delivered", number))
            if rng.random() < 0.3:
                await clock.sleep(rng.choice([0.1, 3]))
            return number

    def life(self, socket: Socket) -> ServerLife:
        """Where to write down what a socket is to get."""
        life = self.lives.get(socket.id)
        if life is None:
            life = self.lives[socket.id] = ServerLife()
            self.history.lives.append(life)
        return life

    async def emit(self, socket: Socket) -> None:
        number = next(self.numbers)
        if socket.connected:
            self.life(socket).sent.append(number)
        await socket.emit("tell", number, attachment_of(number))

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

    def emit_from_server(self) -> None:
        rng = self.rng
        io = self.server.app
        assert isinstance(io, Server)
        number = next(self.numbers)
        namespace = io.of(rng.choice(NAMESPACES))
        sockets = namespace.local_sockets()
        volatile = rng.random() < 0.2
        if volatile:
            self.history.volatile.add(number)
        if rng.random() < 0.5 and sockets:
            chosen = rng.choice(sorted(sockets, key=lambda socket: socket.id))
            target: Any = chosen.volatile if volatile else chosen
            self.life(chosen).sent.append(number)
        else:
            target = namespace.volatile if volatile else namespace
            # Whoever is away gets it when he comes back, if he does.
            for socket in sockets:
                self.life(socket).sent.append(number)
            if self.recovers:
                there = {socket.id for socket in sockets}
                for peer in self.peers:
                    for track in peer.tracks:
                        for socket_id in track.ids - there:
                            if track.name == namespace.name:
                                self.lives[socket_id].sent.append(number)
        target.emit("tell", number, attachment_of(number))

    def restart(self) -> None:
        """The server goes away, at once or gracefully, and another one comes a while later."""
        self.disturbed()
        if self.rng.random() < 0.5:
            self.server.shutdown()
            self.simulation.advance(self.rng.choice([0, 0.1, 2]))
        self.server.close()
        self.simulation.advance(self.rng.choice([0, 0.5, 5]))
        for peer in self.peers:
            for track in peer.tracks:
                # Nobody remembers it.
                track.ids.clear()
        self.server = self.start_server()
        for peer in self.peers:
            peer.driver.server = self.server

    # The run --------------------------------------------------------------------------------------------------

    def disturbed(self) -> None:
        for peer in self.peers:
            peer.disturbed()

    def run(self) -> None:
        rng = self.rng
        for _ in range(rng.randrange(20, 60)):
            peer = rng.choice(self.peers)
            choice = rng.random()
            if choice < 0.35:
                peer.tell()
            elif choice < 0.6:
                self.emit_from_server()
            elif choice < 0.65 and self.fragile:
                peer.disturb()
            elif choice < 0.66 and self.fragile:
                self.restart()
            elif choice < 0.68:
                peer.come_or_go()
            elif choice < 0.7:
                for link in peer.driver.links:
                    link.resume()
            elif choice < 0.75:
                peer.retry()
            else:
                self.simulation.advance(rng.choice([0, 0.001, 0.02, 0.3, 3]))
        self.come_to_rest()
        if self.errors:
            raise self.errors[0]
        self.history.check()
        self.complete = sum(segment.complete for segment in self.history.segments)
        self.stop()

    def come_to_rest(self) -> None:
        self.quiet = True
        for peer in self.peers:
            peer.driver.script = None
            for link in peer.driver.links:
                for pipe in link.pipes:
                    pipe.cut_after = None
                link.resume()
        self.simulation.advance(150)
        # Whoever is not connected by now has waited for a link that was cut while it was quiet already.
        self.simulation.advance(150)
        for peer in self.peers:
            for track in peer.tracks:
                track.rest()

    def stop(self) -> None:
        for peer in self.peers:
            peer.driver.shutdown()
        self.simulation.advance(60)
        for peer in self.peers:
            peer.driver.close()
            assert len(peer.client.protocol.timers) == 0
            assert peer.driver.links == []
            assert peer.driver.running == 0
        self.server.close()
        assert_nothing_left(self.server)


class Peer:
    """One client application: one or two sockets on one connection, and at times one with retries."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        rng = run.rng
        own = random.Random(f"{run.seed} client {number}")
        self.options: dict[str, Any] = {
            "protocol": run.revision if rng.random() < 0.8 else "auto",
            "transports": rng.choice(
                [("polling", "websocket"), ("websocket",), ("polling",), ("websocket", "polling")]
            ),
            "reconnection_delay": rng.choice([0.1, 1]),
            "timeout": 5,
            "random": own.random,
            "random_bytes": own.randbytes,
            "limits": Limits(
                max_running_handlers=rng.choice([1, 2, 64]),
                high_water=rng.choice([100, 65_536]),
                keep_alive_timeout=rng.choice([0.5, 20]),
            ),
        }
        self.client = Client(**self.options)
        self.client.on_error(self.failed)
        self.driver: AppClient = run.server.attach(self.client)
        if run.fragile and rng.random() < 0.3:
            self.driver.script = self.script
        self.retried = Retried()
        run.history.retried.append(self.retried)
        self.retrying: ClientSocket | None = None
        self.tracks = [Track(self, name) for name in rng.choice([NAMESPACES[:1], NAMESPACES])]

    def script(self, dial: Dial) -> None:
        rng = random.Random(f"{self.run.seed} dial {self.number} {dial.number}")
        dial.delay = rng.choice([0, 0, 0.2, 2])
        if rng.random() < 0.1:
            dial.refusal = "refused by the schedule"
        dial.swallowed = rng.random() < 0.05

    def failed(self, error: Exception, subject: object, name: str) -> None:
        self.run.errors.append(error)

    def disturbed(self) -> None:
        for track in self.tracks:
            track.disturbed = True

    def tell(self) -> None:
        self.run.rng.choice(self.tracks).tell()

    def retry(self) -> None:
        if self.retrying is None:
            self.retrying = self.client.socket(URL + "/", force_new=True, retries=3, ack_timeout=1.5)
        number = next(self.run.numbers)
        self.retried.sent.append(number)
        self.driver.start(self._retried(number, self.retrying.emit("retried", self.number, number)))

    async def _retried(self, number: int, outcome: Any) -> None:
        try:
            await outcome
        except (AckTimeout, Disconnected):
            self.retried.log.append(("failed", number))
        else:
            self.retried.log.append(("acknowledged", number))

    def disturb(self) -> None:
        rng = self.run.rng
        self.disturbed()
        links = self.driver.links
        choice = rng.random()
        if choice < 0.15:
            self.driver.suspend(rng.choice([1, 30, 600]))
        elif choice < 0.25:
            self.driver.block(rng.choice([1, 30]))
        elif not links:
            return
        elif choice < 0.5:
            rng.choice(links).cut()
        elif choice < 0.6:
            rng.choice(links).end()
        elif choice < 0.75:
            rng.choice(rng.choice(links).pipes).stall()
        elif choice < 0.9:
            rng.choice(links).stall()
        else:
            self.driver.cut()

    def come_or_go(self) -> None:
        self.run.rng.choice(self.tracks).come_or_go()


class Track:
    """One socket of a client."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.run = peer.run
        self.name = name
        self.calls: list[str] = []
        if peer.options["limits"].max_running_handlers == 64:
            # With less, events that wait for their turn may be handled after the disconnect that ends their connection.
            self.run.history.calls.append(self.calls)
        self.lives: list[ServerLife] = []
        self.segment: Segment | None = None
        #: What waits for the next connection.
        self.kept: list[int] = []
        #: Those that it had on this server.
        self.ids: set[str] = set()
        self.disturbed = False
        # With Socket.IO 2 the server enters its client in "/" unasked, and emits to it while nobody wants that here.
        self.may_miss_the_beginning = False
        self.socket: ClientSocket = peer.client.socket(URL + name)
        self.register()

    def register(self) -> None:
        socket, rng, history = self.socket, self.run.rng, self.run.history

        @socket.on("connect")
        def connect() -> None:
            self.calls.append("connect")
            self.segment = Segment(self.kept)
            history.segments.append(self.segment)
            self.kept = []
            # What waits for its turn on the server is dropped when the client goes.
            self.disturbed = self.run.fragile or self.run.options["limits"].max_running_handlers < 64
            if not self.run.recovers or not socket.recovered:
                self.ids.clear()
            if socket.id is None:
                # Lost again in the same read: the disconnect is told next.
                return
            self.ids.add(socket.id)
            self.lives.append(self.run.lives[socket.id])

        @socket.on("disconnect")
        def disconnect(reason: str, detail: str) -> None:
            self.calls.append(reason)
            assert self.segment is not None
            self.segment.complete = reason == "io client disconnect" and not self.disturbed
            self.segment = None
            if reason.startswith("io "):
                self.ids.clear()

        @socket.on("tell")
        async def tell(number: int, data: bytes) -> None:
            self.calls.append("event")
            assert data == attachment_of(number)
            for life in reversed(self.lives):
                if number in life.sent:
                    life.received.append(number)
                    break
            else:
                raise AssertionError(f"{number} was for somebody else")
            if rng.random() < 0.2:
                await self.run.clock.sleep(rng.uniform(0, 0.2))

        @socket.on("question")
        async def question(value: int) -> int:
            if rng.random() < 0.3:
                await self.run.clock.sleep(rng.choice([0.1, 1]))
            return value

    def tell(self) -> None:
        number = next(self.run.numbers)
        data = attachment_of(number)
        rng = self.run.rng
        link = self.socket.link
        goes_now = self.socket.connected and self.segment is not None and link is not None and not link.expired
        choice = rng.random()
        if choice < 0.15:
            if goes_now:
                self.run.history.volatile.add(number)
                self._sent(number)
            self.socket.volatile.emit("tell", number, data)
            return
        if goes_now:
            self._sent(number)
        else:
            self.kept.append(number)
        if choice < 0.6:
            self.socket.emit("tell", number, data)
        else:
            timeout = rng.choice([0.05, 2, None])
            question = Question()
            self.run.history.questions.append(question)
            self.peer.driver.start(self._ask(number, question, data, timeout, kept=not goes_now))

    async def _ask(self, number: int, question: Question, data: bytes, timeout: float | None, *, kept: bool) -> None:
        try:
            answer = await self.socket.emit_with_ack("tell", number, data, timeout=timeout)
        except AckTimeout:
            question.outcomes.append("timeout")
        except Disconnected:
            question.outcomes.append("disconnected")
        else:
            assert answer == number
            question.outcomes.append("answer")
            self.run.history.answered.append(number)
            kept = False
        if kept:
            # It may have been taken back.
            self.run.history.volatile.add(number)

    def _sent(self, number: int) -> None:
        assert self.segment is not None
        self.segment.sent.append(number)

    def come_or_go(self) -> None:
        self.may_miss_the_beginning = self.run.revision == 3 and self.name == "/"
        if not self.socket.active:
            self.socket.connect()
        elif self.run.rng.random() < 0.5:
            self.socket.disconnect()
        else:
            io = self.run.server.app
            assert isinstance(io, Server)
            # What is on its way then is dropped.
            self.peer.disturbed()
            if self.socket.id is not None:
                for socket in io.of(self.name).local_sockets():
                    if socket.id == self.socket.id:
                        socket.disconnect(close=self.run.rng.random() < 0.5)

    def rest(self) -> None:
        """Everything has come to rest."""
        assert self.socket.connected is self.socket.active, "has not come back"
        if self.may_miss_the_beginning:
            for life in self.lives:
                if life.received:
                    del life.sent[: life.sent.index(life.received[0])]
        if self.socket.connected:
            assert self.segment is not None
            assert self.socket.id is not None
            self.segment.complete = True
            self.lives[-1].complete = not self.may_miss_the_beginning
