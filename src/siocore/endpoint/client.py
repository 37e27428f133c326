"""The endpoint of a Socket.IO client: managers and sockets over sessions. See engine_client for how to drive it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from weakref import WeakValueDictionary

from siocore.client_options import ClientOptions
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.link import ClientLink, LinkUser
from siocore.socketio.client_interfaces import LinkOpener
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.manager import Manager
from siocore.target import Target, parse_url

__all__ = ["ClientProtocol"]

#: Options of a single socket: they don't keep sockets from sharing a connection.
_OF_SOCKETS = {"auth", "auto_connect", "force_new", "multiplex", "retries", "ack_timeout"}
_OF_CONNECTIONS = [each.name for each in fields(ClientOptions) if each.name not in _OF_SOCKETS]


class ClientProtocol(EngineClientProtocol, LinkOpener):
    """A sans-I/O Socket.IO client (protocol revisions 5 and 4)."""

    __slots__ = ("_managers", "_number", "_shared")

    def __init__(self) -> None:
        super().__init__()
        # Not held: a manager lives as long as it has a connection, or wants one, or somebody has one of its sockets.
        self._managers: WeakValueDictionary[int, Manager] = WeakValueDictionary()
        self._shared: WeakValueDictionary[int, Manager] = WeakValueDictionary()
        self._number = 0

    @property
    def managers(self) -> list[Manager]:
        """Every manager that is in use, in the order of their making."""
        return list(self._managers.values())

    def socket(self, url: str, **options: Any) -> ClientSocket:
        """The socket of a namespace, which is the URL's path: ``socket("https://example.org/admin", auth={...})``.

        Sockets of the same server, path and options share a connection, except those with ``force_new``, or with
        ``multiplex=False``, or for a namespace that has a socket there already. The URL's query goes with the
        requests, unless ``query`` is an option. It connects unless ``auto_connect`` is off.

        Raises ValueError or TypeError for a URL or options that are wrong, LocalProtocolError for a namespace or
        ``auth`` that can't be sent, or when the client is closed.
        """
        host, port, secure, namespace, query = parse_url(url)
        if query and "query" not in options:
            options["query"] = query
        chosen = ClientOptions(**options)
        target = chosen.target(host, port, secure)
        return self._manager(target, chosen, namespace).socket(namespace, options=chosen)

    def open_link(self, target: Target, options: ClientOptions, user: LinkUser) -> ClientLink:
        return self.open_session(target, options, user)

    def shutdown(self, now: float) -> None:
        """Stop gracefully: every socket disconnects, what was sent leaves, and nothing is connected again."""
        self.latest = now
        for manager in self.managers:
            manager.shut_down()
        EngineClientProtocol.shutdown(self, now)

    def abort(self, now: float) -> None:
        """Drop whatever is left."""
        self.latest = now
        for manager in self.managers:
            manager.shut_down()
        EngineClientProtocol.abort(self, now)

    def _manager(self, target: Target, options: ClientOptions, namespace: str) -> Manager:
        """The manager for a new socket."""
        shares = options.multiplex and not options.force_new
        if shares:
            for manager in self._shared.values():
                if manager.target == target and _same_connection(manager.options, options):
                    if namespace not in manager.sockets:
                        return manager
                    shares = False
                    break
        manager = Manager(target, options, self)
        self._number += 1
        self._managers[self._number] = manager
        if shares:
            self._shared[self._number] = manager
        return manager


def _same_connection(one: ClientOptions, other: ClientOptions) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _OF_CONNECTIONS)
