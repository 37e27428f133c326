"""What an HTTP connection reports, and the states it is in."""

from __future__ import annotations

from enum import Enum, auto

from siocore.request import Request

__all__ = ["BodyReceived", "HttpState", "RequestReceived"]


class HttpState(Enum):
    """Whose turn it is, and for what. The owner arms its deadlines by it."""

    #: No byte of a request is here: ``Limits.keep_alive_timeout`` (``head_timeout`` on a new connection).
    HEAD_WAIT = auto()
    #: A part of a head is here: ``Limits.head_timeout``.
    HEAD = auto()
    #: The head was reported, the body is not complete: ``Limits.body_timeout``.
    BODY = auto()
    #: The whole request is here and our answer is due.
    ANSWERING = auto()
    #: The connection speaks another protocol now; this object has done its work.
    SWITCHED = auto()
    #: Nothing more is read.
    CLOSED = auto()


class RequestReceived:
    """The head of a request is complete.

    ``upgrade`` says that it asks for the WebSocket protocol; such a request has no body, and can be answered with
    ``switch_protocols`` at once. With a ``refusal``, a status, its body is none that is read as a whole: the owner
    either calls ``stream`` or ``refuse``. Only connections that were made with ``hosting`` leave that to their owner.
    """

    __slots__ = ("refusal", "request", "upgrade")

    def __init__(self, request: Request, upgrade: bool, refusal: int = 0) -> None:
        self.request = request
        self.upgrade = upgrade
        self.refusal = refusal


class BodyReceived:
    """The body of the request reported before is complete; ``b""`` if it has none."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BodyReceived) and other.body == self.body

    __hash__ = None  # type: ignore[assignment]
