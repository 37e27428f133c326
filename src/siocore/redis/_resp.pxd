cimport cython


@cython.final
cdef class Reader:
    cdef list _waiting
    cdef Py_ssize_t _size
    cdef Py_ssize_t _needed
    cdef list _items
    cdef Py_ssize_t _left
    cdef int _kind
    cdef list _outer

    cpdef list feed(self, bytes data)
    cdef list _wait(self, bytes data, Py_ssize_t at, Py_ssize_t needed, list values)
    cdef int _complete(self, object value, list values) except -1


cpdef bytes pack(list commands)
