cdef class ClientEvent:
    cdef public object socket
    cdef public object name
    cdef public list args
    cdef public object ack_id
    cdef public Py_ssize_t generation
