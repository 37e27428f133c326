"""The protocol that all newer adapters of Node.js share: messages to every server of a cluster, and their answers.

Here is what the messages mean. Subclasses say how they travel: :meth:`ClusterAdapter.publish` and
:meth:`ClusterAdapter.respond` send, and what arrives goes to :meth:`ClusterAdapter.envelope_received`.

Local delivery happens at once, whatever becomes of the rest. Our own messages are ignored when they come back.

Source: socket.io-adapter 2.5, ClusterAdapter and ClusterAdapterWithHeartbeat.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from siocore.cluster.codec import encode_msgpack
from siocore.cluster.delivery import deliver_event, describe_sockets
from siocore.cluster.messages import (
    MessageType,
    read_options,
    read_packet,
    read_request_id,
    read_rooms,
    read_timeout,
    write_options,
)
from siocore.cluster.requests import (
    AnswersRequest,
    BroadcastRequest,
    FetchRequest,
    ForwardedAck,
    Request,
)
from siocore.errors import DecodeError, LocalProtocolError
from siocore.packets import SocketPacketType
from siocore.socketio.adapter import MemoryAdapter, Selection, SocketList
from siocore.socketio.remote import describe_socket
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.cluster.cluster import Cluster
    from siocore.codec.message import Outgoing
    from siocore.driven import ServerEndpoint
    from siocore.socketio.acks import BroadcastAck, ServerSideAck
    from siocore.socketio.namespace import Namespace

__all__ = ["ClusterAdapter", "new_uid"]

_EVENT = SocketPacketType.EVENT.value
#: How often is looked whether those who have not answered are there, in seconds.
_CHECK_INTERVAL = 1.0
#: How long answers of clients are handed on if the server that asked does not say how long it waits, in seconds.
_ACK_TIMEOUT = 5.0
#: Requests under way, in each direction and each namespace.
_MAX_REQUESTS = 10_000
#: Characters in the id of a server.
_MAX_UID = 100


def new_uid(hub: ServerEndpoint) -> str:
    """An id as Node.js' servers make them for themselves and for requests: 16 hexadecimal digits."""
    return sha256(hub.options.generate_id().encode()).hexdigest()[:16]


class ClusterAdapter(MemoryAdapter):
    """The rooms of one namespace, and the way to those of other servers."""

    __slots__ = ("_check_timer", "_forwarded", "_requests", "cluster", "namespace")

    namespace: Namespace

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self._requests: dict[str, Request] = {}
        self._forwarded: set[ForwardedAck] = set()
        self._check_timer: Timer | None = None

    @property
    def up(self) -> bool:
        return self.cluster.up

    @property
    def hub(self) -> ServerEndpoint:
        return self.namespace.hub

    def open(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def close(self) -> None:
        self.give_up()
        for pending in tuple(self._forwarded):
            pending.cancel()
        self.hub.timers.cancel(self._check_timer)
        self._check_timer = None

    # For subclasses: how messages travel --------------------------------------------------------------------------

    @abstractmethod
    def publish(self, type: int, data: dict[str, Any] | None = None) -> None:
        """Send a message to all other servers. Raises LocalProtocolError if ``data`` can't be written."""

    @abstractmethod
    def respond(self, uid: str, type: int, data: dict[str, Any]) -> None:
        """Send an answer to one other server. Raises LocalProtocolError if ``data`` can't be written."""

    @abstractmethod
    def count_nodes(self, done: Callable[[int | None, str | None], None]) -> None:
        """Call ``done`` with the number of servers, this one included; or with None, and why nobody can be reached."""

    @abstractmethod
    def name_nodes(self, done: Callable[[frozenset[str] | None, str | None], None]) -> None:
        """Call ``done`` with the ids of the servers, this one's included; or with None, and why nobody can say."""

    def publish_broadcast(self, data: tuple[object, ...], message: Outgoing, selection: Selection) -> None:
        """Send an event to the clients of all other servers; nobody acknowledges it."""
        self.publish(
            MessageType.BROADCAST,
            {"packet": {"type": _EVENT, "data": list(data)}, "opts": write_options(selection)},
        )

    def node_left(self, uid: str) -> None:
        """Another server is gone: nobody waits for it any more."""
        for request in tuple(self._requests.values()):
            request.left(uid)

    def give_up(self) -> None:
        """The other servers can't be reached any more: nobody waits for them."""
        for request in tuple(self._requests.values()):
            request.lost()

    # To others ----------------------------------------------------------------------------------------------------

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        if not selection.local:
            if ack is None:
                self.publish_broadcast(data, message, selection)
            else:
                self._ask_clients(data, selection, ack)
        MemoryAdapter.broadcast(self, data, message, selection, ack)

    def sockets_join(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        if not selection.local:
            self.publish(MessageType.SOCKETS_JOIN, {"opts": write_options(selection), "rooms": names})
        super().sockets_join(selection, names)

    def sockets_leave(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        if not selection.local:
            self.publish(MessageType.SOCKETS_LEAVE, {"opts": write_options(selection), "rooms": names})
        super().sockets_leave(selection, names)

    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None:
        if not selection.local:
            self.publish(MessageType.DISCONNECT_SOCKETS, {"opts": write_options(selection), "close": close})
        super().disconnect_sockets(selection, close=close)

    def fetch_sockets(self, selection: Selection, timeout: float) -> Awaitable[SocketList]:
        if selection.local:
            return super().fetch_sockets(selection, timeout)
        request = FetchRequest(
            self._new_id(), self.cluster.uid, self._forget, self.namespace, timeout, self.members(selection)
        )
        self._ask(request, MessageType.FETCH_SOCKETS, {"opts": write_options(selection), "requestId": request.id})
        return request.awaited

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        if ack is None:
            self.publish(MessageType.SERVER_SIDE_EMIT, {"packet": list(data)})
            return
        request = AnswersRequest(self._new_id(), self.cluster.uid, self._forget, ack)
        self._ask(request, MessageType.SERVER_SIDE_EMIT, {"requestId": request.id, "packet": list(data)})

    def _ask_clients(self, data: tuple[object, ...], selection: Selection, ack: BroadcastAck) -> None:
        options = write_options(selection)
        if ack.deadline is not None:
            options["flags"]["timeout"] = round((ack.deadline - self.hub.now) * 1000)
        request = BroadcastRequest(self._new_id(), self.cluster.uid, self._forget, ack)
        self._ask(
            request,
            MessageType.BROADCAST,
            {"packet": {"type": _EVENT, "data": list(data)}, "requestId": request.id, "opts": options},
        )

    def _new_id(self) -> str:
        if len(self._requests) >= _MAX_REQUESTS:
            raise LocalProtocolError(f"{len(self._requests)} requests to other servers are under way")
        return new_uid(self.hub)

    def _ask(self, request: Request, type: int, data: dict[str, Any]) -> None:
        self._requests[request.id] = request
        # The names come first: whoever is named is counted, too.
        self.name_nodes(request.named)
        self.count_nodes(request.counted)
        # If this raises, whoever asks gives up on the acknowledgement, and that on the request.
        self.publish(type, data)
        if self._check_timer is None and self._requests:
            self._watch()

    def _forget(self, request_id: str) -> None:
        self._requests.pop(request_id, None)

    def timer_expired(self, kind: int, now: float) -> None:
        """Some have not answered for a while: they may be gone."""
        self._check_timer = None
        if self._requests:
            self.name_nodes(self._named)
            self._watch()

    def _watch(self) -> None:
        self._check_timer = self.hub.timers.arm(self.hub.now + _CHECK_INTERVAL, self, 0)

    def _named(self, present: frozenset[str] | None, fault: str | None) -> None:
        if present is not None:
            for request in tuple(self._requests.values()):
                request.present(present)

    # From others --------------------------------------------------------------------------------------------------

    def envelope_received(self, message: object, offset: str | None = None) -> None:
        """A message, or an answer, of another server. ``offset`` is its place in the stream that it came from, if any.

        Raises DecodeError for what is none.
        """
        if not isinstance(message, dict):
            raise DecodeError("a message is a map")
        uid, kind = message.get("uid"), message.get("type")
        # The id becomes a part of the name of a channel.
        if type(uid) is not str or not uid.isascii() or not 0 < len(uid) <= _MAX_UID:
            raise DecodeError("a message has the id of its sender")
        if uid == self.cluster.uid or message.get("nsp") != self.namespace.name:
            return
        handler = _HANDLERS.get(kind) if type(kind) is int else None
        if handler is None:
            raise DecodeError("a message of a type that there is not")
        data = message.get("data")
        if data is None:
            data = {}
        elif not isinstance(data, dict):
            raise DecodeError("the data of a message is a map")
        handler(self, uid, data, offset)

    def event_received(self, data: list[Any], selection: Selection, offset: str | None) -> None:
        """An event of another server for our clients, which nobody acknowledges."""
        deliver_event(self, self.namespace, data, selection)

    def _broadcast_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        options = data.get("opts")
        selection = read_options(options)
        event = read_packet(data.get("packet"))
        if "requestId" not in data:
            self.event_received(event, selection, offset)
            return
        request_id = read_request_id(data)
        if len(self._forwarded) >= _MAX_REQUESTS:
            raise DecodeError("too many broadcasts wait for our clients")
        pending = ForwardedAck(
            self.hub,
            self.namespace.next_ack_id(),
            _ack_timeout(options),
            partial(self._tell_client_count, uid, request_id),
            partial(self._tell_client_answer, uid, request_id),
            self._forwarded.discard,
        )
        self._forwarded.add(pending)
        try:
            deliver_event(self, self.namespace, event, selection, pending)
        except DecodeError:
            pending.cancel()
            raise

    def _tell_client_count(self, uid: str, request_id: str, clients: int) -> None:
        self.respond(uid, MessageType.BROADCAST_CLIENT_COUNT, {"requestId": request_id, "clientCount": clients})

    def _tell_client_answer(self, uid: str, request_id: str, args: list[object]) -> None:
        data: dict[str, Any] = {"requestId": request_id}
        try:
            self.respond(uid, MessageType.BROADCAST_ACK, {**data, "packet": args[0]} if args else data)
        except LocalProtocolError:
            # A client may send text that is no Unicode: that is no fault of whoever waits.
            self.respond(uid, MessageType.BROADCAST_ACK, data)

    def _join_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        selection, rooms = read_options(data.get("opts")), read_rooms(data.get("rooms"))
        try:
            super().sockets_join(selection, rooms)
        except LocalProtocolError as error:
            raise DecodeError(str(error)) from None

    def _leave_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        super().sockets_leave(read_options(data.get("opts")), read_rooms(data.get("rooms")))

    def _disconnect_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        super().disconnect_sockets(read_options(data.get("opts")), close=data.get("close") is True)

    def _fetch_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        request_id = read_request_id(data)
        sockets = self.members(read_options(data.get("opts")))
        described = [describe_socket(socket) for socket in sockets]
        try:
            self.respond(uid, MessageType.FETCH_SOCKETS_RESPONSE, {"requestId": request_id, "sockets": described})
        except LocalProtocolError:
            # Something is kept with them that no other server can have: an object, or text that is no Unicode.
            described = describe_sockets(sockets, encode_msgpack)
            self.respond(uid, MessageType.FETCH_SOCKETS_RESPONSE, {"requestId": request_id, "sockets": described})

    def _server_side_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        event = read_packet(data.get("packet"))
        if "requestId" in data:
            answer = partial(self._tell_answer, uid, read_request_id(data))
            self.namespace.server_side_received(event, answer)
        else:
            self.namespace.server_side_received(event)

    def _tell_answer(self, uid: str, request_id: str, value: object) -> None:
        self.respond(uid, MessageType.SERVER_SIDE_EMIT_RESPONSE, {"requestId": request_id, "packet": value})

    # Answers

    def _request(self, data: dict[str, Any]) -> Request | None:
        # Most of those that are not there have had their time.
        return self._requests.get(read_request_id(data))

    def _sockets_fetched(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        request = self._request(data)
        if isinstance(request, FetchRequest):
            request.answered(uid, {"sockets": data.get("sockets")})

    def _server_answered(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        request = self._request(data)
        if isinstance(request, AnswersRequest):
            request.answered(uid, {"data": data.get("packet")})

    def _clients_counted(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        request = self._request(data)
        if isinstance(request, BroadcastRequest):
            request.clients_counted(uid, data.get("clientCount"))

    def _client_answered(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        request = self._request(data)
        if isinstance(request, BroadcastRequest):
            request.client_answered(uid, data.get("packet"))

    def _goodbye_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        self.node_left(uid)

    def _heartbeat_received(self, uid: str, data: dict[str, Any], offset: str | None) -> None:
        """Who is there is asked otherwise."""


def _ack_timeout(options: object) -> float:
    """How long a server waits for the answers of clients, in seconds."""
    timeout = read_timeout(options.get("flags")) if isinstance(options, dict) else None
    return _ACK_TIMEOUT if timeout is None else timeout


_HANDLERS: dict[int, Callable[[ClusterAdapter, str, dict[str, Any], str | None], None]] = {
    MessageType.BROADCAST: ClusterAdapter._broadcast_received,
    MessageType.SOCKETS_JOIN: ClusterAdapter._join_received,
    MessageType.SOCKETS_LEAVE: ClusterAdapter._leave_received,
    MessageType.DISCONNECT_SOCKETS: ClusterAdapter._disconnect_received,
    MessageType.FETCH_SOCKETS: ClusterAdapter._fetch_received,
    MessageType.SERVER_SIDE_EMIT: ClusterAdapter._server_side_received,
    MessageType.FETCH_SOCKETS_RESPONSE: ClusterAdapter._sockets_fetched,
    MessageType.SERVER_SIDE_EMIT_RESPONSE: ClusterAdapter._server_answered,
    MessageType.BROADCAST_CLIENT_COUNT: ClusterAdapter._clients_counted,
    MessageType.BROADCAST_ACK: ClusterAdapter._client_answered,
    MessageType.INITIAL_HEARTBEAT: ClusterAdapter._heartbeat_received,
    MessageType.HEARTBEAT: ClusterAdapter._heartbeat_received,
    MessageType.ADAPTER_CLOSE: ClusterAdapter._goodbye_received,
}
