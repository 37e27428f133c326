from siocore.codec.message cimport Outgoing
from siocore.driven cimport DrivenConnection, ServerEndpoint
from siocore.link cimport Link
from siocore.request cimport Request


cdef class Carrier(DrivenConnection):
    cpdef respond(self, int status, tuple headers, bytes body=*, bint close=*)
    cpdef bint write(self, bytes frames) except -1
    cpdef bytes deflated(self, Outgoing message, bytes frames)
    cpdef pause(self)
    cpdef resume(self)
    cpdef close_websocket(self, int code, str reason=*)


cdef class SessionOwner(ServerEndpoint):
    # As floating-point numbers limits can be infinite.
    cdef public double compression_threshold
    cdef public double share
    cdef public int when_full

    cpdef tuple compressed(self, Request request, tuple headers, bytes body)
    cpdef session_message(self, Link session, object data, Py_ssize_t start)
    cpdef session_has_packets(self, Link session)
    cpdef session_closed(self, Link session, str reason, str detail)
    cpdef session_forgotten(self, Link session)
