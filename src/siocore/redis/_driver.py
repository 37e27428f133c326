"""Drives a broker: connects to Redis, keeps subscribing and reading, and comes back after an outage.

Theory of operation
-------------------
A *round* is one life of the connections. It begins with all of them: one for commands and one for messages to each
server of Redis (there are several in a Redis Cluster), one for each stream. When every subscription is confirmed and
every stream has its place, the broker is told that it is up. The first connection that fails, an answer that does not
come in time, or a server of a cluster that is not the right one any more: each ends the round, and the broker is told.
So nothing reconnects behind its back, and what may have been missed is always known.

Whatever Redis is asked for leaves through one task, which takes all that waits at once: one pipeline for what one turn
of the server's loop has published. Replies and messages are handed to the broker by whoever reads them.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NoReturn

import anyio
from anyio.abc import TaskGroup
from coredis.exceptions import ConnectionError as ConnectionLost
from coredis.exceptions import RedisError

from siocore.cluster.broker import Broker, Command, Follower, Kind
from siocore.redis._address import Address
from siocore.redis._commands import (
    Arguments,
    arguments_of,
    bytes_of,
    entries_of,
    is_for_all,
    key_of,
    meaning_of,
    merged,
    text_of,
)
from siocore.redis._connection import PipedConnection
from siocore.redis._inbound import Batch, Messages, Pipeline
from siocore.redis._resp import pack
from siocore.redis._topology import Topology, find_topology

__all__ = ["RedisDriver", "Timing"]

logger = logging.getLogger("siocore")

_UNSUBSCRIBE: Final = {Kind.CHANNEL: b"UNSUBSCRIBE", Kind.PATTERN: b"PUNSUBSCRIBE", Kind.SHARD: b"SUNSUBSCRIBE"}
_CONFIRMATIONS: Final = {b"subscribe": Kind.CHANNEL, b"psubscribe": Kind.PATTERN, b"ssubscribe": Kind.SHARD}
#: Seconds that are left for what waits to leave when the server stops.
_FAREWELL: Final = 1.0


class Lost(Exception):
    """The round is over. The message is a sentence for people."""


#: What may end a round. Anything else is a bug.
_FAULTS: Final = (Lost, OSError, RedisError, TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Timing:
    """Seconds. What fails faster is noticed at once; these are for what stays silent."""

    __slots__ = ("block", "first_pause", "health", "last_pause", "patience", "timeout")

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        health: float = 2.5,
        first_pause: float = 0.1,
        last_pause: float = 5.0,
        patience: float = 5.0,
        block: float = 2.5,
    ) -> None:
        #: In which Redis has to answer, whatever it is asked.
        self.timeout = timeout
        #: Between questions whether it is there.
        self.health = health
        #: Before it is tried again: the first time, and at most. Each is twice the one before, less a random part.
        self.first_pause = first_pause
        self.last_pause = last_pause
        #: For which a server waits for Redis before it lets clients in without it.
        self.patience = patience
        #: For which a read of a stream waits for entries.
        self.block = block


class RedisDriver:
    """Drives one broker. :meth:`run` is the body of one task, which may be started again when it has ended."""

    def __init__(self, broker: Broker, address: Address, timing: Timing | None = None) -> None:
        self._broker = broker
        self._address = address
        self._timing = Timing() if timing is None else timing
        self._wanted = anyio.Event()
        self._told_down = False

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep the broker connected until cancelled. ``ready`` is called when it is, or when that takes too long."""
        self._broker.wake = self._wake
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._lose_patience, ready)
                await self._rounds(ready)
        finally:
            self._broker.wake = None
            self._broker.lost("the server has stopped")

    async def _lose_patience(self, ready: Callable[[], None]) -> None:
        await anyio.sleep(self._timing.patience)
        if not self._broker.up and not self._broker.resumed:
            logger.warning(
                "Redis at %s is not there yet: clients are let in, and other servers not reached", self._address
            )
        ready()

    async def _rounds(self, ready: Callable[[], None]) -> NoReturn:
        pause = self._timing.first_pause
        while True:
            reason = "the connection was closed"
            try:
                async with anyio.create_task_group() as tasks:
                    await _Round(self._broker, self._address, self._timing, tasks, self._next_wish).run(
                        partial(self._up, ready)
                    )
            except* _FAULTS as group:
                reason = _sentence(group)
            was_up = self._broker.up
            self._broker.lost(f"Redis at {self._address}: {reason}")
            if was_up:
                pause = self._timing.first_pause
            elif not self._told_down and not self._broker.resumed:
                self._told_down = True
                logger.warning("can't reach Redis at %s: %s; trying again until it is there", self._address, reason)
            # Not all servers at the same moment.
            await anyio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self._timing.last_pause)

    def _up(self, ready: Callable[[], None]) -> None:
        self._told_down = False
        self._broker.connected()
        ready()

    def _wake(self) -> None:
        self._wanted.set()

    async def _next_wish(self) -> None:
        """Wait until the broker wants something."""
        await self._wanted.wait()
        self._wanted = anyio.Event()


class _Round:
    """One life of the connections."""

    def __init__(
        self,
        broker: Broker,
        address: Address,
        timing: Timing,
        tasks: TaskGroup,
        next_wish: Callable[[], Any],
    ) -> None:
        self._broker = broker
        self._timing = timing
        self._tasks = tasks
        self._next_wish = next_wish
        self._seed = address
        self._commands: dict[Address, PipedConnection] = {}
        self._messages: dict[Address, PipedConnection] = {}
        # Subscriptions that Redis has not confirmed yet.
        self._unconfirmed: set[tuple[Kind, str]] = set()
        self._confirmed = anyio.Event()
        self._received = Messages(broker, self._pushed)

    async def run(self, up: Callable[[], None]) -> None:
        """Until it is cancelled, or something fails: raises Lost, OSError or RedisError then."""
        with anyio.fail_after(2 * self._timing.timeout):
            self._topology: Topology = await find_topology(self._seed, self._open)
            for address in self._topology.addresses:
                self._commands[address] = await self._open(address)
            await self._subscribe([*self._broker.subscriptions])
            if self._unconfirmed:
                await self._confirmed.wait()
            for follower in self._broker.followed.values():
                await self._place(follower)
        up()
        for follower in self._broker.followed.values():
            self._tasks.start_soon(self._follow, follower)
        self._tasks.start_soon(self._watch_health)
        try:
            while True:
                await self._next_wish()
                await self._leave()
        finally:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._farewell()

    # Connections ----------------------------------------------------------------------------------------------------

    async def _open(self, address: Address) -> PipedConnection:
        connection = address.connection(self._timing.timeout)
        connection.pushed = self._received.receive
        await self._tasks.start(self._keep, connection)
        return connection

    async def _keep(self, connection: PipedConnection, *, task_status: Any) -> None:
        await connection.run(task_status=task_status)
        raise Lost(connection.failure())

    async def _watch_health(self) -> None:
        """Ask every server now and then, and end the round if one stays silent."""
        while True:
            await anyio.sleep(self._timing.health)
            connections = [*self._commands.values(), *self._messages.values()]
            with anyio.move_on_after(self._timing.timeout) as scope:
                for connection in connections:
                    await _ask(connection, (b"PING",))
            if scope.cancelled_caught:
                raise Lost(f"no answer for {self._timing.timeout:g} seconds")

    # Commands -------------------------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Let Redis do all that is wanted."""
        changes = self._broker.take_changes()
        if changes:
            await self._subscribe([(kind, name) for kind, name, wanted in changes if wanted])
            await self._unsubscribe([(kind, name) for kind, name, wanted in changes if not wanted])
        commands = self._broker.take_commands()
        if not commands:
            return
        if len(self._commands) == 1:
            (connection,) = self._commands.values()
            await self._send(connection, commands)
            return
        batches: dict[Address, list[Command]] = {}
        for_all = [command for command in commands if is_for_all(command)]
        if for_all:
            self._tasks.start_soon(self._ask_all, for_all)
        for command in commands:
            if not is_for_all(command):
                batches.setdefault(self._topology.address_of(key_of(command)), []).append(command)
        for address, batch in batches.items():
            await self._send(self._commands[address], batch)

    async def _send(self, connection: PipedConnection, commands: list[Command]) -> None:
        try:
            await connection.send(pack([arguments_of(command) for command in commands]), Batch(commands, self._failed))
        except BaseException:
            # Those that had no reply until then.
            connection.invalidate()
            raise

    def _failed(self, command: Command, error: RedisError) -> None:
        command.failed(str(error) or type(error).__name__, not isinstance(error, ConnectionLost))
        if self._topology.is_wrong(error):
            self._tasks.start_soon(_lose, "the Redis Cluster has changed")

    async def _ask_all(self, commands: list[Command]) -> None:
        """Ask every server. The answers come in the order of the questions."""
        wanted = [arguments_of(command) for command in commands]
        try:
            answers = [await _ask_several(connection, wanted) for connection in self._commands.values()]
        except BaseException as error:
            for command in commands:
                command.failed(str(error) or "the connection was lost")
            raise
        for command, replies in zip(commands, zip(*answers, strict=True), strict=True):
            faults = [reply for reply in replies if isinstance(reply, RedisError)]
            if faults:
                self._failed(command, faults[0])
                continue
            try:
                meaning = merged(command, [meaning_of(command, reply) for reply in replies])
            except RedisError as error:
                command.failed(str(error))
            else:
                command.answered(meaning)

    async def _farewell(self) -> None:
        """Send what waits, as far as there is a connection."""
        try:
            await self._leave()
            for connection in self._commands.values():
                await _ask(connection, (b"PING",))
        except (OSError, RedisError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    # Messages -------------------------------------------------------------------------------------------------------

    async def _subscribe(self, wanted: Iterable[tuple[Kind, str]]) -> None:
        for address, kind, names in self._sorted(wanted):
            self._unconfirmed.update((kind, name) for name in names)
            await self._tell(address, (kind.value.encode(), *map(bytes_of, names)))

    async def _unsubscribe(self, unwanted: Iterable[tuple[Kind, str]]) -> None:
        for address, kind, names in self._sorted(unwanted):
            await self._tell(address, (_UNSUBSCRIBE[kind], *map(bytes_of, names)))

    def _sorted(self, subscriptions: Iterable[tuple[Kind, str]]) -> list[tuple[Address, Kind, list[str]]]:
        batches: dict[tuple[Address, Kind, int], list[str]] = {}
        for kind, name in subscriptions:
            # The channels of one command have to be in one slot of a cluster.
            slot = self._topology.slot_of(name) if kind is Kind.SHARD else 0
            address = self._topology.address_of(name if kind is Kind.SHARD else None)
            batches.setdefault((address, kind, slot), []).append(name)
        return [(address, kind, names) for (address, kind, _), names in batches.items()]

    async def _tell(self, address: Address, arguments: Arguments) -> None:
        """Send a command that is answered by push messages."""
        connection = self._messages.get(address)
        if connection is None:
            connection = self._messages[address] = await self._open(address)
        await connection.tell(pack([arguments]))

    def _pushed(self, message: tuple[Any, ...]) -> None:
        """What is no message for anybody."""
        confirmed = _CONFIRMATIONS.get(message[0])
        if confirmed is not None:
            self._unconfirmed.discard((confirmed, text_of(message[1])))
            if not self._unconfirmed:
                self._confirmed.set()
        elif message[0] == b"sunsubscribe" and (Kind.SHARD, text_of(message[1])) in self._broker.subscriptions:
            # Not asked for: its slot has moved to another server.
            self._tasks.start_soon(_lose, "the Redis Cluster has changed")

    # Streams --------------------------------------------------------------------------------------------------------

    async def _place(self, follower: Follower) -> None:
        """Where a stream ends, for who begins there."""
        if follower.position is None:
            connection = self._commands[self._topology.address_of(follower.stream)]
            last = entries_of(await _ask(connection, (b"XREVRANGE", follower.stream, b"+", b"-", b"COUNT", 1)))
            follower.begin(last[0][0] if last else "0-0")

    async def _follow(self, follower: Follower) -> None:
        connection = await self._open(self._topology.address_of(follower.stream))
        await _Reading(self._broker, follower, connection, self._timing).run()


class _Reading:
    """Asks for what is next in a stream, again and again. Whoever brings the answer asks for what comes then."""

    #: Each question has one answer.
    complete = True

    def __init__(self, broker: Broker, follower: Follower, connection: PipedConnection, timing: Timing) -> None:
        self._broker = broker
        self._follower = follower
        self._connection = connection
        self._timing = timing
        self._limits = (b"COUNT", follower.read_count, b"BLOCK", max(1, round(timing.block * 1000)))
        self._asked_at = 0.0
        self._stuck = anyio.Event()
        self._error: RedisError | None = None

    async def run(self) -> None:
        """Until it is cancelled. Raises RedisError, OSError, and Lost if there is no answer in time."""
        patience = self._timing.block + self._timing.timeout
        while self._error is None:
            self._stuck = anyio.Event()
            self._asked_at = anyio.current_time()
            await self._connection.send(self._question(), self)
            while not self._stuck.is_set():
                if anyio.current_time() >= self._asked_at + patience:
                    raise Lost(f"no answer for {self._timing.timeout:g} seconds")
                with anyio.CancelScope(deadline=self._asked_at + patience):
                    await self._stuck.wait()
        raise self._error

    def consume(self, reply: Any) -> None:
        if isinstance(reply, RedisError):
            self._error = reply
            self._stuck.set()
            return
        if reply:
            stream = self._follower.stream
            entries = reply[stream.encode()] if isinstance(reply, dict) else reply[0][1]
            self._broker.entries(stream, entries_of(entries))
        self._asked_at = anyio.current_time()
        if not self._connection.send_now(self._question(), self):
            self._stuck.set()

    def fail(self, error: BaseException) -> None:
        """Whoever keeps the connection says so."""

    def _question(self) -> bytes:
        follower = self._follower
        return pack([(b"XREAD", *self._limits, b"STREAMS", follower.stream, follower.position or "0-0")])


async def _ask(connection: PipedConnection, arguments: Arguments) -> Any:
    """One command, and its reply. Raises RedisError and OSError."""
    (reply,) = await _ask_several(connection, [arguments])
    if isinstance(reply, RedisError):
        raise reply
    return reply


async def _ask_several(connection: PipedConnection, commands: list[Arguments]) -> list[Any]:
    """Several commands, and their replies, of which each may be a RedisError. Raises OSError."""
    answered = anyio.Event()
    replies: list[Any] = []

    def done(reply: Any) -> None:
        replies.append(reply)
        if len(replies) == len(commands):
            answered.set()

    await connection.send(pack(commands), Pipeline(len(commands), done))
    await answered.wait()
    return replies


async def _lose(reason: str) -> None:
    raise Lost(reason)


def _sentence(group: BaseExceptionGroup[BaseException]) -> str:
    """What the first of several exceptions says."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    while error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
