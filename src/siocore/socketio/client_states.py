"""What a client's socket does, and when: one total table.

A socket wants to be in its namespace, or it does not; the manager has a link, or it does not. CONNECT is sent when both
are true, once for each link. ``auth`` may be a function of the application that takes its time: AUTHENTICATING until it
has answered. LEAVING: the application has called ``disconnect()`` after CONNECT was sent and before the server has
answered it; the answer must be awaited, since a second CONNECT would be a violation, and since a server that lets the
socket in has to be told that it left.

IDLE and LEAVING are the states of a socket that wants nothing: the manager keeps no link for it.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["CLIENT_SOCKET", "Action", "ClientSocketState", "Step"]


class ClientSocketState(Enum):
    IDLE = auto()
    WAITING = auto()
    AUTHENTICATING = auto()
    CONNECTING = auto()
    LEAVING = auto()
    CONNECTED = auto()


class Step(Enum):
    """What happens to a socket."""

    #: The application has called ``connect()``.
    WANTED = auto()
    #: Messages can be sent.
    LINK_OPENED = auto()
    #: The value of ``auth`` is there.
    AUTHENTICATED = auto()
    #: There is none: the function failed.
    AUTH_FAILED = auto()
    #: The server has sent CONNECT.
    ACCEPTED = auto()
    #: The server has sent CONNECT_ERROR.
    REFUSED = auto()
    #: The server has sent DISCONNECT.
    DROPPED = auto()
    #: The application has called ``disconnect()``.
    UNWANTED = auto()
    LINK_CLOSED = auto()


class Action(Enum):
    NOTHING = auto()
    #: See to it that there is a link.
    OPEN = auto()
    #: Find out what goes with CONNECT.
    AUTHENTICATE = auto()
    SEND_CONNECT = auto()
    #: Deliver what came early, send what waited, tell the application.
    ENTER = auto()
    #: Tell the application that it could not connect.
    FAIL = auto()
    #: Send DISCONNECT, and tell the application that it is not connected any more.
    LEAVE = auto()
    #: Send DISCONNECT, of which the application need not know.
    SEND_DISCONNECT = auto()
    #: Tell the application that it is not connected any more.
    END = auto()
    #: It never was connected, and is not wanted any more.
    GIVE_UP = auto()


_S = ClientSocketState
_A = Action

CLIENT_SOCKET: dict[tuple[ClientSocketState, Step], tuple[Action, ClientSocketState]] = {
    (_S.IDLE, Step.WANTED): (_A.OPEN, _S.WAITING),
    (_S.IDLE, Step.LINK_OPENED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.AUTHENTICATED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.AUTH_FAILED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.ACCEPTED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.REFUSED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.DROPPED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.UNWANTED): (_A.NOTHING, _S.IDLE),
    (_S.IDLE, Step.LINK_CLOSED): (_A.NOTHING, _S.IDLE),
    # The manager may have given up.
    (_S.WAITING, Step.WANTED): (_A.OPEN, _S.WAITING),
    (_S.WAITING, Step.LINK_OPENED): (_A.AUTHENTICATE, _S.AUTHENTICATING),
    (_S.WAITING, Step.AUTHENTICATED): (_A.NOTHING, _S.WAITING),
    (_S.WAITING, Step.AUTH_FAILED): (_A.NOTHING, _S.WAITING),
    (_S.WAITING, Step.ACCEPTED): (_A.NOTHING, _S.WAITING),
    (_S.WAITING, Step.REFUSED): (_A.NOTHING, _S.WAITING),
    (_S.WAITING, Step.DROPPED): (_A.NOTHING, _S.WAITING),
    (_S.WAITING, Step.UNWANTED): (_A.GIVE_UP, _S.IDLE),
    (_S.WAITING, Step.LINK_CLOSED): (_A.NOTHING, _S.WAITING),
    (_S.AUTHENTICATING, Step.WANTED): (_A.NOTHING, _S.AUTHENTICATING),
    (_S.AUTHENTICATING, Step.LINK_OPENED): (_A.NOTHING, _S.AUTHENTICATING),
    (_S.AUTHENTICATING, Step.AUTHENTICATED): (_A.SEND_CONNECT, _S.CONNECTING),
    (_S.AUTHENTICATING, Step.AUTH_FAILED): (_A.FAIL, _S.IDLE),
    (_S.AUTHENTICATING, Step.ACCEPTED): (_A.NOTHING, _S.AUTHENTICATING),
    (_S.AUTHENTICATING, Step.REFUSED): (_A.NOTHING, _S.AUTHENTICATING),
    (_S.AUTHENTICATING, Step.DROPPED): (_A.NOTHING, _S.AUTHENTICATING),
    (_S.AUTHENTICATING, Step.UNWANTED): (_A.GIVE_UP, _S.IDLE),
    (_S.AUTHENTICATING, Step.LINK_CLOSED): (_A.NOTHING, _S.WAITING),
    (_S.CONNECTING, Step.WANTED): (_A.NOTHING, _S.CONNECTING),
    (_S.CONNECTING, Step.LINK_OPENED): (_A.NOTHING, _S.CONNECTING),
    (_S.CONNECTING, Step.AUTHENTICATED): (_A.NOTHING, _S.CONNECTING),
    (_S.CONNECTING, Step.AUTH_FAILED): (_A.NOTHING, _S.CONNECTING),
    (_S.CONNECTING, Step.ACCEPTED): (_A.ENTER, _S.CONNECTED),
    (_S.CONNECTING, Step.REFUSED): (_A.FAIL, _S.IDLE),
    # Before it has let anybody in, the server has nobody to disconnect.
    (_S.CONNECTING, Step.DROPPED): (_A.NOTHING, _S.CONNECTING),
    (_S.CONNECTING, Step.UNWANTED): (_A.GIVE_UP, _S.LEAVING),
    (_S.CONNECTING, Step.LINK_CLOSED): (_A.NOTHING, _S.WAITING),
    # Wanted again: the answer that is due is welcome.
    (_S.LEAVING, Step.WANTED): (_A.OPEN, _S.CONNECTING),
    (_S.LEAVING, Step.LINK_OPENED): (_A.NOTHING, _S.LEAVING),
    (_S.LEAVING, Step.AUTHENTICATED): (_A.NOTHING, _S.LEAVING),
    (_S.LEAVING, Step.AUTH_FAILED): (_A.NOTHING, _S.LEAVING),
    (_S.LEAVING, Step.ACCEPTED): (_A.SEND_DISCONNECT, _S.IDLE),
    (_S.LEAVING, Step.REFUSED): (_A.NOTHING, _S.IDLE),
    (_S.LEAVING, Step.DROPPED): (_A.NOTHING, _S.LEAVING),
    (_S.LEAVING, Step.UNWANTED): (_A.NOTHING, _S.LEAVING),
    (_S.LEAVING, Step.LINK_CLOSED): (_A.NOTHING, _S.IDLE),
    (_S.CONNECTED, Step.WANTED): (_A.NOTHING, _S.CONNECTED),
    (_S.CONNECTED, Step.LINK_OPENED): (_A.NOTHING, _S.CONNECTED),
    (_S.CONNECTED, Step.AUTHENTICATED): (_A.NOTHING, _S.CONNECTED),
    (_S.CONNECTED, Step.AUTH_FAILED): (_A.NOTHING, _S.CONNECTED),
    (_S.CONNECTED, Step.ACCEPTED): (_A.NOTHING, _S.CONNECTED),
    # Servers of Socket.IO 2 send it for a single event that their middleware has stopped.
    (_S.CONNECTED, Step.REFUSED): (_A.NOTHING, _S.CONNECTED),
    (_S.CONNECTED, Step.DROPPED): (_A.END, _S.IDLE),
    (_S.CONNECTED, Step.UNWANTED): (_A.LEAVE, _S.IDLE),
    (_S.CONNECTED, Step.LINK_CLOSED): (_A.END, _S.WAITING),
}
