"""What happened between a client that comes back and its servers, and the rules that hold for every such history.

Messages are numbers, each emitted once. A *segment* is what a client's socket emitted for one connection: what had been
kept while it was not connected, then what was emitted while it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from history import Question, attachment_of

__all__ = ["CLIENT_REASONS", "ClientHistory", "Received", "Retried", "Segment", "ServerLife", "attachment_of"]

#: Why a client's socket can be disconnected.
CLIENT_REASONS = {
    "io server disconnect",
    "io client disconnect",
    "ping timeout",
    "transport close",
    "transport error",
    "parse error",
    "forced close",
}


@dataclass
class Segment:
    """What one connection was to carry to the server."""

    sent: list[int] = field(default_factory=list)
    #: Still connected when everything had come to rest, or closed by its client on a network without a fault.
    complete: bool = False


@dataclass
class Received:
    """What one socket of a server got."""

    numbers: list[int] = field(default_factory=list)


@dataclass
class ServerLife:
    """What one socket of a server emitted; with recovery, all that one id was to get."""

    sent: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    complete: bool = False


@dataclass
class Retried:
    """What a socket with retries emitted, and what became of it, in the order in which it happened."""

    sent: list[int] = field(default_factory=list)
    #: ("delivered" | "acknowledged" | "failed", number)
    log: list[tuple[str, int]] = field(default_factory=list)

    def check(self) -> None:
        outcomes = [(what, number) for what, number in self.log if what != "delivered"]
        assert [number for _, number in outcomes] == self.sent, "not one outcome for each event, in order"
        decided: set[int] = set()
        delivered: list[int] = []
        for what, number in self.log:
            if what == "delivered":
                if number not in delivered:
                    delivered.append(number)
                assert decided.issuperset(self.sent[: self.sent.index(number)]), "two events in flight"
                continue
            decided.add(number)
            if what == "acknowledged":
                assert number in delivered, "acknowledged, but not delivered"
        # One that has failed may be delivered late, by a connection that its client has given up.
        failed = {number for what, number in outcomes if what == "failed"}
        firsts = [number for number in delivered if number not in failed]
        assert firsts == [number for number in self.sent if number in firsts], "first deliveries out of order"


@dataclass
class ClientHistory:
    """Of one run."""

    volatile: set[int] = field(default_factory=set)
    segments: list[Segment] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    lives: list[ServerLife] = field(default_factory=list)
    #: Of each client's socket: "connect", "event" and reasons, as its handlers were called.
    calls: list[list[str]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    #: What was acknowledged, and how often each event was handled.
    answered: list[int] = field(default_factory=list)
    handled: Counter[int] = field(default_factory=Counter)
    retried: list[Retried] = field(default_factory=list)

    def check(self) -> None:
        """Raises AssertionError."""
        self._check_to_server()
        for life in self.lives:
            self._check_order(life.sent, life.received, complete=life.complete)
        for calls in self.calls:
            check_calls(calls)
        for question in self.questions:
            question.check()
        assert len(self.answered) == len(set(self.answered)), "acknowledged twice"
        for number in self.answered:
            assert self.handled[number] == 1, "acknowledged, but not handled exactly once"
        for retried in self.retried:
            retried.check()

    def _check_to_server(self) -> None:
        segment_of = {number: segment for segment in self.segments for number in segment.sent}
        carried: list[Segment] = []
        for received in self.received:
            if not received.numbers:
                continue
            segment = segment_of[received.numbers[0]]
            assert all(segment_of[number] is segment for number in received.numbers), "of two connections"
            assert not any(segment is other for other in carried), "one connection's events on two sockets"
            carried.append(segment)
            self._check_order(segment.sent, received.numbers, complete=segment.complete)
        for segment in self.segments:
            if segment.complete and not any(segment is other for other in carried):
                assert self.volatile.issuperset(segment.sent), "lost without a cut"

    def _check_order(self, sent: list[int], received: list[int], *, complete: bool) -> None:
        positions = {number: position for position, number in enumerate(sent)}
        order = [positions[number] for number in received]
        assert order == sorted(set(order)), "reordered or duplicated"
        promised = [number for number in sent if number not in self.volatile]
        arrived = [number for number in received if number not in self.volatile]
        if complete:
            assert arrived == promised, f"lost without a cut: {promised}, {arrived}"
        else:
            assert arrived == promised[: len(arrived)], f"a hole in the middle: {promised}, {arrived}"


def check_calls(calls: list[str]) -> None:
    """Connect first, then events, then one disconnect with a documented reason; and again."""
    connected = False
    for call in calls:
        if call == "connect":
            assert not connected, "connected twice"
            connected = True
        else:
            assert connected, f"{call} while not connected"
            if call != "event":
                assert call in CLIENT_REASONS, call
                connected = False
