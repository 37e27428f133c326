cimport cython

from siocore._speedups._socketio cimport encode_packet
from siocore.link cimport Link
from siocore.socketio.listening cimport Listening
from siocore.socketio.names cimport check_event_name
from siocore.socketio.namespace cimport Namespace

cdef int _EVENT, _ACK
cdef object _CONNECTED


cdef class Handshake:
    cdef Link _link
    cdef public object auth


cdef class Socket(Listening):
    cdef dict _acks
    cdef object _data
    cdef set _rooms
    cdef frozenset _snapshot
    cdef public object client
    cdef public Handshake handshake
    cdef public str id
    cdef public Link link
    cdef public Namespace namespace
    cdef public object recovery
    cdef public object state

    @cython.locals(namespace=Namespace)
    cpdef acknowledge(self, object ack_id, tuple args)
    cpdef tell(self, object name, tuple args, bint compress, object policy, bint volatile)
    cpdef ask(self, object name, tuple args, object timeout, bint compress)
    cpdef end(self)
    cpdef release(self)
    cpdef tell_outgoing(self, tuple data)


cdef class SocketOperator:
    cdef bint _compress
    cdef object _policy
    cdef Socket _socket
    cdef object _timeout
    cdef bint _volatile
