"""A Socket.IO client for tests of applications."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from siocore.errors import AckTimeout, ConnectionRefused, Disconnected, RemoteProtocolError
from siocore.testing.engine_client import EngineClient

if TYPE_CHECKING:
    from siocore.testing.server import TestServer

__all__ = ["ReceivedEvent", "TestClient"]

_CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR, _BINARY_EVENT, _BINARY_ACK = range(7)


class ReceivedEvent(NamedTuple):
    """An event from the server. ``ack_id`` is None unless it wants an acknowledgement (``client.ack``)."""

    name: str
    args: list[Any]
    namespace: str = "/"
    ack_id: int | None = None


class TestClient:
    """One Socket.IO client of a :class:`TestServer`, in any number of namespaces.

    The methods that wait (:meth:`connect`, :meth:`receive`, :meth:`emit_with_ack`) let virtual time pass; the others
    only send. ``engine`` is the :class:`EngineClient` below: its ``links``, its ``transport``, ``cut()``.
    ``revision=3`` makes it a client of Socket.IO 2 on Engine.IO 3; its ``auth`` travels as a query.

    With a server that was made with ``recovery``, :meth:`reconnect` comes back as JavaScript's client does. Offsets are
    taken off the events, so ``args`` are those that the server emitted.
    """

    __test__ = False  # not a test case, whatever its name

    def __init__(
        self,
        server: TestServer,
        transport: str = "websocket",
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[str, str]] = (),
        peer: object = ("192.0.2.1", 50_000),
        revision: int = 4,
    ) -> None:
        self.server = server
        self._open_engine = partial(
            EngineClient, server, transport, query=query, headers=headers, peer=peer, revision=revision
        )
        self.engine = self._open_engine()
        self.engine.on_message = self._message
        #: The socket's id in each namespace that was joined.
        self.ids: dict[str, str] = {}
        #: Why a namespace could not be joined: what came in CONNECT_ERROR.
        self.refusals: dict[str, dict[str, Any]] = {}
        #: Of each namespace, if the server was made with ``recovery``: the private id and the latest offset.
        self.pids: dict[str, str] = {}
        self.offsets: dict[str, str] = {}
        #: The namespaces whose latest CONNECT brought back what was there before.
        self.recovered: set[str] = set()
        #: Events that arrived, unless ``on_event`` takes them.
        self.events: deque[ReceivedEvent] = deque()
        self.on_event: Callable[[ReceivedEvent], None] | None = None
        self._acks: dict[tuple[str, int], Callable[..., None]] = {}
        self._next_ack = 0
        # The packet whose attachments are under way: type, namespace, id, data, attachments, how many are due.
        self._partial: tuple[int, str, int | None, Any, list[bytes], int] | None = None

    # Connecting -----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """This client's socket id in the namespace ``/``."""
        return self.ids["/"]

    @property
    def connected(self) -> bool:
        """Whether it is in any namespace."""
        return bool(self.ids) and self.engine.state == "open"

    def connect(self, namespace: str = "/", auth: Mapping[str, Any] | None = None, timeout: float = 60.0) -> str:
        """Join a namespace, opening the session first if need be. Returns the socket's id.

        Raises ConnectionRefused with the server's message and data, or ConnectionError if the session ends.
        """
        if self.engine.state == "new":
            self.engine.open(timeout)
        self.join(namespace, auth)
        self.server.run_until(
            lambda: namespace in self.ids or namespace in self.refusals or self.engine.state == "closed", timeout
        )
        if namespace in self.refusals:
            refusal = self.refusals.pop(namespace)
            raise ConnectionRefused(refusal["message"], refusal.get("data"))
        if namespace not in self.ids:
            raise ConnectionError(f"the session ended ({self.engine.close_reason})")
        return self.ids[namespace]

    def join(self, namespace: str = "/", auth: Mapping[str, Any] | None = None) -> None:
        """Send CONNECT, without waiting for the answer."""
        if self.engine.revision == 3:
            if namespace != "/":
                # Nobody asks for the namespace "/" there.
                query = "" if auth is None else "?" + urlencode(auth)
                self.send_packet(_CONNECT, namespace + query, None, None)
            return
        if namespace in self.pids:
            again = {"pid": self.pids[namespace]}
            if namespace in self.offsets:
                again["offset"] = self.offsets[namespace]
            auth = {**again, **(auth or {})}
        self.send_packet(_CONNECT, namespace, None, auth)

    def reconnect(self, namespace: str = "/", auth: Mapping[str, Any] | None = None, timeout: float = 60.0) -> bool:
        """Come back to a namespace on a new session, if the old one has ended. Whether the state was recovered."""
        if self.engine.state in ("closing", "closed"):
            self.ids.clear()
            self.engine.on_message = None
            self.engine = self._open_engine()
            self.engine.on_message = self._message
        self.connect(namespace, auth, timeout)
        return namespace in self.recovered

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave one namespace, or end the session."""
        if namespace is None:
            self.engine.close()
            self.ids.clear()
        else:
            del self.ids[namespace]
            self.send_packet(_DISCONNECT, namespace, None, None)

    # Events ---------------------------------------------------------------------------------------------------

    def emit(self, name: str, *args: object, namespace: str = "/", ack: Callable[..., None] | None = None) -> None:
        """Send an event. ``ack`` is called with the arguments of the acknowledgement."""
        ack_id = None
        if ack is not None:
            ack_id = self._next_ack
            self._next_ack += 1
            self._acks[namespace, ack_id] = ack
        self.send_packet(_EVENT, namespace, ack_id, [name, *args])

    def emit_with_ack(self, name: str, *args: object, namespace: str = "/", timeout: float = 60.0) -> Any:
        """Send an event and return the acknowledgement: None, one value, or a tuple of several.

        Raises AckTimeout after ``timeout`` virtual seconds, Disconnected if the session ends before.
        """
        answers: list[tuple[object, ...]] = []
        self.emit(name, *args, namespace=namespace, ack=lambda *values: answers.append(values))
        try:
            self.server.run_until(lambda: answers or self.engine.state == "closed", timeout)
        except TimeoutError:
            raise AckTimeout from None
        if not answers:
            raise Disconnected(f"the session ended ({self.engine.close_reason})")
        values = answers[0]
        return values[0] if len(values) == 1 else values or None

    def receive(self, timeout: float = 60.0) -> ReceivedEvent:
        """The next event. Raises TimeoutError if none comes in ``timeout`` virtual seconds."""
        self.server.run_until(lambda: self.events, timeout)
        return self.events.popleft()

    def ack(self, event: ReceivedEvent, *args: object) -> None:
        """Acknowledge an event of the server."""
        if event.ack_id is None:
            raise ValueError(f"the server wants no acknowledgement for {event.name!r}")
        self.send_packet(_ACK, event.namespace, event.ack_id, list(args))

    # Packets --------------------------------------------------------------------------------------------------

    def send_packet(self, kind: int, namespace: str, ack_id: int | None, data: object) -> None:
        """Encode and send a packet; also one that the protocol forbids at this time."""
        attachments: list[bytes] = []
        data = _deconstruct(data, attachments)
        head = str(kind)
        if attachments:
            head = f"{kind + 3}{len(attachments)}-"
        if namespace != "/":
            head += namespace + ","
        if ack_id is not None:
            head += str(ack_id)
        self.engine.send(head + ("" if data is None else json.dumps(data, ensure_ascii=False)))
        for attachment in attachments:
            self.engine.send(attachment)

    def _own_id(self, namespace: str) -> str:
        """The id that a client of Socket.IO 2 gives itself."""
        return self.engine.sid if namespace == "/" else f"{namespace}#{self.engine.sid}"

    def _message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._attachment(message)
            return
        if self._partial is not None:
            raise RemoteProtocolError("text between a packet and its attachments")
        kind, due, namespace, ack_id, data = _parse(message)
        if due:
            self._partial = (kind - 3, namespace, ack_id, data, [], due)
        else:
            self._packet(kind, namespace, ack_id, data)

    def _attachment(self, data: bytes) -> None:
        if self._partial is None:
            raise RemoteProtocolError("an attachment without a packet")
        kind, namespace, ack_id, value, attachments, due = self._partial
        attachments.append(data)
        if len(attachments) == due:
            self._partial = None
            self._packet(kind, namespace, ack_id, _reconstruct(value, attachments))

    def _packet(self, kind: int, namespace: str, ack_id: int | None, data: Any) -> None:
        if kind == _EVENT:
            if ack_id is None and namespace in self.pids and isinstance(data[-1], str):
                self.offsets[namespace] = data.pop()
            event = ReceivedEvent(data[0], data[1:], namespace, ack_id)
            if self.on_event is not None:
                self.on_event(event)
            else:
                self.events.append(event)
        elif kind == _ACK:
            if ack_id is None:
                raise RemoteProtocolError("an acknowledgement without an id")
            # A second one for the same id is the server's fault, and shows as a KeyError.
            self._acks.pop((namespace, ack_id))(*data)
        elif kind == _CONNECT:
            if self.engine.revision == 3:
                self.ids[namespace] = self._own_id(namespace)
                return
            self.ids[namespace] = data["sid"]
            if "pid" in data:
                if self.pids.get(namespace) == data["pid"]:
                    self.recovered.add(namespace)
                else:
                    self.recovered.discard(namespace)
                self.pids[namespace] = data["pid"]
        elif kind == _CONNECT_ERROR:
            self.refusals[namespace] = data if isinstance(data, dict) and "message" in data else {"message": data}
        elif kind == _DISCONNECT:
            self.ids.pop(namespace, None)
        else:
            raise RemoteProtocolError(f"a packet of type {kind}")


def _parse(text: str) -> tuple[int, int, str, int | None, Any]:
    """Type, number of attachments, namespace, id and data of a packet."""
    kind = int(text[0])
    rest = text[1:]
    due = 0
    if kind in (_BINARY_EVENT, _BINARY_ACK):
        count, _, rest = rest.partition("-")
        due = int(count)
    namespace = "/"
    if rest.startswith("/"):
        namespace, _, rest = rest.partition(",")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    ack_id = int(rest[:digits]) if digits else None
    return kind, due, namespace, ack_id, json.loads(rest[digits:]) if rest[digits:] else None


def _deconstruct(value: object, attachments: list[bytes]) -> object:
    if isinstance(value, bytes):
        attachments.append(value)
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, Mapping):
        return {key: _deconstruct(item, attachments) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deconstruct(item, attachments) for item in value]
    return value


def _reconstruct(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            return attachments[value["num"]]
        return {key: _reconstruct(item, attachments) for key, item in value.items()}
    if isinstance(value, list):
        return [_reconstruct(item, attachments) for item in value]
    return value
