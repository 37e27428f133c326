"""The answers to a broadcast one by one: ``async for answer in io.emit_with_ack(...)``."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raw_client import assert_nothing_left
from siocore import AckTimeout, LocalProtocolError, Server, Socket
from siocore.testing import ReceivedEvent, TestClient, TestServer


class Vote:
    """Clients that answer when they are told to, and a handler that collects."""

    def __init__(self, count: int, collect: Callable[[Vote], Awaitable[None]]) -> None:
        self.io = Server()
        self.server = TestServer(self.io)
        self.collected: list[Any] = []
        self.asked: dict[int, ReceivedEvent] = {}
        self.clients = [self._client(number) for number in range(count)]
        self.starter = TestClient(self.server)
        self.starter.connect()

        @self.io.on("go")
        async def go(socket: Socket) -> None:
            await collect(self)

        self.starter.emit("go")
        self.server.settle()

    def _client(self, number: int) -> TestClient:
        client = TestClient(self.server)
        client.connect()

        def keep(event: ReceivedEvent) -> None:
            self.asked[number] = event

        client.on_event = keep
        self.io.sockets.sockets[client.id].join("voters")
        return client

    def answer(self, number: int, *values: object) -> None:
        self.clients[number].ack(self.asked[number], *values)
        self.server.settle()


async def collect_all(vote: Vote) -> None:
    try:
        async for answer in vote.io.to("voters").timeout(5).emit_with_ack("vote"):
            vote.collected.append(answer)
        vote.collected.append("complete")
    except AckTimeout as error:
        vote.collected.append(("timeout", error.responses))


def test_each_answer_is_there_when_it_arrives() -> None:
    vote = Vote(3, collect_all)
    assert vote.collected == []
    for number in (2, 0, 1):
        vote.answer(number, number)
        assert vote.collected[-1] == (number if number != 1 else "complete")
    assert vote.collected == [2, 0, 1, "complete"]
    assert len(vote.asked) == 3


def test_answers_are_none_one_value_or_a_tuple_and_may_come_together() -> None:
    vote = Vote(3, collect_all)
    for number, values in enumerate([(), ([1], 2), (b"x",)]):
        vote.clients[number].ack(vote.asked[number], *values)
    vote.server.settle()
    assert vote.collected == [None, ([1], 2), b"x", "complete"]


def test_the_loop_ends_when_all_have_answered_or_gone() -> None:
    vote = Vote(3, collect_all)
    vote.answer(1, "yes")
    vote.clients[0].engine.cut()
    vote.server.settle()
    assert vote.collected == ["yes"]
    vote.io.in_(vote.clients[2].id).disconnect_sockets()
    vote.server.settle()
    assert vote.collected == ["yes", "complete"]


def test_nobody_to_ask_is_an_empty_loop() -> None:
    vote = Vote(0, collect_all)
    assert vote.collected == ["complete"]
    assert vote.server.running == 0


def test_when_the_time_is_up_the_loop_raises_with_what_came() -> None:
    vote = Vote(3, collect_all)
    vote.answer(1, "yes")
    vote.server.advance(4.9)
    assert vote.collected == ["yes"]
    vote.server.advance(0.1)
    assert vote.collected == ["yes", ("timeout", ["yes"])]
    vote.answer(0, "late")
    assert len(vote.collected) == 2


def test_answers_that_came_in_time_are_handed_out_before_the_timeout_is_raised() -> None:
    async def collect(vote: Vote) -> None:
        pending = vote.io.to("voters").timeout(5).emit_with_ack("vote")
        await vote.server.clock.sleep(10)
        try:
            async for answer in pending:
                vote.collected.append(answer)
        except AckTimeout as error:
            vote.collected.append(error.responses)

    vote = Vote(2, collect)
    vote.answer(0, "yes")
    vote.server.advance(10)
    assert vote.collected == ["yes", ["yes"]]


@pytest.mark.parametrize("how", ["break", "raise", "cancel"])
def test_whoever_leaves_the_loop_leaves_nothing_behind(how: str) -> None:
    async def collect(vote: Vote) -> None:
        async for answer in vote.io.to("voters").timeout(50).emit_with_ack("vote"):
            vote.collected.append(answer)
            if how == "break":
                break
            if how == "raise":
                with contextlib.suppress(ValueError):
                    raise ValueError
                return

    gc.collect()
    gc.disable()
    try:
        vote = Vote(3, collect)
        timers = len(vote.server.protocol.timers) - 1
        vote.answer(1, "yes")
        if how == "cancel":
            (task,) = vote.server._tasks
            task.coroutine.close()
        assert vote.collected == ["yes"]
        assert all(socket.pending_acks == {} for socket in vote.io.local_sockets())
        assert len(vote.server.protocol.timers) == timers
    finally:
        gc.enable()
    vote.answer(0, "late")
    assert vote.collected == ["yes"]
    vote.server.protocol.abort(now=vote.server.clock.now)
    vote.server.settle()
    vote.server._tasks.clear()
    assert_nothing_left(vote.server)


def test_the_list_of_all_can_be_awaited_after_some_were_taken() -> None:
    async def collect(vote: Vote) -> None:
        pending = vote.io.to("voters").emit_with_ack("vote")
        answers = pending.__aiter__()
        vote.collected.append(await answers.__anext__())
        vote.collected.append(await pending)

    vote = Vote(2, collect)
    vote.answer(1, "first")
    vote.answer(0, "second")
    assert vote.collected == ["first", ["first", "second"]]


def test_two_can_not_wait_for_the_same_answers() -> None:
    async def collect(vote: Vote) -> None:
        if not hasattr(vote, "pending"):
            vote.pending = vote.io.to("voters").emit_with_ack("vote")  # type: ignore[attr-defined]
        try:
            vote.collected.append(await vote.pending)  # type: ignore[attr-defined]
        except LocalProtocolError as error:
            vote.collected.append(str(error))

    vote = Vote(1, collect)
    vote.starter.emit("go")
    vote.server.settle()
    vote.answer(0, "yes")
    assert vote.collected == ["somebody awaits this acknowledgement already", ["yes"]]


def test_a_wait_that_was_given_up_leaves_nothing_behind() -> None:
    async def collect(vote: Vote) -> None:
        vote.io.to("voters").emit_with_ack("vote").cancel()

    vote = Vote(2, collect)
    assert all(socket.pending_acks == {} for socket in vote.io.local_sockets())
