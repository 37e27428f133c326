cimport cython

from siocore._speedups._steps cimport first_step
from siocore.events cimport EventReceived
from siocore.link cimport Link
from siocore.socketio.listeners cimport Listeners
from siocore.socketio.namespace cimport Namespace
from siocore.socketio.socket cimport Socket


@cython.final
cdef class Dispatcher:
    cdef object _calls
    cdef object _gatekeeper
    cdef double _max_running
    cdef Namespace _root

    cpdef dispatch(self, object event)
    @cython.locals(
        socket=Socket, namespace=Namespace, link=Link, registered=Listeners, own=Listeners, handlers=tuple,
        own_handlers=tuple, watchers=tuple, count=Py_ssize_t, alone=bint, args=list, ended=bint,
    )
    cdef _event(self, EventReceived event)
    cdef _reported(self, object error, object subject, str name)
