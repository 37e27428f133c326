"""A server of raw bytes, for tests of what clients do when a server behaves oddly."""

from __future__ import annotations

from collections.abc import Callable

from siocore.driven import ClientEndpoint
from siocore.testing.app_client import AppClient, ClientApplication
from siocore.testing.network import Link, Network, Stream
from siocore.testing.simulation import Simulation

__all__ = ["ScriptedServer"]


class ScriptedServer:
    """Accepts connections and does with their bytes whatever ``on_connect`` makes of the :class:`Stream` that it gets.

    The stream is the server's end: ``stream.on_data`` is called with what the client sends, ``stream.write`` answers.
    """

    def __init__(
        self, on_connect: Callable[[Stream], None] | None = None, *, simulation: Simulation | None = None
    ) -> None:
        self.simulation = Simulation() if simulation is None else simulation
        self.clock = self.simulation.clock
        self.network = Network(self.clock)
        #: False: connections are refused.
        self.listening = True
        #: Every connection there was, in order.
        self.streams: list[Stream] = []
        self._on_connect = on_connect

    def attach(self, app: ClientApplication | ClientEndpoint) -> AppClient:
        """Run a client of siocore's own: the connections that it asks for lead here."""
        return AppClient(app, self)

    def accept(self, link: Link, peer: object, *, secure: bool) -> None:
        """Take a link whose other end is somebody's."""
        stream = Stream(link, outgoing=link.to_client, incoming=link.to_server)
        link.attach(stream)
        self.streams.append(stream)
        if self._on_connect is not None:
            self._on_connect(stream)
