from siocore._speedups._socketio cimport encode_packet
from siocore.driven cimport DrivenEndpoint
from siocore.socketio.broadcast cimport BroadcastOperator


cdef class Namespace(BroadcastOperator):
    cdef long long _ack_ids
    cdef double _max_attachments
    cdef public object adapter
    cdef public tuple any_handlers
    cdef public dict handlers
    cdef public DrivenEndpoint hub
    cdef public dict lifecycle
    cdef public tuple middlewares
    cdef public str name
    cdef public object parser
    cdef public object recovery
    cdef public dict sockets

    cpdef check_attachments(self, list attachments)
    cpdef encode(self, int kind, object data, object ack_id)
