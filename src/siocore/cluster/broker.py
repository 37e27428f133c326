"""Redis, as the core sees it: commands go out, messages and replies come in. No I/O.

How to drive it
---------------
1. ``wake`` is called when there are commands, or when what is subscribed to has changed. From the endpoint's thread.
2. Once connected: subscribe to all of ``subscriptions``, ask where each of ``followed`` ends if its position is None
   (and call ``follower.begin``), then call :meth:`Broker.connected`. Not before: whoever is told that the broker is up
   relies on hearing everything from then on.
3. While it is up: :meth:`take_changes` and :meth:`take_commands`, as often as ``wake`` was called. All commands of one
   call leave as one pipeline, in order; call ``command.answered(reply)`` or ``command.failed(reason)`` for each, in
   order. Hand what arrives to :meth:`received` and :meth:`entries`.
4. When the connection breaks: ``failed`` for what was under way, then :meth:`lost`; connect again after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

__all__ = [
    "AddEntry",
    "Broker",
    "Command",
    "CountSubscribers",
    "Entry",
    "Follower",
    "Kind",
    "ListChannels",
    "Publish",
    "ReadEntries",
    "Receiver",
    "StoreValue",
    "Subscription",
    "TakeValue",
    "Watcher",
]

#: An entry of a stream: its id, and its fields.
Entry = tuple[str, dict[bytes, bytes]]


class Kind(Enum):
    """What is subscribed to."""

    CHANNEL = "SUBSCRIBE"
    PATTERN = "PSUBSCRIBE"
    SHARD = "SSUBSCRIBE"

    # Each is equal to itself alone, and looked up for every message.
    __hash__ = object.__hash__


class Receiver(Protocol):
    """Whoever subscribes."""

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published on a channel."""


class Watcher(Protocol):
    """Whoever wants to know whether the broker is there."""

    def broker_connected(self, resumed: bool) -> None:
        """The broker is there, and every subscription. ``resumed``: it was there before, and was lost meanwhile."""

    def broker_lost(self, reason: str) -> None:
        """The broker is gone."""


class Subscription:
    """A channel, a pattern or a sharded channel, and who receives what is published there."""

    __slots__ = ("kind", "name", "receivers")

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.name = name
        self.receivers: list[Receiver] = []


class Follower:
    """A stream that is read from ``position`` on."""

    __slots__ = ("_receive", "position", "read_count", "stream")

    def __init__(self, stream: str, receive: Callable[[str, list[Entry]], None], read_count: int) -> None:
        self.stream = stream
        #: The id of the latest entry that was received; None: begin with what comes next.
        self.position: str | None = None
        #: How many entries to read at once.
        self.read_count = read_count
        self._receive = receive

    def begin(self, position: str) -> None:
        """What comes next is what comes after this entry."""
        if self.position is None:
            self.position = position

    def received(self, entries: list[Entry]) -> None:
        """These came next."""
        if entries:
            self.position = entries[-1][0]
            self._receive(self.stream, entries)


class Command:
    """Something that Redis is to do. Whoever makes it may say who is to hear of the reply."""

    __slots__ = ("_done", "refused")

    def __init__(self, done: Callable[[Any, str | None], None] | None = None) -> None:
        #: Whether it is known that it was not done.
        self.refused = False
        #: Called once, with the reply and None, or with None and a sentence that says what failed.
        self._done = done

    def answered(self, reply: Any) -> None:
        """Redis has done it."""
        done = self._done
        self._done = None
        if done is not None:
            done(reply, None)

    def failed(self, reason: str, refused: bool = False) -> None:
        """Nobody knows whether it was done; or, if it was ``refused``, it was not."""
        self.refused = refused
        done = self._done
        self._done = None
        if done is not None:
            done(None, reason)


class Publish(Command):
    """PUBLISH or SPUBLISH. The reply is the number of receivers, as far as Redis knows it."""

    __slots__ = ("channel", "data", "sharded")

    def __init__(
        self,
        channel: str,
        data: bytes,
        sharded: bool = False,
        done: Callable[[int | None, str | None], None] | None = None,
    ) -> None:
        Command.__init__(self, done)
        self.channel = channel
        self.data = data
        self.sharded = sharded


class CountSubscribers(Command):
    """PUBSUB NUMSUB or SHARDNUMSUB, summed over all nodes of a Redis Cluster. The reply is an int."""

    __slots__ = ("channel", "sharded")

    def __init__(self, channel: str, sharded: bool, done: Callable[[int | None, str | None], None]) -> None:
        Command.__init__(self, done)
        self.channel = channel
        self.sharded = sharded


class ListChannels(Command):
    """PUBSUB CHANNELS or SHARDCHANNELS, of all nodes of a Redis Cluster. The reply is a list of str."""

    __slots__ = ("pattern", "sharded")

    def __init__(self, pattern: str, sharded: bool, done: Callable[[list[str] | None, str | None], None]) -> None:
        Command.__init__(self, done)
        self.pattern = pattern
        self.sharded = sharded


class AddEntry(Command):
    """XADD with MAXLEN ~. The reply is the id of the entry, a str."""

    __slots__ = ("fields", "max_length", "stream")

    def __init__(
        self,
        stream: str,
        fields: Sequence[tuple[bytes, bytes]],
        max_length: int,
        done: Callable[[str | None, str | None], None] | None = None,
    ) -> None:
        Command.__init__(self, done)
        self.stream = stream
        self.fields = fields
        self.max_length = max_length


class ReadEntries(Command):
    """XRANGE. ``start`` and ``end`` are as Redis has them: inclusive, ``-`` and ``+``. The reply is a list of Entry."""

    __slots__ = ("count", "end", "start", "stream")

    def __init__(
        self,
        stream: str,
        start: str,
        end: str,
        count: int | None,
        done: Callable[[list[Entry] | None, str | None], None],
    ) -> None:
        Command.__init__(self, done)
        self.stream = stream
        self.start = start
        self.end = end
        self.count = count


class StoreValue(Command):
    """SET with PX. ``ttl`` is in seconds. The reply is nothing."""

    __slots__ = ("key", "ttl", "value")

    def __init__(
        self, key: str, value: bytes, ttl: float, done: Callable[[None, str | None], None] | None = None
    ) -> None:
        Command.__init__(self, done)
        self.key = key
        self.value = value
        self.ttl = ttl


class TakeValue(Command):
    """GETDEL. The reply is bytes, or None if there is none."""

    __slots__ = ("key",)

    def __init__(self, key: str, done: Callable[[bytes | None, str | None], None]) -> None:
        Command.__init__(self, done)
        self.key = key


class Broker:
    """What several adapters share of one connection to Redis."""

    __slots__ = ("_changes", "_commands", "_watchers", "followed", "reason", "resumed", "subscriptions", "up", "wake")

    def __init__(self) -> None:
        #: Whether Redis is there.
        self.up = False
        #: Why not, for people.
        self.reason = "not connected yet"
        #: Whether it was there before it came the last time.
        self.resumed = False
        #: Set by the driver.
        self.wake: Callable[[], None] | None = None
        self.subscriptions: dict[tuple[Kind, str], Subscription] = {}
        self.followed: dict[str, Follower] = {}
        self._commands: list[Command] = []
        # Of a name that has come and gone since the driver looked, the latest is what counts.
        self._changes: dict[tuple[Kind, str], bool] = {}
        self._watchers: list[Watcher] = []

    # For adapters ---------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Tell ``watcher`` from now on whether the broker is there."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)

    def send(self, command: Command) -> None:
        """Let Redis do something. While it is gone the command fails at once."""
        if not self.up:
            command.failed(self.reason)
            return
        commands = self._commands
        commands.append(command)
        if len(commands) == 1:
            self._wake()

    def subscribe(self, kind: Kind, name: str, receiver: Receiver) -> None:
        """Hand what is published there to ``receiver``, from the moment on in which Redis has taken note."""
        subscription = self.subscriptions.get((kind, name))
        if subscription is None:
            subscription = self.subscriptions[kind, name] = Subscription(kind, name)
            self._change(kind, name, True)
        subscription.receivers.append(receiver)

    def unsubscribe(self, kind: Kind, name: str, receiver: Receiver) -> None:
        """Hand it nothing more."""
        subscription = self.subscriptions.get((kind, name))
        if subscription is None or receiver not in subscription.receivers:
            return
        subscription.receivers.remove(receiver)
        if not subscription.receivers:
            del self.subscriptions[kind, name]
            self._change(kind, name, False)

    def follow(self, follower: Follower) -> None:
        """Read a stream. To be called before the broker is first connected."""
        self.followed[follower.stream] = follower

    # For the driver -------------------------------------------------------------------------------------------

    def take_commands(self) -> list[Command]:
        """What Redis is to do, in order."""
        commands, self._commands = self._commands, []
        return commands

    def take_changes(self) -> list[tuple[Kind, str, bool]]:
        """What is to be subscribed to (True) or not any more (False) since this was called the last time."""
        changes, self._changes = self._changes, {}
        return [(kind, name, wanted) for (kind, name), wanted in changes.items()]

    def connected(self) -> None:
        """Redis is there, and has taken note of every subscription."""
        self.up = True
        for watcher in tuple(self._watchers):
            watcher.broker_connected(self.resumed)
        self.resumed = True

    def lost(self, reason: str) -> None:
        """Redis is gone, or was not found; ``reason`` is a sentence for people. What waited to leave fails."""
        was_up, self.up = self.up, False
        self.reason = reason
        # Every subscription is made anew.
        self._changes = {}
        for command in self.take_commands():
            command.failed(reason)
        if was_up:
            for watcher in tuple(self._watchers):
                watcher.broker_lost(reason)

    def received(self, kind: Kind, name: str, channel: str, data: bytes) -> None:
        """A message has arrived on ``channel``, because of the subscription to ``name``."""
        subscription = self.subscriptions.get((kind, name))
        if subscription is None:
            return
        receivers = subscription.receivers
        if len(receivers) == 1:
            receivers[0].message_received(channel, data)
            return
        for receiver in tuple(receivers):
            receiver.message_received(channel, data)

    def entries(self, stream: str, entries: list[Entry]) -> None:
        """These entries of a stream that is followed came next."""
        follower = self.followed.get(stream)
        if follower is not None:
            follower.received(entries)

    def _change(self, kind: Kind, name: str, wanted: bool) -> None:
        # While it is down nothing is known there, and all is told when it comes.
        if self.up:
            self._changes[kind, name] = wanted
            self._wake()

    def _wake(self) -> None:
        if self.wake is not None:
            self.wake()
