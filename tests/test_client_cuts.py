"""A connection that breaks at any byte of whatever client and server say: the client comes back, and the rules hold.

``SIOCORE_CUT_STRIDE`` is how many bytes lie between two places that are tried; 1 tries them all.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from client_conversation import BINARY, TRANSPORTS, Pair
from siocore import Disconnected
from siocore.testing import Link

STRIDE = int(os.environ.get("SIOCORE_CUT_STRIDE", "23"))
EVERY_TRANSPORT = pytest.mark.parametrize(("transport", "revision"), list(itertools.product(TRANSPORTS, (4, 3))))


class Conversation:
    """Connects, speaks in both directions, and comes back after a cut; cut at one place."""

    def __init__(self, transport: str, revision: int, place: tuple[int, int, int] | None, *, orderly: bool) -> None:
        self.pair = Pair(transport, revision, ping_interval=2, ping_timeout=3)
        self.links: list[Link] = []
        self.place = place
        self.orderly = orderly
        self.pair.server.network.script = self.script
        self.answers: list[Any] = []
        self.socket = self.pair.socket()
        self.welcomes = 0

    def script(self, link: Link) -> None:
        self.links.append(link)
        link.orderly = self.orderly
        if self.place is not None and self.place[0] == link.number:
            link.pipes[self.place[1]].cut_after = self.place[2]

    def run(self) -> None:
        driver, socket = self.pair.driver, self.socket
        task = driver.start(self.speak())
        driver.advance(2.5)
        # A connection that is cut for good and made again, so that this can break, too.
        driver.cut()
        driver.advance(8)
        driver.run_until(lambda: task.done, 60)
        task.result()
        driver.run(self.end(), 60)
        self.check()
        socket.disconnect()
        driver.advance(30)
        assert driver.links == []
        assert self.pair.server.protocol.sessions == {}
        self.pair.close()

    async def speak(self) -> None:
        for number in range(3):
            try:
                self.answers.append((number, await self.socket.emit_with_ack("echo", number, BINARY)))
            except Disconnected:
                self.answers.append((number, None))

    async def end(self) -> None:
        for number in range(2):
            try:
                self.answers.append((10 + number, await self.socket.emit_with_ack("echo", 10 + number, BINARY)))
            except Disconnected:
                # That was the fault, if it comes so late.
                self.answers.append((10 + number, None))
        assert any(answer is not None for number, answer in self.answers if number >= 10)

    def check(self) -> None:
        calls = self.pair.calls("client")
        # Connect, what was said, one disconnect; and again.
        connected = False
        for call in calls:
            if call == "connect":
                assert not connected
                connected = True
            elif call[0] == "disconnect":
                assert connected
                connected = False
            elif call[0] == "welcome":
                assert connected
        echoed = [call[1] for call in self.pair.calls("server") if call[0] == "echo"]
        # At most once, in order; and what was acknowledged was handled.
        assert echoed == sorted(set(echoed))
        for number, answer in self.answers:
            if answer is not None:
                assert answer == (number, BINARY)
                assert number in echoed
            else:
                assert self.place is not None
        if self.place is None:
            assert echoed == [0, 1, 2, 10, 11]


def places(transport: str, revision: int) -> list[tuple[int, int, int]]:
    """Link, direction and byte of everything that a conversation without a fault has."""
    whole = Conversation(transport, revision, None, orderly=False)
    whole.run()
    return [
        (link.number, direction, byte)
        for link in whole.links
        for direction, pipe in enumerate(link.pipes)
        for byte in range(1, pipe.delivered + 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("orderly", [False, True], ids=["reset", "end"])
@EVERY_TRANSPORT
def test_a_cut_at_any_byte(transport: str, revision: int, orderly: bool) -> None:
    everywhere = places(transport, revision)
    assert len(everywhere) > 1_000
    # Begins elsewhere for each, so that small strides are not needed to see most places.
    start = list(TRANSPORTS).index(transport) * 4 + revision + orderly
    for place in everywhere[start % STRIDE :: STRIDE]:
        try:
            Conversation(transport, revision, place, orderly=orderly).run()
        except BaseException as error:
            raise AssertionError(f"cut at {place}") from error
