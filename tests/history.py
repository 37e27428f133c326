"""What happened between a server and its clients, and the rules that hold for every such history."""

from __future__ import annotations

from dataclasses import dataclass, field

from test_disconnect_reasons import DOCUMENTED

__all__ = ["Channel", "History", "SocketHistory", "attachment_of"]


def attachment_of(message: int) -> bytes:
    """The binary data that goes with a message; its length tells which are cut short."""
    return bytes([message % 251]) * (1 + message % 300)


@dataclass
class Channel:
    """One direction between one socket and its client. Messages are numbers, each sent once."""

    sent: list[int] = field(default_factory=list)
    volatile: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)

    def send(self, message: int, *, volatile: bool = False) -> None:
        self.sent.append(message)
        if volatile:
            self.volatile.add(message)

    def check(self, *, cut: bool) -> None:
        # In order, nothing twice, nothing that was not sent; volatile ones too.
        positions = {message: position for position, message in enumerate(self.sent)}
        order = [positions[message] for message in self.received]
        assert order == sorted(set(order)), "reordered or duplicated"
        promised = [message for message in self.sent if message not in self.volatile]
        arrived = [message for message in self.received if message not in self.volatile]
        if cut:
            assert arrived == promised[: len(arrived)], "a hole in the middle"
        else:
            assert arrived == promised, "lost without a cut"


@dataclass
class SocketHistory:
    """One socket, from CONNECT to its end."""

    to_server: Channel = field(default_factory=Channel)
    to_client: Channel = field(default_factory=Channel)
    #: "connection", "event" and reasons, as the server's handlers were called.
    life: list[str] = field(default_factory=list)
    #: What the client wanted to be acknowledged, how often it was handled and acknowledged.
    asked: set[int] = field(default_factory=set)
    handled: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    rooms_at_the_end: int = 0
    #: Whether both sides were still connected when everything had come to rest.
    survived: bool = False

    def check(self) -> None:
        self.to_server.check(cut=not self.survived)
        self.to_client.check(cut=not self.survived)
        self._check_life()
        self._check_acks()

    def _check_life(self) -> None:
        if not self.life:
            assert not self.to_server.received
            return
        assert self.life[0] == "connection"
        rest = self.life[1:]
        ends = [index for index, entry in enumerate(rest) if entry != "event"]
        if self.survived:
            assert ends == []
        else:
            assert len(ends) == 1, "not exactly one disconnect"
            assert ends == [len(rest) - 1], "a handler ran after the disconnect"
            assert rest[-1] in DOCUMENTED
            assert self.rooms_at_the_end == 0

    def _check_acks(self) -> None:
        assert len(self.answered) == len(set(self.answered)), "acknowledged twice"
        for message in self.answered:
            assert message in self.asked
            assert self.handled.count(message) == 1, "acknowledged, but not handled exactly once"
        if self.survived:
            assert set(self.answered) == self.asked


@dataclass
class Question:
    """The server wanted an acknowledgement: how that ended."""

    outcomes: list[str] = field(default_factory=list)

    def check(self) -> None:
        assert len(self.outcomes) == 1, "not exactly one of answer, timeout, disconnect"


@dataclass
class History:
    """Of all sockets of one run."""

    sockets: dict[str, SocketHistory] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def of(self, socket_id: str) -> SocketHistory:
        return self.sockets.setdefault(socket_id, SocketHistory())

    def check(self) -> None:
        for socket in self.sockets.values():
            socket.check()
        for question in self.questions:
            question.check()
