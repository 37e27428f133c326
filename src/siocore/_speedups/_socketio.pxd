cimport cython

from siocore._speedups._json cimport dumps, loads

cdef int _CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR, _BINARY_EVENT, _BINARY_ACK, _BINARY_OFFSET
cdef long long _MAX_ID
cdef Py_ssize_t _MAX_ID_DIGITS
cdef frozenset _RESERVED_EVENTS
cdef bytes _PLACEHOLDER_KEY


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
    cdef Py_ssize_t _size
    cdef object _max_size

    @cython.locals(packet=Packet)
    cpdef bint add(self, object data) except -1


cpdef Packet decode_socket_packet(object text, object start, object limits)

@cython.locals(kind=int, attachments=list, payload=bytes, head=str)
cpdef tuple encode_packet(object type, object namespace, object data, object id)

@cython.locals(end=Py_ssize_t, index=Py_ssize_t, kind=int, number=longlong, packet=Packet)
cdef Packet _decode(str text, Py_ssize_t start, object limits)

cdef bint _may_start(int kind, Py_UCS4 char) noexcept

@cython.locals(last=Py_ssize_t, number=longlong)
cdef (long long, Py_ssize_t) _read_number(str text, Py_ssize_t index, Py_ssize_t end)

@cython.locals(comma=Py_ssize_t, stop=Py_ssize_t)
cdef tuple _read_namespace(str text, Py_ssize_t start, Py_ssize_t end, object limits)

@cython.locals(legal=bint)
cdef str _fault_of_event(object data, object max_name)

@cython.locals(legal=bint)
cdef str _fault_to_send(int kind, object data)

cdef int _checked_type(object number) except -1
cdef str _checked_namespace(object namespace)
cdef long long _checked_id(object number) except -1

@cython.locals(pending=list)
cdef _fill(object data, list buffers)

cdef object _resolve(object item, list buffers, list pending)
