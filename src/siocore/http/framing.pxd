cimport cython

cdef object _HEADER_NAME, _HEADER_VALUE, _LENGTH, _OUR_HEADERS, _BODYLESS
cdef dict _STATUS_LINES, _beginnings

cpdef bytes beginning(int status, object headers)
cpdef bytes status_line(int status)
cpdef list header_lines(object headers)


@cython.final
cdef class StreamedAnswer:
    cdef bint _chunked
    cdef object _declared
    cdef object _left
    cdef list _lines
    cdef str _method
    cdef bint _old
    cdef int _status
    cdef public bint begun
    cdef public bint closes

    @cython.locals(parts=list, bodyless=bint)
    cpdef bytes begin(self, bytes data, bint more, bint last)
    cpdef bytes piece(self, bytes data, bint more)
    cdef _declare(self, bytes value)
