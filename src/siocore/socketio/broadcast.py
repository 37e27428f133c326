"""Broadcasts: ``io.to("a").except_("b").volatile.emit(...)``. Each step makes a new value; none changes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from siocore.errors import LocalProtocolError
from siocore.overflow import WAIT, Delayed, Delayer, policy_number, taken
from siocore.packets import SocketPacketType
from siocore.socketio.acks import BroadcastAck
from siocore.socketio.adapter import EVERYBODY, Found, Selection, SocketList
from siocore.socketio.names import check_event_name
from siocore.waiting import READY, Ready

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing
    from siocore.socketio.namespace import AnyNamespace
    from siocore.socketio.socket import Socket

__all__ = ["BroadcastOperator"]

_EVENT = SocketPacketType.EVENT.value


class BroadcastOperator:
    """Some of the sockets of a namespace, and what can be done with them. Immutable."""

    __slots__ = ("_namespace", "_selection", "_timeout")

    def __init__(self, namespace: AnyNamespace, selection: Selection = EVERYBODY, timeout: float = 5.0) -> None:
        self._namespace = namespace
        self._selection = selection
        self._timeout = timeout

    # Whom -----------------------------------------------------------------------------------------------------

    def to(self, *rooms: str) -> BroadcastOperator:
        """And the members of these rooms."""
        there, except_, local, volatile, compress, when_full = self._selection
        names = _names(rooms)
        wider = (there | names if there else names, except_, local, volatile, compress, when_full)
        # What _replace does in the end. Most broadcasts come here first.
        return self._with(tuple.__new__(Selection, wider))

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """But not the members of these rooms. A socket's id is a room with that socket in it."""
        return self._with(self._selection._replace(except_=self._selection.except_ | _names(rooms)))

    @property
    def local(self) -> BroadcastOperator:
        """Only the sockets of this process."""
        return self._with(self._selection._replace(local=True))

    @property
    def volatile(self) -> BroadcastOperator:
        """Only those who can take it at once."""
        return self._with(self._selection._replace(volatile=True))

    def compress(self, compress: bool) -> BroadcastOperator:
        """Whether what is sent may be compressed. False for what is compressed already, or must not be guessed at."""
        return self._with(self._selection._replace(compress=compress))

    def when_full(self, policy: str) -> BroadcastOperator:
        """What becomes of an event for those for whom ``Limits.max_buffered`` bytes wait: see ``slow_consumer``.

        Raises ValueError for a policy that there is not.
        """
        policy_number(policy)
        return self._with(self._selection._replace(when_full=policy))

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long ``emit_with_ack`` and ``fetch_sockets`` wait, in seconds."""
        return BroadcastOperator(self._namespace, self._selection, seconds)

    # What -----------------------------------------------------------------------------------------------------

    def emit(self, name: str | int, *args: object) -> Ready | Delayed:
        """Send an event to all that are selected. Encoded once. Raises LocalProtocolError if it can't be encoded.

        Awaiting what it returns waits for nobody, unless the policy for slow clients is "wait".
        """
        return taken(self._broadcast(name, args, None)) or READY

    def send(self, *args: object) -> Ready | Delayed:
        """Emit the event ``message``."""
        return self.emit("message", *args)

    def emit_with_ack(self, name: str | int, *args: object) -> BroadcastAck:
        """Send an event and await the answers of all: a list in order of arrival.

        Awaiting raises AckTimeout, with ``responses``, if some have not answered within ``timeout(...)`` (5 s).
        ``async for answer in io.emit_with_ack("question")`` gets each answer when it arrives.
        """
        hub = self._namespace.hub
        pending = BroadcastAck(hub, self._namespace.next_ack_id(), self._timeout)
        try:
            self._broadcast(name, args, pending)
        except BaseException:
            pending.cancel()
            raise
        pending.begin()
        return pending

    def fetch_sockets(self) -> Awaitable[SocketList]:
        """The sockets that are selected: ``sockets = await io.to("room").fetch_sockets()``.

        An adapter for a cluster asks the other servers, whose sockets are :class:`siocore.RemoteSocket`; in memory,
        the answer is there at once. Servers that don't answer within ``timeout(...)`` (5 s) are named in
        ``sockets.missing``.
        """
        targets = self._namespace.targets()
        if len(targets) == 1:
            return targets[0].adapter.fetch_sockets(self._selection, self._timeout)
        return Found([each.adapter.fetch_sockets(self._selection, self._timeout) for each in targets])

    def local_sockets(self) -> list[Socket]:
        """Those of them that are connected to this process, without waiting for anybody."""
        return [socket for each in self._namespace.targets() for socket in each.adapter.members(self._selection)]

    def sockets_join(self, *rooms: str) -> None:
        """Put those that are selected into rooms."""
        for each in self._namespace.targets():
            each.adapter.sockets_join(self._selection, rooms)

    def sockets_leave(self, *rooms: str) -> None:
        """Take those that are selected out of rooms."""
        for each in self._namespace.targets():
            each.adapter.sockets_leave(self._selection, rooms)

    def disconnect_sockets(self, *, close: bool = False) -> None:
        """Disconnect those that are selected. With ``close`` their whole connections end."""
        for each in self._namespace.targets():
            each.adapter.disconnect_sockets(self._selection, close=close)

    def _with(self, selection: Selection) -> BroadcastOperator:
        return BroadcastOperator(self._namespace, selection, self._timeout)

    def _broadcast(
        self, name: str | int, args: tuple[object, ...], ack: BroadcastAck | None
    ) -> list[tuple[Delayer, Outgoing]] | None:
        """Whoever has no room, where the policy is to wait for that."""
        check_event_name(name)
        data = (name, *args)
        selection = self._selection
        delayed: list[tuple[Delayer, Outgoing]] | None = None
        for namespace in self._namespace.targets():
            message = namespace.encode(_EVENT, data, None if ack is None else ack.id)
            message.compress = selection.compress
            if ack is None and (message.when_full or selection.when_full is not None):
                namespace.allow_to_drop(message, selection.when_full, selection.volatile)
                if message.when_full == WAIT:
                    delayed = message.delayed = [] if delayed is None else delayed
            namespace.adapter.broadcast(data, message, selection, ack)
        return delayed


def _names(rooms: tuple[str, ...]) -> frozenset[str]:
    for room in rooms:
        if not isinstance(room, str):
            raise LocalProtocolError(f"a room's name is a str, not {type(room).__name__}")
    return frozenset(rooms)
