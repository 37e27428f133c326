"""One connection of a manager, from its link's opening to its end: nothing of it reaches the next one.

Packets are checked here and given to the socket of their namespace. A server that breaks the protocol loses the
connection ("parse error"), and the manager makes a new one. What is only superfluous is ignored, as by Node.js'
socket.io-client: packets for namespaces that there are no sockets for, and acknowledgements that nobody waits for.

Spec: the Socket.IO protocol, revision 5; with Engine.IO 3, revision 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from siocore._speedups import Packet, Reconstructor, decode_socket_packet
from siocore.client_events import ClientEvent
from siocore.codec.parser import PacketReader
from siocore.errors import ConnectError, DecodeError
from siocore.link import ClientLink, LinkUser
from siocore.packets import SocketPacketType
from siocore.socketio.client_states import ClientSocketState
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.socketio.client_socket import ClientSocket
    from siocore.socketio.manager import Manager

__all__ = ["Generation"]

_CONNECT = SocketPacketType.CONNECT.value
_DISCONNECT = SocketPacketType.DISCONNECT.value
_EVENT = SocketPacketType.EVENT.value
_ACK = SocketPacketType.ACK.value

_CONNECTED = ClientSocketState.CONNECTED


class Generation(LinkUser):
    """One connection."""

    __slots__ = (
        "_attachment_timer",
        "_hub",
        "_limits",
        "_manager",
        "_reader",
        "_reconstructor",
        "_size",
        "_sockets",
        "link",
        "number",
        "over",
        "root_entered",
        "root_implied",
    )

    def __init__(self, manager: Manager, sockets: dict[str, ClientSocket], number: int) -> None:
        #: None until it is open.
        self.link: ClientLink | None = None
        #: Counts the connections of the manager.
        self.number = number
        #: Whatever its link still says is not heard.
        self.over = False
        #: With Engine.IO 3: the server has entered this client in the namespace "/" without being asked.
        self.root_entered = False
        #: With Engine.IO 3: whether it does so, as it does once.
        self.root_implied = True
        self._manager = manager
        self._hub = manager.hub
        self._sockets = sockets
        self._limits = manager.options.limits
        parser = manager.parser
        # None for packets as the protocol has them.
        self._reader: PacketReader | None = None if parser is None else PacketReader(parser, self._limits)
        self._reconstructor: Reconstructor | None = None
        self._attachment_timer: Timer | None = None
        #: Bytes of the packet whose attachments are coming.
        self._size = 0

    # From below -----------------------------------------------------------------------------------------------

    def link_opened(self, link: ClientLink) -> None:
        if not self.over:
            self.link = link
            self._manager.opened(self)

    def link_text(self, link: ClientLink, text: str, start: int) -> None:
        if self.over:
            return
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
                self._size = len(text)
                self._hub.settle_later(self)
                return
        except DecodeError as error:
            self._undecodable(str(error))
            return
        self._dispatch(packet, len(text))

    def link_binary(self, link: ClientLink, data: bytes) -> None:
        if self.over:
            return
        if self._reader is not None:
            self._receive_parsed(data)
            return
        reconstructor = self._reconstructor
        if reconstructor is None:
            self._undecodable("binary data without a packet that announced it (does the server use another parser?)")
            return
        try:
            complete = reconstructor.add(data)
        except DecodeError as error:
            self._undecodable(str(error))
            return
        self._size += len(data)
        if complete:
            self._drop_reconstruction()
            self._dispatch(reconstructor.packet, self._size)

    def link_pinged(self, link: ClientLink) -> None:
        if not self.over:
            self._manager.report_received("ping")

    def link_upgraded(self, link: ClientLink) -> None:
        if not self.over:
            self._manager.report_received("upgrade", link.transport)

    def link_closed(self, link: ClientLink, reason: str, detail: str, error: ConnectError | None) -> None:
        if not self.over:
            self.link = link
            self._manager.closed(self, reason, detail, error)

    def settle(self) -> None:
        """All that was read has been looked at: attachments that are still to come have a deadline."""
        if self._attachment_timer is not None or self.over:
            return
        if self._reconstructor is not None or (self._reader is not None and self._reader.incomplete):
            deadline = self._hub.now + self._limits.attachment_timeout
            self._attachment_timer = self._hub.timers.arm(deadline, self, 0)

    def timer_expired(self, kind: int, now: float) -> None:
        self._attachment_timer = None
        self._undecodable("the attachments of a packet did not arrive in time")

    # From above -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Hear nothing more of the link."""
        self.over = True
        self._drop_reconstruction()

    def root_left(self, namespace: str) -> None:
        """The socket of this namespace is out of it."""
        if namespace == "/":
            self.root_entered = self.root_implied = False

    # Packets --------------------------------------------------------------------------------------------------

    def _receive_parsed(self, message: str | bytes) -> None:
        """A message for the parser that the application chose."""
        reader = self._reader
        assert reader is not None
        try:
            packet = reader.receive(message)
        except DecodeError as error:
            self._undecodable(str(error))
            return
        self._size += len(message)
        if packet is not None:
            size, self._size = self._size, 0
            self._drop_reconstruction()
            self._dispatch(packet, size)
        else:
            self._hub.settle_later(self)

    def _dispatch(self, packet: Packet, size: int) -> None:
        socket = self._sockets.get(packet.namespace)
        kind = packet.type
        if socket is None:
            if kind == _CONNECT and packet.namespace == "/":
                self.root_entered = True
        elif kind == _EVENT:
            args: Any = packet.data
            name = args.pop(0)
            event = ClientEvent(socket, name, args, packet.id, self.number)
            if socket.state is not _CONNECTED:
                socket.receive_early(event, size)
                return
            if socket.offsets is not None:
                socket.offsets.read(event)
            self._hub.push_received(event)
        elif kind == _ACK:
            socket.receive_ack(cast("int", packet.id), cast("list[object]", packet.data))
        elif kind == _CONNECT:
            if packet.namespace == "/":
                self.root_entered = True
            socket.receive_connect(self, cast("dict[str, Any] | None", packet.data))
        elif kind == _DISCONNECT:
            socket.receive_disconnect()
        else:
            socket.receive_refusal(self, packet.data)

    def _undecodable(self, detail: str) -> None:
        self._manager.failed_to_decode(self, detail)

    def _drop_reconstruction(self) -> None:
        self._reconstructor = None
        if self._reader is not None:
            self._reader.incomplete = False
        if self._attachment_timer is not None:
            self._hub.timers.cancel(self._attachment_timer)
            self._attachment_timer = None
