"""Servers that share sessions, at random and with bad company."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from raw_client import RawPolling, RawWebSocket
from shared_fleet import (
    Fleet,
    Stranger,
    at_random,
    elsewhere,
    relayed,
)
from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.testing import EngineClient

Message = dict[str, Any]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet(3)
    yield fleet
    fleet.close()


# What others say ----------------------------------------------------------------------------------------------


def test_garbage_is_counted_and_told_of_once(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Stranger(fleet)
    for _ in range(3):
        stranger.publish(b"\xc1")
    stranger.say(0, None)
    stranger.say("0", {})
    stranger.say(0, {"sid": 1})
    stranger.say(2, {"sid": "a", "packets": [{"type": "message", "data": 5}]})
    stranger.say(2, {"sid": "a", "packets": 5})
    stranger.say(3, {"sid": "a", "packet": {"type": ["message"]}})
    stranger.say(4, {"sid": "a", "success": 1})
    stranger.say(5, {"takeOver": None, "packets": []})
    stranger.say(6, {"sid": "a"})
    stranger.say(0, {"sid": "a", "transportName": "polling", "type": "read"}, requestId=-1)
    assert fleet.nodes[0].sessions.garbage == 13
    assert len([each for each in caplog.records if "invalid msgpack" in each.getMessage()]) == 3  # one for each server
    # Not ours, and not known.
    stranger.say(0, {}, _source="other")
    stranger.say(99, {})
    assert fleet.nodes[0].sessions.garbage == 13


def test_a_stranger_gets_nothing_that_it_has_not_asked_for(fleet: Fleet) -> None:
    websocket = relayed(fleet)
    session = fleet.opened[0]
    polling = RawPolling(fleet.nodes[0].server)
    fleet.advance(0.3)
    other = elsewhere(fleet, polling)
    other.get()
    stranger = Stranger(fleet)
    home, there = fleet.nodes[:2]
    for sid in (session.sid, polling.sid):
        stranger.say(2, {"sid": sid, "packets": [{"type": "message", "data": "forged"}]}, there)
        stranger.say(4, {"sid": sid, "success": True}, home)
        stranger.say(1, {"success": True}, there)
        stranger.say(5, {"takeOver": True, "packets": []}, there)
    assert websocket.take() == []
    assert other.gets.answer() is None
    assert session.open
    session.send("a")
    fleet.settle()
    assert websocket.take() == ["4a"]


def test_every_mutation_of_what_servers_say_is_harmless(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message of a session's life, with each byte of it changed, cut off there, and each value replaced."""
    blocks: list[tuple[str, bytes]] = []
    publish = fleet.redis.publish

    def watched(channel: str, data: bytes, *, sharded: bool = False) -> int:
        blocks.append((channel, data))
        return publish(channel, data, sharded=sharded)

    with monkeypatch.context() as patch:
        patch.setattr(fleet.redis, "publish", watched)
        websocket = relayed(fleet)
        websocket.send("4a")
        polling = RawPolling(fleet.nodes[0].server)
        other = elsewhere(fleet, polling)
        other.get()
        other.post(b"4a\x1ebYg==")
        moved = RawWebSocket(fleet.nodes[1].server, f"&sid={polling.sid}")
        moved.send("2probe")
        moved.send("5")
        websocket.stream.close()
        fleet.settle()
    kinds = {decode_msgpack(data)["type"] for _, data in blocks}
    assert kinds == set(range(7))
    values: list[object] = [None, True, -1, 2**60, "", "x" * 5_000, b"\xff", [], {}, [[[[]]]], {"a": {"b": []}}, 1.5]
    for channel, data in blocks:
        for place in range(len(data)):
            publish(channel, data[:place])
            publish(channel, data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        for changed in _replacements(decode_msgpack(data), values):
            publish(channel, encode_msgpack(changed))
        fleet.settle()
    fleet.advance(50)
    for node in fleet.nodes:
        assert not node.sessions._questions
        assert not node.sessions._polls
        assert not node.sessions._websockets
        assert not node.sessions._far_polls
        assert not node.sessions._far_websockets
    # And all goes on.
    websocket = relayed(Fleet(2))
    assert websocket.response is not None


def _replacements(value: Any, values: list[object]) -> Iterator[Any]:
    """The value with one part of it replaced or missing."""
    if isinstance(value, dict):
        for key in value:
            rest = {each: value[each] for each in value if each != key}
            yield rest
            for other in values:
                yield {**value, key: other}
            for inner in _replacements(value[key], values):
                yield {**value, key: inner}
    elif isinstance(value, list):
        for place, each in enumerate(value):
            for inner in _replacements(each, values):
                yield [*value[:place], inner, *value[place + 1 :]]


# All of it, at random -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_nothing_is_lost_or_repeated_or_out_of_order(first: int) -> None:
    for seed in range(first, first + 50):
        run(seed)


def run(seed: int) -> None:
    """Clients talk to an echo by random ways. What happens to Redis ends sessions, but loses nothing of open ones."""
    random = Random(seed)
    slow = random.choice([0.0, 0.001, 0.05])
    fleet = Fleet(random.choice([2, 3]), latency=lambda: random.uniform(0, slow))
    for node in fleet.nodes:
        node.echoes = True
    clients: list[EngineClient] = []
    sent: dict[EngineClient, list[str]] = {}
    got: dict[EngineClient, list[str]] = {}
    troubled = random.random() < 0.3
    for _ in range(40):
        step = random.random()
        if step < 0.15 and len(clients) < 6:
            client = fleet.client(
                random.choice(["polling", "upgrade", "websocket"]), at_random(random, len(fleet.nodes))
            )
            client.start()
            clients.append(client)
            sent[client], got[client] = [], []
            client.on_message = _taker(got[client])
        elif step < 0.8 and clients:
            client = random.choice(clients)
            if client.state == "open":
                text = f"{clients.index(client)} {len(sent[client])}"
                sent[client].append(text)
                client.send(text)
        elif step < 0.9:
            fleet.advance(random.choice([0.01, 0.1, 0.4, 30]))
        elif troubled:
            fleet.redis.cut(random.choice(fleet.nodes).sessions.broker, random.uniform(0.05, 0.5))
    fleet.advance(60)
    for client in clients:
        number = f"{clients.index(client)} "
        arrived = [each for each in fleet.messages if isinstance(each, str) and each.startswith(number)]
        assert arrived == sent[client][: len(arrived)], f"seed {seed}: {arrived} of {sent[client]}"
        assert got[client] == sent[client][: len(got[client])], f"seed {seed}: {got[client]} of {sent[client]}"
        if client.state == "open":
            assert got[client] == sent[client], f"seed {seed}: lost"
        elif not troubled:
            raise AssertionError(f"seed {seed}: a session has ended: {client.close_reason}")
        client.close()
    fleet.advance(60)
    for node in fleet.nodes:
        assert node.server.protocol.sessions == {}, f"seed {seed}: a session is left"
        assert not node.sessions._questions
        assert not node.sessions._polls
        assert not node.sessions._websockets
        assert not node.sessions._far_polls
        assert not node.sessions._far_websockets
    fleet.close()


def _taker(got: list[str]) -> Callable[[str | bytes], None]:
    return lambda message: got.append(str(message))
