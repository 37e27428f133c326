"""Every descriptor of a driver: reading what is ready, writing what is to be sent.

Nothing here waits, and nothing here runs handlers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from siocore._driver.acceptor import Acceptor
from siocore._driver.listeners import Listener
from siocore._driver.poller import BROKEN, HANGUP, READ, WRITE, make_poller
from siocore._driver.tls import TLSStream
from siocore._driver.wire import Wire
from siocore.driven import ClientEndpoint, DialledConnection, DrivenConnection, DrivenEndpoint, ServerEndpoint

__all__ = ["HalfMade", "Port", "Sockets"]

#: Descriptors reported by one poll. More of them make better batches, up to a point.
_BATCH: Final = 512
#: Bytes read before their handlers run: bounds what a turn holds in memory, whatever the number of connections.
_READ_BUDGET: Final = 1_048_576


class Port(Protocol):
    """Something else that has a descriptor: a UDP socket with connections on it, or a link to another worker."""

    open: int

    def fileno(self) -> int: ...

    def read(self, now: float) -> None:
        """Take what has arrived."""

    def write(self, now: float) -> bool:
        """Send what there is to be sent, and tell the core of it. Returns whether there was anything."""

    def stop_accepting(self) -> None: ...

    def close(self) -> None: ...


class Flusher(Protocol):
    """Whoever has something for ports at the end of a turn."""

    def flush(self, now: float) -> None: ...


class HalfMade(Protocol):
    """Connections of a client that are being made."""

    ready: list[Any]

    def __len__(self) -> int:
        """How many there are."""

    def dial(self, connections: Sequence[DialledConnection], now: float) -> None:
        """Begin to make these."""

    def note_ready(self, fd: int) -> None:
        """The poller has reported this descriptor."""

    def advance(self, now: float) -> None:
        """Go on with what is ready."""

    def close(self) -> None:
        """Close everything. The core is not told."""


class Sockets:
    """The listeners and connections of one endpoint, in one poller."""

    def __init__(
        self,
        protocol: DrivenEndpoint,
        listeners: Sequence[Listener],
        ssl_context: ssl.SSLContext | None,
        ports: Sequence[Port] = (),
    ) -> None:
        self._protocol = protocol
        self._ssl_context = ssl_context
        #: Every descriptor is watched here.
        self.poller = make_poller()
        self._poll = self.poller.poll
        self._acceptor = Acceptor(self.poller, listeners)
        self._ports = {port.fileno(): port for port in ports}
        for fd in self._ports:
            self.poller.register(fd, READ)
        # By descriptor: those are small numbers, and a list is one step where a dict is several.
        self._wires: list[Wire | None] = []
        self._open = 0
        self._signalled = False
        # What the latest poll has reported and nobody has looked at yet.
        self._batch: Iterator[tuple[int, int]] | None = None
        self._batch_full = False
        self._polled = 0.0
        # A sweep: as many polls as it takes to have every ready descriptor reported.
        self._sweep_start: float | None = None
        self._swept = 0
        # Connections whose flags must be looked at though the endpoint has not named them.
        self._again: list[DrivenConnection] = []
        # Of a client: who makes its connections, and for whom.
        self._dialler: HalfMade | None = None
        self._client: ClientEndpoint | None = None
        #: Of one of several workers: whoever has messages and connections for the others.
        self.mesh: Flusher | None = None
        #: All bytes that were in the kernel at this time have been read.
        self.settled = float("-inf")
        #: The core was told something while writing, so that there may be new events.
        self.stirred = False

    def __len__(self) -> int:
        """How many connections are open."""
        half_made = 0 if self._dialler is None else len(self._dialler)
        return self._open + half_made + sum(port.open for port in self._ports.values())

    def fileno(self) -> int:
        """Readable when :meth:`read` has something to do."""
        return self.poller.fileno()

    @property
    def resume_at(self) -> float | None:
        """When :meth:`read` has something to do in any case."""
        return self._acceptor.resume_at

    def signal(self) -> None:
        """Make :meth:`fileno` readable; from any thread."""
        if not self._signalled:
            self._signalled = True
            self.poller.wake()

    def close_listeners(self) -> None:
        """Accept no more."""
        self._acceptor.close()
        for port in tuple(self._ports.values()):
            port.stop_accepting()

    def dial_with(self, dialler: HalfMade, client: ClientEndpoint) -> None:
        """These sockets are those of a client."""
        self._dialler = dialler
        self._client = client

    def adopt(
        self, conn: DialledConnection, sock: socket.socket, tls: TLSStream | None, data: bytes, now: float
    ) -> None:
        """A connection was made. The poller watches it for reading; ``data`` has arrived on it already."""
        wire = self._add(sock, tls, conn)
        conn.connected(now)
        if data:
            conn.receive_data(data, now)
        if tls is not None:
            if tls.ended:
                self._end(wire, now)
            self._watch(wire)
        self._again.append(conn)
        self.stirred = True

    def take_in(self, conn: DrivenConnection, sock: socket.socket, output: bytes, data: bytes, now: float) -> None:
        """A connection comes from elsewhere. ``output`` is to be sent on it first, ``data`` has arrived already."""
        self.poller.register(sock.fileno(), READ)
        wire = self._add(sock, None, conn)
        if output:
            try:
                if not wire.send(output):
                    conn.unsent = wire.unsent()
                    self._watch(wire)
            except OSError:
                self._lose(wire, now)
                return
        if data:
            conn.receive_data(data, now)
        self._again.append(conn)
        self.stirred = True

    def let_go(self, conn: DrivenConnection) -> Wire | None:
        """A connection goes elsewhere: it is not watched any more, nor closed. None if it is lost already."""
        wire = conn.transport
        if type(wire) is not Wire:
            return None
        self._wires[wire.fd] = None
        self._open -= 1
        self.poller.unregister(wire.fd)
        conn.transport = None
        self._acceptor.resume()
        return wire

    def retie(self, wire: Wire, conn: DrivenConnection) -> None:
        """From now on this wire is that of another connection."""
        wire.conn.transport = None
        wire.conn = conn
        conn.transport = wire
        conn.unsent = wire.unsent()
        self._again.append(conn)

    def add_port(self, port: Port) -> None:
        """Watch something else that has a descriptor, for reading."""
        self._ports[port.fileno()] = port
        self.poller.register(port.fileno(), READ)

    def remove_port(self, port: Port) -> None:
        """Watch it no more. To be called before its descriptor is closed."""
        if self._ports.pop(port.fileno(), None) is not None:
            self.poller.unregister(port.fileno())

    def close(self) -> None:
        """Close everything. The core is not told."""
        self._acceptor.close()
        if self._dialler is not None:
            self._dialler.close()
        for wire in self._wires:
            if wire is None:
                continue
            wire.conn.transport = None
            wire.close(reset=True)
        self._wires.clear()
        self._open = 0
        for port in tuple(self._ports.values()):
            port.close()
        self._ports.clear()
        self.poller.close()

    # Input --------------------------------------------------------------------------------------------------------

    def read(self, now: float) -> bool:
        """Poll, and read each socket that is ready once. Returns whether there was anything."""
        batch = self._batch
        if batch is None:
            resume_at = self._acceptor.resume_at
            if resume_at is not None and now >= resume_at:
                self._acceptor.resume()
            ready = self._poll(0, _BATCH)
            if not ready:
                self.settled = now
                self._sweep_start = None
                return False
            self._polled = now
            self._batch_full = len(ready) >= _BATCH
            if self._batch_full:
                if self._sweep_start is None:
                    self._sweep_start = now
                    self._swept = 0
                self._swept += len(ready)
            self._batch = batch = iter(ready)
        wires = self._wires
        budget = _READ_BUDGET
        for fd, mask in batch:
            wire = wires[fd] if fd < len(wires) else None
            if wire is None:
                self._not_a_wire(fd, now)
                continue
            if mask != READ and not self._is_readable(wire, mask, now):
                continue
            try:
                data = wire.receive()
            except OSError:
                self._lose(wire, now)
                continue
            if data:
                wire.conn.receive_data(data, now)
                budget -= len(data)
            elif data is not None:
                self._end(wire, now)
            if wire.tls is not None:
                if wire.tls.ended:
                    self._end(wire, now)
                self._watch(wire)
            if budget <= 0:
                return True
        self._batch = None
        self._settle()
        if self._acceptor.ready:
            # Last, so that nothing in the batch is taken for news of a new connection with an old number.
            self._accept(now)
        if self._dialler is not None and self._dialler.ready:
            # As late, for the same reason.
            self._dialler.advance(now)
        return True

    def _accept(self, now: float) -> None:
        protocol = self._protocol
        assert isinstance(protocol, ServerEndpoint)
        for sock, peer in self._acceptor.accept(now):
            tls = TLSStream(sock, self._ssl_context) if self._ssl_context is not None else None
            conn = protocol.connection_made(peer, now, tls is not None)
            self._add(sock, tls, conn)

    def _add(self, sock: socket.socket, tls: TLSStream | None, conn: DrivenConnection) -> Wire:
        wire = Wire(sock, tls, conn)
        conn.transport = wire
        self._wires.extend([None] * (wire.fd + 1 - len(self._wires)))
        self._wires[wire.fd] = wire
        self._open += 1
        return wire

    def _settle(self) -> None:
        """A batch has been read. A full one may have hidden others, which the poller reports in turn: when as many
        have been reported as there are, everyone was.
        """
        if not self._batch_full:
            self.settled = self._polled
            self._sweep_start = None
        elif self._sweep_start is not None and self._swept > self._open + len(self._acceptor):
            self.settled = self._sweep_start
            self._sweep_start = None

    def _not_a_wire(self, fd: int, now: float) -> None:
        if fd == self.poller.wake_fd:
            # Before the look for work that follows, so that no later signal is lost.
            self._signalled = False
            self.poller.drain()
        elif fd in self._ports:
            self._ports[fd].read(now)
        else:
            self._acceptor.note_ready(fd)
            if self._dialler is not None:
                self._dialler.note_ready(fd)

    def _is_readable(self, wire: Wire, mask: int, now: float) -> bool:
        """Do what a mask asks for besides reading."""
        try:
            if mask & WRITE and wire.mask & WRITE:
                self._write_rest(wire, now)
            if mask & READ:
                # Also when it is broken: what came before that comes first.
                return wire.mask & READ != 0
            if mask & BROKEN:
                self._lose(wire, now)
            elif mask & HANGUP and not wire.hung_up:
                # Reading is paused. An end that is in sight is passed on; one behind unread bytes waits for them.
                if wire.at_end():
                    self._end(wire, now)
                else:
                    wire.hung_up = True
                    self._watch(wire)
        except OSError:
            self._lose(wire, now)
        return False

    def _end(self, wire: Wire, now: float) -> None:
        """The peer will send no more."""
        if not wire.eof:
            wire.eof = True
            self._watch(wire)
            wire.conn.receive_eof(now)
            self._again.append(wire.conn)

    def _lose(self, wire: Wire, now: float, reset: bool = False) -> None:
        """Close the descriptor and tell the core."""
        self._wires[wire.fd] = None
        self._open -= 1
        self.poller.unregister(wire.fd)
        wire.close(reset=reset)
        wire.conn.transport = None
        wire.conn.connection_lost(now)
        self.stirred = True
        self._acceptor.resume()

    # Output -------------------------------------------------------------------------------------------------------

    def write(self, now: float) -> None:
        """Send the output of every connection that is ready, once, and do what their flags say."""
        protocol = self._protocol
        while True:
            ready = protocol.take_ready()
            if self._again:
                ready = [*ready, *self._again]
                self._again.clear()
            if not ready:
                if self._client is not None and self._begin_dials(now):
                    continue
                if self.mesh is not None:
                    self.mesh.flush(now)
                if not self._ports or not self._write_ports(now):
                    return
                continue
            for conn in ready:
                transport = conn.transport
                if type(transport) is not Wire:
                    if transport is not None:
                        # Of a datagram port, which collects what its connections have; or it is being made.
                        transport.mark()
                    continue
                wire = transport
                if conn.aborted:
                    self._lose(wire, now, True)
                    continue
                # While earlier output waits for the kernel, later output waits in the core, which counts it.
                if not wire.mask & WRITE:
                    data = conn.data_to_send()
                    if data:
                        try:
                            if not wire.send(data):
                                conn.unsent = wire.unsent()
                                self._watch(wire)
                        except OSError:
                            self._lose(wire, now)
                            continue
                if wire.mask != READ or not conn.wants_read or conn.closing or conn.closed:
                    self._attend(wire, conn, now)

    def _begin_dials(self, now: float) -> bool:
        assert self._client is not None
        assert self._dialler is not None
        dials = self._client.take_dials()
        if not dials:
            return False
        self._dialler.dial(dials, now)
        return True

    def _write_ports(self, now: float) -> bool:
        worked = [port.write(now) for port in tuple(self._ports.values())]
        if not any(worked):
            return False
        self.stirred = True
        return True

    def _attend(self, wire: Wire, conn: DrivenConnection, now: float) -> None:
        """Whatever is not just an open connection whose output has left."""
        if not wire.unsent():
            if conn.closed:
                self._lose(wire, now)
                return
            if conn.closing:
                if not wire.shut:
                    wire.shut_down()
                if wire.eof:
                    self._lose(wire, now)
                    return
        self._watch(wire)

    def _write_rest(self, wire: Wire, now: float) -> None:
        flushed = wire.send_rest()
        conn = wire.conn
        conn.unsent = wire.unsent()
        if flushed:
            self._watch(wire)
            conn.flushed(now)
            self.stirred = True
            self._again.append(conn)

    def _watch(self, wire: Wire) -> None:
        """Watch the descriptor for what matters now."""
        if wire.eof:
            mask = 0
        elif wire.conn.wants_read:
            mask = READ
        else:
            mask = 0 if wire.hung_up else HANGUP
        if wire.unsent():
            mask |= WRITE
        if mask != wire.mask:
            wire.mask = mask
            self.poller.modify(wire.fd, mask)
