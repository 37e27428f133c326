"""When a connection that was lost is tried again."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

#: Doublings beyond which the delay is the maximum, whatever it was: 2.0**1024 is no float.
_MAX_DOUBLINGS = 64


class Backoff:
    """Delays between attempts: each is twice the one before, up to a maximum, and then changed by a random part.

    The random part is there at the maximum, too: clients that lose the same server come back one by one.
    """

    __slots__ = ("_delay", "_factor", "_maximum", "_random", "attempts")

    def __init__(self, delay: float, maximum: float, factor: float, random: Callable[[], float]) -> None:
        self._delay = delay
        self._maximum = maximum
        self._factor = factor
        self._random = random
        #: Attempts since the last success.
        self.attempts = 0

    def next_delay(self) -> float:
        """Seconds until the next attempt, which is counted."""
        doubled = self._delay * 2.0 ** min(self.attempts, _MAX_DOUBLINGS)
        self.attempts += 1
        return min(doubled, self._maximum) * (1.0 + self._factor * (2.0 * self._random() - 1.0))

    def reset(self) -> None:
        """An attempt has succeeded."""
        self.attempts = 0
