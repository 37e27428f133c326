cimport cython

from siocore._speedups._frames cimport apply_mask, parse_frames


cdef class WebSocketConnection:
    cdef object _limits
    cdef bytearray _buffer
    cdef _TextCheck _text_check
    cdef public _Uncommon _uncommon
    cdef bint _ended
    cdef public list output
    cdef public bint close_sent
    cdef public bint close_received
    cdef public object close_code
    cdef public bint failed
    cdef public bint stirred
    cdef object _max_payload
    cdef public object extension

    @cython.locals(position=Py_ssize_t, messages=list)
    cpdef list receive_data(self, bytes data)

    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cpdef list _receive_rest(self, bytes data, Py_ssize_t position, list messages)
    cpdef Py_ssize_t _parse_common(self, source, Py_ssize_t start, list messages) except -1


@cython.final
cdef class _Uncommon:
    cdef public object connection
    cdef public Py_ssize_t frame_left
    cdef public Py_ssize_t fragments
    cdef public Py_ssize_t length
    cdef public bytearray message
    cdef public bint inflating
    cdef public bytes key
    cdef public bint final
    cdef public Py_ssize_t taken


@cython.final
cdef class _TextCheck:
    cdef Py_ssize_t _checked
    cdef object _decoder
    cdef bytes _key
