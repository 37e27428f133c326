"""A manager without a network: links that a test opens, speaks through and closes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from siocore.client_events import AuthRequested, ClientEvent
from siocore.client_options import ClientOptions
from siocore.codec.message import BinaryMessage, Outgoing, TextMessage
from siocore.errors import BufferFull, ConnectError
from siocore.link import ClientLink, LinkUser
from siocore.request import Request
from siocore.socketio.client_interfaces import LinkOpener
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.manager import Manager
from siocore.target import Target
from siocore.testing import ManualClock
from siocore.testing.waiter import VirtualWaiter

TARGET = Target(host="server.example", port=3000, secure=False)


class FakeLink(ClientLink):
    """What the manager sends is in ``sent``: text as str, attachments and binary messages as bytes."""

    def __init__(self, user: LinkUser, limit: int, revision: int) -> None:
        super().__init__(Request("GET", "/socket.io/?EIO=4&transport=websocket", []))
        self.user = user
        self.revision = revision
        self.sent: list[str | bytes] = []
        self.messages: list[Outgoing] = []
        self.state = "opening"
        self.is_writable = True
        self.is_expired = False
        self.closed_with: tuple[str, str] | None = None
        #: Bytes that are taken and not written, as long as the network is stuck.
        self.stuck: int | None = None
        self._limit = limit

    # For the test

    def opened(self) -> FakeLink:
        self.state = "open"
        self.user.link_opened(self)
        return self

    def text(self, text: str) -> None:
        """The server sends text, and the MESSAGE packet's type is in front of it."""
        self.user.link_text(self, "4" + text, 1)

    def binary(self, data: bytes) -> None:
        self.user.link_binary(self, data)

    def lost(self, reason: str = "transport close", detail: str = "cut", error: ConnectError | None = None) -> None:
        self.state = "closed"
        self.user.link_closed(self, reason, detail, error)

    def refused(self, sentence: str = "could not connect") -> None:
        self.lost("transport error", sentence, ConnectError(sentence, transport=True))

    def flow(self) -> None:
        """The network takes everything."""
        self.stuck = None
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            waiter.wake()

    def take(self) -> list[str | bytes]:
        sent, self.sent = self.sent, []
        return sent

    # For the manager

    @property
    def transport(self) -> str:
        return "websocket"

    @property
    def sid(self) -> str:
        return "engine-id"

    @property
    def open(self) -> bool:
        return self.state == "open"

    @property
    def buffered(self) -> int:
        return self.stuck or 0

    @property
    def high_water(self) -> int:
        return 0

    @property
    def max_held(self) -> int:
        return 1_000

    @property
    def writable(self) -> bool:
        return self.open and self.is_writable and not self.is_expired

    @property
    def expired(self) -> bool:
        return self.is_expired

    def new_waiter(self) -> VirtualWaiter:
        return VirtualWaiter()

    def send_text(self, text: bytes, attachments: list[bytes]) -> None:
        self.send_outgoing(TextMessage(text, attachments))

    def send_outgoing(self, message: Any) -> None:
        assert self.open, "sent on a link that is not open"
        if self.stuck is not None:
            if self.stuck and self.stuck + message.size > self._limit:
                raise BufferFull("the link is full")
            self.stuck += message.size
        self.messages.append(message)
        if isinstance(message, TextMessage):
            self.sent += [message.text.decode(), *message.attachments]
        else:
            assert isinstance(message, BinaryMessage)
            self.sent.append(message.data)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self, reason: str = "forced close", detail: str = "", *, code: int = 1000) -> None:
        if self.state != "closed":
            self.state = "closed"
            self.closed_with = (reason, detail)
            # As the real one does, later or at once.
            self.user.link_closed(self, reason, detail, None)

    def abandon(self) -> None:
        self.state = "abandoned"


class FakeHub(LinkOpener):
    """An endpoint whose links are fakes, on virtual time."""

    def __init__(self, clock: ManualClock, revision: int = 4) -> None:
        super().__init__()
        self.time = clock
        self.clock = clock
        self.make_waiter = VirtualWaiter
        self.links: list[FakeLink] = []
        self.revision = revision

    def open_link(self, target: Target, options: ClientOptions, user: LinkUser) -> FakeLink:
        link = FakeLink(user, options.limits.max_buffered, 3 if options.protocol == 3 else self.revision)
        self.links.append(link)
        return link


class Client:
    """A manager, and a test's view of it."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.hub = FakeHub(self.clock)
        options.setdefault("random", lambda: 0.5)
        self.manager = Manager(TARGET, ClientOptions(**options), self.hub)

    @property
    def link(self) -> FakeLink:
        """The latest link."""
        return self.hub.links[-1]

    def connected(self, namespace: str = "/") -> ClientSocket:
        """A socket that is connected, before anything is looked at."""
        socket = self.manager.socket(namespace)
        if self.link.state != "open":
            self.link.opened()
        self.accept(namespace)
        self.events()
        self.link.take()
        return socket

    def accept(self, namespace: str = "/", more: str = "") -> None:
        prefix = "0" if namespace == "/" else f"0{namespace},"
        self.link.text(f'{prefix}{{"sid":"id-{len(self.hub.links)}"{more}}}')

    def events(self) -> list[Any]:
        """What the application is told."""
        events = []
        self.hub.next_deadline()
        while (event := self.hub.next_event()) is not None:
            events.append(event)
        return events

    def told(self) -> list[object]:
        """The same in words, without what managers report."""
        told: list[object] = []
        for event in self.events():
            match type(event).__name__:
                case "ClientEvent":
                    told.append((event.name, *event.args))
                case "SocketConnected":
                    told.append("connect")
                case "SocketRefused":
                    told.append(("connect_error", event.error.message))
                case "SocketClosed":
                    told.append(("disconnect", event.reason))
        return told

    def reports(self) -> list[object]:
        """What managers report, names alone where there is nothing more to say."""
        return [
            (event.name, *event.args) if event.args else event.name
            for event in self.events()
            if type(event).__name__ == "ManagerReported"
        ]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock.now + seconds
        while (deadline := self.hub.next_deadline()) is not None and deadline <= end:
            self.clock.now = max(self.clock.now, deadline)
            self.hub.handle_timeout(self.clock.now)
        self.clock.now = end

    def auth_requested(self) -> AuthRequested:
        (event,) = [event for event in self.events() if isinstance(event, AuthRequested)]
        return event

    def received(self) -> list[ClientEvent]:
        return [event for event in self.events() if isinstance(event, ClientEvent)]


class Task:
    """An awaitable that a test steps through."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._steps: Generator[Any, None, Any] = awaitable.__await__()
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._step(lambda: next(self._steps))

    @property
    def result(self) -> Any:
        assert self.done
        if self.error is not None:
            raise self.error
        return self.value

    def cancel(self) -> None:
        """As trio and asyncio do: an exception at the place where it waits."""
        self._step(lambda: self._steps.throw(KeyboardInterrupt()))

    def _step(self, step: Callable[[], Any]) -> None:
        try:
            waiter = step()
        except StopIteration as stop:
            self.done, self.value = True, stop.value
        except (Exception, KeyboardInterrupt) as error:
            self.done, self.error = True, error
        else:
            assert isinstance(waiter, VirtualWaiter)
            waiter.resumes.append(lambda: None if self.done else self._step(lambda: next(self._steps)))
