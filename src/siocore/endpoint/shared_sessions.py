"""Sessions that any of several servers may be asked for: no load balancer has to keep a client at one of them.

Theory of operation
-------------------
A session lives at one server, its *home*. A request for it that arrives at another one, a *stray*, is not handed over:
that server asks all others for a lock, and the home grants it if it would take the request itself. Then

* the packets of a POST are forwarded, and the POST is answered once they have arrived;
* a GET waits there; to the session it is a GET as any (``FarPoll``), and what the session answers is drained to it;
* a WebSocket is probed there. When the client upgrades, the session moves there, if the home's application has not
  heard of it yet (that is why it hears of polling clients a moment later). Otherwise the WebSocket is relayed, to the
  end.

What is published may be lost with Redis' connections, but not without notice: whoever publishes is told how many have
received it, and what is under way ends when Redis is gone, so that clients connect again.

What one client sends by two ways, first to another server and then here, must not change its order. The other server
answers a POST when Redis has passed it on. So whatever comes here afterwards waits until a message to ourselves has
made its way through Redis: what was before it there has then arrived (:meth:`SharedSessions.post_in_order`).

The wire, and the rules for locks, are those of @socket.io/cluster-engine, with which servers can be mixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from siocore.cluster.broker import Broker, Kind, Publish
from siocore.cluster.engine_wire import EngineMessage, EngineMessageType, decode_message, encode_message, write_packet
from siocore.cluster.garbage import Garbage
from siocore.endpoint.far_carriers import FarPoll, FarPost, FarWebSocket
from siocore.endpoint.interfaces import ServerConnection
from siocore.endpoint.strays import Stray, StrayPoll, StrayPost, StrayWebSocket
from siocore.engineio.gate import revision_of
from siocore.engineio.shared import SharedSession
from siocore.errors import DecodeError, LocalProtocolError
from siocore.events import SharingLost, SharingRestored
from siocore.request import Request
from siocore.timers import Timer

if TYPE_CHECKING:
    from siocore.endpoint.engine import EngineServerProtocol

__all__ = ["SharedSessions"]

#: Others are asked for ids of this form, which is that of Node.js' and of our own, and for no others.
_SID = re.compile(r"[A-Za-z0-9_\-]{20}")
#: Questions that may be open: whoever invents ids gets no further.
_MAX_QUESTIONS = 1_000

_ACQUIRE_LOCK = EngineMessageType.ACQUIRE_LOCK
_ACQUIRE_LOCK_RESPONSE = EngineMessageType.ACQUIRE_LOCK_RESPONSE
_DRAIN = EngineMessageType.DRAIN
_PACKET = EngineMessageType.PACKET
_UPGRADE = EngineMessageType.UPGRADE
_UPGRADE_RESPONSE = EngineMessageType.UPGRADE_RESPONSE
_CLOSE = EngineMessageType.CLOSE

#: Why a request may have failed elsewhere: applications know these.
_REASONS = frozenset(("transport close", "transport error", "parse error", "ping timeout"))

Arrived = Callable[[bool], None]


class _Question(Protocol):
    """Waits for one answer."""

    def answered(self, message: EngineMessage) -> None: ...

    def failed(self) -> None: ...


class SharedSessions:
    """The sessions of one server, and the way to those of others: ``Server(sessions=...)``.

    ``channel_prefix`` is the same for all servers. ``response_timeout`` is how many seconds others have to answer, and
    ``delayed_connection_timeout`` how many the application hears later of a client that begins with long-polling.

    Raises ValueError for seconds that are none.
    """

    def __init__(
        self,
        *,
        channel_prefix: str = "engine.io",
        response_timeout: float = 1.0,
        delayed_connection_timeout: float = 0.3,
        broker: Broker | None = None,
    ) -> None:
        for name, value in (
            ("response_timeout", response_timeout),
            ("delayed_connection_timeout", delayed_connection_timeout),
        ):
            if not 0 < value < 60:
                raise ValueError(f"{name} is a number of seconds between 0 and 60, not {value!r}")
        self.broker = Broker() if broker is None else broker
        #: Seconds until the application hears of a session that begins with long-polling.
        self.delay = delayed_connection_timeout
        self._prefix = channel_prefix
        self._response_timeout = response_timeout
        self._endpoint: EngineServerProtocol | None = None
        self._id = ""
        self._garbage = Garbage()
        # Each with the timer that ends it.
        self._questions: dict[int, tuple[_Question, Timer]] = {}
        self._count = 0
        #: Locks that came too late for those who wanted them, by the number of the question.
        self._late: dict[int, Stray] = {}
        # Of sessions here: requests that other servers have.
        self._far_polls: dict[str, FarPoll] = {}
        self._far_websockets: dict[str, FarWebSocket] = {}
        # Of sessions of others: requests that are here.
        self._polls: dict[str, StrayPoll] = {}
        self._websockets: dict[str, StrayWebSocket] = {}
        self.broker.watch(self)

    @property
    def endpoint(self) -> EngineServerProtocol:
        """The endpoint of the server. Raises LocalProtocolError while there is none."""
        if self._endpoint is None:
            raise LocalProtocolError("these sessions have no server yet: Server(sessions=...) takes them")
        return self._endpoint

    @property
    def node(self) -> str:
        """The id of this server: 6 hexadecimal digits."""
        return self._id

    @property
    def garbage(self) -> int:
        """Messages that were dropped because nobody could read them."""
        return self._garbage.count

    def bind(self, endpoint: EngineServerProtocol) -> None:
        """This is the endpoint of the server. Raises LocalProtocolError if there is one already."""
        if self._endpoint is not None:
            raise LocalProtocolError("each server needs an object of its own for its sessions: make another one")
        self._endpoint = endpoint
        self._id = sha256(endpoint.options.generate_id().encode()).hexdigest()[:6]
        endpoint.sharing = self
        endpoint.strays.append(self)
        for channel in (self._channel(""), self._channel(self._id)):
            self.broker.subscribe(Kind.CHANNEL, channel, self)

    # For the endpoint: requests whose session is not here -----------------------------------------------------

    def claim(self, connection: ServerConnection, request: Request, upgrade: bool) -> bool:
        """Ask the other servers for the session. False if there is no point in that."""
        sids = request.parameters("sid")
        endpoint = self.endpoint
        if (
            not self.broker.up
            or endpoint.stopping
            or len(sids) != 1
            or _SID.fullmatch(sids[0]) is None
            or revision_of(request) != 4
            or len(self._questions) >= _MAX_QUESTIONS
        ):
            return False
        sid = sids[0]
        if upgrade:
            if request.parameter("transport") != "websocket" or not endpoint.options.allow_upgrades:
                return False
            websocket = StrayWebSocket(self, connection, sid, request)
            endpoint.pending[connection] = websocket
            self.ask_for_lock(websocket)
        elif request.parameter("transport") != "polling":
            return False
        elif request.method == "GET":
            connection.expect_poll(StrayPoll(self, connection, sid, request))
        elif request.method == "POST":
            connection.expect_post(StrayPost(self, connection, sid, request))
        else:
            return False
        return True

    def shutdown(self) -> None:
        """The server stops: clients of others go to others."""
        for stray in (*self._polls.values(), *self._websockets.values()):
            stray.stop()
        self._polls.clear()

    # For the endpoint: sessions that are here -----------------------------------------------------------------

    def post_in_order(self, connection: ServerConnection, session: SharedSession) -> None:
        """The head of a POST arrived, and packets of the one before may still be on their way from another server."""

        def read(connection: ServerConnection, body: bytes) -> None:
            self._when_all_arrived(lambda: self._post(connection, session, body))

        connection.expect_body(read)

    def upgrade_in_order(self, session: SharedSession) -> None:
        """The same for an UPGRADE."""
        self._when_all_arrived(session.far_posts_arrived)

    def _post(self, connection: ServerConnection, session: SharedSession, body: bytes) -> None:
        session.far_posts = False
        if not connection.closed and session.post_started(connection):
            session.post(connection, body)

    def _when_all_arrived(self, done: Callable[[], None]) -> None:
        number = self._ask(_Fence(done))
        self._publish(_ACQUIRE_LOCK_RESPONSE, {"success": True}, self._id, number, self._failing(number))

    # For strays -----------------------------------------------------------------------------------------------

    def ask_for_lock(self, stray: Stray) -> None:
        """All that a stray sends was read: ask for a lock."""
        number = self._ask(_Lock(self, stray))
        data = {"sid": stray.sid, "transportName": stray.transport_name, "type": "write" if stray.writes else "read"}
        self._publish(_ACQUIRE_LOCK, data, "", number, self._failing(number))

    def ask_for_session(self, websocket: StrayWebSocket) -> None:
        """The client has upgraded here."""
        number = self._ask(_Move(websocket))
        data = {"sid": websocket.sid, "success": True}
        self._publish(_UPGRADE, data, websocket.home, number, self._failing(number))

    def upgrade_failed(self, home: str, sid: str) -> None:
        """The client goes on with long-polling."""
        self._count += 1
        self._publish(_UPGRADE, {"sid": sid, "success": False}, home, self._count)

    def forward(self, home: str, sid: str, message: str | bytes, done: Arrived) -> None:
        """The client has sent this. ``done`` is called with whether it has arrived."""
        self._publish(_PACKET, {"sid": sid, "packet": write_packet(message)}, home, None, done)

    def close(self, home: str, sid: str, reason: str) -> None:
        """A request of the client has failed here."""
        self._publish(_CLOSE, {"sid": sid, "reason": reason}, home)

    def poll_waits(self, poll: StrayPoll) -> None:
        self._polls[poll.sid] = poll

    def poll_gone(self, poll: StrayPoll) -> None:
        if self._polls.get(poll.sid) is poll:
            del self._polls[poll.sid]

    def websocket_waits(self, websocket: StrayWebSocket) -> None:
        self._websockets[websocket.sid] = websocket

    def websocket_gone(self, websocket: StrayWebSocket) -> None:
        if self._websockets.get(websocket.sid) is websocket:
            del self._websockets[websocket.sid]

    # For far carriers -----------------------------------------------------------------------------------------

    def drain(self, node: str, sid: str, messages: Sequence[str | bytes], done: Arrived) -> None:
        """Packets for a client whose request another server has."""
        self._publish(_DRAIN, {"sid": sid, "packets": [write_packet(each) for each in messages]}, node, None, done)

    def poll_answered(self, poll: FarPoll) -> None:
        if self._far_polls.get(poll.session.sid) is poll:
            del self._far_polls[poll.session.sid]

    def websocket_closed(self, websocket: FarWebSocket) -> None:
        if self._far_websockets.get(websocket.session.sid) is websocket:
            del self._far_websockets[websocket.session.sid]

    # Questions ------------------------------------------------------------------------------------------------

    def _ask(self, question: _Question) -> int:
        self._count += 1
        number = self._count
        endpoint = self.endpoint
        timer = endpoint.timers.arm(endpoint.now + self._response_timeout, self, number)
        self._questions[number] = question, timer
        return number

    def _take_question(self, number: int) -> _Question | None:
        """The question of this number, if it is still open. It is not any more."""
        question, timer = self._questions.pop(number, (None, None))
        self.endpoint.timers.cancel(timer)
        return question

    def timer_expired(self, kind: int, now: float) -> None:
        """Nobody has answered the question of this number."""
        question, _ = self._questions.pop(kind)
        if isinstance(question, _Lock):
            self._late[kind] = question.stray
            if len(self._late) > _MAX_QUESTIONS:
                del self._late[next(iter(self._late))]
        question.failed()

    def _failing(self, number: int) -> Arrived:
        """What ends a question that has reached nobody."""

        def done(arrived: bool) -> None:
            question = None if arrived else self._take_question(number)
            if question is not None:
                question.failed()

        return done

    def _answered(self, message: EngineMessage) -> None:
        late = self._late.pop(message.request, None)
        if late is not None and message.success and late.transport_name == "polling" and not late.writes:
            # Its answer would be drained to nobody.
            self.close(message.sender, late.sid, "transport error")
        question = self._take_question(message.request)
        if question is not None:
            question.answered(message)

    # From other servers ---------------------------------------------------------------------------------------

    def message_received(self, channel: str, data: bytes) -> None:
        """A message was published. Whatever is wrong with it, this raises nothing."""
        if self._endpoint is None:
            return
        try:
            message = decode_message(data)
        except DecodeError as error:
            self._garbage.add(self._endpoint, channel, str(error))
            return
        if message is None or (message.sender == self._id and message.type is not _ACQUIRE_LOCK_RESPONSE):
            return
        self._handlers[message.type](self, message)
        if self._endpoint.wake is not None:
            # There may be events that nobody looks for.
            self._endpoint.wake()

    def _lock_wanted(self, message: EngineMessage) -> None:
        session = self.endpoint.sessions.get(message.sid)
        if session is None:
            return
        node = message.sender
        answer = partial(self._answer_lock, node, message.request)
        if not isinstance(session, SharedSession):
            answer(False)
        elif message.transport != "polling":
            self._offer_websocket(session, node, answer)
        elif message.writes:
            if not session.can_post:
                answer(False)
            elif session.paused:
                session.post_when_resumed(FarPost(self, session, node, answer))
            else:
                session.far_posts = True
                answer(True)
        elif session.can_poll:
            answer(True)
            poll = self._far_polls[message.sid] = FarPoll(self, session, node)
            session.poll(poll)
        else:
            answer(False)

    def _offer_websocket(self, session: SharedSession, node: str, answer: Arrived) -> None:
        if not session.can_upgrade:
            answer(False)
            return
        answer(True)
        websocket = self._far_websockets[session.sid] = FarWebSocket(self, session, node)
        session.websocket_opened(websocket, session.request)
        # Its probe is answered there. Here it makes that GETs are released, for which the client waits.
        session.websocket_message(websocket, "2probe")

    def _answer_lock(self, node: str, request: int, success: bool) -> None:
        self._publish(_ACQUIRE_LOCK_RESPONSE, {"success": success}, node, request)

    def _drained(self, message: EngineMessage) -> None:
        messages = [each for each in message.packets if each is not None]
        poll = self._polls.get(message.sid)
        websocket = self._websockets.get(message.sid)
        if poll is not None and poll.home == message.sender:
            del self._polls[message.sid]
            poll.drained(messages)
        elif websocket is not None and websocket.home == message.sender:
            websocket.drained(messages)

    def _packet_received(self, message: EngineMessage) -> None:
        session = self.endpoint.sessions.get(message.sid)
        if not isinstance(session, SharedSession):
            return
        websocket = self._far_websockets.get(message.sid)
        for packet in message.packets:
            if packet is None:
                session.fail("parse error", "another server could not read what the client has sent")
            elif websocket is not None and websocket.adopted and websocket.node == message.sender:
                websocket.received(packet)
            else:
                session.receive(packet)

    def _upgraded(self, message: EngineMessage) -> None:
        websocket = self._far_websockets.get(message.sid)
        if websocket is None or websocket.node != message.sender or websocket.adopted:
            return
        session = websocket.session
        if not message.success:
            session.websocket_lost(websocket, "transport close", "the upgrade has failed at another server")
            return
        early = session.hand_over()
        answer = {"takeOver": early is not None, "packets": [write_packet(each) for each in early or ()]}
        self._publish(_UPGRADE_RESPONSE, answer, message.sender, message.request)
        if early is None:
            # All that the client has sent before has arrived.
            session.far_posts = False
            websocket.adopted = True
            session.websocket_message(websocket, "5")

    def _closed(self, message: EngineMessage) -> None:
        session = self.endpoint.sessions.get(message.sid)
        if session is None:
            return
        reason = message.reason if message.reason in _REASONS else "transport error"
        websocket = self._far_websockets.get(message.sid)
        if websocket is not None and websocket.adopted and websocket.node == message.sender:
            websocket.lost(reason, "at another server")
        elif session.transport == "polling":
            # A client that has upgraded leaves its last GET.
            session.fail(reason, f"at another server: {message.reason}")

    _handlers: ClassVar[dict[EngineMessageType, Callable[[SharedSessions, EngineMessage], None]]] = {
        _ACQUIRE_LOCK: _lock_wanted,
        _ACQUIRE_LOCK_RESPONSE: _answered,
        _DRAIN: _drained,
        _PACKET: _packet_received,
        _UPGRADE: _upgraded,
        _UPGRADE_RESPONSE: _answered,
        _CLOSE: _closed,
    }

    # The way to them ------------------------------------------------------------------------------------------

    def broker_connected(self, resumed: bool) -> None:
        """Others can be reached."""
        if resumed and self._endpoint is not None:
            self._endpoint.push_event(SharingRestored())

    def broker_lost(self, reason: str) -> None:
        """What is under way at two servers ends: nobody knows what of it has arrived."""
        self.endpoint.push_event(SharingLost(reason))
        for number in tuple(self._questions):
            question = self._take_question(number)
            if question is not None:
                question.failed()
        self._late.clear()
        for stray in (*self._polls.values(), *self._websockets.values()):
            stray.sharing_lost()
        self._polls.clear()
        for carrier in (*self._far_polls.values(), *self._far_websockets.values()):
            carrier.lost()

    def _channel(self, node: str) -> str:
        return f"{self._prefix}#{node}#" if node else f"{self._prefix}#"

    def _publish(
        self,
        type: EngineMessageType,
        data: dict[str, Any],
        recipient: str,
        request: int | None = None,
        done: Arrived | None = None,
    ) -> None:
        block = encode_message(type, self._id, data, recipient=recipient, request=request)

        def published(receivers: int | None, failure: str | None) -> None:
            if done is not None:
                done(failure is None and receivers != 0)

        self.broker.send(Publish(self._channel(recipient), block, done=published))


class _Lock:
    """Which server has the session?"""

    __slots__ = ("_sharing", "stray")

    def __init__(self, sharing: SharedSessions, stray: Stray) -> None:
        self._sharing = sharing
        self.stray = stray

    def answered(self, message: EngineMessage) -> None:
        if message.type is _ACQUIRE_LOCK_RESPONSE and message.success:
            self.stray.lock_granted(message.sender)
        else:
            self.stray.lock_refused()

    def failed(self) -> None:
        self.stray.lock_refused()


class _Move:
    """Does the session move to where its WebSocket is?"""

    __slots__ = ("_websocket",)

    def __init__(self, websocket: StrayWebSocket) -> None:
        self._websocket = websocket

    def answered(self, message: EngineMessage) -> None:
        if message.type is not _UPGRADE_RESPONSE or message.sender != self._websocket.home:
            self.failed()
        elif message.success:
            self._websocket.session_moves([each for each in message.packets if each is not None])
        else:
            self._websocket.session_stays()

    def failed(self) -> None:
        self._websocket.sharing_lost()


class _Fence:
    """A message to ourselves: what was published before it has arrived before it."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done

    def answered(self, message: EngineMessage) -> None:
        self._done()

    def failed(self) -> None:
        self._done()
