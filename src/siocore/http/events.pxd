cimport cython

from siocore.request cimport Request


@cython.final
@cython.freelist(16)
cdef class RequestReceived:
    cdef public Request request
    cdef public bint upgrade
    cdef public int refusal


@cython.final
@cython.freelist(16)
cdef class BodyReceived:
    cdef public bytes body
