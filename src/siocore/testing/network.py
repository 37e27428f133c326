"""A network made of virtual links: each a TCP connection whose behaviour a test writes down.

A :class:`Link` has two :class:`Pipe`s, ``to_server`` and ``to_client``. Bytes keep their order and are never changed;
when they arrive, and in which pieces, is up to the pipe's attributes. An end belongs to an endpoint that is driven, or
is a :class:`Stream` in the hands of the test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from siocore.testing.clock import Call, ManualClock

__all__ = ["End", "Link", "Network", "Pipe", "Stream"]

#: A fixed number, or a function that is asked each time (seeded randomness, for instance).
Seconds = float | Callable[[], float]
Size = int | Callable[[], int]


class End(Protocol):
    """One end of a link, as the link sees it."""

    @property
    def wants_read(self) -> bool:
        """False: what arrives waits in the network."""

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def accepted(self) -> None:
        """The pipe has taken more of what was written to it."""

    def lost(self) -> None:
        """The connection is gone."""


class Pipe:
    """One direction of a link. The attributes may be changed at any time; they apply to what is written next."""

    def __init__(self, clock: ManualClock) -> None:
        #: Seconds from a write to its arrival. The order of bytes is kept even if this shrinks.
        self.delay: Seconds = 0.0
        #: Largest number of bytes that arrive in one piece; None: as they were written.
        self.segment: Size | None = None
        #: Whether pieces that are due at the same time arrive as one.
        self.coalesce = False
        #: Bytes that the network holds. What is written beyond waits with the writer (``unsent``). A larger window is
        #: noticed at the next write, arrival or resume().
        self.window: float = inf
        #: Cut the link when this many more bytes have arrived.
        self.cut_after: int | None = None
        #: How many bytes have arrived.
        self.delivered = 0
        self._clock = clock
        self._reader: End | None = None
        self._writer: End | None = None
        self._on_cut: Callable[[], None] | None = None
        self._stalled = False
        self._reset = False
        self._in_flight: deque[tuple[float, bytes]] = deque()
        self._in_flight_size = 0
        self._unsent = bytearray()
        self._eof_written = False
        self._eof_delivered = False
        self._closed = False
        self._last_arrival = 0.0
        self._call: Call | None = None

    def attach(self, *, reader: End, writer: End, on_cut: Callable[[], None]) -> None:
        self._reader = reader
        self._writer = writer
        self._on_cut = on_cut

    @property
    def unsent(self) -> int:
        """Bytes that the network has not accepted yet."""
        return len(self._unsent)

    @property
    def empty(self) -> bool:
        """Whether everything that was written has arrived."""
        return not self._in_flight and not self._unsent

    def stall(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._stalled = True

    def resume(self) -> None:
        """Go on delivering, after :meth:`stall` or when the reader reads again."""
        self._stalled = False
        if self._reset:
            self._reset = False
            assert self._reader is not None
            self._reader.lost()
        if self._unsent and self._writer is not None:
            self._accept()
            self._writer.accepted()
        self._schedule()

    def reader_ready(self) -> None:
        """The reader wants to read (again)."""
        self._schedule()

    # For the ends ---------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._closed or self._eof_written or not data:
            return
        self._unsent += data
        self._accept()

    def write_eof(self) -> None:
        """Send nothing more."""
        self._eof_written = True
        self._schedule()

    def close(self) -> None:
        """Drop everything: nothing arrives from now on."""
        self._closed = True
        self._in_flight.clear()
        self._in_flight_size = 0
        self._unsent.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def reset(self) -> None:
        """Drop what is under way and tell the reader; while the pipe is stalled, it does not get to know."""
        self.close()
        if self._stalled:
            self._reset = True
        elif self._reader is not None:
            self._reader.lost()

    def end(self) -> None:
        """Drop what is under way; the reader sees EOF next."""
        if not self._closed:
            self.close()
            self._closed = False
            self._stalled = False
            self.write_eof()

    def _accept(self) -> None:
        room = self.window - self._in_flight_size
        if room <= 0:
            return
        accepted = bytes(self._unsent) if room >= len(self._unsent) else bytes(self._unsent[: int(room)])
        del self._unsent[: len(accepted)]
        self._in_flight_size += len(accepted)
        position = 0
        while position < len(accepted):
            size = len(accepted) if self.segment is None else max(1, _size(self.segment))
            arrival = max(self._last_arrival, self._clock.now + _seconds(self.delay))
            self._last_arrival = arrival
            self._in_flight.append((arrival, accepted[position : position + size]))
            position += size
        self._schedule()

    def _schedule(self) -> None:
        if self._call is not None or self._stalled or self._closed:
            return
        if self._in_flight:
            self._call = self._clock.call_at(self._in_flight[0][0], self._deliver)
        elif self._eof_written and not self._eof_delivered and not self._unsent:
            self._call = self._clock.call_at(max(self._last_arrival, self._clock.now + _seconds(self.delay)), self._end)

    def _deliver(self) -> None:
        self._call = None
        reader, writer = self._reader, self._writer
        assert reader is not None
        assert writer is not None
        if self._stalled or self._closed or not reader.wants_read:
            return
        now = self._clock.now
        pieces = [self._in_flight.popleft()[1]]
        while self.coalesce and self._in_flight and self._in_flight[0][0] <= now:
            pieces.append(self._in_flight.popleft()[1])
        data = b"".join(pieces)
        cut = self.cut_after is not None and len(data) >= self.cut_after
        if self.cut_after is not None:
            data = data[: self.cut_after]
            self.cut_after -= len(data)
        self._in_flight_size -= len(data)
        self.delivered += len(data)
        if data:
            reader.data_received(data)
        if cut:
            if self._on_cut is not None:
                self._on_cut()
            return
        if self._unsent and not self._closed:
            self._accept()
            writer.accepted()
        self._schedule()

    def _end(self) -> None:
        self._call = None
        reader = self._reader
        assert reader is not None
        if not self._stalled and not self._closed and reader.wants_read:
            self._eof_delivered = True
            reader.eof_received()


class Stream:
    """An end of a link, in the hands of a test: bytes go out with :meth:`write`, and come in to ``received`` or
    ``on_data``. Usually it is the client's.
    """

    def __init__(self, link: Link, *, outgoing: Pipe, incoming: Pipe) -> None:
        self.link = link
        self._outgoing = outgoing
        self._incoming = incoming
        #: Everything that arrived, unless ``on_data`` takes it.
        self.received = bytearray()
        self.on_data: Callable[[bytes], None] | None = None
        #: Called once, when the other side has ended the connection or it was cut.
        self.on_end: Callable[[], None] | None = None
        #: The other side sends nothing more.
        self.eof = False
        #: The connection is gone, by whomever.
        self.closed = False
        self.wants_read = True

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self.closed:
            self._outgoing.write(data)

    def write_eof(self) -> None:
        """Send nothing more, but go on reading."""
        if not self.closed:
            self._outgoing.write_eof()

    def close(self) -> None:
        """Close in an orderly way: the other side sees EOF behind what was written."""
        if not self.closed:
            self.closed = True
            self._incoming.close()
            self._outgoing.write_eof()

    def reset(self) -> None:
        """Close so that the other end is lost at once, with everything under way."""
        self.link.cut()

    def data_received(self, data: bytes) -> None:
        if self.on_data is None:
            self.received += data
        else:
            self.on_data(data)

    def eof_received(self) -> None:
        self.eof = True
        self._ended()

    def accepted(self) -> None:
        """Nothing depends on it here."""

    def lost(self) -> None:
        if not self.closed:
            self.closed = True
            self._ended()

    def _ended(self) -> None:
        if self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end()


class Link:
    """One TCP connection between a client and the server."""

    def __init__(self, clock: ManualClock, number: int) -> None:
        #: Links of a network are numbered from 0 in the order in which they were made.
        self.number = number
        self.to_server = Pipe(clock)
        self.to_client = Pipe(clock)
        #: Whether ``cut_after`` of a pipe ends the connection in an orderly way (:meth:`end`) instead of resetting it.
        self.orderly = False
        #: The client's end, unless it belongs to a client of siocore's own.
        self.stream = Stream(self, outgoing=self.to_server, incoming=self.to_client)
        self._client_end: End | None = self.stream
        self._server_end: End | None = None

    def attach(self, server_end: End) -> None:
        """The server has accepted."""
        self._server_end = server_end
        self._join()

    def attach_client(self, client_end: End) -> None:
        """Whom the other end belongs to."""
        self._client_end = client_end
        self._join()

    def _join(self) -> None:
        client_end, server_end = self._client_end, self._server_end
        assert client_end is not None
        assert server_end is not None
        self.to_server.attach(reader=server_end, writer=client_end, on_cut=self._cut_by_pipe)
        self.to_client.attach(reader=client_end, writer=server_end, on_cut=self._cut_by_pipe)

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.to_server, self.to_client

    def stall(self) -> None:
        """Deliver nothing in either direction: to both ends the other seems to be silent."""
        for pipe in self.pipes:
            pipe.stall()

    def resume(self) -> None:
        """End :meth:`stall`."""
        for pipe in self.pipes:
            pipe.resume()

    def cut(self) -> None:
        """Reset the connection: what is under way is lost, and both ends are told."""
        for pipe in self.pipes:
            pipe.close()
        server_end, self._server_end = self._server_end, None
        client_end, self._client_end = self._client_end, None
        if server_end is not None:
            server_end.lost()
        if client_end is not None:
            client_end.lost()

    def reset(self, end: End) -> None:
        """One end resets the connection. The other one is told if the network is not stalled."""
        incoming, outgoing = self.pipes if end is self._server_end else (self.to_client, self.to_server)
        incoming.close()
        end.lost()
        outgoing.reset()

    def end(self) -> None:
        """End it as a proxy between the two does that goes away: what is under way is lost, and both ends see EOF."""
        for pipe in self.pipes:
            pipe.end()

    def _cut_by_pipe(self) -> None:
        if self.orderly:
            self.end()
        else:
            self.cut()


class Network:
    """All links of a server. ``script``, if set, is called with each new link, to make it slow, fragile or odd."""

    def __init__(self, clock: ManualClock) -> None:
        self.links: list[Link] = []
        self.script: Callable[[Link], None] | None = None
        self._clock = clock
        self._made = 0

    def connect(self) -> Link:
        """A new link, not yet attached to a server."""
        link = Link(self._clock, self._made)
        self._made += 1
        self.links.append(link)
        if self.script is not None:
            self.script(link)
        return link

    def forget(self, link: Link) -> None:
        """The server's end is closed."""
        self.links.remove(link)


def _seconds(value: Seconds) -> float:
    return value() if callable(value) else value


def _size(value: Size) -> int:
    return value() if callable(value) else value
