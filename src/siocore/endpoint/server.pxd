from siocore.endpoint.engine cimport EngineServerProtocol
from siocore.link cimport Link
from siocore.socketio.client cimport Client

cimport cython


cdef class ServerProtocol(EngineServerProtocol):
    cdef object _directory
    cdef object _legacy_limits
    cdef public object cluster
    cdef public dict namespaces

    cpdef abort(self, double now)
    @cython.locals(client=Client)
    cpdef session_message(self, Link session, object data, Py_ssize_t start)
    @cython.locals(client=Client)
    cpdef session_closed(self, Link session, str reason, str detail)
    cpdef session_forgotten(self, Link session)
