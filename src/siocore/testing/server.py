"""Runs a server on virtual time and virtual links: no socket, no event loop, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from siocore.application import EngineServer, Server
from siocore.testing.app_client import AppClient, ClientApplication
from siocore.testing.clock import ManualClock
from siocore.testing.network import Link, Network, Stream
from siocore.testing.participant import DrivenEnd, Participant
from siocore.testing.simulation import Simulation
from siocore.testing.wire import Response, ResponseReader, request_bytes

if TYPE_CHECKING:
    from siocore.driven import ClientEndpoint

__all__ = ["TestServer"]


class TestServer(Participant):
    """A :class:`siocore.Server` or :class:`siocore.EngineServer` that runs as far as a test lets it.

    Nothing happens on its own: :meth:`settle` does all that is due now, :meth:`advance` lets time pass. Handlers may
    be coroutines, but can only await what siocore gives them (``emit``, ``emit_with_ack``), ``server.clock.sleep()``
    and gates from :meth:`new_waiter`, since no event loop runs.

    ``batch`` makes it read all that has arrived before it calls handlers, as under load, instead of after each piece.
    ``simulation`` makes it live on the clock of another one.
    """

    __test__ = False  # not a test case, whatever its name

    def __init__(
        self,
        app: Server | EngineServer,
        *,
        clock: ManualClock | None = None,
        batch: bool = False,
        simulation: Simulation | None = None,
    ) -> None:
        super().__init__(
            app.protocol, app.dispatch, Simulation(clock, batch=batch) if simulation is None else simulation
        )
        self.app = app
        self.protocol = app.protocol
        self.network = Network(self.clock)
        self._closed = False

    # Connections ----------------------------------------------------------------------------------------------

    def connect(self, peer: object = ("192.0.2.1", 50_000), *, secure: bool = False) -> Stream:
        """Open a connection and return the client's end: raw bytes, before any HTTP."""
        link = self.network.connect()
        self.accept(link, peer, secure=secure)
        return link.stream

    def attach(self, app: ClientApplication | ClientEndpoint) -> AppClient:
        """Run a client of siocore's own: the connections that it asks for lead here."""
        return AppClient(app, self)

    @property
    def listening(self) -> bool:
        """False: connections are refused."""
        return not self._closed

    def accept(self, link: Link, peer: object, *, secure: bool) -> None:
        """Take a link whose other end is somebody's."""
        connection = self.protocol.connection_made(peer, now=self._time(), secure=secure)
        link.attach(DrivenEnd(self, link, connection, outgoing=link.to_client, incoming=link.to_server))

    def end_closed(self, end: DrivenEnd) -> None:
        super().end_closed(end)
        self.network.forget(end.link)

    def close(self) -> None:
        """Drop every connection, end handlers that still wait, and let go of the application."""
        self._closed = True
        super().close()

    def request(self, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Response:
        """Make one HTTP request on a connection of its own and return the answer."""
        stream = self.connect()
        responses: list[Response] = []
        reader = ResponseReader()

        def receive(data: bytes) -> None:
            responses.extend(reader.feed(data, method))

        stream.on_data = receive
        stream.write(request_bytes(method, target, headers, body))
        self.run_until(lambda: responses or stream.eof or stream.closed)
        stream.close()
        self.settle()
        if not responses:
            raise ConnectionError(f"{method} {target}: the server closed the connection without an answer")
        return responses[0]
