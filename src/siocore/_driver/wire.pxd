cimport cython

from siocore._driver.transfer cimport receive, transmit
from siocore.driven cimport DrivenConnection


@cython.final
cdef class Wire:
    cdef public DrivenConnection conn
    cdef public bint eof
    cdef public int fd
    cdef public bint hung_up
    cdef public int mask
    cdef public object rest
    cdef public bint shut
    cdef public object sock
    cdef public object tls

    cpdef Py_ssize_t unsent(self) except -1
    cpdef receive(self)
    @cython.locals(sent=Py_ssize_t)
    cpdef bint send(self, object data) except -1
    cpdef bint send_rest(self) except -1
