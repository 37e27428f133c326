"""Events for the clients of a cluster, from a process that is no server of it: commands for the broker, no answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

from siocore.cluster.broker import Broker, Publish
from siocore.cluster.classic_wire import ClassicChannels, RequestType, beginning, json_of, narrowed
from siocore.cluster.codec import encode_msgpack
from siocore.cluster.messages import EMITTER, write_options
from siocore.errors import LocalProtocolError
from siocore.socketio.adapter import EVERYBODY, Selection
from siocore.socketio.names import check_event_name

__all__ = ["ClassicEmitter", "Emitter", "room_names"]

_E = TypeVar("_E", bound="Emitter")


class Emitter(ABC):
    """Some of the sockets of a namespace, whichever server they are connected to. Immutable, as broadcasts are.

    The methods return when the broker has the command to send, in the order in which they were called. Whoever listens
    elsewhere is not known here, so nothing can be asked: there are no acknowledgements. Each raises LocalProtocolError
    for what can't be sent.
    """

    __slots__ = ("_done", "_namespace", "_selection", "broker")

    def __init__(
        self,
        broker: Broker,
        *,
        namespace: str = "/",
        done: Callable[[object, str | None], None] | None = None,
    ) -> None:
        """
        :param broker: the way to the servers.
        :param namespace: the namespace; :meth:`of` makes emitters for others.
        :param done: called for each command with the broker's reply and None, or with None and a sentence that says why
            the command did not reach it.
        """
        self.broker = broker
        self._namespace = namespace if namespace.startswith("/") else "/" + namespace
        self._selection = EVERYBODY
        self._done = done

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._namespace!r}>"

    # Whom -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def of(self: _E, namespace: str) -> _E:
        """The same for another namespace, and all its sockets."""

    def to(self: _E, *rooms: str) -> _E:
        """And the members of these rooms. A socket's id is a room with that socket in it."""
        return self._with(self._selection._replace(rooms=self._selection.rooms | frozenset(room_names(rooms))))

    def in_(self: _E, *rooms: str) -> _E:
        """:meth:`to`."""
        return self.to(*rooms)

    def except_(self: _E, *rooms: str) -> _E:
        """But not the members of these rooms."""
        return self._with(self._selection._replace(except_=self._selection.except_ | frozenset(room_names(rooms))))

    @property
    def volatile(self: _E) -> _E:
        """Only those who can take it at once."""
        return self._with(self._selection._replace(volatile=True))

    def compress(self: _E, compress: bool) -> _E:
        """Whether what is sent may be compressed."""
        return self._with(self._selection._replace(compress=compress))

    # What -----------------------------------------------------------------------------------------------------------

    def emit(self, name: str | int, *args: object) -> None:
        """Send an event to all that are selected."""
        check_event_name(name)
        self._emit((name, *args))

    def send(self, *args: object) -> None:
        """Emit the event ``message``."""
        self._emit(("message", *args))

    @abstractmethod
    def sockets_join(self, *rooms: str) -> None:
        """Put those that are selected into rooms."""

    @abstractmethod
    def sockets_leave(self, *rooms: str) -> None:
        """Take those that are selected out of rooms."""

    @abstractmethod
    def disconnect_sockets(self, *, close: bool = False) -> None:
        """Disconnect those that are selected. With ``close`` their whole connections end."""

    def server_side_emit(self, name: str | int, *args: object) -> None:
        """Send an event to the servers themselves: to their handlers of ``on_server_side``."""
        check_event_name(name)
        self._server_side_emit((name, *args))

    @abstractmethod
    def _emit(self, data: tuple[object, ...]) -> None: ...

    @abstractmethod
    def _server_side_emit(self, data: tuple[object, ...]) -> None: ...

    @abstractmethod
    def _copy(self: _E) -> _E: ...

    def _with(self: _E, selection: Selection) -> _E:
        copy = self._copy()
        copy._selection = selection
        return copy


class ClassicEmitter(Emitter):
    """For servers with the classic adapter: what @socket.io/redis-emitter 5.1 sends."""

    __slots__ = ("_channels", "_key")

    def __init__(
        self,
        broker: Broker,
        *,
        key: str = "socket.io",
        namespace: str = "/",
        done: Callable[[object, str | None], None] | None = None,
    ) -> None:
        """``key`` is that of the servers' adapters."""
        super().__init__(broker, namespace=namespace, done=done)
        self._key = key
        self._channels = ClassicChannels(key, self._namespace)

    def of(self, namespace: str) -> ClassicEmitter:
        return ClassicEmitter(self.broker, key=self._key, namespace=namespace, done=self._done)

    def sockets_join(self, *rooms: str) -> None:
        self._tell(RequestType.REMOTE_JOIN, "rooms", list(room_names(rooms)))

    def sockets_leave(self, *rooms: str) -> None:
        self._tell(RequestType.REMOTE_LEAVE, "rooms", list(room_names(rooms)))

    def disconnect_sockets(self, *, close: bool = False) -> None:
        self._tell(RequestType.REMOTE_DISCONNECT, "close", close)

    def _emit(self, data: tuple[object, ...]) -> None:
        written = write_options(self._selection)
        options = {"rooms": written["rooms"], "flags": written["flags"], "except": written["except"]}
        own = beginning(EMITTER)
        self._publish(*self._channels.event(data, self._selection.rooms, own, encode_msgpack(options)))

    def _server_side_emit(self, data: tuple[object, ...]) -> None:
        body = {"uid": EMITTER, "type": RequestType.SERVER_SIDE_EMIT, "data": data}
        self._publish(self._channels.requests, json_of(body))

    def _tell(self, kind: int, key: str, value: object) -> None:
        body = {"type": kind, "opts": narrowed(self._selection), key: value}
        self._publish(self._channels.requests, json_of(body))

    def _publish(self, channel: str, payload: bytes) -> None:
        self.broker.send(Publish(channel, payload, done=self._done))

    def _copy(self) -> ClassicEmitter:
        return self.of(self._namespace)


def room_names(rooms: Iterable[object]) -> dict[str, None]:
    """The names of rooms, each once, in their order."""
    names: dict[str, None] = {}
    for room in rooms:
        if not isinstance(room, str):
            raise LocalProtocolError(f"a room's name is a str, not {type(room).__name__}")
        names[room] = None
    return names
