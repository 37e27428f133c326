"""A bridge to servers of python-socketio: its own channel in Redis, which its managers write and read.

It is for those who move an application from one to the other, server by server. Messages are those of python-socketio
5.18 in JSON; of older ones that wrote pickle nothing is read. What can't be said there:

* Whom an event is for: members of rooms, without single sockets. ``except_`` with the name of a room is refused.
* Joining, leaving and disconnecting is said of single sockets by their ids (of all members of a room: leaving it). A
  name of 20 characters is taken for an id, as those of either library have them.
* ``fetch_sockets`` and ``server_side_emit`` have no messages there: use ``local``, or see who answers an event.
* Nobody says how many clients will acknowledge. For the id of one socket one answer is waited for; for a room, as many
  as come until the time is up, which ends in AckTimeout (``async for`` takes them as they come).
* ``volatile`` and ``compress`` count for the clients of this server.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Iterable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from siocore._speedups import dumps, loads
from siocore.cluster.broker import Broker, Kind, Publish
from siocore.cluster.cluster import BrokerCluster
from siocore.cluster.codec import decode_json, encode_json
from siocore.cluster.delivery import deliver_event
from siocore.cluster.requests import ForwardedAck
from siocore.driven import ServerEndpoint
from siocore.errors import DecodeError, LocalProtocolError
from siocore.socketio.adapter import MemoryAdapter, Selection, SocketList

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing
    from siocore.socketio.acks import BroadcastAck, ServerSideAck
    from siocore.socketio.namespace import Namespace

__all__ = ["PythonSocketIOAdapter", "PythonSocketIOCluster"]

#: The length of the ids of sockets, here and there.
_ID_LENGTH = 20
#: More than can be written.
_MAX_DEPTH = 1_000


class PythonSocketIOCluster(BrokerCluster):
    """Servers of siocore and of python-socketio that meet on the latter's channel."""

    def __init__(
        self,
        *,
        channel: str = "socketio",
        ack_timeout: float = 60.0,
        max_requests: int = 10_000,
        broker: Broker | None = None,
    ) -> None:
        """
        :param channel: the channel that python-socketio's managers were given.
        :param ack_timeout: seconds for which the answers of our clients are handed on; nobody says how long they wait.
        :param max_requests: how many acknowledgements may be under way, in each direction and each namespace.
        """
        super().__init__(broker)
        self.channel = channel
        self.ack_timeout = ack_timeout
        self.max_requests = max_requests
        self._uid = ""
        self._adapters: dict[str, PythonSocketIOAdapter] = {}

    @property
    def uid(self) -> str:
        return self._uid

    def bind(self, hub: ServerEndpoint) -> None:
        super().bind(hub)
        self._uid = sha256(hub.options.generate_id().encode()).hexdigest()[:32]
        self.broker.subscribe(Kind.CHANNEL, self.channel, self)

    def __call__(self) -> PythonSocketIOAdapter:
        return PythonSocketIOAdapter(self)

    def gap(self) -> str:
        return "what the other servers sent meanwhile did not arrive"

    def broker_lost(self, reason: str) -> None:
        super().broker_lost(reason)
        for adapter in tuple(self._adapters.values()):
            adapter.broker_lost()

    def publish(self, message: dict[str, object]) -> None:
        """Send a message to the others. Raises LocalProtocolError if it can't be written."""
        payload = encode_json(message)
        if payload is None:
            raise LocalProtocolError("binary data can't be sent to other servers here: this message is JSON")
        self.broker.send(Publish(self.channel, payload, done=self._published))

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published on the channel. Whatever is wrong with it, this raises nothing."""
        try:
            message = decode_json(data)
            if not isinstance(message, dict) or not isinstance(message.get("method"), str):
                raise DecodeError("an object with a method was expected")
            name = message.get("namespace") or "/"
            adapter = self._adapters.get(name) if isinstance(name, str) else None
            # A namespace that nobody has asked for here has no clients.
            if adapter is not None:
                adapter.received(message)
        except DecodeError as error:
            self.garbage_received(channel, str(error))

    def add(self, name: str, adapter: PythonSocketIOAdapter) -> None:
        self._adapters[name] = adapter

    def remove(self, name: str) -> None:
        self._adapters.pop(name, None)

    def _published(self, receivers: int | None, fault: str | None) -> None:
        if fault is not None:
            self.dropped += 1


class _Owed:
    """The answers of clients of other servers."""

    __slots__ = ("_adapter", "_id", "ack", "single")

    def __init__(self, adapter: PythonSocketIOAdapter, number: int, ack: BroadcastAck, single: bool) -> None:
        self._adapter = adapter
        self._id = number
        self.ack = ack
        # Whether there is one at the most.
        self.single = single
        ack.request = self
        if single:
            ack.expect_remote(1)
        else:
            ack.hold()

    def lost(self) -> None:
        """There will be none."""
        if self.single:
            self.ack.expect_remote(-1)
        else:
            self.ack.release()
        self.forget()

    # For whoever waits: Asked

    def missing(self) -> tuple[str, ...]:
        return ()

    def forget(self) -> None:
        self._adapter.forget(self._id)


class PythonSocketIOAdapter(MemoryAdapter):
    """The rooms of one namespace, with those of other servers."""

    __slots__ = ("_cluster", "_forwarded", "_namespace", "_numbers", "_owed")

    _namespace: Namespace

    def __init__(self, cluster: PythonSocketIOCluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._forwarded: set[ForwardedAck] = set()
        self._owed: dict[int, _Owed] = {}
        self._numbers = 0

    @property
    def up(self) -> bool:
        return self._cluster.up

    def open(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._cluster.add(namespace.name, self)

    def close(self) -> None:
        self._cluster.remove(self._namespace.name)
        self.broker_lost()
        for pending in tuple(self._forwarded):
            pending.cancel()

    def broker_lost(self) -> None:
        """Nobody else can answer."""
        for owed in tuple(self._owed.values()):
            owed.lost()

    def forget(self, number: int) -> None:
        self._owed.pop(number, None)

    # To others ------------------------------------------------------------------------------------------------------

    def broadcast(
        self, data: tuple[object, ...], message: Outgoing, selection: Selection, ack: BroadcastAck | None
    ) -> None:
        if not selection.local and not self._is_here(selection.rooms):
            callback = None if ack is None else self._owe(selection, ack)
            self._cluster.publish(self._event(data, selection, callback))
        super().broadcast(data, message, selection, ack)

    def sockets_join(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        elsewhere = self._elsewhere(selection, "join rooms")
        super().sockets_join(selection, names)
        for sid in elsewhere:
            for room in names:
                self._tell("enter_room", {"sid": sid, "room": room})

    def sockets_leave(self, selection: Selection, rooms: Iterable[str]) -> None:
        names = list(rooms)
        if not selection.local and not selection.except_ and (not selection.rooms or [*selection.rooms] == names):
            # All members of a room leave it: that can be said of rooms.
            super().sockets_leave(selection, names)
            for room in names:
                self._tell("close_room", {"room": room})
            return
        elsewhere = self._elsewhere(selection, "leave rooms")
        super().sockets_leave(selection, names)
        for sid in elsewhere:
            for room in names:
                self._tell("leave_room", {"sid": sid, "room": room})

    def disconnect_sockets(self, selection: Selection, *, close: bool) -> None:
        elsewhere = self._elsewhere(selection, "be disconnected")
        super().disconnect_sockets(selection, close=close)
        for sid in elsewhere:
            self._tell("disconnect", {"sid": sid})

    def fetch_sockets(self, selection: Selection, timeout: float) -> Awaitable[SocketList]:
        if not selection.local and not self._is_here(selection.rooms):
            raise LocalProtocolError(
                "servers of python-socketio can't be asked for their sockets: local.fetch_sockets() finds ours"
            )
        return super().fetch_sockets(selection, timeout)

    def server_side_emit(self, data: tuple[object, ...], ack: ServerSideAck | None) -> None:
        raise LocalProtocolError("servers of python-socketio have no events for each other")

    def _event(
        self, data: tuple[object, ...], selection: Selection, callback: list[object] | None
    ) -> dict[str, object]:
        name, *args = data
        attachments: list[bytes] = []
        dumps(args, attachments)
        skipped = sorted(selection.except_)
        for each in skipped:
            if not self._is_id(each):
                raise LocalProtocolError(
                    f"servers of python-socketio can leave out single sockets only, and not the room {each!r}"
                )
        rooms = sorted(selection.rooms)
        return {
            "method": "emit",
            "event": name,
            "data": _with_placeholders(args) if attachments else args,
            "binary": bool(attachments),
            "namespace": self._namespace.name,
            "room": rooms if len(rooms) > 1 else rooms[0] if rooms else None,
            "skip_sid": skipped if len(skipped) > 1 else skipped[0] if skipped else None,
            "callback": callback,
            "host_id": self._cluster.uid,
        }

    def _owe(self, selection: Selection, ack: BroadcastAck) -> list[object]:
        """What tells other servers to whom their clients' answers go."""
        if len(selection.rooms) != 1:
            raise LocalProtocolError("clients of python-socketio's servers can acknowledge what is sent to one room")
        if len(self._owed) >= self._cluster.max_requests:
            raise LocalProtocolError(f"{len(self._owed)} acknowledgements are under way: the cluster's max_requests")
        (room,) = selection.rooms
        number = self._numbers
        self._numbers += 1
        owed = _Owed(self, number, ack, self._is_id(room))
        self._owed[number] = owed
        if not self._cluster.up:
            owed.lost()
        return [room, self._namespace.name, number]

    def _tell(self, method: str, what: dict[str, object]) -> None:
        self._cluster.publish(
            {"method": method, **what, "namespace": self._namespace.name, "host_id": self._cluster.uid}
        )

    def _elsewhere(self, selection: Selection, what: str) -> list[str]:
        """The ids of other servers' sockets that are selected. Raises LocalProtocolError if they can't be told."""
        if selection.local or self._is_here(selection.rooms):
            return []
        if not selection.rooms or not all(map(self._is_id, selection.rooms)):
            raise LocalProtocolError(
                f"servers of python-socketio can be told of single sockets only that they {what}: select by their ids,"
                " or those of this server with .local"
            )
        return [sid for sid in sorted(selection.rooms - selection.except_) if sid not in self._sockets]

    def _is_id(self, room: str) -> bool:
        return len(room) == _ID_LENGTH or self._namespace.is_taken(room)

    def _is_here(self, rooms: frozenset[str]) -> bool:
        """Whether all rooms are those of single sockets of this server."""
        return bool(rooms) and all(map(self._namespace.is_taken, rooms))

    # From others ------------------------------------------------------------------------------------------------------

    def received(self, message: dict[str, Any]) -> None:
        """Another server has sent this. Raises DecodeError for what none would send."""
        method = message["method"]
        if method == "callback":
            if message.get("host_id") == self._cluster.uid:
                self._acknowledged(message)
        elif message.get("host_id") == self._cluster.uid:
            return
        elif method == "emit":
            self._emitted(message)
        elif method in ("disconnect", "enter_room", "leave_room"):
            self._told(method, message)
        elif method == "close_room":
            room = _text(message, "room")
            super().sockets_leave(Selection(frozenset((room,))), (room,))

    def _emitted(self, message: dict[str, Any]) -> None:
        data = message.get("data")
        if message.get("binary") is True:
            data = _without_placeholders(data)
        args = data if isinstance(data, list) else [] if data is None else [data]
        if len(args) == 1 and args[0] is None:
            # What python-socketio makes of an event without arguments.
            args = []
        name = message.get("event")
        if not isinstance(name, str):
            raise DecodeError("an event has a name")
        selection = Selection(_texts(message.get("room")), _texts(message.get("skip_sid")), local=True)
        callback = message.get("callback")
        if not isinstance(callback, list) or len(callback) != 3:
            deliver_event(self, self._namespace, [name, *args], selection)
            return
        if len(self._forwarded) >= self._cluster.max_requests:
            raise DecodeError("more acknowledgements of our clients are waited for than max_requests")
        pending = ForwardedAck(
            self._namespace.hub,
            self._namespace.next_ack_id(),
            self._cluster.ack_timeout,
            _ignore,
            partial(self._hand_on, message.get("host_id"), callback),
            self._forwarded.discard,
        )
        self._forwarded.add(pending)
        try:
            deliver_event(self, self._namespace, [name, *args], selection, pending)
        except DecodeError:
            pending.cancel()
            raise

    def _hand_on(self, host_id: object, callback: list[object], args: list[object]) -> None:
        sid, namespace, number = callback
        body = {"method": "callback", "host_id": host_id, "sid": sid, "namespace": namespace, "id": number}
        try:
            self._cluster.publish({**body, "args": args})
        except LocalProtocolError:
            # Binary data can't be said there. That there was an answer can.
            self._cluster.publish({**body, "args": []})

    def _acknowledged(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        args = message.get("args")
        if type(number) is not int or not isinstance(args, list):
            raise DecodeError("an acknowledgement has an id and arguments")
        owed = self._owed.get(number)
        if owed is not None:
            owed.ack.remote_acknowledged(args[0] if len(args) == 1 else tuple(args) if args else None)

    def _told(self, method: str, message: dict[str, Any]) -> None:
        socket = self._sockets.get(_text(message, "sid"))
        if socket is None:
            return
        try:
            if method == "disconnect":
                socket.disconnect()
            elif method == "enter_room":
                socket.join(_text(message, "room"))
            else:
                socket.leave(_text(message, "room"))
        except LocalProtocolError as error:
            raise DecodeError(str(error)) from None


def _with_placeholders(args: list[object]) -> list[object]:
    """Arguments with binary data, as python-socketio writes them: with placeholders, and what they stand for behind."""
    attachments: list[bytes] = []
    written = loads(dumps(args, attachments).decode(), _MAX_DEPTH)
    return [written, *(b64encode(each).decode() for each in attachments)]


def _without_placeholders(data: object) -> object:
    if not isinstance(data, list) or not data or not all(isinstance(each, str) for each in data[1:]):
        raise DecodeError("binary data that is not in base64")
    try:
        attachments = [b64decode(each, validate=True) for each in data[1:]]
    except ValueError:
        raise DecodeError("binary data that is not in base64") from None
    return _filled(data[0], attachments)


def _filled(value: object, attachments: list[bytes]) -> object:
    if isinstance(value, list):
        return [_filled(each, attachments) for each in value]
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise DecodeError("a placeholder for binary data that is not there")
            return attachments[number]
        return {key: _filled(each, attachments) for key, each in value.items()}
    return value


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise DecodeError(f"{key} is text")
    return value


def _texts(value: object) -> frozenset[str]:
    """Names of rooms or sockets: one, several or none."""
    names = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in names):
        raise DecodeError("rooms and sockets have names of text")
    return frozenset(names)


def _ignore(clients: int) -> None:
    """Nobody wants to know how many clients were asked."""
