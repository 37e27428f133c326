"""Runs a client of siocore's own on virtual time and virtual links, against a server that does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from siocore.driven import ClientEndpoint, DialledConnection
from siocore.target import Target
from siocore.testing.network import Link, Network
from siocore.testing.participant import DrivenEnd, Participant
from siocore.testing.simulation import Simulation

__all__ = ["Acceptor", "AppClient", "ClientApplication", "Dial"]


class ClientApplication(Protocol):
    """An application that connects to servers: ``siocore.Client``, for instance."""

    @property
    def protocol(self) -> ClientEndpoint: ...

    def dispatch(self, event: Any) -> Coroutine[Any, Any, Any] | None: ...


class Acceptor(Protocol):
    """Where connections lead: a :class:`TestServer` or a :class:`ScriptedServer`."""

    simulation: Simulation
    network: Network

    @property
    def listening(self) -> bool:
        """False: connections are refused."""

    def accept(self, link: Link, peer: object, *, secure: bool) -> None:
        """Take a link whose other end is somebody's."""


class Dial:
    """A connection that a client asks for. A script says what becomes of it: by default it is made at once."""

    def __init__(self, number: int, target: Target, server: Acceptor) -> None:
        #: Dials of a client are numbered from 0.
        self.number = number
        self.target = target
        #: Where it leads.
        self.server = server
        #: Seconds until there is a connection, or a refusal.
        self.delay = 0.0
        #: Not None: there is no connection, and this sentence says why.
        self.refusal: str | None = None
        #: True: nobody ever answers.
        self.swallowed = False


class AppClient(Participant):
    """A client application that runs as far as a test lets it; made by :meth:`TestServer.attach`.

    Its handlers and coroutines may await what siocore gives them, ``clock.sleep()`` and gates, as those of a
    :class:`TestServer`. ``client.run(socket.connect())`` runs one to its end. An endpoint without an application
    (``siocore.ClientProtocol``) can be attached as well: what it tells is in ``events``.
    """

    def __init__(self, app: ClientApplication | ClientEndpoint, server: Acceptor) -> None:
        #: What the endpoint told, if there is no application to handle it.
        self.events: deque[Any] = deque()
        if isinstance(app, ClientEndpoint):
            self.protocol: ClientEndpoint = app
            dispatch: Callable[[Any], Coroutine[Any, Any, Any] | None] = self.events.append
        else:
            self.protocol = app.protocol
            dispatch = app.dispatch
        super().__init__(self.protocol, dispatch, server.simulation)
        self.protocol.elapsed_clock = self.clock
        self.app = app
        #: Where connections lead. May be changed at any time, to another server of the same simulation.
        self.server = server
        #: Called with each dial, to delay, refuse or swallow it or to send it elsewhere.
        self.script: Callable[[Dial], None] | None = None
        #: How many connections were asked for.
        self.dialled = 0

    @property
    def links(self) -> list[Link]:
        """Its connections, oldest first."""
        return [end.link for end in self._ends]

    def cut(self) -> None:
        """Reset every connection."""
        for link in self.links:
            link.cut()

    def close(self) -> None:
        super().close()
        self.protocol.elapsed_clock = None

    def open_connections(self) -> bool:
        connections = self.protocol.take_dials()
        for connection in connections:
            dial = Dial(self.dialled, connection.target, self.server)
            self.dialled += 1
            if self.script is not None:
                self.script(dial)
            if not dial.swallowed:
                self.clock.call_later(dial.delay, partial(self._dialled, dial, connection))
        return bool(connections)

    def _dialled(self, dial: Dial, connection: DialledConnection) -> None:
        if connection.closed or connection.aborted:
            return
        if self.frozen:
            self.defer(partial(self._dialled, dial, connection))
            return
        if dial.refusal is None and not dial.server.listening:
            dial.refusal = "the server refused the connection"
        if dial.refusal is not None:
            connection.dial_failed(dial.refusal, now=self._time())
            return
        link = dial.server.network.connect()
        end = DrivenEnd(self, link, connection, outgoing=link.to_server, incoming=link.to_client)
        dial.server.accept(link, ("192.0.2.2", 50_000 + dial.number), secure=dial.target.secure)
        link.attach_client(end)
        connection.connected(now=self._time())
        self.attend(connection)
