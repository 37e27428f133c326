"""The state tables of an Engine.IO session as its client sees it, and nothing else.

Theory of operation
-------------------
A session is three machines.

1. The *session*: OPENING → OPEN → CLOSING → CLOSED. It is OPENING from the first dial to the OPEN packet; until then
   one failure may lead to another attempt (the next transport, or revision 3 of the protocol), and only the last one
   ends it. CLOSING exists on long-polling only: the application has closed the session, and what was sent before, and
   the CLOSE packet, are still leaving. Over WebSocket they leave at once, and the session is CLOSED.

2. The *transport*: POLLING → PROBING → SWITCHING → WEBSOCKET. A polling session whose server offers it opens a
   WebSocket beside (the candidate), and sends "2probe". With the answer "3probe" it stops polling: nothing is posted
   any more, and the requests under way are waited for. Then it sends UPGRADE ("5") on the WebSocket, and all that was
   held back. A candidate that fails, is late or talks out of turn before that is dropped without harm, and polling
   goes on.

3. The *heartbeat*. In revision 4 the server sends PING: LISTENING, where each PING is answered and moves the deadline.
   In revision 3 the client does: RESTING → WAITING → RESTING.

Only (1) ends the session. (2) decides who carries packets, and can force (1), as (3) can.

Every table is total: each input has an entry in each state. A test goes through the whole product.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import product

__all__ = [
    "CLIENT_HEARTBEAT",
    "CLIENT_SESSION",
    "CLIENT_TRANSPORT",
    "ClientHeartbeatAction",
    "ClientHeartbeatInput",
    "ClientHeartbeatState",
    "ClientSessionAction",
    "ClientSessionInput",
    "ClientSessionState",
    "ClientTransportAction",
    "ClientTransportInput",
    "ClientTransportState",
]


class _Member(Enum):
    """Members are unique, so their identity is as good a hash as their name, and is found at once."""

    __hash__ = object.__hash__


class ClientSessionState(_Member):
    OPENING = auto()
    OPEN = auto()
    #: Closed by the application; what was sent before is still leaving.
    CLOSING = auto()
    CLOSED = auto()


class ClientSessionInput(_Member):
    #: A valid OPEN packet.
    OPENED = auto()
    #: The application (or Socket.IO above us) closes the session, and something must leave by long-polling first.
    CLOSE_SLOWLY = auto()
    #: The same with nothing to wait for: frames and the close frame leave in one piece.
    CLOSE_NOW = auto()
    #: All has left, or has had its time.
    SETTLED = auto()
    #: The server broke a rule, went away or timed out, and no other way to open the session is left.
    FAIL = auto()


class ClientSessionAction(_Member):
    NOTHING = auto()
    #: Tell the owner that messages can be sent.
    TELL_OPEN = auto()
    #: The first packet of a session comes once: the server is at fault.
    REFUSE = auto()
    #: Send what waits, and CLOSE.
    SETTLE = auto()
    #: Drop or close whatever carries the session, and tell the owner.
    END = auto()


class ClientTransportState(_Member):
    POLLING = auto()
    PROBING = auto()
    SWITCHING = auto()
    WEBSOCKET = auto()


class ClientTransportInput(_Member):
    #: The server offers WebSocket, and the options want it.
    OFFERED = auto()
    #: The WebSocket's opening handshake is done.
    WEBSOCKET_OPENED = auto()
    #: "3probe"
    PROBE_ANSWERED = auto()
    OTHER_PACKET = auto()
    #: No request is under way.
    POLLING_RESTS = auto()
    #: The WebSocket failed, ended, or was late.
    WEBSOCKET_LOST = auto()


class ClientTransportAction(_Member):
    NOTHING = auto()
    DIAL_CANDIDATE = auto()
    SEND_PROBE = auto()
    #: Start no request, and see whether one is under way.
    REST = auto()
    DROP_CANDIDATE = auto()
    #: Drop the candidate and start requests again.
    POLL_ON = auto()
    SWITCH = auto()
    #: The packet belongs to the session.
    DELIVER = auto()
    LOSE_SESSION = auto()


class ClientHeartbeatState(_Member):
    #: Revision 4: the server sends PING.
    LISTENING = auto()
    #: Revision 3: the next PING is not due.
    RESTING = auto()
    #: Revision 3: PING was sent.
    WAITING = auto()


class ClientHeartbeatInput(_Member):
    PING = auto()
    PONG = auto()
    #: The time that was set has come.
    DUE = auto()


class ClientHeartbeatAction(_Member):
    NOTHING = auto()
    #: Send PONG, and expect the next PING.
    ANSWER = auto()
    SEND_PING = auto()
    #: Set the time of the next PING.
    SCHEDULE_PING = auto()
    TIME_OUT = auto()


_S, _SI, _SA = ClientSessionState, ClientSessionInput, ClientSessionAction
CLIENT_SESSION: dict[tuple[ClientSessionState, ClientSessionInput], tuple[ClientSessionAction, ClientSessionState]] = {
    (_S.OPENING, _SI.OPENED): (_SA.TELL_OPEN, _S.OPEN),
    # The server may know of a session that it has not told us of. It will miss us.
    (_S.OPENING, _SI.CLOSE_SLOWLY): (_SA.END, _S.CLOSED),
    (_S.OPENING, _SI.CLOSE_NOW): (_SA.END, _S.CLOSED),
    (_S.OPENING, _SI.SETTLED): (_SA.NOTHING, _S.OPENING),
    (_S.OPENING, _SI.FAIL): (_SA.END, _S.CLOSED),
    (_S.OPEN, _SI.OPENED): (_SA.REFUSE, _S.OPEN),
    (_S.OPEN, _SI.CLOSE_SLOWLY): (_SA.SETTLE, _S.CLOSING),
    (_S.OPEN, _SI.CLOSE_NOW): (_SA.END, _S.CLOSED),
    (_S.OPEN, _SI.SETTLED): (_SA.NOTHING, _S.OPEN),
    (_S.OPEN, _SI.FAIL): (_SA.END, _S.CLOSED),
    (_S.CLOSING, _SI.OPENED): (_SA.NOTHING, _S.CLOSING),
    (_S.CLOSING, _SI.CLOSE_SLOWLY): (_SA.NOTHING, _S.CLOSING),
    (_S.CLOSING, _SI.CLOSE_NOW): (_SA.NOTHING, _S.CLOSING),
    (_S.CLOSING, _SI.SETTLED): (_SA.END, _S.CLOSED),
    (_S.CLOSING, _SI.FAIL): (_SA.END, _S.CLOSED),
    **{(_S.CLOSED, each): (_SA.NOTHING, _S.CLOSED) for each in ClientSessionInput},
}

_T, _TI, _TA = ClientTransportState, ClientTransportInput, ClientTransportAction
CLIENT_TRANSPORT: dict[
    tuple[ClientTransportState, ClientTransportInput], tuple[ClientTransportAction, ClientTransportState]
] = {
    (_T.POLLING, _TI.OFFERED): (_TA.DIAL_CANDIDATE, _T.PROBING),
    # What a dropped candidate still does is nobody's business.
    (_T.POLLING, _TI.WEBSOCKET_OPENED): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.PROBE_ANSWERED): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.OTHER_PACKET): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.POLLING_RESTS): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.WEBSOCKET_LOST): (_TA.NOTHING, _T.POLLING),
    (_T.PROBING, _TI.OFFERED): (_TA.NOTHING, _T.PROBING),
    (_T.PROBING, _TI.WEBSOCKET_OPENED): (_TA.SEND_PROBE, _T.PROBING),
    (_T.PROBING, _TI.PROBE_ANSWERED): (_TA.REST, _T.SWITCHING),
    (_T.PROBING, _TI.OTHER_PACKET): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.PROBING, _TI.POLLING_RESTS): (_TA.NOTHING, _T.PROBING),
    (_T.PROBING, _TI.WEBSOCKET_LOST): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.SWITCHING, _TI.OFFERED): (_TA.NOTHING, _T.SWITCHING),
    (_T.SWITCHING, _TI.WEBSOCKET_OPENED): (_TA.NOTHING, _T.SWITCHING),
    (_T.SWITCHING, _TI.PROBE_ANSWERED): (_TA.POLL_ON, _T.POLLING),
    (_T.SWITCHING, _TI.OTHER_PACKET): (_TA.POLL_ON, _T.POLLING),
    (_T.SWITCHING, _TI.POLLING_RESTS): (_TA.SWITCH, _T.WEBSOCKET),
    (_T.SWITCHING, _TI.WEBSOCKET_LOST): (_TA.POLL_ON, _T.POLLING),
    (_T.WEBSOCKET, _TI.OFFERED): (_TA.NOTHING, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.WEBSOCKET_OPENED): (_TA.NOTHING, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.PROBE_ANSWERED): (_TA.DELIVER, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.OTHER_PACKET): (_TA.DELIVER, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.POLLING_RESTS): (_TA.NOTHING, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.WEBSOCKET_LOST): (_TA.LOSE_SESSION, _T.WEBSOCKET),
}

_H, _HI, _HA = ClientHeartbeatState, ClientHeartbeatInput, ClientHeartbeatAction
CLIENT_HEARTBEAT: dict[
    tuple[ClientHeartbeatState, ClientHeartbeatInput], tuple[ClientHeartbeatAction, ClientHeartbeatState]
] = {
    (_H.LISTENING, _HI.PING): (_HA.ANSWER, _H.LISTENING),
    (_H.LISTENING, _HI.PONG): (_HA.NOTHING, _H.LISTENING),
    (_H.LISTENING, _HI.DUE): (_HA.TIME_OUT, _H.LISTENING),
    # Servers of revision 3 don't ask.
    (_H.RESTING, _HI.PING): (_HA.NOTHING, _H.RESTING),
    # A PONG that nobody asked for does not move the schedule.
    (_H.RESTING, _HI.PONG): (_HA.NOTHING, _H.RESTING),
    (_H.RESTING, _HI.DUE): (_HA.SEND_PING, _H.WAITING),
    (_H.WAITING, _HI.PING): (_HA.NOTHING, _H.WAITING),
    (_H.WAITING, _HI.PONG): (_HA.SCHEDULE_PING, _H.RESTING),
    (_H.WAITING, _HI.DUE): (_HA.TIME_OUT, _H.WAITING),
}

assert set(CLIENT_SESSION) == set(product(ClientSessionState, ClientSessionInput))
assert set(CLIENT_TRANSPORT) == set(product(ClientTransportState, ClientTransportInput))
assert set(CLIENT_HEARTBEAT) == set(product(ClientHeartbeatState, ClientHeartbeatInput))
