cimport cython

from siocore.engineio.interfaces cimport Carrier
from siocore.engineio.session cimport Session
from siocore.timers cimport Timer

cdef object _OPEN, _WEBSOCKET
cdef int _MESSAGE, _OPENING_TIMER


cdef class SharedSession(Session):
    cdef list _behind
    cdef list _early
    cdef Py_ssize_t _early_size
    cdef Timer _opening_timer
    cdef public bint far_posts

    cpdef websocket_message(self, Carrier channel, object data)
    cpdef tuple _read_body(self, Carrier exchange, bytes body)
    @cython.locals(early=list)
    cpdef list _keep_early(self, list messages, object error)
