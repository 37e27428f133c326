cimport cython

from siocore._speedups._frames cimport message_frames
from siocore.codec.message cimport Outgoing
from siocore.engineio.interfaces cimport Carrier, SessionOwner
from siocore.link cimport Link

cdef tuple _TEXT, _HTML
cdef object _NOOP, _OPEN, _WEBSOCKET


cdef class Outbound(Link):
    cdef object _backlog
    cdef bint _base64
    cdef Carrier _channel
    cdef Carrier _leaving
    cdef public list _outbox
    cdef Py_ssize_t _outbox_size
    cdef SessionOwner _owner
    cdef Carrier _parked
    cdef public object _state
    cdef public object _transport
    cdef bint _uncommon
    cdef public bint flush_queued

    @cython.locals(outgoing=Outgoing)
    cpdef send_outgoing(self, object message)
    cpdef send_text(self, bytes text, list attachments)
    cpdef poll(self, Carrier exchange)
    cpdef flush(self)
    cpdef tuple poll_answer(self, Carrier exchange, list messages)
    @cython.locals(headers=tuple, body=bytes)
    cdef _answer_poll(self, Carrier exchange, list messages)
    cpdef bytes _frames_of(self, Outgoing message)
    cpdef bytes _form_of(self, Outgoing message)
    cpdef wake_drain_waiters(self)
    cpdef _queue(self, Outgoing message)
