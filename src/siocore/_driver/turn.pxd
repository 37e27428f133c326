cimport cython

from siocore._speedups._steps cimport call_in_copied_context
from siocore._driver.sockets cimport Sockets
from siocore.driven cimport DrivenEndpoint


@cython.final
cdef class Turn:
    cdef object _clock
    cdef object _dispatch
    cdef DrivenEndpoint _protocol
    cdef Sockets _sockets

    @cython.locals(timed=bint, due=bint)
    cpdef pump(self, double now, double slice_start, object cancel_requests)
    @cython.locals(left=int, started=tuple)
    cdef _handle(self, double slice_start, object cancel_requests)
