"""The workers of one machine, linked to each other: messages of the cluster, and connections that are another's.

Each worker listens on a Unix socket in a folder that only their user can enter. On start it connects to all others;
those that are there connect back when they hear from it. A link has one direction: each worker sends on those that it
has made, and reads on those that it has accepted.

The id of a session says which worker has it. A request for another worker's session is handed over together with its
connection: the descriptor travels over the link, with what was read and what is still to be sent. Where TLS is in this
process, the descriptor is one end of a socket pair, and what arrives is relayed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from siocore._driver.mesh_link import MAX_DESCRIPTORS, IncomingLink, OutgoingLink
from siocore._driver.relay import tie
from siocore._driver.sockets import Sockets
from siocore._driver.wire import Wire
from siocore.cluster.mesh import MeshCluster
from siocore.endpoint.connection import Connection
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.interfaces import ServerConnection
from siocore.options import Worker
from siocore.request import Request
from siocore.timers import Timer

__all__ = ["Mesh", "mark_of", "owner_of"]

_HELLO: Final = 0
_MESSAGE: Final = 1
_CONNECTION: Final = 2
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PARTS: Final = struct.Struct("!II")
#: What reading a frame raises that no worker sends.
_BROKEN: Final = (KeyError, TypeError, ValueError, struct.error)
#: Seconds before a link that has broken is made again.
_PAUSE: Final = 1.0


def mark_of(index: int) -> str:
    """How the ids of a worker's sessions begin."""
    return _ALPHABET[index // 64] + _ALPHABET[index % 64]


def owner_of(sid: str) -> int:
    """The worker that has a session; -1 for what is no id."""
    high, low = _ALPHABET.find(sid[:1] or "?"), _ALPHABET.find(sid[1:2] or "?")
    return -1 if high < 0 or low < 0 else high * 64 + low


class Mesh:
    """The links of one worker, in the selector of its driver."""

    def __init__(self, worker: Worker, protocol: EngineServerProtocol, sockets: Sockets) -> None:
        if protocol.options.generate_session_id is not None:
            raise ValueError(
                "generate_session_id can't be used with several workers: the ids of sessions name the worker"
            )
        self._worker = worker
        self._folder = Path(worker.folder)
        self._protocol = protocol
        self._sockets = sockets
        cluster = getattr(protocol, "cluster", None)
        self._cluster: MeshCluster | None = cluster if isinstance(cluster, MeshCluster) else None
        self._outgoing: dict[int, OutgoingLink] = {}
        self._incoming: dict[int, IncomingLink] = {}
        # Connections that go to others at the end of this turn.
        self._departing: list[tuple[Connection, int, bytes, bytes, object]] = []
        self._timer: Timer | None = None
        self._listener = _Doorway(self._path(worker.index), self._accepted, self._doorway_jammed)
        protocol.sid_mark = mark_of(worker.index)
        protocol.strays.insert(0, self)
        sockets.add_port(self._listener)
        for index in range(worker.count):
            if index != worker.index:
                self._connect(index)

    # StrayHandler

    def claim(self, connection: ServerConnection, request: Request, upgrade: bool) -> bool:
        """Hand a request over to the worker that has its session, if there is one."""
        index = owner_of(request.parameter("sid") or "")
        link = self._outgoing.get(index)
        if link is None or not isinstance(connection, Connection) or type(connection.transport) is not Wire:
            return False
        if link.descriptors + len(self._departing) >= MAX_DESCRIPTORS:
            # It takes nothing at present: what waits for it must not use up what this process may open.
            return False
        output, data = connection.detach()
        self._departing.append((connection, index, output, data, request.peer))
        return True

    # Links

    def _connect(self, index: int) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(str(self._path(index)))
        except OSError:
            # Not there yet: it will connect to us.
            sock.close()
            return
        link = OutgoingLink(sock, self._sockets.poller, partial(self._outgoing_lost, index))
        uid = self._cluster.uid if self._cluster is not None else ""
        link.put(_HELLO, json.dumps({"index": self._worker.index, "uid": uid, "pid": os.getpid()}).encode())
        old = self._outgoing.get(index)
        if old is not None:
            self._drop(old)
        self._outgoing[index] = link
        self._sockets.add_port(link)
        self._settle(index)

    def _doorway_jammed(self) -> None:
        """No descriptor is left: a listener that is watched then would be reported for ever."""
        self._sockets.remove_port(self._listener)
        self._listener.reopen = partial(self._sockets.add_port, self._listener)
        self._try_again()

    def _accepted(self, sock: socket.socket) -> None:
        self._sockets.add_port(IncomingLink(sock, self._received, self._incoming_lost))

    def _received(
        self, link: IncomingLink, kind: int, payload: bytes, descriptor: Callable[[], int | None], now: float
    ) -> None:
        if kind == _MESSAGE:
            if self._cluster is not None:
                self._cluster.received(payload)
            return
        try:
            if kind == _CONNECTION:
                self._take_in(payload, descriptor(), now)
            elif kind == _HELLO:
                self._greeted(link, json.loads(payload))
        except _BROKEN:
            # No worker says that. Nothing behind it can be relied on.
            self._incoming_lost(link)

    def _greeted(self, link: IncomingLink, hello: dict[str, Any]) -> None:
        index, uid, pid = hello["index"], hello["uid"], hello["pid"]
        if type(index) is not int or not 0 <= index < self._worker.count or type(uid) is not str:
            raise ValueError("not one of the workers")
        link.index, link.uid, link.pid = index, uid, pid
        old = self._incoming.get(link.index)
        if old is not None:
            self._incoming_lost(old)
        self._incoming[link.index] = link
        if link.index not in self._outgoing or (old is not None and old.pid != link.pid):
            self._connect(link.index)
        self._settle(link.index)

    def _settle(self, index: int) -> None:
        """Both directions: then it is one of the cluster."""
        link = self._incoming.get(index)
        if link is not None and index in self._outgoing and self._cluster is not None:
            self._cluster.node_joined(link.uid)

    def _incoming_lost(self, link: IncomingLink) -> None:
        self._drop(link)
        if self._incoming.get(link.index) is link:
            del self._incoming[link.index]
            if self._cluster is not None:
                self._cluster.node_left(link.uid)

    def _outgoing_lost(self, index: int, link: OutgoingLink) -> None:
        self._drop(link)
        if self._outgoing.get(index) is link:
            del self._outgoing[index]
            incoming = self._incoming.get(index)
            if incoming is not None:
                # It lives: what has broken is the link.
                self._try_again()
                if self._cluster is not None:
                    self._cluster.node_left(incoming.uid)

    def _try_again(self) -> None:
        if self._timer is None:
            self._timer = self._protocol.timers.arm(self._protocol.now + _PAUSE, self, 0)

    def timer_expired(self, kind: int, now: float) -> None:
        """Make the links that are missing, and accept again."""
        self._timer = None
        self._listener.resume()
        for index in self._incoming:
            if index not in self._outgoing:
                self._connect(index)
                if index not in self._outgoing:
                    self._try_again()

    def _drop(self, link: IncomingLink | OutgoingLink) -> None:
        if link.fileno() != -1:
            self._sockets.remove_port(link)
            link.close()

    # The end of a turn

    def flush(self, now: float) -> None:
        """Put what this turn has for others on the links, which send it then."""
        if self._departing:
            departing, self._departing = self._departing, []
            for connection, index, output, data, peer in departing:
                self._hand_over(connection, index, output, data, peer, now)
        cluster = self._cluster
        if cluster is None:
            return
        for uid, block in cluster.take_messages():
            for index, link in self._outgoing.items():
                incoming = self._incoming.get(index)
                if incoming is None or (uid is not None and incoming.uid != uid):
                    continue
                if link.has_room(len(block)):
                    link.put(_MESSAGE, block)
                else:
                    cluster.message_dropped()
        if not cluster.up and not any(link.queued for link in self._outgoing.values()):
            cluster.caught_up()

    def _hand_over(
        self, connection: Connection, index: int, output: bytes, data: bytes, peer: object, now: float
    ) -> None:
        wire = connection.transport
        if type(wire) is not Wire:
            # The client is gone.
            return
        link = self._outgoing.get(index)
        if link is None:
            # The worker died in this very turn.
            self._sockets.let_go(connection)
            wire.close(reset=False)
            return
        head: dict[str, Any] = {"peer": list(peer) if isinstance(peer, tuple) else peer, "secure": wire.tls is not None}
        if wire.tls is None:
            self._sockets.let_go(connection)
            if wire.rest is not None:
                output = bytes(wire.rest) + output
            fd = wire.sock.detach()
        else:
            near, far = socket.socketpair()
            near.setblocking(False)
            one, two = tie(self._protocol)
            self._sockets.retie(wire, one)
            if output:
                one.give(output)
                output = b""
            self._sockets.take_in(two, near, b"", b"", now)
            fd = far.detach()
        named = json.dumps(head).encode()
        link.put(_CONNECTION, _PARTS.pack(len(named), len(output)) + named + output + data, fd)

    def _take_in(self, payload: bytes, fd: int | None, now: float) -> None:
        if fd is None:
            return
        try:
            named, output = _PARTS.unpack_from(payload)
            at = _PARTS.size + named
            head = json.loads(payload[_PARTS.size : at])
            peer, secure = head["peer"], head["secure"]
        except _BROKEN:
            os.close(fd)
            raise
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        connection = self._protocol.connection_made(tuple(peer) if isinstance(peer, list) else peer, now, secure)
        self._sockets.take_in(connection, sock, payload[at : at + output], payload[at + output :], now)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index}.sock"

    def close(self) -> None:
        """Forget the endpoint. The links are closed with the sockets of the driver."""
        self._protocol.timers.cancel(self._timer)
        self._timer = None
        self._listener.close()
        self._protocol.strays.remove(self)
        self._protocol.sid_mark = ""


class _Doorway:
    """Where other workers connect."""

    def __init__(self, path: Path, accepted: Callable[[socket.socket], None], jammed: Callable[[], None]) -> None:
        self._path = path
        self._accepted = accepted
        self._jammed = jammed
        #: While it is not watched: watches it.
        self.reopen: Callable[[], None] | None = None
        #: For the sockets of the driver: it has no connections on it.
        self.open = 0
        # Of a worker that was killed.
        path.unlink(missing_ok=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.setblocking(False)
            self._sock.bind(str(path))
            path.chmod(0o600)
            self._sock.listen(4_096)
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self, now: float) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                return
            except OSError:
                self._jammed()
                return
            if _is_ours(sock):
                self._accepted(sock)
            else:
                sock.close()

    def resume(self) -> None:
        """Accept again, if it was not watched."""
        reopen, self.reopen = self.reopen, None
        if reopen is not None:
            reopen()

    def write(self, now: float) -> bool:
        return False

    def stop_accepting(self) -> None:
        """Workers say what they have to say until the end."""

    def close(self) -> None:
        self._sock.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _is_ours(sock: socket.socket) -> bool:
    """Whether our own user is at the other end, where the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid == os.geteuid()
