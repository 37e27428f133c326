"""Making the connections that a client's endpoint asks for: names, addresses, proxies, TLS.

Nothing here waits. What has begun goes on when the poller says so, beside the connections that are there already.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from siocore._driver.interfaces import ClientHost
from siocore._driver.poller import READ, WRITE
from siocore._driver.proxies import Proxy, proxy_for
from siocore._driver.racing import Race, reason_of
from siocore._driver.resolving import SocketAddress, numeric_addresses, resolved_addresses
from siocore._driver.sockets import Sockets
from siocore._driver.tls import ClientTLSStream, tls_advice
from siocore.client_options import CLIENT_LIMITS
from siocore.driven import ClientEndpoint, DialledConnection
from siocore.errors import LocalProtocolError
from siocore.http.tunnel import Tunnel
from siocore.target import Target

__all__ = ["Dialler"]

#: Dials under way at the same time; the others wait. Far from the usual limit of descriptors (1024), and many enough
#: that some which hang until their timeout do not hold up the others.
_MAX_DIALS: Final = 256
_READ_SIZE: Final = 65_536


class Dialler:
    """The connections of one client that are being made, in the poller of its sockets."""

    def __init__(self, protocol: ClientEndpoint, host: ClientHost, sockets: Sockets) -> None:
        self.protocol = protocol
        self.host = host
        self.sockets = sockets
        #: What is to be gone on with, after the poller has reported it.
        self.ready: list[Callable[[float], None]] = []
        self._steps: dict[int, tuple[int, Callable[[float], None]]] = {}
        self._waiting: deque[_Dial] = deque()
        self._under_way: set[_Dial] = set()
        self._default_context: ssl.SSLContext | None = None

    def __len__(self) -> int:
        """How many connections are being made."""
        return len(self._waiting) + len(self._under_way)

    # For the sockets ----------------------------------------------------------------------------------------------

    def dial(self, connections: Sequence[DialledConnection], now: float) -> None:
        """Begin to make these."""
        for connection in connections:
            if not (connection.closed or connection.aborted):
                dial = _Dial(connection, self)
                connection.transport = dial
                self._waiting.append(dial)
        self._start_waiting(now)

    def note_ready(self, fd: int) -> None:
        """The poller has reported this descriptor."""
        if fd in self._steps:
            self.ready.append(self._steps[fd][1])

    def advance(self, now: float) -> None:
        """Go on with what is ready."""
        ready, self.ready = self.ready, []
        for step in ready:
            step(now)

    def close(self) -> None:
        """Close everything. The core is not told."""
        self._waiting.clear()
        for dial in list(self._under_way):
            dial.drop()

    # For what is being made ---------------------------------------------------------------------------------------

    def watch(self, fd: int, mask: int, step: Callable[[float], None]) -> None:
        """``step(now)`` is called while the descriptor is ready for this. It may be called for nothing."""
        watched = self._steps.get(fd)
        if watched is None:
            self.sockets.poller.register(fd, mask)
        elif watched[0] != mask:
            self.sockets.poller.modify(fd, mask)
        self._steps[fd] = mask, step

    def unwatch(self, fd: int) -> None:
        """Watch it no more. To be called before it is closed."""
        if self._steps.pop(fd, None) is not None:
            self.sockets.poller.unregister(fd)

    def let_go(self, fd: int) -> None:
        """It is watched for reading, and somebody else looks after it from here on."""
        del self._steps[fd]

    def tell(self, step: Callable[[float], None]) -> None:
        """``step(now)`` is to be called in the next turn."""
        self.ready.append(step)
        self.sockets.signal()

    def default_context(self) -> ssl.SSLContext:
        """What verifies certificates and names with the authorities of the system. Made once: that takes a while."""
        if self._default_context is None:
            self._default_context = ssl.create_default_context()
            # Somebody who speaks several protocols at this port is to know which one this is (RFC 7301).
            self._default_context.set_alpn_protocols(["http/1.1"])
        return self._default_context

    def ended(self, dial: _Dial) -> None:
        """It was made, has failed, or is not wanted any more."""
        if dial in self._under_way:
            self._under_way.discard(dial)
            if self._waiting:
                self.tell(self._start_waiting)
        elif dial in self._waiting:
            self._waiting.remove(dial)

    def _start_waiting(self, now: float) -> None:
        while self._waiting and len(self._under_way) < _MAX_DIALS:
            dial = self._waiting.popleft()
            self._under_way.add(dial)
            dial.start(now)


class _Dial:
    """One connection that is being made. It is the connection's transport meanwhile."""

    __slots__ = ("_connection", "_dialler", "_over", "_proxy", "_race", "_rest", "_sock", "_target", "_tls", "_tunnel")

    def __init__(self, connection: DialledConnection, dialler: Dialler) -> None:
        self._connection = connection
        self._target: Target = connection.target
        self._dialler = dialler
        self._proxy: Proxy | None = None
        self._race: Race | None = None
        self._tunnel: Tunnel | None = None
        # What the proxy is told and the kernel has not accepted yet.
        self._rest = b""
        self._sock: socket.socket | None = None
        self._tls: ClientTLSStream | None = None
        self._over = False

    # For the sockets ----------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """The endpoint has changed the connection's flags."""
        if self._connection.closed or self._connection.aborted:
            self.drop()

    def drop(self) -> None:
        """Nobody wants the connection any more."""
        self._finish()
        if self._race is not None:
            self._race.cancel()
        if self._sock is not None:
            self._dialler.unwatch(self._sock.fileno())
            self._sock.close()

    # A name -> addresses ------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin."""
        target = self._target
        if target.unix_path is not None:
            self._connect([(socket.AF_UNIX, target.unix_path)], now)
            return
        try:
            self._proxy = proxy_for(target)
        except ValueError as exc:
            self._fail(str(exc), now)
            return
        host, port = (target.host, target.port) if self._proxy is None else (self._proxy.host, self._proxy.port)
        addresses = numeric_addresses(host, port)
        if addresses is not None:
            self._connect(addresses, now)
        else:
            self._dialler.host.spawn(partial(self._resolve, host, port))

    async def _resolve(self, name: str, port: int) -> None:
        try:
            found = await self._dialler.host.getaddrinfo(name, port)
        except Exception as exc:
            reason = reason_of(exc) if isinstance(exc, OSError) else str(exc)
            what = "the proxy " if self._proxy is not None else ""
            self._dialler.tell(partial(self._fail, f"{what}{name!r} has no address: {reason}"))
        else:
            self._dialler.tell(partial(self._connect, resolved_addresses(found)))

    # Addresses -> a connection ------------------------------------------------------------------------------------

    def _connect(self, addresses: Sequence[SocketAddress], now: float) -> None:
        if self._over:
            return
        target = self._target
        local = None
        if target.local_address is not None:
            found = numeric_addresses(target.local_address, 0)
            if not found:
                self._fail(f"local_address must be an IP address, not {target.local_address!r}", now)
                return
            local = found[0]
            addresses = [address for address in addresses if address[0] in (local[0], socket.AF_UNIX)]
            if not addresses:
                self._fail(f"{self._first_stop()} can't be reached from {target.local_address}: IPv4 or IPv6?", now)
                return
        self._race = Race(addresses, local, self, self._dialler, self._dialler.protocol.timers)
        self._race.start(now)

    def lost(self, errors: list[tuple[SocketAddress, str]], now: float) -> None:
        """For the race."""
        if len(errors) == 1 or len({reason for _, reason in errors}) == 1:
            reasons = errors[0][1]
        else:
            reasons = "; ".join(f"{address[1][0]}: {reason}" for address, reason in errors)
        who = "the server" if self._proxy is None else "it"
        advice = f"; is {who} running?" if "refused" in reasons or "no such file" in reasons else ""
        self._fail(f"could not connect to {self._first_stop()}: {reasons}{advice}", now)

    def won(self, sock: socket.socket, now: float) -> None:
        """For the race."""
        self._race = None
        self._sock = sock
        if self._proxy is not None:
            self._dig(sock, self._proxy, now)
        else:
            self._arrived(sock, b"", now)

    # A connection -> a tunnel through a proxy ---------------------------------------------------------------------

    def _dig(self, sock: socket.socket, proxy: Proxy, now: float) -> None:
        target = self._target
        try:
            self._tunnel = Tunnel(target.host, target.port, proxy.user, proxy.password, limits=CLIENT_LIMITS)
        except LocalProtocolError as exc:
            self._tunnel_failed(str(exc), now)
        else:
            self._go_through(sock, self._tunnel, now)

    def _go_through(self, sock: socket.socket, tunnel: Tunnel, now: float) -> None:
        if self._over:
            return
        try:
            self._exchange(sock, tunnel)
            self._dialler.watch(
                sock.fileno(), READ | WRITE if self._rest else READ, partial(self._go_through, sock, tunnel)
            )
        except OSError as exc:
            self._tunnel_failed(reason_of(exc), now)
            return
        if tunnel.failed is not None:
            self._tunnel_failed(tunnel.failed, now)
        elif tunnel.established:
            self._arrived(sock, tunnel.trailing, now)

    def _exchange(self, sock: socket.socket, tunnel: Tunnel) -> None:
        """Say and hear what can be said and heard now. Raises :exc:`OSError`."""
        self._rest += tunnel.data_to_send()
        with contextlib.suppress(BlockingIOError):
            while self._rest:
                self._rest = self._rest[sock.send(self._rest) :]
        with contextlib.suppress(BlockingIOError):
            data = sock.recv(_READ_SIZE)
            if data:
                tunnel.receive_data(data)
            else:
                tunnel.receive_eof()

    def _tunnel_failed(self, reason: str, now: float) -> None:
        self._fail(f"could not connect to {self._where()} through the proxy {self._proxy}: {reason}", now)

    # A connection to the server, through whatever -> TLS ----------------------------------------------------------

    def _arrived(self, sock: socket.socket, data: bytes, now: float) -> None:
        """``data`` has come from the server already."""
        if not self._target.secure:
            self._hand_over(sock, data, now)
        elif data:
            # A server waits for the client's first word.
            self._tls_failed(ValueError("something else has answered"), now)
        else:
            self._secure(sock, now)

    def _secure(self, sock: socket.socket, now: float) -> None:
        target = self._target
        context = target.ssl_context if target.ssl_context is not None else self._dialler.default_context()
        try:
            self._tls = ClientTLSStream(sock, context, target.server_hostname or target.host)
            self._tls.begin()
            self._watch_tls(self._tls)
        except (OSError, TypeError, ValueError) as exc:
            # Not only errors of TLS: what names it takes is checked in several places below.
            self._tls_failed(exc, now)

    def _shake_hands(self, now: float) -> None:
        tls = self._tls
        if self._over or tls is None:
            return
        try:
            tls.flush()
            data = tls.recv(_READ_SIZE)
        except BlockingIOError:
            data = None
        except OSError as exc:
            self._tls_failed(exc, now)
            return
        if tls.established:
            self._hand_over(tls.sock, data or b"", now)
        elif data is not None:
            self._fail(f"{self._where()} has closed the connection within the TLS handshake", now)
        else:
            self._watch_tls(tls)

    def _watch_tls(self, tls: ClientTLSStream) -> None:
        self._dialler.watch(tls.sock.fileno(), READ | WRITE if tls.backlog else READ, self._shake_hands)

    def _tls_failed(self, exc: Exception, now: float) -> None:
        self._fail(f"no TLS connection to {self._where()}: {tls_advice(exc)}", now)

    # The end ------------------------------------------------------------------------------------------------------

    def _hand_over(self, sock: socket.socket, data: bytes, now: float) -> None:
        try:
            self._dialler.watch(sock.fileno(), READ, _nothing)
        except OSError as exc:
            self._fail(f"could not connect to {self._where()}: {reason_of(exc)}", now)
            return
        self._finish()
        self._dialler.let_go(sock.fileno())
        self._dialler.sockets.adopt(self._connection, sock, self._tls, data, now)

    def _fail(self, reason: str, now: float) -> None:
        if self._over:
            return
        self.drop()
        self._connection.dial_failed(reason, now)
        self._dialler.sockets.stirred = True

    def _finish(self) -> None:
        self._over = True
        self._connection.transport = None
        self._dialler.ended(self)

    def _first_stop(self) -> str:
        """What is connected to, for people."""
        return self._where() if self._proxy is None else f"the proxy {self._proxy}"

    def _where(self) -> str:
        """The other end, for people."""
        target = self._target
        if target.unix_path is not None:
            return target.unix_path
        host = f"[{target.host}]" if ":" in target.host else target.host
        return f"{host}:{target.port}"


def _nothing(now: float) -> None:
    """Whoever adopts the connection looks at it anyway."""
