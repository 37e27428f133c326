cimport cython

from siocore.cluster.broker cimport Broker, Command, Publish
from siocore.redis._commands cimport meaning_of, text_of

cdef dict _MESSAGES
cdef object _PATTERN
cdef Py_ssize_t _MAX_NAMES

cpdef hand_on(list values, object waiting, object pushed)


cdef class Pipeline:
    cdef Py_ssize_t _left
    cdef object _done

    cpdef consume(self, object reply)


cdef class Batch:
    cdef list _commands
    cdef Py_ssize_t _next
    cdef object _failed

    @cython.locals(command=Command)
    cpdef consume(self, object reply)


cdef class Messages:
    cdef Broker _broker
    cdef object _other
    cdef dict _names

    cpdef receive(self, tuple message)
    cdef str _text(self, bytes name)
