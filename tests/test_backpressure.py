"""The policies for clients that take less than is sent to them: who waits, what is dropped, what the bound is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from raw_client import EngineApp, RawPolling, SocketApp
from siocore import Delayed, Limits, Server, ServerOptions, SlowConsumer, Socket
from siocore.testing import TestClient

LIMIT = 10_000
TRANSPORTS = ["websocket", "polling", "base64"]
WAYS = ["unicast", "broadcast"]


class Stuck:
    """A server, and a client of it that takes nothing until it is told to; one event has 1,000 bytes and a number."""

    def __init__(
        self, transport: str, policy: str = "close", *, way: str = "unicast", on: str = "server", **options: Any
    ) -> None:
        limits = Limits(max_buffered=LIMIT, high_water=2_000)
        self.app = SocketApp(limits=limits, slow_consumer=policy if on == "server" else "close", **options)
        self.slow: list[SlowConsumer] = []
        self.app.app.on("slow_consumer")(lambda socket, info: self.slow.append(info))
        self.server = self.app.server
        query = [("b64", "1")] if transport == "base64" else []
        self.client = TestClient(self.server, "polling" if transport == "polling" else "websocket", query=query)
        self.client.connect()
        self.server.settle()
        (self.socket,) = self.app.app.local_sockets()
        # Starts handlers: what the slow client sends may wait behind what it does not take.
        self.starter = TestClient(self.server)
        self.app.app.of("/start")
        self.starter.connect("/start")
        self.policy = policy
        self.way = way
        self.on = on
        self.polling = transport == "polling"
        self.number = 0
        self.worst = 0
        self.stick()

    def stick(self) -> None:
        for link in self.client.engine.links:
            link.to_client.window = 0
            link.to_client.stall()

    def release(self) -> None:
        for link in self.client.engine.links:
            link.to_client.window = float("inf")
            link.to_client.resume()
        self.server.advance(1)

    def target(self) -> Any:
        target: Any = self.app.app if self.way == "broadcast" else self.socket
        return target.when_full(self.policy) if self.on == "emit" else target

    def emit(self, *, volatile: bool = False) -> Any:
        """Emit the next event; returns what is to be awaited."""
        target = self.target()
        if volatile:
            target = target.volatile
        sent = target.emit("news", self.number, b"x" * 500, "x" * 250)
        self.number += 1
        self.server.settle()
        self.worst = max(self.worst, self.waiting)
        return sent

    def run(self, awaitable: Any) -> Callable[[], bool]:
        """Await it in a handler; tells whether that is over."""
        done: list[bool] = []

        async def handler(socket: Socket) -> None:
            await awaitable
            done.append(True)

        name = f"run {id(done)}"
        self.app.app.of("/start").on(name)(handler)
        self.starter.emit(name, namespace="/start")
        self.server.settle()
        return lambda: bool(done)

    @property
    def waiting(self) -> int:
        """Every byte that the server holds for this client."""
        session: Any = self.socket.link
        connections: Any = self.server.protocol.connections
        held = sum(connection.buffered for connection in connections)
        return int(held + (sum(message.size for message in session._outbox) if session.open else 0))

    @property
    def numbers(self) -> list[int]:
        return [event.args[0] for event in self.client.events]

    @property
    def reasons(self) -> list[str]:
        return [event[1] for event in self.app.events if event[0] == "disconnect"]


def both(test: Any) -> Any:
    """On each transport, to one client and to all, asked for by the server or by each emit."""
    test = pytest.mark.parametrize("on", ["server", "emit"])(test)
    test = pytest.mark.parametrize("way", WAYS)(test)
    return pytest.mark.parametrize("transport", TRANSPORTS)(test)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_close_ends_the_client(transport: str, way: str) -> None:
    stuck = Stuck(transport, way=way)
    while stuck.socket.connected:
        stuck.emit()
    assert stuck.reasons == ["slow consumer"]
    assert stuck.worst <= LIMIT + 1_400
    (info,) = stuck.slow
    assert info.policy == "close"
    assert LIMIT < info.buffered <= LIMIT + 1_400
    assert info.dropped == 0


@both
def test_drop_oldest_keeps_the_latest_in_order_and_the_client(transport: str, way: str, on: str) -> None:
    stuck = Stuck(transport, "drop_oldest", way=way, on=on)
    for _ in range(200):
        stuck.emit()
    assert stuck.worst <= LIMIT + 1_400
    assert stuck.socket.connected
    assert stuck.socket.dropped_events > 150
    assert [(info.policy, info.dropped) for info in stuck.slow] == [("drop_oldest", 0)]
    stuck.release()
    numbers = stuck.numbers
    assert numbers == sorted(set(numbers))
    # The first ones had begun to leave, the last ones are the latest.
    assert numbers[0] == 0
    assert numbers[-5:] == list(range(195, 200))
    assert len(numbers) == 200 - stuck.socket.dropped_events
    assert all(event.args[1:] == [b"x" * 500, "x" * 250] for event in stuck.client.events)
    stuck.emit()
    assert stuck.numbers[-1] == 200


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_only_events_that_may_be_dropped_are(transport: str) -> None:
    stuck = Stuck(transport, "drop_oldest", on="emit")
    socket = stuck.socket
    for number in range(30):
        stuck.emit()
        if number % 10 == 0:
            socket.emit("kept", number)
            socket.acknowledge(number, ("an answer",))
            stuck.app.app.of(f"/other{number}")
            stuck.client.join(f"/other{number}")
    answers = [socket.emit_with_ack("question", "x" * 500) for _ in range(3)]
    for _ in range(100):
        stuck.emit()
    assert stuck.worst <= LIMIT + 1_400
    got: list[tuple[Any, ...]] = []
    stuck.client._acks.update({("/", number): lambda *values: got.append(values) for number in (0, 10, 20)})
    stuck.release()
    events = stuck.client.events
    assert [event.args[0] for event in events if event.name == "kept"] == [0, 10, 20]
    assert got == [("an answer",)] * 3
    assert set(stuck.client.ids) == {"/", "/other0", "/other10", "/other20"}
    for event in events:
        if event.name == "question":
            stuck.client.ack(event, "yes")
    stuck.server.settle()
    assert [answer.result() for answer in answers] == ["yes"] * 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_where_nothing_can_be_dropped_the_new_event_is(transport: str) -> None:
    stuck = Stuck(transport, "drop_oldest", on="emit")
    for _ in range(8):
        stuck.socket.emit("kept", "x" * 1_200)
    for _ in range(6):
        stuck.emit()
    assert stuck.socket.connected
    assert stuck.socket.dropped_events >= 4
    # What must not be dropped closes.
    while stuck.socket.connected:
        stuck.socket.emit("kept", "x" * 1_200)
    stuck.server.settle()
    assert stuck.reasons == ["slow consumer"]


@both
def test_drop_volatile_lets_volatile_events_wait_while_there_is_room(transport: str, way: str, on: str) -> None:
    stuck = Stuck(transport, "drop_volatile", way=way, on=on)
    for _ in range(100):
        stuck.emit(volatile=True)
    assert stuck.socket.connected
    assert stuck.worst <= LIMIT + 1_400
    assert stuck.socket.dropped_events > 80
    assert [info.policy for info in stuck.slow] == ["drop_volatile"]
    dropped = stuck.socket.dropped_events
    stuck.release()
    assert stuck.numbers == list(range(100 - dropped))
    stuck.stick()
    while stuck.socket.connected:
        stuck.emit()
    assert stuck.reasons == ["slow consumer"]


@both
def test_wait_holds_the_event_until_there_is_room(transport: str, way: str, on: str) -> None:
    stuck = Stuck(transport, "wait", way=way, on=on)
    sent = [stuck.emit() for _ in range(5)]
    assert not any(isinstance(each, Delayed) for each in sent)
    while not isinstance(sent[-1], Delayed):
        sent.append(stuck.emit())
    sent += [stuck.emit() for _ in range(5)]
    assert all(isinstance(each, Delayed) for each in sent[-6:])
    assert stuck.worst <= LIMIT
    runs = [stuck.run(each) for each in sent[-6:]]
    # They are sent in the order in which they are awaited.
    assert not any(run() for run in runs)
    assert [info.policy for info in stuck.slow] == ["wait"]
    stuck.release()
    assert all(run() for run in runs)
    assert stuck.numbers == list(range(stuck.number))
    assert stuck.worst <= LIMIT
    assert stuck.socket.dropped_events == 0
    assert not isinstance(stuck.emit(), Delayed)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_later_events_do_not_overtake_those_that_are_awaited(transport: str) -> None:
    stuck = Stuck(transport, "wait")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    run = stuck.run(delayed)
    small = stuck.socket.emit("small")
    assert isinstance(small, Delayed)
    behind = stuck.run(small)
    stuck.release()
    assert run()
    assert behind()
    assert [event.name for event in stuck.client.events][-2:] == ["news", "small"]


def test_room_is_for_those_that_wait_first_even_before_they_have_noticed() -> None:
    stuck = Stuck("websocket", "wait")
    while not isinstance(first := stuck.emit(), Delayed):
        pass
    before = stuck.number
    second = stuck.socket.emit("second")
    assert isinstance(second, Delayed)
    waiting = first.__await__()
    next(waiting)
    # Now there is room, and nobody has resumed the first one.
    stuck.release()
    assert stuck.numbers == list(range(before - 1))
    run = stuck.run(second)
    third = stuck.socket.emit("third")
    assert isinstance(third, Delayed)
    assert not run()
    with pytest.raises(StopIteration):
        next(waiting)
    stuck.server.settle()
    assert run()
    assert stuck.run(third)()
    assert [event.name for event in stuck.client.events][-3:] == ["news", "second", "third"]


def test_the_heartbeat_goes_on_where_nothing_can_be_dropped_for_it() -> None:
    stuck = Stuck("websocket", "drop_oldest", on="emit")
    for _ in range(9):
        stuck.socket.emit("kept", "x" * 1_200)
    stuck.emit()
    assert stuck.waiting > LIMIT
    stuck.server.advance(30)
    assert stuck.socket.connected
    stuck.release()
    stuck.server.advance(60)
    assert stuck.socket.connected


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", ["cut", "server"])
def test_the_wait_ends_when_the_client_goes(transport: str, end: str) -> None:
    stuck = Stuck(transport, "wait")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    run = stuck.run(delayed)
    assert not run()
    if end == "cut":
        stuck.client.engine.cut()
    else:
        stuck.socket.disconnect(close=True)
    stuck.server.settle()
    assert run()
    assert stuck.server.running == 0


def test_a_wait_that_is_given_up_takes_the_event_back() -> None:
    stuck = Stuck("websocket", "wait")
    while not isinstance(first := stuck.emit(), Delayed):
        pass
    given_up = stuck.number - 1
    second = stuck.emit()
    waiting = first.__await__()
    next(waiting)
    run = stuck.run(second)
    waiting.close()
    stuck.release()
    assert run()
    assert stuck.numbers == [number for number in range(stuck.number) if number != given_up]


def test_an_event_that_is_never_awaited_is_dropped_counted_and_warned_of() -> None:
    stuck = Stuck("websocket", "wait")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    with pytest.warns(RuntimeWarning, match="must be awaited"):
        del delayed
    assert stuck.socket.dropped_events == 1
    stuck.release()
    assert stuck.numbers == list(range(stuck.number - 1))


def test_a_second_await_sends_nothing() -> None:
    stuck = Stuck("websocket", "wait")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    run = stuck.run(delayed)
    stuck.release()
    assert run()
    assert stuck.run(delayed)()
    assert stuck.numbers == list(range(stuck.number))


def test_a_broadcast_reaches_those_with_room_at_once_and_waits_for_the_rest() -> None:
    stuck = Stuck("websocket", "wait", way="broadcast")
    other = TestClient(stuck.server)
    other.connect()
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    assert [event.args[0] for event in other.events] == list(range(stuck.number))
    run = stuck.run(delayed)
    assert not run()
    stuck.release()
    assert run()
    assert stuck.numbers == [event.args[0] for event in other.events] == list(range(stuck.number))


def test_acknowledgements_find_room_beside_events_that_wait() -> None:
    stuck = Stuck("websocket", "wait")
    stuck.app.app.on("ask")(lambda socket: "answer")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    run = stuck.run(delayed)
    answers: list[object] = []
    for _ in range(50):
        stuck.client.emit("ask", ack=answers.append)
    stuck.server.settle()
    assert stuck.socket.connected
    stuck.release()
    assert answers == ["answer"] * 50
    assert run()


def test_the_heartbeat_goes_on_though_there_is_no_room() -> None:
    stuck = Stuck("websocket", "wait")
    while not isinstance(delayed := stuck.emit(), Delayed):
        pass
    run = stuck.run(delayed)
    stuck.server.advance(30)
    assert stuck.socket.connected
    stuck.release()
    stuck.server.advance(60)
    assert stuck.socket.connected
    assert run()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_slow_consumer_is_told_once_until_little_waits_again(transport: str) -> None:
    stuck = Stuck(transport, "drop_oldest")
    for episode in range(1, 4):
        for _ in range(30):
            stuck.emit()
        assert len(stuck.slow) == episode
        assert stuck.slow[-1].buffered <= LIMIT + 1_400
        stuck.release()
        stuck.emit()
        stuck.stick()
    assert [info.dropped for info in stuck.slow] == sorted(info.dropped for info in stuck.slow)
    assert stuck.slow[0].dropped == 0 < stuck.slow[1].dropped


def test_every_socket_of_a_slow_client_is_told() -> None:
    app = SocketApp(limits=Limits(max_buffered=LIMIT, high_water=2_000), slow_consumer="drop_oldest")
    told: list[str] = []
    for name in ("/", "/a"):
        app.app.of(name).on("slow_consumer")(lambda socket, info: told.append(socket.namespace.name))
    client = TestClient(app.server)
    client.connect()
    client.connect("/a")
    client.engine.links[0].to_client.window = 0
    client.engine.links[0].to_client.stall()
    for _ in range(30):
        app.app.emit("news", "x" * 1_000)
        app.server.settle()
    assert told == ["/", "/a"]


def test_handlers_of_the_socket_itself_are_told_too() -> None:
    stuck = Stuck("websocket", "drop_oldest")
    told: list[SlowConsumer] = []
    stuck.socket.on("slow_consumer")(told.append)
    for _ in range(30):
        stuck.emit()
    assert told == stuck.slow != []


@pytest.mark.parametrize("policy", ["close", "wait", "drop_volatile", "drop_oldest"])
def test_a_close_from_our_side_still_delivers_what_waits(policy: str) -> None:
    stuck = Stuck("websocket", policy)
    for _ in range(6):
        stuck.emit()
    stuck.socket.disconnect(close=True)
    stuck.server.settle()
    stuck.release()
    assert stuck.numbers == list(range(6))
    assert stuck.reasons == ["server namespace disconnect"]


@pytest.mark.parametrize("policy", ["wait", "drop_oldest"])
def test_what_waits_for_a_poll_goes_through_the_upgrade(policy: str) -> None:
    app = SocketApp(limits=Limits(max_buffered=LIMIT, high_water=2_000), slow_consumer=policy)
    polling = RawPolling(app.server)
    polling.post(b"40")
    polling.get()
    for number in range(8):
        app.app.emit("news", number, "x" * 1_000)
    websocket = polling.websocket()
    websocket.send("2probe")
    assert [message[:12] for message in websocket.send("5") if isinstance(message, str)] == [
        "3probe"[:12],
        *[f'42["news",{number},'[:12] for number in range(8)],
    ][1:]


def test_engine_io_alone_has_the_policies_of_its_server() -> None:
    engine = EngineApp(limits=Limits(max_buffered=LIMIT, high_water=2_000), slow_consumer="drop_oldest")
    slow: list[SlowConsumer] = []
    engine.app.on("slow_consumer")(lambda session, info: slow.append(info))
    polling = RawPolling(engine.server)
    (session,) = engine.opened
    for number in range(100):
        session.send(f"{number:04}" + "x" * 1_000)
        session.send(b"x")
    engine.server.settle()
    assert session.dropped > 150
    assert [info.policy for info in slow] == ["drop_oldest"]
    answer = polling.get()
    assert answer is not None
    assert b"\x1e40099x" in answer.body
    assert len(answer.body) <= LIMIT + 1_100


def test_empty_messages_count_as_well() -> None:
    engine = EngineApp(limits=Limits(max_buffered=LIMIT))
    RawPolling(engine.server)
    (session,) = engine.opened
    for _ in range(LIMIT):
        session.send("")
        session.send(b"")
    engine.server.settle()
    assert engine.closed == ["slow consumer"]


def test_the_answer_that_the_network_has_not_taken_counts() -> None:
    stuck = Stuck("polling", "drop_oldest")
    for _ in range(30):
        stuck.emit()
    assert stuck.worst <= LIMIT + 1_400


@pytest.mark.parametrize("policy", ["", "drop", None, 1])
def test_a_policy_that_there_is_not_is_a_mistake(policy: Any) -> None:
    with pytest.raises(ValueError, match="a policy for slow clients is one of 'close', 'wait', 'drop_volatile'"):
        ServerOptions(slow_consumer=policy)
    with pytest.raises(ValueError, match="a policy for slow clients"):
        Server().when_full(policy)


@pytest.mark.parametrize("seed", range(24))
def test_random_stalls_never_reorder_tear_or_exceed(seed: int) -> None:
    """Whatever is dropped, what arrives is whole, in order and once, and all of it that may not be dropped."""
    dice = random.Random(seed)
    policy = dice.choice(["wait", "drop_oldest", "drop_volatile"])
    stuck = Stuck(dice.choice(TRANSPORTS), policy, way=dice.choice(WAYS), on=dice.choice(["server", "emit"]))
    links = stuck.client.engine.links
    awaited: list[int] = []
    unawaited = 0
    for _ in range(300):
        step = dice.random()
        if step < 0.1:
            for link in links:
                link.to_client.window = dice.choice([0, 1, 100, 3_000])
                link.to_client.segment = dice.choice([None, 1_000, 7_777])
                link.to_client.resume()
            stuck.server.settle()
        elif step < 0.2:
            stuck.stick()
        elif step < 0.25:
            stuck.release()
        else:
            if policy == "drop_volatile" and stuck.waiting > LIMIT - 2_000:
                number = stuck.number
                stuck.emit(volatile=True)
                continue
            number = stuck.number
            sent = stuck.emit()
            if isinstance(sent, Delayed):
                stuck.run(sent)
            awaited.append(number)
    stuck.release()
    stuck.release()
    assert stuck.reasons == []
    assert stuck.worst <= LIMIT + 1_400
    numbers = stuck.numbers
    assert numbers == sorted(set(numbers))
    assert all(event.args[1:] == [b"x" * 500, "x" * 250] for event in stuck.client.events)
    assert len(numbers) == stuck.number - stuck.socket.dropped_events - unawaited
    if policy == "wait":
        assert numbers == list(range(stuck.number))
    elif policy == "drop_volatile":
        assert set(awaited) <= set(numbers)
