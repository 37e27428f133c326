cimport cython

from siocore._driver.wire cimport Wire
from siocore.driven cimport ClientEndpoint, DialledConnection, DrivenConnection, DrivenEndpoint, ServerEndpoint


@cython.final
cdef class Sockets:
    cdef DrivenEndpoint _protocol
    cdef object _ssl_context
    cdef public object poller
    cdef object _poll
    cdef object _acceptor
    cdef dict _ports
    cdef list _wires
    cdef Py_ssize_t _open
    cdef bint _signalled
    cdef object _batch
    cdef bint _batch_full
    cdef double _polled
    cdef object _sweep_start
    cdef Py_ssize_t _swept
    cdef list _again
    cdef object _dialler
    cdef ClientEndpoint _client
    cdef public object mesh
    cdef public double settled
    cdef public bint stirred

    @cython.locals(wire=Wire, wires=list, budget=Py_ssize_t, fd=int, mask=int, data=bytes)
    cpdef bint read(self, double now) except -1
    cdef bint _is_readable(self, Wire wire, int mask, double now) except -1
    @cython.locals(wire=Wire)
    cpdef adopt(self, DialledConnection conn, object sock, object tls, bytes data, double now)
    @cython.locals(wire=Wire)
    cpdef take_in(self, DrivenConnection conn, object sock, bytes output, bytes data, double now)
    @cython.locals(wire=Wire)
    cpdef let_go(self, DrivenConnection conn)
    cpdef retie(self, Wire wire, DrivenConnection conn)
    cdef _end(self, Wire wire, double now)
    cdef _lose(self, Wire wire, double now, bint reset=*)
    @cython.locals(ready=list, conn=DrivenConnection, wire=Wire, data=bytes)
    cpdef write(self, double now)
    cdef Wire _add(self, object sock, object tls, DrivenConnection conn)
    @cython.locals(dials=list)
    cdef bint _begin_dials(self, double now) except -1
    cdef _attend(self, Wire wire, DrivenConnection conn, double now)
    cdef _watch(self, Wire wire)
