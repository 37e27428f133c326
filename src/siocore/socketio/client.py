"""One client: an Engine.IO session, and the sockets that it has in the namespaces it joined.

Here the packets of the peer are checked against what it has joined. A peer that breaks the protocol loses its whole
connection, as with Node.js' socket.io: a second CONNECT, any packet for a namespace that it is not in (its middleware
may still be running), CONNECT_ERROR, or a packet that can't be decoded.

Spec: the Socket.IO protocol, revision 5; for clients of Engine.IO 3, revision 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from siocore._speedups import Packet, Reconstructor, decode_socket_packet, encode_packet
from siocore.codec.message import Outgoing, TextMessage
from siocore.codec.parser import PacketReader, Parser, write_packet
from siocore.driven import ServerEndpoint
from siocore.errors import DecodeError
from siocore.events import ConnectRequested, EventReceived, NamespaceRequested, SocketDisconnected
from siocore.link import Link
from siocore.packets import SocketPacketType
from siocore.socketio.namespace import Namespace
from siocore.socketio.parent import Directory, NamespaceRequest, ParentNamespace
from siocore.socketio.recovery import NamespaceRecovery
from siocore.socketio.socket import Socket, SocketState
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.options import Limits

__all__ = ["Client"]

_CONNECT = SocketPacketType.CONNECT.value
_DISCONNECT = SocketPacketType.DISCONNECT.value
_EVENT = SocketPacketType.EVENT.value
_ACK = SocketPacketType.ACK.value
_CONNECT_ERROR = SocketPacketType.CONNECT_ERROR.value

_CONNECTED = SocketState.CONNECTED

#: Parameters that are looked at in the name of a namespace. Node.js' querystring: 1,000.
_MAX_PARAMETERS = 1_000

_CONNECT_TIMER = 0
_ATTACHMENT_TIMER = 1


class Client:
    """The Socket.IO side of one session."""

    __slots__ = (
        "_attachment_timer",
        "_connect_timer",
        "_directory",
        "_limits",
        "_reader",
        "_reconstructor",
        "_requests",
        "_sockets",
        "hub",
        "link",
    )

    def __init__(self, link: Link, hub: ServerEndpoint, directory: Directory, limits: Limits | None = None) -> None:
        self.link = link
        self.hub = hub
        self._directory = directory
        #: Those of the decoder.
        self._limits = hub.options.limits if limits is None else limits
        parser = cast("Parser | None", hub.options.parser)
        # None for packets as the protocol has them.
        self._reader: PacketReader | None = None if parser is None else PacketReader(parser, self._limits)
        # One nearly always, and few in any case: a list is smaller than a dict, and as fast.
        self._sockets: list[Socket] = []
        self._reconstructor: Reconstructor | None = None
        #: Namespaces that were asked for and that the application is deciding on.
        self._requests: list[NamespaceRequest] | None = None
        self._attachment_timer: Timer | None = None
        self._connect_timer: Timer | None = hub.timers.arm(hub.now + hub.options.connect_timeout, self, _CONNECT_TIMER)

    # From below -----------------------------------------------------------------------------------------------

    def receive_text(self, text: str, start: int) -> None:
        """A text message; the packet begins at index ``start``."""
        if self._reader is not None:
            self._receive_parsed(text[start:])
            return
        if self._reconstructor is not None:
            self._undecodable("text where an attachment was due")
            return
        try:
            packet = decode_socket_packet(text, start, self._limits)
            if packet.attachments:
                self._reconstructor = Reconstructor(packet, self._limits)
        except DecodeError as error:
            self._undecodable(str(error))
            return
        if self._reconstructor is None:
            self._dispatch(packet)
        elif self._joined(packet.namespace) is None:
            # Nothing is kept for whoever has not been let in.
            self._violation("a binary packet for a namespace that the client is not in")
        else:
            self.hub.settle_later(self)

    def receive_binary(self, data: bytes) -> None:
        """A binary message: the next attachment of the packet under way."""
        if self._reader is not None:
            self._receive_parsed(data)
            return
        reconstructor = self._reconstructor
        if reconstructor is None:
            self._undecodable("binary data without a packet that announced it (was the client given another parser?)")
            return
        try:
            complete = reconstructor.add(data)
        except DecodeError as error:
            self._undecodable(str(error))
            return
        if complete:
            self._drop_reconstruction()
            self._dispatch(reconstructor.packet)

    def _receive_parsed(self, message: str | bytes) -> None:
        """A message for the parser that the application chose."""
        reader = self._reader
        assert reader is not None
        try:
            packet = reader.receive(message)
        except DecodeError as error:
            self._undecodable(str(error))
            return
        if packet is not None:
            self._drop_reconstruction()
            self._dispatch(packet)
        elif not self.joined_sockets:
            # Nothing is kept for whoever has not been let in.
            self._violation("a packet of several messages from a client that is in no namespace")
        else:
            self.hub.settle_later(self)

    def settle(self) -> None:
        """All that was read has been looked at: attachments that are still to come have a deadline."""
        if self._attachment_timer is not None:
            return
        if self._reconstructor is not None or (self._reader is not None and self._reader.incomplete):
            self._attachment_timer = self.hub.timers.arm(
                self.hub.now + self.hub.options.limits.attachment_timeout, self, _ATTACHMENT_TIMER
            )

    def join_root(self) -> None:
        """A client of Engine.IO 3 is in the namespace ``/`` without asking."""
        self._request("/", {})

    def link_closed(self, reason: str, detail: str) -> None:
        """The session is over, and so is every socket."""
        self.hub.timers.cancel(self._connect_timer)
        self._connect_timer = None
        self._drop_reconstruction()
        self._requests = None
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            self._end(socket, reason, detail)

    def timer_expired(self, kind: int, now: float) -> None:
        if kind == _ATTACHMENT_TIMER:
            self._attachment_timer = None
            self._undecodable("the attachments of a packet did not arrive in time")
            return
        self._connect_timer = None
        if not any(socket.connected for socket in self._sockets):
            self.link.close("forced close", "the client joined no namespace in time")

    @property
    def joined_sockets(self) -> list[Socket]:
        """The sockets that were let in."""
        return [socket for socket in self._sockets if socket.connected]

    # From above -----------------------------------------------------------------------------------------------

    def accept(self, socket: Socket) -> bool:
        if socket.state is not SocketState.CONNECTING:
            return False
        recovery = socket.namespace.recovery
        if recovery is not None and self.link.revision != 3:
            return self._accept_recoverably(socket, recovery)
        socket.state = SocketState.CONNECTED
        socket.namespace.add(socket)
        # In revision 4 of the protocol the client knows its id already.
        self._send(_CONNECT, socket.namespace.name, {"sid": socket.id} if self.link.revision != 3 else None)
        return True

    def _accept_recoverably(self, socket: Socket, recovery: NamespaceRecovery) -> bool:
        missed = recovery.admit(socket)
        if missed is None:
            self.link.close("forced close", "what the client has missed was dropped while it waited to be let in")
            return False
        socket.state = SocketState.CONNECTED
        socket.namespace.add(socket)
        assert socket.recovery is not None
        self._send(_CONNECT, socket.namespace.name, {"sid": socket.id, "pid": socket.recovery.pid})
        for each in missed:
            self.link.send_outgoing(each.message)
        return True

    def refuse(self, socket: Socket, message: str, data: object) -> None:
        if socket.state is not SocketState.CONNECTING:
            return
        # Before anything changes: the application's data may not be encodable.
        packet = self._encode(_CONNECT_ERROR, socket.namespace.name, self._refusal(message, data))
        recovery = socket.namespace.recovery
        if recovery is not None:
            recovery.refused(socket)
        socket.state = SocketState.DISCONNECTED
        socket.forget_handlers()
        self._sockets.remove(socket)
        self._leave(socket.namespace)
        self.link.send_outgoing(packet)

    def decide(self, request: NamespaceRequest, admitted: bool) -> None:
        """The application has an answer to a NamespaceRequested."""
        if self._requests is None or request not in self._requests:
            return
        self._requests.remove(request)
        parent = request.parent
        if admitted and parent is not None:
            self._enter(parent, request.name, request.auth)
        else:
            self._look_up(request)

    def disconnect(self, socket: Socket, *, close: bool) -> None:
        if close:
            for each in tuple(self._sockets):
                self.disconnect(each, close=False)
            self.link.close("forced server close")
            return
        if socket not in self._sockets:
            return
        self._sockets.remove(socket)
        self._send(_DISCONNECT, socket.namespace.name, None)
        self._end(socket, "server namespace disconnect", "")

    # Packets --------------------------------------------------------------------------------------------------

    def _dispatch(self, packet: Packet) -> None:
        kind = packet.type
        if kind == _EVENT:
            socket = self._socket_in(packet.namespace)
            if socket is None or socket.state is not _CONNECTED:
                self._violation("an event for a namespace that the client is not in")
                return
            args: Any = packet.data
            name = args.pop(0)
            self.hub.push_received(EventReceived(socket, name, args, packet.id))
        elif kind == _CONNECT:
            self._connect(packet)
        elif (socket := self._joined(packet.namespace)) is None:
            self._violation("a packet for a namespace that the client is not in")
        elif kind == _ACK:
            pending = socket.pending_acks.pop(cast("int", packet.id), None)
            if pending is not None:
                pending.acknowledged(socket, cast("list[object]", packet.data))
        elif kind == _DISCONNECT:
            self._sockets.remove(socket)
            self._end(socket, "client namespace disconnect", "")
        else:
            self._violation("CONNECT_ERROR is the server's to send")

    def _connect(self, packet: Packet) -> None:
        name = packet.namespace
        auth = cast("Mapping[str, Any] | None", packet.data)
        if self.link.revision == 3:
            # What is "auth" today is a query behind the name in revision 4 of the protocol.
            name, _, query = name.partition("?")
            auth = dict(parse_qsl(query, keep_blank_values=True)) if query.count("&") < _MAX_PARAMETERS else None
            if auth is None or len(name) > self.hub.options.limits.max_namespace_length:
                self._undecodable("illegal namespace")
                return
        self._request(name, auth or {})

    def _request(self, name: str, auth: Mapping[str, Any]) -> None:
        if self._socket_in(name) is not None or self._requested(name):
            self._violation("a second CONNECT for the same namespace")
            return
        directory = self._directory
        namespace = directory.namespaces.get(name)
        if namespace is None and not directory.parents:
            self._refuse_name(name, "Invalid namespace")
        elif len(self._sockets) + len(self._requests or ()) >= self.hub.options.limits.max_namespaces:
            self._refuse_name(name, "Too many namespaces")
        else:
            if namespace is not None and (namespace.parent is None or not namespace.parent.asks):
                self._join(namespace, auth)
            else:
                self._look_up(NamespaceRequest(self, name, auth, directory.candidates(name)))

    def _look_up(self, request: NamespaceRequest) -> None:
        """Go on with the next parent that may have the namespace of this name."""
        while (parent := request.next_parent()) is not None:
            if parent.asks:
                if self._requests is None:
                    self._requests = []
                self._requests.append(request)
                self.hub.push_event(NamespaceRequested(request))
                return
            if parent.matches(request.name):
                self._enter(parent, request.name, request.auth)
                return
        self._refuse_name(request.name, "Invalid namespace")

    def _enter(self, parent: ParentNamespace, name: str, auth: Mapping[str, Any]) -> None:
        namespace = self._directory.enter(name, parent)
        if isinstance(namespace, Namespace):
            self._join(namespace, auth)
        else:
            self._refuse_name(name, namespace)

    def _join(self, namespace: Namespace, auth: Mapping[str, Any]) -> None:
        if namespace.parent is not None:
            namespace.users += 1
        socket_id = self.link.implied_id(namespace.name)
        if socket_id is None:
            socket_id = self.hub.options.generate_id()
        socket = Socket(socket_id, namespace, self, auth)
        self._sockets.append(socket)
        # Clients of revision 3 know no recovery.
        recovery = namespace.recovery if self.link.revision != 3 else None
        if recovery is None or not recovery.restore(socket):
            self.hub.push_event(ConnectRequested(socket))

    def _leave(self, namespace: Namespace) -> None:
        if namespace.parent is not None:
            namespace.users -= 1
            namespace.unused()

    def _refuse_name(self, name: str, message: str) -> None:
        self._send(_CONNECT_ERROR, name, _error(message, None))

    def _requested(self, name: str) -> bool:
        return self._requests is not None and name in [each.name for each in self._requests]

    def _socket_in(self, name: str) -> Socket | None:
        """The socket in the namespace of this name, let in or not."""
        for socket in self._sockets:
            if socket.namespace.name == name:
                return socket
        return None

    def _joined(self, name: str) -> Socket | None:
        socket = self._socket_in(name)
        return socket if socket is not None and socket.state is _CONNECTED else None

    def _end(self, socket: Socket, reason: str, detail: str) -> None:
        was_connected = socket.connected
        recovery = socket.namespace.recovery
        if recovery is not None:
            recovery.ended(socket, reason)
        socket.end()
        self._leave(socket.namespace)
        if was_connected:
            self.hub.push_event(SocketDisconnected(socket, reason, detail))

    def _send(self, kind: int, namespace: str, data: object) -> None:
        self.link.send_outgoing(self._encode(kind, namespace, data))

    def _encode(self, kind: int, namespace: str, data: object) -> Outgoing:
        if self._reader is not None:
            return write_packet(cast("Parser", self.hub.options.parser), kind, namespace, data, None)
        text, attachments = encode_packet(kind, namespace, data, None)
        return TextMessage(text, attachments)

    def _refusal(self, message: str, data: object) -> object:
        """The data of a CONNECT_ERROR from a middleware."""
        if self.link.revision == 3:
            if data is None:
                return message
            # As in Node.js; what a packet can't carry bare goes as it does today.
            if isinstance(data, (str, dict)):
                return data
        return _error(message, data)

    def _undecodable(self, detail: str) -> None:
        self._drop_reconstruction()
        self.link.close("forced close", detail)

    def _violation(self, detail: str) -> None:
        self._drop_reconstruction()
        self.link.close("forced server close", detail)

    def _drop_reconstruction(self) -> None:
        self._reconstructor = None
        if self._reader is not None:
            self._reader.incomplete = False
        if self._attachment_timer is not None:
            self.hub.timers.cancel(self._attachment_timer)
            self._attachment_timer = None


def _error(message: str, data: object) -> dict[str, object]:
    return {"message": message} if data is None else {"message": message, "data": data}
