cimport cython

from siocore._speedups._frames cimport message_frames
from siocore.codec.message cimport Outgoing
from siocore.engineio.interfaces cimport Carrier, SessionOwner
from siocore.link cimport Link
from siocore.timers cimport Timer

cdef tuple _TEXT, _HTML
cdef object _CLOSE, _PING, _NOOP, _PROBE_ANSWER, _OPEN, _WEBSOCKET, _WAITING
cdef object _PING_DUE, _PONG, _OTHER_PACKET
cdef int _MESSAGE, _PING_TIMER, _PONG_TIMER, _UPGRADE_TIMER, _NOOP_TIMER, _LINGER_TIMER
cdef double _PING_SLACK


cdef class Session(Link):
    cdef object _backlog
    cdef bint _base64
    cdef Carrier _candidate
    cdef Carrier _channel
    cdef public object _heartbeat
    cdef Timer _heartbeat_timer
    cdef Timer _noop_timer
    cdef public list _outbox
    cdef Py_ssize_t _outbox_size
    cdef SessionOwner _owner
    cdef Carrier _leaving
    cdef Carrier _parked
    cdef Carrier _posting
    cdef public object _state
    cdef public object _transport
    cdef bint _uncommon
    cdef Timer _upgrade_timer
    cdef bint _waiting_for_answer
    cdef public object data
    cdef public bint flush_queued
    cdef public str sid

    @cython.locals(outgoing=Outgoing)
    cpdef send_outgoing(self, object message)
    cpdef send_text(self, bytes text, list attachments)
    cpdef poll(self, Carrier exchange)
    cpdef bint post_started(self, Carrier exchange) except -1
    @cython.locals(messages=list, text=str)
    cpdef post(self, Carrier exchange, bytes body)
    cpdef pause(self)
    cpdef resume(self)
    cpdef flush(self)
    cpdef tuple poll_answer(self, Carrier exchange, list messages)
    @cython.locals(headers=tuple, body=bytes)
    cdef _answer_poll(self, Carrier exchange, list messages)
    cpdef bint _takes_body(self, Carrier exchange) except -1
    cpdef tuple _read_body(self, Carrier exchange, bytes body)
    @cython.locals(text=str)
    cpdef websocket_message(self, Carrier channel, object data)
    cpdef wake_drain_waiters(self)
    cpdef _packet(self, int kind, object data)
    cpdef bytes _frames_of(self, Outgoing message)
    cpdef bytes _form_of(self, Outgoing message)
    cpdef _queue(self, Outgoing message)
    cpdef _heartbeat_step(self, object step)
    cpdef _arm_heartbeat(self, double delay, int kind)
