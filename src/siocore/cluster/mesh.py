"""The adapter of workers on one machine: each is linked to each other, and nobody is between them.

Who is there is known from the links, so counts are exact, nobody sends heartbeats, and a worker that dies is not
waited for. How the links are made is the driver's business: it takes what is to be sent with
:meth:`MeshCluster.take_messages`, and hands in what arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from siocore._speedups import Reconstructor, decode_socket_packet, encode_packet
from siocore.cluster.adapter import ClusterAdapter, new_uid
from siocore.cluster.cluster import Cluster
from siocore.driven import ServerEndpoint
from siocore.errors import DecodeError
from siocore.events import AdapterDown, AdapterUp, Outage
from siocore.options import Limits
from siocore.packets import SocketPacketType
from siocore.socketio.adapter import MemoryAdapter

if TYPE_CHECKING:
    from siocore.socketio.namespace import Namespace

__all__ = ["MeshAdapter", "MeshCluster", "decode_message", "encode_message"]

_EVENT = SocketPacketType.EVENT.value
_LENGTH: Final = Struct("!I")
#: Workers are trusted with as much as memory has. What bounds them is the queue of each link.
_LIMITS: Final = Limits(
    max_payload=1 << 31,
    max_attachments=1 << 20,
    max_json_depth=160,
    max_namespace_length=1 << 20,
    max_event_name=1 << 20,
)


def encode_message(message: dict[str, Any]) -> bytes:
    """A message as one block: a packet of Socket.IO, and its attachments. Raises LocalProtocolError."""
    text, attachments = encode_packet(_EVENT, "/", ("", message), None)
    return b"".join(part for each in (text, *attachments) for part in (_LENGTH.pack(len(each)), each))


def decode_message(block: bytes) -> Any:
    """The message in a block. Raises DecodeError."""
    parts = []
    at = 0
    while at < len(block):
        if at + _LENGTH.size > len(block):
            raise DecodeError("a block that ends in the middle of a length")
        (length,) = _LENGTH.unpack_from(block, at)
        at += _LENGTH.size
        if at + length > len(block):
            raise DecodeError("a block that is shorter than it says")
        parts.append(block[at : at + length])
        at += length
    if not parts:
        raise DecodeError("an empty block")
    try:
        packet = decode_socket_packet(parts[0].decode(), 0, _LIMITS)
    except UnicodeDecodeError:
        raise DecodeError("text that is not UTF-8") from None
    if packet.attachments:
        reconstructor = Reconstructor(packet, _LIMITS)
        if len(parts) - 1 != packet.attachments or not [reconstructor.add(part) for part in parts[1:]][-1]:
            raise DecodeError("another number of attachments than announced")
    elif len(parts) != 1:
        raise DecodeError("attachments that nobody has announced")
    data: Any = packet.data
    if len(data) != 2:
        raise DecodeError("a message is one value")
    return data[1]


class MeshCluster(Cluster):
    """The workers of one machine."""

    def __init__(self) -> None:
        super().__init__()
        self._uid = ""
        self._nodes: set[str] = set()
        self._messages: list[tuple[str | None, bytes]] = []
        #: Messages that were dropped because a worker did not take them in time, since the last time it did.
        self.dropped = 0
        #: Messages of others that nobody could read.
        self.garbage = 0
        self._slow_since: float | None = None

    @property
    def uid(self) -> str:
        return self._uid

    @property
    def up(self) -> bool:
        return self._slow_since is None

    @property
    def nodes(self) -> frozenset[str]:
        """The ids of the other workers that are there."""
        return frozenset(self._nodes)

    def bind(self, hub: ServerEndpoint) -> None:
        super().bind(hub)
        self._uid = new_uid(hub)

    def __call__(self) -> MeshAdapter:
        return MeshAdapter(self)

    def send(self, uid: str | None, message: dict[str, Any]) -> None:
        """To one worker, or to all others."""
        if not self._nodes:
            return
        self._messages.append((uid, encode_message(message)))
        if len(self._messages) == 1 and self.hub.wake is not None:
            self.hub.wake()

    # For the driver -------------------------------------------------------------------------------------------

    def take_messages(self) -> list[tuple[str | None, bytes]]:
        """What is to be sent, in order: to whom (None: to all others), and a block."""
        messages, self._messages = self._messages, []
        return messages

    def node_joined(self, uid: str) -> None:
        """Another worker is linked to us in both directions."""
        self._nodes.add(uid)

    def node_left(self, uid: str) -> None:
        """Its link is gone."""
        self._nodes.discard(uid)
        for adapter in self._adapters():
            adapter.node_left(uid)

    def received(self, block: bytes) -> None:
        """Another worker has sent this. Whatever is wrong with it, this raises nothing."""
        try:
            message = decode_message(block)
            name = message.get("nsp") if isinstance(message, dict) else None
            for adapter in self._adapters():
                if adapter.namespace.name == name:
                    adapter.envelope_received(message)
        except DecodeError:
            self.garbage += 1

    def message_dropped(self) -> None:
        """A worker has so much to take already that a message was dropped."""
        self.dropped += 1
        if self._slow_since is None:
            self._slow_since = self.hub.now
            self.hub.push_event(AdapterDown("another worker does not take what it is sent"))

    def caught_up(self) -> None:
        """All workers have taken what they were sent."""
        if self._slow_since is not None:
            outage = Outage(self.hub.now - self._slow_since, self.dropped, "")
            self._slow_since = None
            self.dropped = 0
            self.hub.push_event(AdapterUp(outage))

    def _adapters(self) -> list[MeshAdapter]:
        namespaces: dict[str, Namespace] = getattr(self.hub, "namespaces", {})
        return [each.adapter for each in namespaces.values() if isinstance(each.adapter, MeshAdapter)]


class MeshAdapter(ClusterAdapter):
    """The rooms of one namespace, with those of the other workers."""

    __slots__ = ("_mesh",)

    def __init__(self, cluster: MeshCluster) -> None:
        super().__init__(cluster)
        self._mesh = cluster

    def start_recovery(self, namespace: Namespace) -> None:
        """Each worker keeps its own: a client that comes back to another one begins anew."""
        MemoryAdapter.start_recovery(self, namespace)

    def publish(self, type: int, data: dict[str, Any] | None = None) -> None:
        self._mesh.send(None, self._envelope(type, data))

    def respond(self, uid: str, type: int, data: dict[str, Any]) -> None:
        self._mesh.send(uid, self._envelope(type, data))

    def count_nodes(self, done: Callable[[int | None, str | None], None]) -> None:
        done(1 + len(self._mesh.nodes), None)

    def name_nodes(self, done: Callable[[frozenset[str] | None, str | None], None]) -> None:
        done(self._mesh.nodes | {self._mesh.uid}, None)

    def _envelope(self, type: int, data: dict[str, Any] | None) -> dict[str, Any]:
        return {"type": type, "data": data, "uid": self._mesh.uid, "nsp": self.namespace.name}
