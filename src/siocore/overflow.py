"""What becomes of a message when as much waits for its client as may: the policies, and what applications are told."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from siocore.waiting import Waiter

if TYPE_CHECKING:
    from siocore.codec.message import Outgoing

__all__ = ["CLOSE", "DROP_NEW", "DROP_OLDEST", "WAIT", "Delayed", "Delayer", "SlowConsumer", "policy_number", "taken"]

# What a message says about itself.
CLOSE = 0
WAIT = 1
DROP_NEW = 2
DROP_OLDEST = 3

_NUMBERS = {"close": CLOSE, "wait": WAIT, "drop_volatile": DROP_NEW, "drop_oldest": DROP_OLDEST}


def policy_number(policy: object) -> int:
    """The number of a policy. Raises ValueError for what is none."""
    number = _NUMBERS.get(policy) if isinstance(policy, str) else None
    if number is None:
        raise ValueError(f"a policy for slow clients is one of {', '.join(map(repr, _NUMBERS))}, not {policy!r}")
    return number


@dataclass(frozen=True, slots=True)
class SlowConsumer:
    """A client takes less than is sent to it: ``Limits.max_buffered`` was reached."""

    #: The policy of the message that found no room.
    policy: str
    #: Bytes that wait for the client.
    buffered: int
    #: Events that were dropped for it so far.
    dropped: int


class Delayer(Protocol):
    """A way to a client on which messages may wait until there is room."""

    @property
    def open(self) -> bool: ...

    def new_waiter(self) -> Waiter: ...

    def line_up(self, delayed: Delayed, message: Outgoing) -> None:
        """The message wants to be sent, behind those that wait already."""

    def send_delayed(self, delayed: Delayed) -> bool:
        """Send its message if it is its turn and there is room. If not, ``delayed.wake`` is called in time.

        True if that is over: it was sent, or the client is gone.
        """

    def step_back(self, delayed: Delayed) -> None:
        """Its message is not to be sent any more."""

    def count_dropped(self) -> None:
        """An event was not sent, and will not be."""


class Delayed:
    """What ``emit`` returns when there is no room and the policy is "wait". Await it: that sends the event.

    It is sent when there is room, behind others that are awaited. The wait ends when it has been queued for every
    client that had no room, or these are gone. Cancelling the wait takes the event back from those who still have none.
    """

    __slots__ = ("_entries", "_waiter")

    def __init__(self, entries: list[tuple[Delayer, Outgoing]]) -> None:
        # Each way that has no room, and what is to be sent there.
        self._entries = entries
        self._waiter: Waiter | None = None

    def __await__(self) -> Generator[Any, None, None]:
        entries, self._entries = self._entries, []
        for link, message in entries:
            link.line_up(self, message)
        left = [link for link, _ in entries]
        try:
            while left := [link for link in left if not link.send_delayed(self)]:
                self._waiter = left[0].new_waiter()
                yield from self._waiter.wait().__await__()
        finally:
            for link in left:
                link.step_back(self)

    def wake(self) -> None:
        """There may be room, or nobody any more."""
        if self._waiter is not None:
            self._waiter.wake()

    def __del__(self) -> None:
        lost = [link for link, _ in self._entries if link.open]
        for link in lost:
            link.count_dropped()
        if lost:
            warnings.warn(
                'an event for a slow client was dropped: with the policy "wait", what emit returns must be awaited',
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )


def taken(entries: list[tuple[Delayer, Outgoing]] | None) -> Delayed | None:
    """What is to be awaited for those who had no room, if there are any. The list is empty afterwards."""
    if not entries:
        return None
    delayed = Delayed(entries.copy())
    # Messages may be kept for longer, and what is kept must not keep sessions.
    entries.clear()
    return delayed
