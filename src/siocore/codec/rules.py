"""What every Socket.IO packet must look like, whatever its wire form.

Source: Socket.IO protocol, revision 5, "Packet types"; what is refused beyond it follows socket.io-parser 4.2.7.
"""

from __future__ import annotations

from math import isfinite

from siocore.errors import LocalProtocolError

__all__ = [
    "MAX_ID",
    "checked_id",
    "checked_namespace",
    "checked_type",
    "fault_of_data",
    "fault_of_event",
]

_CONNECT = 0
_DISCONNECT = 1
_EVENT = 2
_ACK = 3
_CONNECT_ERROR = 4

# socket.io-parser refuses them: on the other side they are what the library itself announces.
_RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"},
)
#: JavaScript's Number.MAX_SAFE_INTEGER, which has 16 digits: a peer can't tell larger ids apart.
MAX_ID = 2**53 - 1


def fault_of_data(kind: int, data: object, max_name: float) -> str | None:
    """What is wrong with the data of a packet, for a receiver whose longest event name is ``max_name``."""
    if kind == _EVENT:
        return fault_of_event(data, max_name)
    if kind == _ACK:
        legal = isinstance(data, (list, tuple))
    elif kind == _CONNECT:
        legal = data is None or isinstance(data, dict)
    elif kind == _DISCONNECT:
        legal = data is None
    else:
        legal = isinstance(data, (str, dict))
    return None if legal else "data of this type does not go with this type of packet"


def fault_of_event(data: object, max_name: float) -> str | None:
    """What is wrong with the array of an event, for a receiver whose longest name is ``max_name``."""
    if not isinstance(data, (list, tuple)) or not data:
        return "event without a name"
    name = data[0]
    if isinstance(name, str):
        if len(name) > max_name:
            return "event name is too long"
        return "event name is reserved" if name in _RESERVED_EVENTS else None
    # NaN and the infinities would be sent as null.
    if isinstance(name, float):
        legal = isfinite(name)
    else:
        legal = isinstance(name, int) and not isinstance(name, bool)
    return None if legal else "event name is not text or a number"


def checked_type(number: object) -> int:
    """The type of a packet to send. Raises LocalProtocolError."""
    if not isinstance(number, int) or not _CONNECT <= number <= _CONNECT_ERROR:
        raise LocalProtocolError("unknown packet type")
    return int(number)


def checked_namespace(namespace: object) -> str:
    """The namespace of a packet to send. Raises LocalProtocolError."""
    if not isinstance(namespace, str) or namespace[:1] != "/" or "," in namespace or "\x1e" in namespace:
        raise LocalProtocolError("a namespace is text that starts with '/', without ',' and U+001E")
    try:
        namespace.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a namespace has no lone surrogates") from None
    # Without what a subclass makes of it.
    return str.__str__(namespace)


def checked_id(number: object) -> int:
    """The id of a packet to send. Raises LocalProtocolError."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_ID:
        raise LocalProtocolError("an acknowledgement id is an integer from 0 to 2**53 - 1")
    return int(number)
