from siocore.driven cimport DrivenConnection, DrivenEndpoint
from siocore.link cimport Link


cdef class Carrier(DrivenConnection):
    cpdef respond(self, int status, tuple headers, bytes body=*, bint close=*)
    cpdef bint write(self, bytes frames) except -1
    cpdef pause(self)
    cpdef resume(self)
    cpdef close_websocket(self, int code, str reason=*)


cdef class SessionOwner(DrivenEndpoint):
    cpdef session_message(self, Link session, object data, Py_ssize_t start)
    cpdef session_has_packets(self, Link session)
    cpdef session_closed(self, Link session, str reason, str detail)
    cpdef session_forgotten(self, Link session)
