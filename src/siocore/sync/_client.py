"""Sockets of any number of servers, for blocking code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from siocore.application.client import Client as Application
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.manager import Manager as CoreManager
from siocore.sync._handlers import Handler
from siocore.sync._host import BlockingHost
from siocore.sync._manager import Manager
from siocore.sync._runner import Runner
from siocore.sync._socket import Socket

__all__ = ["Client", "connect", "open_client"]

_H = TypeVar("_H", bound=Callable[..., Any])


class Client(Runner):
    """Made by :func:`open_client`. Belongs to the thread that opened it."""

    def __init__(self, grace: float, defaults: dict[str, Any], host: BlockingHost | None = None) -> None:
        self._closed = True
        host = host or BlockingHost()
        self._sockets: dict[ClientSocket, Socket] = {}
        self._managers: dict[CoreManager, Manager] = {}
        self._application = Application(**_with_plain_auth(host, defaults))
        super().__init__(self._application, grace, host)

    def socket(self, url: str, **options: Any) -> Socket:
        """A socket for the namespace that the path of ``url`` names.

        It begins to connect, unless ``auto_connect`` is False, which goes on while a call blocks; ``connect()`` waits
        for it. Options are those of :class:`siocore.ClientOptions`, and go before the client's defaults.
        Raises TypeError and ValueError for options and URLs that are none.
        """
        return self.socket_of(self.call(self._application.socket, url, **_with_plain_auth(self._host, options)))

    def on_error(self, handler: _H) -> _H:
        """Register a hook for what handlers raise: ``@client.on_error``, called as ``(error, socket, name)``.

        Each exception is logged once, whether there is a hook or not; the connection lives on.
        """

        def hook(error: Exception, subject: object, name: str) -> Any:
            return wrapped(error, self._known(subject), name)

        wrapped = self.wrapped(handler)
        self._application.on_error(hook)
        return handler

    def wait(self, seconds: float | None = None) -> None:
        """Run handlers and answer heartbeats for so many seconds, or until no socket is active any more."""
        managers = self._application.managers
        self.run_until(
            lambda: not any(socket.active for manager in managers for socket in manager.sockets.values()), seconds
        )

    def socket_of(self, socket: ClientSocket, owns_client: bool = False) -> Socket:
        """The one that stands for a socket of the core."""
        known = self._sockets.get(socket)
        if known is None:
            known = self._sockets[socket] = Socket(self, socket, owns_client)
        return known

    def manager_of(self, manager: CoreManager) -> Manager:
        """The one that stands for a manager of the core."""
        known = self._managers.get(manager)
        if known is None:
            known = self._managers[manager] = Manager(self, manager)
        return known

    def _known(self, subject: object) -> object:
        if isinstance(subject, ClientSocket):
            return self.socket_of(subject)
        return self.manager_of(subject) if isinstance(subject, CoreManager) else subject


def open_client(*, grace: float = 5.0, **defaults: Any) -> Client:
    """A client for several servers: ``with siocore.sync.open_client() as client: a = client.socket(url)``.

    ``defaults`` are options of :class:`siocore.ClientOptions` for every socket. Leaving the block, or ``close()``,
    disconnects and sends what is left, for at most ``grace`` seconds.
    """
    return Client(grace, defaults)


def connect(url: str, *, retry: bool = False, grace: float = 5.0, **options: Any) -> Socket:
    """Connect to a server, and return the socket when it is connected.

    ``with siocore.sync.connect("http://127.0.0.1:3000/chat") as socket: ...``, or without ``with``, as in a notebook,
    and ``socket.close()`` at the end. ``options`` are those of :class:`siocore.ClientOptions`. With
    ``auto_connect=False`` it does not connect: register handlers, then call ``socket.connect()``. Closing disconnects
    and sends what is left, for at most ``grace`` seconds.

    Raises ConnectError if the first attempt fails; with ``retry=True`` it goes on as the options for reconnection say,
    and raises when that has failed. Raises TypeError and ValueError for options that are none.
    """
    client = open_client(grace=grace)
    try:
        core = client.call(client._application.socket, url, **_with_plain_auth(client._host, options))
        socket = client.socket_of(core, owns_client=True)
        if core.options.auto_connect:
            socket.connect(retry=retry)
    except BaseException:
        client.close()
        raise
    return socket


def _with_plain_auth(host: BlockingHost, options: dict[str, Any]) -> dict[str, Any]:
    auth = options.get("auth")
    return {**options, "auth": Handler(host, auth)} if callable(auth) else options
