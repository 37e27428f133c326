"""The endpoint of a Socket.IO server: an Engine.IO endpoint with Socket.IO clients on its sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from re import Pattern

from siocore.cluster.cluster import Cluster
from siocore.codec.msgpack_parser import MsgpackParser
from siocore.endpoint.engine import EngineServerProtocol
from siocore.engineio.session import Session
from siocore.events import BufferFilled, SessionClosed
from siocore.options import ServerOptions
from siocore.overflow import SlowConsumer
from siocore.request import Request
from siocore.socketio.adapter import Adapter
from siocore.socketio.client import Client
from siocore.socketio.namespace import Namespace
from siocore.socketio.parent import Directory, NamespacePredicate, ParentNamespace

__all__ = ["ServerProtocol"]

#: The reasons of which the detail tells what is wrong with a client.
_BREACHES = ("forced close", "parse error")


class ServerProtocol(EngineServerProtocol):
    """A sans-I/O Socket.IO server (protocol revision 5 on Engine.IO 4, and 4 on 3 with ``allow_eio3``).

    Driven like :class:`EngineServerProtocol`. ``adapter`` makes the rooms of a namespace (default: in memory); a
    :class:`siocore.cluster.cluster.Cluster` makes those of a server that is one of several.
    """

    __slots__ = ("_directory", "_legacy_limits", "cluster", "namespaces")

    def __init__(self, options: ServerOptions | None = None, *, adapter: Callable[[], Adapter] | None = None) -> None:
        options = ServerOptions() if options is None else options
        if options.parser == "msgpack":
            options = replace(options, parser=MsgpackParser())
        super().__init__(options)
        #: The cluster that the server is a member of, if any.
        self.cluster = adapter if isinstance(adapter, Cluster) else None
        if self.cluster is not None:
            self.cluster.bind(self)
        self._directory = Directory(self, adapter)
        # The name of a namespace has a query behind it there, which a token can make long.
        self._legacy_limits = replace(self.options.limits, max_namespace_length=self.options.limits.max_payload)
        self.namespaces: dict[str, Namespace] = self._directory.namespaces
        self.of("/")

    def of(self, name: str) -> Namespace:
        """The namespace of this name; made if it does not exist. Clients can join it from then on.

        Raises ValueError for a name that no client could send.
        """
        return self._directory.of(name)

    def of_all(self, accepts: Pattern[str] | NamespacePredicate) -> ParentNamespace:
        """The parent of all namespaces whose names a regular expression or a predicate accepts; made on first use."""
        return self._directory.of_all(accepts)

    def abort(self, now: float) -> None:
        """Drop whatever is left, also what was kept for clients that may come back."""
        EngineServerProtocol.abort(self, now)
        for namespace in self.namespaces.values():
            if namespace.recovery is not None:
                namespace.adapter.stop_recovery()
        if self.cluster is not None:
            self.cluster.stop()

    def session_opened(self, session: Session) -> None:
        if session.revision != 3:
            session.client = Client(session, self, self._directory)
        else:
            session.client = client = Client(session, self, self._directory, self._legacy_limits)
            client.join_root()

    def session_message(self, session: Session, data: str | bytes, start: int) -> None:
        client = session.client
        if isinstance(client, Client):
            if isinstance(data, str):
                client.receive_text(data, start)
            else:
                client.receive_binary(data)

    def session_slow(self, session: Session, info: SlowConsumer) -> None:
        client = session.client
        if isinstance(client, Client):
            for socket in client.joined_sockets:
                self.push_event(BufferFilled(socket, info))

    def session_closed(self, session: Session, reason: str, detail: str) -> None:
        client = session.client
        if isinstance(client, Client):
            client.link_closed(reason, detail)
        if detail and reason in _BREACHES:
            # It may have joined no namespace, and then nobody else hears of it.
            self.push_event(SessionClosed(session, reason, detail))

    def session_forgotten(self, session: Session) -> None:
        EngineServerProtocol.session_forgotten(self, session)
        # Each refers to the other: together they would wait for the garbage collector.
        session.client = None

    def not_found(self, request: Request) -> str:
        if request.path.startswith(self.options.path):
            return (
                "Not Found: the browser bundle is not part of this installation. Build siocore with npm on the PATH, "
                "or name a folder with socket.io-client's dist files in SIOCORE_CLIENT_DIST or client_dist=.\n"
            )
        return f"Not Found: this server speaks Socket.IO at {self.options.path}\n"
