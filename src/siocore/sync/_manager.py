"""A connection for blocking code, and the sockets that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from siocore.socketio import manager as core
from siocore.sync._socket import Socket

if TYPE_CHECKING:
    from siocore.sync._client import Client

__all__ = ["Manager"]

_H = TypeVar("_H", bound=Callable[..., Any])


class Manager:
    """One connection to a server, made again when it is lost. Reached as ``socket.manager``."""

    def __init__(self, client: Client, manager: core.Manager) -> None:
        self._client = client
        self._manager = manager

    @property
    def reconnecting(self) -> bool:
        """Whether an attempt to connect again is under way, or waits for its time."""
        return self._manager.reconnecting

    @property
    def attempts(self) -> int:
        """Attempts to connect again since the last success."""
        return self._manager.attempts

    @property
    def transport(self) -> str | None:
        """``"polling"`` or ``"websocket"``; None while there is no connection."""
        link = self._manager.link
        return None if link is None else link.transport

    def socket(
        self, namespace: str = "/", *, auth: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None
    ) -> Socket:
        """The socket of a namespace: the same one for the same name.

        It begins to connect, which goes on while a call blocks; ``connect()`` waits for it. Raises LocalProtocolError
        for a name or ``auth`` that can't be sent.
        """
        given = self._client.wrapped(auth) if callable(auth) else auth
        return self._client.socket_of(self._client.call(self._manager.socket, namespace, auth=given))

    def disconnect(self) -> None:
        """Close the connection. It is not made again before a socket's ``connect()``."""
        self._client.call(self._manager.disconnect)

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler of what happens to the connection: ``@manager.on("reconnect_attempt")``.

        ``open()``, ``error(error)``, ``close(reason, detail)``, ``ping()``, ``upgrade(transport)``,
        ``reconnect_attempt(number)``, ``reconnect(attempts)``, ``reconnect_error(error)``, ``reconnect_failed()``.
        """
        return self._registering(self._manager.on(name))

    def once(self, name: str) -> Callable[[_H], _H]:
        """:meth:`on`, for one time only."""
        return self._registering(self._manager.once(name))

    def off(self, name: str | None = None, handler: Callable[..., Any] | None = None) -> None:
        """Take away a handler of this name, all of this name, or all of all names."""
        self._manager.off(name, None if handler is None else self._client.wrapped(handler))

    def _registering(self, register: Callable[[Any], Any]) -> Callable[[_H], _H]:
        def registered(handler: _H) -> _H:
            register(self._client.wrapped(handler))
            return handler

        return registered
