cimport cython


@cython.final
@cython.freelist(64)
cdef class Sent:
    cdef object _target
