"""Events for the clients of servers that meet in Redis streams, from a process that is no server of them.

Source: @socket.io/redis-streams-emitter 0.1.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from siocore.cluster.broker import AddEntry, Broker
from siocore.cluster.codec import encode_json, encode_msgpack
from siocore.cluster.emitter import Emitter, room_names
from siocore.cluster.messages import EMITTER, MessageType, write_options
from siocore.cluster.streams_wire import stream_of

__all__ = ["StreamsEmitter"]


class StreamsEmitter(Emitter):
    """For servers with the streams adapter: what @socket.io/redis-streams-emitter 0.1 adds.

    Server-side events are entries here, where servers publish theirs: so none is lost while a server is away.
    """

    __slots__ = ("_max_length", "_stream_count", "_stream_name")

    def __init__(
        self,
        broker: Broker,
        *,
        stream_name: str = "socket.io",
        stream_count: int = 1,
        max_length: int = 10_000,
        namespace: str = "/",
        done: Callable[[object, str | None], None] | None = None,
    ) -> None:
        """``stream_name``, ``stream_count`` and ``max_length`` are those of the servers' adapters."""
        super().__init__(broker, namespace=namespace, done=done)
        self._stream_name = stream_name
        self._stream_count = stream_count
        self._max_length = max_length

    def of(self, namespace: str) -> StreamsEmitter:
        return StreamsEmitter(
            self.broker,
            stream_name=self._stream_name,
            stream_count=self._stream_count,
            max_length=self._max_length,
            namespace=namespace,
            done=self._done,
        )

    def sockets_join(self, *rooms: str) -> None:
        self._add(MessageType.SOCKETS_JOIN, {"opts": self._whom(), "rooms": list(room_names(rooms))})

    def sockets_leave(self, *rooms: str) -> None:
        self._add(MessageType.SOCKETS_LEAVE, {"opts": self._whom(), "rooms": list(room_names(rooms))})

    def disconnect_sockets(self, *, close: bool = False) -> None:
        self._add(MessageType.DISCONNECT_SOCKETS, {"opts": self._whom(), "close": close})

    def _emit(self, data: tuple[object, ...]) -> None:
        options = write_options(self._selection)
        # In the order of npm's emitter.
        ordered = {name: options[name] for name in ("rooms", "flags", "except")}
        self._add(MessageType.BROADCAST, {"packet": {"type": 2, "data": list(data)}, "opts": ordered})

    def _server_side_emit(self, data: tuple[object, ...]) -> None:
        self._add(MessageType.SERVER_SIDE_EMIT, {"packet": list(data)})

    def _copy(self) -> StreamsEmitter:
        return self.of(self._namespace)

    def _whom(self) -> dict[str, Any]:
        return write_options(self._selection) | {"flags": {}}

    def _add(self, kind: int, data: dict[str, Any]) -> None:
        text = encode_json(data) or b64encode(encode_msgpack(data))
        fields = (
            (b"uid", EMITTER.encode()),
            (b"nsp", self._namespace.encode()),
            (b"type", b"%d" % kind),
            (b"data", text),
        )
        stream = stream_of(self._namespace, self._stream_name, self._stream_count)
        self.broker.send(AddEntry(stream, fields, self._max_length, self._done))
