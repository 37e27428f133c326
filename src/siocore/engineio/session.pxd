cimport cython

from siocore.engineio.interfaces cimport Carrier
from siocore.engineio.outbound cimport Outbound
from siocore.timers cimport Timer

cdef tuple _HTML
cdef object _CLOSE, _PING, _PROBE_ANSWER, _OPEN, _WEBSOCKET, _WAITING
cdef object _PING_DUE, _PONG, _OTHER_PACKET
cdef int _MESSAGE, _PING_TIMER, _PONG_TIMER, _UPGRADE_TIMER, _NOOP_TIMER, _LINGER_TIMER
cdef double _PING_SLACK


cdef class Session(Outbound):
    cdef Carrier _candidate
    cdef public object _heartbeat
    cdef Timer _heartbeat_timer
    cdef Timer _noop_timer
    cdef Carrier _posting
    cdef Timer _upgrade_timer
    cdef bint _waiting_for_answer
    cdef public object data
    cdef public str sid

    cpdef bint post_started(self, Carrier exchange) except -1
    @cython.locals(messages=list, text=str)
    cpdef post(self, Carrier exchange, bytes body)
    cpdef pause(self)
    cpdef resume(self)
    cpdef bint _takes_body(self, Carrier exchange) except -1
    cpdef tuple _read_body(self, Carrier exchange, bytes body)
    @cython.locals(text=str)
    cpdef websocket_message(self, Carrier channel, object data)
    cpdef _packet(self, int kind, object data)
    cpdef _heartbeat_step(self, object step)
    cpdef _arm_heartbeat(self, double delay, int kind)
