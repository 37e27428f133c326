"""The leader of a server that has its own sockets."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from siocore._driver.interfaces import Address, Application, Host
from siocore._driver.leader import Leader
from siocore._driver.listeners import Listener
from siocore._driver.sockets import Sockets
from siocore._driver.turn import Turn
from siocore.endpoint.interfaces import ConnectionOwner

__all__ = ["Driver"]


class Driver(Leader):
    """Serves one application on its own listeners. How it is started and stopped is said at :class:`Leader`."""

    def __init__(
        self, app: Application, host: Host, listeners: Sequence[Listener], ssl_context: ssl.SSLContext | None
    ) -> None:
        super().__init__(app, host)
        sockets = Sockets(app.protocol, listeners, ssl_context)
        self._traffic = sockets
        self._pump = Turn(app.protocol, app.dispatch, sockets, host.clock).pump
        self.addresses: list[Address] = [listener.address for listener in listeners]

    def close(self) -> None:
        """Close every descriptor. No task of the driver may be left."""
        if isinstance(self._protocol, ConnectionOwner):
            self._protocol.hosting = None
        super().close()
