cimport cython

from siocore.codec.message cimport Outgoing, TextMessage
from siocore.link cimport ClientLink
from siocore.socketio.client_acks cimport ClientAck
from siocore.socketio.client_member cimport Member
from siocore._speedups._socketio cimport encode_packet

cdef int _EVENT, _ACK
cdef object _CONNECTED


cdef class ClientSocket(Member):
    cdef object __weakref__
    cdef public object options
    cdef object _data
    cdef Py_ssize_t _next_id
    cdef public dict _acks
    cdef public object _outbox
    cdef public object _inbox
    cdef public object _retries
    cdef public bint _uncommon

    @cython.locals(pending=ClientAck, message=Outgoing)
    cpdef ask(self, object name, tuple args, object timeout, bint compress)
    cpdef Outgoing encode(self, int kind, tuple data, object ack_id)
    cpdef receive_ack(self, object ack_id, list args)
    @cython.locals(link=ClientLink)
    cdef _transmit(self, Outgoing message, object ack_id, tuple data)
    cdef _tell_outgoing(self, tuple data)
    cdef _check_attachments(self, list attachments)
