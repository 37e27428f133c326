"""The upgrade from long-polling to WebSocket: nothing is lost, duplicated or reordered, whatever happens when."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket
from siocore.testing import EngineClient, Link, TestServer
from siocore.testing.wire import TEXT, Response, masked_frame, request_bytes


def body(polling: RawPolling) -> bytes | None:
    """The body of the next answer to a GET, if there is one."""
    answer = polling.gets.answer()
    assert answer is None or answer.status == 200
    return None if answer is None else answer.body


def test_the_steps_of_an_upgrade() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    polling.get()
    websocket = polling.websocket()
    assert body(polling) is None
    assert websocket.send("2probe") == ["3probe"]
    assert body(polling) == b"6"
    assert engine.opened[0].transport == "polling"
    assert websocket.send("5") == []
    assert engine.opened[0].transport == "websocket"
    engine.opened[0].send("a")
    engine.server.settle()
    assert websocket.take() == ["4a"]
    websocket.send("4b", b"c")
    assert engine.messages == ["b", b"c"]


def test_a_get_that_comes_during_the_probe_is_released_within_100_ms() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe")
    polling.get()
    engine.server.advance(0.1)
    assert body(polling) == b"6"
    polling.get()
    engine.server.advance(0.1)
    assert body(polling) == b"6"


def test_messages_still_leave_by_polling_until_the_upgrade_packet() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe")
    engine.opened[0].send("a")
    answer = polling.get()
    assert answer is not None
    assert answer.body == b"4a"
    engine.opened[0].send("b")
    engine.server.settle()
    assert websocket.take() == []
    assert websocket.send("5") == ["4b"]


def test_a_get_that_is_parked_at_the_upgrade_packet_is_released() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe")
    polling.get()
    websocket.send("5")
    assert body(polling) == b"6"
    engine.opened[0].send("a")
    engine.server.settle()
    assert websocket.take() == ["4a"]


def test_a_post_in_flight_at_the_upgrade_packet_is_refused_not_reordered() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe")
    polling.posts.send(request_bytes("POST", polling.target, [("Content-Length", "6")]) + b"4ea")
    websocket.send("5", "4later")
    answer = polling.posts.send(b"rly")
    assert answer is not None
    assert answer.status == 400
    assert engine.messages == ["later"]
    assert engine.opened[0].open


def test_the_upgrade_is_over_after_its_timeout_and_polling_goes_on() -> None:
    engine = EngineApp(upgrade_timeout=10)
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe")
    engine.server.advance(9.9)
    assert websocket.close_code is None
    engine.server.advance(0.1)
    assert websocket.close_code == 1000
    assert websocket.send("5", "4x") == []
    assert engine.opened[0].transport == "polling"
    assert engine.messages == []
    assert engine.closed == []
    polling.get()
    engine.server.advance(5)
    assert body(polling) is None
    second = polling.upgrade()
    second.send("4by the second")
    assert engine.messages == ["by the second"]


def test_a_second_candidate_is_refused_and_the_first_goes_on() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    first = polling.websocket()
    second = polling.websocket()
    assert second.response is not None
    assert second.response.status == 400
    assert second.response.body.startswith(b"Bad request: The session has a WebSocket already")
    assert first.send("2probe") == ["3probe"]
    third = polling.websocket()
    assert third.response is not None
    assert third.response.status == 400
    first.send("5", "4x")
    assert engine.messages == ["x"]
    assert polling.websocket().ended


@pytest.mark.parametrize("word", ["5", "4x", "2", "2probe2", "3probe", "", "1", b"binary"])
def test_a_candidate_that_talks_out_of_turn_is_dropped_without_harm(word: str | bytes) -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send(word)
    assert websocket.close_code == 1000
    websocket.send("2probe", "5", "4late")
    assert engine.messages == []
    assert engine.closed == []
    second = polling.upgrade()
    second.send("4x")
    assert engine.messages == ["x"]


def test_what_follows_the_upgrade_packet_in_the_same_segment_is_delivered() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = polling.websocket()
    websocket.send("2probe", "5", "4a", b"b", "4c")
    assert engine.messages == ["a", b"b", "c"]


def test_the_probe_may_share_a_segment_with_the_request_for_the_upgrade() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    websocket = RawWebSocket(
        engine.server,
        f"&sid={polling.sid}",
        trailing=masked_frame(TEXT, b"2probe") + masked_frame(TEXT, b"5") + masked_frame(TEXT, b"4x"),
    )
    assert websocket.take() == ["3probe"]
    assert engine.messages == ["x"]


def test_a_closed_session_takes_no_candidate() -> None:
    engine = EngineApp()
    polling = RawPolling(engine.server)
    engine.opened[0].close()
    assert polling.websocket().ended
    polling.get()
    response = polling.websocket().response
    assert response is not None
    assert response.body.startswith(b"Session ID unknown: ")


# Every order of what can happen --------------------------------------------------------------------------------


def merges(sequences: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, ...]]:
    """Every order of all steps that keeps the order within each sequence."""
    if not any(sequences):
        yield ()
    for index, sequence in enumerate(sequences):
        if sequence:
            rest = (*sequences[:index], sequence[1:], *sequences[index + 1 :])
            for tail in merges(rest):
                yield (sequence[0], *tail)


class Play:
    """A session, and the steps of which schedules are made."""

    def __init__(self) -> None:
        self.engine = EngineApp()
        self.server = self.engine.server
        self.polling = RawPolling(self.server)
        self.session = self.engine.opened[0]
        self.websocket: RawWebSocket | None = None
        self.received: list[str | bytes] = []
        self.sent = 0
        self.answer: Response | None = None
        self.refused = False

    def collect(self) -> None:
        """Take what has arrived from the server, in the order of arrival."""
        while (answer := self.polling.gets.answer()) is not None:
            if answer.status == 200:
                self.received += [packet for packet in answer.body.decode().split("\x1e") if packet != "6"]
        if self.websocket is not None:
            self.received += [message for message in self.websocket.take() if message != "3probe"]

    def step(self, name: str) -> None:
        steps: dict[str, Callable[[], object]] = {
            "open": self.open,
            "probe": lambda: self.the_websocket.stream.write(masked_frame(TEXT, b"2probe")),
            "upgrade": lambda: self.the_websocket.stream.write(masked_frame(TEXT, b"5")),
            "die": lambda: self.the_websocket.stream.reset(),
            "emit": self.emit,
            "get": self.get,
            "post begins": self.begin_post,
            "post ends": self.end_post,
            "tick": lambda: self.server.advance(0.1),
            "close": lambda: self.session.close(),
        }
        steps[name]()
        self.server.settle()
        self.collect()

    @property
    def the_websocket(self) -> RawWebSocket:
        assert self.websocket is not None
        return self.websocket

    def open(self) -> None:
        self.websocket = self.polling.websocket()

    def emit(self) -> None:
        self.session.send(str(self.sent))
        self.sent += 1

    def get(self) -> None:
        self.polling.gets.stream.write(request_bytes("GET", self.polling.target))

    def begin_post(self) -> None:
        head = request_bytes("POST", self.polling.target, [("Content-Length", "8")])
        self.answer = self.polling.posts.send(head + b"4by")

    def end_post(self) -> None:
        if self.answer is None:
            self.answer = self.polling.posts.send(b" post")
        assert self.answer is not None
        self.refused = self.answer.status == 400
        assert self.refused == ("by post" not in self.engine.messages)


OTHERS = (("emit", "emit"), ("post begins", "post ends"), ("get",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "websocket",
    [("open", "probe", "upgrade"), ("open", "die"), ("open", "probe", "die"), ("open", "probe", "tick", "die")],
    ids=" ".join,
)
def test_in_every_order_of_steps_nothing_is_lost_duplicated_or_reordered(websocket: tuple[str, ...]) -> None:
    for schedule in merges((websocket, *OTHERS)):
        play = Play()
        for name in schedule:
            play.step(name)
        upgraded = "upgrade" in schedule
        assert play.session.open, schedule
        assert play.session.transport == ("websocket" if upgraded else "polling"), schedule
        if not upgraded and len(play.received) < play.sent:
            play.step("get")
        assert play.received == ["4" + str(number) for number in range(play.sent)], schedule
        # A POST that ends behind the upgrade is refused, and the client knows; delivered, it could overtake.
        assert play.refused == (upgraded and schedule.index("upgrade") < schedule.index("post ends")), schedule


def test_the_session_can_be_closed_at_every_step_and_the_client_is_told() -> None:
    for schedule in merges((("open", "probe", "upgrade"), ("close",), ("emit",), ("get",))):
        play = Play()
        for name in schedule:
            closed = not play.session.open
            if not (closed and name in ("open", "probe", "upgrade", "emit")):
                play.step(name)
        steps = schedule[: schedule.index("close")]
        if "upgrade" in steps:
            assert play.the_websocket.close_code == 1000, schedule
        else:
            # Messages first, and CLOSE in an answer of its own.
            while "1" not in play.received:
                play.step("get")
            assert play.received[-1] == "1", schedule
            if play.websocket is not None:
                assert play.websocket.close_code == 1000, schedule
        assert ("40" in play.received) == ("emit" in steps), schedule
        play.server.settle()
        assert play.engine.closed == ["forced close"], schedule
        play.server.advance(60)
        play.engine.assert_nothing_left()


# Random schedules ----------------------------------------------------------------------------------------------


def run_random_upgrade(seed: int) -> str:
    """A client upgrades on an odd network while both sides send; candidates die and stall at random."""
    rng = random.Random(seed)
    engine = EngineApp(upgrade_timeout=rng.choice([3, 10]))
    server = TestServer(engine.app, batch=rng.random() < 0.5)

    def script(link: Link) -> None:
        for pipe in link.pipes:
            pipe.delay = partial(rng.uniform, 0, rng.choice([0, 0.01, 0.2]))
            pipe.coalesce = rng.random() < 0.5
            if rng.random() < 0.3:
                pipe.segment = lambda: rng.choice([1, 2, 7, 50, 1_000])

    server.network.script = script
    client = EngineClient(server, "upgrade")
    client.open()
    (session,) = engine.opened
    to_client: list[str | bytes] = []
    to_server: list[str | bytes] = []
    for _ in range(rng.randrange(10, 40)):
        choice = rng.random()
        text = f"{len(to_client)} {len(to_server)}" + "x" * rng.choice([0, 0, 200])
        message: str | bytes = text.encode() if rng.random() < 0.2 else text
        if choice < 0.35:
            session.send(message)
            to_client.append(message)
        elif choice < 0.7:
            client.send(message)
            to_server.append(message)
        elif choice < 0.75 and client._candidate is not None:
            # The client has not let go of polling yet: losing the candidate may cost nothing.
            if rng.random() < 0.5:
                client._candidate.stream.link.cut()
            elif not client._upgrading:
                client._candidate.stream.link.stall()
        elif choice < 0.8:
            candidate = RawWebSocket(server, f"&sid={session.sid}")
            candidate.stream.reset()
        else:
            server.advance(rng.choice([0, 0.001, 0.05, 0.3]))
    server.advance(60)
    assert session.open, seed
    assert client.state == "open", seed
    assert list(client.received) == to_client, seed
    assert engine.messages == to_server, seed
    transport = client.transport
    server.close()
    return transport


@pytest.mark.slow
def test_random_upgrades_lose_duplicate_and_reorder_nothing() -> None:
    outcomes = set()
    for seed in range(2_000):
        try:
            outcomes.add(run_random_upgrade(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert outcomes == {"polling", "websocket"}


@pytest.mark.slow
def test_a_cut_at_any_byte_of_the_upgrade_loses_a_suffix_at_most() -> None:
    for cut in range(0, 700, 3):
        engine = EngineApp()
        server = engine.server
        made: list[Link] = []

        def script(link: Link, cut: int = cut, made: list[Link] = made) -> None:
            made.append(link)
            if link.number == 1:
                # GET is the first link, the candidate the second.
                link.to_server.cut_after = cut

        server.network.script = script
        client = EngineClient(server, "upgrade")
        client.start()
        sent: list[str | bytes] = []
        for number in range(40):
            if client.state == "open":
                client.send(str(number))
                sent.append(str(number))
            server.advance(0.01)
        server.advance(100)
        got = engine.messages
        assert got == sent[: len(got)], cut
        if client.state == "open":
            assert got == sent, cut
        assert len(engine.closed) == (client.state != "open"), cut
