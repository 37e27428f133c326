"""The adapter of one namespace over Redis streams: what goes into the stream, and what comes out of it."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from siocore.cluster.adapter import ClusterAdapter
from siocore.cluster.broker import (
    CountSubscribers,
    Kind,
    ListChannels,
    Publish,
)
from siocore.cluster.codec import decode_msgpack, encode_json, encode_msgpack
from siocore.cluster.messages import MessageType, array_of, json_options, literally, write_options
from siocore.cluster.streams_recovery import Stamper, StreamSessions
from siocore.cluster.streams_wire import Fields, read_entry, stream_of
from siocore.errors import DecodeError, LocalProtocolError
from siocore.socketio.adapter import MemoryAdapter, Selection
from siocore.socketio.recovery import Missed, Returning, StoredSession

if TYPE_CHECKING:
    from siocore.cluster.streams import StreamsCluster
    from siocore.codec.message import Outgoing
    from siocore.socketio.acks import BroadcastAck
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = ["StreamsAdapter"]

_UID_LENGTH: Final = 16
_DURABLE: Final = frozenset(
    (
        MessageType.BROADCAST,
        MessageType.SOCKETS_JOIN,
        MessageType.SOCKETS_LEAVE,
        MessageType.DISCONNECT_SOCKETS,
    )
)


class StreamsAdapter(ClusterAdapter):
    """The rooms of one namespace, with those of other servers."""

    __slots__ = (
        "_channel",
        "_event_names",
        "_own",
        "_own_channel",
        "_queue",
        "_sessions",
        "_stamper",
        "_stream",
        "_streams",
        "_uid",
    )

    def __init__(self, cluster: StreamsCluster) -> None:
        super().__init__(cluster)
        self._streams = cluster
        self._stamper: Stamper | None = None
        self._sessions: StreamSessions | None = None
        # Events that wait for their entries, with those behind them, in order.
        self._queue: deque[_Event] = deque()
        # Those whose entries were not read yet, whether they wait for that or not.
        self._own: deque[_Event] = deque()

    def open(self, namespace: Namespace) -> None:
        super().open(namespace)
        cluster = self._streams
        self._stream = stream_of(namespace.name, cluster.stream_name, cluster.stream_count)
        self._channel = f"{cluster.channel_prefix}#{namespace.name}#"
        self._own_channel = f"{self._channel}{cluster.uid}#"
        self._uid = cluster.uid.encode()
        self._event_names = self._fields(MessageType.BROADCAST, b"")
        cluster.adapters[namespace.name] = self
        for channel in (self._channel, self._own_channel):
            cluster.broker.subscribe(Kind.SHARD if cluster.sharded else Kind.CHANNEL, channel, self)

    def close(self) -> None:
        cluster = self._streams
        for channel in (self._channel, self._own_channel):
            cluster.broker.unsubscribe(Kind.SHARD if cluster.sharded else Kind.CHANNEL, channel, self)
        cluster.adapters.pop(self.namespace.name, None)
        super().close()

    def broker_gone(self) -> None:
        """Redis is gone: nobody waits for it."""
        self.give_up()
        for event in self._queue:
            event.ready = True
        self._deliver_ready()
        if self._sessions is not None:
            self._sessions.broker_gone()

    # How messages travel --------------------------------------------------------------------------------------------

    def publish(self, type: int, data: dict[str, Any] | None = None) -> None:
        if type in _DURABLE and (data is None or "requestId" not in data):
            self._add(type, data)
        else:
            self._send(self._channel, type, data)

    def publish_broadcast(self, data: tuple[object, ...], message: Outgoing, selection: Selection) -> None:
        self._streams.add(self._stream, self._event_fields(data, message, selection))

    def respond(self, uid: str, type: int, data: dict[str, Any]) -> None:
        self._send(f"{self._channel}{uid}#", type, data)

    def count_nodes(self, done: Callable[[int | None, str | None], None]) -> None:
        self._streams.broker.send(CountSubscribers(self._channel, self._streams.sharded, done))

    def name_nodes(self, done: Callable[[frozenset[str] | None, str | None], None]) -> None:
        start = len(self._channel)

        def named(channels: list[str] | None, fault: str | None) -> None:
            done(None if channels is None else frozenset(each[start:-1] for each in channels), fault)

        pattern = f"{literally(self._channel)}{'[0-9a-f]' * _UID_LENGTH}#"
        self._streams.broker.send(ListChannels(pattern, self._streams.sharded, named))

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published on one of the channels. Whatever is wrong with it, this raises nothing."""
        try:
            self.envelope_received(decode_msgpack(data))
        except DecodeError as error:
            self._streams.garbage_received(channel, str(error))

    def entry_received(self, identifier: str, fields: dict[bytes, bytes]) -> None:
        """An entry of the stream that names this namespace. Whatever is wrong with it, this raises nothing."""
        if fields.get(b"uid") == self._uid:
            if self._own:
                self._own_entry(identifier, tuple(fields.items()))
            return
        try:
            self.envelope_received(read_entry(fields), identifier)
        except DecodeError as error:
            self._streams.garbage_received(self._stream, str(error))

    def _send(self, channel: str, type: int, data: dict[str, Any] | None) -> None:
        envelope: dict[str, Any] = {"type": type}
        if data is not None:
            envelope["data"] = data
        envelope |= {"uid": self._streams.uid, "nsp": self.namespace.name}
        payload = encode_msgpack(envelope)
        self._streams.broker.send(Publish(channel, payload, self._streams.sharded, self._sent))

    def _sent(self, receivers: int | None, fault: str | None) -> None:
        if fault is not None:
            self._streams.dropped += 1

    def _add(self, type: int, data: dict[str, Any] | None) -> None:
        text = b"" if data is None else encode_json(data)
        if text is None:
            text = b64encode(encode_msgpack(data))
        self._streams.add(self._stream, self._fields(type, text))

    def _fields(self, type: int, text: bytes) -> Fields:
        named = (
            (b"uid", self._streams.uid.encode()),
            (b"nsp", self.namespace.name.encode()),
            (b"type", b"%d" % type),
        )
        return (*named, (b"data", text)) if text else named

    def _event_fields(self, data: tuple[object, ...], message: Outgoing, selection: Selection) -> Fields:
        array = array_of(message)
        if array is not None:
            # What clients get has the same JSON in it.
            text = b'{"packet":{"type":2,"data":%b},"opts":%b}' % (array, json_options(selection))
        else:
            packet = {"packet": {"type": 2, "data": list(data)}, "opts": write_options(selection)}
            text = encode_json(packet) or b64encode(encode_msgpack(packet))
        return (*self._event_names, (b"data", text))

    # Recovery -------------------------------------------------------------------------------------------------------

    def start_recovery(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._stamper = Stamper(self)
        self._sessions = StreamSessions(self._streams, self)
        # It stands where events are handed to sockets.
        self._memory = self._stamper  # type: ignore[assignment]

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        if self._stamper is None:
            ClusterAdapter.broadcast(self, data, message, selection, ack)
            return
        # What clients get has the id of its entry in it, which only Redis knows; and they get all events in the order
        # of the stream, so that an offset says all. So ours are delivered when they are read, like those of others.
        event = _Event(data, message, selection, ack)
        if ack is not None and not selection.local:
            self._ask_clients(data, selection, ack)
            ack.hold()
        elif not selection.local:
            event.fields = self._event_fields(data, message, selection)
            if self._streams.add(self._stream, event.fields, partial(self._added, event)):
                event.ready = not self._streams.up
                self._own.append(event)
        self._queue.append(event)
        self._deliver_ready()

    def _added(self, event: _Event, identifier: str | None) -> None:
        if identifier is None:
            # It will not be read.
            event.fields = None
            event.ready = True
            self._deliver_ready()

    def _own_entry(self, identifier: str, fields: Fields) -> None:
        """An entry of ours was read: the next one, unless what was before it has got lost."""
        while self._own:
            event = self._own.popleft()
            if event.fields == fields and not event.ready:
                event.offset = identifier
            event.ready = True
            if event.fields == fields:
                break
        self._deliver_ready()

    def _deliver_ready(self) -> None:
        while self._queue and self._queue[0].ready:
            event = self._queue.popleft()
            self._deliver(event.data, event.message, event.selection, event.ack, event.offset)
            if event.ack is not None and not event.selection.local:
                event.ack.release()

    def _deliver(
        self,
        data: tuple[object, ...],
        message: Outgoing,
        selection: Selection,
        ack: BroadcastAck | None,
        offset: str | None,
    ) -> None:
        assert self._stamper is not None
        self._stamper.offset = offset
        MemoryAdapter.broadcast(self, data, message, selection, ack)
        if offset is not None and self._sessions is not None:
            self._sessions.heard(offset, data, message, selection)

    def event_received(self, data: list[Any], selection: Selection, offset: str | None) -> None:
        if self._stamper is None:
            super().event_received(data, selection, offset)
            return
        self._stamper.offset = offset
        super().event_received(data, selection, offset)
        if offset is not None and self._sessions is not None and not selection.volatile:
            try:
                message = self.namespace.encode(2, data, None)
            except LocalProtocolError:
                return
            self._sessions.heard(offset, tuple(data), message, selection)

    @property
    def owes_entries(self) -> bool:
        """Whether clients here have had events without an offset whose entries were not read yet."""
        return any(event.ready for event in self._own)

    @property
    def stream(self) -> str:
        """The stream of this namespace."""
        return self._stream

    def position(self) -> str:
        # A namespace is asked before it is open only if nobody is in it.
        return self._streams.position(self._stream)

    def persist_session(self, session: StoredSession) -> None:
        if self._sessions is not None:
            self._sessions.persist(session)

    def restore_session(self, pid: str, returning: Returning) -> None:
        if self._sessions is not None:
            self._sessions.restore(returning)

    def missed_events(self, session: StoredSession, offset: str | None) -> list[Missed] | None:
        return None if self._sessions is None else self._sessions.missed(session)

    def holds_session(self, sid: str) -> bool:
        # That is for Redis to know. Nobody guesses an id.
        return False

    def holds_sessions(self) -> bool:
        return False

    def stop_recovery(self) -> None:
        if self._sessions is not None:
            self._sessions.clear()

    def add(self, socket: Socket) -> None:
        super().add(socket)
        if self._sessions is not None and socket.recovery is not None:
            self._sessions.admitted(socket.recovery.pid)


class _Event:
    """An event on its way to our own clients."""

    __slots__ = ("ack", "data", "fields", "message", "offset", "ready", "selection")

    def __init__(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        self.data = data
        self.message = message
        self.selection = selection
        self.ack = ack
        #: Its entry, if it has one.
        self.fields: Fields | None = None
        #: Whether it need not wait any more, with its offset or without.
        self.ready = True
        self.offset: str | None = None
