from siocore.engineio.interfaces cimport Carrier, SessionOwner
from siocore.request cimport Request


cdef class ConnectionOwner(SessionOwner):
    # As floating-point numbers limits can be infinite.
    cdef public double max_buffered
    cdef public bint stopping

    cpdef connection_ended(self, Carrier connection)
    cpdef request_received(self, Carrier connection, Request request, bint upgrade)
    cpdef tuple response_headers(self, Request request, tuple headers)
