cimport cython

from siocore.codec.message cimport Outgoing
from siocore.engineio.interfaces cimport Carrier
from siocore.engineio.session cimport Session

cdef tuple _TEXT, _BINARY, _SCRIPT
cdef object _PONG
cdef int _PING_OVERDUE


cdef class LegacySession(Session):
    cdef bint _encodes_once
    cdef bint _text_only

    cpdef tuple poll_answer(self, Carrier exchange, list messages)
    cpdef bint _takes_body(self, Carrier exchange) except -1
    cpdef tuple _read_body(self, Carrier exchange, bytes body)
    cpdef websocket_message(self, Carrier channel, object data)
    cpdef _packet(self, int kind, object data)
    cpdef bytes _form_of(self, Outgoing message)
