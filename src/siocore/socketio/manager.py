"""One connection to a server, made again when it is lost, and the sockets that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeVar

from siocore.client_events import ManagerReported
from siocore.client_options import ClientOptions
from siocore.codec.msgpack_parser import MsgpackParser
from siocore.codec.parser import Parser
from siocore.errors import ConnectError, LocalProtocolError
from siocore.link import ClientLink
from siocore.socketio.client_interfaces import LinkOpener
from siocore.socketio.client_member import Auth
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.generation import Generation
from siocore.socketio.listeners import Handler, Listeners, Once
from siocore.socketio.reconnection import Backoff
from siocore.target import Target
from siocore.timers import Timer

if TYPE_CHECKING:
    pass

__all__ = ["Manager", "ManagerState"]

_H = TypeVar("_H", bound=Handler)

#: What a manager tells its handlers.
MANAGER_LIFECYCLE: Mapping[object, str | None] = {
    name: name
    for name in (
        "open",
        "error",
        "close",
        "ping",
        "upgrade",
        "reconnect_attempt",
        "reconnect",
        "reconnect_error",
        "reconnect_failed",
    )
}


class ManagerState(Enum):
    """Where a manager is. It leaves CLOSED when a socket wants a connection, and comes back when none does."""

    CLOSED = auto()
    OPENING = auto()
    OPEN = auto()
    #: Between two attempts.
    WAITING = auto()


class Manager:
    """Keeps a link to one server open for its sockets. Made by the endpoint, reached as ``socket.manager``."""

    __slots__ = (
        "__weakref__",
        "_backoff",
        "_generation",
        "_link_options",
        "_number",
        "_timer",
        "hub",
        "options",
        "parser",
        "reconnecting",
        "registered",
        "sockets",
        "state",
        "target",
    )

    def __init__(self, target: Target, options: ClientOptions, hub: LinkOpener) -> None:
        self.target = target
        self.options = options
        self.hub = hub
        self.parser: Parser | None = MsgpackParser() if isinstance(options.parser, str) else options.parser
        self.state = ManagerState.CLOSED
        #: By namespace.
        self.sockets: dict[str, ClientSocket] = {}
        #: Handlers of what happens to the connection; None until the first one is registered.
        self.registered: Listeners | None = None
        #: Whether an attempt to connect again is under way, or waits for its time.
        self.reconnecting = False
        self._link_options = options
        self._backoff = Backoff(
            options.reconnection_delay, options.reconnection_delay_max, options.randomization_factor, options.random
        )
        self._generation: Generation | None = None
        self._number = 0
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Manager {self.target.origin} {self.state.name}>"

    # For the application --------------------------------------------------------------------------------------

    @property
    def link(self) -> ClientLink | None:
        """What carries messages now; None while there is no connection."""
        return self._generation.link if self._generation is not None and self.state is ManagerState.OPEN else None

    @property
    def trying(self) -> bool:
        """Whether there is a connection, or is to be one."""
        return self.state is not ManagerState.CLOSED

    @property
    def attempts(self) -> int:
        """Attempts to connect again since the last success."""
        return self._backoff.attempts

    def socket(self, namespace: str = "/", *, auth: Auth = None, options: ClientOptions | None = None) -> ClientSocket:
        """The socket of a namespace: the same one for the same name; it connects if ``auto_connect`` is on.

        ``auth`` goes with its CONNECT, instead of that of the options. ``options`` are those of the manager, unless
        this socket has its own ``retries`` and ``ack_timeout``. Raises LocalProtocolError for a name or ``auth`` that
        can't be sent.
        """
        if options is None:
            options = self.options
        if auth is not None:
            options = replace(options, auth=auth)
        socket = self.sockets.get(namespace)
        if socket is None:
            socket = self.sockets[namespace] = ClientSocket(self, namespace, options)
        if options.auto_connect and not socket.active:
            socket.connect()
        return socket

    def connect(self) -> None:
        """Open the connection, and enter the namespaces that sockets want. Does nothing if that is under way."""
        if self.state is ManagerState.CLOSED:
            self._open()

    def disconnect(self) -> None:
        """Close the connection. It is not made again before somebody calls ``connect()``.

        The sockets' reason is "forced close".
        """
        self._stop("forced close", "the manager was disconnected")

    close = disconnect

    def shut_down(self) -> None:
        """Disconnect every socket, each in its own name, and the connection."""
        for socket in tuple(self.sockets.values()):
            socket.disconnect()
        self.disconnect()

    def on(self, name: str) -> Callable[[_H], _H]:
        """Register a handler of what happens to the connection: ``@manager.on("reconnect_attempt")``.

        ``open()``, ``error(error)``, ``close(reason, detail)``, ``ping()``, ``upgrade(transport)``,
        ``reconnect_attempt(number)``, ``reconnect(attempts)``, ``reconnect_error(error)``, ``reconnect_failed()``.
        Raises LocalProtocolError for another name.
        """

        def register(handler: _H) -> _H:
            self._listeners(name).add(name, handler, False)
            return handler

        return register

    def once(self, name: str) -> Callable[[_H], _H]:
        """:meth:`on`, for one time only."""

        def register(handler: _H) -> _H:
            self._listeners(name).add(name, Once(handler, self, name), False)
            return handler

        return register

    def off(self, name: str | int | None = None, handler: Handler | None = None) -> None:
        """Take away a handler of this name, all of this name, or all of all names."""
        if self.registered is not None:
            self.registered.remove(name, handler)

    def _listeners(self, name: str) -> Listeners:
        if name not in MANAGER_LIFECYCLE:
            raise LocalProtocolError(
                f"a manager tells nothing under the name {name!r}: {', '.join(map(str, MANAGER_LIFECYCLE))}"
            )
        if self.registered is None:
            self.registered = Listeners(MANAGER_LIFECYCLE)
        return self.registered

    # From the connection --------------------------------------------------------------------------------------

    def opened(self, generation: Generation) -> None:
        """Messages can be sent."""
        self.state = ManagerState.OPEN
        self.report_received("open")
        for socket in tuple(self.sockets.values()):
            socket.link_opened(generation)
        attempts = self._backoff.attempts
        self._backoff.reset()
        if self.reconnecting:
            self.reconnecting = False
            self.report_received("reconnect", attempts)

    def closed(self, generation: Generation, reason: str, detail: str, error: ConnectError | None) -> None:
        """The link is over."""
        if self.state is ManagerState.OPENING:
            self._failed_to_open(error or ConnectError(f"{reason}: {detail}", transport=True))
        else:
            self._lost(reason, detail)

    def failed_to_decode(self, generation: Generation, detail: str) -> None:
        """The server has sent what is no packet, or not in its place."""
        link = generation.link
        self._lost("parse error", detail)
        if link is not None:
            link.close("parse error", detail)

    # From the sockets -----------------------------------------------------------------------------------------

    @property
    def generation(self) -> Generation | None:
        """The open connection."""
        return self._generation if self.state is ManagerState.OPEN else None

    def release(self) -> None:
        """A socket wants no connection any more. The last one closes it."""
        if self.state is not ManagerState.CLOSED and not any(socket.wanted for socket in self.sockets.values()):
            self._stop("forced close", "no socket wants the connection any more")

    def expired(self, generation: Generation) -> None:
        """The server has given the connection up long ago, though nobody was there to notice."""
        link = generation.link
        self._lost("ping timeout", "the server has waited too long for an answer while nothing was done here")
        if link is not None:
            link.abandon()

    def use_revision_3(self, generation: Generation) -> None:
        """The server speaks Socket.IO 2, as it turns out."""
        link = generation.link
        generation.end()
        self._link_options = replace(self.options, protocol=3)
        if link is not None:
            link.close("forced close", "the server speaks Socket.IO 2")
        for socket in tuple(self.sockets.values()):
            socket.link_closed("transport close", "")
        self._open()

    def report_received(self, name: str, *args: object) -> None:
        """Tell the application, because of what the driver has passed in."""
        self.hub.push_received(ManagerReported(self, name, args))

    def report(self, name: str, *args: object) -> None:
        """Tell the application, perhaps because of what it did itself."""
        self.hub.push_event(ManagerReported(self, name, args))

    # Attempts -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.state = ManagerState.OPENING
        self._number += 1
        generation = self._generation = Generation(self, self.sockets, self._number)
        try:
            link = self.hub.open_link(self.target, self._link_options, generation)
        except Exception:
            self._end_generation()
            self._rest()
            raise
        if not generation.over:
            generation.link = link

    def _failed_to_open(self, error: ConnectError) -> None:
        self._end_generation()
        self.state = ManagerState.CLOSED
        again = self.reconnecting
        self.report("error", error)
        for socket in tuple(self.sockets.values()):
            socket.link_failed(error)
        self._try_again()
        if again:
            self.report("reconnect_error", error)

    def _lost(self, reason: str, detail: str) -> None:
        self._end_generation()
        self.state = ManagerState.CLOSED
        self.report("close", reason, detail)
        for socket in tuple(self.sockets.values()):
            socket.link_closed(reason, detail)
        self._try_again()

    def _try_again(self) -> None:
        options = self.options
        if not options.reconnection or not any(socket.wanted for socket in self.sockets.values()):
            self._rest()
        elif options.reconnection_attempts is not None and self._backoff.attempts >= options.reconnection_attempts:
            self._rest()
            self.report("reconnect_failed")
        else:
            self.reconnecting = True
            self.state = ManagerState.WAITING
            self._timer = self.hub.timers.arm(self.hub.now + self._backoff.next_delay(), self, 0)
            if self.hub.wake is not None:
                self.hub.wake()
            for socket in self.sockets.values():
                # Those who wait may look whether that was it.
                socket.wake()

    def timer_expired(self, kind: int, now: float) -> None:
        self._timer = None
        self.report_received("reconnect_attempt", self._backoff.attempts)
        self._open()

    def _stop(self, reason: str, detail: str) -> None:
        if self.state is ManagerState.CLOSED:
            return
        self.hub.timers.cancel(self._timer)
        self._timer = None
        was_open = self.state is ManagerState.OPEN
        generation = self._generation
        link = generation.link if generation is not None else None
        self._end_generation()
        self.state = ManagerState.CLOSED
        if was_open:
            self.report("close", reason, detail)
        for socket in tuple(self.sockets.values()):
            socket.link_closed(reason, detail)
        # Behind what the sockets have still sent.
        if link is not None:
            link.close("forced close", detail)
        self._rest()

    def _rest(self) -> None:
        """Nothing more is tried."""
        self.reconnecting = False
        self._backoff.reset()
        self.state = ManagerState.CLOSED
        for socket in tuple(self.sockets.values()):
            socket.deserted()

    def _end_generation(self) -> None:
        generation, self._generation = self._generation, None
        if generation is not None:
            generation.end()
