"""Parsers: how Socket.IO packets become Engine.IO messages, and back.

Without one (``ServerOptions.parser``) packets are written as the protocol says, by the compiled codec. A parser is
for clients that were given the same one: ``io(url, {parser: ...})`` in JavaScript.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from siocore._speedups import Packet
from siocore.codec.message import BinaryMessage, Outgoing, TextMessage
from siocore.codec.rules import MAX_ID, fault_of_data
from siocore.errors import DecodeError, LocalProtocolError

if TYPE_CHECKING:
    from siocore.options import Limits

__all__ = ["Decoder", "PacketReader", "Parser", "check_packet", "write_packet"]

_ACK = 3
_CONNECT_ERROR = 4


class Decoder(ABC):
    """Reads the messages of one client."""

    __slots__ = ()

    @abstractmethod
    def receive(self, message: str | bytes) -> Packet | None:
        """Take the next Engine.IO message; return the packet that it completes, or None if more belong to that.

        Raises DecodeError for a message that is no packet: the client is disconnected. What a packet may be is
        checked by whoever calls this; what is kept between two messages has to be bounded here.
        """


class Parser(ABC):
    """Writes packets, for any number of clients, and makes the decoders that read theirs."""

    __slots__ = ()

    @abstractmethod
    def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
        """The Engine.IO messages of a packet: one text with binary ones behind it, or a single binary one.

        ``type`` is one of :class:`siocore.packets.SocketPacketType` without BINARY_EVENT and BINARY_ACK; ``data`` is
        a dict or None (CONNECT), None (DISCONNECT), the name and arguments in a tuple (EVENT), arguments in a tuple
        (ACK), a str or dict (CONNECT_ERROR). Raises LocalProtocolError for data that can't be sent.
        """

    @abstractmethod
    def decoder(self, limits: Limits) -> Decoder:
        """A decoder for one client. It has to keep to ``limits``: depth, sizes, attachments."""


class PacketReader:
    """What a decoder returns, checked; whatever goes wrong is a DecodeError."""

    __slots__ = ("_decoder", "_limits", "incomplete")

    def __init__(self, parser: Parser, limits: Limits) -> None:
        self._decoder = parser.decoder(limits)
        self._limits = limits
        #: Part of a packet has been received.
        self.incomplete = False

    def receive(self, message: str | bytes) -> Packet | None:
        """Take a message; return the packet that it completes, if any. Raises DecodeError."""
        self.incomplete = False
        try:
            packet = self._decoder.receive(message)
        except DecodeError:
            raise
        except Exception as error:
            # Of a parser that the application made: its fault ends this client, not the server.
            raise DecodeError(f"the parser failed: {type(error).__name__}: {error}") from error
        if packet is None:
            self.incomplete = True
        else:
            check_packet(packet, self._limits)
        return packet


def write_packet(parser: Parser, type: int, namespace: str, data: object, id: int | None) -> Outgoing:
    """What a session sends for a packet. Raises LocalProtocolError, and whatever else ``parser.encode`` raises."""
    match parser.encode(type, namespace, data, id):
        case [bytes() as only]:
            return BinaryMessage(only)
        case [str() as text, *attachments] if all(isinstance(each, bytes) for each in attachments):
            if "\x1e" in text:
                raise LocalProtocolError("text with U+001E can't be sent: it separates packets in long-polling")
            try:
                head = text.encode()
            except UnicodeEncodeError:
                raise LocalProtocolError("text with lone surrogates can't be sent") from None
            return TextMessage(head, [each for each in attachments if isinstance(each, bytes)])
    raise LocalProtocolError("a packet is one text message with binary ones behind it, or one binary message")


def check_packet(packet: Packet, limits: Limits) -> None:
    """Raise DecodeError unless a packet that a decoder returned is one, by the rules that hold for every wire form."""
    if type(packet) is not Packet:
        raise DecodeError(f"the parser failed: it returned a {type(packet).__name__}")
    kind: object = packet.type
    if type(kind) is not int or not 0 <= kind <= _CONNECT_ERROR:
        raise DecodeError("unknown packet type")
    name: object = packet.namespace
    if type(name) is not str or not name.startswith("/") or "," in name or "\x1e" in name:
        raise DecodeError("illegal namespace")
    if len(name) > limits.max_namespace_length:
        raise DecodeError("illegal namespace")
    number: object = packet.id
    if number is None:
        if kind == _ACK:
            raise DecodeError("acknowledgement without an id")
    elif type(number) is not int or not 0 <= number <= MAX_ID:
        raise DecodeError("illegal id")
    if packet.attachments:
        raise DecodeError("a packet whose attachments are missing")
    data = packet.data
    fault = fault_of_data(kind, data, limits.max_event_name)
    if fault is not None:
        raise DecodeError(fault)
    if type(data) is tuple:
        # Handlers may change their arguments, as those of any other parser.
        packet.data = list(data)
