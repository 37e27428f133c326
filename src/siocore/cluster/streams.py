"""The adapter over Redis streams: Node.js' @socket.io/redis-streams-adapter 0.3.

What must not be lost is an entry of a stream, which each server reads from where it was: broadcasts, joins, leaves and
disconnections. Questions, and what else is worth nothing later, go through publish/subscribe, and so do all answers.

While Redis is gone, entries wait here, bounded, and are added in order when it is back. Whether an entry was added
whose answer was lost is found out by looking at the end of the stream: a connection's commands are carried out in
order, so those of ours that are there are the first of those that are in question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from siocore.cluster.adapter import new_uid
from siocore.cluster.broker import (
    AddEntry,
    Broker,
    Entry,
    Follower,
    ReadEntries,
)
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.streams_adapter import StreamsAdapter
from siocore.cluster.streams_wire import Fields, order
from siocore.driven import ServerEndpoint

__all__ = ["StreamsCluster"]


class _Queue:
    """The entries that are to be added to one stream, in order."""

    __slots__ = ("asked", "base", "last", "size", "stream", "under_way", "waiting")

    def __init__(self, stream: str, base: str) -> None:
        self.stream = stream
        #: An entry that was there before all of ours.
        self.base = base
        #: Sent, and not answered yet.
        self.under_way: deque[_Addition] = deque()
        #: Not sent.
        self.waiting: deque[_Addition] = deque()
        #: Bytes of both.
        self.size = 0
        #: The latest of ours that was added.
        self.last = ""
        #: What was under way is being looked for.
        self.asked = False


class _Addition(AddEntry):
    """An entry that is to be added. It may be sent again."""

    __slots__ = ("_cluster", "_heard", "queue", "size")

    def __init__(
        self,
        cluster: StreamsCluster,
        queue: _Queue,
        fields: Fields,
        size: int,
        heard: Callable[[str | None], None] | None,
    ) -> None:
        AddEntry.__init__(self, queue.stream, fields, cluster.max_length)
        self.queue = queue
        #: Bytes of the fields.
        self.size = size
        self._cluster = cluster
        # Who is to hear of its id.
        self._heard = heard

    def answered(self, reply: Any) -> None:
        self._cluster.settle(self.queue, reply)

    def failed(self, reason: str, refused: bool = False) -> None:
        # If it is not known whether it was added it stays where it is until that is known.
        if refused:
            self._cluster.dropped += 1
            self._cluster.settle(self.queue, None)

    def settled(self, identifier: str | None) -> None:
        """It has this id; None: it was not added."""
        if self._heard is not None:
            self._heard(identifier)


class StreamsCluster(BrokerCluster):
    """Servers that read each other's messages from a Redis stream."""

    def __init__(
        self,
        *,
        stream_name: str = "socket.io",
        stream_count: int = 1,
        channel_prefix: str = "socket.io",
        sharded: bool = False,
        max_length: int = 10_000,
        read_count: int = 100,
        session_key_prefix: str = "sio:session:",
        max_queue: int = 10_000,
        max_queue_size: int = 16_777_216,
        broker: Broker | None = None,
    ) -> None:
        """
        :param stream_name: the name of the stream, or how those of several begin; the same on all servers.
        :param stream_count: how many streams there are: each namespace has one of them.
        :param channel_prefix: how the names of channels begin.
        :param sharded: whether questions and answers go through sharded publish/subscribe (Redis 7).
        :param max_length: how many entries a stream keeps, about.
        :param read_count: how many entries are read at once.
        :param session_key_prefix: how the keys of sessions begin that may be recovered.
        :param max_queue: how many entries may wait while Redis is gone, and
        :param max_queue_size: how many bytes these may have. What comes then is dropped, and counted.
        """
        super().__init__(broker)
        if stream_count < 1:
            raise ValueError(f"there is one stream at least, not {stream_count!r}")
        self.stream_name = stream_name
        self.stream_count = stream_count
        self.channel_prefix = channel_prefix
        self.sharded = sharded
        self.max_length = max_length
        self.session_key_prefix = session_key_prefix
        self._max_queue = max_queue
        self._max_queue_size = max_queue_size
        self._uid = ""
        self._gap = ""
        self._queues: dict[str, _Queue] = {}
        self._positions: dict[str, str] = {}
        self.adapters: dict[str, StreamsAdapter] = {}
        numbers = range(1 - stream_count, stream_count)
        for name in [stream_name] if stream_count == 1 else [f"{stream_name}-{number}" for number in numbers]:
            self.broker.follow(Follower(name, self._entries_received, read_count))

    @property
    def uid(self) -> str:
        return self._uid

    def bind(self, hub: ServerEndpoint) -> None:
        super().bind(hub)
        self._uid = new_uid(hub)

    def __call__(self) -> StreamsAdapter:
        return StreamsAdapter(self)

    def position(self, stream: str) -> str:
        """The id of the latest entry of a stream that was handled here."""
        return self._positions.get(stream) or self.broker.followed[stream].position or "0-0"

    # Outages ----------------------------------------------------------------------------------------------------

    def gap(self) -> str:
        return self._gap

    def broker_lost(self, reason: str) -> None:
        super().broker_lost(reason)
        for queue in self._queues.values():
            # Nothing overtakes what is there, also not when Redis is back.
            queue.asked = bool(queue.under_way or queue.waiting)
        for adapter in tuple(self.adapters.values()):
            adapter.broker_gone()

    def broker_connected(self, resumed: bool) -> None:
        self._gap = ""
        followers = [each for each in self.broker.followed.values() if resumed and each.position not in (None, "0-0")]
        left = len(followers)

        def looked(stream: str, position: str, entries: list[Entry] | None, fault: str | None) -> None:
            nonlocal left
            if fault is not None:
                # It is gone again.
                return
            left -= 1
            if not entries or order(entries[0][0]) > order(position):
                self._gap = f"entries of the stream {stream} are gone that were not read here"
            if not left:
                self._resumed(resumed)

        for follower in followers:
            position = follower.position or ""
            done = partial(looked, follower.stream, position)
            self.broker.send(ReadEntries(follower.stream, "-", "+", 1, done))
        if not followers:
            self._resumed(resumed)

    def _resumed(self, resumed: bool) -> None:
        for queue in self._queues.values():
            self._go_on(queue)
        super().broker_connected(resumed)

    # What is to be added --------------------------------------------------------------------------------------------

    def add(self, stream: str, fields: Fields, done: Callable[[str | None], None] | None = None) -> bool:
        """Add an entry, now or when Redis is back. ``done`` is called with its id, or with None if it can't be added.

        False if so much waits that it was dropped.
        """
        queue = self._queues.get(stream)
        if queue is None:
            queue = self._queues[stream] = _Queue(stream, self.broker.followed[stream].position or "0-0")
        if len(queue.under_way) + len(queue.waiting) >= self._max_queue or queue.size > self._max_queue_size:
            self.dropped += 1
            return False
        size = _size(fields)
        queue.size += size
        entry = _Addition(self, queue, fields, size, done)
        if self.broker.up and not queue.waiting and not queue.asked:
            queue.under_way.append(entry)
            self.broker.send(entry)
        else:
            queue.waiting.append(entry)
        return True

    def _go_on(self, queue: _Queue) -> None:
        """Redis is back: find out what of that which was under way has been added, then add the rest."""
        # What is under way and not asked for has been sent since.
        if queue.asked and queue.under_way:
            start = queue.last or queue.base
            done = partial(self._found, queue, start)
            self.broker.send(ReadEntries(queue.stream, start, "+", self.max_length * 2, done))
        else:
            queue.asked = False
            self._send_waiting(queue)

    def _found(self, queue: _Queue, start: str, entries: list[Entry] | None, fault: str | None) -> None:
        if entries is None:
            return
        queue.asked = False
        own = self._uid.encode()
        for identifier, fields in entries:
            if fields.get(b"uid") == own and queue.under_way and tuple(fields.items()) == queue.under_way[0].fields:
                self.settle(queue, identifier)
        if not entries or entries[0][0] != start:
            # The stream is not what it was: others may have read what is gone now. Twice is worse than not at all.
            while queue.under_way:
                self.dropped += 1
                self.settle(queue, None)
        queue.waiting.extendleft(reversed(queue.under_way))
        queue.under_way.clear()
        self._send_waiting(queue)

    def settle(self, queue: _Queue, identifier: str | None) -> None:
        """It is known what has become of the first that is under way."""
        entry = queue.under_way.popleft()
        queue.size -= entry.size
        if identifier is not None:
            queue.last = identifier
        entry.settled(identifier)

    def _send_waiting(self, queue: _Queue) -> None:
        waiting, queue.waiting = queue.waiting, deque()
        for entry in waiting:
            queue.under_way.append(entry)
            self.broker.send(entry)

    # What was added by others ---------------------------------------------------------------------------------------

    def _entries_received(self, stream: str, entries: list[Entry]) -> None:
        for identifier, fields in entries:
            self._positions[stream] = identifier
            adapter = self.adapters.get(fields.get(b"nsp", b"").decode("utf-8", "replace"))
            if adapter is not None:
                adapter.entry_received(identifier, fields)


def _size(fields: Fields) -> int:
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
    return size
