"""The state tables of an Engine.IO session, and nothing else.

Theory of operation
-------------------
A session is three machines.

1. The *session*: OPEN → CLOSING → CLOSED. CLOSING exists on long-polling only: the application has closed the session
   and is told so at once, but the client learns it from the answer to its next GET, which may be a while off. Over
   WebSocket the close frame leaves immediately, and the session is CLOSED.

2. The *transport*: POLLING → CANDIDATE → PROBED → WEBSOCKET. A polling session may be offered a WebSocket (the
   candidate). The client probes it ("2probe", answered "3probe"), stops polling, and sends UPGRADE ("5"). Only that
   last packet moves the session; until then everything is sent by long-polling, and a candidate that fails, is late
   or talks out of turn is dropped without harm to the session.

3. The *heartbeat*: IDLE → WAITING → IDLE. The server sends PING and wants PONG. A client that is busy sending (a long
   upload, say) is alive although its PONG is queued behind its data, so the first other packet that arrives while we
   wait extends the deadline, once.

Only (1) ends the session. (2) decides who carries packets. (3) can force (1).

Every table is total: each input has an entry in each state. A test goes through the whole product.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import product

__all__ = [
    "HEARTBEAT",
    "SESSION",
    "TRANSPORT",
    "HeartbeatAction",
    "HeartbeatInput",
    "HeartbeatState",
    "SessionAction",
    "SessionInput",
    "SessionState",
    "TransportAction",
    "TransportInput",
    "TransportState",
]


class _Member(Enum):
    """Members are unique, so their identity is as good a hash as their name, and is found at once."""

    __hash__ = object.__hash__


class SessionState(_Member):
    OPEN = auto()
    #: Closed for the application; the client's next GET gets what is left and the CLOSE packet.
    CLOSING = auto()
    CLOSED = auto()


class SessionInput(_Member):
    #: The application (or Socket.IO above us) closes the session while it is carried by long-polling.
    CLOSE_POLLING = auto()
    #: The same while it is carried by a WebSocket.
    CLOSE_WEBSOCKET = auto()
    #: The peer broke the protocol, went away or timed out.
    FAIL = auto()
    #: The CLOSE packet was handed to a GET, or nobody came for it.
    LINGER_OVER = auto()


class SessionAction(_Member):
    NOTHING = auto()
    #: Tell the application, queue the CLOSE packet, wait for a GET.
    LINGER = auto()
    #: Tell the application, close whatever carries the session, forget it.
    END = auto()
    #: Forget the session; the application knows already.
    FORGET = auto()


class TransportState(_Member):
    POLLING = auto()
    CANDIDATE = auto()
    PROBED = auto()
    WEBSOCKET = auto()


class TransportInput(_Member):
    WEBSOCKET_OPENED = auto()
    PROBE = auto()
    UPGRADE = auto()
    OTHER_PACKET = auto()
    WEBSOCKET_LOST = auto()


class TransportAction(_Member):
    NOTHING = auto()
    ADOPT_CANDIDATE = auto()
    REFUSE_CANDIDATE = auto()
    ANSWER_PROBE = auto()
    DROP_CANDIDATE = auto()
    SWITCH = auto()
    #: The packet belongs to the session.
    DELIVER = auto()
    LOSE_SESSION = auto()


class HeartbeatState(_Member):
    IDLE = auto()
    WAITING = auto()
    EXTENDED = auto()


class HeartbeatInput(_Member):
    PING_DUE = auto()
    PONG = auto()
    OTHER_PACKET = auto()
    PONG_OVERDUE = auto()


class HeartbeatAction(_Member):
    NOTHING = auto()
    SEND_PING = auto()
    SCHEDULE_PING = auto()
    EXTEND = auto()
    TIME_OUT = auto()


_S, _SI, _SA = SessionState, SessionInput, SessionAction
SESSION: dict[tuple[SessionState, SessionInput], tuple[SessionAction, SessionState]] = {
    (_S.OPEN, _SI.CLOSE_POLLING): (_SA.LINGER, _S.CLOSING),
    (_S.OPEN, _SI.CLOSE_WEBSOCKET): (_SA.END, _S.CLOSED),
    (_S.OPEN, _SI.FAIL): (_SA.END, _S.CLOSED),
    (_S.OPEN, _SI.LINGER_OVER): (_SA.NOTHING, _S.OPEN),
    (_S.CLOSING, _SI.CLOSE_POLLING): (_SA.NOTHING, _S.CLOSING),
    (_S.CLOSING, _SI.CLOSE_WEBSOCKET): (_SA.NOTHING, _S.CLOSING),
    (_S.CLOSING, _SI.FAIL): (_SA.FORGET, _S.CLOSED),
    (_S.CLOSING, _SI.LINGER_OVER): (_SA.FORGET, _S.CLOSED),
    **{(_S.CLOSED, each): (_SA.NOTHING, _S.CLOSED) for each in SessionInput},
}

_T, _TI, _TA = TransportState, TransportInput, TransportAction
TRANSPORT: dict[tuple[TransportState, TransportInput], tuple[TransportAction, TransportState]] = {
    (_T.POLLING, _TI.WEBSOCKET_OPENED): (_TA.ADOPT_CANDIDATE, _T.CANDIDATE),
    # What a dropped candidate still sends, or its end, is nobody's business.
    (_T.POLLING, _TI.PROBE): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.UPGRADE): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.OTHER_PACKET): (_TA.NOTHING, _T.POLLING),
    (_T.POLLING, _TI.WEBSOCKET_LOST): (_TA.NOTHING, _T.POLLING),
    (_T.CANDIDATE, _TI.WEBSOCKET_OPENED): (_TA.REFUSE_CANDIDATE, _T.CANDIDATE),
    (_T.CANDIDATE, _TI.PROBE): (_TA.ANSWER_PROBE, _T.PROBED),
    (_T.CANDIDATE, _TI.UPGRADE): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.CANDIDATE, _TI.OTHER_PACKET): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.CANDIDATE, _TI.WEBSOCKET_LOST): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.PROBED, _TI.WEBSOCKET_OPENED): (_TA.REFUSE_CANDIDATE, _T.PROBED),
    (_T.PROBED, _TI.PROBE): (_TA.ANSWER_PROBE, _T.PROBED),
    (_T.PROBED, _TI.UPGRADE): (_TA.SWITCH, _T.WEBSOCKET),
    (_T.PROBED, _TI.OTHER_PACKET): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.PROBED, _TI.WEBSOCKET_LOST): (_TA.DROP_CANDIDATE, _T.POLLING),
    (_T.WEBSOCKET, _TI.WEBSOCKET_OPENED): (_TA.REFUSE_CANDIDATE, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.PROBE): (_TA.DELIVER, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.UPGRADE): (_TA.DELIVER, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.OTHER_PACKET): (_TA.DELIVER, _T.WEBSOCKET),
    (_T.WEBSOCKET, _TI.WEBSOCKET_LOST): (_TA.LOSE_SESSION, _T.WEBSOCKET),
}

_H, _HI, _HA = HeartbeatState, HeartbeatInput, HeartbeatAction
HEARTBEAT: dict[tuple[HeartbeatState, HeartbeatInput], tuple[HeartbeatAction, HeartbeatState]] = {
    (_H.IDLE, _HI.PING_DUE): (_HA.SEND_PING, _H.WAITING),
    # A PONG that nobody asked for does not move the schedule.
    (_H.IDLE, _HI.PONG): (_HA.NOTHING, _H.IDLE),
    (_H.IDLE, _HI.OTHER_PACKET): (_HA.NOTHING, _H.IDLE),
    (_H.IDLE, _HI.PONG_OVERDUE): (_HA.NOTHING, _H.IDLE),
    (_H.WAITING, _HI.PING_DUE): (_HA.NOTHING, _H.WAITING),
    (_H.WAITING, _HI.PONG): (_HA.SCHEDULE_PING, _H.IDLE),
    (_H.WAITING, _HI.OTHER_PACKET): (_HA.EXTEND, _H.EXTENDED),
    (_H.WAITING, _HI.PONG_OVERDUE): (_HA.TIME_OUT, _H.WAITING),
    (_H.EXTENDED, _HI.PING_DUE): (_HA.NOTHING, _H.EXTENDED),
    (_H.EXTENDED, _HI.PONG): (_HA.SCHEDULE_PING, _H.IDLE),
    (_H.EXTENDED, _HI.OTHER_PACKET): (_HA.NOTHING, _H.EXTENDED),
    (_H.EXTENDED, _HI.PONG_OVERDUE): (_HA.TIME_OUT, _H.EXTENDED),
}

assert set(SESSION) == set(product(SessionState, SessionInput))
assert set(TRANSPORT) == set(product(TransportState, TransportInput))
assert set(HEARTBEAT) == set(product(HeartbeatState, HeartbeatInput))
