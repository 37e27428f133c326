# cython: language_level=3
"""The compiled twin of siocore._driver.transfer: one buffer for all reads, and no lock let go for calls that don't block."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t send(int fd, const void* buffer, size_t size, int flags)
    int MSG_DONTWAIT

cdef extern from *:
    """
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    """
    int MSG_NOSIGNAL

__all__ = ["receive", "transmit"]

cdef enum:
    READ_SIZE = 65_536

# Nothing else runs between a read and the copy of what it brought.
cdef char _buffer[READ_SIZE]


cpdef receive(int fd):
    cdef ssize_t size
    while True:
        size = recv(fd, _buffer, READ_SIZE, MSG_DONTWAIT)
        if size >= 0:
            return PyBytes_FromStringAndSize(_buffer, size)
        if errno == EAGAIN:
            return None
        interrupted_or_failed()


cpdef Py_ssize_t transmit(int fd, data) except -1:
    cdef Py_buffer view
    cdef Py_ssize_t sent
    if PyBytes_CheckExact(data):
        return write(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        sent = write(fd, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return sent


cdef Py_ssize_t write(int fd, const void* start, Py_ssize_t size) except -1:
    cdef ssize_t sent
    while True:
        sent = send(fd, start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        if errno == EAGAIN:
            return 0
        interrupted_or_failed()


cdef int interrupted_or_failed() except -1:
    if errno != EINTR:
        PyErr_SetFromErrno(OSError)
    PyErr_CheckSignals()
    return 0
