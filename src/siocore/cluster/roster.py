"""Which servers of a classic cluster there are: what Redis knows of their subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from siocore.cluster.broker import Broker, CountSubscribers, ListChannels
from siocore.cluster.classic_wire import ClassicChannels
from siocore.cluster.messages import literally
from siocore.cluster.requests import Request
from siocore.driven import ServerEndpoint

__all__ = ["Roster"]

_Listed = Callable[[frozenset[str] | None, str | None], None]
#: How long the list is taken for right, in seconds, as long as the number is.
_FRESH = 10.0


class Roster:
    """The servers of one namespace.

    To count them costs Redis nothing. To list them it looks at each of its channels, of which it may have many. So the
    list is kept, and asked for again when the number has changed, when it is old, or when an answer is overdue.
    """

    __slots__ = ("_broker", "_channel", "_count", "_hub", "_listed_at", "_names", "_own", "_pattern", "_start")

    def __init__(self, broker: Broker, channels: ClassicChannels, own: str, hub: ServerEndpoint) -> None:
        self._broker = broker
        self._channel = channels.requests
        self._pattern = literally(channels.responses) + "*#"
        self._start = len(channels.responses)
        self._own = own
        self._hub = hub
        # What was the case when both were asked for together, ourselves included.
        self._names: frozenset[str] | None = None
        self._count = 0
        self._listed_at = 0.0

    def tell(self, request: Request) -> None:
        """Let ``request`` know who is asked."""
        if self._names is None or self._hub.now - self._listed_at > _FRESH:
            self._look(request)
        else:
            self._broker.send(CountSubscribers(self._channel, False, partial(self._compare, request)))

    def list_servers(self, done: _Listed) -> None:
        """Ask for their ids, whatever is known."""
        self._broker.send(ListChannels(self._pattern, False, partial(self._read, done)))

    def check(self, requests: Callable[[], list[Request]]) -> None:
        """Tell those requests that are still under way then who is there now."""
        self.list_servers(partial(self._checked, requests))

    def forget(self) -> None:
        """What was known is not to be relied on."""
        self._names = None

    def _look(self, request: Request) -> None:
        # The names come first: whoever is named is counted, too.
        names: list[frozenset[str]] = []
        self.list_servers(partial(self._named, request, names))
        self._broker.send(CountSubscribers(self._channel, False, partial(self._counted, request, names)))

    def _read(self, done: _Listed, channels: list[str] | None, fault: str | None) -> None:
        """Make ids of the names of channels."""
        if channels is None:
            done(None, fault)
            return
        # With a number sign in it, it belongs to a namespace whose name begins like ours.
        names = (channel[self._start : -1] for channel in channels)
        done(frozenset(name for name in names if name and "#" not in name), None)

    def _named(
        self, request: Request, names: list[frozenset[str]], listed: frozenset[str] | None, fault: str | None
    ) -> None:
        if listed is not None:
            names.append(listed)
        request.named(listed, fault)

    def _counted(self, request: Request, names: list[frozenset[str]], count: int | None, fault: str | None) -> None:
        # As long as we are not there ourselves, somebody else may be on the way as well.
        if count is not None and names and self._own in names[0]:
            self._names = names[0]
            self._count = count
            self._listed_at = self._hub.now
        request.counted(count, fault)

    def _compare(self, request: Request, count: int | None, fault: str | None) -> None:
        if count is None:
            request.lost()
        elif self._names is None or count != self._count:
            self._look(request)
        else:
            request.named_before(self._names)
            request.counted(count, None)

    def _checked(self, requests: Callable[[], list[Request]], listed: frozenset[str] | None, fault: str | None) -> None:
        if listed is None:
            return
        for request in requests():
            request.present(listed)
