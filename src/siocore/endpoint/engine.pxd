cimport cython

from siocore.driven cimport DrivenConnection
from siocore.endpoint.connection cimport Connection
from siocore.endpoint.interfaces cimport ConnectionOwner, ServerConnection
from siocore.engineio.gate cimport check_origin, check_request, revision_of
from siocore.engineio.interfaces cimport Carrier
from siocore.engineio.outbound cimport Outbound
from siocore.engineio.session cimport Session
from siocore.engineio.shared cimport SharedSession
from siocore.link cimport Link
from siocore.request cimport Request

cdef tuple _JSON, _PLAIN


cdef class EngineServerProtocol(ConnectionOwner):
    cdef public dict sessions
    cdef public set connections
    cdef public dict resources
    cdef dict _handshake_ends
    cdef object _initial
    cdef list _to_flush
    cdef bint _asks
    cdef bint _decorates
    cdef bint _greets
    cdef bint _takes_old
    cdef public dict pending
    cdef public str sid_mark
    cdef public list strays
    cdef public object sharing

    @cython.locals(session=Outbound)
    cpdef list take_ready(self)
    cpdef DrivenConnection connection_made(self, object peer, double now, bint secure=*)
    cpdef shutdown(self, double now)
    cpdef abort(self, double now)
    cpdef connection_ended(self, Carrier connection)
    cpdef request_received(self, Carrier connection, Request request, bint upgrade)
    cpdef tuple compressed(self, Request request, tuple headers, bytes body)
    cpdef session_closed(self, Link session, str reason, str detail)
    cpdef session_message(self, Link session, object data, Py_ssize_t start)
    cpdef session_has_packets(self, Link session)
    cpdef session_forgotten(self, Link session)
    cpdef tuple response_headers(self, Request request, tuple headers)
    cdef bint _is_ours(self, str path) except -1
    cpdef _polling_handshake(self, ServerConnection connection, bytes body)
    cdef _begin_handshake(self, ServerConnection connection, Request request, bint upgrade)
    @cython.locals(session=Session, body=bytes, headers=tuple)
    cpdef bint open_session(self, ServerConnection connection, Request request, bint upgrade, object sid) except -1
    @cython.locals(headers=tuple)
    cdef bint _answer_with_websocket(self, ServerConnection connection, Request request, Session session) except -1
    cdef Session _open_session(self, Request request, bint upgrade, object sid)
    cpdef check_new_sid(self, object sid)
    cdef bytes _open_packet(self, Session session, str transport)
    cdef _engine_request(self, ServerConnection connection, Request request, bint upgrade)
