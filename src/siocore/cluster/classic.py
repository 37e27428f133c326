"""The adapter over Redis' publish/subscribe that Node.js' servers have had from the beginning.

The wire is that of @socket.io/redis-adapter 8.3: events as MessagePack ``[uid, packet, opts]`` on one channel for each
namespace and one for each room, requests and answers as JSON (those with events or answers of clients as MessagePack)
on channels of their own. Our answers have one key more, ``uid`` at the end, which Node.js' servers don't look at: so
siocore's know whom they still wait for, and don't wait for a server that is gone.

Local delivery never waits for Redis. What other servers sent while Redis was gone is lost, as it is with Node.js.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Iterable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from siocore.cluster.broker import Broker, Kind, Publish
from siocore.cluster.classic_wire import (
    ClassicChannels,
    RequestType,
    beginning,
    json_of,
    narrowed,
    read_message,
)
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.codec import decode_msgpack, encode_msgpack
from siocore.cluster.delivery import deliver_event, describe_sockets
from siocore.cluster.messages import (
    msgpack_options,
    read_options,
    read_packet,
    read_request_id,
    read_rooms,
    read_timeout,
    write_options,
)
from siocore.cluster.requests import (
    AllRooms,
    AnswersRequest,
    BroadcastRequest,
    FetchRequest,
    ForwardedAck,
    Request,
    RoomsRequest,
)
from siocore.cluster.roster import Roster
from siocore.driven import ServerEndpoint
from siocore.errors import DecodeError, LocalProtocolError
from siocore.packets import SocketPacketType
from siocore.socketio.adapter import MemoryAdapter, Selection, SocketList
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing
    from siocore.socketio.acks import BroadcastAck, ServerSideAck
    from siocore.socketio.namespace import Namespace

__all__ = ["ClassicAdapter", "ClassicCluster"]

_EVENT = SocketPacketType.EVENT.value
#: How often is looked whether those who have not answered are there, in seconds.
_CHECK_INTERVAL = 1.0


class ClassicCluster(BrokerCluster):
    """Servers that meet in Redis' publish/subscribe, as those of Node.js with @socket.io/redis-adapter."""

    def __init__(
        self,
        *,
        key: str = "socket.io",
        requests_timeout: float = 5.0,
        specific_responses: bool = False,
        max_requests: int = 10_000,
        broker: Broker | None = None,
    ) -> None:
        """
        :param key: the first part of the channels' names, the same on all servers.
        :param requests_timeout: seconds in which the other servers are to answer ``all_rooms``; also how long answers
            of our clients are handed on to a server that doesn't say how long it waits.
        :param specific_responses: answer on the channel of the server that has asked, instead of one that all servers
            read (Node.js: publishOnSpecificResponseChannel).
        :param max_requests: how many requests may be under way, in each direction and each namespace.
        """
        super().__init__(broker)
        self.key = key
        self.requests_timeout = requests_timeout
        self.specific_responses = specific_responses
        self.max_requests = max_requests
        self._uid = ""

    @property
    def uid(self) -> str:
        return self._uid

    def bind(self, hub: ServerEndpoint) -> None:
        super().bind(hub)
        self._uid = self.new_id()

    def new_id(self) -> str:
        """Six characters, of those that Node.js' servers use."""
        return urlsafe_b64encode(sha256(self.hub.options.generate_id().encode()).digest()[:6])[:6].decode()

    def __call__(self) -> ClassicAdapter:
        return ClassicAdapter(self)

    def gap(self) -> str:
        return "what the other servers sent meanwhile did not arrive"


class ClassicAdapter(MemoryAdapter):
    """The rooms of one namespace, with those of other servers."""

    __slots__ = (
        "_beginning",
        "_broker",
        "_channels",
        "_cluster",
        "_forwarded",
        "_namespace",
        "_own_channel",
        "_requests",
        "_roster",
        "_timer",
    )

    _namespace: Namespace

    def __init__(self, cluster: ClassicCluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._broker = cluster.broker
        self._requests: dict[str, Request] = {}
        self._forwarded: set[ForwardedAck] = set()
        self._timer: Timer | None = None

    @property
    def up(self) -> bool:
        return self._broker.up

    def open(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._channels = channels = ClassicChannels(self._cluster.key, namespace.name)
        uid = self._cluster.uid
        self._own_channel = f"{channels.responses}{uid}#"
        # How our own events begin, which come back to us.
        self._beginning = beginning(uid)
        self._roster = Roster(self._broker, channels, uid, namespace.hub)
        self._broker.watch(self)
        for kind, name in self._subscriptions():
            self._broker.subscribe(kind, name, self)

    def close(self) -> None:
        for kind, name in self._subscriptions():
            self._broker.unsubscribe(kind, name, self)
        self._broker.unwatch(self)
        self._give_up()
        for pending in tuple(self._forwarded):
            pending.cancel()
        self._namespace.hub.timers.cancel(self._timer)
        self._timer = None

    # To others ------------------------------------------------------------------------------------------------------

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        if not selection.local:
            if ack is not None:
                self._ask_clients(data, selection, ack)
            elif self._broker.up:
                options = msgpack_options(selection)
                channel, payload = self._channels.event(data, selection.rooms, self._beginning, options)
                self._broker.send(Publish(channel, payload, False, self._sent))
            else:
                self._cluster.dropped += 1
        MemoryAdapter.broadcast(self, data, message, selection, ack)

    def sockets_join(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        self._tell(selection, RequestType.REMOTE_JOIN, "rooms", names)
        super().sockets_join(selection, names)

    def sockets_leave(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        self._tell(selection, RequestType.REMOTE_LEAVE, "rooms", names)
        super().sockets_leave(selection, names)

    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None:
        self._tell(selection, RequestType.REMOTE_DISCONNECT, "close", close)
        super().disconnect_sockets(selection, close=close)

    def fetch_sockets(self, selection: Selection, timeout: float) -> Awaitable[SocketList]:
        if selection.local:
            return super().fetch_sockets(selection, timeout)
        request = FetchRequest(
            self._new_id(), self._cluster.uid, self._forget, self._namespace, timeout, self.members(selection)
        )
        body = {
            "uid": self._cluster.uid,
            "requestId": request.id,
            "type": RequestType.REMOTE_FETCH,
            "opts": narrowed(selection),
        }
        self._ask(request, json_of(body))
        return request.awaited

    def all_rooms(self, timeout: float | None = None) -> Awaitable[AllRooms]:
        """The rooms of all servers, those of single sockets included: ``await io.of("/").adapter.all_rooms()``.

        Servers that don't answer within ``timeout`` seconds (default: the cluster's ``requests_timeout``) are named in
        the ``missing`` of what comes.
        """
        request = RoomsRequest(
            self._new_id(),
            self._cluster.uid,
            self._forget,
            self._namespace.hub,
            self._cluster.requests_timeout if timeout is None else timeout,
            self._all_local_rooms(),
        )
        body = {"uid": self._cluster.uid, "requestId": request.id, "type": RequestType.ALL_ROOMS}
        self._ask(request, json_of(body))
        return request.awaited

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        if ack is None:
            body = {"uid": self._cluster.uid, "type": RequestType.SERVER_SIDE_EMIT, "data": data}
            self._publish(self._channels.requests, json_of(body))
            return
        request_id = self._new_id()
        body = {
            "uid": self._cluster.uid,
            "requestId": request_id,
            "type": RequestType.SERVER_SIDE_EMIT,
            "data": data,
        }
        payload = json_of(body)
        self._ask(AnswersRequest(request_id, self._cluster.uid, self._forget, ack), payload)

    def _ask_clients(self, data: tuple[object, ...], selection: Selection, ack: BroadcastAck) -> None:
        options = write_options(selection)
        deadline = ack.deadline
        if deadline is not None:
            options["flags"]["timeout"] = round((deadline - self._namespace.hub.now) * 1000)
        request_id = self._new_id()
        body = {
            "uid": self._cluster.uid,
            "requestId": request_id,
            "type": RequestType.BROADCAST,
            "packet": {"type": _EVENT, "data": data, "nsp": self._namespace.name},
            "opts": options,
        }
        payload = encode_msgpack(body)
        self._ask(BroadcastRequest(request_id, self._cluster.uid, self._forget, ack), payload)

    def _tell(self, selection: Selection, kind: int, key: str, value: object) -> None:
        if selection.local:
            return
        body = {"uid": self._cluster.uid, "type": kind, "opts": narrowed(selection), key: value}
        self._publish(self._channels.requests, json_of(body))

    def _new_id(self) -> str:
        if len(self._requests) >= self._cluster.max_requests:
            raise LocalProtocolError(
                f"{len(self._requests)} requests to other servers are under way: the cluster's max_requests"
            )
        return self._cluster.new_id()

    def _ask(self, request: Request, payload: bytes) -> None:
        self._requests[request.id] = request
        self._roster.tell(request)
        self._publish(self._channels.requests, payload, request)
        if self._timer is None and self._requests:
            self._arm()

    def _publish(self, channel: str, payload: bytes, request: Request | None = None) -> None:
        done = self._sent if request is None else partial(self._asked, request)
        self._broker.send(Publish(channel, payload, done=done))

    def _sent(self, receivers: int | None, fault: str | None) -> None:
        if fault is not None:
            self._cluster.dropped += 1

    def _asked(self, request: Request, receivers: int | None, fault: str | None) -> None:
        self._sent(receivers, fault)
        request.published(receivers, fault)

    def _forget(self, request_id: str) -> None:
        self._requests.pop(request_id, None)

    # Who is there -----------------------------------------------------------------------------------------------------

    def broker_connected(self, resumed: bool) -> None:
        return

    def broker_lost(self, reason: str) -> None:
        self._give_up()

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        if self._requests:
            self._roster.check(self._under_way)
            self._arm()

    def _arm(self) -> None:
        hub = self._namespace.hub
        self._timer = hub.timers.arm(hub.now + _CHECK_INTERVAL, self, 0)

    def _under_way(self) -> list[Request]:
        return list(self._requests.values())

    def _give_up(self) -> None:
        self._roster.forget()
        for request in self._under_way():
            request.lost()

    # From others ------------------------------------------------------------------------------------------------------

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published on one of the channels. Whatever is wrong with it, this raises nothing."""
        channels = self._channels
        try:
            if channel.startswith(channels.events):
                self._event(channel[len(channels.events) : -1], data)
            elif channel == channels.requests:
                self._requested(read_message(data))
            elif channel in (channels.responses, self._own_channel):
                self._answered(read_message(data))
        except DecodeError as error:
            self._cluster.garbage_received(channel, str(error))

    def _event(self, room: str, data: bytes) -> None:
        # Our own come back to us.
        if data.startswith(self._beginning) or (room and not self._is_known(room)):
            return
        message = decode_msgpack(data)
        if type(message) is not list or len(message) < 3:
            raise DecodeError("a list of an id, a packet and options was expected")
        packet = message[1]
        if type(packet) is not dict or packet.get("type") != _EVENT:
            raise DecodeError("an event was expected")
        # A namespace whose name begins with ours and a number sign shares the pattern.
        if packet.get("nsp", "/") != self._namespace.name:
            return
        event = read_packet(packet)
        selection = read_options(message[2])
        if (room and len(selection.rooms) == 1 and room in selection.rooms) or self._concerns_us(selection):
            deliver_event(self, self._namespace, event, selection)

    def _is_known(self, room: str) -> bool:
        return room in self._rooms or room in self._sockets or self.holds_sessions()

    def _concerns_us(self, selection: Selection) -> bool:
        """Whether anybody here may be selected: it costs less to ask than to encode an event for nobody."""
        if not selection.rooms:
            return bool(self._sockets) or self.holds_sessions()
        return any(map(self._is_known, selection.rooms))

    def _requested(self, request: dict[str, Any]) -> None:
        if request.get("uid") == self._cluster.uid:
            return
        kind = request.get("type")
        if kind == RequestType.SERVER_SIDE_EMIT:
            self._server_side_event(request)
        elif kind == RequestType.BROADCAST:
            self._clients_asked(request)
        elif kind in (RequestType.REMOTE_JOIN, RequestType.REMOTE_LEAVE, RequestType.REMOTE_DISCONNECT):
            if request.get("opts") is not None:
                self._told(kind, request)
            else:
                self._told_of_one(kind, request)
        elif kind == RequestType.REMOTE_FETCH:
            sockets = self.members(read_options(request.get("opts")))
            self._respond(request, {"sockets": describe_sockets(sockets)})
        elif kind == RequestType.ALL_ROOMS:
            self._respond(request, {"rooms": self._all_local_rooms()})
        elif kind == RequestType.SOCKETS:
            selection = read_options({"rooms": request.get("rooms", []), "except": []})
            self._respond(request, {"sockets": [socket.id for socket in self.members(selection)]})
        else:
            raise DecodeError("a request of a type that there is not")

    def _told(self, kind: int, request: dict[str, Any]) -> None:
        selection = read_options(request["opts"])
        if kind == RequestType.REMOTE_DISCONNECT:
            super().disconnect_sockets(selection, close=request.get("close") is True)
            return
        rooms = read_rooms(request.get("rooms"))
        try:
            if kind == RequestType.REMOTE_JOIN:
                super().sockets_join(selection, rooms)
            else:
                super().sockets_leave(selection, rooms)
        except LocalProtocolError as error:
            raise DecodeError(str(error)) from None

    def _told_of_one(self, kind: int, request: dict[str, Any]) -> None:
        """What servers of old said to the one that has a socket."""
        sid = request.get("sid")
        socket = self._sockets.get(sid) if isinstance(sid, str) else None
        if socket is None:
            return
        if kind == RequestType.REMOTE_DISCONNECT:
            socket.disconnect(close=request.get("close") is True)
        else:
            rooms = read_rooms([request.get("room")])
            try:
                socket.join(*rooms) if kind == RequestType.REMOTE_JOIN else socket.leave(*rooms)
            except LocalProtocolError as error:
                raise DecodeError(str(error)) from None
        self._respond(request, {})

    def _server_side_event(self, request: dict[str, Any]) -> None:
        data = read_packet(request.get("data"))
        if "requestId" not in request:
            self._namespace.server_side_received(data)
        else:
            self._namespace.server_side_received(data, partial(self._answer, read_request_id(request)))

    def _answer(self, request_id: str, value: object) -> None:
        """The application's answer to an event of another server."""
        body = {
            "type": RequestType.SERVER_SIDE_EMIT,
            "requestId": request_id,
            "data": value,
            "uid": self._cluster.uid,
        }
        self._publish(self._channels.responses, json_of(body))

    def _clients_asked(self, request: dict[str, Any]) -> None:
        request_id = read_request_id(request)
        data = read_packet(request.get("packet"))
        if len(self._forwarded) >= self._cluster.max_requests:
            raise DecodeError("more broadcasts wait for our clients than max_requests")
        options = request.get("opts")
        selection = read_options(options)
        timeout = read_timeout(options.get("flags")) if isinstance(options, dict) else None
        hub = self._namespace.hub
        requester = request.get("uid")
        pending = ForwardedAck(
            hub,
            self._namespace.next_ack_id(),
            self._cluster.requests_timeout if timeout is None else timeout,
            partial(self._clients_counted, request_id, requester),
            partial(self._client_answered, request_id, requester),
            self._forwarded.discard,
        )
        self._forwarded.add(pending)
        try:
            deliver_event(self, self._namespace, data, selection, pending)
        except DecodeError:
            pending.cancel()
            raise

    def _clients_counted(self, request_id: str, requester: object, clients: int) -> None:
        body = {
            "type": RequestType.BROADCAST_CLIENT_COUNT,
            "requestId": request_id,
            "clientCount": clients,
            "uid": self._cluster.uid,
        }
        self._publish(self._response_channel(requester), json_of(body))

    def _client_answered(self, request_id: str, requester: object, args: list[object]) -> None:
        body: dict[str, object] = {"type": RequestType.BROADCAST_ACK, "requestId": request_id}
        try:
            answer = encode_msgpack({**body, "packet": args[0], "uid": self._cluster.uid}) if args else None
        except LocalProtocolError:
            # A client may send text that is no Unicode: that is no fault of whoever waits.
            answer = None
        if answer is None:
            answer = encode_msgpack({**body, "uid": self._cluster.uid})
        self._publish(self._response_channel(requester), answer)

    def _respond(self, request: dict[str, Any], answer: dict[str, object]) -> None:
        body = {"requestId": read_request_id(request), **answer, "uid": self._cluster.uid}
        self._publish(self._response_channel(request.get("uid")), json_of(body))

    def _response_channel(self, requester: object) -> str:
        if self._cluster.specific_responses and isinstance(requester, str) and requester.isascii():
            return f"{self._channels.responses}{requester}#"
        return self._channels.responses

    def _answered(self, answer: dict[str, Any]) -> None:
        request = self._requests.get(read_request_id(answer))
        # Most are for other servers.
        if request is None:
            return
        uid = answer.get("uid")
        uid = uid if isinstance(uid, str) else None
        if not isinstance(request, BroadcastRequest):
            request.answered(uid, answer)
        elif answer.get("type") == RequestType.BROADCAST_CLIENT_COUNT:
            request.clients_counted(uid, answer.get("clientCount"))
        elif answer.get("type") == RequestType.BROADCAST_ACK:
            request.client_answered(uid, answer.get("packet"))
        else:
            raise DecodeError("an answer of another type than the request's")

    def _subscriptions(self) -> list[tuple[Kind, str]]:
        channels = self._channels
        return [
            (Kind.PATTERN, channels.pattern),
            (Kind.CHANNEL, channels.requests),
            (Kind.CHANNEL, channels.responses),
            (Kind.CHANNEL, self._own_channel),
        ]

    def _all_local_rooms(self) -> list[str]:
        return [*self._rooms, *self._sockets]
