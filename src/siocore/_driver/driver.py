"""The leader of a server that has its own sockets."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from siocore._driver.interfaces import Address, Host, ServedApplication
from siocore._driver.leader import Leader
from siocore._driver.listeners import Listener
from siocore._driver.mesh import Mesh
from siocore._driver.sockets import Port, Sockets
from siocore._driver.turn import Turn
from siocore.driven import ServerEndpoint
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.interfaces import ConnectionOwner
from siocore.options import WebTransport, Worker

__all__ = ["Driver"]


class Driver(Leader):
    """Serves one application on its own listeners. How it is started and stopped is said at :class:`Leader`."""

    def __init__(
        self,
        app: ServedApplication,
        host: Host,
        listeners: Sequence[Listener],
        ssl_context: ssl.SSLContext | None,
        webtransport: WebTransport | None = None,
        worker: Worker | None = None,
    ) -> None:
        super().__init__(app, host)
        self.addresses: list[Address] = [listener.address for listener in listeners]
        ports = _open_ports(app.protocol, self.addresses, webtransport)
        sockets = Sockets(app.protocol, listeners, ssl_context, ports)
        self._traffic = sockets
        self._pump = Turn(app.protocol, app.dispatch, sockets, host.clock).pump
        self._mesh: Mesh | None = None
        if worker is not None:
            if not isinstance(app.protocol, EngineServerProtocol):
                raise TypeError("worker= is for a server of Socket.IO or Engine.IO")
            self._mesh = sockets.mesh = Mesh(worker, app.protocol, sockets)

    def close(self) -> None:
        """Close every descriptor. No task of the driver may be left."""
        if isinstance(self._protocol, ConnectionOwner):
            self._protocol.hosting = None
        if self._mesh is not None:
            self._mesh.close()
        super().close()


def _open_ports(
    protocol: ServerEndpoint, addresses: Sequence[Address], settings: WebTransport | None
) -> Sequence[Port]:
    wanted = "webtransport" in protocol.options.transports
    if settings is None:
        if wanted:
            raise ValueError("transports has 'webtransport': it needs a certificate, webtransport=WebTransport(...)")
        return ()
    if not wanted:
        raise ValueError("webtransport= was given, but 'webtransport' is not among the server's transports")
    try:
        # Here and not above: aioquic is only needed for this.
        from siocore._driver.quic import open_ports
    except ImportError as exc:
        raise ImportError("WebTransport needs aioquic: pip install 'siocore[webtransport]'") from exc
    return open_ports(protocol, addresses, settings)
