"""Requests to the other servers of a cluster: who was asked, who has answered, and who is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from siocore.driven import DrivenEndpoint
from siocore.errors import DecodeError
from siocore.socketio.acks import Asked, BroadcastAck, PendingAck, ServerSideAck
from siocore.socketio.adapter import SocketList
from siocore.socketio.remote import read_socket

if TYPE_CHECKING:
    from siocore.socketio.namespace import Namespace
    from siocore.socketio.socket import Socket

__all__ = [
    "AllRooms",
    "AnswersRequest",
    "BroadcastRequest",
    "FetchRequest",
    "ForwardedAck",
    "Request",
    "RoomsRequest",
    "Tally",
]

#: More clients than this no server has: a count beyond it is a lie.
_MAX_CLIENTS = 2**32


class AllRooms(set[str]):
    """The rooms of a cluster. ``missing`` names the servers that did not answer in time: theirs are not in it."""

    def __init__(self, rooms: Iterable[str] = (), missing: tuple[str, ...] = ()) -> None:
        super().__init__(rooms)
        self.missing = missing


class Tally:
    """Who of the servers that were asked has answered.

    Node.js' servers with the classic adapter don't say who they are when they answer. As long as all that did have said
    it, everything here is exact. Otherwise a server that goes away is taken for one that had not answered.
    """

    __slots__ = ("_anonymous", "_heard", "asked", "gone", "names")

    def __init__(self) -> None:
        #: How many were asked; None: not known yet.
        self.asked: int | None = None
        #: The ids of those that were asked, as far as they are known.
        self.names: frozenset[str] = frozenset()
        #: Those that went away without an answer.
        self.gone: set[str] = set()
        self._heard: set[str] = set()
        self._anonymous = 0

    def begin(self, asked: int, names: frozenset[str]) -> None:
        self.asked = asked
        self.names = names

    def heard(self, uid: str | None) -> bool:
        """A server has answered. False if it had done so before."""
        if uid is None:
            self._anonymous += 1
            return True
        if uid in self._heard:
            return False
        self._heard.add(uid)
        return True

    def has_heard(self, uid: str) -> bool:
        return uid in self._heard

    def correct(self, present: frozenset[str]) -> None:
        """The names are old, and now these are there: some may have been asked in the place of others."""
        new = present - self.names
        replaced = sorted(self.names - present - self._heard)[: len(new)]
        self.names = self.names.difference(replaced) | new

    def lost(self, present: frozenset[str]) -> list[str]:
        """Only these are there now. Returns the others, each once."""
        lost = [uid for uid in self.names - present if uid not in self.gone]
        self.gone.update(lost)
        return lost

    @property
    def outstanding(self) -> int | None:
        """How many answers are still to come; None: not known yet."""
        if self.asked is None:
            return None
        return max(0, self.asked - len(self._heard) - self._anonymous - len(self.gone - self._heard))

    def missing(self) -> tuple[str, ...]:
        """Those that have not answered, by their ids if these are known; else how many they are."""
        if self.asked is None:
            return ("every other server",)
        silent = self.names - self._heard - self.gone
        outstanding = self.outstanding
        if not outstanding:
            return ()
        if outstanding == len(silent):
            return tuple(sorted(silent))
        return (f"{outstanding} of {self.asked} servers",)


class Request:
    """Something that the other servers were asked. It ends when all have answered, or nobody waits any more."""

    __slots__ = ("_count", "_drop", "_names", "_names_are_old", "_over", "_own", "id", "tally")

    def __init__(self, request_id: str, own: str, drop: Callable[[str], None]) -> None:
        self.id = request_id
        self.tally = Tally()
        self._own = own
        self._drop = drop
        self._names: frozenset[str] | None = None
        self._names_are_old = False
        self._count: int | None = None
        self._over = False

    def begin(self, asked: int, names: frozenset[str]) -> None:
        """So many others are asked, these among them; to be called once, or :meth:`named` and :meth:`counted`."""
        self.tally.begin(asked, names)
        self.known()

    # What the broker says ---------------------------------------------------------------------------------------

    def named(self, names: frozenset[str] | None, fault: str | None) -> None:
        """These servers are there, ourselves among them if we can be seen. May come before or after the number."""
        if names is None:
            self.lost()
            return
        self._names = names
        self._compare()

    def named_before(self, names: frozenset[str]) -> None:
        """These servers were there some time ago; now there are as many."""
        self._names = names
        self._names_are_old = True

    def counted(self, count: int | None, fault: str | None) -> None:
        """So many servers are there, ourselves among them if we were among the names."""
        if count is None:
            self.lost()
            return
        self._count = count
        self._compare()

    def _compare(self) -> None:
        """Begin, once names and number are known."""
        names = self._names
        count = self._count
        if names is None or count is None or self._over:
            return
        others = names - {self._own}
        # A namespace that has just been made is perhaps counted, perhaps not; that it was listed is certain.
        asked = max(count - 1, 0) if self._own in names else len(others)
        # With more names than servers one has left between the two questions, or a name is no server's.
        self.begin(asked, others if len(others) <= asked else frozenset())

    def published(self, receivers: int | None, fault: str | None) -> None:
        """It has left, or it has not."""
        if fault is not None:
            self.lost()

    def present(self, names: frozenset[str]) -> None:
        """These servers are there now; of the others nothing is to be expected."""
        if self.tally.asked is not None and not self._over:
            if self._names_are_old:
                self._names_are_old = False
                self.tally.correct(names - {self._own})
            for uid in self.tally.lost(names):
                self.server_gone(uid)
            self.settle()

    def left(self, uid: str) -> None:
        """This server is gone; of the others nothing is known."""
        self.present(self.tally.names - {uid})

    # What others do -----------------------------------------------------------------------------------------------

    def answered(self, uid: str | None, answer: dict[str, Any]) -> None:
        """A server has answered. Raises DecodeError if that is no answer."""
        raise NotImplementedError

    def known(self) -> None:
        """It is known now how many answers there will be."""
        self.settle()

    def server_gone(self, uid: str) -> None:
        """This server will not answer any more."""
        return

    def settle(self) -> None:
        """Perhaps that was all."""
        if self.tally.outstanding == 0:
            self.complete()

    def complete(self) -> None:
        """Everybody has answered."""
        return

    def lost(self) -> None:
        """The others can't be reached any more: wait for nobody."""
        if not self._over:
            self._over = True
            self.given_up()

    def given_up(self) -> None:
        """:meth:`lost`, for the first time."""
        raise NotImplementedError

    # For whoever waits: Asked ---------------------------------------------------------------------------------------

    def missing(self) -> tuple[str, ...]:
        return self.tally.missing()

    def forget(self) -> None:
        self._drop(self.id)


class _Collected(PendingAck):
    """What is awaited while a request gathers something: when the time is up, it is what has come until then."""

    __slots__ = ("_request",)

    def __init__(self, hub: DrivenEndpoint, timeout: float, request: _Collecting) -> None:
        super().__init__(hub, 0, timeout)
        self._request = request

    def timer_expired(self, kind: int, now: float) -> None:
        self._request.conclude()

    def cancel(self) -> None:
        if not self.done:
            self._request.conclude()

    def conclude(self, result: object) -> None:
        self._finish(result)

    def _forget(self) -> None:
        self._request.forget()


class _Collecting(Request):
    """A request whose answers make up one result."""

    __slots__ = ("awaited",)

    def __init__(
        self, request_id: str, own: str, drop: Callable[[str], None], hub: DrivenEndpoint, timeout: float
    ) -> None:
        super().__init__(request_id, own, drop)
        #: What whoever has asked awaits.
        self.awaited = _Collected(hub, timeout, self)

    def result(self, missing: tuple[str, ...]) -> object:
        raise NotImplementedError

    def conclude(self) -> None:
        if not self.awaited.done:
            self.awaited.conclude(self.result(self.missing()))

    complete = conclude
    given_up = conclude


class FetchRequest(_Collecting):
    """The sockets of other servers."""

    __slots__ = ("_namespace", "_sockets")

    def __init__(
        self,
        request_id: str,
        own: str,
        drop: Callable[[str], None],
        namespace: Namespace,
        timeout: float,
        local: list[Socket],
    ) -> None:
        super().__init__(request_id, own, drop, namespace.hub, timeout)
        self._namespace = namespace
        self._sockets = SocketList(local)

    def answered(self, uid: str | None, answer: dict[str, Any]) -> None:
        described = answer.get("sockets")
        if not isinstance(described, list):
            raise DecodeError("an answer that lists no sockets")
        sockets = [read_socket(self._namespace, each) for each in described]
        if self.tally.heard(uid):
            self._sockets += sockets
            self.settle()

    def result(self, missing: tuple[str, ...]) -> SocketList:
        self._sockets.missing = missing
        return self._sockets


class RoomsRequest(_Collecting):
    """The rooms of other servers."""

    __slots__ = ("_rooms",)

    def __init__(
        self,
        request_id: str,
        own: str,
        drop: Callable[[str], None],
        hub: DrivenEndpoint,
        timeout: float,
        local: Iterable[str],
    ) -> None:
        super().__init__(request_id, own, drop, hub, timeout)
        self._rooms = AllRooms(local)

    def answered(self, uid: str | None, answer: dict[str, Any]) -> None:
        rooms = answer.get("rooms")
        if not isinstance(rooms, list):
            raise DecodeError("an answer that lists no rooms")
        if self.tally.heard(uid):
            self._rooms.update(room for room in rooms if isinstance(room, str))
            self.settle()

    def result(self, missing: tuple[str, ...]) -> AllRooms:
        self._rooms.missing = missing
        return self._rooms


class AnswersRequest(Request):
    """The answers of other servers to an event."""

    __slots__ = ("_ack",)

    def __init__(self, request_id: str, own: str, drop: Callable[[str], None], ack: ServerSideAck) -> None:
        super().__init__(request_id, own, drop)
        self._ack = ack
        ack.request = self
        ack.hold()

    def answered(self, uid: str | None, answer: dict[str, Any]) -> None:
        if self.tally.heard(uid):
            self._ack.answered(answer.get("data"))

    def known(self) -> None:
        self._ack.expect(self.tally.asked or 0)
        self._ack.release()

    def server_gone(self, uid: str) -> None:
        if not self.tally.has_heard(uid):
            self._ack.gone()

    def given_up(self) -> None:
        if self.tally.asked is None:
            self._ack.release()
        for _ in range(self.tally.outstanding or 0):
            self._ack.gone()


class _Family:
    """Several requests that one acknowledgement waits for."""

    __slots__ = ("requests",)

    def __init__(self, first: Asked) -> None:
        self.requests = [first]

    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for request in self.requests for name in request.missing()))

    def forget(self) -> None:
        for request in self.requests:
            request.forget()


class BroadcastRequest(Request):
    """The answers of the clients of other servers."""

    __slots__ = ("_ack", "_all_counted", "_clients", "_remaining")

    def __init__(self, request_id: str, own: str, drop: Callable[[str], None], ack: BroadcastAck) -> None:
        super().__init__(request_id, own, drop)
        self._ack = ack
        # How many clients of each server have not answered, of those that say who they are.
        self._clients: dict[str, int] = {}
        self._remaining = 0
        self._all_counted = False
        if ack.request is None:
            ack.request = self
        else:
            # A broadcast to a family of namespaces is one request in each.
            family = ack.request if isinstance(ack.request, _Family) else _Family(ack.request)
            family.requests.append(self)
            ack.request = family
        ack.hold()

    def answered(self, uid: str | None, answer: dict[str, Any]) -> None:
        raise DecodeError("an answer of another type than the request's")

    def clients_counted(self, uid: str | None, clients: object) -> None:
        """A server has so many clients that were asked. Raises DecodeError if that is no number of clients."""
        if type(clients) is not int or not 0 <= clients <= _MAX_CLIENTS:
            raise DecodeError("a number of clients that is none")
        if not self.tally.heard(uid):
            return
        if uid is not None:
            self._clients[uid] = clients
        self._remaining += clients
        self._ack.expect_remote(clients)
        self.settle()

    def client_answered(self, uid: str | None, value: object) -> None:
        """A client has answered."""
        if uid is not None:
            left = self._clients.get(uid, 0)
            if not left:
                # More answers than clients.
                return
            self._clients[uid] = left - 1
        self._remaining -= 1
        self._ack.remote_acknowledged(value)

    def server_gone(self, uid: str) -> None:
        left = self._clients.pop(uid, 0)
        self._remaining -= left
        self._ack.expect_remote(-left)

    def complete(self) -> None:
        if not self._all_counted:
            self._all_counted = True
            self._ack.release()

    def given_up(self) -> None:
        self._ack.expect_remote(-max(self._remaining, 0))
        self._remaining = 0
        self.complete()


class ForwardedAck(PendingAck):
    """What our clients owe another server: each answer is handed on."""

    __slots__ = ("_answer", "_count", "_drop", "_sockets")

    def __init__(
        self,
        hub: DrivenEndpoint,
        ack_id: int,
        timeout: float,
        count: Callable[[int], None],
        answer: Callable[[list[object]], None],
        drop: Callable[[ForwardedAck], None],
    ) -> None:
        super().__init__(hub, ack_id, timeout)
        self._sockets: set[Socket] = set()
        self._count = count
        self._answer = answer
        self._drop = drop

    def expect(self, sockets: list[Socket]) -> None:
        """These were asked."""
        self._sockets.update(sockets)
        for socket in sockets:
            socket.pending_acks[self.id] = self
        self._count(len(sockets))
        if not sockets:
            self._finish()

    def acknowledged(self, socket: Socket, args: list[object]) -> None:
        self._sockets.discard(socket)
        self._answer(args)
        self._end()

    def disconnected(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        self._end()

    def timer_expired(self, kind: int, now: float) -> None:
        self._finish()

    def _end(self) -> None:
        if not self._sockets and not self.done:
            self._finish()

    def _forget(self) -> None:
        for socket in self._sockets:
            socket.pending_acks.pop(self.id, None)
        self._sockets = set()
        self._drop(self)
