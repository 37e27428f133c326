"""Handlers of one socket alone: ``@socket.on("event")`` in a ``connection`` handler."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import TypeVar

from siocore.errors import LocalProtocolError
from siocore.socketio.listeners import SOCKET_LIFECYCLE, Handler, Listeners, Once, without

__all__ = ["Listening"]

_H = TypeVar("_H", bound=Handler)


class Listening:
    """A socket as the place where handlers are registered. They are called without the socket, which they know."""

    __slots__ = ("registered",)

    def __init__(self) -> None:
        #: None until the first handler is registered, and so for most sockets always.
        self.registered: Listeners | None = None

    def on(self, name: str | int) -> Callable[[_H], _H]:
        """Register a handler for this socket alone: ``@socket.on("chat message")``, called with the arguments.

        ``async def`` or plain ``def``; it is called after the namespace's own handlers of this name, and the first
        value that one of them returns is the acknowledgement. ``disconnecting`` and ``disconnect`` handlers get the
        reason, ``error`` handlers what a middleware of :meth:`use` has raised. All end with the socket.
        """

        def register(handler: _H) -> _H:
            self._listeners().add(name, handler, False)
            return handler

        return register

    def prepend(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, in front of the socket's handlers that are there already."""

        def register(handler: _H) -> _H:
            self._listeners().add(name, handler, True)
            return handler

        return register

    def once(self, name: str | int) -> Callable[[_H], _H]:
        """:meth:`on`, for one event only."""

        def register(handler: _H) -> _H:
            self._listeners().add(name, Once(handler, self, name), False)
            return handler

        return register

    def off(self, name: str | int | None = None, handler: Handler | None = None) -> None:
        """Take away a handler of this name (however often it is there), all of this name, or all of all names.

        Handlers that run are not stopped. Middleware and catch-all handlers stay, and so do the namespace's.
        """
        if self.registered is not None:
            self.registered.remove(name, handler)

    def listeners(self, name: str | int) -> list[Handler]:
        """The socket's own handlers of this name, in the order of their calls."""
        return [] if self.registered is None else self.registered.handlers(name)

    def on_any(self, handler: _H) -> _H:
        """Register a handler for every event of this socket: ``@socket.on_any``, called with name and arguments."""
        self._listeners().add_any(handler, False)
        return handler

    def prepend_any(self, handler: _H) -> _H:
        """:meth:`on_any`, in front of those that are there already."""
        self._listeners().add_any(handler, True)
        return handler

    def off_any(self, handler: Handler | None = None) -> None:
        """Take away a catch-all handler, or all of them."""
        if self.registered is not None:
            self.registered.remove_any(handler)

    def listeners_any(self) -> list[Handler]:
        """The catch-all handlers, in the order of their calls."""
        return [] if self.registered is None else list(self.registered.any)

    def on_any_outgoing(self, handler: _H) -> _H:
        """Register a plain function for every event that is sent to this socket, alone or by a broadcast.

        It is called with name and arguments before the event leaves, and can't stop it. Acknowledgements are no
        events. Raises LocalProtocolError for an ``async def``: there is nobody who could await it.
        """
        _check_plain(handler)
        listeners = self._listeners()
        listeners.any_outgoing = (*listeners.any_outgoing, handler)
        self._tap(True)
        return handler

    def prepend_any_outgoing(self, handler: _H) -> _H:
        """:meth:`on_any_outgoing`, in front of those that are there already."""
        _check_plain(handler)
        listeners = self._listeners()
        listeners.any_outgoing = (handler, *listeners.any_outgoing)
        self._tap(True)
        return handler

    def off_any_outgoing(self, handler: Handler | None = None) -> None:
        """Take away a handler of what is sent, or all of them."""
        listeners = self.registered
        if listeners is not None:
            listeners.any_outgoing = () if handler is None else without(listeners.any_outgoing, handler)
            self._tap(bool(listeners.any_outgoing))

    def listeners_any_outgoing(self) -> list[Handler]:
        """The handlers of what is sent, in the order of their calls."""
        return [] if self.registered is None else list(self.registered.any_outgoing)

    def use(self, middleware: _H) -> _H:
        """Register a middleware for this socket's events: ``@socket.use``, called with the name and the arguments.

        It lets the event through by returning; no handler, catch-all ones included, sees an event before every
        middleware has returned. What it changes in the list of arguments is changed for the handlers. An exception
        stops the event: the socket's ``error`` handlers are called with it, or, where there are none, it is logged
        and the ``on_error`` hooks are called. The client learns nothing of it.
        """
        self._listeners().add_middleware(middleware)
        return middleware

    def _listeners(self) -> Listeners:
        if self.registered is None:
            self.registered = Listeners(SOCKET_LIFECYCLE)
        return self.registered

    def _tap(self, tapped: bool) -> None:
        """Whether there are handlers of what is sent has changed."""
        raise NotImplementedError


def _check_plain(handler: Handler) -> None:
    if iscoroutinefunction(handler):
        raise LocalProtocolError("a handler of outgoing events is a plain function: emit does not wait for it")
