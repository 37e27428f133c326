"""What other servers have sent, for the clients of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from siocore.cluster.codec import encode_json
from siocore.errors import DecodeError, LocalProtocolError
from siocore.packets import SocketPacketType
from siocore.socketio.adapter import MemoryAdapter, Selection
from siocore.socketio.names import check_event_name
from siocore.socketio.remote import describe_socket

if TYPE_CHECKING:
    from siocore.cluster.requests import ForwardedAck
    from siocore.socketio.acks import BroadcastAck
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = ["deliver_event", "describe_sockets"]

_EVENT = SocketPacketType.EVENT.value


def deliver_event(
    adapter: MemoryAdapter,
    namespace: Namespace,
    data: list[Any],
    selection: Selection,
    ack: ForwardedAck | None = None,
) -> None:
    """Deliver an event of another server, its name and arguments, to the clients of this one.

    Raises DecodeError if it is no event, or none that clients would take.
    """
    try:
        check_event_name(data[0])
        message = namespace.encode(_EVENT, data, None if ack is None else ack.id)
    except LocalProtocolError as error:
        raise DecodeError(f"an event that clients would not take: {error}") from None
    message.compress = selection.compress
    if ack is None and message.when_full:
        namespace.allow_to_drop(message, None, selection.volatile)
    MemoryAdapter.broadcast(adapter, tuple(data), message, selection, cast("BroadcastAck | None", ack))


def describe_sockets(
    sockets: list[Socket], encode: Callable[[object], bytes | None] = encode_json
) -> list[dict[str, Any]]:
    """What other servers are told of sockets: of what applications and clients gave them, what ``encode`` takes."""
    described = [describe_socket(socket) for socket in sockets]
    if not _sendable(described, encode):
        for each in described:
            each["rooms"] = [room for room in each["rooms"] if _sendable(room, encode)]
            each["data"] = _sendable_part(each["data"], encode)
            each["handshake"]["auth"] = _sendable_part(each["handshake"]["auth"], encode)
    return described


def _sendable_part(values: Mapping[str, Any], encode: Callable[[object], bytes | None]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if _sendable({name: value}, encode)}


def _sendable(value: object, encode: Callable[[object], bytes | None]) -> bool:
    try:
        return encode(value) is not None
    except LocalProtocolError:
        return False
