cimport cython


cdef class Request:
    cdef object _headers
    cdef bytes _packed
    cdef dict _query
    cdef list _raw
    cdef public str method
    cdef public str path
    cdef public object peer
    cdef public str query_string
    cdef public bint secure
    cdef public str target

    @cython.locals(values=list)
    cpdef parameter(self, str name)
    @cython.locals(query=str, values=list, size=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, equals=Py_ssize_t)
    cpdef list parameters(self, str name)
    cpdef list raw_headers(self)
    @cython.locals(pair=tuple)
    cpdef list header_values(self, bytes name)
    cpdef compact(self)
