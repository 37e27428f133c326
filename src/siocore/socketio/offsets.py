"""Where a client is in the sequence of its server's events: what recovery of the connection state needs.

A server with recovery names a pid in its CONNECT and puts an offset, a string, behind the arguments of its events. Not
behind those of all: Node.js leaves it out of volatile events and of those that ask for an acknowledgement. Nothing in a
packet tells an offset from the application's last argument, and to take one for the other either loses data or gives
handlers an argument too many, and presents an offset that the server never made, so that recovery fails.

So an offset is what looks like one: a last string, in an event without id, of a kind that is known.

* Kinds that contain the time of the event must be within a day of now: what Node.js' in-memory adapter ("yeast") and
  its adapters over Redis streams and MongoDB make. Where our clock, or the server's, is wrong, two in a row that are
  wrong by the same amount tell by how much.
* Our own server counts, behind a tag of eight hexadecimal digits, and leaves the offset out of no event. So one event
  without it shows that it is another server.
* The first offset decides for a kind; the strongest two can still correct the others.

In doubt the argument stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from siocore.client_events import ClientEvent

__all__ = ["Offsets"]

_DIGITS = {char: value for value, char in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")}

#: Milliseconds in base 64, and a number behind a dot for all but the first of a millisecond.
_YEAST = re.compile(r"([0-9A-Za-z_-]{7})(?:\.[0-9A-Za-z_-]{1,6})?")
#: Milliseconds, and a number.
_STREAM = re.compile(r"([0-9]{13})-[0-9]{1,10}")
#: Seconds in hexadecimal, and what tells processes and their events apart.
_OBJECT_ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{16}")
#: The tag, and a number in hexadecimal.
_COUNTED = re.compile(r"([0-9a-f]{8})[0-9a-f]{1,15}")

#: How wrong clocks may be, in seconds, before anything is learnt about them.
_DAY = 86_400.0
#: How much further two events may be apart by one clock than by the other.
_DRIFT = 5.0


class Offsets:
    """The offset of the latest event, for one pid."""

    __slots__ = ("_clock", "_counted", "_kind", "_skew", "_suspect", "_tag", "latest", "pid")

    def __init__(self, pid: str, clock: Callable[[], float]) -> None:
        #: What the server knows this socket by, which is a secret.
        self.pid = pid
        #: The offset of the latest event; None until one came with an offset.
        self.latest: str | None = None
        #: Seconds since 1970, perhaps.
        self._clock = clock
        #: The kind of this server's offsets, once one has come.
        self._kind: str | None = None
        #: By how many seconds the server's clock is ahead of ours, and what the last one of a wrong time said.
        self._skew = 0.0
        self._suspect: tuple[float, float] | None = None
        #: Whether the server may be one that counts, and its tag.
        self._counted = True
        self._tag = ""

    def request(self) -> dict[str, str]:
        """What goes with CONNECT."""
        return {"pid": self.pid} if self.latest is None else {"pid": self.pid, "offset": self.latest}

    def read(self, event: ClientEvent) -> None:
        """Take the offset from an event, if it has one."""
        if event.ack_id is not None:
            return
        args = event.args
        last = args[-1] if args else None
        if type(last) is str and self._is_offset(last):
            self.latest = last
            args.pop()
        elif self._counted:
            self._counted = False
            if self._kind == "counted":
                self._kind = None

    def _is_offset(self, text: str) -> bool:
        kind = self._kind
        if kind != "stream" and self._is_timely(_YEAST.fullmatch(text), _yeast_seconds):
            self._kind = "yeast"
        elif kind != "yeast" and self._is_timely(_STREAM.fullmatch(text), _stream_seconds):
            self._kind = "stream"
        elif kind in (None, "counted") and self._counted and (match := _COUNTED.fullmatch(text)):
            if kind is None:
                self._tag = match[1]
            elif self._tag != match[1]:
                return False
            self._kind = "counted"
        elif kind in (None, "object id") and self._is_timely(_OBJECT_ID.fullmatch(text), _object_id_seconds):
            self._kind = "object id"
        else:
            return False
        return True

    def _is_timely(self, match: re.Match[str] | None, seconds: Callable[[str], float]) -> bool:
        if match is None:
            return False
        time = seconds(match[1])
        skew = time - self._clock()
        if abs(skew - self._skew) <= _DAY:
            return True
        suspect, self._suspect = self._suspect, (time, skew)
        # A word that comes twice is no clock.
        if suspect is None or time <= suspect[0] or abs(skew - suspect[1]) > _DRIFT:
            return False
        self._skew = skew
        return True


def _yeast_seconds(text: str) -> float:
    number = 0
    for char in text:
        number = number * 64 + _DIGITS[char]
    return number / 1000


def _stream_seconds(text: str) -> float:
    return int(text) / 1000


def _object_id_seconds(text: str) -> float:
    return float(int(text, 16))
