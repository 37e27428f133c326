from siocore.engineio.interfaces cimport Carrier, SessionOwner
from siocore.engineio.session cimport Session
from siocore.request cimport Request


cdef class ServerConnection(Carrier):
    cpdef expect_body(self, object reader)
    cpdef expect_poll(self, Session session)
    cpdef expect_post(self, Session session)
    cpdef bint accept_websocket(self, Session session, tuple headers=*) except -1
    cpdef receive_trailing(self)
    cpdef reject_upgrade(self, str message)


cdef class ConnectionOwner(SessionOwner):
    cdef public object hosting
    # As floating-point numbers limits can be infinite.
    cdef public double max_buffered
    cdef public bint stopping
    cdef public object deflate

    cpdef connection_ended(self, Carrier connection)
    cpdef request_received(self, Carrier connection, Request request, bint upgrade)
    cpdef tuple response_headers(self, Request request, tuple headers)
