"""What Redis sends, to whom it is for: replies to those who asked, messages to the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from coredis.exceptions import ConnectionError as ConnectionLost
from coredis.exceptions import RedisError

from siocore.cluster.broker import Broker, Command, Kind, Publish
from siocore.redis._commands import meaning_of, text_of

__all__ = ["Batch", "Messages", "Pipeline", "hand_on"]

_MESSAGES: Final = {b"message": Kind.CHANNEL, b"pmessage": Kind.PATTERN, b"smessage": Kind.SHARD}
_PATTERN: Final = Kind.PATTERN
#: Names of channels that are kept as text.
_MAX_NAMES: Final = 10_000


def hand_on(values: list[Any], waiting: deque[Any], pushed: Callable[[tuple[Any, ...]], None]) -> None:
    """Push messages, which are tuples, go to ``pushed``, and replies to the first of those that wait for such."""
    for value in values:
        if type(value) is tuple:
            pushed(value)
        elif waiting:
            asked = waiting[0]
            asked.consume(value)
            if asked.complete:
                waiting.popleft()


class Pipeline:
    """Several questions that leave together. ``done`` is called with each reply, or an error, in order."""

    __slots__ = ("_done", "_left")

    def __init__(self, size: int, done: Callable[[Any], None]) -> None:
        self._left = size
        self._done = done

    @property
    def complete(self) -> bool:
        return not self._left

    def consume(self, reply: Any) -> None:
        self._left -= 1
        self._done(reply)

    def fail(self, error: BaseException) -> None:
        """The connection is lost."""
        while self._left:
            self.consume(error if isinstance(error, ConnectionLost) else ConnectionLost(str(error)))


class Batch:
    """Commands of a broker that leave together. ``failed`` is called with each that Redis has not done, and why."""

    __slots__ = ("_commands", "_failed", "_next")

    def __init__(self, commands: list[Command], failed: Callable[[Command, RedisError], None]) -> None:
        self._commands = commands
        self._next = 0
        self._failed = failed

    @property
    def complete(self) -> bool:
        return self._next >= len(self._commands)

    def consume(self, reply: Any) -> None:
        command = self._commands[self._next]
        self._next += 1
        if type(reply) is int and isinstance(command, Publish):
            # Nearly all are such.
            command.answered(reply)
            return
        if isinstance(reply, RedisError):
            self._failed(command, reply)
            return
        try:
            meaning = meaning_of(command, reply)
        except RedisError as error:
            command.failed(str(error))
        else:
            command.answered(meaning)

    def fail(self, error: BaseException) -> None:
        """The connection is lost."""
        while self._next < len(self._commands):
            self.consume(error if isinstance(error, ConnectionLost) else ConnectionLost(str(error)))


class Messages:
    """Hands messages to the broker, and what else Redis pushes to ``other``."""

    __slots__ = ("_broker", "_names", "_other")

    def __init__(self, broker: Broker, other: Callable[[tuple[Any, ...]], None]) -> None:
        self._broker = broker
        self._other = other
        self._names: dict[bytes, str] = {}

    def receive(self, message: tuple[Any, ...]) -> None:
        kind = _MESSAGES.get(message[0])
        if kind is None:
            self._other(message)
            return
        name = self._text(message[1])
        if kind is _PATTERN:
            self._broker.received(kind, name, self._text(message[2]), message[3])
        else:
            self._broker.received(kind, name, name, message[2])

    def _text(self, name: bytes) -> str:
        names = self._names
        text = names.get(name)
        if text is None:
            if len(names) >= _MAX_NAMES:
                names.clear()
            text = names[name] = text_of(name)
        return text
