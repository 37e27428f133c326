cimport cython
from siocore._speedups._heads cimport recognise_head

from siocore.http.events cimport BodyReceived, RequestReceived
from siocore.http.framing cimport beginning, header_lines, status_line
from siocore.request cimport Request

cdef object _HEAD_WAIT, _HEAD, _BODY, _ANSWERING, _SWITCHED, _CLOSED
cdef object _HEAD_END, _DECISIVE
cdef bytes _PLAIN_END
cdef list _LENGTHS
cdef long long _DRAIN, _CHUNK


@cython.final
cdef class HttpConnection:
    cdef bytearray _body
    cdef long long _body_left
    cdef Py_ssize_t _chunks
    cdef bint _continue
    cdef bint _eof
    cdef BodyReceived _event
    cdef object _h11
    cdef Py_ssize_t _at
    cdef object _input
    cdef bint _keep_alive
    cdef object _limits
    cdef object _peer
    cdef Request _request
    cdef Py_ssize_t _searched
    cdef bint _secure
    cdef long long _streamed
    cdef bint _upgrade
    # Truth values of one byte each: there are idle connections of many clients.
    cdef char _begun
    cdef char _draining
    cdef char _hosting
    cdef char _old
    cdef char _streaming
    cdef public bint closing
    cdef public list output
    cdef public object state

    cpdef receive_data(self, bytes data)
    cpdef next_event(self)
    @cython.locals(parts=list, size=Py_ssize_t, bodyless=bint, last=bint)
    cpdef respond(self, int status, object headers, bytes body=*, bint close=*)
    cpdef timed_out(self)
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, plain=tuple, headers=list, length=longlong, fate=int, refusal=int)
    cdef RequestReceived _read_head(self)
    cdef RequestReceived _accepted(self, Request request, bint has_body, bint keep_alive, int refusal)
    cdef BodyReceived _read_body(self)
    cdef Py_ssize_t _waiting(self) except -1
    @cython.locals(at=Py_ssize_t)
    cdef bytes _take(self, Py_ssize_t size)
    cdef _drop_input(self)
    cdef _refuse(self, int status)
    cpdef refuse(self, int status)
    cdef _close(self)
    cdef _end_request(self)
    cdef _next_request(self)
