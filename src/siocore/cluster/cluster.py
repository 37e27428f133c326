"""What the adapters of one server share: who this node is, the way to the other nodes, and whether it works."""

from __future__ import annotations

from abc import ABC, abstractmethod

from siocore.cluster.broker import Broker
from siocore.cluster.garbage import Garbage
from siocore.driven import ServerEndpoint
from siocore.errors import LocalProtocolError
from siocore.events import AdapterDown, AdapterUp, Outage
from siocore.socketio.adapter import Adapter

__all__ = ["BrokerCluster", "Cluster"]


class Cluster(ABC):
    """A server's membership in a cluster: ``Server(adapter=cluster)``. Calling it makes the adapter of a namespace."""

    def __init__(self) -> None:
        self._hub: ServerEndpoint | None = None

    @property
    def hub(self) -> ServerEndpoint:
        """The endpoint of the server. Raises LocalProtocolError while there is none."""
        if self._hub is None:
            raise LocalProtocolError("this cluster has no server yet: Server(adapter=...) takes it")
        return self._hub

    def bind(self, hub: ServerEndpoint) -> None:
        """This is the endpoint of the server. Raises LocalProtocolError if there is one already."""
        if self._hub is not None:
            raise LocalProtocolError("each server needs a cluster object of its own: make another one for this server")
        self._hub = hub

    @property
    @abstractmethod
    def uid(self) -> str:
        """The id of this node."""

    @property
    @abstractmethod
    def up(self) -> bool:
        """Whether other nodes can be reached."""

    @abstractmethod
    def __call__(self) -> Adapter:
        """The adapter of one more namespace."""

    def stop(self) -> None:
        """The server has stopped: take leave of the others. It may be started again."""
        return


class BrokerCluster(Cluster):
    """A cluster whose nodes meet at a broker. It tells the application when that comes and goes."""

    def __init__(self, broker: Broker | None = None) -> None:
        super().__init__()
        self.broker = Broker() if broker is None else broker
        self.broker.watch(self)
        #: Messages to other nodes that did not leave, or may not have, since the broker was lost.
        self.dropped = 0
        self._garbage = Garbage()
        self._lost_at: float | None = None

    @property
    def up(self) -> bool:
        return self.broker.up

    @property
    def garbage(self) -> int:
        """Messages that were dropped because no server of the cluster would send such."""
        return self._garbage.count

    def broker_lost(self, reason: str) -> None:
        self._lost_at = self.hub.now
        self.hub.push_event(AdapterDown(reason))

    def broker_connected(self, resumed: bool) -> None:
        if not resumed or self._lost_at is None:
            self.hub.push_event(AdapterUp(None))
            return
        outage = Outage(self.hub.now - self._lost_at, self.dropped, self.gap())
        self.dropped = 0
        self._lost_at = None
        self.hub.push_event(AdapterUp(outage))

    def garbage_received(self, channel: str, reason: str) -> None:
        """Count a message that was dropped because of what is wrong with it: ``reason``, a sentence for people."""
        self._garbage.add(self.hub, channel, reason)

    @abstractmethod
    def gap(self) -> str:
        """What this node has missed of the others while the broker was gone: a sentence, empty if it was nothing."""
