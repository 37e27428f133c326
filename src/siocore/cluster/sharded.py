"""The adapter over Redis' sharded publish/subscribe: Node.js' ``createShardedAdapter``.

A channel for each namespace, one for the answers to each server, and, in the dynamic modes, one for each room that has
a member here: what is for one room alone then reaches only the servers that have somebody in it.

Source: @socket.io/redis-adapter 8.3, ShardedRedisAdapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from siocore.cluster.adapter import ClusterAdapter, new_uid
from siocore.cluster.broker import Broker, CountSubscribers, Kind, ListChannels, Publish
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.codec import decode, encode, encode_json
from siocore.cluster.messages import MessageType, array_of, json_options, literally, write_options
from siocore.driven import ServerEndpoint
from siocore.errors import DecodeError

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing
    from siocore.socketio.adapter import Selection
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = ["MODES", "ShardedAdapter", "ShardedCluster"]

MODES = ("dynamic", "static", "dynamic-private")
#: Rooms with names of this length look like sockets' own, and have no channel in the mode "dynamic".
_ID_LENGTH = 20
#: A pattern for the id of a server.
_ANY_UID = "[0-9a-f]" * 16


class ShardedCluster(BrokerCluster):
    """Servers that meet in Redis' sharded publish/subscribe.

    ``channel_prefix`` is how the channels' names begin, the same on all servers. ``mode`` says which rooms have a
    channel of their own: ``"static"`` none, ``"dynamic"`` all but those of single sockets, ``"dynamic-private"`` all.
    It has to be the same on all servers, too. Raises ValueError for another mode.
    """

    def __init__(
        self, *, channel_prefix: str = "socket.io", mode: str = "dynamic", broker: Broker | None = None
    ) -> None:
        super().__init__(broker)
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        self.channel_prefix = channel_prefix
        self.mode = mode
        self._uid = ""

    @property
    def uid(self) -> str:
        return self._uid

    def bind(self, hub: ServerEndpoint) -> None:
        """Raises ValueError if the ids of sockets don't have the length that Node.js' servers tell them by."""
        length = len(hub.options.generate_id())
        if self.mode == "dynamic" and length != _ID_LENGTH:
            raise ValueError(
                f"generate_id makes ids of {length} characters: in the mode 'dynamic' other servers tell the room of a "
                f"socket by its {_ID_LENGTH} characters"
            )
        super().bind(hub)
        self._uid = new_uid(hub)

    def __call__(self) -> ShardedAdapter:
        return ShardedAdapter(self)

    def gap(self) -> str:
        return "what the other servers sent meanwhile did not arrive"


class ShardedAdapter(ClusterAdapter):
    """The rooms of one namespace, with those of other servers."""

    __slots__ = ("_channel", "_ending", "_own_channel", "_sharded")

    cluster: ShardedCluster

    def __init__(self, cluster: ShardedCluster) -> None:
        super().__init__(cluster)
        self._sharded = cluster

    def open(self, namespace: Namespace) -> None:
        super().open(namespace)
        self._channel = f"{self._sharded.channel_prefix}#{namespace.name}#"
        self._own_channel = f"{self._channel}{self._sharded.uid}#"
        # What comes behind the options of an event in JSON.
        self._ending = b',"uid":%b,"nsp":%b}' % (
            encode_json(self._sharded.uid) or b"",
            encode_json(namespace.name) or b"",
        )
        broker = self._sharded.broker
        broker.watch(self)
        broker.subscribe(Kind.SHARD, self._channel, self)
        broker.subscribe(Kind.SHARD, self._own_channel, self)

    def close(self) -> None:
        broker = self._sharded.broker
        broker.unsubscribe(Kind.SHARD, self._channel, self)
        broker.unsubscribe(Kind.SHARD, self._own_channel, self)
        for room in (*self._rooms, *self._sockets):
            broker.unsubscribe(Kind.SHARD, f"{self._channel}{room}#", self)
        broker.unwatch(self)
        super().close()

    def broker_connected(self, resumed: bool) -> None:
        return

    def broker_lost(self, reason: str) -> None:
        self.give_up()

    def start_recovery(self, namespace: Namespace) -> None:
        # Nobody would hear what is meant for the rooms of a socket that is gone.
        raise ValueError(
            "sharded publish/subscribe keeps no events: connection state recovery in a cluster needs Redis streams"
        )

    # Rooms --------------------------------------------------------------------------------------------------------

    def add(self, socket: Socket) -> None:
        super().add(socket)
        if self._sharded.mode == "dynamic-private":
            self._sharded.broker.subscribe(Kind.SHARD, f"{self._channel}{socket.id}#", self)

    def remove(self, socket: Socket) -> None:
        super().remove(socket)
        if self._sharded.mode == "dynamic-private":
            self._sharded.broker.unsubscribe(Kind.SHARD, f"{self._channel}{socket.id}#", self)

    def join(self, socket: Socket, rooms: Iterable[str]) -> None:
        names = tuple(rooms)
        if self._sharded.mode != "static":
            # A name may be there twice.
            for room in set(names):
                if room not in self._rooms:
                    self._sharded.broker.subscribe(Kind.SHARD, f"{self._channel}{room}#", self)
        super().join(socket, names)

    def leave(self, socket: Socket, rooms: Iterable[str]) -> None:
        names = {room for room in rooms if room in self._rooms}
        super().leave(socket, names)
        if self._sharded.mode != "static":
            for room in names:
                if room not in self._rooms:
                    self._sharded.broker.unsubscribe(Kind.SHARD, f"{self._channel}{room}#", self)

    # How messages travel --------------------------------------------------------------------------------------------

    def publish(self, type: int, data: dict[str, Any] | None = None) -> None:
        self._send(self._channel, encode(self._envelope(type, data)))

    def publish_broadcast(self, data: tuple[object, ...], message: Outgoing, selection: Selection) -> None:
        if not self._sharded.up:
            self._sharded.dropped += 1
            return
        array = array_of(message) if self.namespace.parser is None else None
        if array is None:
            packet = {"type": 2, "data": list(data)}
            body = {"packet": packet, "opts": write_options(selection)}
            payload = encode(self._envelope(MessageType.BROADCAST, body))
        else:
            # What clients get has the same JSON in it.
            payload = b'{"type":3,"data":{"packet":{"type":2,"data":%b},"opts":%b}%b' % (
                array,
                json_options(selection),
                self._ending,
            )
        self._send(self._channel_for(selection.rooms), payload)

    def respond(self, uid: str, type: int, data: dict[str, Any]) -> None:
        self._send(f"{self._channel}{uid}#", encode(self._envelope(type, data)))

    def count_nodes(self, done: Callable[[int | None, str | None], None]) -> None:
        self._sharded.broker.send(CountSubscribers(self._channel, True, done))

    def name_nodes(self, done: Callable[[frozenset[str] | None, str | None], None]) -> None:
        prefix = self._channel

        def named(channels: list[str] | None, fault: str | None) -> None:
            if channels is None:
                done(None, fault)
            else:
                done(frozenset(each[len(prefix) : -1] for each in channels), None)

        self._sharded.broker.send(ListChannels(f"{literally(prefix)}{_ANY_UID}#", True, named))

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published on one of the channels. Whatever is wrong with it, this raises nothing."""
        try:
            self.envelope_received(decode(data))
        except DecodeError as error:
            self._sharded.garbage_received(channel, str(error))

    def _envelope(self, type: int, data: dict[str, Any] | None) -> dict[str, Any]:
        if data is None:
            return {"type": type, "uid": self._sharded.uid, "nsp": self.namespace.name}
        return {"type": type, "data": data, "uid": self._sharded.uid, "nsp": self.namespace.name}

    def _channel_for(self, rooms: frozenset[str]) -> str:
        if len(rooms) == 1 and self._sharded.mode != "static":
            (room,) = rooms
            if self._sharded.mode == "dynamic-private" or not _looks_like_an_id(room):
                return f"{self._channel}{room}#"
        return self._channel

    def _send(self, channel: str, payload: bytes) -> None:
        self._sharded.broker.send(Publish(channel, payload, True, self._sent))

    def _sent(self, receivers: int | None, fault: str | None) -> None:
        if fault is not None:
            self._sharded.dropped += 1


def _looks_like_an_id(room: str) -> bool:
    if room.isascii():
        return len(room) == _ID_LENGTH
    # JavaScript counts in units of UTF-16.
    return len(room.encode("utf-16-le", "surrogatepass")) == 2 * _ID_LENGTH
