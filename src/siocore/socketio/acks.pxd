from siocore.driven cimport DrivenEndpoint
from siocore.timers cimport Timer


cpdef object ack_value(list args)


cdef class PendingAck:
    cdef public object id
    cdef public bint done
    cdef public DrivenEndpoint _hub
    cdef public object _result
    cdef public object _error
    cdef public object _waiter
    cdef public Timer _timer

    cpdef acknowledged(self, object socket, list args)
    cpdef _forget(self)
    cpdef _finish(self, object result=*, object error=*)


cdef class SocketAck(PendingAck):
    cdef object _socket

    cpdef acknowledged(self, object socket, list args)
    cpdef _forget(self)


cdef class GatheredAck(PendingAck):
    cdef public list responses
    cdef public object request
    cdef bint _begun
    cdef public Py_ssize_t _held

    cpdef _forget(self)


cdef class Answers:
    cdef object _pending
    cdef Py_ssize_t _taken


cdef class BroadcastAck(GatheredAck):
    cdef public set _waited_for
    cdef public Py_ssize_t _remote

    cpdef acknowledged(self, object socket, list args)
    cpdef _forget(self)


cdef class ServerSideAck(GatheredAck):
    cdef public Py_ssize_t _expected
