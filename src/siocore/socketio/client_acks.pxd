from siocore.socketio.acks cimport PendingAck, ack_value
from siocore.socketio.client_socket cimport ClientSocket


cdef class ClientAck(PendingAck):
    cdef public ClientSocket _socket

    cpdef answered(self, list args)
    cpdef _forget(self)
