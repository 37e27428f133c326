"""The names that events may have."""

from __future__ import annotations

from siocore.errors import LocalProtocolError

__all__ = ["check_event_name"]

#: Events that have a meaning of their own on either side: nobody may send them.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


def check_event_name(name: object) -> None:
    """Raise LocalProtocolError unless events may be sent under this name."""
    if type(name) is not str and (not isinstance(name, (str, int)) or isinstance(name, bool)):
        raise LocalProtocolError(f"an event's name is a str, not {type(name).__name__}")
    if name in RESERVED_EVENTS:
        raise LocalProtocolError(f"{name!r} is a reserved event name: choose another one")
