cimport cython


@cython.final
cdef class Packet:
    cdef public object type
    cdef public object namespace
    cdef public object data
    cdef public object id
    cdef public object attachments


@cython.final
cdef class Reconstructor:
    cdef public Packet packet
    cdef list _buffers
    cdef Py_ssize_t _room

    cpdef bint add(self, object data) except -1


cpdef Packet decode_socket_packet(object text, object start, object limits)
cpdef tuple encode_packet(object type, object namespace, object data, object id)
