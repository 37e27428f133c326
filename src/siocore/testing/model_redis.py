"""A model of Redis on virtual time: for servers of a cluster in one test, and for what befalls them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any

from siocore.cluster.broker import (
    AddEntry,
    Broker,
    Command,
    CountSubscribers,
    Entry,
    Kind,
    ListChannels,
    Publish,
    ReadEntries,
    StoreValue,
    TakeValue,
)
from siocore.testing.simulation import Simulation

__all__ = ["ModelRedis"]

#: Seconds after which a connection is given up on which nothing is answered.
_TIMEOUT = 5.0


class _Line:
    """The connection of one broker: what is on its way to Redis, and from there."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.up = False
        self.subscribed: set[tuple[Kind, str]] = set()
        self.to_redis: deque[tuple[float, Command]] = deque()
        self.from_redis: deque[tuple[float, Callable[[], None]]] = deque()
        #: What Redis says unasked, and what is read of streams: on connections of their own.
        self.pushed: deque[tuple[float, Callable[[], None]]] = deque()
        #: Sent, and not answered yet.
        self.pending: deque[Command] = deque()
        self.reconnect_at: float | None = 0.0
        self.give_up_at: float | None = None


class ModelRedis:
    """Publish/subscribe, streams and keys, for the brokers that are attached.

    ``latency`` gives the seconds that something takes from one end of a connection to the other. ``survives`` says of a
    number of commands that are on their way when a connection is cut how many are carried out all the same.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        latency: Callable[[], float] = lambda: 0.0,
        survives: Callable[[int], int] = lambda commands: 0,
    ) -> None:
        self._simulation = simulation
        self._latency = latency
        self._survives = survives
        self._lines: dict[Broker, _Line] = {}
        self._running = True
        self._paused = False
        # Whether a broker may want something that was not looked at.
        self._woken = False
        self._late: list[Command] = []
        self._ids = (0, 0)
        #: The entries of each stream.
        self.streams: dict[str, list[Entry]] = {}
        #: Values, each with the time at which it ends.
        self.keys: dict[str, tuple[bytes, float]] = {}
        simulation.add(self)

    # For tests ------------------------------------------------------------------------------------------------------

    def attach(self, broker: Broker) -> None:
        """Connect a broker, and keep it connected."""
        self._lines[broker] = _Line(broker)
        broker.wake = self._wake

    def detach(self, broker: Broker) -> None:
        """Its process has been killed: it hears of nothing any more."""
        line = self._lines.pop(broker)
        self._carry_out(line)

    def cut(self, broker: Broker, seconds: float = 0.1, reason: str = "the connection was cut") -> None:
        """End a connection; the broker connects again after ``seconds``."""
        line = self._lines[broker]
        if line.up:
            self._lose(line, reason)
        line.reconnect_at = self._now + seconds

    def stop(self) -> None:
        """Redis is gone."""
        self._running = False
        for line in self._lines.values():
            if line.up:
                self._lose(line, "Redis is gone")

    def start(self, *, empty: bool = False) -> None:
        """It is back, with what it had, or with nothing."""
        self._running = True
        self._paused = False
        if empty:
            self.streams.clear()
            self.keys.clear()
        for line in self._lines.values():
            if not line.up:
                line.reconnect_at = self._now + self._latency()

    def pause(self) -> None:
        """It does nothing, as when it is stopped by a signal."""
        self._paused = True
        for line in self._lines.values():
            line.give_up_at = self._now + _TIMEOUT

    def resume(self) -> None:
        """It goes on, and begins with what was sent meanwhile, also on connections that are given up."""
        self._paused = False
        late, self._late = self._late, []
        for command in late:
            self._do(command)
        for line in self._lines.values():
            line.give_up_at = None

    def subscriptions(self) -> set[tuple[Kind, str]]:
        """All that is subscribed to at present."""
        return set().union(*(line.subscribed for line in self._lines.values()))

    def publish(self, channel: str, data: bytes, *, sharded: bool = False) -> int:
        """As from a process that is no server."""
        receivers = 0
        for line in self._lines.values():
            for kind, name in sorted(line.subscribed, key=lambda each: (each[0].value, each[1])):
                heard = _matches(name, channel) if kind is Kind.PATTERN else name == channel
                if heard and (kind is Kind.SHARD) is sharded:
                    receivers += 1
                    self._tell(line.pushed, _receiver(line.broker, kind, name, channel, data))
        return receivers

    # For the simulation ---------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        worked = False
        for line in tuple(self._lines.values()):
            worked = self._take(line) or worked
        while self._step():
            worked = True
        return worked

    def next_moment(self) -> float | None:
        moments = []
        for line in self._lines.values():
            if line.to_redis and not self._paused:
                moments.append(line.to_redis[0][0])
            moments += [each[0][0] for each in (line.from_redis, line.pushed) if each]
            if line.reconnect_at is not None and self._running and not self._paused:
                moments.append(line.reconnect_at)
            if line.give_up_at is not None and line.up:
                moments.append(line.give_up_at)
        return min(moments, default=None)

    def expire(self) -> bool:
        # What a server sends at the very end of its turn is seen in this one.
        woken, self._woken = self._woken, False
        return woken

    def _wake(self) -> None:
        self._woken = True

    @property
    def _now(self) -> float:
        return self._simulation.clock.now

    def _take(self, line: _Line) -> bool:
        """What a broker wants leaves for Redis."""
        if not line.up:
            return False
        changes = line.broker.take_changes()
        for kind, name, wanted in changes:
            (line.subscribed.add if wanted else line.subscribed.discard)((kind, name))
        commands = line.broker.take_commands()
        if commands:
            # One pipeline arrives at one time, and none before another.
            arrives = self._now + self._latency()
            if line.to_redis:
                arrives = max(arrives, line.to_redis[-1][0])
            line.to_redis += [(arrives, command) for command in commands]
            line.pending += commands
        return bool(changes or commands)

    def _step(self) -> bool:
        """The earliest thing that is due. Returns whether there was one."""
        now = self._now
        due: list[tuple[float, int, Callable[[], None]]] = []
        for number, line in enumerate(self._lines.values()):
            if line.to_redis and line.to_redis[0][0] <= now and not self._paused:
                due.append((line.to_redis[0][0], number, _bound(self._arrived, line)))
            waiting = [each for each in (line.from_redis, line.pushed) if each and each[0][0] <= now]
            due += [(each[0][0], number, _next_of(each)) for each in waiting]
            at = line.reconnect_at
            if at is not None and at <= now and self._running and not self._paused:
                due.append((at, number, _bound(self._connect, line)))
            at = line.give_up_at
            if at is not None and at <= now and line.up:
                due.append((at, number, _bound(self._give_up, line)))
        if not due:
            return False
        min(due, key=lambda each: each[:2])[2]()
        return True

    def _arrived(self, line: _Line) -> None:
        _, command = line.to_redis.popleft()
        reply = self._do(command)

        def answered() -> None:
            line.pending.popleft()
            command.answered(reply)

        self._tell(line.from_redis, answered)

    def _connect(self, line: _Line) -> None:
        line.reconnect_at = None
        line.up = True
        broker = line.broker
        broker.take_changes()
        line.subscribed = set(broker.subscriptions)
        for follower in broker.followed.values():
            entries = self.streams.get(follower.stream, [])
            follower.begin(entries[-1][0] if entries else "0-0")
            assert follower.position is not None
            start = bisect_right([_order(identifier) for identifier, _ in entries], _order(follower.position))
            for at in range(start, len(entries), follower.read_count):
                self._tell(line.pushed, _reader(broker, follower.stream, entries[at : at + follower.read_count]))
        broker.connected()

    def _give_up(self, line: _Line) -> None:
        self._late += [command for _, command in line.to_redis]
        self._lose(line, f"no answer for {_TIMEOUT:g} seconds")
        line.give_up_at = None
        line.reconnect_at = self._now + 0.1

    def _lose(self, line: _Line, reason: str) -> None:
        if not self._paused:
            self._carry_out(line)
        line.up = False
        line.subscribed = set()
        line.to_redis.clear()
        line.from_redis.clear()
        line.pushed.clear()
        pending, line.pending = line.pending, deque()
        for command in pending:
            command.failed(reason)
        line.broker.lost(reason)

    def _carry_out(self, line: _Line) -> None:
        """Some of what is on its way may arrive, though nobody hears of it."""
        for _ in range(self._survives(len(line.to_redis))):
            self._do(line.to_redis.popleft()[1])

    def _tell(self, queue: deque[tuple[float, Callable[[], None]]], what: Callable[[], None]) -> None:
        at = self._now + self._latency()
        if queue:
            at = max(at, queue[-1][0])
        queue.append((at, what))

    # Commands -------------------------------------------------------------------------------------------------------

    def _do(self, command: Command) -> Any:
        if isinstance(command, Publish):
            return self.publish(command.channel, command.data, sharded=command.sharded)
        if isinstance(command, CountSubscribers):
            wanted = (Kind.SHARD if command.sharded else Kind.CHANNEL, command.channel)
            return sum(wanted in line.subscribed for line in self._lines.values())
        if isinstance(command, ListChannels):
            kind = Kind.SHARD if command.sharded else Kind.CHANNEL
            names = [name for each, name in self.subscriptions() if each is kind]
            return sorted(name for name in names if _matches(command.pattern, name))
        if isinstance(command, AddEntry):
            return self._add(command)
        if isinstance(command, ReadEntries):
            return self._read(command)
        if isinstance(command, StoreValue):
            self.keys[command.key] = (command.value, self._now + command.ttl)
            return None
        assert isinstance(command, TakeValue)
        value, ends = self.keys.pop(command.key, (b"", 0.0))
        return value if ends > self._now else None

    def _add(self, command: AddEntry) -> str:
        self._ids = max((round(self._now * 1000), 0), (self._ids[0], self._ids[1] + 1))
        entry = (f"{self._ids[0]}-{self._ids[1]}", dict(command.fields))
        entries = self.streams.setdefault(command.stream, [])
        entries.append(entry)
        del entries[: -command.max_length]
        for line in self._lines.values():
            if line.up and command.stream in line.broker.followed:
                self._tell(line.pushed, _reader(line.broker, command.stream, [entry]))
        return entry[0]

    def _read(self, command: ReadEntries) -> list[Entry]:
        exclusive = command.start.startswith("(")
        start = (0, 0) if command.start == "-" else _order(command.start.lstrip("("))
        found = []
        for identifier, fields in self.streams.get(command.stream, []):
            place = _order(identifier)
            if place < start or (exclusive and place == start):
                continue
            if command.end != "+" and place > _order(command.end):
                break
            found.append((identifier, fields))
            if len(found) == command.count:
                break
        return found


def _next_of(queue: deque[tuple[float, Callable[[], None]]]) -> Callable[[], None]:
    return lambda: queue.popleft()[1]()


def _bound(function: Callable[[_Line], None], line: _Line) -> Callable[[], None]:
    return lambda: function(line)


def _receiver(broker: Broker, kind: Kind, name: str, channel: str, data: bytes) -> Callable[[], None]:
    return lambda: broker.received(kind, name, channel, data)


def _reader(broker: Broker, stream: str, entries: list[Entry]) -> Callable[[], None]:
    return lambda: broker.entries(stream, entries)


def _matches(pattern: str, name: str) -> bool:
    """Redis' glob: ``*``, ``?``, ``[...]``, and a backslash in front of what stands for itself."""
    parts = []
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        at += 1
        if sign == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        elif sign == "*":
            parts.append(".*")
        elif sign == "?":
            parts.append(".")
        elif sign == "[" and (end := pattern.find("]", at)) >= 0:
            parts.append(f"[{pattern[at:end]}]")
            at = end + 1
        else:
            parts.append(re.escape(sign))
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def _order(identifier: str) -> tuple[int, int]:
    time, _, number = identifier.partition("-")
    return int(time), int(number or 0)
