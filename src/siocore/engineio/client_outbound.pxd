cimport cython

from siocore.codec.message cimport Outgoing, TextMessage
from siocore.engineio.client_interfaces cimport ClientCarrier, ClientSessionOwner
from siocore.link cimport ClientLink, LinkUser

cdef object _OPENING, _OPEN, _CLOSING, _CLOSED, _POLLING, _SWITCHING


cdef class ClientOutbound(ClientLink):
    cdef public double _alive
    cdef public ClientCarrier _channel
    cdef public object _cookies
    cdef public double _max_buffered
    cdef public list _outbox
    cdef public Py_ssize_t _outbox_size
    cdef public bint _plain
    cdef public object _polling
    cdef public Py_ssize_t _requests
    cdef public str _sid
    cdef public object _state
    cdef public object _transport
    cdef public object data
    cdef public bint flush_queued
    cdef public object handshake
    cdef public object max_payload
    cdef public object options
    cdef public ClientSessionOwner owner
    cdef public object target
    cdef public LinkUser user
    cdef public object wire

    @cython.locals(channel=ClientCarrier)
    cpdef send_text(self, bytes text, list attachments)
    @cython.locals(channel=ClientCarrier, text=TextMessage)
    cpdef send_outgoing(self, object message)
