"""What the application registered at one place, a namespace or a socket: handlers, in the order of their calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from siocore.errors import LocalProtocolError

__all__ = ["NAMESPACE_LIFECYCLE", "SOCKET_LIFECYCLE", "Handler", "Listeners", "Once"]

Handler = Callable[..., Any]

#: Names that mean something that happens, and no event: what they are called here.
NAMESPACE_LIFECYCLE: Mapping[object, str | None] = {
    "connection": "connection",
    "connect": "connection",
    "disconnecting": "disconnecting",
    "disconnect": "disconnect",
    "slow_consumer": "slow_consumer",
    "connection_error": "connection_error",
    "new_namespace": "new_namespace",
    "adapter_up": "adapter_up",
    "adapter_down": "adapter_down",
}
#: The same for one socket. What is None has happened before anybody could wait for it.
SOCKET_LIFECYCLE: Mapping[object, str | None] = {
    "connection": None,
    "connect": None,
    "disconnecting": "disconnecting",
    "disconnect": "disconnect",
    "slow_consumer": "slow_consumer",
    "error": "error",
}


class Place(Protocol):
    """Where handlers can be taken away again."""

    def off(self, name: str | int | None = None, handler: Handler | None = None) -> None: ...


class Once:
    """A handler for the next event of its name only. It is taken away before it is called."""

    __slots__ = ("_called", "_name", "_place", "handler")

    def __init__(self, handler: Handler, place: Place, name: str | int) -> None:
        self.handler = handler
        self._place = place
        self._name = name
        self._called = False

    def __call__(self, *args: object) -> Any:
        # Several events may have been given to it before the first call.
        if self._called:
            return None
        self._called = True
        self._place.off(self._name, self)
        return self.handler(*args)


class Listeners:
    """The tuples are replaced and never changed: whoever goes through one is not disturbed."""

    __slots__ = ("_names", "any", "any_outgoing", "events", "lifecycle", "middlewares", "server_side")

    def __init__(self, names: Mapping[object, str | None]) -> None:
        self._names = names
        self.events: dict[str | int | float, tuple[Handler, ...]] = {}
        #: Kept apart from ``events``: a client can send an event named "connection", and must not reach these.
        self.lifecycle: dict[str, tuple[Handler, ...]] = {}
        #: Kept apart for the same reason: these are for other servers alone.
        self.server_side: dict[str | int, tuple[Handler, ...]] = {}
        self.any: tuple[Handler, ...] = ()
        self.any_outgoing: tuple[Handler, ...] = ()
        self.middlewares: tuple[Handler, ...] = ()

    def copy(self) -> Listeners:
        copied = Listeners(self._names)
        copied.events = dict(self.events)
        copied.lifecycle = dict(self.lifecycle)
        copied.server_side = dict(self.server_side)
        copied.any = self.any
        copied.any_outgoing = self.any_outgoing
        copied.middlewares = self.middlewares
        return copied

    def add(self, name: str | int, handler: Handler, first: bool) -> None:
        table, key = self._table(name)
        present = table.get(key, ())
        table[key] = (handler, *present) if first else (*present, handler)

    def remove(self, name: str | int | None, handler: Handler | None) -> None:
        """One handler of a name, all of a name, or all of all names."""
        if name is None:
            if handler is not None:
                raise LocalProtocolError("off() wants the event's name with the handler")
            self.events.clear()
            self.lifecycle.clear()
            return
        table, key = self._table(name)
        left = () if handler is None else without(table.get(key, ()), handler)
        if left:
            table[key] = left
        else:
            table.pop(key, None)

    def handlers(self, name: str | int) -> list[Handler]:
        table, key = self._table(name)
        return [each.handler if isinstance(each, Once) else each for each in table.get(key, ())]

    def add_server_side(self, name: str | int, handler: Handler) -> None:
        _check_name(name)
        self.server_side[name] = (*self.server_side.get(name, ()), handler)

    def add_any(self, handler: Handler, first: bool) -> None:
        self.any = (handler, *self.any) if first else (*self.any, handler)

    def remove_any(self, handler: Handler | None) -> None:
        self.any = () if handler is None else without(self.any, handler)

    def add_middleware(self, middleware: Handler) -> None:
        self.middlewares = (*self.middlewares, middleware)

    def _table(self, name: str | int) -> tuple[dict[Any, tuple[Handler, ...]], str | int]:
        _check_name(name)
        if name not in self._names:
            return self.events, name
        key = self._names[name]
        if key is None:
            raise LocalProtocolError(f"a socket has no {name!r} of its own: it is connected when handlers get it")
        return self.lifecycle, key


def without(handlers: tuple[Handler, ...], handler: Handler) -> tuple[Handler, ...]:
    return tuple([each for each in handlers if each != handler and not _is_once(each, handler)])


def _is_once(each: Handler, handler: Handler) -> bool:
    return isinstance(each, Once) and each.handler == handler


def _check_name(name: object) -> None:
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        raise LocalProtocolError(f"an event's name is a str, not {type(name).__name__}")
