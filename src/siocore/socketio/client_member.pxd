from siocore.link cimport ClientLink
from siocore.socketio.listening cimport Listening

cdef int _CONNECT, _DISCONNECT
cdef object _CONNECTED


cdef class Member(Listening):
    cdef public object id
    cdef public str namespace
    cdef public object manager
    cdef public object auth
    cdef public object state
    cdef public bint recovered
    cdef public ClientLink link
    cdef public Py_ssize_t failures
    cdef public object failure
    cdef public object offsets
    cdef public object _generation
    cdef public object _left
    cdef public object _early
    cdef public Py_ssize_t _early_size
    cdef public list _waiters
