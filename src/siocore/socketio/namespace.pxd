from siocore._speedups._socketio cimport encode_packet
from siocore.driven cimport ServerEndpoint
from siocore.socketio.broadcast cimport BroadcastOperator
from siocore.socketio.listeners cimport Listeners


cdef class AnyNamespace(BroadcastOperator):
    cdef long long _ack_ids
    cdef public ServerEndpoint hub
    cdef public Listeners registered


cdef class Namespace(AnyNamespace):
    cdef double _max_attachments
    cdef int _when_full
    cdef public object adapter
    cdef public bint dynamic
    cdef public str name
    cdef public object parent
    cdef public object parser
    cdef public object recovery
    cdef public dict sockets
    cdef public set tapped
    cdef public bint uncommon
    cdef public Py_ssize_t users

    cpdef check_attachments(self, list attachments)
    cpdef encode(self, int kind, object data, object ack_id)
