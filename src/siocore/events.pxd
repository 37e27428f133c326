cimport cython


@cython.final
@cython.freelist(512)
cdef class EventReceived:
    cdef public object socket
    cdef public object name
    cdef public object args
    cdef public object ack_id
